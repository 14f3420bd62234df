// SPDX-License-Identifier: GPL-2.0

//! SVM: every set of events that can be pending while L2 runs, in every state that matters.
#![cfg(not(loom))]
// Conditions read as the rule does.
#![allow(clippy::precedence, clippy::nonminimal_bool, clippy::type_complexity)]

use kvm_event_core::init_sipi::{send_init, send_sipi, Pending};
use kvm_event_core::nested::{self, Outcome, Unfinished};
use kvm_event_core::request::Requests;
use kvm_event_core::svm::{Exit, Vcpu, L2};
use kvm_event_core::sync::{Bits, Word};

/// APM vol. 2, "SVM Intercept Exit Codes".
const EXITS: [(Exit, u32); 4] = [
    (Exit::Init, 0x63),
    (Exit::Smi, 0x62),
    (Exit::Nmi, 0x61),
    (Exit::Interrupt, 0x60),
];

struct State {
    apic: bool,
    pending: (Bits, Word),
    unfinished: Unfinished,
    /// Exception to L1, to L2, SMI, NMI, interrupt.
    events: [bool; 5],
    intercepts: Vec<Exit>,
    done: Vec<Option<u32>>,
}

impl Vcpu for State {
    fn pending(&self) -> Option<Pending<'_>> {
        self.apic
            .then(|| Pending::new(&self.pending.0, &self.pending.1))
    }
    fn unfinished(&self) -> Unfinished {
        self.unfinished
    }
    fn exception_to_l1(&self) -> bool {
        self.events[0]
    }
    fn exception_to_l2(&self) -> bool {
        self.events[1]
    }
    fn smi(&self) -> bool {
        self.events[2]
    }
    fn nmi(&self) -> bool {
        self.events[3]
    }
    fn interrupt(&self) -> bool {
        self.events[4]
    }
    fn intercepts(&self, exit: Exit) -> bool {
        self.intercepts.contains(&exit)
    }
    fn exit(&mut self, exit: Exit) {
        self.done.push(Some(exit.code()));
    }
    fn exit_with_exception(&mut self) {
        self.done.push(None);
    }
}

/// The first that is there decides: an exit with this code, an exception's exit, or nothing for L1.
fn expected(
    events: u32,
    intercepts: u32,
    unfinished: Unfinished,
) -> (Outcome, Option<Option<u32>>) {
    let has = |bit: u32| events & (1 << bit) != 0;
    let boundary = unfinished.entry || unfinished.event;
    let busy = (Outcome::Busy, None);
    for (bit, of) in [
        (0, Some(0)),
        (2, None),
        (3, None),
        (4, Some(1)),
        (5, Some(2)),
        (6, Some(3)),
    ] {
        if !has(bit) {
            continue;
        }
        return match of {
            None if unfinished.entry => busy,
            None if bit == 2 => (Outcome::Done, Some(None)),
            None => (Outcome::NotForL1, None),
            Some(_) if boundary => busy,
            Some(i) if intercepts & (1 << i) == 0 => (Outcome::NotForL1, None),
            Some(i) => (Outcome::Done, Some(Some(EXITS[i].1))),
        };
    }
    (Outcome::NotForL1, None)
}

/// Bits: INIT, SIPI, exception to L1, to L2, SMI, NMI, interrupt.
#[test]
fn every_set_of_events() {
    for (events, intercepts) in (0..1u32 << 7).flat_map(|e| (0..16u32).map(move |i| (e, i))) {
        for flags in 0..4 {
            let unfinished = Unfinished {
                entry: flags & 1 != 0,
                event: flags & 2 != 0,
            };
            let has = |bit: u32| events & (1 << bit) != 0;
            let mut vcpu = State {
                apic: true,
                pending: (Bits::new(0), Word::new(0)),
                unfinished,
                events: [has(2), has(3), has(4), has(5), has(6)],
                intercepts: (0..4)
                    .filter(|i| intercepts & (1 << i) != 0)
                    .map(|i| EXITS[i].0)
                    .collect(),
                done: Vec::new(),
            };
            let requests = Bits::new(0);
            let pending = Pending::new(&vcpu.pending.0, &vcpu.pending.1);
            if has(0) {
                send_init(pending, Requests::new(&requests));
            }
            if has(1) {
                send_sipi(pending, Requests::new(&requests), 0x9a);
            }
            let before = vcpu.pending.0.load();
            let outcome = nested::walk(&mut L2(&mut vcpu));
            let (must, done) = expected(events, intercepts, unfinished);
            assert_eq!(outcome, must, "{events:07b} {intercepts:04b} {flags:02b}");
            assert_eq!(
                vcpu.done,
                Vec::from_iter(done),
                "{events:07b} {intercepts:04b} {flags:02b}"
            );
            // INIT is not consumed by its exit, and SIPI is nothing here.
            assert_eq!(vcpu.pending.0.load(), before);
        }
    }
}

/// Without an APIC in the kernel there is no INIT; the rest is as ever.
#[test]
fn no_apic() {
    let mut vcpu = State {
        apic: false,
        pending: (Bits::new(3), Word::new(0)),
        unfinished: Unfinished {
            entry: false,
            event: false,
        },
        events: [false, false, false, true, false],
        intercepts: EXITS.map(|(e, _)| e).to_vec(),
        done: Vec::new(),
    };
    assert_eq!(nested::walk(&mut L2(&mut vcpu)), Outcome::Done);
    assert_eq!(vcpu.done, [Some(0x61)]);
}

#[test]
fn exit_codes() {
    for (exit, code) in EXITS {
        assert_eq!(exit.code(), code);
    }
}
