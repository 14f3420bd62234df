// SPDX-License-Identifier: GPL-2.0

//! INIT and SIPI: sent by any context, taken once, by the vCPU's thread, never stolen.
//!
//! ```text
//!     any context                       the vCPU's thread
//!     -----------                       -----------------
//!     INIT: pending = {INIT}            test-and-clear INIT, reset
//!     SIPI: write the vector            test-and-clear SIPI
//!           (ordered)                   (ordered)
//!           set SIPI                    read the vector, start
//!     make KVM_REQ_EVENT, kick
//! ```
//!
//! INIT overwrites: a SIPI from before it is gone. SIPI adds. Each bit is consumed by one atomic
//! operation of the one who acts on it, and what it hands out ([`Init`], [`Sipi`]) is what acting
//! takes; so an event that is sent while another is acted on stays pending. A SIPI beside an INIT
//! came behind it, and starts nothing before that INIT is taken.

use super::mp_state::MpState;
use super::request::Requests;
use super::sync::{smp_rmb, smp_wmb, Bits, Word};
use super::untrusted::Untrusted;

const INIT: u32 = 0;
const SIPI: u32 = 1;

/// An INIT that was taken.
#[must_use]
pub struct Init(());

/// A SIPI that was taken.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub struct Sipi {
    /// The page where the vCPU starts.
    pub vector: u8,
}

/// What is pending at a vCPU's APIC (C: `apic->pending_events`, `apic->sipi_vector`).
#[derive(Clone, Copy)]
pub struct Pending<'a> {
    events: &'a Bits,
    vector: &'a Word,
}

impl<'a> Pending<'a> {
    /// What is pending in these two words.
    #[inline(always)]
    pub fn new(events: &'a Bits, vector: &'a Word) -> Self {
        Self { events, vector }
    }

    /// Whether anything is pending.
    #[inline(always)]
    pub fn any(&self) -> bool {
        self.events.load() != 0
    }

    /// Whether an INIT is pending.
    #[inline(always)]
    pub fn has_init(&self) -> bool {
        self.events.load() & (1 << INIT) != 0
    }

    /// Whether a SIPI is pending.
    #[inline(always)]
    pub fn has_sipi(&self) -> bool {
        self.events.load() & (1 << SIPI) != 0
    }

    /// The vector that was sent last.
    #[inline(always)]
    pub fn vector(&self) -> u8 {
        self.vector.load() as u8
    }

    /// Sends an INIT, in place of all that is pending.
    #[inline(always)]
    fn send_init(&self) {
        self.events.store(1 << INIT);
    }

    /// Sends a SIPI, beside what is pending.
    #[inline(always)]
    fn send_sipi(&self, vector: u8) {
        self.vector.store(vector.into());
        // Pairs with take_sipi().
        smp_wmb();
        self.events.set(1 << SIPI);
    }

    /// Takes the INIT, if one is pending.
    #[inline(always)]
    pub fn take_init(&self) -> Option<Init> {
        (self.has_init() && self.events.test_and_clear(INIT)).then_some(Init(()))
    }

    /// Takes the SIPI, if one is pending.
    #[inline(always)]
    pub fn take_sipi(&self) -> Option<Sipi> {
        (self.has_sipi() && self.events.test_and_clear(SIPI)).then(|| self.taken_sipi())
    }

    /// Takes the SIPI, if one is pending and no INIT is beside it.
    ///
    /// An INIT overwrites, so a SIPI beside it came later: it is for the state that the INIT leads to.
    #[inline(always)]
    pub fn take_sipi_alone(&self) -> Option<Sipi> {
        (self.has_sipi() && self.events.take_if_exactly(1 << SIPI)).then(|| self.taken_sipi())
    }

    #[inline(always)]
    fn taken_sipi(&self) -> Sipi {
        // Pairs with send_sipi().
        smp_rmb();
        Sipi {
            vector: self.vector(),
        }
    }
}

/// A level-triggered INIT that is deasserted is only for the arbitration of old buses.
#[inline(always)]
pub fn is_init(asserted: bool, level_triggered: bool) -> bool {
    !level_triggered || asserted
}

/// Sends an INIT to a vCPU. The caller kicks.
#[inline(always)]
pub fn send_init(pending: Pending<'_>, requests: Requests<'_>) {
    pending.send_init();
    requests.make_event();
}

