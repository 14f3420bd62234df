// SPDX-License-Identifier: GPL-2.0

//! Views of `struct kvm_vcpu`: what any context may touch, and what only the vCPU's thread may.
//!
//! Shared by kvm.ko, kvm-intel.ko and kvm-amd.ko, each of which uses its part. Neither view ever
//! makes a reference to the C structure, which other contexts write to: fields are reached through
//! the raw pointer. What other contexts access too, Rust accesses by atomic operations, whole loads
//! and whole stores only, on either side; what the vCPU's thread alone accesses, it accesses plainly.

use core::marker::PhantomData;
use core::mem::{align_of, size_of};
use core::ptr::{addr_of_mut, NonNull};

use crate::bindings::{self, kvm_lapic, kvm_queued_exception, kvm_vcpu};
use crate::event::init_sipi::{Outcome, Pending};
use crate::event::mode::{Mode, ModeWord};
use crate::event::mp_state::MpState;
use crate::event::nmi::Queue;
use crate::event::request::{self, Request, Requests};
use crate::event::state::Counts;
use crate::sync::{Atomic, Bits, Word};

// The core's numbers are this tree's.
const _: () = {
    assert!(Request::Event as u32 == bindings::KVM_EVENTS_REQ_EVENT);
    assert!(Request::Nmi as u32 == bindings::KVM_EVENTS_REQ_NMI);
    assert!(Request::Pmu as u32 == bindings::KVM_EVENTS_REQ_PMU);
    assert!(Request::Pmi as u32 == bindings::KVM_EVENTS_REQ_PMI);
    #[cfg(CONFIG_KVM_SMM)]
    assert!(Request::Smi as u32 == bindings::KVM_EVENTS_REQ_SMI);
    let served = if cfg!(CONFIG_KVM_SMM) {
        request::SERVED
    } else {
        request::SERVED & !Request::Smi.mask()
    };
    assert!(served == bindings::KVM_EVENTS_SERVED_BITS);
    assert!(MpState::Runnable as u32 == bindings::KVM_MP_STATE_RUNNABLE);
    assert!(MpState::Uninitialized as u32 == bindings::KVM_MP_STATE_UNINITIALIZED);
    assert!(MpState::InitReceived as u32 == bindings::KVM_MP_STATE_INIT_RECEIVED);
    assert!(MpState::Halted as u32 == bindings::KVM_MP_STATE_HALTED);
    assert!(MpState::SipiReceived as u32 == bindings::KVM_MP_STATE_SIPI_RECEIVED);
    assert!(MpState::ApResetHold as u32 == bindings::KVM_MP_STATE_AP_RESET_HOLD);
    assert!(Mode::OutsideGuest as u32 == bindings::KVM_EVENTS_OUTSIDE_GUEST_MODE);
    assert!(Mode::InGuest as u32 == bindings::KVM_EVENTS_IN_GUEST_MODE);
    assert!(Mode::ExitingGuest as u32 == bindings::KVM_EVENTS_EXITING_GUEST_MODE);
    assert!(
        Mode::ReadingShadowPageTables as u32 == bindings::KVM_EVENTS_READING_SHADOW_PAGE_TABLES
    );
    assert!(bindings::KVM_EVENTS_APIC_INIT == 0 && bindings::KVM_EVENTS_APIC_SIPI == 1);
};

/// `ptr` as a pointer to what is the same under another name: C's `unsigned long` is a u64 or a
/// usize for bindgen, by the tree, and its `int` an i32. Other sizes don't compile.
#[inline(always)]
pub(crate) const fn same<T, U>(ptr: *mut T) -> *mut U {
    const { assert!(size_of::<T>() == size_of::<U>() && align_of::<T>() == align_of::<U>()) }
    ptr.cast()
}

/// The address of a field of a view's vCPU. Unsafe: asks that the vCPU lives, which is invariant 1
/// of `Vcpu`.
macro_rules! field {
    ($view:expr, $($field:tt)+) => {
        core::ptr::addr_of_mut!((*$view.ptr()).$($field)+)
    };
}

/// A whole load of a field that another context may be writing (C: READ_ONCE()).
macro_rules! shared {
    ($view:expr, $($field:tt)+) => {
        // SAFETY: by invariant 1 of `Vcpu` the field is there; C aligns it, and writes it whole.
        unsafe { $crate::sync::read_once($crate::view::field!($view, $($field)+)) }
    };
}

/// A load of a field that the vCPU's thread alone writes; of an [`OwnVcpu`].
macro_rules! own {
    ($own:expr, $($field:tt)+) => {{
        let own: &$crate::view::OwnVcpu<'_> = &$own;
        // SAFETY: by invariant 1 of `Vcpu` the field is there, and by invariant 1 of `OwnVcpu`
        // no other thread writes it meanwhile.
        unsafe { $crate::view::field!(own, $($field)+).read() }
    }};
}

