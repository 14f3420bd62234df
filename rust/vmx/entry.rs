// SPDX-License-Identifier: GPL-2.0

//! Every function of kvm-intel.ko that C calls. See `../kvm/entry.rs`.

use kernel::error::code::EBUSY;
use kernel::ffi::c_int;

use crate::bindings::{self, kvm_vcpu};
use crate::event::nested::{self, Outcome};
use crate::event::vmx;
use crate::l2::VmxVcpu;

export! {
    /// Whether L2 has an event that the rest of KVM does not know of.
    ///
    /// # Safety
    ///
    /// `vcpu` is a live vCPU of VMX with L2 active, which the calling thread has loaded.
    fn rust_vmx_has_nested_events(vcpu: *mut kvm_vcpu, for_injection: bool) -> bool {
        // SAFETY: the caller's promise.
        vmx::has_events(&unsafe { VmxVcpu::from_raw(vcpu) }, for_injection)
    }

    /// Gives L1 the events that are pending while L2 runs and that L1 intercepts: 0, -EBUSY if one
    /// has to wait, or another error.
    ///
    /// # Safety
    ///
    /// `vcpu` is a live vCPU of VMX with L2 active, which the calling thread has loaded.
    fn rust_vmx_check_nested_events(vcpu: *mut kvm_vcpu) -> c_int {
        // SAFETY: the caller's promise.
        match nested::walk(&mut vmx::L2(&mut unsafe { VmxVcpu::from_raw(vcpu) })) {
            Outcome::Done => 0,
            Outcome::Busy => EBUSY.to_errno(),
            // SAFETY: the caller's promise.
            Outcome::NotForL1 => unsafe { bindings::vmx_complete_nested_posted_interrupt(vcpu) },
        }
    }
}
