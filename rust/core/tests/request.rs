// SPDX-License-Identifier: GPL-2.0

//! The order of service, over every set of requests and everything a service may make.

#![cfg(not(loom))]

mod common;

use common::Shared;
use kvm_event_core::mp_state::{wait_is_over, MpState, Waiter};
use kvm_event_core::request::{serve, settle_counters, Request, Requests, Serve};

/// By SDM vol. 3, "Local Vector Table" and "Performance Monitoring Interrupt": a counter that
/// overflowed asks for a PMI; a PMI is whatever LVTPC's delivery mode says.
const MAKES: [(Request, &[Request]); 4] = [
    (Request::Pmu, &[Request::Pmi]),
    (Request::Pmi, &[Request::Smi, Request::Nmi, Request::Event]),
    (Request::Smi, &[Request::Event]),
    (Request::Nmi, &[Request::Event]),
];

struct Recorder<'a> {
    shared: &'a Shared,
    makes: &'a [u64; 4],
    served: Vec<Request>,
}

impl Recorder<'_> {
    fn record(&mut self, i: usize) {
        self.served.push(MAKES[i].0);
        self.shared.requests.set(self.makes[i]);
    }
}

impl Serve for Recorder<'_> {
    fn requests(&self) -> Requests<'_> {
        self.shared.requests()
    }
    fn pmu(&mut self) {
        self.record(0)
    }
    fn pmi(&mut self) {
        self.record(1)
    }
    fn smi(&mut self) {
        self.record(2)
    }
    fn nmi(&mut self) {
        self.record(3)
    }
}

fn mask_of(requests: &[Request], choice: usize) -> u64 {
    requests
        .iter()
        .enumerate()
        .filter(|(i, _)| (choice >> i) & 1 == 1)
        .map(|(_, r)| r.mask())
        .sum()
}

#[test]
fn one_pass_serves_all_that_it_makes() {
    let served = MAKES.map(|(r, _)| r);
    for first in 0..16 {
        for choice in 0..1 << 6 {
            let makes = [
                mask_of(MAKES[0].1, choice),
                mask_of(MAKES[1].1, choice >> 1),
                mask_of(MAKES[2].1, choice >> 4),
                mask_of(MAKES[3].1, choice >> 5),
            ];
            let others = (1 << 3) | (1 << 40);
            let shared = Shared::new(0, mask_of(&served, first) | others);
            let mut vcpu = Recorder {
                shared: &shared,
                makes: &makes,
                served: vec![],
            };
            serve(&mut vcpu);
            let served_now = vcpu.served;
            for r in served {
                // Left over, it would cancel the VM-Enter.
                assert!(!shared.made(r), "{r:?} left over of {first:#b}, {makes:x?}");
                assert!(served_now.iter().filter(|s| **s == r).count() <= 1);
            }
            for (i, r) in served.into_iter().enumerate() {
                if (first >> i) & 1 == 1 {
                    assert!(served_now.contains(&r));
                }
            }
            assert_eq!(
                shared.requests.load() & others,
                others,
                "another's request was dropped"
            );
        }
    }
}

/// Before a vCPU sleeps in HLT: without a request to reprogram counters, nothing is served. With it,
/// first the counters are, then a PMI that was requested or that the counters make; nothing else is,
/// and whatever else is requested, or made, stays requested.
#[test]
fn settling_serves_counters_then_their_pmi() {
    let (pmu, pmi) = (Request::Pmu.mask(), Request::Pmi.mask());
    for first in 0..16 {
        for choice in 0..1 << 4 {
            let makes = [
                mask_of(MAKES[0].1, choice),
                mask_of(MAKES[1].1, choice >> 1),
                0,
                0,
            ];
            let requests = mask_of(&MAKES.map(|(r, _)| r), first) | (1 << 3) | (1 << 40);
            let (mut served, mut left) = (vec![], requests);
            if left & pmu != 0 {
                served.push(Request::Pmu);
                left = left & !pmu | makes[0];
                if left & pmi != 0 {
                    served.push(Request::Pmi);
                    left = left & !pmi | makes[1];
                }
            }
            let shared = Shared::new(0, requests);
            let mut vcpu = Recorder {
                shared: &shared,
                makes: &makes,
                served: vec![],
            };
            settle_counters(&mut vcpu);
            assert_eq!(vcpu.served, served, "{requests:#x} {makes:x?}");
            assert_eq!(shared.requests.load(), left, "{requests:#x} {makes:x?}");
        }
    }
}

struct Ap(bool, bool, bool);

impl Waiter for Ap {
    fn has_init_or_sipi(&self) -> bool {
        self.0
    }
    fn accepts_init_or_sipi(&self) -> bool {
        self.1
    }
    fn has_new_protected_state(&self) -> bool {
        self.2
    }
}

#[test]
fn only_init_and_sipi_end_the_wait() {
    // SDM vol. 3, "Activity State": wait-for-SIPI blocks everything but SIPI; an AP that has not
    // seen an INIT is in the same state after its RESET.
    for (raw, waits) in [
        (0, false),
        (1, true),
        (2, true),
        (3, false),
        (4, false),
        (9, false),
    ] {
        assert_eq!(
            MpState::from_raw(raw).map(MpState::waits_for_sipi),
            Some(waits),
            "{raw}"
        );
    }
    for raw in [5, 6, 7, 8, 10, 11, u32::MAX] {
        assert_eq!(MpState::from_raw(raw), None, "{raw}");
    }
    for (ap, over) in [
        (Ap(false, false, false), false),
        (Ap(false, true, false), false),
        (Ap(true, false, false), false),
        (Ap(true, true, false), true),
        (Ap(false, false, true), true),
        (Ap(false, true, true), true),
        (Ap(true, false, true), true),
        (Ap(true, true, true), true),
    ] {
        assert_eq!(wait_is_over(&ap), over);
    }
}
