// SPDX-License-Identifier: GPL-2.0

//! A vCPU of VMX with L2 active, as its own thread sees it.
//!
//! What is called of C here asks for a vCPU of VMX that its thread owns and has loaded, with L2
//! active where it is about L2: the invariants of `OwnVcpu` and `VmxVcpu`.

use core::ptr::{addr_of, addr_of_mut};

use crate::bindings::{self, kvm_queued_exception, kvm_vcpu, vcpu_vmx, vmcs12};
use crate::event::init_sipi::{Outcome, Pending};
use crate::event::mp_state::MpState;
use crate::event::nested::Unfinished;
use crate::event::vmx::{Exception, Exit, Sleeper, Vcpu};
use crate::sync::{read_once, write_once};
use crate::view::{own, store, OwnVcpu};

/// A vCPU of VMX, with L2 active until the exit to L1 that ends the walk over its events.
///
/// # Invariants
///
/// 1. The vCPU is the first member of a `struct vcpu_vmx`, which lives as long.
/// 2. L2 is active when the view is made (C: is_guest_mode()), and until exit() or
///    exit_with_exception(), after which the walk calls nothing that asks for it. So
///    `nested.cached_vmcs12` is L1's VMCS for L2, which enter_vmx_operation() allocates and
///    free_nested() frees, both on this thread; and the VMCS that is loaded is L2's.
pub(crate) struct VmxVcpu<'a>(OwnVcpu<'a>);

/// A load of a field of `struct vcpu_vmx` that the vCPU's thread alone writes.
macro_rules! vmx {
    ($vcpu:expr, $($field:tt)+) => {
        // SAFETY: by invariant 1 the field is there, and by invariant 1 of
        // `OwnVcpu` no other thread writes it meanwhile.
        unsafe { addr_of!((*$vcpu.vmx()).$($field)+).read() }
    };
}

/// A load of a field of L1's VMCS for L2.
macro_rules! vmcs12 {
    ($vcpu:expr, $field:ident) => {
        // SAFETY: invariant 2 of `VmxVcpu`: the structure is there, and this thread's. It is
        // packed.
        unsafe { addr_of!((*$vcpu.vmcs12()).$field).read_unaligned() }
    };
}

impl VmxVcpu<'_> {
    /// The vCPU behind `ptr`.
    ///
    /// # Safety
    ///
    /// As [`OwnVcpu::from_raw`]; and the vCPU is one that vmx_vcpu_create() made, with L2 active.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(ptr: *mut kvm_vcpu) -> Self {
        // INVARIANT: 1 and 2 are this function's contract: kvm-intel.ko allocates its vCPUs as
        // `vcpu_vmx`, and nested VMX does with L2 active what 2 says.
        // SAFETY: this function's contract has that of the callee.
        Self(unsafe { OwnVcpu::from_raw(ptr) })
    }

    #[inline(always)]
    fn ptr(&self) -> *mut kvm_vcpu {
        self.0.ptr()
    }

    /// C: to_vmx().
    #[inline(always)]
    fn vmx(&self) -> *mut vcpu_vmx {
        const { assert!(core::mem::offset_of!(vcpu_vmx, vcpu) == 0) }
        self.ptr().cast()
    }

    /// C: get_vmcs12().
    #[inline(always)]
    fn vmcs12(&self) -> *mut vmcs12 {
        vmx!(self, nested.cached_vmcs12)
    }

    #[inline(always)]
    fn pin_based(&self, control: u32) -> bool {
        vmcs12!(self, pin_based_vm_exec_control) & control != 0
    }
}

#[inline(always)]
fn exception(queued: Option<kvm_queued_exception>) -> Option<Exception> {
    queued.map(|e| Exception {
        vector: e.vector,
        payload: e.payload as u64,
    })
}

