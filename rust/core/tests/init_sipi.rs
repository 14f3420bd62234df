// SPDX-License-Identifier: GPL-2.0

//! INIT and SIPI, over all states of the vCPU that takes them; and in sequences, against a model.
#![cfg(not(loom))]
// Conditions read as the rule does.
#![allow(clippy::precedence, clippy::nonminimal_bool, clippy::type_complexity)]

use kvm_event_core::init_sipi::{
    accept, is_init, kept_sipi, restore, send_init, send_sipi, set_state, Blocker, Init,
    LatchedInit, Nested, Outcome, Pending, Sipi, Vcpu,
};
use kvm_event_core::mp_state::MpState;
use kvm_event_core::request::{Request, Requests};
use kvm_event_core::sync::{Bits, Word};
use kvm_event_core::untrusted::Untrusted;
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

fn latched(init: bool, vector_is_valid: bool) -> Untrusted<LatchedInit> {
    Untrusted::new(LatchedInit {
        latched: init.into(),
        vector_is_valid,
    })
}

struct Ap {
    apic: bool,
    events: Bits,
    vector: Word,
    requests: Bits,
    state: MpState,
    blocker: Option<Blocker>,
    keeps: bool,
    after_reset: bool,
    bsp: bool,
    /// With L2 active: what L1 says, and whether it takes what is pending.
    l1: Option<(fn() -> Nested, bool)>,
    /// What is sent while the first reset is under way: a SIPI's vector, or an INIT.
    during_reset: Vec<Option<u8>>,
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
            after_reset: false,
            bsp: false,
            l1: None,
            during_reset: Vec::new(),
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

    /// Makes an INIT pending, and a SIPI, whatever came first.
    fn set_left(&self, (init, sipi): (bool, bool)) {
        self.events.store(u64::from(init) | u64::from(sipi) << 1);
    }

    /// KVM_GET_VCPU_EVENTS: whether an INIT is latched, which C saves, and the kept SIPI's vector.
    fn save(&self) -> (bool, Option<u8>) {
        (self.apic && self.left().0, kept_sipi(self))
    }

