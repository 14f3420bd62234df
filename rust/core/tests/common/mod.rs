// SPDX-License-Identifier: GPL-2.0

//! A whole vCPU, as far as the decisions ask.
#![allow(dead_code)]

use kvm_event_core::mode;
use kvm_event_core::nmi::{self, Queue};
use kvm_event_core::request::{Request, Requests};
use kvm_event_core::sync::{Atomic, Bits, Relaxed};

/// kvm_vcpu_kick() without the wake-up, as C composes it; whether it sends an IPI.
pub fn kick<V: mode::Vcpu>(vcpu: &V, pinned: &V::Pinned) -> bool {
    !mode::kick_self(vcpu, pinned) && vcpu.mode().exit_guest()
}

/// What any context may touch.
pub struct Shared {
    pub queued: Atomic<i32>,
    pub requests: Bits,
}

impl Shared {
    pub fn new(queued: i32, requests: u64) -> Self {
        Self {
            queued: Atomic::new(queued),
            requests: Bits::new(requests),
        }
    }

    pub fn queue(&self) -> Queue<'_> {
        Queue::new(&self.queued, self.requests())
    }

    pub fn requests(&self) -> Requests<'_> {
        Requests::new(&self.requests)
    }

    pub fn made(&self, request: Request) -> bool {
        self.requests().is_made(request)
    }

    pub fn count(&self) -> i32 {
        self.queued.load(Relaxed)
    }
}

/// What only the vCPU's thread may touch.
pub struct Vcpu<'a> {
    pub shared: &'a Shared,
    pub pending: u32,
    pub injected: bool,
    pub masked: bool,
    /// The processor has vNMI.
    pub vnmi: bool,
    /// It holds an NMI as pending.
    pub held: bool,
    pub allowed: bool,
}

impl<'a> Vcpu<'a> {
    pub fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            pending: 0,
            injected: false,
            masked: false,
            vnmi: false,
            held: false,
            allowed: true,
        }
    }
}

impl nmi::Vcpu for Vcpu<'_> {
    fn queue(&self) -> Queue<'_> {
        self.shared.queue()
    }
    fn pending(&self) -> u32 {
        self.pending
    }
    fn set_pending(&mut self, count: u32) {
        self.pending = count;
    }
    fn is_injected(&self) -> bool {
        self.injected
    }
    fn clear_injected(&mut self) {
        self.injected = false;
    }
    fn is_masked(&self) -> bool {
        self.masked
    }
    fn is_held(&self) -> bool {
        self.held
    }
    fn hold(&mut self) -> bool {
        let taken = self.vnmi && !self.held;
        self.held |= taken;
        taken
    }
    fn take_back(&mut self) {
        self.held = false;
    }
    fn is_allowed(&self) -> bool {
        self.allowed
    }
}