impl Vcpu for VmxVcpu<'_> {
    const POSTED_WAITS_FOR_ENTRY: bool = cfg!(not(linux_7));

    #[inline(always)]
    fn pending(&self) -> Option<Pending<'_>> {
        self.0.shared().pending()
    }

    #[inline(always)]
    fn unfinished(&self) -> Unfinished {
        #[cfg(not(linux_7))]
        let entry = vmx!(self, nested.nested_run_pending);
        #[cfg(linux_7)]
        let entry = own!(self.0, arch.nested_run_pending) != 0;
        Unfinished {
            entry,
            event: self.0.is_reinjecting(),
        }
    }

    #[inline(always)]
    fn waits_for_sipi(&self) -> bool {
        self.0.shared().mp_state() == Some(MpState::InitReceived)
    }

    #[inline(always)]
    fn exception_to_l1(&self) -> Option<Exception> {
        exception(self.0.exception_vmexit())
    }

    #[inline(always)]
    fn exception_to_l2(&self) -> Option<Exception> {
        exception(self.0.exception())
    }

    #[inline(always)]
    fn monitor_trap(&self) -> bool {
        vmx!(self, nested.mtf_pending)
    }

    #[inline(always)]
    fn drop_monitor_trap(&mut self) {
        // SAFETY: by invariant 1 the field is there, and by invariant 1 of
        // `OwnVcpu` no other thread accesses it.
        unsafe { addr_of_mut!((*self.vmx()).nested.mtf_pending).write(false) }
    }

    #[inline(always)]
    fn preemption_timer(&self) -> bool {
        if !self.pin_based(bindings::KVM_EVENTS_PIN_PREEMPTION_TIMER) {
            return false;
        }
        // SAFETY: by invariant 1 the field is there. Whole: the timer writes it, on
        // whatever CPU it runs out.
        unsafe { read_once(addr_of!((*self.vmx()).nested.preemption_timer_expired)) }
    }

    #[inline(always)]
    fn smi(&self) -> bool {
        own!(self.0, arch.smi_pending) && !self.0.shared().is_smm()
    }

    #[inline(always)]
    fn nmi(&self) -> bool {
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`.
        own!(self.0, arch.nmi_pending) != 0 && unsafe { !bindings::vmx_nmi_blocked(self.ptr()) }
    }

    #[inline(always)]
    fn interrupt(&self) -> bool {
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`.
        unsafe {
            bindings::kvm_cpu_has_interrupt(self.ptr()) != 0
                && !bindings::vmx_interrupt_blocked(self.ptr())
        }
    }

    #[inline(always)]
    fn exits_on_nmi(&self) -> bool {
        self.pin_based(bindings::KVM_EVENTS_PIN_NMI_EXITING)
    }

    #[inline(always)]
    fn exits_on_interrupt(&self) -> bool {
        self.pin_based(bindings::KVM_EVENTS_PIN_INTR_EXITING)
    }

    #[inline(always)]
    fn acknowledges_on_exit(&self) -> bool {
        vmcs12!(self, vm_exit_controls) & bindings::KVM_EVENTS_EXIT_ACK_INTR != 0
    }

    #[inline(always)]
    fn take_extint(&mut self) -> Option<u8> {
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`.
        u8::try_from(unsafe { bindings::kvm_cpu_get_extint(self.ptr()) }).ok()
    }

    #[inline(always)]
    fn apic_interrupt(&self) -> Option<u8> {
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`.
        u8::try_from(unsafe { bindings::kvm_apic_has_interrupt(self.ptr()) }).ok()
    }

    #[cold]
    fn warn_no_interrupt(&self) {
        // SAFETY: asks for nothing: warns, and no more.
        unsafe { bindings::vmx_events_warn_no_interrupt() }
    }

    #[inline(always)]
    fn is_posted(&self, vector: u8) -> bool {
        vmx!(self, nested.posted_intr_nv) == vector.into()
    }

    #[inline(always)]
    fn post(&mut self, vector: u8) {
        // SAFETY: by invariant 1 the field is there. Whole: a sender of posted
        // interrupts writes it too. The callee asks for a vCPU that is owned.
        unsafe {
            write_once(addr_of_mut!((*self.vmx()).nested.pi_pending), true);
            bindings::kvm_apic_clear_irr(self.ptr(), vector.into());
        }
    }

    #[inline(always)]
    fn count(&mut self, outcome: Outcome) {
        self.0.count(outcome)
    }

    #[inline(always)]
    fn exit(&mut self, exit: Exit) {
        // SAFETY: the vCPU is owned and loaded, and by invariant 2 L2 is active.
        unsafe {
            bindings::vmx_events_vmexit(
                self.ptr(),
                exit.reason(),
                exit.interruption_info(),
                exit.qualification(),
            )
        }
    }

    #[inline(always)]
    fn exit_with_exception(&mut self) {
        // SAFETY: L2 is active, by invariant 2. The walk has seen an exception that is pending for L1;
        // where there was none, the exit would be of vector 0, not unsound.
        unsafe { bindings::nested_vmx_inject_exception_vmexit(self.ptr()) }
    }

    #[inline(always)]
    fn save_debug_trap(&mut self) {
        // SAFETY: the vCPU is owned, and by invariant 2 the VMCS that is loaded is L2's.
        unsafe { bindings::nested_vmx_update_pending_dbg(self.ptr()) }
    }

    #[inline(always)]
    fn nmi_is_done(&mut self) {
        let pending = own!(self.0, arch.nmi_pending);
        // Whole: debugfs shows it.
        store!(&mut self.0, arch.nmi_pending = pending.saturating_sub(1));
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`.
        unsafe { bindings::vmx_set_nmi_mask(self.ptr(), true) }
    }

    #[inline(always)]
    fn interrupt_is_in_service(&mut self, vector: u8) {
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`.
        unsafe { bindings::kvm_apic_ack_interrupt(self.ptr(), vector.into()) }
    }
}

impl Sleeper for VmxVcpu<'_> {
    #[inline(always)]
    fn has_virtual_interrupts(&self) -> bool {
        vmcs12!(self, cpu_based_vm_exec_control) & bindings::KVM_EVENTS_CPU_SECONDARY_CONTROLS != 0
            && vmcs12!(self, secondary_vm_exec_control)
                & bindings::KVM_EVENTS_CPU2_VIRTUAL_INTERRUPTS
                != 0
    }

    #[inline(always)]
    fn blocks_interrupts(&self) -> bool {
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`.
        unsafe { bindings::__vmx_interrupt_blocked(self.ptr()) }
    }

    #[inline(always)]
    fn processor_priority(&self) -> Option<u8> {
        let page = vmx!(self, nested.virtual_apic_map.hva);
        if page.is_null() {
            return None;
        }
        // SAFETY: the page is L1's virtual-APIC page, which nested VMX keeps mapped while L2 is
        // active (invariant 2). The register is an aligned u32 within; L1 may write to it, as
        // hardware does, whole.
        let register = unsafe {
            read_once(
                page.byte_add(bindings::KVM_EVENTS_APIC_PROCPRI as usize)
                    .cast::<u32>(),
            )
        };
        Some(register as u8)
    }

    #[inline(always)]
    fn requesting_vector(&self) -> u8 {
        // SAFETY: reads the VMCS that is loaded, which by invariant 2 is L2's.
        unsafe { bindings::vmx_events_requesting_vector() }
    }

    #[inline(always)]
    fn posted_vector(&self) -> Option<u8> {
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`.
        u8::try_from(unsafe { bindings::vmx_events_posted_vector(self.ptr()) }).ok()
    }
}
