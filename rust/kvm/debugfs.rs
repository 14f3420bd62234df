// SPDX-License-Identifier: GPL-2.0

//! A vCPU's event state, as its file in debugfs shows it.

use core::fmt;

use crate::bindings::{self, seq_file};
use crate::event::state::State;
use crate::view::{shared, Vcpu};

/// Where a seq_file's text goes.
struct Text(*mut seq_file);

impl fmt::Write for Text {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        // SAFETY: by show()'s contract the file is being read, and a `str` is `len()` bytes at
        // `as_ptr()`. What doesn't fit is asked for again, with more room.
        unsafe { bindings::seq_write(self.0, s.as_ptr().cast(), s.len()) };
        Ok(())
    }
}

/// Shows `vcpu`'s state in `file`.
///
/// # Safety
///
/// `file` is the seq_file whose show operation this is called from.
pub(crate) unsafe fn show(vcpu: Vcpu<'_>, file: *mut seq_file) {
    let pending = vcpu.pending();
    let state = State {
        mode: vcpu.mode().load(),
        mp_state: vcpu.mp_state(),
        requests: vcpu.request_bits().load(),
        init: pending.is_some_and(|p| p.has_init()),
        sipi: pending.is_some_and(|p| p.has_sipi()),
        sipi_vector: pending.map_or(0, |p| p.vector()),
        nmi_queued: shared!(vcpu, arch.nmi_queued.counter) as u32,
        nmi_pending: shared!(vcpu, arch.nmi_pending),
        nmi_injected: shared!(vcpu, arch.nmi_injected),
        nmi_injections: shared!(vcpu, stat.nmi_injections),
        counts: vcpu.counts(),
    };
    // Text never fails.
    let _ = state.write(&mut Text(file));
}
