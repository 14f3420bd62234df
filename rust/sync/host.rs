// SPDX-License-Identifier: GPL-2.0

//! The kernel's atomics on the host: std's, or loom's when interleavings are explored.
//!
//! loom takes SeqCst accesses as acquire and release, but SeqCst fences for what they are; so a
//! full operation is a relaxed one between two fences.

#[cfg(not(loom))]
use core::sync::atomic::{
    fence, AtomicI32, AtomicU64,
    Ordering::{Relaxed as Unordered, SeqCst},
};
#[cfg(loom)]
use loom::sync::atomic::{
    fence, AtomicI32, AtomicU64,
    Ordering::{Relaxed as Unordered, SeqCst},
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
}
