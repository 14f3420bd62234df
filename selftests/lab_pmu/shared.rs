// SPDX-License-Identifier: GPL-2.0

//! What C keeps a pointer to, or the register functions write: statics with an inside of C's.

use core::{cell::UnsafeCell, mem::MaybeUninit};

/// A structure of C's, all zero at first, at an address that stays.
#[repr(transparent)]
pub(crate) struct Shared<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: Rust reaches the inside by a raw pointer only; each use says who else may.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) const fn zeroed() -> Self {
        Self(UnsafeCell::new(MaybeUninit::zeroed()))
    }

    /// Valid for as long as the module is loaded.
    pub(crate) const fn get(&self) -> *mut T {
        self.0.get().cast()
    }
}
