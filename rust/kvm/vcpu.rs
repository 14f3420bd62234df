// SPDX-License-Identifier: GPL-2.0

//! A vCPU, as the core's decisions on NMI, INIT, SIPI and service see it.
//!
//! What is called of C here asks for one thing: a vCPU that lives, whose mutex the calling thread
//! holds (or which it is creating), and which it has loaded. Those are invariant 1 of `Vcpu` and
//! invariants 1 and 2 of `OwnVcpu`.

use core::ptr::addr_of;

use crate::bindings;
use crate::event::init_sipi::{self, Blocker, Init, Nested, Outcome, Pending, Sipi};
use crate::event::mp_state::{MpState, Waiter};
use crate::event::nmi::{self, Queue};
use crate::event::request::{Requests, Serve};
use crate::sync::read_once;
use crate::vendor;
use crate::view::{own, store, OwnVcpu, Vcpu};

impl Vcpu<'_> {
    /// Makes the vCPU look at its requests.
    #[inline(always)]
    pub(crate) fn kick(self) {
        #[cfg(not(linux_7))]
        // SAFETY: asks for a vCPU that lives, which is invariant 1 of `Vcpu`.
        unsafe {
            bindings::kvm_vcpu_kick(self.ptr())
        }
        #[cfg(linux_7)]
        // SAFETY: asks for a vCPU that lives, which is invariant 1 of `Vcpu`.
        unsafe {
            bindings::__kvm_vcpu_kick(self.ptr(), false)
        }
    }
}

impl Waiter for OwnVcpu<'_> {
    #[inline(always)]
    fn has_init_or_sipi(&self) -> bool {
        self.shared().pending().is_some_and(|p| p.any())
    }

    #[inline(always)]
    fn accepts_init_or_sipi(&self) -> bool {
        init_sipi::Vcpu::blocker(self).is_none()
    }

    #[inline(always)]
    fn has_new_protected_state(&self) -> bool {
        let mask = 1 << bindings::KVM_EVENTS_REQ_UPDATE_PROTECTED_GUEST_STATE;
        self.shared().request_bits().load() & mask != 0
    }
}

