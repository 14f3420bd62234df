// SPDX-License-Identifier: GPL-2.0

//! Every function that C calls: make the view, ask the core, apply.
//!
//! They are unsafe for the same reason: `vcpu` is a live `struct kvm_vcpu`. Where the vCPU's own
//! thread is asked for, it holds `vcpu->mutex` and has the vCPU loaded.

use crate::bindings::{self, kvm_vcpu, kvm_vcpu_events};
use crate::event::{mp_state, nmi, request};
use crate::vcpu::{OwnVcpu, Vcpu};

/// Defines functions for C, each with the signature of its declaration in a header: that of
/// bindgen is the other element of an array (7.x: `#[export]`, which knows only the kernel
/// crate's own bindings).
macro_rules! export {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) $(-> $ret:ty)? $body:block)*) => {
        $($(#[$doc])*
        #[no_mangle]
        unsafe extern "C" fn $name($($arg: $type),*) $(-> $ret)? $body
        const _: () = {
            let _ = if true { bindings::$name } else { $name };
        };)*
    };
}

export! {
    /// Queues one NMI. Any context; the caller kicks.
    fn kvm_inject_nmi(vcpu: *mut kvm_vcpu) {
        // SAFETY: C passes a live vCPU.
        unsafe { Vcpu::from_raw(vcpu) }.nmi_queue().push()
    }

    /// Serves PMU, PMI, SMI and NMI requests. The vCPU's thread, before VM-Enter.
    fn kvm_service_events(vcpu: *mut kvm_vcpu) {
        // SAFETY: C passes a live vCPU, on its thread.
        let mut vcpu = unsafe { OwnVcpu::from_raw(vcpu) };
        request::serve(&mut vcpu)
    }

    /// Moves queued NMIs to pending ones. The vCPU's thread.
    fn kvm_nmi_collect(vcpu: *mut kvm_vcpu) {
        // SAFETY: C passes a live vCPU, on its thread.
        nmi::collect(&mut unsafe { OwnVcpu::from_raw(vcpu) })
    }

    /// Drops all NMIs at INIT and RESET. The vCPU's thread, or its creation.
    fn kvm_nmi_reset(vcpu: *mut kvm_vcpu) {
        // SAFETY: C passes a live vCPU, on its thread.
        nmi::reset(&mut unsafe { OwnVcpu::from_raw(vcpu) })
    }

    /// Whether an NMI keeps the vCPU from sleeping. The vCPU's thread.
    fn kvm_nmi_has_event(vcpu: *mut kvm_vcpu) -> bool {
        // SAFETY: C passes a live vCPU, on its thread (directed yield asks something else).
        nmi::has_event(&unsafe { OwnVcpu::from_raw(vcpu) })
    }

    /// The NMI part of KVM_GET_VCPU_EVENTS. The vCPU's thread, after kvm_nmi_collect().
    fn kvm_nmi_save(vcpu: *mut kvm_vcpu, events: *mut kvm_vcpu_events) {
        // SAFETY: C passes a live vCPU, on its thread.
        let state = nmi::save(&unsafe { OwnVcpu::from_raw(vcpu) });
        // SAFETY: C passes events that are its own.
        let to = unsafe { &mut (*events).nmi };
        to.injected = state.injected.into();
        to.pending = state.pending;
        to.masked = state.masked.into();
    }

    /// The NMI part of KVM_SET_VCPU_EVENTS. The vCPU's thread, after kvm_nmi_collect().
    fn kvm_nmi_restore(vcpu: *mut kvm_vcpu, events: *const kvm_vcpu_events) {
        // SAFETY: C passes events that are its own.
        let (from, flags) = unsafe { (&(*events).nmi, (*events).flags) };
        let state = nmi::Saved {
            injected: from.injected != 0,
            pending: from.pending,
            masked: from.masked != 0,
        };
        let pending_is_valid = flags & bindings::KVM_VCPUEVENT_VALID_NMI_PENDING != 0;
        // SAFETY: C passes a live vCPU, on its thread.
        nmi::restore(&mut unsafe { OwnVcpu::from_raw(vcpu) }, state, pending_is_valid)
    }

    /// Whether only INIT and SIPI lead out of the vCPU's state. Any context.
    fn kvm_waits_for_sipi(vcpu: *mut kvm_vcpu) -> bool {
        // SAFETY: C passes a live vCPU.
        unsafe { Vcpu::from_raw(vcpu) }.waits_for_sipi()
    }

    /// Whether a vCPU that waits for SIPI has what it waits for.
    fn kvm_sipi_wait_is_over(vcpu: *mut kvm_vcpu) -> bool {
        // SAFETY: C passes a live vCPU.
        mp_state::wait_is_over(&unsafe { Vcpu::from_raw(vcpu) })
    }
}
