// SPDX-License-Identifier: GPL-2.0

//! Kprobes.

use core::ffi::CStr;

use kernel::{error::to_result, ffi::c_int, prelude::*};

use crate::{
    bindings,
    shared::{Claim, Shared},
};

/// A kprobe on the first instruction of a function, in place until it is dropped.
pub(crate) struct Probe(Claim<bindings::kprobe>);

/// What kprobes calls.
pub(crate) type Handler =
    unsafe extern "C" fn(*mut bindings::kprobe, *mut bindings::pt_regs) -> c_int;

impl Probe {
    /// Has kprobes call `handler` whenever `function` is.
    ///
    /// # Errors
    ///
    /// `EBUSY` where there is a `Probe` of `probe` already; and what kprobes says.
    ///
    /// # Safety
    ///
    /// `handler` may be called with the registers that `function` begins with, on any CPU, until the
    /// probe is dropped; and what it returns is what kprobes asks for.
    pub(crate) unsafe fn new(
        probe: &'static Shared<bindings::kprobe>,
        function: &'static CStr,
        handler: Handler,
    ) -> Result<Self> {
        let claim = probe.claim()?;
        let p = claim.get();
        // SAFETY: By the claim's invariant it is not registered: nobody else writes it.
        unsafe {
            p.write_bytes(0, 1);
            (*p).symbol_name = function.as_ptr().cast();
            (*p).pre_handler = Some(handler);
        }
        // SAFETY: Complete, and static; its handler may be called, by this function's contract.
        to_result(unsafe { bindings::register_kprobe(p) })?;
        Ok(Self(claim))
    }

    /// Whether the function went away with its module.
    pub(crate) fn is_gone(probe: &'static Shared<bindings::kprobe>) -> bool {
        // SAFETY: A word, which kprobes writes when that happens.
        let flags = unsafe { (&raw const (*probe.get()).flags).read_volatile() };
        flags & bindings::KPROBE_FLAG_GONE != 0
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // SAFETY: Registered by new(), and claimed until after this. Returns when no handler runs any
        // more.
        unsafe { bindings::unregister_kprobe(self.0.get()) };
    }
}
