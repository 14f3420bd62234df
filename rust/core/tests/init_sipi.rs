// SPDX-License-Identifier: GPL-2.0

//! INIT and SIPI, over all states of the vCPU that takes them; and in sequences, against a model.
#![cfg(not(loom))]
// Conditions read as the rule does.
#![allow(clippy::precedence, clippy::nonminimal_bool, clippy::type_complexity)]

use kvm_event_core::init_sipi::{
    accept, is_init, requested_state, restore, save, send_init, send_sipi, set_state,
    unless_wait_blocked, Blocker, Init, Nested, Outcome, Pending, Refused, Saved, Sipi, Vcpu,
};
use kvm_event_core::mp_state::MpState;
use kvm_event_core::request::{Request, Requests};
use kvm_event_core::sync::{Bits, Word};
use proptest::prelude::*;

const STATES: [MpState; 6] = [
    MpState::Runnable,
    MpState::Uninitialized,
    MpState::InitReceived,
    MpState::Halted,
    MpState::SipiReceived,
    MpState::ApResetHold,
];
const BLOCKERS: [Option<Blocker>; 4] = [
    None,
    Some(Blocker::Smm),
    Some(Blocker::Gif),
    Some(Blocker::Root),
];
const BOTH: [bool; 2] = [false, true];

struct Ap {
    apic: bool,
    events: Bits,
    vector: Word,
    requests: Bits,
    state: MpState,
    blocker: Option<Blocker>,
    keeps: bool,
    bsp: bool,
    /// With L2 active: what L1 says, and whether it takes what is pending.
    l1: Option<(fn() -> Nested, bool)>,
    resets: u32,
    starts: Vec<u8>,
    counted: Vec<Outcome>,
}

impl Ap {
    fn new(state: MpState) -> Self {
        Self {
            apic: true,
            events: Bits::new(0),
            vector: Word::new(0),
            requests: Bits::new(0),
            state,
            blocker: None,
            keeps: false,
            bsp: false,
            l1: None,
            resets: 0,
            starts: Vec::new(),
            counted: Vec::new(),
        }
    }

    fn init(&self) {
        send_init(self.pending().unwrap(), Requests::new(&self.requests));
    }

    fn sipi(&self, vector: u8) {
        send_sipi(
            self.pending().unwrap(),
            Requests::new(&self.requests),
            vector,
        );
    }

    fn left(&self) -> (bool, bool) {
        let pending = Pending::new(&self.events, &self.vector);
        (pending.has_init(), pending.has_sipi())
    }
}

impl Vcpu for Ap {
    fn pending(&self) -> Option<Pending<'_>> {
        self.apic.then(|| Pending::new(&self.events, &self.vector))
    }
    fn requests(&self) -> Requests<'_> {
        Requests::new(&self.requests)
    }
    fn is_guest_mode(&self) -> bool {
        self.l1.is_some()
    }
    fn check_nested_events(&mut self) -> Nested {
        let (says, takes) = self.l1.take().unwrap();
        if takes {
            let _ = Pending::new(&self.events, &self.vector).take_init();
            // The exit is to root operation.
            self.blocker = Some(Blocker::Root);
        }
        says()
    }
    fn blocker(&self) -> Option<Blocker> {
        self.blocker
    }
    fn keeps_sipi(&self) -> bool {
        self.keeps
    }
    fn is_bsp(&self) -> bool {
        self.bsp
    }
    fn mp_state(&self) -> Option<MpState> {
        Some(self.state)
    }
    fn set_mp_state(&mut self, state: MpState) {
        self.state = state;
    }
    fn reset(&mut self, _: Init) {
        self.resets += 1;
    }
    fn start(&mut self, sipi: Sipi) {
        self.starts.push(sipi.vector);
    }
    fn count(&mut self, outcome: Outcome) {
        self.counted.push(outcome);
    }
}

