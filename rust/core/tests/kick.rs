// SPDX-License-Identifier: GPL-2.0

//! The kick, over all inputs (semantics: KVM's Documentation/virt/kvm/vcpu-requests.rst).
#![cfg(not(loom))]

mod common;

use std::cell::Cell;

use common::kick;
use kvm_event_core::mode::{kick_self, Mode, ModeWord, Vcpu};
use kvm_event_core::sync::Word;

/// A vCPU, as one kick of it sees it.
#[derive(Debug)]
struct Kicked {
    here: bool,
    mode: Word,
    request: bool,
    wants_request: bool,
    warnings: Cell<u32>,
}

/// Preemption is off.
struct Pinned;

impl Vcpu for Kicked {
    type Pinned = Pinned;
    fn is_running_here(&self, _: &Pinned) -> bool {
        self.here
    }
    fn mode(&self) -> ModeWord<'_> {
        ModeWord::new(&self.mode)
    }
    fn has_request(&self) -> bool {
        self.request
    }
    fn wants_request(&self) -> bool {
        self.wants_request
    }
    fn warn_no_request(&self) {
        self.warnings.set(self.warnings.get() + 1);
    }
}

const MODES: [Mode; 4] = [
    Mode::OutsideGuest,
    Mode::InGuest,
    Mode::ExitingGuest,
    Mode::ReadingShadowPageTables,
];

/// A value that is no mode, too.
const RAW_MODES: [u32; 5] = [0, 1, 2, 3, 7];
const IN_GUEST: u32 = 1;
const EXITING: u32 = 2;

/// Calls `test` with a vCPU for each combination of inputs, and that combination.
fn for_all_inputs(test: impl Fn(&Kicked, u32)) {
    let mut seen = 0;
    for raw in RAW_MODES {
        for flags in 0..8 {
            let is = |bit: u32| flags & (1 << bit) != 0;
            let vcpu = Kicked {
                here: is(0),
                mode: Word::new(raw),
                request: is(1),
                wants_request: is(2),
                warnings: Cell::new(0),
            };
            test(&vcpu, raw);
            seen += 1;
        }
    }
    assert_eq!(seen, 5 * 2 * 2 * 2);
}

/// The thread that has the vCPU loaded makes IN_GUEST_MODE EXITING_GUEST_MODE and nothing else;
/// nor that, if KVM wants a request and there is none: then KVM warns.
#[test]
fn every_kick_of_oneself() {
    for_all_inputs(|vcpu, raw| {
        let kicked = kick_self(vcpu, &Pinned);
        assert_eq!(kicked, vcpu.here, "{vcpu:?}");
        let in_guest = vcpu.here && raw == IN_GUEST;
        let warned = in_guest && vcpu.wants_request && !vcpu.request;
        assert_eq!(vcpu.warnings.get(), u32::from(warned), "{vcpu:?}");
        let after = if in_guest && !warned { EXITING } else { raw };
        assert_eq!(vcpu.mode.load(), after, "from {raw}: {vcpu:?}");
    });
}

/// Another thread's kick changes the mode and sends an IPI exactly if the vCPU is in the guest; a
/// vCPU that kicks itself never gets an IPI.
#[test]
fn every_kick() {
    for_all_inputs(|vcpu, raw| {
        let ipi = kick(vcpu, &Pinned);
        assert_eq!(ipi, !vcpu.here && raw == IN_GUEST, "from {raw}: {vcpu:?}");
        if !vcpu.here {
            assert_eq!(vcpu.warnings.get(), 0, "{vcpu:?}");
            let after = if raw == IN_GUEST { EXITING } else { raw };
            assert_eq!(vcpu.mode.load(), after, "from {raw}: {vcpu:?}");
        }
        // One IPI is enough. After a warning the mode still is IN_GUEST_MODE, so that the next
        // kick from elsewhere reaches the vCPU.
        let again = vcpu.mode().exit_guest();
        assert_eq!(again, vcpu.warnings.get() == 1, "from {raw}: {vcpu:?}");
    });
}

#[test]
fn modes_are_numbers_of_kvm() {
    for raw in 0..10 {
        assert_eq!(Mode::from_raw(raw), MODES.get(raw as usize).copied());
    }
}
