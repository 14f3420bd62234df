// SPDX-License-Identifier: GPL-2.0

//! Atomics in the kernel's memory model (LKMM), on memory that C shares.
//!
//! Loads and stores are volatile, as READ_ONCE() and WRITE_ONCE() are, and barriers are the empty
//! asm block that barrier() is. Where the tree has an atomic type (7.x: `Atomic`), that one is used;
//! where it has not (6.12), the same name stands here. The tree has no bits, and what it has are
//! calls unless CONFIG_RUST_INLINE_HELPERS is set; so words of bits and the exchange of a [`Word`]
//! are core's operations in their strongest order, on both lines. Documentation/soundness.rst says
//! what that relies on.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::{align_of, size_of};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

#[cfg(kvm_lkmm_atomics)]
pub(crate) use kernel::sync::atomic::{Atomic, Full};

#[cfg(not(kvm_lkmm_atomics))]
#[path = "linux_6_12.rs"]
mod linux_6_12;
#[cfg(not(kvm_lkmm_atomics))]
pub(crate) use linux_6_12::{Atomic, Full};

/// Whether one instruction loads or stores a `T`.
const fn is_word<T>() -> bool {
    matches!(size_of::<T>(), 1 | 2 | 4 | 8) && align_of::<T>() == size_of::<T>()
}

/// A whole load (C: READ_ONCE()). Anything that is not a word does not compile.
///
/// # Safety
///
/// `ptr` is aligned, valid for reads, and points to a value of `T`. Other contexts change it by
/// whole stores and atomic operations only.
#[inline(always)]
pub(crate) unsafe fn read_once<T: Copy>(ptr: *const T) -> T {
    const { assert!(is_word::<T>()) }
    // SAFETY: by this function's contract, `ptr` is aligned and valid for reads.
    unsafe { ptr.read_volatile() }
}

/// A whole store (C: WRITE_ONCE()). Anything that is not a word does not compile.
///
/// # Safety
///
/// `ptr` is aligned and valid for writes. Other contexts access it by whole loads, whole stores and
/// atomic operations only.
#[inline(always)]
pub(crate) unsafe fn write_once<T: Copy>(ptr: *mut T, value: T) {
    const { assert!(is_word::<T>()) }
    // SAFETY: by this function's contract, `ptr` is aligned and valid for writes.
    unsafe { ptr.write_volatile(value) }
}

/// A word of bits that any context sets and clears, as C does with set_bit() and clear_bit().
///
/// # Invariants
///
/// For as long as a reference lives, the word is aligned and valid, and everybody accesses it by
/// whole loads, whole stores and atomic operations only.
#[repr(transparent)]
pub(crate) struct Bits(UnsafeCell<u64>);

impl Bits {
    /// The word behind `ptr`.
    ///
    /// # Safety
    ///
    /// For `'a`, `ptr` is aligned and valid for reads and writes, and everybody accesses the word by
    /// whole loads, whole stores and atomic operations only: these, or C's.
    #[inline(always)]
    pub(crate) unsafe fn from_ptr<'a>(ptr: *mut u64) -> &'a Self {
        // INVARIANT: this function's contract.
        // SAFETY: `ptr` is aligned and valid for 'a; `Bits` has the layout of the u64, and an inside
        // that others may change.
        unsafe { &*ptr.cast() }
    }

    /// The word now (C: READ_ONCE()).
    #[inline(always)]
    pub(crate) fn load(&self) -> u64 {
        // SAFETY: by the type's invariant the word is valid, and others store it whole.
        unsafe { read_once(self.0.get()) }
    }

    /// The same for core.
    #[inline(always)]
    fn atomic(&self) -> &AtomicU64 {
        // SAFETY: by the type's invariant the word is aligned and valid for as long as `self`, and
        // no access of it is partial.
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
        // SAFETY: by the type's invariant the word is valid, and others access it whole.
        unsafe { write_once(self.0.get(), bits) }
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

    /// Clears the word if it is `bits` and no other, and tells whether it was; a full barrier if so
    /// (C: cmpxchg()).
    #[inline(always)]
    pub(crate) fn take_if_exactly(&self, bits: u64) -> bool {
        self.atomic()
            .compare_exchange(bits, 0, SeqCst, SeqCst)
            .is_ok()
    }
}

/// A word of bits that one thread changes by plain instructions, and that NMIs and interrupts on
/// that thread's CPU set bits of (C: `pmu->global_status`).
///
/// # Invariants
///
/// For as long as a reference lives, the word is aligned and valid. Whoever changes it does so
/// either on the CPU where the holder of the reference runs, by one instruction, or by an operation
/// of this type.
#[repr(transparent)]
pub(crate) struct StatusBits(UnsafeCell<u64>);

impl StatusBits {
    /// The word behind `ptr`.
    ///
    /// # Safety
    ///
    /// For `'a`, `ptr` is aligned and valid for reads and writes. Until then, whoever else changes
    /// the word does so on this CPU, by one instruction each, which an NMI or an interrupt comes
    /// before or after; or by an operation of this type.
    #[inline(always)]
    pub(crate) unsafe fn from_ptr<'a>(ptr: *mut u64) -> &'a Self {
        // INVARIANT: this function's contract.
        // SAFETY: `ptr` is aligned and valid for 'a; the layout is that of the u64, and the inside
        // is one that others may change.
        unsafe { &*ptr.cast() }
    }

