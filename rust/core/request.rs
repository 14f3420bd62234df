// SPDX-License-Identifier: GPL-2.0

//! What can be requested of a vCPU, and in which order it is served before VM-Enter.
//!
//! A request is a bit that any context sets and only the vCPU's thread clears. What stands
//! behind the bit is written before it is set, and read after it is cleared:
//!
//! ```text
//!     any context                        the vCPU's thread
//!     -----------                        -----------------
//!     write the event                    test the bit
//!     set the bit     (Requests::make)   clear the bit   (Requests::take)
//!     kick                               read the event
//! ```
//!
//! Both the set and the clear are locked operations, hence full barriers
//! (C: kvm_make_request(), kvm_check_request(); Documentation/virt/kvm/vcpu-requests.rst).

use super::sync::Bits;
use super::{nmi, pmi};

/// A request that event delivery makes or serves.
///
/// The numbers are those of `KVM_REQ_*`; the build checks them against the tree's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Request {
    /// Evaluate what is to be injected (`KVM_REQ_EVENT`).
    Event = 14,
    /// Collect queued NMIs (`KVM_REQ_NMI`).
    Nmi = 17,
    /// Reprogram counters that overflowed or changed (`KVM_REQ_PMU`).
    Pmu = 18,
    /// Deliver a performance-counter interrupt through LVTPC (`KVM_REQ_PMI`).
    Pmi = 19,
    /// Make an SMI pending (`KVM_REQ_SMI`).
    Smi = 20,
}

impl Request {
    /// The request's bit in `vcpu->requests`.
    #[inline(always)]
    pub const fn mask(self) -> u64 {
        1 << self as u8
    }
}

/// `vcpu->requests`, as event delivery sees it.
#[derive(Clone, Copy)]
pub struct Requests<'a>(&'a Bits);

impl<'a> Requests<'a> {
    /// The requests in `bits`.
    #[inline(always)]
    pub fn new(bits: &'a Bits) -> Self {
        Self(bits)
    }

    /// Whether `request` is made (C: kvm_test_request()).
    #[inline(always)]
    pub fn is_made(&self, request: Request) -> bool {
        self.0.load() & request.mask() != 0
    }

    /// Clears `request` and tells whether it was made (C: kvm_check_request()).
    #[inline(always)]
    pub fn take(&self, request: Request) -> bool {
        if !self.is_made(request) {
            return false;
        }
        self.drop_request(request);
        true
    }

    /// Clears `request` (C: kvm_clear_request()).
    #[inline(always)]
    pub fn drop_request(&self, request: Request) {
        self.0.clear(request.mask());
    }

    /// Asks that pending events be evaluated before the next VM-Enter.
    #[inline(always)]
    pub fn make_event(&self) {
        self.0.set(Request::Event.mask());
    }

    /// Asks that counters be reprogrammed.
    #[inline(always)]
    pub fn make_pmu(&self) {
        self.0.set(Request::Pmu.mask());
    }

    /// Asks for a PMI. Only a recorded overflow has what this takes.
    #[inline(always)]
    pub(super) fn make_pmi(&self, _: pmi::Overflowed) {
        self.0.set(Request::Pmi.mask());
    }

    /// Whether anything is requested (C: kvm_request_pending()).
    #[inline(always)]
    pub fn any(&self) -> bool {
        self.0.load() != 0
    }

    /// Asks that NMIs be collected. Only the NMI queue has what this takes.
    #[inline(always)]
    pub(super) fn make_nmi(&self, _: nmi::Arrived) {
        self.0.set(Request::Nmi.mask());
    }
}

/// One step of service: the request, and what serving it may make in turn.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    serves: Request,
    may_make: &'static [Request],
}

/// The order of service before VM-Enter (C: vcpu_enter_guest()).
///
/// A counter that is reprogrammed may turn out to have overflowed; a PMI goes wherever the guest
/// pointed LVTPC (SDM vol. 3, "Local Vector Table"), so also to NMI or SMI. Served in any other
/// order, the new request is found by the last check before VM-Enter, which is then cancelled.
pub const ORDER: [Service; 4] = producer_first([
    service(Request::Pmu, &[Request::Pmi]),
    service(Request::Pmi, &[Request::Smi, Request::Nmi, Request::Event]),
    service(Request::Smi, &[Request::Event]),
    service(Request::Nmi, &[Request::Event]),
]);

