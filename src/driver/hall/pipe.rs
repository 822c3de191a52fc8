//! One lane's transport, and what lies between it and the session.
//!
//! ```text
//! session: send, send_media ──> Pipe ──> serve ──> Transport
//!          take             <── Pipe <── serve <──
//! ```

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::transport::{Inbound, RoomHandle, Transport, TransportError};

/// What a lane's future has in common with the session that polls it.
#[derive(Default)]
pub(super) struct Pipe {
    inner: Mutex<Inner>,
}

/// A lane from connecting to its end. It says why it ended.
pub(super) type Served = Pin<Box<dyn Future<Output = TransportError> + Send>>;

#[derive(Default)]
struct Inner {
    control: VecDeque<Bytes>,
    media: VecDeque<Bytes>,
    /// What came and was not taken yet: nothing more is received meanwhile.
    came: Option<Inbound>,
    is_open: bool,
    is_ending: bool,
    dropped: u64,
    /// The relay's last sign of life, from a transport that tells.
    heard: Option<Instant>,
}

/// What a lane has to do next.
enum Task {
    Media(Bytes),
    Control(Bytes),
    End,
}

impl Pipe {
    /// Has a control message sent. Of too many the oldest is dropped.
    pub(super) fn send(&self, message: Bytes) {
        let mut inner = self.lock();
        inner.is_ending = false;
        if inner.control.len() >= CONTROL_WAITING {
            inner.control.pop_front();
            inner.dropped += 1;
        }
        inner.control.push_back(message);
    }

    /// Has a packet sent, if the lane is open.
    pub(super) fn send_media(&self, packet: &[u8]) {
        let mut inner = self.lock();
        if inner.media.len() >= MEDIA_WAITING || !inner.is_open {
            inner.media.pop_front();
            inner.dropped += 1;
        }
        if inner.is_open {
            inner.media.push_back(Bytes::copy_from_slice(packet));
        }
    }

    /// What came.
    pub(super) fn take(&self) -> Option<Inbound> {
        self.lock().came.take()
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().is_open
    }

    /// The relay's last sign of life, from a transport that tells, as of a moment ago.
    pub(super) fn heard(&self) -> Option<Instant> {
        self.lock().heard
    }

    /// Messages and packets that found no way out.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Has the lane closed after what waits has left.
    pub(super) fn end(&self) {
        self.lock().is_ending = true;
    }

    /// Has the lane kept: it was to be closed, and is wanted again.
    pub(super) fn stay(&self) {
        self.lock().is_ending = false;
    }

    #[cfg(test)]
    pub(super) fn is_ending(&self) -> bool {
        self.lock().is_ending
    }

    fn next(&self) -> Option<Task> {
        let mut inner = self.lock();
        if let Some(packet) = inner.media.pop_front() {
            return Some(Task::Media(packet));
        }
        if let Some(message) = inner.control.pop_front() {
            return Some(Task::Control(message));
        }
        inner.is_ending.then_some(Task::End)
    }

    // Nothing panics while it holds the lock, and what it guards is valid after every statement.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects, and then moves messages and packets both ways until the connection is lost or the lane
/// is to end. What is put into the pipe is noticed when this is polled again. With `watched`, signs
/// of life are noted also while nothing comes.
pub(super) async fn serve<T: Transport>(
    mut transport: T,
    handle: RoomHandle,
    pipe: Arc<Pipe>,
    watched: bool,
) -> TransportError {
    if let Err(error) = transport.connect(handle).await {
        return error;
    }
    pipe.lock().is_open = true;
    let lost = carry(&mut transport, &pipe, if watched { LOOK } else { LONG }).await;
    let mut inner = pipe.lock();
    (inner.is_open, inner.heard) = (false, None);
    lost
}

async fn carry<T: Transport>(transport: &mut T, pipe: &Pipe, pause: Duration) -> TransportError {
    loop {
        let heard = transport.heard();
        pipe.lock().heard = heard;
        let came = {
            let until = transport.now() + pause;
            let mut receive = pin!(transport.receive(until));
            poll_fn(|context| {
                if let Some(task) = pipe.next() {
                    return Poll::Ready(Err(task));
                }
                if pipe.lock().came.is_some() {
                    return Poll::Pending;
                }
                receive.as_mut().poll(context).map(Ok)
            })
            .await
        };
        let done = match came {
            Ok(Ok(Inbound::Idle)) => Ok(()),
            Ok(came) => came.map(|came| pipe.lock().came = Some(came)),
            Err(Task::Media(packet)) => transport.send_media(&packet),
            Err(Task::Control(message)) => transport.send_control(message).await,
            Err(Task::End) => {
                transport.close().await;
                Err(TransportError::Closed)
            }
        };
        match done {
            // It will never be taken.
            Ok(()) | Err(TransportError::TooLarge { .. }) => {}
            Err(lost) => return lost,
        }
    }
}

/// Messages and packets that wait for a lane.
const CONTROL_WAITING: usize = 64;
const MEDIA_WAITING: usize = 32;
/// How often signs of life are looked for.
const LOOK: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(3_600);
