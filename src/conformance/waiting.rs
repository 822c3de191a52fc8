//! How a receive waits: until its time, and without holding up its thread, as an async runtime
//! needs.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use super::{
    Outcome, Stage,
    lanes::{MOMENT, describe, require, say},
};
use crate::transport::{Inbound, Transport, TransportError, block_on};

pub(super) fn waiting<T: Transport>(stage: &Stage<T>) -> Outcome {
    let [mut ada, mut ben] = stage.joined()?;
    let (start, past) = (ben.now(), ben.now());
    let idle = block_on(ben.receive(start + MOMENT));
    require(idle == Ok(Inbound::Idle), || format!("waiting for nothing gave {}", describe(&idle)))?;
    // A timer may be a hair early; a receive that does not wait at all is not.
    require(ben.now() >= start + MOMENT / 2, || "it did not wait".to_owned())?;
    require(ben.now() < start + MOMENT + stage.options.patience, || "it waited too long".to_owned())?;
    let idle = block_on(ben.receive(past));
    require(idle == Ok(Inbound::Idle), || format!("polling for nothing gave {}", describe(&idle)))?;
    say(&mut ada, "here")?;
    let deadline = Instant::now() + stage.options.patience;
    loop {
        match block_on(ben.receive(past)) {
            Ok(Inbound::Control(message)) if message == "here" => return Ok(()),
            Ok(Inbound::Idle) if Instant::now() < deadline => thread::sleep(Duration::from_millis(1)),
            other => return Err(format!("polling for a message gave {}", describe(&other))),
        }
    }
}

/// Notes that it was called, and gets the thread of the check out of its sleep.
struct Called {
    thread: Thread,
    yet: AtomicBool,
}

impl Wake for Called {
    fn wake(self: Arc<Self>) {
        self.yet.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Called {
    fn new() -> Arc<Self> {
        Arc::new(Self { thread: thread::current(), yet: AtomicBool::new(false) })
    }
}

type Received = Result<Inbound, TransportError>;

/// Polls until it is ready, each time only after it was woken.
fn woken(
    mut receive: Pin<&mut impl Future<Output = Received>>,
    called: &Arc<Called>,
    patience: Duration,
) -> Result<Received, String> {
    let (start, waker) = (Instant::now(), Waker::from(Arc::clone(called)));
    loop {
        if called.yet.swap(false, Ordering::AcqRel)
            && let Poll::Ready(received) = receive.as_mut().poll(&mut Context::from_waker(&waker))
        {
            return Ok(received);
        }
        require(start.elapsed() < patience, || "nothing woke whoever waits".to_owned())?;
        thread::park_timeout(MOMENT / 10);
    }
}

pub(super) fn yielding<T: Transport>(stage: &Stage<T>) -> Outcome {
    let [mut ada, mut ben] = stage.joined()?;
    let patience = stage.options.patience;
    let called = Called::new();
    let waker = Waker::from(Arc::clone(&called));
    {
        let until = ben.now() + patience;
        let mut receive = pin!(ben.receive(until));
        // Two tasks on one thread: one waits, the other counts its turns, until a timer ends both.
        let (start, mut turns) = (Instant::now(), 0);
        while start.elapsed() < 2 * MOMENT {
            if let Poll::Ready(received) = receive.as_mut().poll(&mut Context::from_waker(&waker)) {
                let took = start.elapsed();
                return Err(format!("it held up its thread for {took:?}, and gave {}", describe(&received)));
            }
            turns += 1;
            thread::park_timeout(MOMENT / 10);
        }
        require(start.elapsed() < patience / 2, || {
            format!("a timer of {:?} went off after {:?}, after {turns} turns", 2 * MOMENT, start.elapsed())
        })?;
        require(turns > 1, || "another task on the same thread did not run".to_owned())?;
        // What comes wakes it.
        called.yet.store(false, Ordering::Release);
        say(&mut ada, "wake up")?;
        let received = woken(receive.as_mut(), &called, patience)?;
        let right = received == Ok(Inbound::Control("wake up".into()));
        require(right, || format!("a message should have come, not {}", describe(&received)))?;
    }
    // So does its own time.
    let until = ben.now() + MOMENT;
    let mut receive = pin!(ben.receive(until));
    called.yet.store(true, Ordering::Release);
    let received = woken(receive.as_mut(), &called, patience)?;
    require(received == Ok(Inbound::Idle), || format!("waiting for nothing gave {}", describe(&received)))
}

/// Polls a future once, then drops it.
pub(super) fn once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
