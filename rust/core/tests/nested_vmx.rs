// SPDX-License-Identifier: GPL-2.0

//! VMX: every set of events that can be pending while L2 runs, in every state that matters.
#![cfg(not(loom))]
// Conditions read as the rule does.
#![allow(clippy::precedence, clippy::nonminimal_bool, clippy::type_complexity)]

use kvm_event_core::init_sipi::{send_init, send_sipi, Outcome as Counted, Pending};
use kvm_event_core::nested::{self, Outcome, Unfinished};
use kvm_event_core::request::Requests;
use kvm_event_core::sync::{Bits, Word};
use kvm_event_core::vmx::{has_events, Exception, Exit, Sleeper, Vcpu, L2};

const BS: u64 = 1 << 14;
const FAULT: Exception = Exception {
    vector: 14,
    payload: 0x1000,
};
const TRAP: Exception = Exception {
    vector: 1,
    payload: BS,
};
const SIPI_VECTOR: u8 = 0x9a;
const IRQ: u8 = 0x41;
const EXTINT: u8 = 0x30;

/// What L1 and L0 see of it.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Done {
    Exit(u32, u32, u64),
    Exception,
    Posted,
    Warned,
}

struct State {
    events: Bits,
    vector: Word,
    unfinished: Unfinished,
    waits: bool,
    to_l1: Option<Exception>,
    to_l2: Option<Exception>,
    mtf: bool,
    timer: bool,
    smi: bool,
    nmi: bool,
    irq: bool,
    extint: bool,
    /// The APIC's interrupt is gone by the time that its vector is asked for.
    vanished: bool,
    posted: bool,
    nmi_exiting: bool,
    intr_exiting: bool,
    ack: bool,
    done: Vec<Done>,
    counted: Vec<Counted>,
    saved_trap: bool,
    warned: std::cell::Cell<bool>,
}

/// 7.2's rule for posted interrupts, or 6.12's.
struct Line<const POSTED_WAITS: bool>(State);

impl<const POSTED_WAITS: bool> Vcpu for Line<POSTED_WAITS> {
    const POSTED_WAITS_FOR_ENTRY: bool = POSTED_WAITS;
    fn pending(&self) -> Option<Pending<'_>> {
        Some(Pending::new(&self.0.events, &self.0.vector))
    }
    fn unfinished(&self) -> Unfinished {
        self.0.unfinished
    }
    fn waits_for_sipi(&self) -> bool {
        self.0.waits
    }
    fn exception_to_l1(&self) -> Option<Exception> {
        self.0.to_l1
    }
    fn exception_to_l2(&self) -> Option<Exception> {
        self.0.to_l2
    }
    fn monitor_trap(&self) -> bool {
        self.0.mtf
    }
    fn drop_monitor_trap(&mut self) {
        self.0.mtf = false;
    }
    fn preemption_timer(&self) -> bool {
        self.0.timer
    }
    fn smi(&self) -> bool {
        self.0.smi
    }
    fn nmi(&self) -> bool {
        self.0.nmi
    }
    fn interrupt(&self) -> bool {
        self.0.irq || self.0.extint || self.0.vanished
    }
    fn exits_on_nmi(&self) -> bool {
        self.0.nmi_exiting
    }
    fn exits_on_interrupt(&self) -> bool {
        self.0.intr_exiting
    }
    fn acknowledges_on_exit(&self) -> bool {
        self.0.ack
    }
    fn take_extint(&mut self) -> Option<u8> {
        std::mem::take(&mut self.0.extint).then_some(EXTINT)
    }
    fn apic_interrupt(&self) -> Option<u8> {
        self.0.irq.then_some(IRQ)
    }
    fn warn_no_interrupt(&self) {
        self.0.warned.set(true);
    }
    fn is_posted(&self, vector: u8) -> bool {
        self.0.posted && vector == IRQ
    }
    fn post(&mut self, vector: u8) {
        assert_eq!(vector, IRQ);
        self.0.irq = false;
        self.0.done.push(Done::Posted);
    }
    fn count(&mut self, outcome: Counted) {
        self.0.counted.push(outcome);
    }
    fn exit(&mut self, exit: Exit) {
        let done = Done::Exit(
            exit.reason(),
            exit.interruption_info(),
            exit.qualification(),
        );
        self.0.done.push(done);
    }
    fn exit_with_exception(&mut self) {
        self.0.to_l1 = None;
        self.0.done.push(Done::Exception);
    }
    fn save_debug_trap(&mut self) {
        assert!(self.0.done.is_empty(), "after the exit it is lost");
        self.0.saved_trap = true;
    }
    fn nmi_is_done(&mut self) {
        self.0.nmi = false;
    }
    fn interrupt_is_in_service(&mut self, vector: u8) {
        assert_eq!((vector, self.0.done.len()), (IRQ, 1), "after the exit");
        self.0.irq = false;
    }
}

