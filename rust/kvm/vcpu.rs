// SPDX-License-Identifier: GPL-2.0

//! Views of `struct kvm_vcpu`: what any context may touch, and what only the vCPU's thread may.
//!
//! Neither ever makes a reference to the C structure, which other contexts write to: fields are
//! reached through the raw pointer, those that are shared by atomic operations only.

use core::marker::PhantomData;
use core::ptr::{addr_of, addr_of_mut, NonNull};

use crate::bindings::{self, kvm_vcpu};
use crate::event::mp_state::{MpState, Waiter};
use crate::event::nmi::{self, Queue};
use crate::event::request::{Request, Requests, Serve};
use crate::sync::{Atomic, Bits};
use crate::vendor;

// The core's request numbers are this tree's.
const _: () = {
    assert!(Request::Event as u32 == bindings::KVM_EVENTS_REQ_EVENT);
    assert!(Request::Nmi as u32 == bindings::KVM_EVENTS_REQ_NMI);
    assert!(Request::Pmu as u32 == bindings::KVM_EVENTS_REQ_PMU);
    assert!(Request::Pmi as u32 == bindings::KVM_EVENTS_REQ_PMI);
    assert!(Request::Smi as u32 == bindings::KVM_EVENTS_REQ_SMI);
    assert!(MpState::Uninitialized as u32 == bindings::KVM_MP_STATE_UNINITIALIZED);
    assert!(MpState::InitReceived as u32 == bindings::KVM_MP_STATE_INIT_RECEIVED);
};

/// A vCPU, as any context may see it.
///
/// # Invariants
///
/// 1. `ptr` is a `struct kvm_vcpu` that lives for `'a`.
/// 2. Until then, `requests` and `arch.nmi_queued` are accessed by atomic operations only.
#[derive(Clone, Copy)]
pub(crate) struct Vcpu<'a> {
    ptr: NonNull<kvm_vcpu>,
    _life: PhantomData<&'a kvm_vcpu>,
}

impl<'a> Vcpu<'a> {
    /// The vCPU behind `ptr`.
    ///
    /// # Safety
    ///
    /// `ptr` is a `struct kvm_vcpu` that KVM has initialized and that lives for `'a`.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(ptr: *mut kvm_vcpu) -> Self {
        // SAFETY: a live structure is not at address 0.
        let ptr = unsafe { NonNull::new_unchecked(ptr) };
        // INVARIANT: 1 is the caller's promise; 2 is how C uses the two fields.
        Self {
            ptr,
            _life: PhantomData,
        }
    }

    #[inline(always)]
    fn requests(&self) -> Requests<'a> {
        // SAFETY: invariants 1 and 2.
        Requests::new(unsafe { Bits::from_ptr(addr_of_mut!((*self.ptr.as_ptr()).requests)) })
    }

    /// The NMIs that are queued for this vCPU.
    #[inline(always)]
    pub(crate) fn nmi_queue(&self) -> Queue<'a> {
        // SAFETY: invariants 1 and 2.
        let count =
            unsafe { Atomic::from_ptr(addr_of_mut!((*self.ptr.as_ptr()).arch.nmi_queued.counter)) };
        Queue::new(count, self.requests())
    }

    /// The activity state, which the vCPU's thread may be changing.
    #[inline(always)]
    pub(crate) fn waits_for_sipi(&self) -> bool {
        // SAFETY: invariant 1. As in C, a plain word that is read once.
        let raw = unsafe { addr_of!((*self.ptr.as_ptr()).arch.mp_state).read_volatile() };
        MpState::from_raw(raw as u32).is_some_and(MpState::waits_for_sipi)
    }
}

impl Waiter for Vcpu<'_> {
    #[inline(always)]
    fn has_init_or_sipi(&self) -> bool {
        // SAFETY: invariant 1; the APIC is there from the vCPU's creation to its end, or never.
        // Its pending events are written by any context, atomically.
        unsafe {
            let apic = addr_of!((*self.ptr.as_ptr()).arch.apic).read();
            !apic.is_null() && addr_of!((*apic).pending_events).read_volatile() != 0
        }
    }

    #[inline(always)]
    fn accepts_init_or_sipi(&self) -> bool {
        // SAFETY: invariant 1.
        let flags = unsafe { addr_of!((*self.ptr.as_ptr()).arch.hflags).read_volatile() };
        let smm = cfg!(CONFIG_KVM_SMM) && flags & bindings::KVM_EVENTS_HF_SMM_MASK != 0;
        // SAFETY: invariant 1.
        !smm && unsafe { !vendor::apic_init_signal_blocked(self.ptr.as_ptr()) }
    }

    #[inline(always)]
    fn has_new_protected_state(&self) -> bool {
        let mask = 1 << bindings::KVM_EVENTS_REQ_UPDATE_PROTECTED_GUEST_STATE;
        // SAFETY: invariants 1 and 2.
        unsafe { Bits::from_ptr(addr_of_mut!((*self.ptr.as_ptr()).requests)) }.load() & mask != 0
    }
}

