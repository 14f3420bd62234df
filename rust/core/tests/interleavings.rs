// SPDX-License-Identifier: GPL-2.0

//! Senders against the vCPU's thread, in every interleaving of two or three threads (loom).
//!
//! Not covered: load buffering, which loom does not explore, and more than three threads.

#![cfg(loom)]

mod common;

use common::{Shared, Vcpu};
use kvm_event_core::init_sipi::{send_init, send_sipi, Pending};
use kvm_event_core::mode::{Mode, ModeWord};
use kvm_event_core::nmi::{collect, reset, restore, Saved};
use kvm_event_core::request::{Request, Requests};
use kvm_event_core::sync::{Bits, Full, Word};
use loom::sync::atomic::{fence, Ordering::SeqCst};
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

/// A vCPU that is about to enter the guest, and whoever makes it look.
struct Entering {
    mode: Word,
    requests: Bits,
}

impl Entering {
    fn new() -> Self {
        Self {
            mode: Word::new(Mode::OutsideGuest as u32),
            requests: Bits::new(0),
        }
    }

    /// C: vcpu_enter_guest(). Whether it enters; then it has not seen the request.
    fn enters(&self) -> bool {
        self.mode.store(Mode::InGuest as u32);
        fence(SeqCst);
        let enters = self.requests.load() == 0 && self.mode.load() == Mode::InGuest as u32;
        if !enters {
            self.mode.store(Mode::OutsideGuest as u32);
        }
        enters
    }
}

/// A vCPU that enters while `kick` makes a request and kicks: whether it was sent an IPI.
fn kicked_while_entering(kick: fn(&Entering) -> bool) {
    check(move || {
        let vcpu = Arc::new(Entering::new());
        let kicker = {
            let vcpu = vcpu.clone();
            thread::spawn(move || kick(&vcpu))
        };
        let entered = vcpu.enters();
        let ipi = kicker.join().unwrap();
        assert!(!entered || ipi, "in the guest, and nobody told it");
    });
}

/// Whoever enters with a request unseen is sent an IPI.
#[test]
fn kick_and_entry() {
    kicked_while_entering(|vcpu| {
        vcpu.requests.set(Request::Event.mask());
        ModeWord::new(&vcpu.mode).exit_guest()
    });
}

/// The kick's own barrier is enough: the request is a plain store here.
#[test]
fn kick_with_its_barrier_alone() {
    kicked_while_entering(|vcpu| {
        vcpu.requests.store(Request::Event.mask());
        ModeWord::new(&vcpu.mode).exit_guest()
    });
}

/// And without any barrier the request is lost.
#[test]
#[should_panic(expected = "in the guest, and nobody told it")]
fn kick_without_its_barrier() {
    kicked_while_entering(|vcpu| {
        vcpu.requests.store(Request::Event.mask());
        let in_guest = Mode::InGuest as u32;
        vcpu.mode.cmpxchg(in_guest, Mode::ExitingGuest as u32) == in_guest
    });
}

/// A kick of oneself, by a plain store, beside one by another: both mean EXITING.
#[test]
fn own_store_beside_an_exchange() {
    check(|| {
        let mode = Arc::new(Word::new(Mode::InGuest as u32));
        let kicker = {
            let mode = mode.clone();
            thread::spawn(move || ModeWord::new(&mode).exit_guest())
        };
        mode.store(Mode::ExitingGuest as u32);
        let _ipi = kicker.join().unwrap();
        assert_eq!(ModeWord::new(&mode).load(), Some(Mode::ExitingGuest));
    });
}

struct Apic {
    events: Bits,
    vector: Word,
    requests: Bits,
}

impl Apic {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            events: Bits::new(0),
            vector: Word::new(0),
            requests: Bits::new(0),
        })
    }

    fn pending(&self) -> Pending<'_> {
        Pending::new(&self.events, &self.vector)
    }

    fn send_sipi(&self, vector: u8) {
        send_sipi(self.pending(), Requests::new(&self.requests), vector);
    }
}

/// The vector that is taken was sent, and a SIPI that came after the take is still there.
#[test]
fn sipis_are_not_stolen() {
    check(|| {
        let apic = Apic::new();
        let sender = {
            let apic = apic.clone();
            thread::spawn(move || {
                apic.send_sipi(1);
                apic.send_sipi(2);
            })
        };
        let first = apic.pending().take_sipi();
        sender.join().unwrap();
        let second = apic.pending().take_sipi();
        let vectors = (first.map(|s| s.vector), second.map(|s| s.vector));
        // Taken together as the last; or one after the other; the second vector never before its bit
        // without being there again for it.
        assert!(
            matches!(
                vectors,
                (None, Some(2)) | (Some(1 | 2), Some(2)) | (Some(2), None)
            ),
            "{vectors:?}"
        );
    });
}

/// An INIT overwrites, and is taken once; what was sent behind it is not lost with it.
#[test]
fn init_beside_a_taker() {
    check(|| {
        let apic = Apic::new();
        apic.send_sipi(1);
        let sender = {
            let apic = apic.clone();
            thread::spawn(move || {
                send_init(apic.pending(), Requests::new(&apic.requests));
                apic.send_sipi(2);
            })
        };
        let before = apic.pending().take_init().is_some();
        sender.join().unwrap();
        let after = apic.pending().take_init().is_some();
        assert!(before != after, "taken once");
        assert_eq!(apic.pending().take_sipi().map(|s| s.vector), Some(2));
    });
}
