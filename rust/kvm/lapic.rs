// SPDX-License-Identifier: GPL-2.0

//! A local APIC's vector table.

use core::ptr::{addr_of, NonNull};

use crate::bindings::{self, kvm_lapic, kvm_vcpu};
use crate::event::lvt::{Apic, Lvt};
use crate::sync::{read_once, write_once};
use crate::view::{shared, Vcpu};

/// An entry of an APIC's local vector table.
///
/// # Invariants
///
/// 1. `apic` is the local APIC of `vcpu`, and lives as long: kvm_create_lapic() writes its `vcpu`
///    and its page of registers, and nobody changes them before kvm_free_lapic().
/// 2. `offset` is that of an entry of the local vector table: a u32 in that page. Everybody accesses
///    it whole, hardware included, where it shares the page (APICv, AVIC).
/// 3. If it is that of LVTPC, the calling thread is the vCPU's, which alone writes that entry.
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
    /// `apic` is the local APIC of a vCPU that lives for `'a`, `offset` a multiple of 16 that names an
    /// entry of the local vector table; and LVTPC's is passed by the vCPU's thread alone.
    #[inline(always)]
    pub(crate) unsafe fn new(apic: *mut kvm_lapic, offset: u32) -> Self {
        // INVARIANT: 1 and 2 are this function's contract, and how C makes an APIC; 3 is this
        // function's contract.
        // SAFETY: by this function's contract `apic` lives, so that it is not at address 0, and its
        // vCPU does, for 'a.
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
        // SAFETY: by invariant 1 the APIC lives and `regs` is its page, and by invariant 2 the
        // offset is within.
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
        // SAFETY: by invariant 2 this is an aligned u32, valid, that others write whole.
        Lvt::new(unsafe { read_once(self.register()) })
    }

    #[inline(always)]
    fn accept(&mut self, entry: Lvt) -> bool {
        let (mode, vector, trigger) = (entry.mode(), entry.vector(), entry.trigger());
        // SAFETY: asks for an APIC whose vCPU lives, which is invariant 1.
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
        // SAFETY: by invariant 2 this is an aligned u32, valid, that others access whole; and
        // lvt::deliver() writes LVTPC only, which by invariant 3 nobody else does.
        unsafe { write_once(self.register(), entry.register()) }
    }
}
