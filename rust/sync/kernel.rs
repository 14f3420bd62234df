// SPDX-License-Identifier: GPL-2.0

//! Atomics in the kernel's memory model.
//!
//! Where the tree has its own (7.x) they are used; where it has not (6.12), the same names stand
//! here. A word of bits, which the tree's atomics don't have, is here for both.

use core::arch::asm;
use core::cell::UnsafeCell;

#[cfg(kvm_lkmm_atomics)]
pub(crate) use kernel::sync::atomic::{Atomic, Full};

#[cfg(not(kvm_lkmm_atomics))]
#[path = "linux_6_12.rs"]
mod linux_6_12;
#[cfg(not(kvm_lkmm_atomics))]
pub(crate) use linux_6_12::{Atomic, Full};

/// A word of bits that any context sets and clears, as C does with set_bit() and clear_bit().
#[repr(transparent)]
pub(crate) struct Bits(UnsafeCell<u64>);

impl Bits {
    /// The word behind `ptr`.
    ///
    /// # Safety
    ///
    /// `ptr` is aligned and valid for `'a`, and until then nobody accesses the word but by atomic
    /// operations: these, or C's.
    #[inline(always)]
    pub(crate) unsafe fn from_ptr<'a>(ptr: *mut u64) -> &'a Self {
        // SAFETY: the caller's promise; the layout is that of the u64.
        unsafe { &*ptr.cast() }
    }

    /// The word now (C: READ_ONCE()).
    #[inline(always)]
    pub(crate) fn load(&self) -> u64 {
        // SAFETY: from_ptr()'s caller keeps the word valid.
        unsafe { self.0.get().read_volatile() }
    }

    /// Sets the bits of `mask`; a full barrier (C: set_bit(), which on x86 is one too).
    #[inline(always)]
    pub(crate) fn set(&self, mask: u64) {
        // SAFETY: from_ptr()'s caller keeps the word valid.
        unsafe {
            asm!(
                "lock or qword ptr [{}], {}",
                in(reg) self.0.get(),
                in(reg) mask,
                options(nostack),
            )
        }
    }

    /// Clears the bits of `mask`; a full barrier (C: clear_bit(); smp_mb__after_atomic()).
    #[inline(always)]
    pub(crate) fn clear(&self, mask: u64) {
        // SAFETY: from_ptr()'s caller keeps the word valid.
        unsafe {
            asm!(
                "lock and qword ptr [{}], {}",
                in(reg) self.0.get(),
                in(reg) !mask,
                options(nostack),
            )
        }
    }
}