impl nmi::Vcpu for OwnVcpu<'_> {
    #[inline(always)]
    fn queue(&self) -> Queue<'_> {
        self.shared().nmi_queue()
    }

    #[inline(always)]
    fn pending(&self) -> u32 {
        own!(self, arch.nmi_pending)
    }

    #[inline(always)]
    fn set_pending(&mut self, count: u32) {
        // Whole: debugfs shows it.
        store!(self, arch.nmi_pending = count)
    }

    #[inline(always)]
    fn is_injected(&self) -> bool {
        own!(self, arch.nmi_injected)
    }

    #[inline(always)]
    fn clear_injected(&mut self) {
        // Whole: debugfs shows it.
        store!(self, arch.nmi_injected = false)
    }

    #[inline(always)]
    fn is_masked(&self) -> bool {
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`.
        unsafe { vendor::get_nmi_mask(self.ptr()) }
    }

    #[inline(always)]
    fn is_held(&self) -> bool {
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`.
        unsafe { vendor::is_vnmi_pending(self.ptr()) }
    }

    #[inline(always)]
    fn hold(&mut self) -> bool {
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`.
        unsafe { vendor::set_vnmi_pending(self.ptr()) }
    }

    #[inline(always)]
    fn take_back(&mut self) {
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`.
        unsafe { bindings::kvm_events_clear_vnmi_pending(self.ptr()) }
    }

    #[inline(always)]
    fn is_allowed(&self) -> bool {
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`. -EBUSY
        // counts as yes, as in C: the event is there, and what it waits for is about to happen.
        unsafe { vendor::nmi_allowed(self.ptr(), false) != 0 }
    }
}

impl Serve for OwnVcpu<'_> {
    #[inline(always)]
    fn requests(&self) -> Requests<'_> {
        self.shared().requests()
    }

    #[inline(always)]
    fn pmu(&mut self) {
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`.
        unsafe { bindings::kvm_pmu_handle_event(self.ptr()) }
    }

    #[inline(always)]
    fn pmi(&mut self) {
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`.
        unsafe { bindings::kvm_pmu_deliver_pmi(self.ptr()) }
    }

    #[inline(always)]
    fn smi(&mut self) {
        #[cfg(CONFIG_KVM_SMM)]
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`.
        unsafe {
            bindings::process_smi(self.ptr())
        }
    }

    /// By a call, the last that service makes: a jump, and registers that the others needn't save.
    #[inline(always)]
    fn nmi(&mut self) {
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`.
        unsafe { bindings::rust_process_nmi(self.ptr()) }
    }
}

impl init_sipi::Vcpu for OwnVcpu<'_> {
    #[inline(always)]
    fn pending(&self) -> Option<Pending<'_>> {
        self.shared().pending()
    }

    #[inline(always)]
    fn requests(&self) -> Requests<'_> {
        self.shared().requests()
    }

    #[inline(always)]
    fn is_guest_mode(&self) -> bool {
        self.shared().is_guest_mode()
    }

    #[inline(always)]
    fn check_nested_events(&mut self) -> Nested {
        const BUSY: i32 = -(bindings::EBUSY as i32);
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`. That L2 is
        // active, its only caller has seen: init_sipi::accept().
        match unsafe { bindings::kvm_check_nested_events(self.ptr()) } {
            BUSY => Nested::Busy,
            error if error < 0 => Nested::Failed(error),
            _ => Nested::Checked,
        }
    }

    #[inline(always)]
    fn blocker(&self) -> Option<Blocker> {
        if self.shared().is_smm() {
            return Some(Blocker::Smm);
        }
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`.
        if !unsafe { vendor::apic_init_signal_blocked(self.ptr()) } {
            return None;
        }
        // SAFETY: asks for nothing: looks at the processor.
        Some(if unsafe { bindings::kvm_events_init_waits_for_gif() } {
            Blocker::Gif
        } else {
            Blocker::Root
        })
    }

    #[inline(always)]
    fn keeps_sipi(&self) -> bool {
        // SAFETY: a static of this module, which a write to the parameter's file changes whole.
        unsafe { read_once(addr_of!(bindings::kvm_sipi_behind_init)) }
    }

    #[inline(always)]
    fn takes_sipi_after_reset(&self) -> bool {
        // SAFETY: a static of this module, which a write to the parameter's file changes whole.
        unsafe { read_once(addr_of!(bindings::kvm_sipi_after_reset)) }
    }

    #[inline(always)]
    fn is_bsp(&self) -> bool {
        // SAFETY: asks for a vCPU that lives, which is invariant 1 of `Vcpu`.
        unsafe { bindings::kvm_vcpu_is_bsp(self.ptr()) }
    }

    #[inline(always)]
    fn mp_state(&self) -> Option<MpState> {
        self.shared().mp_state()
    }

    /// C: kvm_set_mp_state() on 7.x, where entering RUNNABLE clears pv_unhalted.
    #[inline(always)]
    fn set_mp_state(&mut self, state: MpState) {
        store!(self, arch.mp_state = state as i32);
        if cfg!(linux_7) && state == MpState::Runnable {
            // Whole: a sender of APIC_DM_REMRD writes it too.
            store!(self, arch.pv.pv_unhalted = false);
        }
    }

    #[inline(always)]
    fn reset(&mut self, _: Init) {
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`.
        unsafe { bindings::kvm_vcpu_reset(self.ptr(), true) }
    }

    #[inline(always)]
    fn start(&mut self, sipi: Sipi) {
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`.
        unsafe { vendor::vcpu_deliver_sipi_vector(self.ptr(), sipi.vector) }
    }

    #[inline(always)]
    fn count(&mut self, outcome: Outcome) {
        OwnVcpu::count(self, outcome)
    }
}