/// SDM vol. 3, "MP Initialization Protocol", and what blocks it: INIT is latched, SIPI dropped.
#[test]
fn every_acceptance() {
    for (state, blocker) in STATES.iter().flat_map(|&s| BLOCKERS.map(move |b| (s, b))) {
        for flags in 0..16 {
            let is = |bit: u32| flags & (1 << bit) != 0;
            let (init, sipi, keeps, bsp) = (is(0), is(1), is(2), is(3));
            let mut ap = Ap::new(state);
            (ap.blocker, ap.keeps, ap.bsp) = (blocker, keeps, bsp);
            if init {
                ap.init();
            }
            if sipi {
                ap.sipi(0x9a);
            }
            assert_eq!(accept(&mut ap), Ok(()));
            let what =
                format!("{state:?} {blocker:?} init {init} sipi {sipi} keeps {keeps} bsp {bsp}");
            if let Some(blocker) = blocker {
                let kept = sipi && init && keeps && blocker != Blocker::Root;
                assert_eq!(ap.left(), (init, kept), "{what}");
                assert_eq!(
                    (ap.resets, ap.starts.len(), ap.state),
                    (0, 0, state),
                    "{what}"
                );
                let mut counted = vec![];
                counted.extend(init.then_some(Outcome::InitLatched));
                counted.extend((sipi && !kept).then_some(Outcome::SipiBlocked));
                assert_eq!(ap.counted, counted, "{what}");
                continue;
            }
            let waiting = match (init, bsp) {
                (true, true) => MpState::Runnable,
                (true, false) => MpState::InitReceived,
                (false, _) => state,
            };
            let starts = sipi && waiting == MpState::InitReceived;
            assert_eq!(ap.left(), (false, false), "{what}");
            assert_eq!(ap.resets, u32::from(init), "{what}");
            assert_eq!(ap.starts, Vec::from_iter(starts.then_some(0x9a)), "{what}");
            assert_eq!(
                ap.state,
                if starts { MpState::Runnable } else { waiting },
                "{what}"
            );
            let mut counted = vec![];
            counted.extend(init.then_some(Outcome::InitTaken));
            counted.extend(sipi.then_some(if starts {
                Outcome::SipiTaken
            } else {
                Outcome::SipiNotAwaited
            }));
            assert_eq!(ap.counted, counted, "{what}");
        }
    }
}

/// L1 first: busy keeps all, an error goes up, and after an exit SIPI meets root operation.
#[test]
fn l1_is_asked_first() {
    let with = |l1| {
        let mut ap = Ap::new(MpState::InitReceived);
        ap.l1 = Some(l1);
        ap.init();
        ap.sipi(1);
        ap
    };
    let mut ap = with((|| Nested::Busy, false));
    assert_eq!(accept(&mut ap), Ok(()));
    assert_eq!(
        (ap.left(), ap.resets, ap.starts.len()),
        ((true, true), 0, 0)
    );
    let mut ap = with((|| Nested::Failed(-22), false));
    assert_eq!(accept(&mut ap), Err(-22));
    assert_eq!(
        (ap.left(), ap.resets, ap.starts.len()),
        ((true, true), 0, 0)
    );
    let mut ap = with((|| Nested::Checked, true));
    assert_eq!(accept(&mut ap), Ok(()));
    assert_eq!(
        (ap.left(), ap.resets, ap.starts.len()),
        ((false, false), 0, 0)
    );
    assert_eq!(ap.counted, [Outcome::SipiBlocked]);
    let mut ap = with((|| Nested::Checked, false));
    assert_eq!(accept(&mut ap), Ok(()));
    assert_eq!((ap.resets, ap.starts), (1, vec![1]));
    // Nothing pending: L1 is not asked.
    let mut ap = Ap::new(MpState::Runnable);
    ap.l1 = Some((|| panic!("asked"), false));
    assert_eq!(accept(&mut ap), Ok(()));
}

#[test]
fn senders() {
    assert!(is_init(true, true) && is_init(true, false) && is_init(false, false));
    assert!(!is_init(false, true), "a level that is deasserted");
    let ap = Ap::new(MpState::InitReceived);
    ap.sipi(7);
    assert_eq!(
        (ap.left(), ap.requests.load()),
        ((false, true), Request::Event.mask())
    );
    ap.init();
    assert_eq!(ap.left(), (true, false), "INIT is in place of SIPI");
    ap.sipi(8);
    ap.sipi(9);
    assert_eq!(ap.left(), (true, true), "SIPI is beside INIT");
    assert_eq!(ap.pending().unwrap().take_sipi(), Some(Sipi { vector: 9 }));
    assert_eq!(ap.pending().unwrap().take_sipi(), None, "once");
}

#[test]
fn every_requested_state() {
    for (raw, apic) in (0..20).flat_map(|r| BOTH.map(|a| (r, a))) {
        let mut ap = Ap::new(MpState::Runnable);
        ap.apic = apic;
        let known = [0, 1, 2, 3, 4, 9].contains(&raw);
        let result = requested_state(&ap, raw);
        assert_eq!(result.is_ok(), known && (apic || raw == 0), "{raw}");
        let Ok(state) = result else { continue };
        for (blocker, smi) in BLOCKERS.iter().flat_map(|&b| BOTH.map(move |s| (b, s))) {
            ap.blocker = blocker;
            let waits = matches!(raw, 2 | 4);
            let refused = waits && (smi || blocker.is_some());
            let expected = if refused { Err(Refused) } else { Ok(state) };
            assert_eq!(unless_wait_blocked(&ap, state, smi), expected);
        }
        ap.blocker = None;
        set_state(&mut ap, state);
        let in_state = if raw == 4 {
            MpState::InitReceived
        } else {
            state
        };
        assert_eq!((ap.state, ap.left()), (in_state, (false, raw == 4)));
        assert_eq!(ap.requests.load(), Request::Event.mask());
    }
}

