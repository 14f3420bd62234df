// SPDX-License-Identifier: GPL-2.0

//! Senders against the vCPU's thread, in every interleaving of two or three threads (loom).
//!
//! Not covered: load buffering, which loom does not explore, and more than three threads.

#![cfg(loom)]

mod common;

use common::{Shared, Vcpu};
use kvm_event_core::nmi::{collect, reset, restore, Saved};
use kvm_event_core::request::Request;
use kvm_event_core::sync::Full;
use loom::sync::Arc;
use loom::thread;

fn check(f: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(f);
}

fn sender(shared: &Arc<Shared>) -> thread::JoinHandle<()> {
    let shared = shared.clone();
    thread::spawn(move || shared.queue().push())
}

/// A queue that is not empty has its request: or a vCPU would sleep on an NMI.
fn assert_requested(shared: &Shared) {
    assert!(shared.count() == 0 || shared.made(Request::Nmi));
}

#[test]
fn two_senders_one_vcpu() {
    check(|| {
        let shared = Arc::new(Shared::new(0, 0));
        let senders = [sender(&shared), sender(&shared)];
        let mut vcpu = Vcpu::new(&shared);
        if shared.requests().take(Request::Nmi) {
            collect(&mut vcpu);
        }
        senders.map(|s| s.join().unwrap());
        assert_requested(&shared);
        if shared.requests().take(Request::Nmi) {
            collect(&mut vcpu);
        }
        assert_eq!(vcpu.pending, 2);
    });
}

/// KVM_GET_VCPU_EVENTS collects without taking the request.
#[test]
fn collected_without_a_request() {
    check(|| {
        let shared = Arc::new(Shared::new(1, Request::Nmi.mask()));
        let sender = sender(&shared);
        let mut vcpu = Vcpu::new(&shared);
        collect(&mut vcpu);
        sender.join().unwrap();
        assert_requested(&shared);
        collect(&mut vcpu);
        assert_eq!(vcpu.pending, 2);
    });
}

#[test]
fn reset_never_leaves_an_nmi_without_its_request() {
    check(|| {
        let shared = Arc::new(Shared::new(1, Request::Nmi.mask()));
        let senders = [sender(&shared), sender(&shared)];
        reset(&mut Vcpu::new(&shared));
        senders.map(|s| s.join().unwrap());
        assert_requested(&shared);
    });
}

/// KVM_SET_VCPU_EVENTS while somebody sends.
#[test]
fn restore_never_leaves_an_nmi_without_its_request() {
    for pending in [0, 1] {
        check(move || {
            let shared = Arc::new(Shared::new(1, Request::Nmi.mask()));
            let sender = sender(&shared);
            let mut vcpu = Vcpu::new(&shared);
            if shared.requests().take(Request::Nmi) {
                collect(&mut vcpu);
            }
            restore(
                &mut vcpu,
                Saved {
                    injected: false,
                    pending,
                    masked: false,
                },
                true,
            );
            sender.join().unwrap();
            assert_requested(&shared);
        });
    }
}

/// The same as reset, with the counts dropped first, as it must not be: the check above sees it.
#[test]
#[should_panic]
fn reset_in_the_other_order_loses_one() {
    check(|| {
        let shared = Arc::new(Shared::new(1, Request::Nmi.mask()));
        let sender = sender(&shared);
        shared.queued.xchg(0, Full);
        shared.requests().drop_request(Request::Nmi);
        sender.join().unwrap();
        assert_requested(&shared);
    });
}