/// A whole store to a field that the vCPU's thread writes and other contexts read, or write whole
/// as well (C: WRITE_ONCE()); of an [`OwnVcpu`].
macro_rules! store {
    ($own:expr, $($field:ident).+ = $value:expr) => {{
        let own: &mut $crate::view::OwnVcpu<'_> = $own;
        // SAFETY: by invariant 1 of `Vcpu` the field is there; C aligns it. Others access it whole:
        // a word, or it doesn't compile.
        unsafe { $crate::sync::write_once($crate::view::field!(own, $($field).+), $value) }
    }};
}

pub(crate) use {field, own, shared, store};

/// A vCPU, as any context may see it.
///
/// # Invariants
///
/// 1. `ptr` is a `struct kvm_vcpu` that lives for `'a`, and so does its local APIC, if it has one
///    (C allocates it before, and frees it after, anybody else has the vCPU).
/// 2. For `'a`, everybody accesses `requests`, `mode`, `arch.nmi_queued`, and the APIC's
///    `pending_events` and `sipi_vector`, by atomic operations, whole loads and whole stores only:
///    Rust by the views, C by its bit operations, READ_ONCE(), WRITE_ONCE(), and plain loads and
///    stores of a word, which LKMM takes to be whole.
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
    /// `ptr` is a `struct kvm_vcpu` that lives for `'a`: zeroed when it was allocated, and its local
    /// APIC created, if it gets one.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(ptr: *mut kvm_vcpu) -> Self {
        // SAFETY: by this function's contract `ptr` points to a live structure, which is not at
        // address 0.
        let ptr = unsafe { NonNull::new_unchecked(ptr) };
        // INVARIANT: 1 is this function's contract. 2 is how KVM's C accesses the fields, in both
        // lines (Documentation/soundness.rst).
        Self {
            ptr,
            _life: PhantomData,
        }
    }

    #[inline(always)]
    pub(crate) fn ptr(self) -> *mut kvm_vcpu {
        self.ptr.as_ptr()
    }

    /// What is requested of the vCPU.
    #[inline(always)]
    pub(crate) fn requests(self) -> Requests<'a> {
        Requests::new(self.request_bits())
    }

    /// The requests as bits, those of other parts of KVM too.
    #[inline(always)]
    pub(crate) fn request_bits(self) -> &'a Bits {
        // SAFETY: `requests` is an aligned u64, valid for 'a by invariant 1, and accessed whole or
        // atomically by invariant 2.
        unsafe { Bits::from_ptr(same(field!(self, requests))) }
    }

    /// The NMIs that are queued for this vCPU.
    #[inline(always)]
    pub(crate) fn nmi_queue(self) -> Queue<'a> {
        // SAFETY: `nmi_queued` is an atomic_t, so aligned; valid for 'a by invariant 1, and accessed
        // atomically by invariant 2.
        let count = unsafe { Atomic::from_ptr(field!(self, arch.nmi_queued.counter)) };
        Queue::new(count, self.requests())
    }

    /// The vCPU's mode.
    #[inline(always)]
    pub(crate) fn mode(self) -> ModeWord<'a> {
        // SAFETY: `mode` is an aligned int, valid for 'a by invariant 1, and accessed whole or
        // atomically by invariant 2.
        ModeWord::new(unsafe { Word::from_ptr(same(field!(self, mode))) })
    }

    /// The activity state, which the vCPU's thread may be changing.
    #[inline(always)]
    pub(crate) fn mp_state(self) -> Option<MpState> {
        MpState::from_raw(shared!(self, arch.mp_state) as u32)
    }

    /// Whether only INIT and SIPI lead out of that state.
    #[inline(always)]
    pub(crate) fn waits_for_sipi(self) -> bool {
        self.mp_state().is_some_and(MpState::waits_for_sipi)
    }

    /// The vCPU's local APIC, if it is in the kernel.
    #[inline(always)]
    pub(crate) fn apic(self) -> Option<NonNull<kvm_lapic>> {
        // Written once, before anybody else has the vCPU.
        NonNull::new(shared!(self, arch.apic))
    }

    /// What is pending at that APIC.
    #[inline(always)]
    pub(crate) fn pending(self) -> Option<Pending<'a>> {
        let apic = self.apic()?.as_ptr();
        // SAFETY: both are aligned, valid for 'a, as long as which the APIC lives, by invariant 1,
        // and accessed whole or atomically by invariant 2.
        let (events, vector) = unsafe {
            (
                Bits::from_ptr(same(addr_of_mut!((*apic).pending_events))),
                Word::from_ptr(same(addr_of_mut!((*apic).sipi_vector))),
            )
        };
        Some(Pending::new(events, vector))
    }

    /// Whether L2 is active (C: is_guest_mode()).
    #[inline(always)]
    pub(crate) fn is_guest_mode(self) -> bool {
        shared!(self, arch.hflags) & bindings::KVM_EVENTS_HF_GUEST_MASK != 0
    }

    /// Whether the vCPU is in system-management mode (C: is_smm()).
    #[inline(always)]
    #[cfg(CONFIG_KVM_SMM)]
    pub(crate) fn is_smm(self) -> bool {
        shared!(self, arch.hflags) & bindings::KVM_EVENTS_HF_SMM_MASK != 0
    }

    /// Without CONFIG_KVM_SMM no vCPU is in system-management mode.
    #[inline(always)]
    #[cfg(not(CONFIG_KVM_SMM))]
    pub(crate) fn is_smm(self) -> bool {
        false
    }

    /// What came of INITs and SIPIs: each count whole, not all at one moment.
    #[inline(always)]
    pub(crate) fn counts(self) -> Counts {
        Counts {
            init_latched: shared!(self, arch.event_counts.init_latched),
            init_taken: shared!(self, arch.event_counts.init_taken),
            sipi_taken: shared!(self, arch.event_counts.sipi_taken),
            sipi_blocked: shared!(self, arch.event_counts.sipi_blocked),
            sipi_not_awaited: shared!(self, arch.event_counts.sipi_not_awaited),
            init_waits: shared!(self, arch.event_counts.init_waits),
        }
    }
}

