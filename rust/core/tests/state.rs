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
    let (mut waits, mut latched) = (false, 0);
    let mut see = |outcome| {
        latched += u32::from(Counts::is_counted(outcome, waits) && outcome == Outcome::InitLatched);
        waits = Counts::init_waits_after(outcome).unwrap_or(waits);
        (latched, waits)
    };
    for _ in 0..3 {
        assert_eq!(see(Outcome::InitLatched), (1, true));
    }
    for other in [
        Outcome::SipiTaken,
        Outcome::SipiBlocked,
        Outcome::SipiNotAwaited,
    ] {
        assert_eq!(see(other), (1, true), "{other:?}");
        for waits in [false, true] {
            assert!(Counts::is_counted(other, waits), "{other:?}");
        }
    }
    assert_eq!(see(Outcome::InitTaken), (1, false));
    assert_eq!(see(Outcome::InitLatched), (2, true));
}
