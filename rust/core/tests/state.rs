// SPDX-License-Identifier: GPL-2.0

//! The text of a vCPU's file in debugfs.
#![cfg(not(loom))]

use kvm_event_core::init_sipi::Outcome;
use kvm_event_core::mode::Mode;
use kvm_event_core::mp_state::MpState;
use kvm_event_core::state::{Counts, State};

fn text(state: &State) -> String {
    let mut text = String::new();
    state.write(&mut text).unwrap();
    text
}

#[test]
fn a_hang() {
    let counts = Counts {
        sipi_blocked: 2,
        init_latched: 1,
        init_taken: 1,
        ..Counts::default()
    };
    let mut state = State {
        mode: Some(Mode::OutsideGuest),
        mp_state: Some(MpState::InitReceived),
        requests: (1 << 14) | (1 << 17) | (1 << 9) | (1 << 63),
        init: false,
        sipi: true,
        sipi_vector: 0x9a,
        nmi_queued: 3,
        nmi_pending: 2,
        nmi_injected: true,
        nmi_injections: 7,
        counts,
    };
    assert_eq!(
        text(&state),
        "mode: outside\nmp_state: init-received\nrequests: event nmi 9 63\npending: sipi\n\
         sipi_vector: 0x9a\nnmi_queued: 3\nnmi_pending: 2\nnmi_injected: 1\nnmi_injections: 7\n\
         init_latched: 1\ninit_taken: 1\nsipi_taken: 0\nsipi_dropped_blocked: 2\n\
         sipi_dropped_not_waiting: 0\n"
    );
    (
        state.mode,
        state.mp_state,
        state.requests,
        state.init,
        state.sipi,
    ) = (None, None, 0, true, true);
    let said = text(&state);
    for line in [
        "mode: unknown",
        "mp_state: unknown",
        "requests: none",
        "pending: init sipi",
    ] {
        assert!(said.lines().any(|l| l == line), "{line}");
    }
}

/// An INIT that waits is looked at again and again.
#[test]
fn a_latched_init_is_counted_once() {
    let mut counts = Counts::default();
    for _ in 0..3 {
        counts.count(Outcome::InitLatched);
    }
    counts.count(Outcome::InitTaken);
    counts.count(Outcome::InitLatched);
    for outcome in [
        Outcome::SipiTaken,
        Outcome::SipiBlocked,
        Outcome::SipiNotAwaited,
    ] {
        counts.count(outcome);
    }
    let expected = Counts {
        init_latched: 2,
        init_taken: 1,
        sipi_taken: 1,
        sipi_blocked: 1,
        sipi_not_awaited: 1,
        init_waits: true,
    };
    assert_eq!(counts, expected);
}
