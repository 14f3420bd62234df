// SPDX-License-Identifier: GPL-2.0

//! The kick: the vCPU that runs on this CPU.

use core::marker::PhantomData;
use core::ptr::addr_of;

use crate::bindings::{self, kvm_vcpu};
use crate::event::mode::{self, ModeWord};
use crate::view::Vcpu;

/// Evidence that preemption is off, with the vCPU that this thread has loaded on this CPU.
///
/// # Invariants
///
/// Preemption is off for as long as this lives, and `running` is this CPU's kvm_running_vcpu.
pub(crate) struct ThisCpu {
    running: *const kvm_vcpu,
    /// Of this CPU, hence neither Send nor Sync.
    _not_thread_safe: PhantomData<*mut ()>,
}

impl ThisCpu {
    /// The evidence, of a caller that has turned preemption off.
    ///
    /// # Safety
    ///
    /// Preemption stays off until the value is dropped, and `running` is this CPU's kvm_running_vcpu.
    #[inline(always)]
    pub(crate) unsafe fn new(running: *const kvm_vcpu) -> Self {
        // INVARIANT: the caller's promise.
        Self {
            running,
            _not_thread_safe: PhantomData,
        }
    }
}

impl mode::Vcpu for Vcpu<'_> {
    type Pinned = ThisCpu;

    #[inline(always)]
    fn is_running_here(&self, this_cpu: &ThisCpu) -> bool {
        core::ptr::eq(this_cpu.running, self.ptr())
    }

    #[inline(always)]
    fn mode(&self) -> ModeWord<'_> {
        Vcpu::mode(*self)
    }

    #[inline(always)]
    fn has_request(&self) -> bool {
        self.requests().any()
    }

    #[inline(always)]
    fn wants_request(&self) -> bool {
        // SAFETY: a module parameter of kvm.ko; sysfs writes the byte whole.
        unsafe { addr_of!(bindings::kvm_warn_requestless_kick).read_volatile() }
    }

    #[cold]
    fn warn_no_request(&self) {
        // SAFETY: invariant 1 of `Vcpu`: the vCPU is live.
        unsafe { bindings::kvm_events_warn_no_request(self.ptr()) }
    }
}
