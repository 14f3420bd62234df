// SPDX-License-Identifier: GPL-2.0

//! Overflows, and delivery through the local vector table.
#![cfg(not(loom))]
// Conditions read as the rule does.
#![allow(clippy::precedence, clippy::nonminimal_bool, clippy::type_complexity)]

use kvm_event_core::lvt::{self, Apic, Lvt};
use kvm_event_core::pmi::{found_by_perf, record, Counter, Source};
use kvm_event_core::request::{Request, Requests, Serve};
use kvm_event_core::sync::{Bits, StatusBits};

const BOTH: [bool; 2] = [false, true];
const BUFFER: u64 = 1 << 62;

struct Pmc {
    index: u32,
    precise: bool,
    interrupts: bool,
    status: StatusBits,
    reprogram: Bits,
    requests: Bits,
}

impl Pmc {
    fn new(index: u32, precise: bool, interrupts: bool, status: u64, reprogram: u64) -> Self {
        let (status, reprogram) = (StatusBits::new(status), Bits::new(reprogram));
        Self {
            index,
            precise,
            interrupts,
            status,
            reprogram,
            requests: Bits::new(0),
        }
    }
}

impl Counter for Pmc {
    fn index(&self) -> u32 {
        self.index
    }
    fn is_precise(&self) -> bool {
        self.precise
    }
    fn interrupts(&self) -> bool {
        self.interrupts
    }
    fn global_status(&self) -> &StatusBits {
        &self.status
    }
    fn to_reprogram(&self) -> &Bits {
        &self.reprogram
    }
    fn requests(&self) -> Requests<'_> {
        Requests::new(&self.requests)
    }
}

/// A counter's own bit; or for PEBS the buffer's, once, and not for emulated instructions.
#[test]
fn every_overflow() {
    for index in [0, 1, 5, 31, 32, 34, 63] {
        for (precise, interrupts, full) in BOTH
            .iter()
            .flat_map(|&p| BOTH.iter().flat_map(move |&i| BOTH.map(move |f| (p, i, f))))
        {
            for source in [Source::Perf, Source::Emulation] {
                let before = if full { BUFFER } else { 0 };
                let pmc = Pmc::new(index, precise, interrupts, before, 0);
                record(&pmc, source);
                let (set, pmi) = match (precise, source) {
                    (false, _) => (1 << index, interrupts),
                    (true, Source::Perf) => (BUFFER, interrupts && !full),
                    (true, Source::Emulation) => (0, false),
                };
                assert_eq!(pmc.status.load(), before | set);
                assert_eq!(
                    pmc.requests.load(),
                    if pmi { Request::Pmi.mask() } else { 0 }
                );
                assert_eq!(pmc.reprogram.load(), 0);
            }
        }
    }
}

/// perf's callback: nothing if the counter waits to be reprogrammed; else PMU with, or without, PMI.
#[test]
fn every_callback() {
    for index in [0, 32, 63] {
        for (interrupts, waits) in BOTH.iter().flat_map(|&i| BOTH.map(move |w| (i, w))) {
            let others = 0b1000;
            let bit = 1 << index;
            let pmc = Pmc::new(
                index,
                false,
                interrupts,
                0,
                others | if waits { bit } else { 0 },
            );
            found_by_perf(&pmc);
            let mut requests = 0;
            if !waits {
                requests |= Request::Pmu.mask();
                requests |= if interrupts { Request::Pmi.mask() } else { 0 };
            }
            assert_eq!(pmc.requests.load(), requests);
            assert_eq!(pmc.status.load(), if waits { 0 } else { bit });
            assert_eq!(pmc.reprogram.load(), others | bit);
        }
    }
}

struct OnePmi<'a>(&'a Bits, u32, u32);

impl Serve for OnePmi<'_> {
    fn requests(&self) -> Requests<'_> {
        Requests::new(self.0)
    }
    fn pmu(&mut self) {
        self.1 += 1;
    }
    fn pmi(&mut self) {
        self.2 += 1;
    }
    fn smi(&mut self) {}
    fn nmi(&mut self) {}
}

/// However many overflows one VM-exit gathers, from both sources: one PMI.
#[test]
fn one_pmi_for_many_overflows() {
    let pmc = Pmc::new(2, false, true, 0, 0);
    found_by_perf(&pmc);
    for _ in 0..10 {
        record(&pmc, Source::Emulation);
        found_by_perf(&pmc);
    }
    let mut vcpu = OnePmi(&pmc.requests, 0, 0);
    kvm_event_core::request::serve(&mut vcpu);
    kvm_event_core::request::serve(&mut vcpu);
    assert_eq!((vcpu.1, vcpu.2), (1, 1));
}

struct Lapic {
    enabled: bool,
    register: u32,
    accepts: bool,
    lvtpc: bool,
    intel: bool,
    accepted: Vec<Lvt>,
}

impl Apic for Lapic {
    fn is_enabled(&self) -> bool {
        self.enabled
    }
    fn entry(&self) -> Lvt {
        Lvt::new(self.register)
    }
    fn accept(&mut self, entry: Lvt) -> bool {
        self.accepted.push(entry);
        self.accepts
    }
    fn is_lvtpc(&self) -> bool {
        self.lvtpc
    }
    fn is_intel_compatible(&self) -> bool {
        self.intel
    }
    fn set_entry(&mut self, entry: Lvt) {
        self.register = entry.register();
    }
}

/// SDM vol. 3, "Local Vector Table": bits 7:0 vector, 10:8 mode, 15 trigger, 16 mask.
#[test]
fn every_delivery() {
    let others = 1 << 12 | 1 << 17 | 1 << 30;
    for mode in 0..8u32 {
        for (vector, level, masked) in [0, 0x20, 0xff]
            .iter()
            .flat_map(|&v| BOTH.iter().flat_map(move |&l| BOTH.map(move |m| (v, l, m))))
        {
            for flags in 0..16 {
                let flag = |bit| flags & (1 << bit) != 0;
                let register =
                    vector | mode << 8 | u32::from(level) << 15 | u32::from(masked) << 16 | others;
                let mut apic = Lapic {
                    enabled: flag(0),
                    register,
                    accepts: flag(1),
                    lvtpc: flag(2),
                    intel: flag(3),
                    accepted: Vec::new(),
                };
                let offered = apic.enabled && !masked;
                assert_eq!(lvt::deliver(&mut apic), offered && apic.accepts);
                assert_eq!(apic.accepted.len(), usize::from(offered));
                for entry in &apic.accepted {
                    assert_eq!(entry.vector(), vector);
                    assert_eq!(entry.mode(), mode << 8);
                    assert_eq!(entry.trigger() != 0, level);
                }
                // Masked by an Intel-compatible APIC that has delivered; nothing else changes.
                let masks = offered && apic.accepts && apic.lvtpc && apic.intel;
                assert_eq!(apic.register, register | if masks { 1 << 16 } else { 0 });
            }
        }
    }
}
