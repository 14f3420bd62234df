// SPDX-License-Identifier: GPL-2.0

//! The counters: perf events of type raw, which KVM makes for a guest's counters, general and
//! fixed. They count nothing by themselves, and overflow when they are told to.

use core::{
    mem::{size_of, MaybeUninit},
    ptr,
    sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering},
};

use kernel::{error::to_result, ffi::c_int, prelude::*};

use crate::{
    bindings,
    shared::{Claim, Shared},
};

/// More than KVM has counters, of either vendor.
const COUNTERS: usize = 16;
/// Event select and unit mask, with AMD's four further bits: what counts, not how.
const EVENT: u64 = 0xf_0000_ffff;

/// What is scheduled on one CPU. Only that CPU writes it, with interrupts off, and its NMI
/// handler may read it at any time.
struct Cpu([AtomicPtr<bindings::perf_event>; COUNTERS]);

#[allow(clippy::declare_interior_mutable_const)] // A value to start from.
const EMPTY: AtomicPtr<bindings::perf_event> = AtomicPtr::new(ptr::null_mut());
#[allow(clippy::declare_interior_mutable_const)]
const IDLE: Cpu = Cpu([EMPTY; COUNTERS]);

static CPUS: [Cpu; bindings::LAB_PMU_NR_CPUS as usize] = [IDLE; bindings::LAB_PMU_NR_CPUS as usize];

/// How often perf's callback was called.
pub(crate) static OVERFLOWS: AtomicU32 = AtomicU32::new(0);

/// An event as a user names it: the other bits of `config` make no difference.
pub(crate) fn event_of(config: u64) -> u64 {
    config & EVENT
}

/// Overflows every counter of `event` that counts on `cpu`; how many that were. Each is then
/// where a real one would be, at zero.
///
/// perf's own `perf_event_overflow()` is not for modules, and throttles: what it would call is
/// called here, as often as it was asked for.
///
/// # Safety
///
/// Runs on `cpu`, and that stays so, in a context in which no counter can be unscheduled: an
/// interrupt or an NMI.
pub(crate) unsafe fn overflow(cpu: usize, event: u64) -> u32 {
    let Some(cpu) = CPUS.get(cpu) else { return 0 };
    let mut overflows = 0u32;
    for slot in &cpu.0 {
        let counter = slot.load(Ordering::Relaxed);
        if counter.is_null() {
            continue;
        }
        // SAFETY: Scheduled here, and so it stays while this function runs: perf keeps it.
        // `sample_period` is changed on this CPU with interrupts off, as one word.
        let (config, period, callback) = unsafe {
            (
                (*counter).attr.config,
                (*counter).hw.sample_period,
                (*counter).overflow_handler,
            )
        };
        if event_of(config) != event {
            continue;
        }
        // SAFETY: A word, which is changed on this CPU only while the counter is scheduled.
        let count = unsafe { AtomicU64::from_ptr((&raw mut (*counter).count).cast()) };
        count.fetch_add(period, Ordering::Relaxed);
        if let Some(callback) = callback {
            let (mut data, mut regs) = (MaybeUninit::zeroed(), MaybeUninit::zeroed());
            // SAFETY: What perf would call, in a context in which perf would. It is KVM's (see
            // init()), which looks at neither of the other arguments.
            unsafe { callback(counter, data.as_mut_ptr(), regs.as_mut_ptr()) };
        }
        overflows = overflows.wrapping_add(1);
    }
    OVERFLOWS.fetch_add(overflows, Ordering::Relaxed);
    overflows
}

/// Takes what the kernel itself counts for its own ends, which is KVM, and refuses perf's users.
unsafe extern "C" fn init(counter: *mut bindings::perf_event) -> c_int {
    // SAFETY: perf's, and not yet in use.
    let (kind, context) = unsafe { ((*counter).attr.type_, (*counter).overflow_handler_context) };
    if kind == bindings::perf_type_id_PERF_TYPE_RAW && !context.is_null() {
        0
    } else {
        ENOENT.to_errno()
    }
}

/// The CPU that `counter` is scheduled on, or was; called there, with interrupts off.
fn cpu_of(counter: *mut bindings::perf_event) -> Option<&'static Cpu> {
    // SAFETY: perf's; it sets this before it calls add().
    let cpu = unsafe { (*counter).oncpu };
    CPUS.get(usize::try_from(cpu).ok()?)
}

