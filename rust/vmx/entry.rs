// SPDX-License-Identifier: GPL-2.0

//! Every function of kvm-intel.ko that C calls. See `../kvm/entry.rs`.

use core::ffi::c_int;

use crate::bindings::{self, kvm_vcpu};
use crate::event::nested::{self, Outcome};
use crate::event::vmx;
use crate::l2::{VmxOwner, VmxVcpu};

export! {
    /// Whether VMX root operation blocks INIT. The vCPU's thread.
    fn vmx_apic_init_signal_blocked(vcpu: *mut kvm_vcpu) -> bool {
        // SAFETY: C passes a live vCPU of VMX, on its thread.
        let vcpu = unsafe { VmxOwner::from_raw(vcpu) };
        vmx::blocks_init(vcpu.is_vmx_on(), vcpu.is_guest_mode())
    }

    /// Whether L2 has an event that the rest of KVM doesn't know of. The vCPU's thread.
    fn vmx_has_nested_events(vcpu: *mut kvm_vcpu, for_injection: bool) -> bool {
        // SAFETY: C passes a live vCPU of VMX, on its thread, with L2 active.
        vmx::has_events(&unsafe { VmxVcpu::from_raw(vcpu) }, for_injection)
    }

    /// Gives L1 what it wants of the events that are pending while L2 runs: 0, -EBUSY if it has
    /// to wait, or another error. The vCPU's thread.
    fn vmx_check_nested_events(vcpu: *mut kvm_vcpu) -> c_int {
        // SAFETY: C passes a live vCPU of VMX, on its thread, with L2 active.
        match nested::walk(&mut vmx::L2(&mut unsafe { VmxVcpu::from_raw(vcpu) })) {
            Outcome::Done => 0,
            Outcome::Busy => -(bindings::EBUSY as c_int),
            // SAFETY: C passes a live vCPU of VMX, on its thread, with L2 active.
            Outcome::NotForL1 => unsafe { bindings::vmx_complete_nested_posted_interrupt(vcpu) },
        }
    }
}
