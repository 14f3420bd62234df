// SPDX-License-Identifier: GPL-2.0

//! VMX: the events that compete while L2 runs, and what L1 sees of them.

use super::init_sipi::{Outcome, Pending};
use super::nested::{rule, Candidates, Rule, Taken, Unfinished, Waits};

/// An event that competes for L2 (SDM vol. 3, "Priority Among Concurrent Events").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// INIT.
    Init,
    /// SIPI, which an active L2 ignores.
    Sipi,
    /// An exception that L1 intercepts, of higher priority than the monitor trap flag.
    FaultToL1,
    /// The same, which L1 doesn't intercept.
    FaultToL2,
    /// The monitor trap flag's VM exit.
    MonitorTrap,
    /// A debug trap that L1 intercepts.
    TrapToL1,
    /// The same, which L1 doesn't intercept.
    TrapToL2,
    /// The VMX-preemption timer ran out.
    PreemptionTimer,
    /// SMI.
    Smi,
    /// NMI.
    Nmi,
    /// An external interrupt.
    Interrupt,
}

/// The order in which L2's events are recognized.
pub const ORDER: [Rule<Event>; 11] = [
    // SDM vol. 3, "Priority Among Concurrent Events": external hardware interventions, INIT
    // among them. SIPI: "Other Causes of VM Exits".
    rule(Event::Init, Waits::Boundary),
    rule(Event::Sipi, Waits::Boundary),
    // What the last instruction raised before it completed, and the T flag's trap.
    rule(Event::FaultToL1, Waits::Entry),
    rule(Event::FaultToL2, Waits::Entry),
    // "Monitor Trap Flag": above the other traps on the previous instruction. An SMI is an
    // external hardware intervention and belongs above both: upstream has it here.
    rule(Event::MonitorTrap, Waits::Boundary),
    rule(Event::TrapToL1, Waits::Entry),
    rule(Event::TrapToL2, Waits::Entry),
    // "VMX-Preemption Timer": below debug traps, above NMI.
    rule(Event::PreemptionTimer, Waits::Boundary),
    rule(Event::Smi, Waits::Boundary),
    rule(Event::Nmi, Waits::Boundary),
    // By its own rule: a posted interrupt is delivered by hardware.
    rule(Event::Interrupt, Waits::Vendor),
];

/// An exit to L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// INIT signal.
    Init,
    /// Start-up IPI, of this vector.
    Sipi(u8),
    /// Monitor trap flag.
    MonitorTrap,
    /// VMX-preemption timer expired.
    PreemptionTimer,
    /// NMI.
    Nmi,
    /// External interrupt; with its vector if L1 wants it acknowledged.
    Interrupt(Option<u8>),
}

impl Exit {
    /// The basic exit reason (SDM vol. 3, "VMX Basic Exit Reasons").
    #[inline(always)]
    pub const fn reason(self) -> u32 {
        match self {
            Self::Nmi => 0,
            Self::Interrupt(_) => 1,
            Self::Init => 3,
            Self::Sipi(_) => 4,
            Self::MonitorTrap => 37,
            Self::PreemptionTimer => 52,
        }
    }

    /// VM-exit interruption information (SDM vol. 3, "Information for VM Exits Due to Vectored
    /// Events").
    #[inline(always)]
    pub const fn interruption_info(self) -> u32 {
        const VALID: u32 = 1 << 31;
        const TYPE_NMI: u32 = 2 << 8;
        match self {
            Self::Nmi => VALID | TYPE_NMI | 2,
            Self::Interrupt(Some(vector)) => VALID | vector as u32,
            _ => 0,
        }
    }

    /// Exit qualification (SDM vol. 3, "Basic VM-Exit Information": SIPIs).
    #[inline(always)]
    pub const fn qualification(self) -> u64 {
        match self {
            Self::Sipi(vector) => vector as u64,
            _ => 0,
        }
    }
}

/// A pending exception, as far as its priority goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Its vector.
    pub vector: u8,
    /// For a #DB: the bits that DR6 will get.
    pub payload: u64,
}

impl Exception {
    const DB: u8 = 1;
    const DR6_BD: u64 = 1 << 13;
    const DR6_BT: u64 = 1 << 15;

    /// What the pending debug exceptions field gets of it: nothing of a fault, and general detect
    /// is one (SDM vol. 3, "Debug Exception (#DB)").
    #[inline(always)]
    pub const fn debug_trap(self) -> u64 {
        if self.vector == Self::DB {
            self.payload & !Self::DR6_BD
        } else {
            0
        }
    }

    /// Whether it comes after the monitor trap flag: a debug trap, but the T flag's.
    #[inline(always)]
    pub const fn is_low_priority(self) -> bool {
        self.debug_trap() & !Self::DR6_BT != 0
    }
}

