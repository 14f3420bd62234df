// SPDX-License-Identifier: GPL-2.0

//! SVM: the events that compete while L2 runs, and what L1 sees of them.

use super::init_sipi::Pending;
use super::nested::{rule, Candidates, Rule, Taken, Unfinished, Waits};

/// An event that competes for L2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// INIT. (SIPI has no intercept: no state of L2's waits for it.)
    Init,
    /// An exception that L1 intercepts.
    ExceptionToL1,
    /// An exception that L1 doesn't intercept.
    ExceptionToL2,
    /// SMI.
    Smi,
    /// NMI.
    Nmi,
    /// A maskable interrupt.
    Interrupt,
}

/// The order in which L2's events are recognized.
pub const ORDER: [Rule<Event>; 6] = [
    // APM vol. 2, "Priorities": external events in the order INIT, SMI, NMI, INTR.
    rule(Event::Init, Waits::Boundary),
    // What the last instruction raised: it is over only when that is delivered.
    rule(Event::ExceptionToL1, Waits::Entry),
    rule(Event::ExceptionToL2, Waits::Entry),
    rule(Event::Smi, Waits::Boundary),
    rule(Event::Nmi, Waits::Boundary),
    rule(Event::Interrupt, Waits::Boundary),
];

/// An intercept of L1's that an event meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// INIT.
    Init,
    /// SMI.
    Smi,
    /// NMI.
    Nmi,
    /// Physical maskable interrupt.
    Interrupt,
}

impl Exit {
    /// The exit code (APM vol. 2, "SVM Intercept Exit Codes").
    #[inline(always)]
    pub const fn code(self) -> u32 {
        match self {
            Self::Interrupt => 0x60,
            Self::Nmi => 0x61,
            Self::Smi => 0x62,
            Self::Init => 0x63,
        }
    }
}

/// A vCPU with L2 active, on its own thread.
pub trait Vcpu {
    /// What is pending at its APIC; None without one in the kernel.
    fn pending(&self) -> Option<Pending<'_>>;
    /// What is not over yet.
    fn unfinished(&self) -> Unfinished;
    /// Whether an exception is pending for L1, to be an exit.
    fn exception_to_l1(&self) -> bool;
    /// Whether an exception is pending for L2.
    fn exception_to_l2(&self) -> bool;
    /// Whether an SMI is pending, and not blocked.
    fn smi(&self) -> bool;
    /// Whether an NMI is pending, and not blocked.
    fn nmi(&self) -> bool;
    /// Whether an interrupt is pending, and not blocked.
    fn interrupt(&self) -> bool;
    /// Whether L1 intercepts.
    fn intercepts(&self, exit: Exit) -> bool;
    /// Exits to L1. The event stays pending: GIF, which the exit clears, blocks it (APM vol. 2,
    /// "#VMEXIT").
    fn exit(&mut self, exit: Exit);
    /// Exits to L1 with the exception that is pending for it.
    fn exit_with_exception(&mut self);
}

/// A vCPU's events, for the walk.
pub struct L2<'a, V>(pub &'a mut V);

impl<V: Vcpu> Candidates for L2<'_, V> {
    type Event = Event;
    const ORDER: &'static [Rule<Event>] = &ORDER;

    #[inline(always)]
    fn unfinished(&self) -> Unfinished {
        self.0.unfinished()
    }

    #[inline(always)]
    fn is_there(&self, event: Event) -> bool {
        match event {
            Event::Init => self.0.pending().is_some_and(|p| p.has_init()),
            Event::ExceptionToL1 => self.0.exception_to_l1(),
            Event::ExceptionToL2 => self.0.exception_to_l2(),
            Event::Smi => self.0.smi(),
            Event::Nmi => self.0.nmi(),
            Event::Interrupt => self.0.interrupt(),
        }
    }

    #[inline(always)]
    fn take(&mut self, event: Event, _: Unfinished) -> Taken {
        let exit = match event {
            Event::Init => Exit::Init,
            Event::Smi => Exit::Smi,
            Event::Nmi => Exit::Nmi,
            Event::Interrupt => Exit::Interrupt,
            Event::ExceptionToL1 => {
                self.0.exit_with_exception();
                return Taken::Done;
            }
            Event::ExceptionToL2 => return Taken::NotForL1,
        };
        if !self.0.intercepts(exit) {
            return Taken::NotForL1;
        }
        self.0.exit(exit);
        Taken::Done
    }
}
