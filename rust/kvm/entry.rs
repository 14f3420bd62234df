// SPDX-License-Identifier: GPL-2.0

//! Every function that C calls: make the view, ask the core, apply.
//!
//! They are unsafe for the same reason: `vcpu` is a live `struct kvm_vcpu`. Where the vCPU's own
//! thread is asked for, it holds `vcpu->mutex` and has the vCPU loaded.

use core::ffi::c_int;
use core::ptr::addr_of_mut;

use crate::bindings::{self, kvm_lapic, kvm_mp_state, kvm_pmc, kvm_vcpu, kvm_vcpu_events};
use crate::bindings::{perf_event, perf_sample_data, pt_regs, seq_file};
use crate::debugfs;
use crate::event::init_sipi::{self, Refused, Saved, Vcpu as _};
use crate::event::mode::{self, ModeWord};
use crate::event::pmi::{self, Source};
use crate::event::{lvt, mp_state, nmi, request};
use crate::kick;
use crate::lapic::Entry;
use crate::pmu::Pmc;
use crate::vendor;
use crate::view::{own, shared, store, OwnVcpu, Vcpu};

const EAGAIN: c_int = -(bindings::EAGAIN as c_int);
const EINTR: c_int = -(bindings::EINTR as c_int);
const EINVAL: c_int = -(bindings::EINVAL as c_int);

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
    /// Queues one NMI. Any context; the caller kicks.
    fn kvm_inject_nmi(vcpu: *mut kvm_vcpu) {
        // SAFETY: C passes a live vCPU.
        unsafe { Vcpu::from_raw(vcpu) }.nmi_queue().push()
    }

    /// Serves PMU, PMI, SMI and NMI requests. The vCPU's thread, before VM-Enter.
    fn kvm_service_events(vcpu: *mut kvm_vcpu) {
        // SAFETY: C passes a live vCPU, on its thread.
        let mut vcpu = unsafe { OwnVcpu::from_raw(vcpu) };
        request::serve(&mut vcpu)
    }

    /// Moves queued NMIs to pending ones. The vCPU's thread. Out of line, as service jumps here.
    #[inline(never)]
    fn kvm_nmi_collect(vcpu: *mut kvm_vcpu) {
        // SAFETY: C passes a live vCPU, on its thread.
        nmi::collect(&mut unsafe { OwnVcpu::from_raw(vcpu) })
    }

    /// Drops all NMIs at INIT and RESET. The vCPU's thread, or its creation.
    fn kvm_nmi_reset(vcpu: *mut kvm_vcpu) {
        // SAFETY: C passes a live vCPU, on its thread, or one that it is creating.
        nmi::reset(&mut unsafe { OwnVcpu::from_new(vcpu) })
    }

    /// Whether an NMI keeps the vCPU from sleeping. The vCPU's thread.
    fn kvm_nmi_has_event(vcpu: *mut kvm_vcpu) -> bool {
        // SAFETY: C passes a live vCPU, on its thread (directed yield asks something else).
        nmi::has_event(&unsafe { OwnVcpu::from_raw(vcpu) })
    }

    /// The NMI part of KVM_GET_VCPU_EVENTS. The vCPU's thread, after kvm_nmi_collect().
    fn kvm_nmi_save(vcpu: *mut kvm_vcpu, events: *mut kvm_vcpu_events) {
        // SAFETY: C passes a live vCPU, on its thread.
        let state = nmi::save(&unsafe { OwnVcpu::from_raw(vcpu) });
        // SAFETY: C passes events that are its own.
        let to = unsafe { &mut (*events).nmi };
        to.injected = state.injected.into();
        to.pending = state.pending;
        to.masked = state.masked.into();
    }

    /// The NMI part of KVM_SET_VCPU_EVENTS. The vCPU's thread, after kvm_nmi_collect().
    fn kvm_nmi_restore(vcpu: *mut kvm_vcpu, events: *const kvm_vcpu_events) {
        // SAFETY: C passes events that are its own.
        let (from, flags) = unsafe { (&(*events).nmi, (*events).flags) };
        let state = nmi::Saved {
            injected: from.injected != 0,
            pending: from.pending,
            masked: from.masked != 0,
        };
        let pending_is_valid = flags & bindings::KVM_VCPUEVENT_VALID_NMI_PENDING != 0;
        // SAFETY: C passes a live vCPU, on its thread.
        nmi::restore(&mut unsafe { OwnVcpu::from_raw(vcpu) }, state, pending_is_valid)
    }

    /// Whether only INIT and SIPI lead out of the vCPU's state. Any context.
    fn kvm_waits_for_sipi(vcpu: *mut kvm_vcpu) -> bool {
        // SAFETY: C passes a live vCPU.
        unsafe { Vcpu::from_raw(vcpu) }.waits_for_sipi()
    }

    /// Whether a vCPU that waits for SIPI has what it waits for. The vCPU's thread.
    fn kvm_sipi_wait_is_over(vcpu: *mut kvm_vcpu) -> bool {
        // SAFETY: C passes a live vCPU, on its thread (directed yield asks something else).
        mp_state::wait_is_over(&unsafe { OwnVcpu::from_raw(vcpu) })
    }

    /// Wakes the vCPU if it sleeps; whether it did. Any context but NMI.
    fn kvm_vcpu_wake_up(vcpu: *mut kvm_vcpu) -> bool {
        // SAFETY: C passes a live vCPU.
        mode::Vcpu::wake_up(&unsafe { Vcpu::from_raw(vcpu) })
    }

    /// Makes the mode EXITING_GUEST_MODE if it is IN_GUEST_MODE; whether it was. Any context.
    #[inline(never)]
    fn kvm_arch_vcpu_should_kick(vcpu: *mut kvm_vcpu) -> c_int {
        // SAFETY: C passes a live vCPU.
        ModeWord::exit_guest(&unsafe { Vcpu::from_raw(vcpu) }.mode()).into()
    }

    /// Records an overflow that perf found. NMI or IRQ context.
    fn kvm_perf_overflow(event: *mut perf_event, _data: *mut perf_sample_data, _regs: *mut pt_regs) {
        // SAFETY: perf calls back for an event of KVM's that counts, so that its vCPU lives.
        pmi::found_by_perf(&unsafe { Pmc::of_event(event) })
    }

    /// Records an overflow that KVM found as it reprograms the counter. The vCPU's thread.
    fn kvm_pmc_emulated_overflow(pmc: *mut kvm_pmc) {
        // SAFETY: C passes a counter of a live vCPU.
        pmi::record(&unsafe { Pmc::from_raw(pmc) }, Source::Emulation)
    }

    /// Delivers a PMI, if the APIC is in the kernel. The vCPU's thread. Out of line: traces count it.
    #[inline(never)]
    fn kvm_pmu_deliver_pmi(vcpu: *mut kvm_vcpu) {
        // SAFETY: C passes a live vCPU, on its thread.
        let own = unsafe { OwnVcpu::from_raw(vcpu) };
        let Some(apic) = own.shared().apic() else {
            return;
        };
        // SAFETY: the pointers are valid, and this thread has the vCPU loaded.
        unsafe {
            vendor::deliver_pmi(vcpu);
            lvt::deliver(&mut Entry::new(apic.as_ptr(), bindings::KVM_EVENTS_APIC_LVTPC));
        }
    }

    /// Delivers through an entry of the local vector table; whether it was accepted.
    fn kvm_apic_local_deliver(apic: *mut kvm_lapic, lvt_type: c_int) -> c_int {
        // SAFETY: C passes an APIC whose vCPU it has, and the offset of an entry.
        lvt::deliver(&mut unsafe { Entry::new(apic, lvt_type as u32) }).into()
    }

    /// Finds overflows before the vCPU sleeps. The vCPU's thread.
    fn kvm_pmu_settle(vcpu: *mut kvm_vcpu) {
        // SAFETY: C passes a live vCPU, on its thread.
        request::settle_counters(&mut unsafe { OwnVcpu::from_raw(vcpu) })
    }

    /// Accepts an SMI; whether the vCPU takes any. Any context.
    fn kvm_apic_accept_smi(vcpu: *mut kvm_vcpu) -> c_int {
        if !cfg!(CONFIG_KVM_SMM) {
            return 0;
        }
        // SAFETY: C passes a live vCPU.
        let vcpu = unsafe { Vcpu::from_raw(vcpu) };
        vcpu.requests().make_smi();
        vcpu.kick();
        1
    }

    /// Accepts an NMI. Any context.
    fn kvm_apic_accept_nmi(vcpu: *mut kvm_vcpu) -> c_int {
        // SAFETY: C passes a live vCPU.
        let vcpu = unsafe { Vcpu::from_raw(vcpu) };
        vcpu.nmi_queue().push();
        vcpu.kick();
        1
    }

    /// Accepts an INIT, unless it is a deassertion. Any context.
    fn kvm_apic_accept_init(vcpu: *mut kvm_vcpu, level: c_int, trig_mode: c_int) -> c_int {
        // SAFETY: C passes a live vCPU.
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

    /// Accepts a SIPI. Any context.
    fn kvm_apic_accept_sipi(vcpu: *mut kvm_vcpu, vector: c_int) -> c_int {
        // SAFETY: C passes a live vCPU.
        let vcpu = unsafe { Vcpu::from_raw(vcpu) };
        let Some(pending) = vcpu.pending() else {
            return 0;
        };
        init_sipi::send_sipi(pending, vcpu.requests(), vector as u8);
        vcpu.kick();
        1
    }

    /// Takes pending INIT and SIPI; 0, or what checking L2's events failed with. The vCPU's
    /// thread.
    fn kvm_apic_accept_events(vcpu: *mut kvm_vcpu) -> c_int {
        // SAFETY: C passes a live vCPU, on its thread.
        let mut vcpu = unsafe { OwnVcpu::from_raw(vcpu) };
        if !vcpu.pending().is_some_and(|p| p.any()) {
            return 0;
        }
        accept_pending(&mut vcpu)
    }

    /// Whether nothing blocks INIT and SIPI. The vCPU's thread.
    fn kvm_apic_init_sipi_allowed(vcpu: *mut kvm_vcpu) -> bool {
        // SAFETY: C passes a live vCPU, on its thread.
        unsafe { OwnVcpu::from_raw(vcpu) }.blocker().is_none()
    }

    /// What KVM_RUN of a vCPU that waits for its first INIT returns, when it has slept. The
    /// vCPU's thread.
    fn kvm_init_wait_ended(vcpu: *mut kvm_vcpu) -> c_int {
        // SAFETY: C passes a live vCPU, on its thread.
        let mut own = unsafe { OwnVcpu::from_raw(vcpu) };
        if init_sipi::accept(&mut own).is_err() {
            return 0;
        }
        // SAFETY: asks of the calling thread.
        if !unsafe { bindings::kvm_events_signal_pending() } {
            return EAGAIN;
        }
        let (run, exits) = (own!(own, run), own!(own, stat.signal_exits));
        // SAFETY: the run page is the vCPU's.
        unsafe { addr_of_mut!((*run).exit_reason).write(bindings::KVM_EXIT_INTR) }
        // Whole: any thread may read the vCPU's statistics.
        store!(&mut own, stat.signal_exits = exits.wrapping_add(1));
        EINTR
    }

    /// What KVM_GET_MP_STATE reports. The vCPU's thread.
    fn kvm_mp_state_get(vcpu: *mut kvm_vcpu) -> u32 {
        // SAFETY: C passes a live vCPU, on its thread.
        let own = unsafe { OwnVcpu::from_raw(vcpu) };
        match own.mp_state() {
            Some(state) => state.reported(|| shared!(own, arch.pv.pv_unhalted)) as u32,
            None => shared!(own, arch.mp_state) as u32,
        }
    }

    /// KVM_SET_MP_STATE: 0, or -EINVAL.
    fn kvm_arch_vcpu_ioctl_set_mpstate(vcpu: *mut kvm_vcpu, state: *mut kvm_mp_state) -> c_int {
        // SAFETY: C passes a live vCPU, with its mutex held, and a state that is its own.
        unsafe { bindings::vcpu_load(vcpu) };
        // SAFETY: as above; loaded by now.
        let (mut own, raw) = unsafe { (OwnVcpu::from_raw(vcpu), (*state).mp_state) };
        let wanted = init_sipi::requested_state(&own, raw);
        // Later trees refuse KVM_RUN instead.
        #[cfg(not(linux_7))]
        let wanted = wanted.and_then(|state| {
            init_sipi::unless_wait_blocked(&own, state, own!(own, arch.smi_pending))
        });
        let result = match wanted {
            Ok(state) => {
                init_sipi::set_state(&mut own, state);
                0
            }
            Err(Refused) => EINVAL,
        };
        // SAFETY: loaded above.
        unsafe { bindings::vcpu_put(vcpu) };
        result
    }

    /// The INIT and SIPI part of KVM_GET_VCPU_EVENTS. The vCPU's thread.
    fn kvm_init_save(vcpu: *mut kvm_vcpu, events: *mut kvm_vcpu_events) {
        // SAFETY: C passes a live vCPU, on its thread, and events that are its own.
        let (own, to) = unsafe { (OwnVcpu::from_raw(vcpu), &mut *events) };
        let saved = init_sipi::save(&own);
        to.smi.latched_init = saved.latched_init.unwrap_or(false).into();
        if let Some(vector) = saved.vector {
            to.sipi_vector = vector.into();
            to.flags |= bindings::KVM_VCPUEVENT_VALID_SIPI_VECTOR;
        }
    }

    /// The INIT and SIPI part of KVM_SET_VCPU_EVENTS. The vCPU's thread.
    fn kvm_init_restore(vcpu: *mut kvm_vcpu, events: *const kvm_vcpu_events) {
        // SAFETY: C passes a live vCPU, on its thread, and events that are its own.
        let (mut own, from) = unsafe { (OwnVcpu::from_raw(vcpu), &*events) };
        let is_valid = |flag| from.flags & flag != 0;
        let saved = Saved {
            latched_init: is_valid(bindings::KVM_VCPUEVENT_VALID_SMM)
                .then_some(from.smi.latched_init != 0),
            vector: is_valid(bindings::KVM_VCPUEVENT_VALID_SIPI_VECTOR)
                .then_some(from.sipi_vector as u8),
        };
        init_sipi::restore(&mut own, saved)
    }

    /// Shows the vCPU's event state in debugfs. Any thread.
    fn kvm_events_show(vcpu: *mut kvm_vcpu, file: *mut seq_file) {
        // SAFETY: the file is gone before its vCPU is; C passes one that is being read.
        unsafe { debugfs::show(Vcpu::from_raw(vcpu), file) }
    }
}

#[cfg(not(linux_7))]
export! {
    /// Makes the vCPU look at its requests. Any context but NMI. Out of line: traces count it.
    #[inline(never)]
    fn kvm_vcpu_kick(vcpu: *mut kvm_vcpu) {
        // SAFETY: C passes a live vCPU.
        kick::kick(unsafe { Vcpu::from_raw(vcpu) }, false)
    }
}

#[cfg(linux_7)]
export! {
    /// Makes the vCPU look at its requests, and waits if asked. Any context but NMI; to wait,
    /// with interrupts on. Out of line: traces count it.
    #[inline(never)]
    fn __kvm_vcpu_kick(vcpu: *mut kvm_vcpu, wait: bool) {
        // SAFETY: C passes a live vCPU.
        kick::kick(unsafe { Vcpu::from_raw(vcpu) }, wait)
    }
}