#[test]
fn reported_states() {
    for (state, unhalted) in STATES.iter().flat_map(|&s| BOTH.map(move |u| (s, u))) {
        let sleeps = matches!(state, MpState::Halted | MpState::ApResetHold);
        let expected = if sleeps && unhalted {
            MpState::Runnable
        } else {
            state
        };
        assert_eq!(state.reported(|| unhalted), expected);
    }
}

/// What one vCPU has is what the other gets; a SIPI only if it is kept, on both sides.
#[test]
fn every_save_and_restore() {
    for flags in 0..64 {
        let is = |bit: u32| flags & (1 << bit) != 0;
        let (init, sipi, there, here) = (is(0), is(1), is(2), is(3));
        let mut from = Ap::new(MpState::Runnable);
        (from.keeps, from.apic) = (there, !is(4));
        from.events.store(u64::from(init) | u64::from(sipi) << 1);
        from.vector.store(0x9a);
        let saved = save(&from);
        let kept = from.apic && init && sipi && there;
        let expected = Saved {
            latched_init: Some(from.apic && init),
            vector: kept.then_some(0x9a),
        };
        assert_eq!(saved, expected);

        let mut to = Ap::new(MpState::Runnable);
        to.keeps = here;
        // Something that was there before.
        to.events.store(if is(5) { 3 } else { 0 });
        restore(&mut to, saved);
        let stays = is(5) && !(here && !(from.apic && init));
        assert_eq!(
            to.left(),
            (from.apic && init, kept && here || stays),
            "{flags:06b}"
        );
        if kept {
            assert_eq!(to.vector.load(), 0x9a);
        }
        restore(&mut to, Saved::default());
        assert_eq!(
            to.left(),
            (from.apic && init, kept && here || stays),
            "no flag: left alone"
        );
    }
}

#[derive(Clone, Debug)]
enum Step {
    Init,
    Sipi(u8),
    Accept,
    Block(Option<Blocker>),
    Move,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        Just(Step::Init),
        any::<u8>().prop_map(Step::Sipi),
        Just(Step::Accept),
        prop_oneof![
            Just(None),
            Just(Some(Blocker::Smm)),
            Just(Some(Blocker::Gif)),
            Just(Some(Blocker::Root))
        ]
        .prop_map(Step::Block),
        Just(Step::Move),
    ];
    prop::collection::vec(step, 0..40)
}

proptest! {
    /// A plain model: an INIT that waits, a SIPI that waits, who waits for what.
    #[test]
    fn sequences(steps in steps(), keeps in any::<bool>()) {
        let mut ap = Ap::new(MpState::Uninitialized);
        ap.keeps = keeps;
        let (mut init, mut sipi, mut waits, mut resets, mut starts) = (false, None, false, 0, vec![]);
        for step in steps {
            match step {
                Step::Init => { ap.init(); init = true; sipi = None; }
                Step::Sipi(v) => { ap.sipi(v); sipi = Some(v); }
                Step::Block(b) => ap.blocker = b,
                Step::Accept => {
                    prop_assert_eq!(accept(&mut ap), Ok(()));
                    match ap.blocker {
                        Some(b) => if !(init && keeps && b != Blocker::Root) { sipi = None; },
                        None => {
                            if std::mem::take(&mut init) { resets += 1; waits = true; }
                            if let Some(v) = sipi.take() {
                                if std::mem::take(&mut waits) { starts.push(v); }
                            }
                        }
                    }
                }
                Step::Move => {
                    // What is on its way, and not kept, userspace can't see; as upstream.
                    let mut to = Ap::new(ap.state);
                    (to.keeps, to.blocker, to.resets) = (keeps, ap.blocker, ap.resets);
                    to.starts = ap.starts.clone();
                    restore(&mut to, save(&ap));
                    if !(init && keeps) { sipi = None; }
                    ap = to;
                }
            }
            prop_assert_eq!(ap.left(), (init, sipi.is_some()));
            prop_assert_eq!((ap.resets, &ap.starts), (resets, &starts));
            prop_assert_eq!(ap.state == MpState::InitReceived, waits);
        }
    }
}
