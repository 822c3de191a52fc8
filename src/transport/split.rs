//! One transport made of two: control over one relay, media over another (SPEC section 8.1).
//!
//! ```text
//! send_control -> one half   -> its relay -> receive (control messages only)
//! send_media   -> other half -> its relay -> receive (packets only)
//! ```

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::{Instant, SystemTime},
};

use bytes::Bytes;

use super::{
    Inbound, MAX_CONTROL, MAX_MEDIA, Part, RelayName, RoomHandle, Transport, TransportError, check_length,
};

/// Carries control messages over `C` and sealed packets over `M`, so that an application's own
/// backend can carry the one lane and a vendor the other.
///
/// Both relays have to be on the room's allow-list; the driver looks both up before either is
/// contacted. What comes on the wrong lane is dropped. The connection is lost when either half is.
///
/// Time is that of the media half. A receive waits for both halves at once.
///
/// ```
/// use sottovoce::transport::{RelayName, Split, Transport, loopback::Hub};
/// let (backend, vendor) = (Hub::new("backend:1".parse()?), Hub::new("vendor:2".parse()?));
/// let member = Split::new(backend.client(), vendor.client());
/// assert_eq!(member.relays().len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Split<C, M> {
    control: C,
    media: M,
    /// The media half goes first at the next receive: neither half can keep the other back.
    media_first: bool,
    /// Both halves were connected by one call, which was not cancelled.
    open: bool,
}

impl<C: Transport, M: Transport> Split<C, M> {
    /// A transport of these two, neither of which is connected yet.
    pub fn new(control: C, media: M) -> Self {
        Self { control, media, media_first: false, open: false }
    }

    /// What comes first on the lane of either half.
    async fn next(&mut self, until: Instant) -> Result<Inbound, TransportError> {
        let Self { control, media, media_first, .. } = self;
        let left = until.saturating_duration_since(media.now());
        let control_until = control.now() + left;
        let mut message = pin!(message(control, control_until));
        let mut packet = pin!(packet(media, until));
        let mut control_idle = false;
        poll_fn(|context| {
            let mut media_idle = false;
            for is_media in [*media_first, !*media_first] {
                let came = match is_media {
                    true => packet.as_mut().poll(context),
                    false if control_idle => continue,
                    false => message.as_mut().poll(context),
                };
                match came {
                    Poll::Pending => {}
                    // The time is that of the media half, and what the other has is taken first.
                    Poll::Ready(Ok(Inbound::Idle)) if is_media => media_idle = true,
                    Poll::Ready(Ok(Inbound::Idle)) => control_idle = true,
                    came => {
                        *media_first = !is_media;
                        return came;
                    }
                }
            }
            if media_idle { Poll::Ready(Ok(Inbound::Idle)) } else { Poll::Pending }
        })
        .await
    }

    fn check_open(&self) -> Result<(), TransportError> {
        if self.open { Ok(()) } else { Err(TransportError::Closed) }
    }

    /// What the other half still has when one of them is lost.
    async fn rest(&mut self) -> Result<Inbound, TransportError> {
        let past = self.control.now();
        if let Ok(message @ Inbound::Control(_)) = message(&mut self.control, past).await {
            return Ok(message);
        }
        let past = self.media.now();
        match packet(&mut self.media, past).await {
            Ok(packet @ Inbound::Media(_)) => Ok(packet),
            _ => Err(TransportError::Closed),
        }
    }
}

impl<C: Transport, M: Transport> Transport for Split<C, M> {
    fn relays(&self) -> Vec<&RelayName> {
        let mut relays = self.control.relays();
        relays.extend(self.media.relays());
        relays
    }

    fn set_part(&mut self, part: Part) {
        self.control.set_part(part);
        self.media.set_part(part);
    }

    async fn connect(&mut self, handle: RoomHandle) -> Result<(), TransportError> {
        self.close().await;
        self.media.connect(handle).await?;
        let connected = self.control.connect(handle).await;
        match connected {
            Ok(()) => self.open = true,
            Err(_) => self.close().await,
        }
        connected
    }

    async fn send_control(&mut self, message: Bytes) -> Result<(), TransportError> {
        check_length(message.len(), MAX_CONTROL)?;
        self.check_open()?;
        self.control.send_control(message).await
    }

    fn send_media(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        check_length(packet.len(), MAX_MEDIA)?;
        self.check_open()?;
        self.media.send_media(packet)
    }

    async fn receive(&mut self, until: Instant) -> Result<Inbound, TransportError> {
        self.check_open()?;
        match self.next(until).await {
            Err(_) => self.rest().await,
            next => next,
        }
    }

    async fn close(&mut self) {
        self.open = false;
        self.control.close().await;
        self.media.close().await;
    }

    /// Of the half that was silent for longer.
    fn heard(&self) -> Option<Instant> {
        let ago = self.control.heard().map(|at| self.control.now().saturating_duration_since(at));
        let control = ago.map(|ago| self.media.now().checked_sub(ago).unwrap_or(self.media.now()));
        [control, self.media.heard()].into_iter().flatten().min().filter(|_| self.open)
    }

    fn now(&self) -> Instant {
        self.media.now()
    }

    fn wall(&self) -> Option<SystemTime> {
        self.media.wall()
    }
}

/// The next message of a half, whose packets are dropped.
async fn message(half: &mut impl Transport, until: Instant) -> Result<Inbound, TransportError> {
    loop {
        match half.receive(until).await? {
            Inbound::Media(_) => {}
            next => return Ok(next),
        }
    }
}

/// The next packet of a half, whose messages are dropped.
async fn packet(half: &mut impl Transport, until: Instant) -> Result<Inbound, TransportError> {
    loop {
        match half.receive(until).await? {
            Inbound::Control(_) => {}
            next => return Ok(next),
        }
    }
}
