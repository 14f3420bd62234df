// SPDX-License-Identifier: GPL-2.0

//! Event delivery of kvm.ko: the edge between C and the decisions in `../core`.

#![deny(missing_docs, unreachable_pub)]
#![deny(clippy::undocumented_unsafe_blocks, clippy::unnecessary_safety_comment)]
#![deny(unsafe_op_in_unsafe_fn)]

#[path = "../bindings/lib.rs"]
mod bindings;
// Public where it is a crate of its own, on the host.
#[allow(unreachable_pub)]
#[path = "../core/lib.rs"]
mod event;
#[path = "../sync/kernel.rs"]
mod sync;

mod entry;
mod vcpu;
mod vendor;