    /// The same for core.
    #[inline(always)]
    fn atomic(&self) -> &AtomicU64 {
        // SAFETY: by the type's invariant the word is aligned and valid for as long as `self`. An
        // access that is not atomic is an instruction of the CPU that this runs on, so that it is
        // over before, or has not begun.
        unsafe { AtomicU64::from_ptr(self.0.get()) }
    }

    /// Sets the bits of `mask`. A locked instruction, where C's __set_bit() is not: what Rust does
    /// to the word on another CPU is kept too.
    #[inline(always)]
    pub(crate) fn set(&self, mask: u64) {
        self.atomic().fetch_or(mask, SeqCst);
    }

    /// Sets bit `nr`, and tells whether it was set (C: __test_and_set_bit()). `nr` is taken modulo
    /// 64.
    #[inline(always)]
    pub(crate) fn test_and_set(&self, nr: u32) -> bool {
        let bit = 1 << (nr % 64);
        self.atomic().fetch_or(bit, SeqCst) & bit != 0
    }
}

/// A word that is read and written whole by several contexts (C: READ_ONCE(), WRITE_ONCE(),
/// cmpxchg()).
///
/// # Invariants
///
/// For as long as a reference lives, the word is aligned and valid, and everybody accesses it by
/// whole loads, whole stores and atomic operations only.
#[repr(transparent)]
pub(crate) struct Word(UnsafeCell<u32>);

impl Word {
    /// The word behind `ptr`.
    ///
    /// # Safety
    ///
    /// For `'a`, `ptr` is aligned and valid for reads and writes, and everybody accesses the word by
    /// whole loads, whole stores and atomic operations only: these, or C's.
    #[inline(always)]
    pub(crate) unsafe fn from_ptr<'a>(ptr: *mut u32) -> &'a Self {
        // INVARIANT: this function's contract.
        // SAFETY: `ptr` is aligned and valid for 'a; `Word` has the layout of the u32, and an inside
        // that others may change.
        unsafe { &*ptr.cast() }
    }

    /// C: READ_ONCE().
    #[inline(always)]
    pub(crate) fn load(&self) -> u32 {
        // SAFETY: by the type's invariant the word is valid, and others store it whole.
        unsafe { read_once(self.0.get()) }
    }

    /// C: WRITE_ONCE().
    #[inline(always)]
    pub(crate) fn store(&self, value: u32) {
        // SAFETY: by the type's invariant the word is valid, and others access it whole.
        unsafe { write_once(self.0.get(), value) }
    }

    /// C: cmpxchg(). Fully ordered where it exchanges; returns what was there.
    #[inline(always)]
    pub(crate) fn cmpxchg(&self, old: u32, new: u32) -> u32 {
        // SAFETY: by the type's invariant the word is aligned and valid for as long as `self`, and
        // no access of it is partial.
        let word = unsafe { AtomicU32::from_ptr(self.0.get()) };
        word.compare_exchange(old, new, SeqCst, SeqCst)
            .unwrap_or_else(|was| was)
    }
}

/// Keeps the compiler from moving a memory access across it (C: barrier()).
#[inline(always)]
fn barrier() {
    // SAFETY: no instruction. Without nomem, the compiler must take it to access any memory.
    unsafe { asm!("", options(nostack, preserves_flags)) }
}

/// C: smp_mb__before_atomic(). A locked instruction follows, which orders all there is to order.
#[inline(always)]
pub(crate) fn smp_mb_before_atomic() {
    barrier();
}

/// C: smp_wmb(). x86 keeps stores in order.
#[inline(always)]
pub(crate) fn smp_wmb() {
    barrier();
}

/// C: smp_rmb(). x86 keeps loads in order.
#[inline(always)]
pub(crate) fn smp_rmb() {
    barrier();
}