/// Bits of `events`: INIT, SIPI, fault to L1, fault to L2, MTF, trap to L1, trap to L2, timer, SMI, NMI,
/// interrupt. Bits of `mode`: L2's entry and an event are unfinished, L2 waits for SIPI, NMI exiting,
/// external-interrupt exiting, acknowledge on exit; the APIC's interrupt is a posted one, a PIC's is
/// there, the APIC's vanished.
fn state(events: u32, mode: u32) -> State {
    let has = |bit: u32| events & (1 << bit) != 0;
    let is = |bit: u32| mode & (1 << bit) != 0;
    let state = State {
        events: Bits::new(0),
        vector: Word::new(0),
        unfinished: Unfinished {
            entry: is(0),
            event: is(1),
        },
        waits: is(2),
        to_l1: if has(2) {
            Some(FAULT)
        } else {
            has(5).then_some(TRAP)
        },
        to_l2: if has(3) {
            Some(FAULT)
        } else {
            has(6).then_some(TRAP)
        },
        mtf: has(4),
        timer: has(7),
        smi: has(8),
        nmi: has(9),
        irq: has(10) && !is(8),
        extint: has(10) && is(7),
        vanished: has(10) && is(8),
        posted: is(6),
        nmi_exiting: is(3),
        intr_exiting: is(4),
        ack: is(5),
        done: Vec::new(),
        counted: Vec::new(),
        saved_trap: false,
        warned: std::cell::Cell::new(false),
    };
    let requests = Bits::new(0);
    let pending = Pending::new(&state.events, &state.vector);
    if has(0) {
        send_init(pending, Requests::new(&requests));
    }
    if has(1) {
        send_sipi(pending, Requests::new(&requests), SIPI_VECTOR);
    }
    state
}

/// The bit of a PIC's interrupt in [`present`].
const PIC: u32 = 11;

/// The events that are pending, bits as in [`state`]; bit 10 is the APIC's interrupt.
fn present(state: &State) -> u32 {
    let pending = Pending::new(&state.events, &state.vector);
    [
        pending.has_init(),
        pending.has_sipi(),
        state.to_l1 == Some(FAULT),
        state.to_l2 == Some(FAULT),
        state.mtf,
        state.to_l1 == Some(TRAP),
        state.to_l2 == Some(TRAP),
        state.timer,
        state.smi,
        state.nmi,
        state.irq,
        state.extint,
    ]
    .iter()
    .enumerate()
    .map(|(bit, &is_there)| u32::from(is_there) << bit)
    .sum()
}

/// What must come of it, by the manual's words and 6.12's or 7.2's rule of what waits:
/// (outcome, what was done). Written as a list of ifs, highest priority first.
fn expected(events: u32, mode: u32, posted_waits: bool) -> (Outcome, Option<Done>) {
    let has = |bit: u32| events & (1 << bit) != 0;
    let is = |bit: u32| mode & (1 << bit) != 0;
    let (entry, boundary) = (is(0), is(0) || is(1));
    let waits = is(2);
    let exit = |reason| Some(Done::Exit(reason, 0, 0));
    let busy = (Outcome::Busy, None);
    if has(0) {
        return match (boundary, waits) {
            (true, _) => busy,
            (false, true) => (Outcome::Done, None),
            (false, false) => (Outcome::Done, exit(3)),
        };
    }
    if has(1) {
        if boundary {
            return busy;
        }
        if waits {
            return (Outcome::Done, Some(Done::Exit(4, 0, SIPI_VECTOR.into())));
        }
    }
    let exception = |to_l1| match (entry, to_l1) {
        (true, _) => busy,
        (false, true) => (Outcome::Done, Some(Done::Exception)),
        (false, false) => (Outcome::NotForL1, None),
    };
    if has(2) || has(3) {
        return exception(has(2));
    }
    if has(4) {
        return if boundary {
            busy
        } else {
            (Outcome::Done, exit(37))
        };
    }
    if has(5) || has(6) {
        return exception(has(5));
    }
    if has(7) {
        return if boundary {
            busy
        } else {
            (Outcome::Done, exit(52))
        };
    }
    if has(8) {
        return if boundary {
            busy
        } else {
            (Outcome::NotForL1, None)
        };
    }
    if has(9) {
        return match (boundary, is(3)) {
            (true, _) => busy,
            (false, true) => (Outcome::Done, Some(Done::Exit(0, 0x8000_0202, 0))),
            (false, false) => (Outcome::NotForL1, None),
        };
    }
    if !has(10) {
        return (Outcome::NotForL1, None);
    }
    let (exiting, ack, posted, extint, vanished) = (is(4), is(5), is(6), is(7), is(8));
    // A PIC's interrupt goes first, if it can be delivered at all.
    let is_posted = exiting && ack && posted && !vanished && (boundary || !extint);
    let blocked = if is_posted && !posted_waits {
        is(1)
    } else {
        boundary
    };
    match (blocked, exiting, ack) {
        (true, _, _) => busy,
        (_, false, _) => (Outcome::NotForL1, None),
        (_, true, false) => (Outcome::Done, exit(1)),
        _ if is_posted => (Outcome::NotForL1, Some(Done::Posted)),
        _ if vanished && !extint => (Outcome::NotForL1, Some(Done::Warned)),
        _ => {
            let vector = u32::from(if extint { EXTINT } else { IRQ });
            (Outcome::Done, Some(Done::Exit(1, 0x8000_0000 | vector, 0)))
        }
    }
}

