// SPDX-License-Identifier: GPL-2.0

//! Telling the counters when to overflow: a line written to `/dev/lab_pmu`,
//!
//! ```text
//! CPU EVENT CONTEXT [INSTRUCTIONS]
//! CPU off
//! ```
//!
//! EVENT is an event select and unit mask, as in a control register; what counts it on CPU
//! overflows, in an interrupt (CONTEXT is `irq`) or in an NMI (`nmi`). With INSTRUCTIONS, it
//! does so when KVM emulates the so manyth instruction there from now on, just before KVM itself
//! counts that instruction, and the write returns at once; `off` takes that back. Without, it
//! does so now, and the write returns when it was done.
//!
//! What is read there is how many counters overflowed by this since the module was loaded, and
//! how often none did because none counted EVENT at that moment.

use core::{
    ffi::CStr,
    fmt::Write,
    hint, ptr,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use kernel::{
    error::to_result,
    ffi::{c_char, c_int, c_void},
    prelude::*,
};

use crate::{
    bindings, counters,
    probe::Probe,
    shared::{Claim, Shared},
};

/// What is outstanding on a CPU, in the lowest bits of its state: nothing; a writer is at work; to
/// come with an instruction of KVM's, which one is in the other bits; to come as soon as the
/// interrupt or NMI that was sent arrives.
const KIND: u32 = 3;
const IDLE: u32 = 0;
const SETTING: u32 = 1;
const WAITING: u32 = 2;
const SENT: u32 = 3;
/// The other bits.
const COUNT_SHIFT: u32 = 2;
const MOST_INSTRUCTIONS: u64 = (u32::MAX >> COUNT_SHIFT) as u64;

/// How long an interrupt of this CPU's own may take, in turns of a loop, and one of another's, in
/// turns of [`TURN_US`].
const SPINS: u32 = 1 << 20;
const TURNS: u32 = 10_000;
const TURN_US: usize = 100;

/// How an overflow arrives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    Irq,
    Nmi,
}

/// What one CPU was told. `event` and `nmi` are written in SETTING; the change of state that ends
/// it publishes them.
struct Told {
    state: AtomicU32,
    event: AtomicU64,
    nmi: AtomicBool,
    /// How many counters overflowed, the last time.
    overflows: AtomicU32,
}

#[allow(clippy::declare_interior_mutable_const)] // A value to start from.
const NOTHING: Told = Told {
    state: AtomicU32::new(IDLE),
    event: AtomicU64::new(0),
    nmi: AtomicBool::new(false),
    overflows: AtomicU32::new(0),
};

const CPUS: usize = bindings::LAB_PMU_NR_CPUS as usize;
static TOLD: [Told; CPUS] = [NOTHING; CPUS];
static WORK: Shared<[bindings::irq_work; CPUS]> = Shared::zeroed();
/// How often nothing counted the event that was to overflow.
static MISSED: AtomicU32 = AtomicU32::new(0);

impl Told {
    /// Overflows what was to overflow here in this context; whether there was anything.
    ///
    /// # Safety
    ///
    /// As for [`counters::overflow`].
    unsafe fn overflow(&self, cpu: usize, context: Context) -> bool {
        if self.state.load(Ordering::Acquire) != SENT || self.context() != context {
            return false;
        }
        // SAFETY: As the caller guarantees.
        let overflows = unsafe { counters::overflow(cpu, self.event.load(Ordering::Relaxed)) };
        self.overflows.store(overflows, Ordering::Relaxed);
        if overflows == 0 {
            MISSED.fetch_add(1, Ordering::Relaxed);
        }
        // Whoever waits for it sees the counts.
        self.state.store(IDLE, Ordering::Release);
        true
    }

    fn context(&self) -> Context {
        if self.nmi.load(Ordering::Relaxed) {
            Context::Nmi
        } else {
            Context::Irq
        }
    }

    /// One instruction was emulated here: whether it was the one.
    fn emulated(&self) -> bool {
        let mut state = self.state.load(Ordering::Acquire);
        while state & KIND == WAITING {
            let left = (state >> COUNT_SHIFT).saturating_sub(1);
            let next = if left == 0 {
                SENT
            } else {
                left << COUNT_SHIFT | WAITING
            };
            match self.change(state, next) {
                Ok(_) => return left == 0,
                Err(now) => state = now,
            }
        }
        false
    }

    fn change(&self, from: u32, to: u32) -> Result<u32, u32> {
        self.state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
    }