/// The requests of [`ORDER`], as one mask. Who calls [`serve`] may look at it first.
pub const SERVED: u64 = {
    let (mut mask, mut i) = (0, 0);
    while i < ORDER.len() {
        mask |= ORDER[i].serves.mask();
        i += 1;
    }
    mask
};

/// Returns `order`, if no service in it may make a request that is behind it already.
///
/// Anything else does not compile:
///
/// ```compile_fail
/// use kvm_event_core::request::{producer_first, service, Request::*, Service};
/// const NMI_FIRST: [Service; 2] = producer_first([service(Nmi, &[Event]), service(Pmi, &[Nmi])]);
/// # let _ = NMI_FIRST;
/// ```
///
/// The same two, the producer first:
///
/// ```
/// use kvm_event_core::request::{producer_first, service, Request::*, Service};
/// const PMI_FIRST: [Service; 2] = producer_first([service(Pmi, &[Nmi]), service(Nmi, &[Event])]);
/// # let _ = PMI_FIRST;
/// ```
pub const fn producer_first<const N: usize>(order: [Service; N]) -> [Service; N] {
    let mut i = 0;
    while i < N {
        let mut behind = 0;
        while behind <= i {
            let mut k = 0;
            while k < order[i].may_make.len() {
                assert!(
                    order[i].may_make[k] as u8 != order[behind].serves as u8,
                    "a request is serviced before the one that makes it"
                );
                k += 1;
            }
            behind += 1;
        }
        i += 1;
    }
    order
}

/// A step of an order of service.
pub const fn service(serves: Request, may_make: &'static [Request]) -> Service {
    Service { serves, may_make }
}

/// The routines that serve a vCPU's requests, on its own thread.
pub trait Serve {
    /// The requests made of this vCPU.
    fn requests(&self) -> Requests<'_>;
    /// Reprograms counters (C: kvm_pmu_handle_event()).
    fn pmu(&mut self);
    /// Delivers a PMI (C: kvm_pmu_deliver_pmi()).
    fn pmi(&mut self);
    /// Makes an SMI pending (C: process_smi()).
    fn smi(&mut self);
    /// Collects NMIs ([`nmi::collect`]).
    fn nmi(&mut self);
}

/// The requests that are served after the `i`th.
const fn behind(i: usize) -> u64 {
    let (mut mask, mut k) = (0, i + 1);
    while k < ORDER.len() {
        mask |= ORDER[k].serves.mask();
        k += 1;
    }
    mask
}

/// Serves what is requested, each producer before its consumers.
#[inline(always)]
pub fn serve(vcpu: &mut impl Serve) {
    const LAST: usize = ORDER.len() - 1;
    const { assert!(LAST == 3) }
    // By a constant index, so that a step is a test and a call, and not a walk over the table. The
    // last one alone, an NMI, is what there is most of.
    let others = const { SERVED & !ORDER[LAST].serves.mask() };
    if vcpu.requests().0.load() & others == 0
        || (step::<0>(vcpu) && step::<1>(vcpu) && step::<2>(vcpu))
    {
        step::<LAST>(vcpu);
    }
}

/// Finds the overflows of a vCPU that is about to sleep in HLT.
///
/// A counter counts the HLT itself: an overflow of its retirement is a PMI, which ends the HLT. The
/// PMI is delivered here too: it ends the HLT only if LVTPC makes an event of it that does.
#[inline(always)]
pub fn settle_counters(vcpu: &mut impl Serve) {
    if vcpu.requests().take(Request::Pmu) {
        vcpu.pmu();
        if vcpu.requests().take(Request::Pmi) {
            vcpu.pmi();
        }
    }
}

/// Serves the `I`th if it is requested; whether there may be more.
#[inline(always)]
fn step<const I: usize>(vcpu: &mut impl Serve) -> bool {
    let request = const { ORDER[I].serves };
    if !vcpu.requests().take(request) {
        return true;
    }
    match request {
        Request::Pmu => vcpu.pmu(),
        Request::Pmi => vcpu.pmi(),
        Request::Smi => vcpu.smi(),
        Request::Nmi => vcpu.nmi(),
        Request::Event => {}
    }
    let behind = const { behind(I) };
    behind != 0 && vcpu.requests().0.load() & behind != 0
}
