// SPDX-License-Identifier: GPL-2.0

//! A PMU where there is none, so that KVM offers its guests a virtual one.
//!
//! Neither emulator of the lab has performance counters. With this module KVM believes in some,
//! counts the instructions that it emulates itself, and overflows by them; and the counters
//! that perf is asked for overflow just when a test tells them to: see [`tell`].
//!
//! Loaded after kvm.ko, and before kvm-amd.ko or kvm-intel.ko, which ask once what there is.

use kernel::prelude::*;

mod answers;
mod bindings;
mod counters;
mod probe;
mod shared;
mod tell;

module! {
    type: LabPmu,
    name: "lab_pmu",
    description: "A PMU for the lab's emulated machines",
    license: "GPL",
}

/// What is taken back when the module goes, in this order.
struct LabPmu {
    _listener: tell::Listener,
    _answers: answers::Answers,
    _counters: counters::Counters,
}

impl kernel::Module for LabPmu {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let counters = counters::Counters::new(module)?;
        let answers = answers::Answers::new()?;
        Ok(Self {
            _listener: tell::Listener::new(module)?,
            _answers: answers,
            _counters: counters,
        })
    }
}