/// A vCPU with L2 active, on its own thread.
pub trait Vcpu {
    /// Whether a posted interrupt, too, waits for a VM-Enter (Linux 6.12).
    const POSTED_WAITS_FOR_ENTRY: bool;

    /// What is pending at its APIC; None without one in the kernel.
    fn pending(&self) -> Option<Pending<'_>>;
    /// What is not over yet.
    fn unfinished(&self) -> Unfinished;
    /// Whether L2 is in wait-for-SIPI.
    fn waits_for_sipi(&self) -> bool;
    /// The exception that is pending for L1, to be an exit.
    fn exception_to_l1(&self) -> Option<Exception>;
    /// The exception that is pending for L2.
    fn exception_to_l2(&self) -> Option<Exception>;
    /// Whether the monitor trap flag's exit is pending.
    fn monitor_trap(&self) -> bool;
    /// Drops the monitor trap flag's exit.
    fn drop_monitor_trap(&mut self);
    /// Whether L2's VMX-preemption timer is on and ran out.
    fn preemption_timer(&self) -> bool;
    /// Whether an SMI is pending, and SMM not entered.
    fn smi(&self) -> bool;
    /// Whether an NMI is pending, and not blocked.
    fn nmi(&self) -> bool;
    /// Whether an interrupt is pending, and not blocked.
    fn interrupt(&self) -> bool;
    /// NMI exiting.
    fn exits_on_nmi(&self) -> bool;
    /// External-interrupt exiting.
    fn exits_on_interrupt(&self) -> bool;
    /// Acknowledge interrupt on exit.
    fn acknowledges_on_exit(&self) -> bool;
    /// Takes the vector of a PIC's interrupt, if there is one.
    fn take_extint(&mut self) -> Option<u8>;
    /// The vector of the local APIC's interrupt.
    fn apic_interrupt(&self) -> Option<u8>;
    /// Tells, once, that an interrupt is gone that was there.
    fn warn_no_interrupt(&self);
    /// Whether `vector` is L2's posted-interrupt notification.
    fn is_posted(&self, vector: u8) -> bool;
    /// Makes `vector` a request to process L2's posted interrupts.
    fn post(&mut self, vector: u8);
    /// Counts what came of an INIT or a SIPI.
    fn count(&mut self, outcome: Outcome);
    /// Exits to L1.
    fn exit(&mut self, exit: Exit);
    /// Exits to L1 with the exception that is pending for it.
    fn exit_with_exception(&mut self);
    /// Saves a pending debug trap, which the exit would lose.
    fn save_debug_trap(&mut self);
    /// An NMI was delivered by an exit: one fewer is pending, and more are blocked.
    fn nmi_is_done(&mut self);
    /// An interrupt was delivered by an exit that acknowledges: the APIC has it in service.
    fn interrupt_is_in_service(&mut self, vector: u8);
}

/// A vCPU's events, for the walk.
pub struct L2<'a, V>(pub &'a mut V);

