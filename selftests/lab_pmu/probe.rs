// SPDX-License-Identifier: GPL-2.0

//! Kprobes.

use core::ffi::CStr;

use kernel::{error::to_result, ffi::c_int, prelude::*};

use crate::{bindings, shared::Shared};

/// A kprobe on the first instruction of a function, in place until it is dropped.
pub(crate) struct Probe(&'static Shared<bindings::kprobe>);

/// What kprobes calls.
pub(crate) type Handler =
    unsafe extern "C" fn(*mut bindings::kprobe, *mut bindings::pt_regs) -> c_int;

impl Probe {
    /// `probe` is used by one `Probe` at a time.
    pub(crate) fn new(
        probe: &'static Shared<bindings::kprobe>,
        function: &'static CStr,
        handler: Handler,
    ) -> Result<Self> {
        let p = probe.get();
        // SAFETY: Not registered: nobody else looks at it.
        unsafe {
            p.write_bytes(0, 1);
            (*p).symbol_name = function.as_ptr().cast();
            (*p).pre_handler = Some(handler);
        }
        // SAFETY: Complete, and static.
        to_result(unsafe { bindings::register_kprobe(p) })?;
        Ok(Self(probe))
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
        // SAFETY: Registered by new(). Returns when no handler runs any more.
        unsafe { bindings::unregister_kprobe(self.0.get()) };
    }
}