    /// Makes this CPU's record the caller's, who ends that with a store to `state`.
    ///
    /// # Errors
    ///
    /// `EBUSY` while an overflow is on its way, or another writer at work.
    fn set(&self) -> Result {
        let mut state = self.state.load(Ordering::Relaxed);
        while matches!(state & KIND, IDLE | WAITING) {
            match self.change(state, SETTING) {
                Ok(_) => return Ok(()),
                Err(now) => state = now,
            }
        }
        Err(EBUSY)
    }
}

fn this_cpu() -> usize {
    // SAFETY: Any context may ask.
    unsafe { bindings::lab_pmu_cpu() as usize }
}

/// In an interrupt, by `irq_work`.
unsafe extern "C" fn in_work(_: *mut bindings::irq_work) {
    overflow_in_irq();
}

/// In an interrupt that another CPU sent.
unsafe extern "C" fn in_call(_: *mut c_void) {
    overflow_in_irq();
}

fn overflow_in_irq() {
    let cpu = this_cpu();
    if let Some(told) = TOLD.get(cpu) {
        // SAFETY: Interrupts are off: what is scheduled stays so, and this CPU too.
        unsafe { told.overflow(cpu, Context::Irq) };
    }
}

/// An NMI; returns how many reasons for one this handler knew.
unsafe extern "C" fn in_nmi(_kind: u32, _: *mut bindings::pt_regs) -> c_int {
    let cpu = this_cpu();
    let Some(told) = TOLD.get(cpu) else {
        return 0;
    };
    // SAFETY: An NMI handler stays on its CPU, and nothing runs there beside it.
    unsafe { told.overflow(cpu, Context::Nmi) }.into()
}

/// Sends `cpu` an NMI.
fn send_nmi(cpu: usize) {
    // SAFETY: The APIC driver was chosen at boot; every driver has this function.
    unsafe {
        if let Some(send) = (*bindings::apic).send_IPI {
            send(cpu as c_int, bindings::LAB_PMU_NMI_VECTOR);
        }
    }
}

/// Instructions retired, of either vendor.
const INSTRUCTIONS: u64 = 0xc0;
/// Set where the function that is probed counts branches too.
static COUNTS_BRANCHES: AtomicBool = AtomicBool::new(false);

/// KVM emulated an instruction on this CPU, and is about to count it.
unsafe extern "C" fn on_instruction(
    _: *mut bindings::kprobe,
    regs: *mut bindings::pt_regs,
) -> c_int {
    // SAFETY: Where the function counts branches too, the event is its second argument.
    let event = unsafe { (*regs).si } as u64;
    if COUNTS_BRANCHES.load(Ordering::Relaxed) && counters::event_of(event) != INSTRUCTIONS {
        return 0;
    }
    let cpu = this_cpu();
    let Some(told) = TOLD.get(cpu) else { return 0 };
    if !told.emulated() {
        return 0;
    }
    match told.context() {
        Context::Nmi => send_nmi(cpu),
        // SAFETY: An element of the array, each of which is complete.
        Context::Irq => unsafe {
            bindings::irq_work_queue(work(cpu));
        },
    }
    // Interrupts are on in KVM here. It arrives at once, and KVM goes on after it.
    for _ in 0..SPINS {
        if told.state.load(Ordering::Acquire) != SENT {
            break;
        }
        hint::spin_loop();
    }
    0
}

/// The `irq_work` of a CPU.
///
/// # Safety
///
/// `cpu` is less than [`CPUS`].
unsafe fn work(cpu: usize) -> *mut bindings::irq_work {
    // SAFETY: As the caller guarantees.
    unsafe { WORK.get().cast::<bindings::irq_work>().add(cpu) }
}

/// Overflows now, on another CPU or this, and waits for it.
fn now(told: &Told, cpu: usize, context: Context) -> Result {
    told.state.store(SENT, Ordering::Release);
    match context {
        Context::Nmi => send_nmi(cpu),
        // SAFETY: In a system call of a thread's, where waiting is allowed.
        Context::Irq => to_result(unsafe {
            bindings::smp_call_function_single(cpu as c_int, Some(in_call), ptr::null_mut(), 1)
        })?,
    }
    for _ in 0..TURNS {
        if told.state.load(Ordering::Acquire) != SENT {
            return match told.overflows.load(Ordering::Relaxed) {
                0 => Err(ENOENT),
                _ => Ok(()),
            };
        }
        // SAFETY: As above.
        unsafe {
            bindings::usleep_range_state(TURN_US, 2 * TURN_US, bindings::LAB_PMU_UNINTERRUPTIBLE)
        };
    }
    told.change(SENT, IDLE).map_or(Ok(()), |_| Err(EIO))
}

