// SPDX-License-Identifier: GPL-2.0

//! Delivery through an entry of the local vector table.

/// An entry of the local vector table (SDM vol. 3, "Local Vector Table"; APM vol. 2, the same).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lvt(u32);

impl Lvt {
    const VECTOR: u32 = 0xff;
    const MODE: u32 = 7 << 8;
    const LEVEL: u32 = 1 << 15;
    const MASKED: u32 = 1 << 16;

    /// The entry that the register holds.
    #[inline(always)]
    pub const fn new(register: u32) -> Self {
        Self(register)
    }

    /// The register that holds the entry.
    #[inline(always)]
    pub const fn register(self) -> u32 {
        self.0
    }

    /// The interrupt's vector.
    #[inline(always)]
    pub const fn vector(self) -> u32 {
        self.0 & Self::VECTOR
    }

    /// The delivery mode, in place (C: `APIC_DM_*`).
    #[inline(always)]
    pub const fn mode(self) -> u32 {
        self.0 & Self::MODE
    }

    /// The trigger mode, in place: 0 for edge.
    #[inline(always)]
    pub const fn trigger(self) -> u32 {
        self.0 & Self::LEVEL
    }

    /// Whether the entry delivers nothing.
    #[inline(always)]
    pub const fn is_masked(self) -> bool {
        self.0 & Self::MASKED != 0
    }

    /// The entry with its mask set.
    #[inline(always)]
    pub const fn masked(self) -> Self {
        Self(self.0 | Self::MASKED)
    }
}

/// The APIC that an entry belongs to, as the thread that delivers sees it.
pub trait Apic {
    /// Whether the APIC is enabled in IA32_APIC_BASE.
    fn is_enabled(&self) -> bool;
    /// The entry.
    fn entry(&self) -> Lvt;
    /// Takes the interrupt; false if it is of a kind that is not accepted now.
    fn accept(&mut self, entry: Lvt) -> bool;
    /// Whether the entry is the counters' (LVTPC).
    fn is_lvtpc(&self) -> bool;
    /// Whether the guest sees an Intel-compatible processor.
    fn is_intel_compatible(&self) -> bool;
    /// Writes the entry back.
    fn set_entry(&mut self, entry: Lvt);
}

/// Delivers through an entry; whether it was accepted (C: kvm_apic_local_deliver()).
///
/// An Intel processor masks LVTPC when it has delivered a PMI (SDM vol. 3, "Local Vector Table");
/// AMD's leaves it alone.
#[inline(always)]
pub fn deliver(apic: &mut impl Apic) -> bool {
    if !apic.is_enabled() {
        return false;
    }
    let entry = apic.entry();
    if entry.is_masked() {
        return false;
    }
    let accepted = apic.accept(entry);
    if accepted && apic.is_lvtpc() && apic.is_intel_compatible() {
        apic.set_entry(entry.masked());
    }
    accepted
}