impl<V: Vcpu> L2<'_, V> {
    /// INIT is consumed by the exit, unlike on SVM; in wait-for-SIPI it is blocked, and lost (SDM
    /// vol. 3, "Other Causes of VM Exits").
    #[inline(always)]
    fn take_init(&mut self) -> Taken {
        if self.0.pending().and_then(|p| p.take_init()).is_none() {
            return Taken::Ignored;
        }
        self.0.count(Outcome::InitTaken);
        self.0.save_debug_trap();
        if !self.0.waits_for_sipi() {
            self.0.exit(Exit::Init);
        }
        self.0.drop_monitor_trap();
        Taken::Done
    }

    /// SIPI exits in wait-for-SIPI, and is nothing elsewhere.
    #[inline(always)]
    fn take_sipi(&mut self) -> Taken {
        let Some(sipi) = self.0.pending().and_then(|p| p.take_sipi()) else {
            return Taken::Ignored;
        };
        if !self.0.waits_for_sipi() {
            self.0.count(Outcome::SipiNotAwaited);
            return Taken::Ignored;
        }
        self.0.count(Outcome::SipiTaken);
        self.0.exit(Exit::Sipi(sipi.vector));
        Taken::Done
    }

    #[inline(always)]
    fn take_nmi(&mut self) -> Taken {
        if !self.0.exits_on_nmi() {
            return Taken::NotForL1;
        }
        self.0.exit(Exit::Nmi);
        self.0.nmi_is_done();
        Taken::Done
    }

    #[inline(always)]
    fn take_interrupt(&mut self, unfinished: Unfinished) -> Taken {
        let blocked = unfinished.blocks(Waits::Boundary);
        if blocked && (V::POSTED_WAITS_FOR_ENTRY || unfinished.event) {
            return Taken::Busy;
        }
        if !self.0.exits_on_interrupt() {
            return if blocked {
                Taken::Busy
            } else {
                Taken::NotForL1
            };
        }
        if !self.0.acknowledges_on_exit() {
            if blocked {
                return Taken::Busy;
            }
            self.0.exit(Exit::Interrupt(None));
            return Taken::Done;
        }
        // To take a PIC's interrupt is to acknowledge it: never before it can be delivered.
        if !blocked {
            if let Some(vector) = self.0.take_extint() {
                self.0.exit(Exit::Interrupt(Some(vector)));
                return Taken::Done;
            }
        }
        let Some(vector) = self.0.apic_interrupt() else {
            if blocked {
                return Taken::Busy;
            }
            self.0.warn_no_interrupt();
            return Taken::NotForL1;
        };
        if self.0.is_posted(vector) {
            self.0.post(vector);
            return Taken::NotForL1;
        }
        if blocked {
            return Taken::Busy;
        }
        self.0.exit(Exit::Interrupt(Some(vector)));
        // After the exit, as it is L1's APIC state that has it in service.
        self.0.interrupt_is_in_service(vector);
        Taken::Done
    }
}

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
            Event::Sipi => self.0.pending().is_some_and(|p| p.has_sipi()),
            Event::FaultToL1 => self
                .0
                .exception_to_l1()
                .is_some_and(|e| !e.is_low_priority()),
            Event::FaultToL2 => self
                .0
                .exception_to_l2()
                .is_some_and(|e| !e.is_low_priority()),
            Event::MonitorTrap => self.0.monitor_trap(),
            Event::TrapToL1 => self.0.exception_to_l1().is_some(),
            Event::TrapToL2 => self.0.exception_to_l2().is_some(),
            Event::PreemptionTimer => self.0.preemption_timer(),
            Event::Smi => self.0.smi(),
            Event::Nmi => self.0.nmi(),
            Event::Interrupt => self.0.interrupt(),
        }
    }

    #[inline(always)]
    fn take(&mut self, event: Event, unfinished: Unfinished) -> Taken {
        match event {
            Event::Init => self.take_init(),
            Event::Sipi => self.take_sipi(),
            Event::FaultToL1 | Event::TrapToL1 => {
                self.0.exit_with_exception();
                Taken::Done
            }
            Event::MonitorTrap => {
                self.0.save_debug_trap();
                self.0.exit(Exit::MonitorTrap);
                Taken::Done
            }
            Event::PreemptionTimer => {
                self.0.exit(Exit::PreemptionTimer);
                Taken::Done
            }
            Event::Nmi => self.take_nmi(),
            Event::Interrupt => self.take_interrupt(unfinished),
            // L1 can't intercept an SMI without a dual-monitor SMM, which KVM doesn't offer.
            Event::FaultToL2 | Event::TrapToL2 | Event::Smi => Taken::NotForL1,
        }
    }
}

/// What can wake an L2 that sleeps, beyond what wakes any vCPU.
pub trait Sleeper: Vcpu {
    /// Whether L1 uses virtual-interrupt delivery.
    fn has_virtual_interrupts(&self) -> bool;
    /// Whether L2 has interrupts blocked (RFLAGS.IF, STI, MOV SS).
    fn blocks_interrupts(&self) -> bool;
    /// L2's processor priority (VPPR); None if L1's virtual-APIC page is not mapped.
    fn processor_priority(&self) -> Option<u8>;
    /// The vector that virtual-interrupt delivery would deliver next (RVI).
    fn requesting_vector(&self) -> u8;
    /// The highest vector of posted interrupts that are yet to be processed.
    fn posted_vector(&self) -> Option<u8>;
}

/// Whether L2 has an event that the rest of KVM doesn't know of (C: vmx_has_nested_events()).
///
/// What virtual-interrupt delivery delivers needs no injection.
#[inline(always)]
pub fn has_events(vcpu: &impl Sleeper, for_injection: bool) -> bool {
    if vcpu.preemption_timer() || vcpu.monitor_trap() {
        return true;
    }
    if for_injection || !vcpu.has_virtual_interrupts() || vcpu.blocks_interrupts() {
        return false;
    }
    let Some(priority) = vcpu.processor_priority() else {
        return false;
    };
    // SDM vol. 3, "Evaluation of Pending Virtual Interrupts": by priority class.
    let deliverable = |vector: u8| vector & 0xf0 > priority & 0xf0;
    deliverable(vcpu.requesting_vector())
        || vcpu
            .posted_vector()
            .is_some_and(|v| v > 0 && deliverable(v))
}