/// A number as C writes it. (`from_str_radix()` leaves a panic in.)
fn number(word: &str) -> Result<u64> {
    let (digits, radix) = word.strip_prefix("0x").map_or((word, 10), |hex| (hex, 16));
    if digits.is_empty() {
        return Err(EINVAL);
    }
    let mut number = 0u64;
    for byte in digits.bytes() {
        let digit = match byte {
            b'0'..=b'9' => byte.wrapping_sub(b'0'),
            b'a'..=b'f' if radix == 16 => byte.wrapping_sub(b'a').wrapping_add(10),
            _ => return Err(EINVAL),
        };
        let next = number.checked_mul(radix);
        number = next
            .and_then(|n| n.checked_add(digit.into()))
            .ok_or(EINVAL)?;
    }
    Ok(number)
}

/// Does what a line says.
///
/// # Errors
///
/// `EINVAL`: not such a line; `ENXIO`: no such CPU; `ENODEV`: kvm.ko was unloaded meanwhile;
/// `ENOENT`: nothing counts EVENT on CPU now; `EBUSY`: an overflow is on its way there;
/// `EIO`: that never arrived.
fn tell(line: &str) -> Result {
    let mut words = line.split_ascii_whitespace();
    let mut word = || words.next().ok_or(EINVAL);
    let cpu = number(word()?)? as usize;
    let told = TOLD.get(cpu).ok_or(ENXIO)?;
    // SAFETY: Reads a mask of CPUs.
    if !unsafe { bindings::lab_pmu_online(cpu as u32) } {
        return Err(ENXIO);
    }
    let event = word()?;
    if event == "off" {
        told.set()?;
        told.state.store(IDLE, Ordering::Release);
        return Ok(());
    }
    let event = counters::event_of(number(event)?);
    let context = match word()? {
        "irq" => Context::Irq,
        "nmi" => Context::Nmi,
        _ => return Err(EINVAL),
    };
    let instructions = words.next().map_or(Ok(0), number)?;
    if words.next().is_some() || instructions > MOST_INSTRUCTIONS {
        return Err(EINVAL);
    }
    if instructions != 0 && Probe::is_gone(&INSTRUCTION) {
        return Err(ENODEV);
    }
    told.set()?;
    told.event.store(event, Ordering::Relaxed);
    told.nmi.store(context == Context::Nmi, Ordering::Relaxed);
    if instructions == 0 {
        return now(told, cpu, context);
    }
    let waiting = (instructions as u32) << COUNT_SHIFT | WAITING;
    told.state.store(waiting, Ordering::Release);
    Ok(())
}

/// The longest line.
const LINE: usize = 64;

/// Of the device.
unsafe extern "C" fn write(
    _file: *mut bindings::file,
    text: *const c_char,
    len: usize,
    _pos: *mut bindings::loff_t,
) -> isize {
    let mut line = [0u8; LINE];
    let mut at = 0;
    if len > LINE {
        return EINVAL.to_errno() as isize;
    }
    // SAFETY: `text` is the user's, which this checks; `line` has so much room.
    let n = unsafe {
        bindings::simple_write_to_buffer(line.as_mut_ptr().cast(), LINE, &mut at, text.cast(), len)
    };
    let Some(bytes) = usize::try_from(n).ok().and_then(|n| line.get(..n)) else {
        return n as isize;
    };
    let done = core::str::from_utf8(bytes)
        .map_err(|_| EINVAL)
        .and_then(tell);
    done.map_or_else(|e| e.to_errno() as isize, |()| len as isize)
}

/// Of the device: two numbers, and the ends of their lines.
unsafe extern "C" fn read(
    _file: *mut bindings::file,
    text: *mut c_char,
    len: usize,
    pos: *mut bindings::loff_t,
) -> isize {
    let counts = [
        ("overflows ", counters::OVERFLOWS.load(Ordering::Relaxed)),
        ("missed ", MISSED.load(Ordering::Relaxed)),
    ];
    let mut line = Line([0; LINE], 0);
    for (what, count) in counts {
        // It has room for these.
        let _ = writeln!(line, "{what}{count}");
    }
    // SAFETY: `text` is the user's, which this checks; `line` holds so much.
    unsafe {
        bindings::simple_read_from_buffer(text.cast(), len, pos, line.0.as_ptr().cast(), line.1)
            as isize
    }
}

/// Text, and how long it is.
struct Line([u8; LINE], usize);

