// SPDX-License-Identifier: GPL-2.0

//! Every function of kvm.ko that C calls: make the view, ask the core, apply.
//!
//! C declares them in `../bindings/events.h`. The C function that calls `rust_NAME()` is `NAME()`,
//! unless the declaration says otherwise.
//!
//! A thread that has a vCPU loaded holds its mutex too, or is still creating it.

use kernel::ffi::{c_int, c_void};

use crate::bindings::{self, kvm_lapic, kvm_pmc, kvm_vcpu, kvm_vcpu_events, seq_file};
use crate::debugfs;
use crate::event::init_sipi::{self, LatchedInit, Vcpu as _};
use crate::event::mode::{self, ModeWord};
use crate::event::mp_state::{self, MpState};
use crate::event::pmi::{self, Source};
use crate::event::untrusted::Untrusted;
use crate::event::{lvt, nmi, request};
use crate::kick::ThisCpu;
use crate::lapic::Entry;
use crate::pmu::Pmc;
use crate::view::{OwnVcpu, Vcpu};

/// Out of line: KVM_RUN looks for INIT and SIPI each time, and there is hardly ever one.
#[cold]
#[inline(never)]
fn accept_pending(vcpu: &mut OwnVcpu<'_>) -> c_int {
    match init_sipi::accept(vcpu) {
        Ok(()) => 0,
        Err(error) => error,
    }
}

