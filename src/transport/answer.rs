//! One value from a thread to the future that waits for it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread,
    time::Instant,
};

use super::{TransportError, alarm};

/// Gives the value. Dropping it says that there will be none.
pub(super) struct Teller<T>(Arc<Mutex<State<T>>>);

/// Waits for the value.
pub(super) struct Answer<T>(Arc<Mutex<State<T>>>);

struct State<T> {
    value: Option<T>,
    /// The value was given, or never will be.
    settled: bool,
    waker: Option<Waker>,
}

pub(super) fn channel<T>() -> (Teller<T>, Answer<T>) {
    let state = Arc::new(Mutex::new(State { value: None, settled: false, waker: None }));
    (Teller(Arc::clone(&state)), Answer(state))
}

impl<T> Teller<T> {
    pub(super) fn tell(self, value: T) {
        lock(&self.0).value = Some(value);
    }
}

impl<T> Drop for Teller<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.settled = true;
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<T> Answer<T> {
    /// The value; `None` if there will be none.
    pub(super) async fn get(self) -> Option<T> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// The value; `None` if there is none by then.
    pub(super) async fn by(self, until: Instant) -> Option<T> {
        alarm::within(until, |context| self.poll(context)).await.flatten()
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = lock(&self.0);
        if state.settled {
            return Poll::Ready(state.value.take());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl<T> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("settled", &lock(&self.0).settled).finish_non_exhaustive()
    }
}

/// Does what blocks on a thread of its own, and waits for its result.
///
/// If the future is dropped the work goes on, and its result is dropped when it comes.
///
/// # Errors
/// That of the work; [`TransportError::Exhausted`] if there is no thread for it, or it panicked.
pub(super) async fn elsewhere<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T, TransportError> + Send + 'static,
) -> Result<T, TransportError> {
    let (teller, answer) = channel();
    let thread = thread::Builder::new().name(name.to_owned()).spawn(move || teller.tell(work()));
    thread.map_err(|_| TransportError::Exhausted)?;
    let outcome = answer.get().await.unwrap_or(Err(TransportError::Exhausted));
    match &outcome {
        Ok(_) => trace_event!(INFO, what = name, "connected"),
        Err(_why) => trace_event!(INFO, what = name, why = %_why, "not connected"),
    }
    outcome
}

// Nothing panics while it holds the lock, and the state is valid after every statement.
fn lock<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::transport::block_on;

    #[test]
    fn a_value_arrives_and_a_teller_that_is_gone_is_noticed() {
        let (teller, answer) = channel();
        let thread = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            teller.tell(7);
        });
        assert_eq!(block_on(answer.get()), Some(7));
        thread.join().unwrap();
        let (teller, answer) = channel::<u8>();
        drop(teller);
        assert_eq!(block_on(answer.get()), None);
        let (teller, answer) = channel::<u8>();
        assert_eq!(block_on(answer.by(Instant::now() + Duration::from_millis(10))), None);
        drop(teller);
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_dropped_where_it_was_made() {
        let made = Arc::new(());
        let (theirs, (go, wait)) = (Arc::clone(&made), std::sync::mpsc::channel::<()>());
        let mut work = Box::pin(elsewhere("work", move || {
            let _ = wait.recv();
            Ok(theirs)
        }));
        assert!(work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(work);
        drop(go);
        let patience = Instant::now() + Duration::from_secs(10);
        while Arc::strong_count(&made) > 1 {
            assert!(Instant::now() < patience);
            thread::yield_now();
        }
        let panicked = elsewhere("panic", || -> Result<(), _> { std::panic::resume_unwind(Box::new(())) });
        assert_eq!(block_on(panicked), Err(TransportError::Exhausted));
    }
}
