// SPDX-License-Identifier: GPL-2.0

//! What userspace says of a vCPU's state, before a rule has made something of it.
//!
//! KVM_SET_MP_STATE, KVM_SET_VCPU_EVENTS and KVM_SET_NESTED_STATE can be called in any order, with
//! anything in them that a guest can't bring about. An edge that is given such a value wraps it, and
//! the core has no other way to it than a rule that says what becomes of each value. So no decision,
//! and no warning, depends on what userspace was trusted to have said.

/// A value that userspace chose.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub struct Untrusted<T>(T);

impl<T> Untrusted<T> {
    /// What userspace said.
    #[inline(always)]
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// What `rule` makes of the value; None if it refuses it.
    #[inline(always)]
    pub fn check<U>(self, rule: impl FnOnce(T) -> Option<U>) -> Option<U> {
        rule(self.0)
    }

    /// The value as `rule` reads it, to which no value is wrong.
    #[inline(always)]
    pub fn read<U>(self, rule: impl FnOnce(T) -> U) -> U {
        rule(self.0)
    }
}
