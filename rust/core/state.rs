// SPDX-License-Identifier: GPL-2.0

//! A vCPU's event state in words, for whoever has to find out why it hangs.

use core::fmt;

use super::init_sipi::Outcome;
use super::mode::Mode;
use super::mp_state::MpState;
use super::request::Request;

/// How often what came of an INIT or a SIPI, since the vCPU was created.
///
/// C has room for it in `arch.event_counts`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// See [`Outcome::InitLatched`].
    pub init_latched: u64,
    /// See [`Outcome::InitTaken`].
    pub init_taken: u64,
    /// See [`Outcome::SipiTaken`].
    pub sipi_taken: u64,
    /// See [`Outcome::SipiBlocked`].
    pub sipi_blocked: u64,
    /// See [`Outcome::SipiNotAwaited`].
    pub sipi_not_awaited: u64,
    /// Whether an INIT waits, and was counted.
    pub init_waits: bool,
}

impl Counts {
    /// Whether `outcome` is counted. An INIT that waits is looked at again and again, and counted
    /// once.
    #[inline(always)]
    pub fn is_counted(outcome: Outcome, init_waits: bool) -> bool {
        outcome != Outcome::InitLatched || !init_waits
    }

    /// Whether an INIT waits after `outcome`; None if that is as it was.
    #[inline(always)]
    pub fn init_waits_after(outcome: Outcome) -> Option<bool> {
        match outcome {
            Outcome::InitLatched => Some(true),
            Outcome::InitTaken => Some(false),
            _ => None,
        }
    }
}

/// What is shown; each field was read at its own moment.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// Where the vCPU is.
    pub mode: Option<Mode>,
    /// Its activity state.
    pub mp_state: Option<MpState>,
    /// What is requested of it, a bit each.
    pub requests: u64,
    /// An INIT is pending.
    pub init: bool,
    /// A SIPI is pending.
    pub sipi: bool,
    /// The vector of the last SIPI.
    pub sipi_vector: u8,
    /// NMIs queued.
    pub nmi_queued: u32,
    /// NMIs pending, beside one that hardware holds.
    pub nmi_pending: u32,
    /// An NMI is being injected.
    pub nmi_injected: bool,
    /// NMIs injected since the vCPU was created.
    pub nmi_injections: u64,
    /// What came of INITs and SIPIs.
    pub counts: Counts,
}

const REQUESTS: [(Request, &str); 5] = [
    (Request::Event, "event"),
    (Request::Nmi, "nmi"),
    (Request::Pmu, "pmu"),
    (Request::Pmi, "pmi"),
    (Request::Smi, "smi"),
];

fn mode_name(mode: Option<Mode>) -> &'static str {
    match mode {
        Some(Mode::OutsideGuest) => "outside",
        Some(Mode::InGuest) => "in-guest",
        Some(Mode::ExitingGuest) => "exiting",
        Some(Mode::ReadingShadowPageTables) => "reading-shadow-page-tables",
        None => "unknown",
    }
}

fn mp_state_name(state: Option<MpState>) -> &'static str {
    match state {
        Some(MpState::Runnable) => "runnable",
        Some(MpState::Uninitialized) => "uninitialized",
        Some(MpState::InitReceived) => "init-received",
        Some(MpState::Halted) => "halted",
        Some(MpState::SipiReceived) => "sipi-received",
        Some(MpState::ApResetHold) => "ap-reset-hold",
        None => "unknown",
    }
}

/// The requests by name; those of other parts of KVM by number.
fn write_requests(f: &mut impl fmt::Write, mut requests: u64) -> fmt::Result {
    f.write_str("requests:")?;
    if requests == 0 {
        f.write_str(" none")?;
    }
    for (request, name) in REQUESTS {
        if requests & request.mask() != 0 {
            write!(f, " {name}")?;
            requests &= !request.mask();
        }
    }
    while requests != 0 {
        write!(f, " {}", requests.trailing_zeros())?;
        requests &= requests - 1;
    }
    f.write_str("\n")
}

impl State {
    /// Writes a line `key: value` for each thing that is known.
    pub fn write(&self, f: &mut impl fmt::Write) -> fmt::Result {
        writeln!(f, "mode: {}", mode_name(self.mode))?;
        writeln!(f, "mp_state: {}", mp_state_name(self.mp_state))?;
        write_requests(f, self.requests)?;
        let pending = match (self.init, self.sipi) {
            (false, false) => "none",
            (true, false) => "init",
            (false, true) => "sipi",
            (true, true) => "init sipi",
        };
        writeln!(f, "pending: {pending}")?;
        writeln!(f, "sipi_vector: {:#x}", self.sipi_vector)?;
        for (key, value) in [
            ("nmi_queued", self.nmi_queued.into()),
            ("nmi_pending", self.nmi_pending.into()),
            ("nmi_injected", self.nmi_injected.into()),
            ("nmi_injections", self.nmi_injections),
            ("init_latched", self.counts.init_latched),
            ("init_taken", self.counts.init_taken),
            ("sipi_taken", self.counts.sipi_taken),
            ("sipi_dropped_blocked", self.counts.sipi_blocked),
            ("sipi_dropped_not_waiting", self.counts.sipi_not_awaited),
        ] {
            writeln!(f, "{key}: {value}")?;
        }
        Ok(())
    }
}
