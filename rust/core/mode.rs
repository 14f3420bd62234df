// SPDX-License-Identifier: GPL-2.0

//! A vCPU's mode, and the kick that makes a vCPU look at what was requested of it.
//!
//! ```text
//!     any context                           the vCPU's thread (C: vcpu_enter_guest())
//!     -----------                           -----------------------------------------
//!     make a request                        mode = IN_GUEST_MODE
//!     barrier                               barrier
//!     IN_GUEST_MODE -> EXITING?  (kick)     a request, or EXITING: don't enter
//!     yes: IPI to its CPU
//! ```
//!
//! One of the two sees the other. All that anybody but the vCPU's thread ever does to the mode is
//! that one change, so the thread itself, which kicks itself, can make it with a plain store: what
//! it may overwrite is the very value that it writes.

use core::marker::PhantomData;

use super::sync::{smp_mb_before_atomic, Word};

/// Where a vCPU is (C: `vcpu->mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Mode {
    /// In the kernel or in userspace: looks at its requests before it enters the guest.
    OutsideGuest = 0,
    /// In the guest, or past its last look.
    InGuest = 1,
    /// Kicked out of the guest, and on its way.
    ExitingGuest = 2,
    /// Outside the guest, while other CPUs that free page tables wait for it.
    ReadingShadowPageTables = 3,
}

impl Mode {
    /// The mode that `raw` stands for.
    #[inline(always)]
    pub fn from_raw(raw: u32) -> Option<Self> {
        Some(match raw {
            0 => Self::OutsideGuest,
            1 => Self::InGuest,
            2 => Self::ExitingGuest,
            3 => Self::ReadingShadowPageTables,
            _ => return None,
        })
    }
}

/// A vCPU's mode, as any context may touch it.
#[derive(Clone, Copy)]
pub struct ModeWord<'a>(&'a Word);

impl<'a> ModeWord<'a> {
    /// The mode in `word`.
    #[inline(always)]
    pub fn new(word: &'a Word) -> Self {
        Self(word)
    }

    /// The mode now; None for a value that is none.
    #[inline(always)]
    pub fn load(&self) -> Option<Mode> {
        Mode::from_raw(self.0.load())
    }

    #[inline(always)]
    fn is_in_guest(&self) -> bool {
        self.0.load() == Mode::InGuest as u32
    }

    /// Makes a vCPU that is in the guest leave it; whether it was there
    /// (C: kvm_vcpu_exiting_guest_mode()).
    ///
    /// The barrier is its own: an exchange that fails orders nothing, and the caller's request
    /// must be visible before the mode is read. Pairs with the barrier after the mode is set in
    /// vcpu_enter_guest().
    #[inline(always)]
    pub fn exit_guest(&self) -> bool {
        smp_mb_before_atomic();
        let in_guest = Mode::InGuest as u32;
        self.0.cmpxchg(in_guest, Mode::ExitingGuest as u32) == in_guest
    }
}

/// Evidence that a vCPU is the one which this thread has loaded on this CPU, with preemption off.
///
/// # Invariants
///
/// `mode` is that vCPU's, and `'p` is at most as long as preemption is off.
pub struct Running<'p> {
    mode: ModeWord<'p>,
    _pinned: PhantomData<&'p ()>,
}

impl<'p> Running<'p> {
    /// The evidence, if `vcpu` is the running one.
    #[inline(always)]
    pub fn of<V: Vcpu>(vcpu: &'p V, pinned: &'p V::Pinned) -> Option<Self> {
        if !vcpu.is_running_here(pinned) {
            return None;
        }
        // INVARIANT: `pinned` lives for 'p.
        Some(Self {
            mode: vcpu.mode(),
            _pinned: PhantomData,
        })
    }

    /// As [`ModeWord::exit_guest`], by a plain store. In guest mode only.
    #[inline(always)]
    fn exit_guest(&self) {
        self.mode.0.store(Mode::ExitingGuest as u32);
    }
}

/// A vCPU that is to be kicked.
pub trait Vcpu {
    /// Evidence that preemption is off, with what is needed to find the vCPU that runs here.
    type Pinned;
    /// Whether the calling thread has this vCPU loaded on this CPU (C: kvm_running_vcpu).
    fn is_running_here(&self, pinned: &Self::Pinned) -> bool;
    /// The vCPU's mode.
    fn mode(&self) -> ModeWord<'_>;
    /// Whether anything is requested of the vCPU (C: kvm_request_pending()).
    fn has_request(&self) -> bool;
    /// Whether KVM warns of a kick without a request (module parameter).
    fn wants_request(&self) -> bool;
    /// Warns, once, of a kick without a request.
    fn warn_no_request(&self);
}

/// Kicks a vCPU that kicks itself; false if it is not the running one, which takes
/// [`ModeWord::exit_guest`] and, if that returns true, an IPI (C: kvm_vcpu_kick()).
#[inline(always)]
pub fn kick_self<V: Vcpu>(vcpu: &V, pinned: &V::Pinned) -> bool {
    let Some(own) = Running::of(vcpu, pinned) else {
        return false;
    };
    if own.mode.is_in_guest() {
        if vcpu.wants_request() && !vcpu.has_request() {
            // A missed event, after a bug, is better than a guest that runs as EXITING: no later
            // kick would reach it.
            vcpu.warn_no_request();
        } else {
            own.exit_guest();
        }
    }
    true
}
