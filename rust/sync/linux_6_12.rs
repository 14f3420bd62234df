// SPDX-License-Identifier: GPL-2.0

//! What Linux 7.x has in kernel::sync::atomic, for `atomic_t`, as far as it is used.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicI32, Ordering::SeqCst};

/// Orders everything before and after it (C: no suffix).
pub(crate) struct Full;

/// An atomic variable; here always the counter of an `atomic_t`.
#[repr(transparent)]
pub(crate) struct Atomic<T>(UnsafeCell<T>);

impl Atomic<i32> {
    /// The variable behind `ptr`.
    ///
    /// # Safety
    ///
    /// `ptr` is aligned and valid for `'a`, and until then nobody accesses the variable but by
    /// atomic operations: these, or C's.
    #[inline(always)]
    pub(crate) unsafe fn from_ptr<'a>(ptr: *mut i32) -> &'a Self {
        // SAFETY: the caller's promise; the layout is that of the i32.
        unsafe { &*ptr.cast() }
    }

    /// The same for core, whose fully ordered operations are, on x86, C's locked instructions.
    #[inline(always)]
    fn atomic(&self) -> &AtomicI32 {
        // SAFETY: from_ptr()'s caller keeps the variable valid, and accessed by atomics only.
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
