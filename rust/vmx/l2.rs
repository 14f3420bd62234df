// SPDX-License-Identifier: GPL-2.0

//! A vCPU of VMX with L2 active, as its own thread sees it.

use core::ptr::{addr_of, addr_of_mut};

use crate::bindings::{self, kvm_queued_exception, kvm_vcpu, vcpu_vmx, vmcs12};
use crate::event::init_sipi::{Outcome, Pending};
use crate::event::mp_state::MpState;
use crate::event::nested::Unfinished;
use crate::event::vmx::{Exception, Exit, Sleeper, Vcpu};
use crate::view::{field, own, OwnVcpu};

/// A vCPU of VMX.
///
/// # Invariants
///
/// The vCPU is the first member of a `struct vcpu_vmx`, the calling thread has it loaded, and
/// where L2 is asked for, L2 is active: `nested.cached_vmcs12` is L1's VMCS for it.
pub(crate) struct VmxVcpu<'a>(OwnVcpu<'a>);

/// A load of a field of `struct vcpu_vmx`.
macro_rules! vmx {
    ($vcpu:expr, $($field:tt)+) => {
        // SAFETY: the invariant of `VmxVcpu`: this thread alone writes the field.
        unsafe { addr_of!((*$vcpu.vmx()).$($field)+).read() }
    };
}

/// A load of a field of L1's VMCS for L2.
macro_rules! vmcs12 {
    ($vcpu:expr, $field:ident) => {
        // SAFETY: the invariant of `VmxVcpu`. The structure is packed.
        unsafe { addr_of!((*$vcpu.vmcs12()).$field).read_unaligned() }
    };
}

impl VmxVcpu<'_> {
    /// The vCPU behind `ptr`.
    ///
    /// # Safety
    ///
    /// As [`OwnVcpu::from_raw`]; the vCPU is one of kvm-intel.ko's, loaded by this thread.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(ptr: *mut kvm_vcpu) -> Self {
        // INVARIANT: the caller's promise.
        // SAFETY: the caller's promise.
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
        let entry = own!(self, arch.nested_run_pending) != 0;
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
        // SAFETY: the invariant.
        unsafe { addr_of_mut!((*self.vmx()).nested.mtf_pending).write(false) }
    }

    #[inline(always)]
    fn preemption_timer(&self) -> bool {
        self.pin_based(bindings::KVM_EVENTS_PIN_PREEMPTION_TIMER)
            && vmx!(self, nested.preemption_timer_expired)
    }

    #[inline(always)]
    fn smi(&self) -> bool {
        own!(self, arch.smi_pending) && !self.0.shared().is_smm()
    }

    #[inline(always)]
    fn nmi(&self) -> bool {
        // SAFETY: the invariant.
        own!(self, arch.nmi_pending) != 0 && unsafe { !bindings::vmx_nmi_blocked(self.ptr()) }
    }

    #[inline(always)]
    fn interrupt(&self) -> bool {
        // SAFETY: the invariant.
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
        // SAFETY: the invariant.
        u8::try_from(unsafe { bindings::kvm_cpu_get_extint(self.ptr()) }).ok()
    }

    #[inline(always)]
    fn apic_interrupt(&self) -> Option<u8> {
        // SAFETY: the invariant.
        u8::try_from(unsafe { bindings::kvm_apic_has_interrupt(self.ptr()) }).ok()
    }

    #[cold]
    fn warn_no_interrupt(&self) {
        // SAFETY: warns, and no more.
        unsafe { bindings::vmx_events_warn_no_interrupt() }
    }

    #[inline(always)]
    fn is_posted(&self, vector: u8) -> bool {
        vmx!(self, nested.posted_intr_nv) == vector.into()
    }

    #[inline(always)]
    fn post(&mut self, vector: u8) {
        // SAFETY: the invariant.
        unsafe {
            addr_of_mut!((*self.vmx()).nested.pi_pending).write(true);
            bindings::kvm_apic_clear_irr(self.ptr(), vector.into());
        }
    }

    #[inline(always)]
    fn count(&mut self, outcome: Outcome) {
        self.0.count(outcome)
    }

    #[inline(always)]
    fn exit(&mut self, exit: Exit) {
        // SAFETY: the invariant: L2 is active.
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
        // SAFETY: the invariant: L2 is active; an exception is pending for L1.
        unsafe { bindings::nested_vmx_inject_exception_vmexit(self.ptr()) }
    }

    #[inline(always)]
    fn save_debug_trap(&mut self) {
        // SAFETY: the invariant: L2's VMCS is loaded.
        unsafe { bindings::nested_vmx_update_pending_dbg(self.ptr()) }
    }

    #[inline(always)]
    fn nmi_is_done(&mut self) {
        // SAFETY: the invariant.
        unsafe {
            field!(self, arch.nmi_pending).write(0);
            bindings::vmx_set_nmi_mask(self.ptr(), true);
        }
    }

    #[inline(always)]
    fn interrupt_is_in_service(&mut self, vector: u8) {
        // SAFETY: the invariant.
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
        // SAFETY: the invariant.
        unsafe { bindings::__vmx_interrupt_blocked(self.ptr()) }
    }

    #[inline(always)]
    fn processor_priority(&self) -> Option<u8> {
        let page = vmx!(self, nested.virtual_apic_map.hva);
        if page.is_null() {
            return None;
        }
        // SAFETY: KVM has L1's virtual-APIC page mapped; L1 may write to it.
        Some(unsafe {
            page.byte_add(bindings::KVM_EVENTS_APIC_PROCPRI as usize)
                .cast::<u32>()
                .read_volatile() as u8
        })
    }

    #[inline(always)]
    fn requesting_vector(&self) -> u8 {
        // SAFETY: the invariant: L2's VMCS is loaded.
        unsafe { bindings::vmx_events_requesting_vector() }
    }

    #[inline(always)]
    fn posted_vector(&self) -> Option<u8> {
        // SAFETY: the invariant.
        u8::try_from(unsafe { bindings::vmx_events_posted_vector(self.ptr()) }).ok()
    }
}
