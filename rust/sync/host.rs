// SPDX-License-Identifier: GPL-2.0

//! The kernel's atomics on the host: std's, or loom's when interleavings are explored.
//!
//! loom explores the model of C11 and Rust. That is not the kernel's (LKMM), which orders by
//! dependency, and in which set_bit() orders nothing. But every operation here orders at most what the
//! one of its name in kernel.rs orders on x86: so what holds in each of loom's executions holds there.
//!
//! loom takes SeqCst accesses as acquire and release, but SeqCst fences for what they are; so a
//! full operation is a relaxed one between two fences.

#[cfg(not(loom))]
use core::sync::atomic::{
    fence, AtomicI32, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed as Unordered, Release, SeqCst},
};
#[cfg(loom)]
use loom::sync::atomic::{
    fence, AtomicI32, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed as Unordered, Release, SeqCst},
};

/// Orders everything before and after it (C: no suffix).
pub struct Full;
/// Orders nothing (C: `_relaxed`).
pub struct Relaxed;

/// Does `operation` as a fully ordered one.
#[inline(always)]
fn full<T>(operation: impl FnOnce() -> T) -> T {
    fence(SeqCst);
    let result = operation();
    fence(SeqCst);
    result
}

/// An atomic variable.
#[derive(Debug)]
pub struct Atomic<T: Primitive>(T::Repr);

/// What an [`Atomic`] can hold.
pub trait Primitive {
    /// The host's atomic of this type.
    type Repr;
}

impl Primitive for i32 {
    type Repr = AtomicI32;
}

impl Atomic<i32> {
    /// A variable that holds `value`.
    pub fn new(value: i32) -> Self {
        Self(AtomicI32::new(value))
    }

    /// C: atomic_read().
    pub fn load(&self, _: Relaxed) -> i32 {
        self.0.load(Unordered)
    }

    /// C: atomic_xchg().
    pub fn xchg(&self, value: i32, _: Full) -> i32 {
        full(|| self.0.swap(value, Unordered))
    }

    /// C: atomic_fetch_add().
    pub fn fetch_add(&self, value: i32, _: Full) -> i32 {
        full(|| self.0.fetch_add(value, Unordered))
    }
}

/// A word of bits that any context sets and clears.
#[derive(Debug)]
pub struct Bits(AtomicU64);

impl Bits {
    /// A word of these bits.
    pub fn new(bits: u64) -> Self {
        Self(AtomicU64::new(bits))
    }

    /// The word now (C: READ_ONCE()).
    pub fn load(&self) -> u64 {
        self.0.load(Unordered)
    }

    /// Sets the bits of `mask`; a full barrier (C: set_bit()).
    pub fn set(&self, mask: u64) {
        full(|| self.0.fetch_or(mask, Unordered));
    }

    /// Clears the bits of `mask`; a full barrier (C: clear_bit(); smp_mb__after_atomic()).
    pub fn clear(&self, mask: u64) {
        full(|| self.0.fetch_and(!mask, Unordered));
    }

    /// Makes the word `bits`, whatever it was (C: WRITE_ONCE()).
    pub fn store(&self, bits: u64) {
        self.0.store(bits, Unordered);
    }

    /// Sets bit `nr`, and tells whether it was set; a full barrier (C: test_and_set_bit()).
    pub fn test_and_set(&self, nr: u32) -> bool {
        let mask = 1 << (nr % 64);
        full(|| self.0.fetch_or(mask, Unordered)) & mask != 0
    }

    /// Clears bit `nr`, and tells whether it was set; a full barrier (C: test_and_clear_bit()).
    pub fn test_and_clear(&self, nr: u32) -> bool {
        let mask = 1 << (nr % 64);
        full(|| self.0.fetch_and(!mask, Unordered)) & mask != 0
    }

    /// Clears the word if it is `bits` and no other, and tells whether it was; a full barrier if so,
    /// and none if not (C: cmpxchg()).
    pub fn take_if_exactly(&self, bits: u64) -> bool {
        let taken = self.0.compare_exchange(bits, 0, SeqCst, Unordered).is_ok();
        if taken {
            fence(SeqCst);
        }
        taken
    }
}

/// A word of bits that one thread changes, and NMIs and interrupts on its CPU set bits of.
#[derive(Debug)]
pub struct StatusBits(Bits);

impl StatusBits {
    /// A word of these bits.
    pub fn new(bits: u64) -> Self {
        Self(Bits::new(bits))
    }

    /// The word now.
    pub fn load(&self) -> u64 {
        self.0.load()
    }

    /// Sets the bits of `mask`.
    pub fn set(&self, mask: u64) {
        self.0.set(mask);
    }

    /// Sets bit `nr`, and tells whether it was set (C: __test_and_set_bit()).
    pub fn test_and_set(&self, nr: u32) -> bool {
        self.0.test_and_set(nr)
    }
}

/// A word that is read and written whole by several contexts.
#[derive(Debug)]
pub struct Word(AtomicU32);

impl Word {
    /// A word that holds `value`.
    pub fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }

    /// C: READ_ONCE().
    pub fn load(&self) -> u32 {
        self.0.load(Unordered)
    }

    /// C: WRITE_ONCE().
    pub fn store(&self, value: u32) {
        self.0.store(value, Unordered);
    }

    /// C: cmpxchg(). Fully ordered where it exchanges, and not where it doesn't; returns what
    /// was there.
    pub fn cmpxchg(&self, old: u32, new: u32) -> u32 {
        match self.0.compare_exchange(old, new, SeqCst, Unordered) {
            Ok(was) => {
                fence(SeqCst);
                was
            }
            Err(was) => was,
        }
    }
}

/// C: smp_mb__before_atomic().
pub fn smp_mb_before_atomic() {
    fence(SeqCst);
}

/// C: smp_wmb().
pub fn smp_wmb() {
    fence(Release);
}

/// C: smp_rmb().
pub fn smp_rmb() {
    fence(Acquire);
}
