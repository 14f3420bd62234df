// SPDX-License-Identifier: GPL-2.0

//! Event delivery of kvm.ko: the edge between C and the decisions in `../core`.

#![deny(missing_docs, unreachable_pub)]
#![deny(clippy::undocumented_unsafe_blocks, clippy::unnecessary_safety_comment)]
#![deny(unsafe_op_in_unsafe_fn)]

// What the three modules share, of which each uses a part.
#[path = "../bindings/lib.rs"]
mod bindings;
// Public where it is a crate of its own, on the host.
#[allow(dead_code, unreachable_pub)]
#[path = "../core/lib.rs"]
mod event;
#[allow(dead_code)]
#[path = "../sync/kernel.rs"]
mod sync;
#[allow(dead_code, unused_imports, unused_macros)]
#[path = "../view/vcpu.rs"]
mod view;
#[macro_use]
#[path = "../view/export.rs"]
mod export;

mod debugfs;
mod entry;
mod kick;
mod lapic;
mod pmu;
mod vcpu;
mod vendor;

#[cfg(CONFIG_LOCKDEP)]
use bindings::kvm_events_assert_owner as assert_owner;
