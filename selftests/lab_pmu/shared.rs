// SPDX-License-Identifier: GPL-2.0

//! What C keeps a pointer to, or the register functions write: statics with an inside of C's.

use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    sync::atomic::{AtomicBool, Ordering},
};

use kernel::prelude::*;

/// A structure of C's, all zero at first, at an address that stays.
pub(crate) struct Shared<T> {
    is_claimed: AtomicBool,
    inside: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: Rust reaches the inside by a raw pointer only; each use says who else may.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) const fn zeroed() -> Self {
        Self {
            is_claimed: AtomicBool::new(false),
            inside: UnsafeCell::new(MaybeUninit::zeroed()),
        }
    }

    /// Valid for as long as the module is loaded.
    pub(crate) const fn get(&self) -> *mut T {
        self.inside.get().cast()
    }

    /// The right to register the structure with C, which one at a time has.
    ///
    /// # Errors
    ///
    /// `EBUSY` where somebody has it.
    pub(crate) fn claim(&'static self) -> Result<Claim<T>> {
        if self.is_claimed.swap(true, Ordering::Acquire) {
            return Err(EBUSY);
        }
        // INVARIANT: The flag was not set.
        Ok(Claim(self))
    }
}

/// The right to register a structure with C.
///
/// # Invariants
///
/// There is one for each structure at most. So while it is not registered by the claim's holder, C
/// knows nothing of it.
pub(crate) struct Claim<T: 'static>(&'static Shared<T>);

impl<T> Claim<T> {
    pub(crate) fn get(&self) -> *mut T {
        self.0.get()
    }
}

impl<T> Drop for Claim<T> {
    fn drop(&mut self) {
        self.0.is_claimed.store(false, Ordering::Release);
    }
}
