// SPDX-License-Identifier: GPL-2.0

//! Which of the events that are pending while L2 runs comes first, and whether it may come now.
//!
//! A vendor states its events in the order of their priority, each with what it waits for, as a
//! table; and answers, for each, whether it is there and what to do with it. The walk is one.

/// What must be over before an event is recognized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// A VM-Enter that KVM owes to L2: L1's own injection goes first.
    ///
    /// That is all an exception waits for: beside an event that must be injected again, it
    /// arose while that one was being delivered (SDM vol. 3, "Double Fault Exception").
    Entry,
    /// That, and an event that must be injected again: KVM handles a VM-exit from the middle of
    /// an instruction, and new events come between instructions only.
    Boundary,
    /// The vendor's own rule, which it applies when it takes the event.
    Vendor,
}

/// A line of a vendor's table.
#[derive(Clone, Copy, Debug)]
pub struct Rule<E> {
    /// The event.
    pub event: E,
    /// What it waits for.
    pub waits: Waits,
}

/// A line of a vendor's table.
pub const fn rule<E: Copy>(event: E, waits: Waits) -> Rule<E> {
    Rule { event, waits }
}

/// What is not over yet.
#[derive(Clone, Copy, Debug)]
pub struct Unfinished {
    /// KVM owes L2 a VM-Enter (C: nested_run_pending).
    pub entry: bool,
    /// An event must be injected again (C: kvm_event_needs_reinjection()).
    pub event: bool,
}

impl Unfinished {
    /// Whether an event that waits for `waits` can't be recognized now.
    #[inline(always)]
    pub fn blocks(self, waits: Waits) -> bool {
        match waits {
            Waits::Entry => self.entry,
            Waits::Boundary => self.entry || self.event,
            Waits::Vendor => false,
        }
    }
}

/// What became of an event that was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is dealt with: an exit to L1, or it was dropped where it had to be.
    Done,
    /// It is L2's, or L0's: L1 doesn't see it, nor anything of lower priority before it.
    NotForL1,
    /// It was nothing: on to the next.
    Ignored,
    /// It has to wait.
    Busy,
}

/// What came of the walk.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An event was dealt with.
    Done,
    /// Nothing is there for L1.
    NotForL1,
    /// An event is there, and has to wait; so does what comes after it (C: -EBUSY).
    Busy,
}

/// A vCPU with L2 active, as the walk sees it.
pub trait Candidates {
    /// The vendor's events.
    type Event: Copy + 'static;
    /// Its events, highest priority first.
    const ORDER: &'static [Rule<Self::Event>];
    /// What is not over yet.
    fn unfinished(&self) -> Unfinished;
    /// Whether `event` is there, and not blocked by what masks it in L2.
    fn is_there(&self, event: Self::Event) -> bool;
    /// Takes `event`, which is there and may be recognized.
    fn take(&mut self, event: Self::Event, unfinished: Unfinished) -> Taken;
}

/// As many steps as the longest table has lines.
pub const MOST: usize = 11;

/// Walks the vendor's table until an event decides.
#[inline(always)]
pub fn walk<C: Candidates>(vcpu: &mut C) -> Outcome {
    const { assert!(C::ORDER.len() <= MOST) }
    let unfinished = vcpu.unfinished();
    // By a constant index, so that a step is one test and not a walk over the table.
    macro_rules! steps {
        ($($i:literal)*) => {
            $(if let Some(outcome) = step::<C, $i>(vcpu, unfinished) {
                return outcome;
            })*
        };
    }
    steps!(0 1 2 3 4 5 6 7 8 9 10);
    Outcome::NotForL1
}

#[inline(always)]
fn step<C: Candidates, const I: usize>(vcpu: &mut C, unfinished: Unfinished) -> Option<Outcome> {
    let rule = const {
        if I < C::ORDER.len() {
            Some(C::ORDER[I])
        } else {
            None
        }
    }?;
    if !vcpu.is_there(rule.event) {
        return None;
    }
    if unfinished.blocks(rule.waits) {
        return Some(Outcome::Busy);
    }
    match vcpu.take(rule.event, unfinished) {
        Taken::Done => Some(Outcome::Done),
        Taken::NotForL1 => Some(Outcome::NotForL1),
        Taken::Busy => Some(Outcome::Busy),
        Taken::Ignored => None,
    }
}
