// SPDX-License-Identifier: GPL-2.0

//! Atomics in the kernel's memory model.
//!
//! Loads and stores are volatile, as READ_ONCE() and WRITE_ONCE() are. What changes a word is core's
//! operation in its strongest order, which is on x86 the locked instruction that C's is, and which
//! the compiler moves nothing across.
//!
//! Where the tree has its own (7.x) they are used; where it has not (6.12), the same names stand
//! here. A word of bits, which the tree's atomics don't have, is here for both.

use core::cell::UnsafeCell;
use core::sync::atomic::{compiler_fence, AtomicU32, AtomicU64, Ordering::SeqCst};

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

    /// The same for core.
    #[inline(always)]
    fn atomic(&self) -> &AtomicU64 {
        // SAFETY: from_ptr()'s caller keeps the word valid, and accessed by atomics only.
        unsafe { AtomicU64::from_ptr(self.0.get()) }
    }

    /// Sets the bits of `mask`; a full barrier (C: set_bit(), which on x86 is one too).
    #[inline(always)]
    pub(crate) fn set(&self, mask: u64) {
        self.atomic().fetch_or(mask, SeqCst);
    }

    /// Clears the bits of `mask`; a full barrier (C: clear_bit(); smp_mb__after_atomic()).
    #[inline(always)]
    pub(crate) fn clear(&self, mask: u64) {
        self.atomic().fetch_and(!mask, SeqCst);
    }

    /// Makes the word `bits`, whatever it was (C: WRITE_ONCE()).
    #[inline(always)]
    pub(crate) fn store(&self, bits: u64) {
        // SAFETY: from_ptr()'s caller keeps the word valid.
        unsafe { self.0.get().write_volatile(bits) }
    }

    /// Sets bit `nr`, and tells whether it was set; a full barrier (C: test_and_set_bit()). `nr` is
    /// taken modulo 64.
    #[inline(always)]
    pub(crate) fn test_and_set(&self, nr: u32) -> bool {
        let bit = 1 << (nr % 64);
        self.atomic().fetch_or(bit, SeqCst) & bit != 0
    }

    /// Clears bit `nr`, and tells whether it was set; a full barrier (C: test_and_clear_bit()). `nr`
    /// is taken modulo 64.
    #[inline(always)]
    pub(crate) fn test_and_clear(&self, nr: u32) -> bool {
        let bit = 1 << (nr % 64);
        self.atomic().fetch_and(!bit, SeqCst) & bit != 0
    }
}

/// A word that is read and written whole by several contexts (C: READ_ONCE(), WRITE_ONCE(),
/// cmpxchg()).
#[repr(transparent)]
pub(crate) struct Word(UnsafeCell<u32>);

impl Word {
    /// The word behind `ptr`.
    ///
    /// # Safety
    ///
    /// `ptr` is aligned and valid for `'a`, and until then nobody accesses the word but by whole
    /// loads and stores, which may be C's.
    #[inline(always)]
    pub(crate) unsafe fn from_ptr<'a>(ptr: *mut u32) -> &'a Self {
        // SAFETY: the caller's promise; the layout is that of the u32.
        unsafe { &*ptr.cast() }
    }

    /// C: READ_ONCE().
    #[inline(always)]
    pub(crate) fn load(&self) -> u32 {
        // SAFETY: from_ptr()'s caller keeps the word valid.
        unsafe { self.0.get().read_volatile() }
    }

    /// C: WRITE_ONCE().
    #[inline(always)]
    pub(crate) fn store(&self, value: u32) {
        // SAFETY: from_ptr()'s caller keeps the word valid.
        unsafe { self.0.get().write_volatile(value) }
    }

    /// C: cmpxchg(). Fully ordered where it exchanges; returns what was there.
    #[inline(always)]
    pub(crate) fn cmpxchg(&self, old: u32, new: u32) -> u32 {
        // SAFETY: from_ptr()'s caller keeps the word valid, and accessed whole only.
        let word = unsafe { AtomicU32::from_ptr(self.0.get()) };
        word.compare_exchange(old, new, SeqCst, SeqCst)
            .unwrap_or_else(|was| was)
    }
}

/// C: smp_mb__before_atomic(). A locked instruction follows, which orders all there is to order.
#[inline(always)]
pub(crate) fn smp_mb_before_atomic() {
    compiler_fence(SeqCst);
}

/// C: smp_wmb(). x86 keeps stores in order.
#[inline(always)]
pub(crate) fn smp_wmb() {
    compiler_fence(SeqCst);
}

/// C: smp_rmb(). x86 keeps loads in order.
#[inline(always)]
pub(crate) fn smp_rmb() {
    compiler_fence(SeqCst);
}