fn check<const POSTED_WAITS: bool>(events: u32, mode: u32) {
    let mut vcpu = Line::<POSTED_WAITS>(state(events, mode));
    let before = present(&vcpu.0);
    let outcome = nested::walk(&mut L2(&mut vcpu));
    let what = format!("events {events:011b}, mode {mode:09b}, posted waits: {POSTED_WAITS}");
    let (expected, done) = expected(events, mode, POSTED_WAITS);
    assert_eq!(outcome, expected, "{what}");
    let mut all_done = vcpu.0.done.clone();
    all_done.extend(vcpu.0.warned.get().then_some(Done::Warned));
    assert_eq!(all_done, Vec::from_iter(done), "{what}");

    // Only the event that was dealt with is gone.
    let boundary = mode & 3 != 0;
    let init = events & 1 != 0;
    let mut gone = match done {
        Some(Done::Exception) => 1 << 2 | 1 << 5,
        Some(Done::Exit(0, ..)) => 1 << 9,
        Some(Done::Exit(1, info, _)) if info as u8 == EXTINT => 1 << PIC,
        Some(Done::Exit(1, info, _)) if info as u8 == IRQ => 1 << 10,
        Some(Done::Posted) => 1 << 10,
        // The others are C's to clear, in the exit.
        _ => 0,
    };
    // Without an exit, too: INIT, which drops the monitor trap flag, or else SIPI.
    if !boundary {
        gone |= if init { 1 << 0 | 1 << 4 } else { 1 << 1 };
    }
    assert_eq!(present(&vcpu.0), before & !gone, "{what}");
    let counted = match (init, events & 2 != 0, boundary, mode & 4 != 0) {
        (_, _, true, _) | (false, false, _, _) => vec![],
        (true, ..) => vec![Counted::InitTaken],
        (false, true, _, true) => vec![Counted::SipiTaken],
        (false, true, _, false) => vec![Counted::SipiNotAwaited],
    };
    assert_eq!(vcpu.0.counted, counted, "{what}");
    // INIT and the monitor trap flag save a debug trap that their exit would lose.
    let mtf_exit = done == Some(Done::Exit(37, 0, 0));
    assert_eq!(vcpu.0.saved_trap, init && !boundary || mtf_exit, "{what}");
}

#[test]
fn every_set_of_events() {
    for events in 0..1 << 11 {
        for mode in 0..1 << 9 {
            check::<true>(events, mode);
            check::<false>(events, mode);
        }
    }
}

/// The order of two at once: the first exits, the other stays pending.
#[test]
fn every_pair() {
    // INIT, fault, MTF, timer, NMI, interrupt: all of them exit here.
    let order = [0, 2, 4, 7, 9, 10];
    let exiting = 1 << 3 | 1 << 4 | 1 << 5;
    for (i, first) in order.iter().enumerate() {
        for second in &order[i + 1..] {
            let mut vcpu = Line::<true>(state(1 << first | 1 << second, exiting));
            let alone = |event: &u32| expected(1 << event, exiting, true).1;
            let _ = nested::walk(&mut L2(&mut vcpu));
            assert_eq!(
                vcpu.0.done,
                Vec::from_iter(alone(first)),
                "{first} before {second}"
            );
            // But for the monitor trap flag, which an INIT drops.
            let stays = (*first, *second) != (0, 4);
            assert_eq!(
                present(&vcpu.0) & 1 << second != 0,
                stays,
                "{first} before {second}"
            );
        }
    }
}

