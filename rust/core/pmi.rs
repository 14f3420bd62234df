// SPDX-License-Identifier: GPL-2.0

//! Counter overflows and the PMI: however many overflows one VM-exit gathers, one interrupt.
//!
//! An overflow comes from perf, in NMI or IRQ context, or is found by KVM when it reprograms a
//! counter that emulated instructions have advanced. Either way it is recorded here, and turns
//! into `KVM_REQ_PMI`, which is one bit; nothing but its service delivers a PMI.

use super::request::Requests;
use super::sync::{Bits, StatusBits};

/// Evidence of an overflow that interrupts: what it takes to make `KVM_REQ_PMI`.
///
/// Nothing outside this module can construct it.
pub struct Overflowed(());

/// Who found an overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// perf's callback.
    Perf,
    /// KVM, which counts emulated instructions by itself.
    Emulation,
}

/// The bit of IA32_PERF_GLOBAL_STATUS that says that the PEBS buffer is full (SDM vol. 3,
/// "IA32_PERF_GLOBAL_STATUS").
const OVF_BUFFER: u32 = 62;

/// A counter, as NMI context may see it: atomics only, and nothing that wakes, kicks or locks.
pub trait Counter {
    /// Its bit in the words below (C: `pmc->idx`).
    fn index(&self) -> u32;
    /// Whether it writes PEBS records.
    fn is_precise(&self) -> bool;
    /// Whether its overflow interrupts.
    fn interrupts(&self) -> bool;
    /// IA32_PERF_GLOBAL_STATUS, which C changes plainly on the CPU that perf interrupts.
    fn global_status(&self) -> &StatusBits;
    /// The counters that wait to be reprogrammed.
    fn to_reprogram(&self) -> &Bits;
    /// The requests made of the counter's vCPU.
    fn requests(&self) -> Requests<'_>;
}

/// Records an overflow (C: __kvm_perf_overflow()).
#[inline(always)]
pub fn record(counter: &impl Counter, source: Source) {
    let tell = if !counter.is_precise() {
        counter
            .global_status()
            .set(1u64.wrapping_shl(counter.index()));
        true
    } else {
        // No PEBS record is written for an emulated instruction, and a full buffer is told once.
        source == Source::Perf && !counter.global_status().test_and_set(OVF_BUFFER)
    };
    if tell && counter.interrupts() {
        counter.requests().make_pmi(Overflowed(()));
    }
}

/// perf found an overflow, in NMI or IRQ context (C: kvm_perf_overflow()).
///
/// A counter that already waits to be reprogrammed has changed since perf armed it: what
/// overflowed is not what the guest counts now.
#[inline(always)]
pub fn found_by_perf(counter: &impl Counter) {
    if counter.to_reprogram().test_and_set(counter.index()) {
        return;
    }
    record(counter, Source::Perf);
    counter.requests().make_pmu();
}
