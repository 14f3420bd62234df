// SPDX-License-Identifier: GPL-2.0

//! A vCPU's activity state, and what ends the wait for SIPI.

/// `KVM_MP_STATE_*`, the states that x86 uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MpState {
    /// Running.
    Runnable = 0,
    /// An AP that never saw an INIT; it waits for one.
    Uninitialized = 1,
    /// An AP that took an INIT: wait-for-SIPI.
    InitReceived = 2,
    /// HLT.
    Halted = 3,
    /// Only on its way in from userspace: INIT_RECEIVED and a pending SIPI.
    SipiReceived = 4,
    /// SEV-ES: waits for SIPI in its own way, by VMGEXIT.
    ApResetHold = 9,
}

impl MpState {
    /// The state that `raw` stands for, if x86 has it.
    #[inline(always)]
    pub fn from_raw(raw: u32) -> Option<Self> {
        Some(match raw {
            0 => Self::Runnable,
            1 => Self::Uninitialized,
            2 => Self::InitReceived,
            3 => Self::Halted,
            4 => Self::SipiReceived,
            9 => Self::ApResetHold,
            _ => return None,
        })
    }

    /// The state that KVM_GET_MP_STATE reports: who has been unhalted runs (C: pv_unhalted).
    #[inline(always)]
    pub fn reported(self, is_unhalted: impl Fn() -> bool) -> Self {
        match self {
            Self::Halted | Self::ApResetHold if is_unhalted() => Self::Runnable,
            state => state,
        }
    }

    /// Whether only INIT and SIPI lead out of this state.
    ///
    /// NMI, SMI, INTR and so a PMI are blocked in wait-for-SIPI (SDM vol. 3, "Activity
    /// State"):
    /// they stay where they are queued, and the vCPU sleeps.
    #[inline(always)]
    pub fn waits_for_sipi(self) -> bool {
        matches!(self, Self::Uninitialized | Self::InitReceived)
    }
}

/// What can end the wait for SIPI.
pub trait Waiter {
    /// INIT or SIPI is pending (C: kvm_apic_has_pending_init_or_sipi()).
    fn has_init_or_sipi(&self) -> bool;
    /// INIT and SIPI are not blocked (C: kvm_apic_init_sipi_allowed()).
    fn accepts_init_or_sipi(&self) -> bool;
    /// The guest's owner wants the vCPU to take a new state (SEV-SNP AP creation).
    fn has_new_protected_state(&self) -> bool;
}

/// Whether the wait for SIPI is over. A signal or an unblock request end the sleep, not the wait.
#[inline(always)]
pub fn wait_is_over(vcpu: &impl Waiter) -> bool {
    (vcpu.has_init_or_sipi() && vcpu.accepts_init_or_sipi()) || vcpu.has_new_protected_state()
}