    /// KVM_SET_VCPU_EVENTS: C stores a valid vector first.
    fn restore(&mut self, (latched_init, vector): (bool, Option<u8>)) {
        if let Some(vector) = vector.filter(|_| self.apic) {
            self.vector.store(vector.into());
        }
        restore(self, latched(latched_init, vector.is_some()));
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
    fn takes_sipi_after_reset(&self) -> bool {
        self.after_reset
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
        for vector in core::mem::take(&mut self.during_reset) {
            match vector {
                Some(vector) => self.sipi(vector),
                None => self.init(),
            }
        }
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
        for flags in 0..32 {
            let is = |bit: u32| flags & (1 << bit) != 0;
            let (init, sipi, keeps, bsp, after_reset) = (is(0), is(1), is(2), is(3), is(4));
            let mut ap = Ap::new(state);
            (ap.blocker, ap.keeps, ap.bsp) = (blocker, keeps, bsp);
            ap.after_reset = after_reset;
            if init {
                ap.init();
            }
            if sipi {
                ap.sipi(0x9a);
            }
            assert_eq!(accept(&mut ap), Ok(()));
            let what = format!("{state:?} {blocker:?} init {init} sipi {sipi} {flags:05b}");
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
            let awaits = waiting == MpState::InitReceived
                || after_reset && waiting == MpState::Uninitialized;
            let starts = sipi && awaits;
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

/// What comes while the AP is reset: an INIT is taken before the SIPI behind it, which starts the AP
/// that this INIT resets; a SIPI in front of it is gone.
#[test]
fn an_init_during_the_reset() {
    for (during, resets, starts, state) in [
        (vec![], 1, vec![], MpState::InitReceived),
        (vec![Some(7)], 1, vec![7], MpState::Runnable),
        (vec![None], 2, vec![], MpState::InitReceived),
        (vec![None, Some(7)], 2, vec![7], MpState::Runnable),
        (vec![None, Some(7), Some(8)], 2, vec![8], MpState::Runnable),
        (vec![Some(7), None], 2, vec![], MpState::InitReceived),
        (vec![Some(7), None, Some(8)], 2, vec![8], MpState::Runnable),
        (vec![None, Some(7), None], 2, vec![], MpState::InitReceived),
    ] {
        for bsp in [false, true] {
            let what = format!("{during:?} bsp {bsp}");
            let mut ap = Ap::new(MpState::Halted);
            (ap.bsp, ap.during_reset) = (bsp, during.clone());
            ap.init();
            // As long as something is pending, the vCPU comes back.
            for _ in 0..2 {
                assert_eq!(accept(&mut ap), Ok(()));
            }
            assert_eq!((ap.left(), ap.resets), ((false, false), resets), "{what}");
            let (starts, state) = if bsp {
                (&[][..], MpState::Runnable)
            } else {
                (&starts[..], state)
            };
            assert_eq!((&ap.starts[..], ap.state), (starts, state), "{what}");
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

/// KVM_SET_MP_STATE: SIPI_RECEIVED is INIT_RECEIVED with a SIPI pending. C makes KVM_REQ_EVENT.
#[test]
fn every_state_that_is_set() {
    for (state, from) in STATES.iter().flat_map(|&s| STATES.map(move |f| (s, f))) {
        for flags in 0..8 {
            let is = |bit: u32| flags & (1 << bit) != 0;
            let (apic, before) = (is(0), (is(1), is(2)));
            let mut ap = Ap::new(from);
            ap.apic = apic;
            ap.set_left(before);
            ap.vector.store(0x9a);
            set_state(&mut ap, Untrusted::new(state as u32));
            let sipi = state == MpState::SipiReceived;
            let what = format!("{from:?} -> {state:?}, apic {apic}, before {before:?}");
            let in_state = if sipi { MpState::InitReceived } else { state };
            assert_eq!(ap.state, in_state, "{what}");
            assert_eq!(ap.left(), (before.0, before.1 || sipi && apic), "{what}");
            assert_eq!((ap.vector.load(), ap.requests.load()), (0x9a, 0), "{what}");
        }
    }
}

/// What userspace may set: a state that x86 does not have changes nothing, and any other value than 0
/// latches an INIT.
#[test]
fn whatever_userspace_says() {
    for raw in (0..=255).chain([1 << 8, 1 << 16, 1 << 31, u32::MAX]) {
        for from in STATES {
            let mut ap = Ap::new(from);
            set_state(&mut ap, Untrusted::new(raw));
            let known = STATES.iter().any(|&s| s as u32 == raw);
            assert!(
                known || (ap.state, ap.left()) == (from, (false, false)),
                "{raw}"
            );
            let on_its_way_in = MpState::SipiReceived;
            assert!(!known || ap.state != on_its_way_in, "{raw}");
        }
    }
    for raw in 0..=u8::MAX {
        let mut ap = Ap::new(MpState::Runnable);
        restore(
            &mut ap,
            Untrusted::new(LatchedInit {
                latched: raw,
                vector_is_valid: true,
            }),
        );
        assert_eq!(ap.left(), (raw != 0, false));
    }
}

/// A SIPI is saved only if it is kept: behind an INIT, where the operator wants it.
#[test]
fn every_kept_sipi() {
    for flags in 0..16 {
        let is = |bit: u32| flags & (1 << bit) != 0;
        let (apic, keeps, before) = (is(0), is(1), (is(2), is(3)));
        for vector in 0..=u8::MAX {
            let mut ap = Ap::new(MpState::Runnable);
            (ap.apic, ap.keeps) = (apic, keeps);
            ap.set_left(before);
            ap.vector.store(vector.into());
            let kept = apic && keeps && before == (true, true);
            assert_eq!(kept_sipi(&ap), kept.then_some(vector), "{flags:04b}");
            assert_eq!(ap.left(), before, "{flags:04b}: saving changes nothing");
        }
    }
}

/// Whatever userspace says, and whatever was pending before.
#[test]
fn every_restore() {
    for flags in 0..64 {
        let is = |bit: u32| flags & (1 << bit) != 0;
        let (apic, keeps, before) = (is(0), is(1), (is(2), is(3)));
        let (latched_init, vector_is_valid) = (is(4), is(5));
        let mut ap = Ap::new(MpState::Runnable);
        (ap.apic, ap.keeps) = (apic, keeps);
        ap.set_left(before);
        ap.vector.store(0x9a);
        restore(&mut ap, latched(latched_init, vector_is_valid));
        let after = match (apic, latched_init) {
            (false, _) => before,
            (true, true) => (true, before.1 || keeps && vector_is_valid),
            // The SIPI that was kept behind the INIT goes with it; any other is not the INIT's.
            (true, false) => (false, before.1 && !(before.0 && keeps)),
        };
        let what = format!(
            "apic {apic} keeps {keeps} before {before:?} init {latched_init} valid {vector_is_valid}"
        );
        assert_eq!(ap.left(), after, "{what}");
        assert_eq!((ap.vector.load(), ap.requests.load()), (0x9a, 0), "{what}");
    }
}

/// From one vCPU to another: the INIT arrives, and a SIPI only if both of them keep it.
#[test]
fn every_save_and_restore() {
    for flags in 0..256 {
        let is = |bit: u32| flags & (1 << bit) != 0;
        let (sent, there, here, before) = ((is(0), is(1)), is(2), is(3), (is(4), is(5)));
        let mut from = Ap::new(MpState::Runnable);
        (from.keeps, from.apic) = (there, is(6));
        from.set_left(sent);
        from.vector.store(0x9a);
        let mut to = Ap::new(MpState::Runnable);
        (to.keeps, to.apic) = (here, is(7));
        to.set_left(before);
        to.vector.store(0x10);

        let saved = from.save();
        to.restore(saved);
        let init = from.apic && sent.0;
        let kept = init && sent.1 && there;
        assert_eq!(saved, (init, kept.then_some(0x9a)), "{flags:08b}");
        // A SIPI that was pending before, and that is not the dropped INIT's.
        let stays = before.1 && (init || !(before.0 && here));
        let after = if to.apic {
            (init, kept && here || stays)
        } else {
            before
        };
        assert_eq!(to.left(), after, "{flags:08b}");
        let vector = if kept && to.apic { 0x9a } else { 0x10 };
        assert_eq!(to.vector.load(), vector, "{flags:08b}");

        // Between two fresh vCPUs with APICs, both of which keep SIPIs, it arrives as it was.
        if from.apic && to.apic && there && here && before == (false, false) && sent.0 {
            assert_eq!(to.left(), sent, "{flags:08b}");
            assert_eq!(to.save(), saved, "{flags:08b}");
        }
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
                    to.restore(ap.save());
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