unsafe extern "C" fn add(counter: *mut bindings::perf_event, _flags: c_int) -> c_int {
    let Some(cpu) = cpu_of(counter) else {
        return EINVAL.to_errno();
    };
    for slot in &cpu.0 {
        if slot.load(Ordering::Relaxed).is_null() {
            slot.store(counter, Ordering::Relaxed);
            return 0;
        }
    }
    EAGAIN.to_errno()
}

unsafe extern "C" fn del(counter: *mut bindings::perf_event, _flags: c_int) {
    // SAFETY: As any; on the way out, perf has not reset `oncpu` yet.
    let Some(cpu) = cpu_of(counter) else { return };
    for slot in &cpu.0 {
        if slot.load(Ordering::Relaxed) == counter {
            slot.store(ptr::null_mut(), Ordering::Relaxed);
        }
    }
}

/// start() and stop(): there is nothing that counts.
unsafe extern "C" fn nothing(_counter: *mut bindings::perf_event, _flags: c_int) {}

/// `perf_event.count` is kept up to date.
unsafe extern "C" fn read(_counter: *mut bindings::perf_event) {}

static PMU: Shared<bindings::pmu> = Shared::zeroed();

/// A callback that is never called.
unsafe extern "C" fn ignore(
    _counter: *mut bindings::perf_event,
    _data: *mut bindings::perf_sample_data,
    _regs: *mut bindings::pt_regs,
) {
}

/// Whether perf can count this event: then something counts already.
fn can_count(kind: u32, config: u64) -> bool {
    let mut attr = bindings::perf_event_attr {
        type_: kind,
        size: size_of::<bindings::perf_event_attr>() as u32,
        config,
        // SAFETY: All zero is a value of this structure.
        ..unsafe { MaybeUninit::zeroed().assume_init() }
    };
    attr.set_disabled(1);
    // SAFETY: For the first CPU. That there is a callback, with a context, is for init() alone.
    let counter = unsafe {
        bindings::perf_event_create_kernel_counter(
            &mut attr,
            0,
            ptr::null_mut(),
            Some(ignore),
            PMU.get().cast(),
        )
    };
    if (counter as isize) < 0 && (counter as isize) >= -4095 {
        return false;
    }
    // SAFETY: Just made, and nobody else's.
    unsafe { bindings::perf_event_release_kernel(counter) };
    true
}

/// The PMU, as long as it lives.
pub(crate) struct Counters(Claim<bindings::pmu>);

impl Counters {
    /// # Errors
    ///
    /// `EBUSY` where there is a PMU already.
    pub(crate) fn new(module: &'static ThisModule) -> Result<Self> {
        let cycles = bindings::perf_hw_id_PERF_COUNT_HW_CPU_CYCLES.into();
        if can_count(bindings::perf_type_id_PERF_TYPE_HARDWARE, cycles)
            || can_count(bindings::perf_type_id_PERF_TYPE_RAW, 0)
        {
            pr_err!("this machine has a PMU of its own\n");
            return Err(EBUSY);
        }
        let claim = PMU.claim()?;
        let pmu = claim.get();
        // SAFETY: By the claim's invariant it is not registered: nobody else looks at it.
        unsafe {
            pmu.write_bytes(0, 1);
            (*pmu).module = module.as_ptr().cast();
            (*pmu).task_ctx_nr = bindings::LAB_PMU_HARDWARE_CONTEXT;
            (*pmu).event_init = Some(init);
            (*pmu).add = Some(add);
            (*pmu).del = Some(del);
            (*pmu).start = Some(nothing);
            (*pmu).stop = Some(nothing);
            (*pmu).read = Some(read);
        }
        let kind = bindings::perf_type_id_PERF_TYPE_RAW;
        // SAFETY: Complete, and static.
        to_result(unsafe { bindings::perf_pmu_register(pmu, c"lab".as_ptr().cast(), kind as _) })?;
        Ok(Self(claim))
    }
}

impl Drop for Counters {
    fn drop(&mut self) {
        // SAFETY: Registered by new(). No counter is left: each holds the module.
        unsafe { bindings::perf_pmu_unregister(self.0.get()) };
    }
}
