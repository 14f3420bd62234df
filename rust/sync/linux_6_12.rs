// SPDX-License-Identifier: GPL-2.0

//! What Linux 7.x has in kernel::sync::atomic, for `atomic_t`, as far as it is used.

use core::arch::asm;
use core::cell::UnsafeCell;

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

    /// C: atomic_xchg().
    #[inline(always)]
    pub(crate) fn xchg(&self, mut value: i32, _: Full) -> i32 {
        // SAFETY: from_ptr()'s caller keeps the variable valid. XCHG with memory is locked.
        unsafe {
            asm!(
                "xchg dword ptr [{}], {:e}",
                in(reg) self.0.get(),
                inout(reg) value,
                options(nostack),
            )
        }
        value
    }

    /// C: atomic_fetch_add().
    #[inline(always)]
    pub(crate) fn fetch_add(&self, mut value: i32, _: Full) -> i32 {
        // SAFETY: from_ptr()'s caller keeps the variable valid.
        unsafe {
            asm!(
                "lock xadd dword ptr [{}], {:e}",
                in(reg) self.0.get(),
                inout(reg) value,
                options(nostack),
            )
        }
        value
    }
}
