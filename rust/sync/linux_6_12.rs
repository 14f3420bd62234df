// SPDX-License-Identifier: GPL-2.0

//! What Linux 7.x has in kernel::sync::atomic, for `atomic_t`, as far as it is used.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicI32, Ordering::SeqCst};

/// Orders everything before and after it (C: no suffix).
pub(crate) struct Full;

/// An atomic variable; here always the counter of an `atomic_t`.
///
/// # Invariants
///
/// For as long as a reference lives, the variable is aligned and valid, and everybody accesses it by
/// whole loads, whole stores and atomic operations only.
#[repr(transparent)]
pub(crate) struct Atomic<T>(UnsafeCell<T>);

impl Atomic<i32> {
    /// The variable behind `ptr`.
    ///
    /// # Safety
    ///
    /// For `'a`, `ptr` is aligned and valid for reads and writes, and everybody accesses the variable
    /// by whole loads, whole stores and atomic operations only: these, or C's.
    #[inline(always)]
    pub(crate) unsafe fn from_ptr<'a>(ptr: *mut i32) -> &'a Self {
        // INVARIANT: this function's contract.
        // SAFETY: `ptr` is aligned and valid for 'a; the layout is that of the i32, and the inside is
        // one that others may change.
        unsafe { &*ptr.cast() }
    }

    /// The same for core, whose fully ordered operations are, on x86, C's locked instructions.
    #[inline(always)]
    fn atomic(&self) -> &AtomicI32 {
        // SAFETY: by the type's invariant the variable is aligned and valid for as long as `self`,
        // and no access of it is partial.
        unsafe { AtomicI32::from_ptr(self.0.get()) }
    }

    /// C: atomic_xchg().
    #[inline(always)]
    pub(crate) fn xchg(&self, value: i32, _: Full) -> i32 {
        self.atomic().swap(value, SeqCst)
    }

    /// C: atomic_fetch_add().
    #[inline(always)]
    pub(crate) fn fetch_add(&self, value: i32, _: Full) -> i32 {
        self.atomic().fetch_add(value, SeqCst)
    }
}
