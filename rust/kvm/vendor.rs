// SPDX-License-Identifier: GPL-2.0

//! Calls to the vendor module (VMX or SVM), through the static calls of `kvm_x86_ops`.
//!
//! All of them are unsafe for the same reason: the vCPU is a raw pointer that must be valid, and
//! of which the calling thread must be the owner.

// The structures are C's own: some have members without a size, which C only points to.
#![allow(improper_ctypes)]

use kernel::ffi::c_int;

use crate::bindings::{kvm_vcpu, kvm_x86_ops};

/// Declares static calls, as C's `kvm_x86_call(name)`: the trampoline, which is called, and the key,
/// which objtool must find in an object that calls the trampoline (C: __STATIC_CALL_ADDRESSABLE()).
/// Checks the signatures against the members of the structure of operations.
macro_rules! static_calls {
    (struct $ops:ident: $(
        $(#[$doc:meta])*
        fn $name:ident($($arg:ident: $type:ty),*) $(-> $ret:ty)? =
            $trampoline:literal, $key:literal;
    )*) => {
        extern "C" {
            $($(#[$doc])*
            #[link_name = $trampoline]
            pub(crate) fn $name($($arg: $type),*) $(-> $ret)?;)*
        }
        $(const _: () = {
            extern "C" {
                #[link_name = $key]
                static KEY: u8;
            }
            #[used]
            #[link_section = ".discard.addressable"]
            static ADDRESSABLE: Address = Address(&raw const KEY);
        };)*
        const _: fn(&$ops) = |ops| {
            $(let _ = [ops.$name, Some($name as unsafe extern "C" fn($($type),*) $(-> $ret)?)];)*
        };
    };
}

/// The address of a symbol; nothing reads what is there.
#[repr(transparent)]
struct Address(#[allow(dead_code)] *const u8);

// SAFETY: an address that is never used as a pointer.
unsafe impl Sync for Address {}

static_calls! {
    struct kvm_x86_ops:
    /// Whether NMIs are masked.
    fn get_nmi_mask(vcpu: *mut kvm_vcpu) -> bool =
        "__SCT__kvm_x86_get_nmi_mask", "__SCK__kvm_x86_get_nmi_mask";
    /// Whether an NMI can be injected: 0, 1, or -EBUSY.
    fn nmi_allowed(vcpu: *mut kvm_vcpu, for_injection: bool) -> c_int =
        "__SCT__kvm_x86_nmi_allowed", "__SCK__kvm_x86_nmi_allowed";
    /// Whether hardware holds an NMI as pending.
    fn is_vnmi_pending(vcpu: *mut kvm_vcpu) -> bool =
        "__SCT__kvm_x86_is_vnmi_pending", "__SCK__kvm_x86_is_vnmi_pending";
    /// Offers an NMI to hardware.
    fn set_vnmi_pending(vcpu: *mut kvm_vcpu) -> bool =
        "__SCT__kvm_x86_set_vnmi_pending", "__SCK__kvm_x86_set_vnmi_pending";
    /// Whether INIT, and SIPI with it, is blocked.
    fn apic_init_signal_blocked(vcpu: *mut kvm_vcpu) -> bool =
        "__SCT__kvm_x86_apic_init_signal_blocked", "__SCK__kvm_x86_apic_init_signal_blocked";
    /// Points a vCPU that takes a SIPI to where it starts.
    fn vcpu_deliver_sipi_vector(vcpu: *mut kvm_vcpu, vector: u8) =
        "__SCT__kvm_x86_vcpu_deliver_sipi_vector", "__SCK__kvm_x86_vcpu_deliver_sipi_vector";
}
