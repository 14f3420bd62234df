// SPDX-License-Identifier: GPL-2.0

//! Calls to the vendor module (VMX or SVM), through the static calls of `kvm_x86_ops`.
//!
//! All of them are unsafe for the same reason: the vCPU is a raw pointer that must be valid, and
//! of which the calling thread must be the owner.

// The structures are C's own: some have members without a size, which C only points to.
#![allow(improper_ctypes)]

use core::ffi::c_int;
use core::ptr::addr_of;

use crate::bindings::{kvm_pmu_ops, kvm_vcpu, kvm_x86_ops};

/// Declares the trampolines of static calls, as C's `kvm_x86_call(name)`, and checks their
/// signatures against the members of the structure of operations.
macro_rules! static_calls {
    (struct $ops:ident: $(
        $(#[$doc:meta])*
        fn $name:ident($($arg:ident: $type:ty),*) $(-> $ret:ty)? = $symbol:literal;
    )*) => {
        extern "C" {
            $($(#[$doc])*
            #[link_name = $symbol]
            pub(crate) fn $name($($arg: $type),*) $(-> $ret)?;)*
        }
        const _: fn(&$ops) = |ops| {
            $(let _ = [ops.$name, Some($name as unsafe extern "C" fn($($type),*) $(-> $ret)?)];)*
        };
    };
}

static_calls! {
    struct kvm_x86_ops:
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
    /// Points a vCPU that takes a SIPI to where it starts.
    fn vcpu_deliver_sipi_vector(vcpu: *mut kvm_vcpu, vector: u8) =
        "__SCT__kvm_x86_vcpu_deliver_sipi_vector";
}

static_calls! {
    struct kvm_pmu_ops:
    /// What the vendor does before a PMI is delivered.
    fn deliver_pmi(vcpu: *mut kvm_vcpu) = "__SCT__kvm_x86_pmu_deliver_pmi";
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

/// Whether what blocks INIT at this vendor's vCPUs is the global interrupt flag.
#[inline(always)]
pub(crate) fn init_waits_for_gif() -> bool {
    // SAFETY: written once, before a vendor module's first vCPU.
    unsafe { addr_of!(OPS.init_waits_for_gif).read() }
}