/// Sends a SIPI to a vCPU. The caller kicks.
#[inline(always)]
pub fn send_sipi(pending: Pending<'_>, requests: Requests<'_>, vector: u8) {
    pending.send_sipi(vector);
    requests.make_event();
}

/// What blocks INIT, and SIPI with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocker {
    /// System-management mode (SDM vol. 3, "SMI Handler Execution Environment").
    Smm,
    /// SVM with the global interrupt flag clear (APM vol. 2, "Global Interrupt Flag").
    Gif,
    /// VMX root operation (SDM vol. 3, "Other Causes of VM Exits"), or a guest that takes no INIT.
    Root,
}

/// What came of an INIT or a SIPI, for an operator to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An INIT met a vCPU that blocks it, and waits.
    InitLatched,
    /// An INIT was taken.
    InitTaken,
    /// A SIPI started the vCPU.
    SipiTaken,
    /// A SIPI was dropped: the vCPU blocks INIT and SIPI.
    SipiBlocked,
    /// A SIPI was dropped: the vCPU didn't wait for one.
    SipiNotAwaited,
}

/// What L1 wanted of the events that are pending while L2 runs.
pub enum Nested {
    /// It had its say.
    Checked,
    /// It will have it, later.
    Busy,
    /// The vCPU can't go on.
    Failed(i32),
}

/// A vCPU that takes INIT and SIPI, on its own thread.
pub trait Vcpu {
    /// What is pending at its APIC; None without one in the kernel.
    fn pending(&self) -> Option<Pending<'_>>;
    /// Its requests.
    fn requests(&self) -> Requests<'_>;
    /// Whether L2 is active.
    fn is_guest_mode(&self) -> bool;
    /// Asks L1 first (C: kvm_check_nested_events()).
    fn check_nested_events(&mut self) -> Nested;
    /// What blocks INIT and SIPI now.
    fn blocker(&self) -> Option<Blocker>;
    /// Whether a SIPI is kept behind an INIT that waits (module parameter).
    fn keeps_sipi(&self) -> bool;
    /// Whether a SIPI starts a vCPU that saw no INIT yet (module parameter).
    fn takes_sipi_after_reset(&self) -> bool;
    /// Whether it is the bootstrap processor.
    fn is_bsp(&self) -> bool;
    /// Its activity state.
    fn mp_state(&self) -> Option<MpState>;
    /// Changes its activity state.
    fn set_mp_state(&mut self, state: MpState);
    /// Resets it as INIT does.
    fn reset(&mut self, init: Init);
    /// Points it to where the SIPI says.
    fn start(&mut self, sipi: Sipi);
    /// Counts what came of an event.
    fn count(&mut self, outcome: Outcome);
}

/// Whether a SIPI that arrives now is kept: behind an INIT that waits for the end of SMM or for
/// GIF, and only if the operator wants it.
///
/// Architecturally it is dropped; but on hardware SMM is over long before the second SIPI, and on
/// a host that is overloaded a vCPU can sit in SMM through both.
#[inline(always)]
fn is_sipi_kept(vcpu: &impl Vcpu, blocker: Blocker) -> bool {
    matches!(blocker, Blocker::Smm | Blocker::Gif)
        && vcpu.keeps_sipi()
        && vcpu.pending().is_some_and(|p| p.has_init())
}

/// Takes what is pending, as far as the vCPU can (C: kvm_apic_accept_events()).
///
/// # Errors
///
/// What check_nested_events() failed with.
#[inline(always)]
pub fn accept(vcpu: &mut impl Vcpu) -> Result<(), i32> {
    if !vcpu.pending().is_some_and(|p| p.any()) {
        return Ok(());
    }
    // L1 first. After an exit to it go on: what is still pending meets another state now.
    if vcpu.is_guest_mode() {
        match vcpu.check_nested_events() {
            Nested::Checked => {}
            Nested::Busy => return Ok(()),
            Nested::Failed(error) => return Err(error),
        }
    }
    if let Some(blocker) = vcpu.blocker() {
        block(vcpu, blocker);
        return Ok(());
    }
    if let Some(init) = vcpu.pending().and_then(|p| p.take_init()) {
        vcpu.reset(init);
        vcpu.set_mp_state(if vcpu.is_bsp() {
            MpState::Runnable
        } else {
            MpState::InitReceived
        });
        vcpu.count(Outcome::InitTaken);
    }
    // Where an INIT came during the reset, and a SIPI behind it, both are taken the next time.
    if let Some(sipi) = vcpu.pending().and_then(|p| p.take_sipi_alone()) {
        if awaits_sipi(vcpu) {
            vcpu.start(sipi);
            vcpu.set_mp_state(MpState::Runnable);
            vcpu.count(Outcome::SipiTaken);
        } else {
            vcpu.count(Outcome::SipiNotAwaited);
        }
    }
    Ok(())
}

