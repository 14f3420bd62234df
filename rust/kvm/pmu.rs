// SPDX-License-Identifier: GPL-2.0

//! A counter of a virtual PMU, as NMI context may see it: it can neither wake nor kick.

use core::marker::PhantomData;
use core::ptr::{addr_of, addr_of_mut, NonNull};

use crate::bindings::{kvm_pmc, kvm_pmu, perf_event_attr};
use crate::event::pmi::Counter;
use crate::event::request::Requests;
use crate::sync::{read_once, Bits, StatusBits};
use crate::view::{field, same, Vcpu};

/// A counter (C: `struct kvm_pmc`).
///
/// # Invariants
///
/// 1. `ptr` is a counter of a vCPU that lives for `'a`: a member of its `arch.pmu`. The vendor's
///    PMU writes `vcpu` and `idx` when the vCPU is created, and nobody after that.
/// 2. `perf_event` and `intr` are written by the vCPU's thread, whole, also while perf counts the
///    event, so that a callback can come in between. A perf event that a callback finds there lives
///    until the callback is over: perf_event_release_kernel() first takes it off the CPU where it
///    counts. Its `attr` is written when it is made, and not after.
/// 3. The vCPU's thread, on whose CPU perf's callback runs, changes `global_status` by one
///    instruction at a time (Documentation/soundness.rst); and everybody accesses `reprogram_pmi`
///    whole or atomically.
pub(crate) struct Pmc<'a> {
    ptr: NonNull<kvm_pmc>,
    _life: PhantomData<&'a kvm_pmc>,
}

impl<'a> Pmc<'a> {
    /// The counter behind `ptr`.
    ///
    /// # Safety
    ///
    /// `ptr` is a counter of a vCPU that lives for `'a`, and whose thread the caller is, or
    /// interrupts.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(ptr: *mut kvm_pmc) -> Self {
        // INVARIANT: 1 is this function's contract; 2 and 3 are how C uses the fields, seen from the
        // thread that this function's contract names.
        // SAFETY: by this function's contract `ptr` points to a live structure, which is not at
        // address 0.
        let ptr = unsafe { NonNull::new_unchecked(ptr) };
        Self {
            ptr,
            _life: PhantomData,
        }
    }

    #[inline(always)]
    fn vcpu(&self) -> Vcpu<'a> {
        // SAFETY: by invariant 1 the counter lives, its `vcpu` does for 'a, and the field never
        // changes.
        unsafe { Vcpu::from_raw(addr_of!((*self.ptr.as_ptr()).vcpu).read()) }
    }

    #[inline(always)]
    fn pmu(&self) -> *mut kvm_pmu {
        // SAFETY: by invariant 1 of `Vcpu` the structure lives, of which this is the address of a
        // member.
        unsafe { field!(self.vcpu(), arch.pmu) }
    }
}

impl Counter for Pmc<'_> {
    #[inline(always)]
    fn index(&self) -> u32 {
        // SAFETY: by invariant 1 the counter lives, and nobody writes the field.
        unsafe { addr_of!((*self.ptr.as_ptr()).idx).read().into() }
    }

    #[inline(always)]
    fn is_precise(&self) -> bool {
        // SAFETY: by invariant 1 the counter lives; by invariant 2 the pointer is whole, the event
        // lives, if there is one, and its bits don't change.
        unsafe {
            let event = read_once(addr_of!((*self.ptr.as_ptr()).perf_event));
            !event.is_null() && perf_event_attr::precise_ip_raw(addr_of!((*event).attr)) != 0
        }
    }

    #[inline(always)]
    fn interrupts(&self) -> bool {
        // SAFETY: by invariant 1 the counter lives, and by invariant 2 the field is whole.
        unsafe { read_once(addr_of!((*self.ptr.as_ptr()).intr)) }
    }

    #[inline(always)]
    fn global_status(&self) -> &StatusBits {
        // SAFETY: an aligned u64, which by invariant 1 is valid for 'a, and by invariant 3 changed
        // on this CPU, by one instruction at a time.
        unsafe { StatusBits::from_ptr(same(addr_of_mut!((*self.pmu()).global_status))) }
    }

    #[inline(always)]
    fn to_reprogram(&self) -> &Bits {
        // SAFETY: an aligned word, which by invariant 1 is valid for 'a, and by invariant 3 accessed
        // whole or atomically. Named as the atomic64_t that C lays over the bitmap, as bindgen has
        // no name for the union: any other would not have this member.
        unsafe {
            Bits::from_ptr(same(addr_of_mut!(
                (*self.pmu()).__bindgen_anon_1.__reprogram_pmi.counter
            )))
        }
    }

    #[inline(always)]
    fn requests(&self) -> Requests<'_> {
        self.vcpu().requests()
    }
}
