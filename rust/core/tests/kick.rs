// SPDX-License-Identifier: GPL-2.0

//! The kick, over all that it asks (semantics: KVM's Documentation/virt/kvm/vcpu-requests.rst).
#![cfg(not(loom))]
// Conditions read as the rule does.
#![allow(clippy::precedence, clippy::nonminimal_bool, clippy::type_complexity)]

use std::cell::Cell;

use kvm_event_core::mode::{kick, Kick, Mode, ModeWord, Vcpu};
use kvm_event_core::sync::Word;

struct Kicked {
    asleep: bool,
    here: bool,
    mode: Word,
    cpu: i32,
    request: bool,
    wants_request: bool,
    warned: Cell<bool>,
    exchanged: Cell<bool>,
    /// Preemption is off so many times.
    off: Cell<i32>,
}

struct Off<'a>(&'a Cell<i32>);

impl Drop for Off<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Vcpu for &'static Kicked {
    type Pinned = Off<'static>;
    fn wake_up(&self) -> bool {
        assert_eq!(self.off.get(), 0, "a wake may schedule");
        self.asleep
    }
    fn pin(&self) -> Off<'static> {
        self.off.set(self.off.get() + 1);
        Off(&self.off)
    }
    fn is_running_here(&self, _: &Off<'static>) -> bool {
        assert_eq!(self.off.get(), 1);
        self.here
    }
    fn mode(&self) -> ModeWord<'_> {
        ModeWord::new(&self.mode)
    }
    fn exit_guest(&self) -> bool {
        self.exchanged.set(true);
        self.mode().exit_guest()
    }
    fn last_cpu(&self) -> i32 {
        assert_eq!(self.off.get(), 1);
        self.cpu
    }
    fn has_request(&self) -> bool {
        self.request
    }
    fn wants_request(&self) -> bool {
        self.wants_request
    }
    fn warn_no_request(&self) {
        self.warned.set(true);
    }
}

const MODES: [Mode; 4] = [
    Mode::OutsideGuest,
    Mode::InGuest,
    Mode::ExitingGuest,
    Mode::ReadingShadowPageTables,
];
const BOTH: [bool; 2] = [false, true];

#[test]
fn every_kick() {
    let mut seen = 0;
    for (asleep, here, mode) in BOTH.iter().flat_map(|&a| {
        BOTH.iter()
            .flat_map(move |&h| MODES.map(move |m| (a, h, m)))
    }) {
        for (cpu, request, wants_request) in [-1, 3]
            .iter()
            .flat_map(|&c| BOTH.iter().flat_map(move |&r| BOTH.map(move |w| (c, r, w))))
        {
            let vcpu: &'static Kicked = Box::leak(Box::new(Kicked {
                asleep,
                here,
                mode: Word::new(mode as u32),
                cpu,
                request,
                wants_request,
                warned: Cell::new(false),
                exchanged: Cell::new(false),
                off: Cell::new(0),
            }));
            let ipi = match kick(&vcpu) {
                Kick::Done => None,
                Kick::Ipi(cpu, _off) => {
                    assert_eq!(vcpu.off.get(), 1, "preemption is off until the IPI is sent");
                    Some(cpu)
                }
            };
            let what = (asleep, here, mode, cpu, request, wants_request);
            let in_guest = mode == Mode::InGuest && !asleep;
            let told = here && in_guest && wants_request && !request;
            assert_eq!(vcpu.off.get(), 0, "{what:?}");
            assert_eq!(vcpu.warned.get(), told, "{what:?}");
            // Whoever sleeps is woken and no more; oneself is never an atomic, nor an IPI.
            assert_eq!(vcpu.exchanged.get(), !asleep && !here, "{what:?}");
            assert_eq!(ipi, (in_guest && !here).then_some(cpu), "{what:?}");
            let after = if in_guest && !told {
                Mode::ExitingGuest
            } else {
                mode
            };
            assert_eq!(ModeWord::new(&vcpu.mode).load(), Some(after), "{what:?}");
            seen += 1;
        }
    }
    assert_eq!(seen, 2 * 2 * 4 * 2 * 2 * 2);
}

#[test]
fn modes_are_numbers_of_kvm() {
    for raw in 0..10 {
        assert_eq!(Mode::from_raw(raw), MODES.get(raw as usize).copied());
    }
}
