// SPDX-License-Identifier: GPL-2.0

//! Every function of kvm-amd.ko that C calls. See `../kvm/entry.rs`.

use kernel::error::code::EBUSY;
use kernel::ffi::c_int;

use crate::bindings::{self, kvm_vcpu};
use crate::event::nested::{self, Outcome};
use crate::event::svm;
use crate::l2::SvmVcpu;

export! {
    /// Gives L1 the events that are pending while L2 runs and that L1 intercepts: 0, or -EBUSY if
    /// one has to wait.
    ///
    /// # Safety
    ///
    /// `vcpu` is a live vCPU of SVM with L2 active, which the calling thread has loaded.
    fn rust_svm_check_nested_events(vcpu: *mut kvm_vcpu) -> c_int {
        // SAFETY: the caller's promise.
        match nested::walk(&mut svm::L2(&mut unsafe { SvmVcpu::from_raw(vcpu) })) {
            Outcome::Done | Outcome::NotForL1 => 0,
            Outcome::Busy => EBUSY.to_errno(),
        }
    }
}
