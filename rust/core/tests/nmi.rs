// SPDX-License-Identifier: GPL-2.0

//! The NMI rules over every combination of their inputs, against tables written from the manuals.

#![cfg(not(loom))]

mod common;

use common::{Shared, Vcpu};
use kvm_event_core::nmi::{collect, has_event, replace, reset};
use kvm_event_core::request::Request;
use kvm_event_core::untrusted::Untrusted;
use proptest::prelude::*;

const BOOLS: [bool; 2] = [false, true];
const COUNTS: [u32; 6] = [0, 1, 2, 3, 255, i32::MAX as u32];

/// How many NMIs may wait in all, and how many of them outside hardware.
///
/// SDM vol. 3, "Handling Multiple NMIs": while an NMI is in service, one more is kept. APM vol. 2,
/// "NMI Virtualization": V_NMI_MASK is that state, V_NMI_PENDING the one that is kept. An NMI that
/// is being injected is as good as in service; with none of both, the first is delivered at once.
///
/// masked, injected, held by hardware: room outside hardware
const ROOM: [(bool, bool, bool, u32); 8] = [
    (false, false, false, 2),
    (false, false, true, 1),
    (false, true, false, 1),
    (false, true, true, 0),
    (true, false, false, 1),
    (true, false, true, 0),
    (true, true, false, 1),
    (true, true, true, 0),
];

#[test]
fn collect_keeps_what_a_processor_keeps() {
    for (masked, injected, held, room) in ROOM {
        for vnmi in BOOLS {
            if held && !vnmi {
                continue;
            }
            for pending in COUNTS {
                for queued in COUNTS {
                    let shared = Shared::new(queued as i32, Request::Nmi.mask());
                    let mut vcpu = Vcpu {
                        masked,
                        injected,
                        held,
                        vnmi,
                        pending,
                        ..Vcpu::new(&shared)
                    };
                    collect(&mut vcpu);

                    let waiting = (u64::from(pending) + u64::from(queued)).min(room.into()) as u32;
                    let handed_over = u32::from(vnmi && !held && waiting > 0);
                    let case = format!("{masked} {injected} {held} {vnmi} {pending} {queued}");
                    assert_eq!(vcpu.pending, waiting - handed_over, "{case}");
                    assert_eq!(vcpu.held, held || handed_over == 1, "{case}");
                    assert_eq!(shared.count(), 0, "{case}");
                    assert_eq!(shared.made(Request::Event), vcpu.pending > 0, "{case}");
                    assert_eq!((vcpu.masked, vcpu.injected), (masked, injected), "{case}");
                }
            }
        }
    }
}

/// Whatever the count was: one sender that has raised it may not have made the request yet.
#[test]
fn push_leaves_a_request() {
    for queued in [0, 1, 2, 254, 255, -1] {
        for before in [0, Request::Nmi.mask(), Request::Smi.mask(), 1 << 40] {
            let shared = Shared::new(queued, before);
            shared.queue().push();
            assert_eq!(shared.count(), queued + 1);
            assert_eq!(shared.requests.load(), before | Request::Nmi.mask());
        }
    }
}

#[test]
fn an_nmi_keeps_awake_if_it_can_be_delivered() {
    for requested in BOOLS {
        for pending in [0, 1, 2] {
            for allowed in BOOLS {
                let shared = Shared::new(0, if requested { Request::Nmi.mask() } else { 0 });
                let vcpu = Vcpu {
                    pending,
                    allowed,
                    ..Vcpu::new(&shared)
                };
                assert_eq!(has_event(&vcpu), (requested || pending > 0) && allowed);
            }
        }
    }
}

/// KVM_SET_VCPU_EVENTS: the count is userspace's, the request is made if and only if it is not 0, and
/// the NMI that hardware held is dropped with the rest. The rest of the state is C's to set.
#[test]
fn replace_requests_if_and_only_if_pending() {
    for count in 0..=u8::MAX {
        for (masked, injected, held, _) in ROOM {
            for pending in [0, 1, 2] {
                let others = Request::Event.mask() | (1 << 40);
                let shared = Shared::new(0, others);
                let mut vcpu = Vcpu {
                    vnmi: true,
                    held,
                    pending,
                    injected,
                    masked,
                    ..Vcpu::new(&shared)
                };
                replace(&mut vcpu, Untrusted::new(count));
                assert_eq!((vcpu.pending, vcpu.held), (0, false));
                assert_eq!((vcpu.injected, vcpu.masked), (injected, masked));
                assert_eq!(shared.count(), i32::from(count));
                let request = if count != 0 { Request::Nmi.mask() } else { 0 };
                assert_eq!(shared.requests.load(), others | request);
            }
        }
    }
}

