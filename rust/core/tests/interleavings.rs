// SPDX-License-Identifier: GPL-2.0

//! Senders against the vCPU's thread, in every interleaving of two or three threads (loom).
//!
//! Not covered: load buffering, which loom does not explore, and more than three threads.

#![cfg(loom)]

mod common;

use common::{kick, Shared, Vcpu};
use kvm_event_core::init_sipi::{send_init, send_sipi, Pending};
use kvm_event_core::mode::{self, kick_self, Mode, ModeWord};
use kvm_event_core::nmi::{collect, has_event, replace, reset};
use kvm_event_core::request::{Request, Requests};
use kvm_event_core::sync::{Bits, Full, Word};
use kvm_event_core::untrusted::Untrusted;
use loom::sync::atomic::{fence, Ordering::SeqCst};
use loom::sync::Arc;
use loom::thread;

fn check(f: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    // Every interleaving, whatever LOOM_MAX_PREEMPTIONS says.
    model.preemption_bound = None;
    model.check(f);
}

fn sender(shared: &Arc<Shared>) -> thread::JoinHandle<()> {
    let shared = shared.clone();
    thread::spawn(move || shared.queue().push())
}

/// A queue that is not empty has its request: or a vCPU would sleep on an NMI.
fn assert_requested(shared: &Shared) {
    assert!(
        shared.count() == 0 || shared.made(Request::Nmi),
        "an NMI without its request"
    );
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

/// A sender that is stopped between its two steps: the next sender makes the request for both NMIs,
/// whether or not the vCPU collects an earlier NMI meanwhile.
#[test]
fn a_stopped_sender_holds_up_no_other() {
    for earlier in [0, 1] {
        check(move || {
            let request = if earlier == 0 { 0 } else { Request::Nmi.mask() };
            let shared = Arc::new(Shared::new(earlier, request));
            let senders = {
                let shared = shared.clone();
                thread::spawn(move || {
                    // The first sender raises the count, and is stopped.
                    shared.queued.fetch_add(1, Full);
                    shared.queue().push();
                })
            };
            let mut vcpu = Vcpu::new(&shared);
            if shared.requests().take(Request::Nmi) {
                collect(&mut vcpu);
            }
            senders.join().unwrap();
            assert_requested(&shared);
            assert!(has_event(&vcpu), "the vCPU sleeps on an NMI");
            if shared.requests().take(Request::Nmi) {
                collect(&mut vcpu);
            }
            assert_eq!((shared.count(), vcpu.pending), (0, 2));
        });
    }
}

/// The same, while the vCPU's thread drops what is queued (INIT), and with the other sender on a CPU of
/// its own: all that may be left without a request is the NMI of the sender that is stopped.
#[test]
fn a_stopped_sender_beside_a_reset() {
    check(|| {
        let shared = Arc::new(Shared::new(1, Request::Nmi.mask()));
        let stopped = {
            let shared = shared.clone();
            thread::spawn(move || shared.queued.fetch_add(1, Full))
        };
        let sender = sender(&shared);
        reset(&mut Vcpu::new(&shared));
        stopped.join().unwrap();
        sender.join().unwrap();
        assert!(
            shared.count() <= 1 || shared.made(Request::Nmi),
            "an NMI without its request"
        );
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

/// KVM_SET_VCPU_EVENTS while a sender sends. C collects without taking the request, which may have been
/// taken before.
#[test]
fn replace_never_leaves_an_nmi_without_its_request() {
    for (count, take) in [(0, false), (0, true), (1, false), (1, true)] {
        check(move || {
            let shared = Arc::new(Shared::new(1, Request::Nmi.mask()));
            let sender = sender(&shared);
            let mut vcpu = Vcpu::new(&shared);
            if take {
                shared.requests().take(Request::Nmi);
            }
            collect(&mut vcpu);
            replace(&mut vcpu, Untrusted::new(count));
            sender.join().unwrap();
            assert_requested(&shared);
        });
    }
}

/// A reset that empties the queue before it drops the request: assert_requested() sees that.
#[test]
#[should_panic(expected = "an NMI without its request")]
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

/// A vCPU that is about to enter the guest, and is kicked.
struct Entering {
    mode: Word,
    requests: Bits,
}

/// A thread that kicks a vCPU, with preemption off.
struct Kicker {
    has_it_loaded: bool,
}

const OTHER_THREAD: Kicker = Kicker {
    has_it_loaded: false,
};
const OWN_THREAD: Kicker = Kicker {
    has_it_loaded: true,
};

impl mode::Vcpu for Entering {
    type Pinned = Kicker;
    fn is_running_here(&self, kicker: &Kicker) -> bool {
        kicker.has_it_loaded
    }
    fn mode(&self) -> ModeWord<'_> {
        ModeWord::new(&self.mode)
    }
    fn has_request(&self) -> bool {
        Requests::new(&self.requests).any()
    }
    fn wants_request(&self) -> bool {
        false
    }
    fn warn_no_request(&self) {
        unreachable!()
    }
}

impl Entering {
    fn new() -> Self {
        Self {
            mode: Word::new(Mode::OutsideGuest as u32),
            requests: Bits::new(0),
        }
    }

    /// C: vcpu_enter_guest(), with `interrupt` between the new mode and the last check. Whether the
    /// vCPU enters; then it has not seen the request.
    fn enters(&self, interrupt: impl FnOnce()) -> bool {
        self.mode.store(Mode::InGuest as u32);
        fence(SeqCst);
        interrupt();
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
        let entered = vcpu.enters(|| {});
        let ipi = kicker.join().unwrap();
        assert!(!entered || ipi, "in the guest with a request, and no IPI");
    });
}

/// A vCPU that enters with a request unseen is sent an IPI.
#[test]
fn kick_and_entry() {
    kicked_while_entering(|vcpu| {
        vcpu.requests.set(Request::Event.mask());
        kick(vcpu, &OTHER_THREAD)
    });
}

/// The kick's own barrier is enough: the request is a plain store here.
#[test]
fn kick_with_its_barrier_alone() {
    kicked_while_entering(|vcpu| {
        vcpu.requests.store(Request::Event.mask());
        kick(vcpu, &OTHER_THREAD)
    });
}

/// And without any barrier the request is lost.
#[test]
#[should_panic(expected = "in the guest with a request, and no IPI")]
fn kick_without_its_barrier() {
    kicked_while_entering(|vcpu| {
        vcpu.requests.store(Request::Event.mask());
        let in_guest = Mode::InGuest as u32;
        vcpu.mode.cmpxchg(in_guest, Mode::ExitingGuest as u32) == in_guest
    });
}

/// An interrupt on the vCPU's own CPU kicks it, by a plain store, while another thread kicks it too: the
/// store may overwrite the other kick's EXITING_GUEST_MODE alone, and the vCPU does not enter.
#[test]
fn own_kick_beside_another() {
    check(|| {
        let vcpu = Arc::new(Entering::new());
        let kicker = {
            let vcpu = vcpu.clone();
            thread::spawn(move || kick(&*vcpu, &OTHER_THREAD))
        };
        let mut own = None;
        let entered = vcpu.enters(|| {
            let kicked = kick_self(&*vcpu, &OWN_THREAD);
            own = Some((kicked, Mode::from_raw(vcpu.mode.load())));
        });
        // After the join: loom aborts the process if the model panics before.
        let _ipi = kicker.join().unwrap();
        assert_eq!(own, Some((true, Some(Mode::ExitingGuest))));
        assert!(!entered, "in the guest in spite of a kick");
    });
}

/// A vCPU that leaves the guest while `kick` kicks it: the kick must not change the next mode.
fn kicked_while_leaving(kick: fn(&Entering) -> bool) {
    check(move || {
        let vcpu = Arc::new(Entering::new());
        let (outside, in_guest) = (Mode::OutsideGuest as u32, Mode::InGuest as u32);
        vcpu.mode.store(in_guest);
        let kicker = {
            let vcpu = vcpu.clone();
            thread::spawn(move || kick(&vcpu))
        };
        // C stores OUTSIDE_GUEST_MODE. By a plain store loom would not know whether the other thread's
        // exchange came before.
        let kicked = vcpu.mode.cmpxchg(in_guest, outside) != in_guest;
        if kicked {
            vcpu.mode.cmpxchg(Mode::ExitingGuest as u32, outside);
        }
        let ipi = kicker.join().unwrap();
        assert_eq!(vcpu.mode.load(), outside, "a kick changed the next mode");
        assert_eq!(ipi, kicked);
    });
}

/// A kick changes IN_GUEST_MODE only, and sends an IPI if and only if it did.
#[test]
fn kick_and_exit() {
    kicked_while_leaving(|vcpu| kick(vcpu, &OTHER_THREAD));
}

/// The plain store is for the vCPU's own thread alone.
#[test]
#[should_panic(expected = "a kick changed the next mode")]
fn own_kick_by_another_thread() {
    kicked_while_leaving(|vcpu| kick(vcpu, &OWN_THREAD));
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

/// Two INITs, each with its SIPI, beside the thread that takes them: the last it does is to start the
/// vCPU, by the last SIPI, whatever came during the reset.
#[test]
fn the_last_init_is_taken_before_its_sipi() {
    started_last(|pending| pending.take_sipi_alone().map(|s| s.vector));
}

/// A SIPI that is taken beside an INIT starts a vCPU which that INIT then resets.
#[test]
#[should_panic(expected = "left waiting")]
fn a_sipi_that_is_taken_beside_an_init() {
    started_last(|pending| pending.take_sipi().map(|s| s.vector));
}

fn started_last(take_sipi: fn(Pending<'_>) -> Option<u8>) {
    check(move || {
        let apic = Apic::new();
        send_init(apic.pending(), Requests::new(&apic.requests));
        let sender = {
            let apic = apic.clone();
            thread::spawn(move || {
                send_init(apic.pending(), Requests::new(&apic.requests));
                apic.send_sipi(2);
            })
        };
        // None: no INIT yet, or started before it.
        let mut started = None;
        let mut accept = || {
            if apic.pending().take_init().is_some() {
                started = None;
            }
            if let Some(vector) = take_sipi(apic.pending()) {
                started = Some(vector);
            }
        };
        accept();
        sender.join().unwrap();
        accept();
        accept();
        assert!(!apic.pending().any(), "left over");
        assert_eq!(started, Some(2), "left waiting");
    });
}