/// Whether a SIPI starts the vCPU.
///
/// A processor waits for SIPI after RESET as it does after INIT (SDM vol. 3, "MP Initialization
/// Protocol Algorithm"). KVM's AP waits for an INIT first, unless the operator wants otherwise.
#[inline(always)]
fn awaits_sipi(vcpu: &impl Vcpu) -> bool {
    match vcpu.mp_state() {
        Some(MpState::InitReceived) => true,
        Some(MpState::Uninitialized) => vcpu.takes_sipi_after_reset(),
        _ => false,
    }
}

/// INIT waits until it is no longer blocked; SIPI is dropped (SDM vol. 3, "Interprocessor
/// Interrupts": software sends it again).
#[inline(always)]
fn block(vcpu: &mut impl Vcpu, blocker: Blocker) {
    if vcpu.pending().is_some_and(|p| p.has_init()) {
        vcpu.count(Outcome::InitLatched);
    }
    if !is_sipi_kept(vcpu, blocker) && vcpu.pending().and_then(|p| p.take_sipi()).is_some() {
        vcpu.count(Outcome::SipiBlocked);
    }
}

/// Makes the vCPU's state what KVM_SET_MP_STATE asks for; nothing of a state that x86 does not have.
///
/// SIPI_RECEIVED is INIT_RECEIVED with a SIPI pending, of the vector that is there. Whether the vCPU
/// blocks what the state waits for, accept() and wait_is_over() ask each time.
#[inline(always)]
pub fn set_state(vcpu: &mut impl Vcpu, state: Untrusted<u32>) {
    let Some(state) = state.check(MpState::from_raw) else {
        return;
    };
    if state == MpState::SipiReceived {
        vcpu.set_mp_state(MpState::InitReceived);
        if let Some(pending) = vcpu.pending() {
            pending.events.set(1 << SIPI);
        }
    } else {
        vcpu.set_mp_state(state);
    }
}

/// The vector of a SIPI that is kept behind a latched INIT, for userspace to save.
#[inline(always)]
pub fn kept_sipi(vcpu: &impl Vcpu) -> Option<u8> {
    let pending = vcpu.pending()?;
    (pending.has_init() && vcpu.keeps_sipi() && pending.has_sipi()).then(|| pending.vector())
}

/// An INIT that KVM_SET_VCPU_EVENTS latches, or drops.
#[derive(Clone, Copy, Debug)]
pub struct LatchedInit {
    /// `smi.latched_init`: any value but 0 latches.
    pub latched: u8,
    /// KVM_VCPUEVENT_VALID_SIPI_VECTOR.
    pub vector_is_valid: bool,
}

/// Latches an INIT, or drops it, as userspace wants. C has stored the SIPI's vector.
///
/// With a valid vector a SIPI was kept behind the latched INIT, if SIPIs are kept. Without a latched
/// INIT no SIPI is behind it.
#[inline(always)]
pub fn restore(vcpu: &mut impl Vcpu, init: Untrusted<LatchedInit>) {
    let keeps_sipi = vcpu.keeps_sipi();
    // An INIT that nothing blocks is taken when the vCPU runs, so none is wrong.
    let (latched, with_sipi) = init.read(|i| (i.latched != 0, i.latched != 0 && i.vector_is_valid));
    let Some(pending) = vcpu.pending() else {
        return;
    };
    if latched {
        pending.events.set(1 << INIT);
        if keeps_sipi && with_sipi {
            pending.events.set(1 << SIPI);
        }
    } else {
        if pending.has_init() && keeps_sipi {
            let _dropped = pending.take_sipi();
        }
        let _dropped = pending.take_init();
    }
}
