// SPDX-License-Identifier: GPL-2.0

//! A counter of a virtual PMU, as NMI context may see it: it can neither wake nor kick.

use core::marker::PhantomData;
use core::ptr::{addr_of, addr_of_mut, NonNull};

use crate::bindings::{kvm_pmc, kvm_pmu, perf_event_attr};
use crate::event::pmi::Counter;
use crate::event::request::Requests;
use crate::sync::Bits;
use crate::view::{field, Vcpu};

/// A counter (C: `struct kvm_pmc`).
///
/// # Invariants
///
/// `ptr` is a counter of a live vCPU, for `'a`. What is read of it is written by the vCPU's
/// thread only, while its perf event doesn't count.
pub(crate) struct Pmc<'a> {
    ptr: NonNull<kvm_pmc>,
    _life: PhantomData<&'a kvm_pmc>,
}

impl<'a> Pmc<'a> {
    /// The counter behind `ptr`.
    ///
    /// # Safety
    ///
    /// `ptr` is a counter of a vCPU that lives for `'a`.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(ptr: *mut kvm_pmc) -> Self {
        // INVARIANT: the caller's promise; the rest is how C uses the fields.
        // SAFETY: a live structure is not at address 0.
        let ptr = unsafe { NonNull::new_unchecked(ptr) };
        Self {
            ptr,
            _life: PhantomData,
        }
    }

    #[inline(always)]
    fn vcpu(&self) -> Vcpu<'a> {
        // SAFETY: the invariant; the field never changes.
        unsafe { Vcpu::from_raw(addr_of!((*self.ptr.as_ptr()).vcpu).read()) }
    }

    #[inline(always)]
    fn pmu(&self) -> *mut kvm_pmu {
        // SAFETY: invariant 1 of `Vcpu`.
        unsafe { field!(self.vcpu(), arch.pmu) }
    }
}

impl Counter for Pmc<'_> {
    #[inline(always)]
    fn index(&self) -> u32 {
        // SAFETY: the invariant.
        unsafe { addr_of!((*self.ptr.as_ptr()).idx).read().into() }
    }

    #[inline(always)]
    fn is_precise(&self) -> bool {
        // SAFETY: the invariant; the event, if there is one, is the counter's, and its bit never
        // changes.
        unsafe {
            let event = addr_of!((*self.ptr.as_ptr()).perf_event).read();
            !event.is_null() && perf_event_attr::precise_ip_raw(addr_of!((*event).attr)) != 0
        }
    }

    #[inline(always)]
    fn interrupts(&self) -> bool {
        // SAFETY: the invariant.
        unsafe { addr_of!((*self.ptr.as_ptr()).intr).read() }
    }

    #[inline(always)]
    fn global_status(&self) -> &Bits {
        // SAFETY: the invariant. C changes the word on this CPU only, by single instructions.
        unsafe { Bits::from_ptr(addr_of_mut!((*self.pmu()).global_status).cast()) }
    }

    #[inline(always)]
    fn to_reprogram(&self) -> &Bits {
        // SAFETY: the invariant; a bitmap of 64 bits.
        unsafe { Bits::from_ptr(addr_of_mut!((*self.pmu()).__bindgen_anon_1).cast()) }
    }

    #[inline(always)]
    fn requests(&self) -> Requests<'_> {
        self.vcpu().requests()
    }
}
