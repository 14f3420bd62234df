// SPDX-License-Identifier: GPL-2.0

//! Every function of kvm-amd.ko that C calls. See `../kvm/entry.rs`.

use core::ffi::c_int;

use crate::bindings::{self, kvm_vcpu};
use crate::event::nested::{self, Outcome};
use crate::event::svm;
use crate::l2::SvmVcpu;

export! {
    /// Whether the global interrupt flag blocks INIT. The vCPU's thread.
    fn svm_apic_init_signal_blocked(vcpu: *mut kvm_vcpu) -> bool {
        // SAFETY: C passes a live vCPU of SVM.
        svm::blocks_init(unsafe { bindings::svm_events_gif(vcpu) })
    }

    /// Gives L1 what it wants of the events that are pending while L2 runs: 0, or -EBUSY if it
    /// has to wait. The vCPU's thread.
    fn svm_check_nested_events(vcpu: *mut kvm_vcpu) -> c_int {
        // SAFETY: C passes a live vCPU of SVM, on its thread, with L2 active.
        match nested::walk(&mut svm::L2(&mut unsafe { SvmVcpu::from_raw(vcpu) })) {
            Outcome::Done | Outcome::NotForL1 => 0,
            Outcome::Busy => -(bindings::EBUSY as c_int),
        }
    }
}