/// A vCPU, as the thread that holds its mutex sees it.
///
/// # Invariants
///
/// The calling thread holds `vcpu->mutex`, or nobody else has the vCPU yet (its creation), so
/// that it alone touches `arch.nmi_pending`, `arch.nmi_injected` and the vendor's NMI state.
pub(crate) struct OwnVcpu<'a>(Vcpu<'a>);

impl OwnVcpu<'_> {
    /// The vCPU behind `ptr`.
    ///
    /// # Safety
    ///
    /// As [`Vcpu::from_raw`]; and the calling thread holds the vCPU's mutex, with the vCPU loaded
    /// where the vendor's NMI state is asked for.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(ptr: *mut kvm_vcpu) -> Self {
        // INVARIANT: the caller's promise.
        // SAFETY: the caller's promise.
        Self(unsafe { Vcpu::from_raw(ptr) })
    }

    #[inline(always)]
    fn ptr(&self) -> *mut kvm_vcpu {
        self.0.ptr.as_ptr()
    }
}

impl nmi::Vcpu for OwnVcpu<'_> {
    #[inline(always)]
    fn queue(&self) -> Queue<'_> {
        self.0.nmi_queue()
    }

    #[inline(always)]
    fn pending(&self) -> u32 {
        // SAFETY: the pointer is valid, and this thread alone touches the field.
        unsafe { addr_of!((*self.ptr()).arch.nmi_pending).read() }
    }

    #[inline(always)]
    fn set_pending(&mut self, count: u32) {
        // SAFETY: the pointer is valid, and this thread alone touches the field.
        unsafe { addr_of_mut!((*self.ptr()).arch.nmi_pending).write(count) }
    }

    #[inline(always)]
    fn is_injected(&self) -> bool {
        // SAFETY: the pointer is valid, and this thread alone touches the field.
        unsafe { addr_of!((*self.ptr()).arch.nmi_injected).read() }
    }

    #[inline(always)]
    fn set_injected(&mut self, injected: bool) {
        // SAFETY: the pointer is valid, and this thread alone touches the field.
        unsafe { addr_of_mut!((*self.ptr()).arch.nmi_injected).write(injected) }
    }

    #[inline(always)]
    fn is_masked(&self) -> bool {
        // SAFETY: the pointer is valid, and this thread has the vCPU.
        unsafe { vendor::get_nmi_mask(self.ptr()) }
    }

    #[inline(always)]
    fn set_masked(&mut self, masked: bool) {
        // SAFETY: the pointer is valid, and this thread has the vCPU.
        unsafe { vendor::set_nmi_mask(self.ptr(), masked) }
    }

    #[inline(always)]
    fn is_held(&self) -> bool {
        // SAFETY: the pointer is valid, and this thread has the vCPU.
        unsafe { vendor::is_vnmi_pending(self.ptr()) }
    }

    #[inline(always)]
    fn hold(&mut self) -> bool {
        // SAFETY: the pointer is valid, and this thread has the vCPU.
        unsafe { vendor::set_vnmi_pending(self.ptr()) }
    }

    #[inline(always)]
    fn take_back(&mut self) {
        // SAFETY: the pointer is valid, and this thread has the vCPU.
        unsafe { vendor::clear_vnmi_pending(self.ptr()) }
    }

    #[inline(always)]
    fn is_allowed(&self) -> bool {
        // SAFETY: the pointer is valid, and this thread has the vCPU. -EBUSY counts as yes, as
        // in C: the event is there, and what it waits for is about to happen.
        unsafe { vendor::nmi_allowed(self.ptr(), false) != 0 }
    }
}

impl Serve for OwnVcpu<'_> {
    #[inline(always)]
    fn requests(&self) -> Requests<'_> {
        self.0.requests()
    }

    #[inline(always)]
    fn pmu(&mut self) {
        // SAFETY: the pointer is valid, and this thread has the vCPU loaded.
        unsafe { bindings::kvm_pmu_handle_event(self.ptr()) }
    }

    #[inline(always)]
    fn pmi(&mut self) {
        // SAFETY: the pointer is valid, and this thread has the vCPU loaded.
        unsafe { bindings::kvm_pmu_deliver_pmi(self.ptr()) }
    }

    #[inline(always)]
    fn smi(&mut self) {
        #[cfg(CONFIG_KVM_SMM)]
        // SAFETY: the pointer is valid, and this thread has the vCPU loaded.
        unsafe {
            bindings::process_smi(self.ptr())
        }
    }

    #[inline(always)]
    fn nmi(&mut self) {
        nmi::collect(self)
    }
}