impl Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for &byte in text.as_bytes() {
            *self.0.get_mut(self.1).ok_or(core::fmt::Error)? = byte;
            self.1 = self.1.wrapping_add(1);
        }
        Ok(())
    }
}

static INSTRUCTION: Shared<bindings::kprobe> = Shared::zeroed();
static NMI: Shared<bindings::nmiaction> = Shared::zeroed();
static FILE: Shared<bindings::file_operations> = Shared::zeroed();
static DEVICE: Shared<bindings::miscdevice> = Shared::zeroed();
const NAME: &CStr = c"lab_pmu";

/// KVM's instructions, seen.
struct Instructions(#[allow(dead_code)] Probe);

impl Instructions {
    fn new() -> Result<Self> {
        let count = |function| {
            // SAFETY: Either function has a vCPU, which the handler doesn't look at; where it is the
            // second one, COUNTS_BRANCHES says that there is another argument, which it does.
            unsafe { Probe::new(&INSTRUCTION, function, on_instruction) }
        };
        // 7.x; before that, one function counted instructions and branches.
        let probe = count(c"kvm_pmu_instruction_retired")
            .or_else(|_| {
                COUNTS_BRANCHES.store(true, Ordering::Relaxed);
                count(c"kvm_pmu_trigger_event")
            })
            .inspect_err(|_| {
                pr_err!("load kvm.ko first, and its vendor module after this one\n")
            })?;
        Ok(Self(probe))
    }
}

/// The way into interrupts and NMIs.
struct Contexts(#[allow(dead_code)] Claim<bindings::nmiaction>);

impl Contexts {
    fn new() -> Result<Self> {
        let claim = NMI.claim()?;
        for cpu in 0..CPUS {
            // SAFETY: In the array, and not in use: one at a time has the claim.
            unsafe { bindings::lab_pmu_init_work(work(cpu), Some(in_work)) };
        }
        let nmi = claim.get();
        // SAFETY: By the claim's invariant it is not registered: nobody else looks at it. Its list is
        // empty.
        unsafe {
            (*nmi).list.next = &raw mut (*nmi).list;
            (*nmi).list.prev = &raw mut (*nmi).list;
            (*nmi).handler = Some(in_nmi);
            (*nmi).name = NAME.as_ptr().cast();
        }
        // SAFETY: Complete, and static.
        to_result(unsafe { bindings::__register_nmi_handler(bindings::LAB_PMU_NMI_LOCAL, nmi) })?;
        Ok(Self(claim))
    }
}

impl Drop for Contexts {
    fn drop(&mut self) {
        // SAFETY: Both were made by new(), and nobody sends either any more.
        unsafe {
            bindings::unregister_nmi_handler(bindings::LAB_PMU_NMI_LOCAL, NAME.as_ptr().cast());
            for cpu in 0..CPUS {
                bindings::irq_work_sync(work(cpu));
            }
        }
    }
}

/// `/dev/lab_pmu`.
struct Device {
    _file: Claim<bindings::file_operations>,
    device: Claim<bindings::miscdevice>,
}

impl Device {
    fn new(module: &'static ThisModule) -> Result<Self> {
        let (file_claim, device_claim) = (FILE.claim()?, DEVICE.claim()?);
        let (file, device) = (file_claim.get(), device_claim.get());
        // SAFETY: By the claims' invariant they are not registered: nobody else looks at them.
        unsafe {
            (*file).owner = module.as_ptr().cast();
            (*file).write = Some(write);
            (*file).read = Some(read);
            (*device).minor = bindings::LAB_PMU_ANY_MINOR;
            (*device).name = NAME.as_ptr().cast();
            (*device).fops = file;
            (*device).mode = 0o600;
        }
        // SAFETY: Complete, and static.
        to_result(unsafe { bindings::misc_register(device) })?;
        Ok(Self {
            _file: file_claim,
            device: device_claim,
        })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: Registered by new(). No file is open: each holds the module.
        unsafe { bindings::misc_deregister(self.device.get()) };
    }
}

/// Listens as long as it lives; dropped in this order.
pub(crate) struct Listener {
    _device: Device,
    _instructions: Instructions,
    _contexts: Contexts,
}

impl Listener {
    pub(crate) fn new(module: &'static ThisModule) -> Result<Self> {
        let contexts = Contexts::new()?;
        let instructions = Instructions::new()?;
        Ok(Self {
            _device: Device::new(module)?,
            _instructions: instructions,
            _contexts: contexts,
        })
    }
}
