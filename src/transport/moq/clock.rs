//! Time for the tasks of a connection: they ask to be woken, the thread of the connection tells
//! what time it is.

use std::{
    cell::{Cell, RefCell},
    task::{Poll, Waker},
    time::Instant,
};

use moq_net::kio::Waiter;

#[derive(Debug)]
pub(super) struct Clock {
    now: Cell<Instant>,
    sleepers: RefCell<Vec<(Instant, Waker)>>,
}

impl Clock {
    pub(super) fn new(now: Instant) -> Self {
        Self { now: Cell::new(now), sleepers: RefCell::default() }
    }

    pub(super) fn now(&self) -> Instant {
        self.now.get()
    }

    /// Ready once this time has come; before that, whoever asked is woken then.
    pub(super) fn poll_until(&self, until: Instant, waiter: &Waiter) -> Poll<()> {
        if self.now.get() >= until {
            return Poll::Ready(());
        }
        let mut sleepers = self.sleepers.borrow_mut();
        // Each task waits for one thing at a time, and asks again whenever it is woken.
        sleepers.retain(|(_, waker)| !waker.will_wake(waiter.waker()));
        sleepers.push((until, waiter.waker().clone()));
        Poll::Pending
    }

    /// Wakes those whose time has come.
    pub(super) fn advance(&self, now: Instant) {
        self.now.set(now);
        // Whoever is woken asks again later, not from within.
        self.sleepers.borrow_mut().retain(|(until, waker)| {
            let due = *until <= now;
            if due {
                waker.wake_by_ref();
            }
            !due
        });
    }

    /// When somebody has to be woken next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.sleepers.borrow().iter().map(|(until, _)| *until).min()
    }
}
