// SPDX-License-Identifier: GPL-2.0

//! Calls to the vendor module (VMX or SVM), through the static calls of `kvm_x86_ops`.
//!
//! All of them are unsafe for the same reason: the vCPU is a raw pointer that must be valid, and
//! of which the calling thread must be the owner.

// The structures are C's own: some have members without a size, which C only points to.
#![allow(improper_ctypes)]

use core::ffi::c_int;

use crate::bindings::{kvm_vcpu, kvm_x86_ops};

/// Declares the trampoline of a static call, as C's `kvm_x86_call(name)`, and checks its
/// signature against the member of `struct kvm_x86_ops`.
macro_rules! static_calls {
    ($(
        $(#[$doc:meta])*
        fn $name:ident($($arg:ident: $type:ty),*) $(-> $ret:ty)? = $symbol:literal;
    )*) => {
        extern "C" {
            $($(#[$doc])*
            #[link_name = $symbol]
            pub(crate) fn $name($($arg: $type),*) $(-> $ret)?;)*
        }
        const _: fn(&kvm_x86_ops) = |ops| {
            $(let _ = [ops.$name, Some($name as unsafe extern "C" fn($($type),*) $(-> $ret)?)];)*
        };
    };
}

static_calls! {
    /// Whether NMIs are masked.
    fn get_nmi_mask(vcpu: *mut kvm_vcpu) -> bool = "__SCT__kvm_x86_get_nmi_mask";
    /// Masks or unmasks NMIs.
    fn set_nmi_mask(vcpu: *mut kvm_vcpu, masked: bool) = "__SCT__kvm_x86_set_nmi_mask";
    /// Whether an NMI can be injected: 0, 1, or -EBUSY.
    fn nmi_allowed(vcpu: *mut kvm_vcpu, for_injection: bool) -> c_int =
        "__SCT__kvm_x86_nmi_allowed";
    /// Whether hardware holds an NMI as pending.
    fn is_vnmi_pending(vcpu: *mut kvm_vcpu) -> bool = "__SCT__kvm_x86_is_vnmi_pending";
    /// Offers an NMI to hardware.
    fn set_vnmi_pending(vcpu: *mut kvm_vcpu) -> bool = "__SCT__kvm_x86_set_vnmi_pending";
    /// Whether INIT, and SIPI with it, is blocked.
    fn apic_init_signal_blocked(vcpu: *mut kvm_vcpu) -> bool =
        "__SCT__kvm_x86_apic_init_signal_blocked";
}

extern "C" {
    #[link_name = "kvm_x86_ops"]
    static OPS: kvm_x86_ops;
}

/// Takes back the NMI that hardware holds, if the vendor has such a thing.
///
/// A member that the seams add: rare enough to be an indirect call.
///
/// # Safety
///
/// `vcpu` is valid, and the calling thread has it.
#[inline(always)]
pub(crate) unsafe fn clear_vnmi_pending(vcpu: *mut kvm_vcpu) {
    // SAFETY: written once, before a vendor module's first vCPU. The callee gets what it asks for.
    unsafe {
        if let Some(clear) = OPS.clear_vnmi_pending {
            clear(vcpu);
        }
    }
}
