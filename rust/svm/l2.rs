// SPDX-License-Identifier: GPL-2.0

//! A vCPU of SVM with L2 active, as its own thread sees it.
//!
//! What is called of C here asks for a vCPU of SVM that its thread owns and has loaded, with L2
//! active where it is about L2: the invariants of `OwnVcpu` and `SvmVcpu`.

use core::ptr::addr_of;

use crate::bindings::{self, kvm_vcpu, vcpu_svm};
use crate::event::init_sipi::Pending;
use crate::event::nested::Unfinished;
use crate::event::svm::{Exit, Vcpu};
use crate::view::{own, OwnVcpu};

/// A vCPU of SVM, with L2 active until the exit to L1 that ends the walk over its events.
///
/// # Invariants
///
/// 1. The vCPU is the first member of a `struct vcpu_svm`, which lives as long.
/// 2. L2 is active when the view is made (C: is_guest_mode()), and until exit() or
///    exit_with_exception(), after which the walk calls nothing that asks for it. So `nested.ctl` is
///    what L1 asked for, and the vCPU's thread alone writes it.
pub(crate) struct SvmVcpu<'a>(OwnVcpu<'a>);

impl SvmVcpu<'_> {
    /// The vCPU behind `ptr`.
    ///
    /// # Safety
    ///
    /// As [`OwnVcpu::from_raw`]; and the vCPU is one that svm_vcpu_create() made, with L2 active.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(ptr: *mut kvm_vcpu) -> Self {
        // INVARIANT: 1 and 2 are this function's contract: kvm-amd.ko allocates its vCPUs as
        // `vcpu_svm`.
        // SAFETY: this function's contract has that of the callee.
        Self(unsafe { OwnVcpu::from_raw(ptr) })
    }

    #[inline(always)]
    fn ptr(&self) -> *mut kvm_vcpu {
        self.0.ptr()
    }

    /// C: to_svm().
    #[inline(always)]
    fn svm(&self) -> *mut vcpu_svm {
        const { assert!(core::mem::offset_of!(vcpu_svm, vcpu) == 0) }
        self.ptr().cast()
    }
}

impl Vcpu for SvmVcpu<'_> {
    #[inline(always)]
    fn pending(&self) -> Option<Pending<'_>> {
        self.0.shared().pending()
    }

    #[inline(always)]
    fn unfinished(&self) -> Unfinished {
        #[cfg(not(linux_7))]
        // SAFETY: by invariant 1 the field is there; by invariant 1 of `OwnVcpu` no other thread writes
        // it meanwhile.
        let entry = unsafe { addr_of!((*self.svm()).nested.nested_run_pending).read() };
        #[cfg(linux_7)]
        let entry = own!(self.0, arch.nested_run_pending) != 0;
        Unfinished {
            entry,
            event: self.0.is_reinjecting(),
        }
    }

    #[inline(always)]
    fn exception_to_l1(&self) -> bool {
        own!(self.0, arch.exception_vmexit.pending)
    }

    #[inline(always)]
    fn exception_to_l2(&self) -> bool {
        own!(self.0, arch.exception.pending)
    }

    #[inline(always)]
    fn smi(&self) -> bool {
        if !cfg!(CONFIG_KVM_SMM) || !own!(self.0, arch.smi_pending) {
            return false;
        }
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`.
        unsafe { !bindings::svm_smi_blocked(self.ptr()) }
    }

    #[inline(always)]
    fn nmi(&self) -> bool {
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`.
        own!(self.0, arch.nmi_pending) != 0 && unsafe { !bindings::svm_nmi_blocked(self.ptr()) }
    }

    #[inline(always)]
    fn interrupt(&self) -> bool {
        // SAFETY: the vCPU lives, and is owned and loaded: the invariants of `OwnVcpu`.
        unsafe {
            bindings::kvm_cpu_has_interrupt(self.ptr()) != 0
                && !bindings::svm_interrupt_blocked(self.ptr())
        }
    }

    #[inline(always)]
    fn intercepts(&self, exit: Exit) -> bool {
        let nr = match exit {
            Exit::Init => bindings::KVM_EVENTS_INTERCEPT_INIT,
            Exit::Smi => bindings::KVM_EVENTS_INTERCEPT_SMI,
            Exit::Nmi => bindings::KVM_EVENTS_INTERCEPT_NMI,
            Exit::Interrupt => bindings::KVM_EVENTS_INTERCEPT_INTR,
        };
        // The four share a word of the control area.
        const WORD: usize = (bindings::KVM_EVENTS_INTERCEPT_INTR / 32) as usize;
        const {
            assert!(bindings::KVM_EVENTS_INTERCEPT_INIT as usize / 32 == WORD);
            assert!(bindings::KVM_EVENTS_INTERCEPT_SMI as usize / 32 == WORD);
            assert!(bindings::KVM_EVENTS_INTERCEPT_NMI as usize / 32 == WORD);
        }
        // SAFETY: by invariant 1 the word is there, which by invariant 2 this thread alone writes.
        let word = unsafe { addr_of!((*self.svm()).nested.ctl.intercepts[WORD]).read() };
        word & (1 << (nr % 32)) != 0
    }

    #[inline(always)]
    fn exit(&mut self, exit: Exit) {
        // SAFETY: the vCPU is owned and loaded, and by invariant 2 L2 is active.
        unsafe { bindings::svm_events_vmexit(self.ptr(), exit.code()) }
    }

    #[inline(always)]
    fn exit_with_exception(&mut self) {
        // SAFETY: L2 is active, by invariant 2. The walk has seen an exception that is pending for L1.
        unsafe { bindings::nested_svm_inject_exception_vmexit(self.ptr()) }
    }
}
