// SPDX-License-Identifier: GPL-2.0

//! Views of `struct kvm_vcpu`: what any context may touch, and what only the vCPU's thread may.
//!
//! Shared by kvm.ko, kvm-intel.ko and kvm-amd.ko, each of which uses its part. Neither view ever
//! makes a reference to the C structure, which other contexts write to: fields are reached through
//! the raw pointer, those that are shared by atomic operations or whole loads only.

use core::marker::PhantomData;
use core::mem::{offset_of, size_of};
use core::ptr::{addr_of_mut, NonNull};

use crate::bindings::kvm_vcpu_arch_kvm_event_counts as kvm_event_counts;
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
    assert!(size_of::<Counts>() == size_of::<kvm_event_counts>());
    assert!(offset_of!(Counts, init_taken) == offset_of!(kvm_event_counts, init_taken));
    assert!(offset_of!(Counts, sipi_taken) == offset_of!(kvm_event_counts, sipi_taken));
    assert!(offset_of!(Counts, sipi_blocked) == offset_of!(kvm_event_counts, sipi_blocked));
    assert!(offset_of!(Counts, init_waits) == offset_of!(kvm_event_counts, init_waits));
};

/// The address of a field of a view's vCPU. Unsafe: relies on invariant 1 of `Vcpu`.
macro_rules! field {
    ($view:expr, $($field:tt)+) => {
        core::ptr::addr_of_mut!((*$view.ptr()).$($field)+)
    };
}

/// A whole load of a field that another context may be writing (C: READ_ONCE()).
macro_rules! shared {
    ($view:expr, $($field:tt)+) => {
        // SAFETY: invariant 1 of `Vcpu`; the field is a word, whole at any moment.
        unsafe { $crate::view::field!($view, $($field)+).read_volatile() }
    };
}

/// A load of a field that the vCPU's thread alone writes.
macro_rules! own {
    ($view:expr, $($field:tt)+) => {
        // SAFETY: the invariant of `OwnVcpu`: nobody writes the field meanwhile.
        unsafe { $crate::view::field!($view, $($field)+).read() }
    };
}

pub(crate) use {field, own, shared};

/// A vCPU, as any context may see it.
///
/// # Invariants
///
/// 1. `ptr` is a `struct kvm_vcpu` that lives for `'a`, and so does its APIC, if it has one.
/// 2. Until then, `requests`, `mode`, `arch.nmi_queued`, and the APIC's `pending_events` and
///    `sipi_vector`, are accessed by atomic operations, whole loads and whole stores only.
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
        // INVARIANT: 1 is the caller's promise; 2 is how C uses these fields.
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
        // SAFETY: invariants 1 and 2.
        unsafe { Bits::from_ptr(field!(self, requests).cast()) }
    }

    /// The NMIs that are queued for this vCPU.
    #[inline(always)]
    pub(crate) fn nmi_queue(self) -> Queue<'a> {
        // SAFETY: invariants 1 and 2.
        let count = unsafe { Atomic::from_ptr(field!(self, arch.nmi_queued.counter)) };
        Queue::new(count, self.requests())
    }

    /// The vCPU's mode.
    #[inline(always)]
    pub(crate) fn mode(self) -> ModeWord<'a> {
        // SAFETY: invariants 1 and 2; an int has the size of a u32.
        ModeWord::new(unsafe { Word::from_ptr(field!(self, mode).cast()) })
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
        // Written before anybody can see the vCPU.
        NonNull::new(shared!(self, arch.apic))
    }

    /// What is pending at that APIC.
    #[inline(always)]
    pub(crate) fn pending(self) -> Option<Pending<'a>> {
        let apic = self.apic()?.as_ptr();
        // SAFETY: invariants 1 and 2.
        let (events, vector) = unsafe {
            (
                Bits::from_ptr(addr_of_mut!((*apic).pending_events).cast()),
                Word::from_ptr(addr_of_mut!((*apic).sipi_vector)),
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

    /// What came of INITs and SIPIs.
    #[inline(always)]
    pub(crate) fn counts(self) -> Counts {
        // SAFETY: invariant 1; the layout was compared above. Each word is whole, and a reader of
        // statistics asks for no more.
        unsafe {
            field!(self, arch.event_counts)
                .cast::<Counts>()
                .read_volatile()
        }
    }
}

/// A vCPU, as the thread that holds its mutex sees it.
///
/// # Invariants
///
/// The calling thread holds `vcpu->mutex`, or nobody else has the vCPU yet (its creation), so that
/// it alone writes whatever of the vCPU [`Vcpu`] doesn't share.
pub(crate) struct OwnVcpu<'a>(Vcpu<'a>);

impl<'a> OwnVcpu<'a> {
    /// The vCPU behind `ptr`.
    ///
    /// # Safety
    ///
    /// As [`Vcpu::from_raw`]; and the calling thread holds the vCPU's mutex, with the vCPU loaded
    /// where the vendor's state is asked for.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(ptr: *mut kvm_vcpu) -> Self {
        // INVARIANT: the caller's promise.
        // SAFETY: the caller's promise.
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
        // SAFETY: invariant 1 of `Vcpu`; the invariant: nobody else writes these. A reader of
        // statistics sees each word whole.
        unsafe {
            let waits = field!(self, arch.event_counts.init_waits);
            if !Counts::is_counted(outcome, waits.read()) {
                return;
            }
            let counter = match outcome {
                Outcome::InitLatched => field!(self, arch.event_counts.init_latched),
                Outcome::InitTaken => field!(self, arch.event_counts.init_taken),
                Outcome::SipiTaken => field!(self, arch.event_counts.sipi_taken),
                Outcome::SipiBlocked => field!(self, arch.event_counts.sipi_blocked),
                Outcome::SipiNotAwaited => field!(self, arch.event_counts.sipi_not_awaited),
            };
            counter.write_volatile(counter.read_volatile().wrapping_add(1));
            if let Some(after) = Counts::init_waits_after(outcome) {
                waits.write_volatile(after);
            }
        }
    }
}
