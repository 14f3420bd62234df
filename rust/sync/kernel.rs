// SPDX-License-Identifier: GPL-2.0

//! Atomics in the kernel's memory model.
//!
//! Where the tree has its own (7.x) they are used; where it has not (6.12), the same names stand
//! here. A word of bits, which the tree's atomics don't have, is here for both.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{compiler_fence, Ordering::SeqCst};

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

    /// Makes the word `bits`, whatever it was (C: WRITE_ONCE()).
    #[inline(always)]
    pub(crate) fn store(&self, bits: u64) {
        // SAFETY: from_ptr()'s caller keeps the word valid.
        unsafe { self.0.get().write_volatile(bits) }
    }

    /// Sets bit `nr`, and tells whether it was set; a full barrier (C: test_and_set_bit()).
    #[inline(always)]
    pub(crate) fn test_and_set(&self, nr: u32) -> bool {
        let was: u8;
        // SAFETY: from_ptr()'s caller keeps the word valid; `nr` is taken modulo 64, as the
        // instruction would otherwise reach beyond the word.
        unsafe {
            asm!(
                "lock bts qword ptr [{}], {}",
                "setc {}",
                in(reg) self.0.get(),
                in(reg) u64::from(nr % 64),
                out(reg_byte) was,
                options(nostack),
            )
        }
        was != 0
    }

    /// Clears bit `nr`, and tells whether it was set; a full barrier (C: test_and_clear_bit()).
    #[inline(always)]
    pub(crate) fn test_and_clear(&self, nr: u32) -> bool {
        let was: u8;
        // SAFETY: as test_and_set().
        unsafe {
            asm!(
                "lock btr qword ptr [{}], {}",
                "setc {}",
                in(reg) self.0.get(),
                in(reg) u64::from(nr % 64),
                out(reg_byte) was,
                options(nostack),
            )
        }
        was != 0
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
        let was: u32;
        // SAFETY: from_ptr()'s caller keeps the word valid.
        unsafe {
            asm!(
                "lock cmpxchg dword ptr [{}], {:e}",
                in(reg) self.0.get(),
                in(reg) new,
                inout("eax") old => was,
                options(nostack),
            )
        }
        was
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
