//! Waking a future at a time, on any executor and on none: one thread for the whole process, which
//! sleeps while nothing waits.
//!
//! ```text
//! Alarm::poll -> time, waker -> timer thread sleeps until the first of them -> Waker::wake
//! ```

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread,
    time::Instant,
};

/// A future that is ready once the time has come. Dropping it forgets the time.
#[derive(Debug)]
pub(crate) struct Alarm {
    at: Instant,
    /// Where the timer has it, once it was polled.
    key: Option<Key>,
}

impl Alarm {
    pub(crate) fn at(at: Instant) -> Self {
        Self { at, key: None }
    }
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.at <= Instant::now() {
            return Poll::Ready(());
        }
        let (at, key) = (self.at, self.key);
        self.key = Some(TIMER.set(at, key, context.waker()));
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            TIMER.lock().alarms.remove(&key);
        }
    }
}

#[cfg(feature = "net")]
/// Polls `work` until it is ready, or until that time and once more after it; `None` if it is not
/// ready then.
pub(super) async fn within<T>(
    until: Instant,
    mut work: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Option<T> {
    let mut alarm = Alarm::at(until);
    std::future::poll_fn(|context| {
        // Looked at first, so that what is there by then is taken.
        let late = until <= Instant::now();
        match work(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if late => Poll::Ready(None),
            Poll::Pending => Pin::new(&mut alarm).poll(context).map(|()| None),
        }
    })
    .await
}

/// The time, and a number that tells alarms of the same time apart.
type Key = (Instant, u64);

struct Timer {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    alarms: BTreeMap<Key, Waker>,
    numbers: u64,
    /// There is a thread, which sleeps until this time, or until it is woken.
    thread: Option<Option<Instant>>,
}

static TIMER: Timer = Timer {
    state: Mutex::new(State { alarms: BTreeMap::new(), numbers: 0, thread: None }),
    changed: Condvar::new(),
};

impl Timer {
    /// Has `waker` woken at that time, instead of the waker that was set under `key`.
    fn set(&'static self, at: Instant, key: Option<Key>, waker: &Waker) -> Key {
        let mut state = self.lock();
        let key = key.unwrap_or_else(|| {
            state.numbers += 1;
            (at, state.numbers)
        });
        match state.alarms.get_mut(&key) {
            Some(known) => known.clone_from(waker),
            None => drop(state.alarms.insert(key, waker.clone())),
        }
        match state.thread {
            Some(until) if until.is_none_or(|until| at < until) => {
                // Said once: the thread sets it anew before it sleeps again.
                state.thread = Some(Some(at));
                self.changed.notify_one();
            }
            Some(_) => {}
            None => {
                let thread = thread::Builder::new().name("transport timer".to_owned());
                if thread.spawn(|| self.run()).is_ok() {
                    state.thread = Some(Some(at));
                } else {
                    // No thread is left. The future asks for the time over and over until it has
                    // come, or one is.
                    waker.wake_by_ref();
                }
            }
        }
        key
    }

    fn run(&self) {
        /// A waker that panics takes the thread with it, and the next alarm begins another.
        struct Gone<'a>(&'a Timer);
        impl Drop for Gone<'_> {
            fn drop(&mut self) {
                self.0.lock().thread = None;
            }
        }
        let _gone = Gone(self);
        let mut due = Vec::new();
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            while let Some(first) = state.alarms.first_entry()
                && first.key().0 <= now
            {
                due.push(first.remove());
            }
            let next = state.alarms.keys().next().map(|(at, _)| *at);
            state.thread = Some(next);
            if !due.is_empty() {
                // A waker may do anything, even set an alarm.
                drop(state);
                due.drain(..).for_each(Waker::wake);
                state = self.lock();
                continue;
            }
            state = match next {
                Some(at) => {
                    let left = at.saturating_duration_since(now);
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    // Nothing panics while it holds the lock, and the state is valid after every statement.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::transport::block_on;

    #[test]
    fn an_alarm_wakes_at_its_time_whatever_was_set_before() {
        let start = Instant::now();
        let (late, soon) = (Duration::from_secs(3_600), Duration::from_millis(30));
        let mut far = Alarm::at(start + late);
        let waker = Waker::noop();
        assert!(Pin::new(&mut far).poll(&mut Context::from_waker(waker)).is_pending());
        block_on(Alarm::at(start + soon));
        assert!((soon..late).contains(&start.elapsed()), "{:?}", start.elapsed());
        let key = far.key.unwrap();
        assert!(TIMER.lock().alarms.contains_key(&key));
        drop(far);
        assert!(!TIMER.lock().alarms.contains_key(&key));
    }

    #[test]
    fn many_threads_are_woken_each_at_its_own_time() {
        thread::scope(|scope| {
            for number in 0..40 {
                scope.spawn(move || {
                    let wait = Duration::from_millis(5 * (number % 20));
                    let start = Instant::now();
                    block_on(Alarm::at(start + wait));
                    assert!(start.elapsed() >= wait);
                    assert!(start.elapsed() < wait + Duration::from_secs(2), "{:?}", start.elapsed());
                });
            }
        });
    }

    #[cfg(feature = "net")]
    #[test]
    fn what_is_ready_in_time_is_had_and_what_is_not_is_not_waited_for() {
        let until = Instant::now() + Duration::from_millis(20);
        assert_eq!(block_on(within(until, |_| Poll::<()>::Pending)), None);
        assert!(Instant::now() >= until);
        assert_eq!(block_on(within(until, |_| Poll::Ready(7))), Some(7));
    }
}