#[test]
fn reset_leaves_no_nmi_and_no_request() {
    for queued in [0, 1, 255] {
        for pending in [0, 1, 2] {
            for injected in BOOLS {
                let shared = Shared::new(queued, Request::Nmi.mask() | Request::Event.mask());
                let mut vcpu = Vcpu {
                    pending,
                    injected,
                    ..Vcpu::new(&shared)
                };
                reset(&mut vcpu);
                assert_eq!((shared.count(), vcpu.pending, vcpu.injected), (0, 0, false));
                assert!(!shared.made(Request::Nmi));
                assert!(shared.made(Request::Event), "another's request was dropped");
            }
        }
    }
}

/// What can happen to a vCPU's NMIs, one after the other.
#[derive(Clone, Copy, Debug)]
enum Step {
    Send,
    Collect,
    Deliver,
    Iret,
    Migrate,
    Reset,
    SetPending(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Send),
        4 => Just(Step::Collect),
        2 => Just(Step::Deliver),
        2 => Just(Step::Iret),
        1 => Just(Step::Migrate),
        1 => Just(Step::Reset),
        1 => any::<u8>().prop_map(Step::SetPending),
    ]
}

/// NMIs that wait outside the queue.
fn kept(vcpu: &Vcpu<'_>) -> u64 {
    u64::from(vcpu.pending) + u64::from(vcpu.held)
}

proptest! {
    /// However it goes on: never more waiting than a processor keeps, never one that was not
    /// sent, and never a queue without its request.
    #[test]
    fn nothing_lost_nothing_twice(steps in prop::collection::vec(step(), 0..60), vnmi: bool) {
        let shared = Shared::new(0, 0);
        let mut vcpu = Vcpu { vnmi, ..Vcpu::new(&shared) };
        let mut sent = 0u64;
        let mut delivered = 0u64;
        for s in steps {
            match s {
                Step::Send => {
                    shared.queue().push();
                    sent += 1;
                }
                Step::Collect => {
                    shared.requests().take(Request::Nmi);
                    let waiting = kept(&vcpu) + shared.count() as u64;
                    collect(&mut vcpu);
                    let room = if vcpu.masked || vcpu.injected { 1 } else { 2 };
                    prop_assert_eq!(kept(&vcpu), waiting.min(room));
                }
                Step::Deliver => {
                    if !vcpu.masked && (vcpu.held || vcpu.pending > 0) {
                        if vcpu.held {
                            vcpu.held = false;
                        } else {
                            vcpu.pending -= 1;
                        }
                        vcpu.masked = true;
                        delivered += 1;
                    }
                }
                Step::Iret => vcpu.masked = false,
                Step::Migrate => {
                    collect(&mut vcpu);
                    let before = kept(&vcpu);
                    // C saves and sets what is injected and masked.
                    let (injected, masked) = (vcpu.injected, vcpu.masked);
                    vcpu = Vcpu { vnmi, injected, masked, ..Vcpu::new(&shared) };
                    replace(&mut vcpu, Untrusted::new(before as u8));
                    prop_assert_eq!((shared.count() as u64, kept(&vcpu)), (before, 0));
                }
                Step::Reset => {
                    reset(&mut vcpu);
                    vcpu.held = false;
                    vcpu.masked = false;
                    sent = delivered;
                }
                Step::SetPending(count) => {
                    collect(&mut vcpu);
                    replace(&mut vcpu, Untrusted::new(count));
                    sent = delivered + u64::from(count);
                }
            }
            prop_assert!(shared.count() == 0 || shared.made(Request::Nmi));
            prop_assert!(delivered + kept(&vcpu) + shared.count() as u64 <= sent);
        }
    }
}