/// SDM vol. 3, "Debug Registers": every bit that DR6 can get.
#[test]
fn low_priority_traps() {
    for bit in 0..64 {
        let trap = |vector| Exception {
            vector,
            payload: 1 << bit,
        };
        // BD (13) is a fault, BT (15) the task switch's trap.
        assert_eq!(trap(1).is_low_priority(), bit != 13 && bit != 15, "{bit}");
        assert_eq!(trap(1).debug_trap(), if bit == 13 { 0 } else { 1 << bit });
        assert!(!trap(3).is_low_priority());
        assert_eq!(trap(3).debug_trap(), 0);
    }
    assert!(!Exception {
        vector: 1,
        payload: 0
    }
    .is_low_priority());
    assert!(Exception {
        vector: 1,
        payload: BS | 1 << 13 | 1 << 15
    }
    .is_low_priority());
}

/// What can wake an L2 that sleeps.
struct Asleep {
    line: Line<true>,
    virtual_interrupts: bool,
    blocked: bool,
    priority: Option<u8>,
    requesting: u8,
    posted: Option<u8>,
}

macro_rules! ask {
    ($($name:ident($($arg:ident: $type:ty),*) $(-> $ret:ty)?;)*) => {
        $(fn $name(&self $(, $arg: $type)*) $(-> $ret)? { self.line.$name($($arg),*) })*
    };
}
macro_rules! tell {
    ($($name:ident($($arg:ident: $type:ty),*) $(-> $ret:ty)?;)*) => {
        $(fn $name(&mut self $(, $arg: $type)*) $(-> $ret)? { self.line.$name($($arg),*) })*
    };
}

impl Vcpu for Asleep {
    const POSTED_WAITS_FOR_ENTRY: bool = true;
    ask! {
        pending() -> Option<Pending<'_>>; unfinished() -> Unfinished; waits_for_sipi() -> bool;
        exception_to_l1() -> Option<Exception>; exception_to_l2() -> Option<Exception>;
        monitor_trap() -> bool; preemption_timer() -> bool; smi() -> bool; nmi() -> bool;
        interrupt() -> bool; exits_on_nmi() -> bool; exits_on_interrupt() -> bool;
        acknowledges_on_exit() -> bool; apic_interrupt() -> Option<u8>; warn_no_interrupt();
        is_posted(vector: u8) -> bool;
    }
    tell! {
        drop_monitor_trap(); take_extint() -> Option<u8>; post(vector: u8); count(outcome: Counted);
        exit(exit: Exit); exit_with_exception(); save_debug_trap(); nmi_is_done();
        interrupt_is_in_service(vector: u8);
    }
}

impl Sleeper for Asleep {
    fn has_virtual_interrupts(&self) -> bool {
        self.virtual_interrupts
    }
    fn blocks_interrupts(&self) -> bool {
        self.blocked
    }
    fn processor_priority(&self) -> Option<u8> {
        self.priority
    }
    fn requesting_vector(&self) -> u8 {
        self.requesting
    }
    fn posted_vector(&self) -> Option<u8> {
        self.posted
    }
}

/// SDM vol. 3, "Evaluation of Pending Virtual Interrupts": by class, the upper four bits.
#[test]
fn what_wakes_l2() {
    const VECTORS: [u8; 7] = [0, 0x0f, 0x10, 0x1f, 0x20, 0x51, 0xff];
    let options = |v: [u8; 7]| v.map(Some).into_iter().chain([None]);
    for flags in 0..32u32 {
        let is = |bit: u32| flags & (1 << bit) != 0;
        for priority in options(VECTORS) {
            for (requesting, posted) in VECTORS
                .into_iter()
                .flat_map(|r| options(VECTORS).map(move |p| (r, p)))
            {
                let events = u32::from(is(0)) << 7 | u32::from(is(1)) << 4;
                let vcpu = Asleep {
                    line: Line(state(events, 0)),
                    virtual_interrupts: is(2),
                    blocked: is(3),
                    priority,
                    requesting,
                    posted,
                };
                let above = |v: u8| priority.is_some_and(|p| v >> 4 > p >> 4);
                let deliverable = above(requesting) || posted.is_some_and(above);
                let wakes = is(0) || is(1) || is(2) && !is(3) && deliverable && !is(4);
                assert_eq!(has_events(&vcpu, is(4)), wakes, "{flags:b} {priority:?}");
            }
        }
    }
}
