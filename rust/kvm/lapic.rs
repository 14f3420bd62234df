// SPDX-License-Identifier: GPL-2.0

//! A local APIC's vector table.

use core::ptr::{addr_of, NonNull};

use crate::bindings::{self, kvm_lapic, kvm_vcpu};
use crate::event::lvt::{Apic, Lvt};
use crate::view::{shared, Vcpu};

/// An entry of an APIC's local vector table.
///
/// # Invariants
///
/// `apic` is the APIC of `vcpu`, and `offset` that of an entry in its page of registers.
pub(crate) struct Entry<'a> {
    apic: NonNull<kvm_lapic>,
    vcpu: Vcpu<'a>,
    offset: u32,
}

impl Entry<'_> {
    /// The entry at `offset` of `apic`.
    ///
    /// # Safety
    ///
    /// `apic` is the APIC of a live vCPU, and `offset` that of an entry. LVTPC is the vCPU's
    /// thread's.
    #[inline(always)]
    pub(crate) unsafe fn new(apic: *mut kvm_lapic, offset: u32) -> Self {
        // INVARIANT: the caller's promise.
        // SAFETY: the caller's promise; the APIC's vCPU never changes.
        unsafe {
            let vcpu: *mut kvm_vcpu = addr_of!((*apic).vcpu).read();
            Self {
                apic: NonNull::new_unchecked(apic),
                vcpu: Vcpu::from_raw(vcpu),
                offset,
            }
        }
    }

    #[inline(always)]
    fn register(&self) -> *mut u32 {
        // SAFETY: the invariant: the offset is within the page.
        unsafe {
            let page = addr_of!((*self.apic.as_ptr()).regs).read();
            page.byte_add(self.offset as usize).cast()
        }
    }
}

impl Apic for Entry<'_> {
    #[inline(always)]
    fn is_enabled(&self) -> bool {
        shared!(self.vcpu, arch.apic_base) & u64::from(bindings::KVM_EVENTS_APICBASE_ENABLE) != 0
    }

    #[inline(always)]
    fn entry(&self) -> Lvt {
        // SAFETY: the invariant; hardware may share the page.
        Lvt::new(unsafe { self.register().read_volatile() })
    }

    #[inline(always)]
    fn accept(&mut self, entry: Lvt) -> bool {
        let (mode, vector, trigger) = (entry.mode(), entry.vector(), entry.trigger());
        // SAFETY: the invariant: the APIC of a live vCPU.
        unsafe {
            bindings::kvm_events_accept_irq(
                self.apic.as_ptr(),
                mode as i32,
                vector as i32,
                trigger as i32,
            ) != 0
        }
    }

    #[inline(always)]
    fn is_lvtpc(&self) -> bool {
        self.offset == bindings::KVM_EVENTS_APIC_LVTPC
    }

    #[inline(always)]
    fn is_intel_compatible(&self) -> bool {
        !shared!(self.vcpu, arch.is_amd_compatible)
    }

    #[inline(always)]
    fn set_entry(&mut self, entry: Lvt) {
        // SAFETY: the invariant; only LVTPC is written, by the thread that has the vCPU.
        unsafe { self.register().write_volatile(entry.register()) }
    }
}