export! {
    /// Queues one NMI; the caller kicks. Any context.
    ///
    /// # Safety
    ///
    /// `vcpu` is a live vCPU.
    fn rust_kvm_inject_nmi(vcpu: *mut kvm_vcpu) {
        // SAFETY: the caller's promise.
        unsafe { Vcpu::from_raw(vcpu) }.nmi_queue().push()
    }

    /// Moves queued NMIs to pending ones. Out of line: service jumps here.
    ///
    /// # Safety
    ///
    /// `vcpu` is a live vCPU, which the calling thread has loaded.
    #[inline(never)]
    fn rust_process_nmi(vcpu: *mut kvm_vcpu) {
        // SAFETY: the caller's promise.
        nmi::collect(&mut unsafe { OwnVcpu::from_raw(vcpu) })
    }

    /// Serves PMU, PMI, SMI and NMI requests before VM-Enter.
    ///
    /// # Safety
    ///
    /// `vcpu` is a live vCPU, which the calling thread has loaded.
    fn rust_kvm_service_events(vcpu: *mut kvm_vcpu) {
        // SAFETY: the caller's promise.
        let mut vcpu = unsafe { OwnVcpu::from_raw(vcpu) };
        request::serve(&mut vcpu)
    }

    /// Drops all NMIs at INIT and RESET.
    ///
    /// # Safety
    ///
    /// `vcpu` is a live vCPU, which the calling thread has loaded; it may be one that is being created.
    fn rust_kvm_nmi_reset(vcpu: *mut kvm_vcpu) {
        // SAFETY: the caller's promise.
        nmi::reset(&mut unsafe { OwnVcpu::from_new(vcpu) })
    }

    /// Whether an NMI keeps the vCPU from sleeping.
    ///
    /// # Safety
    ///
    /// `vcpu` is a live vCPU, which the calling thread has loaded.
    fn rust_kvm_nmi_has_event(vcpu: *mut kvm_vcpu) -> bool {
        // SAFETY: the caller's promise.
        nmi::has_event(&unsafe { OwnVcpu::from_raw(vcpu) })
    }

    /// Makes `count` NMIs pending, for KVM_SET_VCPU_EVENTS; after process_nmi().
    ///
    /// # Safety
    ///
    /// `vcpu` is a live vCPU, which the calling thread has loaded.
    fn rust_kvm_set_pending_nmis(vcpu: *mut kvm_vcpu, count: u8) {
        // SAFETY: the caller's promise.
        nmi::replace(&mut unsafe { OwnVcpu::from_raw(vcpu) }, Untrusted::new(count))
    }

    /// Whether only INIT and SIPI lead out of the vCPU's activity state. Any context.
    ///
    /// # Safety
    ///
    /// `vcpu` is a live vCPU.
    fn rust_kvm_waits_for_sipi(vcpu: *mut kvm_vcpu) -> bool {
        // SAFETY: the caller's promise.
        unsafe { Vcpu::from_raw(vcpu) }.waits_for_sipi()
    }

    /// Whether a vCPU that waits for SIPI is runnable.
    ///
    /// # Safety
    ///
    /// `vcpu` is a live vCPU, which the calling thread has loaded.
    fn rust_kvm_sipi_wait_is_over(vcpu: *mut kvm_vcpu) -> bool {
        // SAFETY: the caller's promise.
        mp_state::wait_is_over(&unsafe { OwnVcpu::from_raw(vcpu) })
    }

    /// Kicks the vCPU that runs here, without an atomic (C: kvm_vcpu_kick(), __kvm_vcpu_kick()).
    ///
    /// # Safety
    ///
    /// `vcpu` is a live vCPU; preemption is off, and since then this CPU's kvm_running_vcpu is
    /// `vcpu`.
    fn rust_kvm_vcpu_kick_self(vcpu: *mut kvm_vcpu) {
        // SAFETY: this function's contract.
        let (vcpu, this_cpu) = unsafe { (Vcpu::from_raw(vcpu), ThisCpu::new(vcpu)) };
        mode::kick_self(&vcpu, &this_cpu);
    }

    /// Makes the mode EXITING_GUEST_MODE if it is IN_GUEST_MODE; whether it was. Any context.
    ///
    /// # Safety
    ///
    /// `vcpu` is a live vCPU.
    fn rust_kvm_arch_vcpu_should_kick(vcpu: *mut kvm_vcpu) -> c_int {
        // SAFETY: the caller's promise.
        ModeWord::exit_guest(&unsafe { Vcpu::from_raw(vcpu) }.mode()).into()
    }

    /// Records an overflow that perf found in the counter `pmc`. NMI or IRQ context.
    ///
    /// # Safety
    ///
    /// `pmc` is the context of a perf event of KVM's that counts: a `struct kvm_pmc` of a live vCPU,
    /// whose thread perf interrupts, as pmc_reprogram_counter() makes events for that thread.
    fn rust_kvm_perf_overflow(pmc: *mut c_void) {
        // SAFETY: the caller's promise.
        pmi::found_by_perf(&unsafe { Pmc::from_raw(pmc.cast::<kvm_pmc>()) })
    }

    /// Records an overflow (C: __kvm_perf_overflow()). perf's callback, or the vCPU's thread.
    ///
    /// # Safety
    ///
    /// `pmc` is a counter of a live vCPU, whose thread this is, or interrupts.
    fn rust_kvm_pmc_overflow(pmc: *mut kvm_pmc, in_pmi: bool) {
        let source = if in_pmi { Source::Perf } else { Source::Emulation };
        // SAFETY: the caller's promise.
        pmi::record(&unsafe { Pmc::from_raw(pmc) }, source)
    }

    /// Delivers through an entry of the local vector table; whether it was accepted. Any context
    /// but NMI.
    ///
    /// # Safety
    ///
    /// `apic` is the APIC of a live vCPU, and `lvt_type` the offset of an entry of its local vector
    /// table. For LVTPC the calling thread has the vCPU loaded.
    fn rust_kvm_apic_local_deliver(apic: *mut kvm_lapic, lvt_type: c_int) -> c_int {
        // SAFETY: the caller's promise.
        lvt::deliver(&mut unsafe { Entry::new(apic, lvt_type as u32) }).into()
    }

    /// Finds counter overflows before the vCPU sleeps in HLT (C: vcpu_block()).
    ///
    /// # Safety
    ///
    /// `vcpu` is a live vCPU, which the calling thread has loaded.
    fn rust_kvm_pmu_settle(vcpu: *mut kvm_vcpu) {
        // SAFETY: the caller's promise.
        let mut own = unsafe { OwnVcpu::from_raw(vcpu) };
        if own.mp_state() == Some(MpState::Halted) {
            request::settle_counters(&mut own)
        }
    }

    /// Accepts an INIT, unless it is a deassertion; 1 if it was accepted. Any context but NMI.
    ///
    /// # Safety
    ///
    /// `vcpu` is a live vCPU.
    fn rust_kvm_apic_accept_init(vcpu: *mut kvm_vcpu, level: c_int, trig_mode: c_int) -> c_int {
        // SAFETY: the caller's promise.
        let vcpu = unsafe { Vcpu::from_raw(vcpu) };
        let Some(pending) = vcpu.pending() else {
            return 0;
        };
        if !init_sipi::is_init(level != 0, trig_mode != 0) {
            return 0;
        }
        init_sipi::send_init(pending, vcpu.requests());
        vcpu.kick();
        1
    }

    /// Accepts a SIPI; 1 if it was accepted. Any context but NMI.
    ///
    /// # Safety
    ///
    /// `vcpu` is a live vCPU.
    fn rust_kvm_apic_accept_sipi(vcpu: *mut kvm_vcpu, vector: c_int) -> c_int {
        // SAFETY: the caller's promise.
        let vcpu = unsafe { Vcpu::from_raw(vcpu) };
        let Some(pending) = vcpu.pending() else {
            return 0;
        };
        init_sipi::send_sipi(pending, vcpu.requests(), vector as u8);
        vcpu.kick();
        1
    }

    /// Takes pending INIT and SIPI; 0, or the error of checking L2's events.
    ///
    /// # Safety
    ///
    /// `vcpu` is a live vCPU, which the calling thread has loaded.
    fn rust_kvm_apic_accept_events(vcpu: *mut kvm_vcpu) -> c_int {
        // SAFETY: the caller's promise.
        let mut vcpu = unsafe { OwnVcpu::from_raw(vcpu) };
        if !vcpu.pending().is_some_and(|p| p.any()) {
            return 0;
        }
        accept_pending(&mut vcpu)
    }

    /// Sets the activity state, for KVM_SET_MP_STATE, which has refused what x86 does not have.
    ///
    /// # Safety
    ///
    /// `vcpu` is a live vCPU, which the calling thread has loaded.
    fn rust_kvm_set_mp_state(vcpu: *mut kvm_vcpu, state: u32) {
        // SAFETY: the caller's promise.
        let mut own = unsafe { OwnVcpu::from_raw(vcpu) };
        init_sipi::set_state(&mut own, Untrusted::new(state))
    }

    /// Reports a SIPI that is kept behind a latched INIT, for KVM_GET_VCPU_EVENTS.
    ///
    /// # Safety
    ///
    /// `vcpu` is a live vCPU, which the calling thread has loaded; `events` is the caller's own.
    fn rust_kvm_init_save(vcpu: *mut kvm_vcpu, events: *mut kvm_vcpu_events) {
        // SAFETY: the caller's promise.
        let (own, to) = unsafe { (OwnVcpu::from_raw(vcpu), &mut *events) };
        if let Some(vector) = init_sipi::kept_sipi(&own) {
            to.sipi_vector = vector.into();
            to.flags |= bindings::KVM_VCPUEVENT_VALID_SIPI_VECTOR;
        }
    }

    /// Latches an INIT or drops it, for KVM_SET_VCPU_EVENTS with KVM_VCPUEVENT_VALID_SMM.
    ///
    /// # Safety
    ///
    /// `vcpu` is a live vCPU, which the calling thread has loaded; `events` is the caller's own.
    fn rust_kvm_init_restore(vcpu: *mut kvm_vcpu, events: *const kvm_vcpu_events) {
        // SAFETY: the caller's promise.
        let (mut own, from) = unsafe { (OwnVcpu::from_raw(vcpu), &*events) };
        let init = LatchedInit {
            latched: from.smi.latched_init,
            vector_is_valid: from.flags & bindings::KVM_VCPUEVENT_VALID_SIPI_VECTOR != 0,
        };
        init_sipi::restore(&mut own, Untrusted::new(init))
    }

    /// Shows the vCPU's event state in debugfs. Any thread.
    ///
    /// # Safety
    ///
    /// `file` is open and being read; debugfs removes it before the vCPU goes, so `vcpu` lives.
    fn rust_kvm_events_show(vcpu: *mut kvm_vcpu, file: *mut seq_file) {
        // SAFETY: the caller's promise.
        unsafe { debugfs::show(Vcpu::from_raw(vcpu), file) }
    }
}
