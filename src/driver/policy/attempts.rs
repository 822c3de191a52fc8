//! Attempts to connect that are under way, at most [`MOST`] at a time.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::Connector;
use crate::transport::{RoomHandle, Transport, TransportError};

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Attempts, and the pause before the next one.
pub(super) struct Attempts<T> {
    trying: Vec<Attempt<T>>,
    pause: Option<Boxed<()>>,
}

struct Attempt<T> {
    relay: usize,
    began: Instant,
    connecting: Boxed<(T, Result<(), TransportError>)>,
}

/// The news about attempts.
pub(super) enum Step<T> {
    /// A relay has let us in.
    Connected { relay: usize, transport: T },
    /// One has failed.
    Failed { relay: usize, why: TransportError },
    /// It is time for the next one.
    Due,
}

impl<T: Transport + 'static> Attempts<T> {
    pub(super) fn new() -> Self {
        Self { trying: Vec::new(), pause: None }
    }

    /// Begins an attempt. [`has_place`](Self::has_place) comes first.
    pub(super) fn begin(&mut self, relay: usize, mut transport: T, handle: RoomHandle, now: Instant) {
        let connecting = Box::pin(async move {
            let connected = transport.connect(handle).await;
            (transport, connected)
        });
        self.trying.push(Attempt { relay, began: now, connecting });
    }

    /// Whether another one may begin. One that has taken too long makes place.
    pub(super) fn has_place(&mut self, now: Instant) -> bool {
        self.trying.retain(|attempt| now < attempt.began + PATIENCE);
        self.trying.len() < MOST
    }

    pub(super) fn is_empty(&self) -> bool {
        self.trying.is_empty()
    }

    /// Has the next one begin at that time.
    pub(super) fn pause_until(&mut self, connector: &impl Connector, at: Instant) {
        self.pause = Some(Box::pin(connector.sleep(at)));
    }

    /// Gives all of them up.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    /// The next news; a connection comes before all else.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Step<T>> {
        let (mut connected, mut failed) = (None, None);
        self.trying.retain_mut(|attempt| {
            if connected.is_some() || failed.is_some() {
                return true;
            }
            let relay = attempt.relay;
            match attempt.connecting.as_mut().poll(context) {
                Poll::Pending => return true,
                Poll::Ready((transport, Ok(()))) => connected = Some(Step::Connected { relay, transport }),
                Poll::Ready((_, Err(why))) => failed = Some(Step::Failed { relay, why }),
            }
            false
        });
        if let Some(step) = connected.or(failed) {
            return Poll::Ready(step);
        }
        match self.pause.as_mut().map(|pause| pause.as_mut().poll(context)) {
            Some(Poll::Ready(())) => {
                self.pause = None;
                Poll::Ready(Step::Due)
            }
            _ => Poll::Pending,
        }
    }
}

/// Attempts at a time.
const MOST: usize = 4;
/// How long an adapter may take that has no limit of its own.
const PATIENCE: Duration = Duration::from_secs(15);
