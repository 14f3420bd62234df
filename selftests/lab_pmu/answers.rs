// SPDX-License-Identifier: GPL-2.0

//! Two questions that KVM asks perf, answered in its place: which counters there are, and
//! how an event is encoded.

use kernel::{ffi::c_int, prelude::*};

use crate::{bindings, probe::Probe, shared::Shared};

/// General counters of the architectural PMU that is shown on Intel, of version 2.
const INTEL_COUNTERS: c_int = 8;
/// Fixed counters there: instructions, cycles, reference cycles.
const INTEL_FIXED: c_int = 3;
/// Counters of an AMD processor with PerfCtrExtCore.
const AMD_COUNTERS: c_int = 6;
/// Bits of a counter, of either vendor's.
const WIDTH: c_int = 48;
/// The architectural events that KVM may ask for.
const EVENTS: c_int = 7;

fn on_intel() -> bool {
    // SAFETY: Reads what was written at boot.
    unsafe { bindings::lab_pmu_on_intel() }
}

/// Where a probed function goes in place of its own body: returns at once, and leaves alone
/// what the probe put in AX.
#[inline(never)]
extern "C" fn answered() {}

/// Ends a probe so that the probed function returns to its caller.
///
/// # Safety
///
/// `regs` are those that kprobes handed to a handler at the function's first instruction.
unsafe fn skip(regs: *mut bindings::pt_regs) -> c_int {
    // SAFETY: As the caller guarantees; kprobes takes the new IP when the handler returns 1.
    unsafe { (*regs).ip = answered as usize as _ };
    1
}

/// In place of `perf_get_x86_pmu_capability()`.
unsafe extern "C" fn capability(_: *mut bindings::kprobe, regs: *mut bindings::pt_regs) -> c_int {
    // SAFETY: The function's argument: where its caller wants the answer.
    let answer = unsafe { (*regs).di } as *mut bindings::x86_pmu_capability;
    // SAFETY: All zero is a value of this structure, and the caller's is not shared yet.
    unsafe {
        answer.write_bytes(0, 1);
        (*answer).version = if on_intel() { 2 } else { 1 };
        (*answer).num_counters_gp = if on_intel() {
            INTEL_COUNTERS
        } else {
            AMD_COUNTERS
        };
        (*answer).bit_width_gp = WIDTH;
        if on_intel() {
            (*answer).num_counters_fixed = INTEL_FIXED;
            (*answer).bit_width_fixed = WIDTH;
        }
        (*answer).events_mask_len = EVENTS;
    }
    // SAFETY: The handler's own.
    unsafe { skip(regs) }
}

/// In place of `perf_get_hw_event_config()`: event select and unit mask (SDM, "Architectural
/// Performance Monitoring Events"; PPR, "Core Performance Monitor Counters").
unsafe extern "C" fn event_config(_: *mut bindings::kprobe, regs: *mut bindings::pt_regs) -> c_int {
    // SAFETY: The function's argument.
    let event = unsafe { (*regs).di } as u32;
    let (intel, amd) = match event {
        bindings::perf_hw_id_PERF_COUNT_HW_INSTRUCTIONS => (0xc0, 0xc0),
        bindings::perf_hw_id_PERF_COUNT_HW_BRANCH_INSTRUCTIONS => (0xc4, 0xc2),
        bindings::perf_hw_id_PERF_COUNT_HW_CPU_CYCLES => (0x3c, 0x76),
        // As perf names the third fixed counter.
        bindings::perf_hw_id_PERF_COUNT_HW_REF_CPU_CYCLES => (0x300, 0),
        _ => (0, 0),
    };
    // SAFETY: The function's result; and the handler's own registers.
    unsafe {
        (*regs).ax = if on_intel() { intel } else { amd };
        skip(regs)
    }
}

static CAPABILITY: Shared<bindings::kprobe> = Shared::zeroed();
static EVENT_CONFIG: Shared<bindings::kprobe> = Shared::zeroed();

/// Answers as long as it lives.
pub(crate) struct Answers {
    _probes: [Probe; 2],
}

impl Answers {
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: Each handler is written for the arguments of its function, whose body it skips.
        let (capability, config) = unsafe {
            (
                Probe::new(&CAPABILITY, c"perf_get_x86_pmu_capability", capability)?,
                Probe::new(&EVENT_CONFIG, c"perf_get_hw_event_config", event_config)?,
            )
        };
        Ok(Self {
            _probes: [capability, config],
        })
    }
}
