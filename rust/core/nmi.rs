// SPDX-License-Identifier: GPL-2.0

//! NMIs on their way to a vCPU: no request without an NMI that was queued for it.
//!
//! An NMI is in one of three places: *queued* by any context, *pending* on the vCPU's thread, or
//! *held* as pending by hardware (AMD vNMI; APM vol. 2, "NMI Virtualization"). Senders and the
//! vCPU meet in two words, the queue and the requests:
//!
//! ```text
//!     any context (Queue::push)            the vCPU's thread
//!     -------------------------            -----------------
//!     queued += 1                          take KVM_REQ_NMI
//!     make KVM_REQ_NMI                     queued = 0, what was it?  (collect)
//!     kick
//! ```
//!
//! All four are locked operations.

use super::request::{Request, Requests};
use super::sync::{Atomic, Full};
use super::untrusted::Untrusted;

/// Evidence that an NMI was queued: what it takes to make `KVM_REQ_NMI`.
///
/// Nothing outside this module can construct it.
pub struct Arrived(());

/// The NMIs that are queued for a vCPU (C: `arch.nmi_queued`), and the request for them.
///
/// # Invariants
///
/// While the count is not 0, `KVM_REQ_NMI` is made; or a sender that has raised the count is about to
/// make it; or the vCPU's thread has taken it and is about to empty the queue. (The count is only
/// added to and exchanged, so that each change has its place among the others.)
#[derive(Clone, Copy)]
pub struct Queue<'a> {
    count: &'a Atomic<i32>,
    requests: Requests<'a>,
}

impl<'a> Queue<'a> {
    /// The queue that counts in `count` and makes its request in `requests`.
    #[inline(always)]
    pub fn new(count: &'a Atomic<i32>, requests: Requests<'a>) -> Self {
        Self { count, requests }
    }

    /// Queues one NMI, from any context (C: kvm_inject_nmi()). The caller kicks.
    #[inline(always)]
    pub fn push(&self) {
        self.count.fetch_add(1, Full);
        // INVARIANT: this sender has raised the count.
        self.requests.make_nmi(Arrived(()));
    }

    /// Makes `count` the number of queued NMIs, as userspace wants it.
    ///
    /// An AP that userspace resets gets 0 here, and no request: nothing on the path of a vCPU
    /// that waits for SIPI would ever take it.
    #[inline(always)]
    fn replace(&self, count: Untrusted<u8>) {
        // Any count is one: collect() keeps what the vCPU may have.
        let count = count.read(|c| c);
        self.count.xchg(i32::from(count), Full);
        if count != 0 {
            // INVARIANT: the count was just made other than 0.
            self.requests.make_nmi(Arrived(()));
        }
    }

    /// Empties the queue.
    #[inline(always)]
    fn take_all(&self) -> u32 {
        // The count is the number of calls of push() modulo 2^32, never negative in meaning.
        self.count.xchg(0, Full) as u32
    }

    /// Drops the queued NMIs with their request.
    ///
    /// The request goes first: an NMI that arrives in between either goes with the others or
    /// finds the queue empty, and makes the request anew.
    #[inline(always)]
    fn drop_all(&self) {
        self.requests.drop_request(Request::Nmi);
        self.take_all();
    }
}

/// A vCPU's NMI state, as its own thread sees it (the vCPU's mutex is held).
pub trait Vcpu {
    /// The queue that senders share with this vCPU.
    fn queue(&self) -> Queue<'_>;
    /// NMIs pending (C: `arch.nmi_pending`).
    fn pending(&self) -> u32;
    /// Sets the number of NMIs pending.
    fn set_pending(&mut self, count: u32);
    /// Whether an NMI is being injected (C: `arch.nmi_injected`).
    fn is_injected(&self) -> bool;
    /// No NMI is being injected any more.
    fn clear_injected(&mut self);
    /// Whether NMIs are masked: one is in service (C: `get_nmi_mask`).
    fn is_masked(&self) -> bool;
    /// Whether hardware holds an NMI as pending (C: `is_vnmi_pending`).
    fn is_held(&self) -> bool;
    /// Offers an NMI to hardware; false if it has no vNMI or holds one (C: `set_vnmi_pending`).
    fn hold(&mut self) -> bool;
    /// Takes back the NMI that hardware holds.
    fn take_back(&mut self);
    /// Whether a pending NMI can be injected now (C: `nmi_allowed`).
    fn is_allowed(&self) -> bool;
}

/// How many NMIs may be pending, in hardware or not.
///
/// A processor keeps one NMI pending while one is in service (SDM vol. 3, "Handling Multiple
/// NMIs"). A vCPU that was not running can meet two at once that real hardware would have taken one
/// after the other; so two, as long as the first can be delivered at once.
#[inline(always)]
fn limit(vcpu: &impl Vcpu) -> u32 {
    if vcpu.is_masked() || vcpu.is_injected() {
        1
    } else {
        2
    }
}

/// Moves what is queued to what is pending, up to the limit, and asks for injection
/// (C: process_nmi()).
#[inline(always)]
pub fn collect(vcpu: &mut impl Vcpu) {
    // The limit is read first, as C does; the queue may still grow until it is emptied.
    let limit = limit(vcpu);
    let queued = vcpu.queue().take_all();
    // As in C, four thousand million NMIs that nobody collected would count as none.
    let count = vcpu.pending().wrapping_add(queued);
    let mut pending = count.min(limit);
    // One that hardware holds is one of them; it is asked only where that makes a difference.
    if count >= limit && vcpu.is_held() {
        pending -= 1;
    }
    if pending > 0 && vcpu.hold() {
        pending -= 1;
    }
    vcpu.set_pending(pending);
    if pending > 0 {
        vcpu.queue().requests.make_event();
    }
}

/// Whether NMIs keep this vCPU from sleeping (C: kvm_vcpu_has_events()).
///
/// One that is blocked ends no HLT (SDM vol. 2, "HLT"; APM vol. 3, "HLT"), whether it was collected or
/// not.
#[inline(always)]
pub fn has_event(vcpu: &impl Vcpu) -> bool {
    (vcpu.queue().requests.is_made(Request::Nmi) || vcpu.pending() > 0) && vcpu.is_allowed()
}

/// Makes `count` NMIs pending, in place of those that are (KVM_SET_VCPU_EVENTS with
/// KVM_VCPUEVENT_VALID_NMI_PENDING). The queue must have been collected.
///
/// The count goes to the queue, not to what is pending: the limit depends on the mask, which
/// userspace sets too, and is applied when the vCPU collects.
#[inline(always)]
pub fn replace(vcpu: &mut impl Vcpu, count: Untrusted<u8>) {
    vcpu.set_pending(0);
    vcpu.take_back();
    vcpu.queue().replace(count);
}

/// INIT and RESET: whatever is on its way is dropped, its request too (C: kvm_vcpu_reset()).
#[inline(always)]
pub fn reset(vcpu: &mut impl Vcpu) {
    vcpu.queue().drop_all();
    vcpu.set_pending(0);
    vcpu.clear_injected();
}
