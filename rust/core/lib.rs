// SPDX-License-Identifier: GPL-2.0

//! When an event reaches a vCPU: the decisions, and nothing else.
//!
//! One file per idea. What a decision needs from the machine comes in through a small trait,
//! asked lazily and monomorphised away; what it may touch from any context comes in as atomics.
//! The same sources are a module of kvm.ko's Rust object and a crate that `cargo test` runs.

#![cfg_attr(not(CONFIG_RUST), no_std)]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(not(CONFIG_RUST))]
#[path = "../sync/host.rs"]
pub mod sync;
#[cfg(CONFIG_RUST)]
use crate::sync;

pub mod init_sipi;
pub mod lvt;
pub mod mode;
pub mod mp_state;
pub mod nested;
pub mod nmi;
pub mod pmi;
pub mod request;
pub mod state;
pub mod svm;
pub mod untrusted;
pub mod vmx;
