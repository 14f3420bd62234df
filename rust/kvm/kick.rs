// SPDX-License-Identifier: GPL-2.0

//! The kick: this CPU, the vCPU that runs on it, and the IPI to another.

use core::arch::asm;
use core::marker::PhantomData;
use core::ptr::addr_of;

use crate::bindings::{self, kvm_vcpu};
use crate::event::mode::{self, Kick, ModeWord};
use crate::view::{field, shared, Vcpu};

/// Evidence that preemption is off, until it is dropped (C: get_cpu(), put_cpu()).
///
/// Tied to its thread, and so not Send.
pub(crate) struct PreemptOff(PhantomData<*const ()>);

impl PreemptOff {
    #[inline(always)]
    fn new() -> Self {
        #[cfg(CONFIG_PREEMPT_COUNT)]
        // SAFETY: undone when this is dropped.
        unsafe {
            bindings::kvm_events_preempt_disable()
        }
        // A kernel without the count doesn't preempt.
        Self(PhantomData)
    }
}

#[cfg(CONFIG_PREEMPT_COUNT)]
impl Drop for PreemptOff {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: new() turned it off.
        unsafe { bindings::kvm_events_preempt_enable() }
    }
}

/// The vCPU that this thread has loaded on this CPU (C: __this_cpu_read(kvm_running_vcpu)).
#[inline(always)]
fn running_vcpu(_: &PreemptOff) -> *mut kvm_vcpu {
    let vcpu;
    // SAFETY: a load of this CPU's copy of the variable, of which the seam makes a global one.
    // Without nomem: each call looks again.
    unsafe {
        #[cfg(CONFIG_SMP)]
        asm!(
            "mov {}, qword ptr gs:[rip + {}]",
            out(reg) vcpu,
            sym bindings::kvm_running_vcpu,
            options(nostack, preserves_flags, readonly),
        );
        #[cfg(not(CONFIG_SMP))]
        asm!(
            "mov {}, qword ptr [rip + {}]",
            out(reg) vcpu,
            sym bindings::kvm_running_vcpu,
            options(nostack, preserves_flags, readonly),
        );
    }
    vcpu
}

impl mode::Vcpu for Vcpu<'_> {
    type Pinned = PreemptOff;

    #[inline(always)]
    fn wake_up(&self) -> bool {
        // SAFETY: invariant 1 of `Vcpu`; the wait is the vCPU's own.
        if unsafe { bindings::rcuwait_wake_up(field!(self, wait)) } == 0 {
            return false;
        }
        // SAFETY: invariant 1 of `Vcpu`. Who wakes it says so; as in C, a count may be lost.
        unsafe {
            field!(self, ready).write_volatile(true);
            let count = field!(self, stat.generic.halt_wakeup);
            count.write_volatile(count.read_volatile().wrapping_add(1));
        }
        true
    }

    #[inline(always)]
    fn pin(&self) -> PreemptOff {
        PreemptOff::new()
    }

    #[inline(always)]
    fn is_running_here(&self, pinned: &PreemptOff) -> bool {
        running_vcpu(pinned) == self.ptr()
    }

    #[inline(always)]
    fn mode(&self) -> ModeWord<'_> {
        Vcpu::mode(*self)
    }

    /// Out of line, as in C: what a trace counts, and what a kick of oneself never calls.
    #[inline(always)]
    fn exit_guest(&self) -> bool {
        // SAFETY: invariant 1 of `Vcpu`.
        unsafe { bindings::kvm_arch_vcpu_should_kick(self.ptr()) != 0 }
    }

    #[inline(always)]
    fn last_cpu(&self) -> i32 {
        shared!(self, cpu)
    }

    #[inline(always)]
    fn has_request(&self) -> bool {
        self.requests().any()
    }

    #[inline(always)]
    fn wants_request(&self) -> bool {
        // SAFETY: a module parameter, written whole.
        unsafe { addr_of!(bindings::kvm_warn_requestless_kick).read_volatile() }
    }

    #[cold]
    fn warn_no_request(&self) {
        // SAFETY: invariant 1 of `Vcpu`.
        unsafe { bindings::kvm_events_warn_no_request(self.ptr()) }
    }
}

/// Kicks `vcpu`, and waits, if that is asked, until it has left guest mode (7.x).
#[inline(always)]
pub(crate) fn kick(vcpu: Vcpu<'_>, wait: bool) {
    match mode::kick(&vcpu) {
        Kick::Done => {}
        Kick::Ipi(cpu, _preempt_off) => {
            // SAFETY: takes any number, with preemption off until here.
            unsafe {
                if wait {
                    bindings::kvm_events_kick_cpu_and_wait(cpu)
                } else {
                    bindings::kvm_events_kick_cpu(cpu)
                }
            }
        }
    }
}