/// A vCPU, as the thread that holds its mutex sees it.
///
/// Not exclusive: what Rust calls in C makes its own from the same pointer. Nothing is borrowed from
/// the structure, so that none is the worse for it.
///
/// # Invariants
///
/// 1. Until the view is dropped, the calling thread holds `vcpu->mutex`, or is still creating the
///    vCPU, which nobody else has. So it alone writes whatever of the vCPU [`Vcpu`] doesn't share.
/// 2. The calling thread has the vCPU loaded, from vcpu_load() to vcpu_put(): the vendor's state
///    (VMCS, VMCB) that C reaches from the vCPU is this vCPU's.
pub(crate) struct OwnVcpu<'a>(Vcpu<'a>);

impl<'a> OwnVcpu<'a> {
    /// The vCPU behind `ptr`. Where lockdep is on, it looks whether the mutex is held.
    ///
    /// # Safety
    ///
    /// As [`Vcpu::from_raw`]; and until the view is dropped, the calling thread holds the vCPU's
    /// mutex and has the vCPU loaded.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(ptr: *mut kvm_vcpu) -> Self {
        #[cfg(CONFIG_LOCKDEP)]
        // SAFETY: by this function's contract the vCPU lives. Only looks.
        unsafe {
            crate::assert_owner(ptr)
        }
        // SAFETY: this function's contract is more than the callee's.
        unsafe { Self::from_new(ptr) }
    }

    /// The vCPU behind `ptr`, which may be one that is being created: kvm_vcpu_reset() sees it before
    /// there is a reason to take its mutex.
    ///
    /// # Safety
    ///
    /// As [`Vcpu::from_raw`]; and until the view is dropped, the calling thread has the vCPU loaded,
    /// and holds its mutex or is in kvm_arch_vcpu_create().
    #[inline(always)]
    pub(crate) unsafe fn from_new(ptr: *mut kvm_vcpu) -> Self {
        // INVARIANT: 1 and 2 are this function's contract.
        // SAFETY: this function's contract has that of the callee.
        Self(unsafe { Vcpu::from_raw(ptr) })
    }

    #[inline(always)]
    pub(crate) fn ptr(&self) -> *mut kvm_vcpu {
        self.0.ptr()
    }

    /// The vCPU as any context sees it.
    #[inline(always)]
    pub(crate) fn shared(&self) -> Vcpu<'a> {
        self.0
    }

    /// Whether an event must be injected again (C: kvm_event_needs_reinjection()).
    #[inline(always)]
    pub(crate) fn is_reinjecting(&self) -> bool {
        own!(self, arch.exception.injected)
            || own!(self, arch.interrupt.injected)
            || own!(self, arch.nmi_injected)
    }

    /// The exception that is pending, for whoever runs.
    #[inline(always)]
    pub(crate) fn exception(&self) -> Option<kvm_queued_exception> {
        // Copied only if it is there.
        own!(self, arch.exception.pending).then(|| own!(self, arch.exception))
    }

    /// The exception that is pending as an exit to L1.
    #[inline(always)]
    pub(crate) fn exception_vmexit(&self) -> Option<kvm_queued_exception> {
        // Copied only if it is there.
        own!(self, arch.exception_vmexit.pending).then(|| own!(self, arch.exception_vmexit))
    }

    /// Counts what came of an INIT or a SIPI.
    #[inline(always)]
    pub(crate) fn count(&mut self, outcome: Outcome) {
        if !Counts::is_counted(outcome, own!(self, arch.event_counts.init_waits)) {
            return;
        }
        macro_rules! add_one {
            ($count:ident) => {{
                let count = own!(self, arch.event_counts.$count);
                store!(self, arch.event_counts.$count = count.wrapping_add(1))
            }};
        }
        match outcome {
            Outcome::InitLatched => add_one!(init_latched),
            Outcome::InitTaken => add_one!(init_taken),
            Outcome::SipiTaken => add_one!(sipi_taken),
            Outcome::SipiBlocked => add_one!(sipi_blocked),
            Outcome::SipiNotAwaited => add_one!(sipi_not_awaited),
        }
        if let Some(waits) = Counts::init_waits_after(outcome) {
            store!(self, arch.event_counts.init_waits = waits);
        }
    }
}
