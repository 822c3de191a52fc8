//! One transport made of two: control over one relay, media over another (SPEC section 8.1).
//!
//! ```text
//! send_control -> one half   -> its relay -> receive (control messages only)
//! send_media   -> other half -> its relay -> receive (packets only)
//! ```

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::{
    Inbound, MAX_CONTROL, MAX_MEDIA, RelayName, RoomHandle, Transport, TransportError, check_length,
};

/// Carries control messages over `C` and sealed packets over `M`, so that an application's own
/// backend can carry the one lane and a vendor the other.
///
/// Both relays have to be on the room's allow-list; the driver looks both up before either is
/// contacted. What comes on the wrong lane is dropped. The connection is lost when either half is.
///
/// Time is that of the media half. A receive that waits looks at the control half every ten
/// milliseconds, since a half may block; so the halves cannot both be on simulated time, where
/// nobody waits alone.
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
    /// The media half goes first at the next receive, so that a flood of messages cannot keep
    /// packets back.
    media_first: bool,
    /// Both halves were connected by one call, which was not cancelled.
    open: bool,
}

impl<C: Transport, M: Transport> Split<C, M> {
    /// A transport of these two, neither of which is connected yet.
    pub fn new(control: C, media: M) -> Self {
        Self { control, media, media_first: false, open: false }
    }

    /// The next message of the control half, if there is one by now.
    async fn poll_control(&mut self) -> Result<Inbound, TransportError> {
        loop {
            let past = self.control.now();
            match self.control.receive(past).await? {
                Inbound::Media(_) => {}
                next => return Ok(next),
            }
        }
    }

    /// The next packet of the media half, if one comes until then.
    async fn wait_for_media(&mut self, until: Instant) -> Result<Inbound, TransportError> {
        loop {
            match self.media.receive(until).await? {
                Inbound::Control(_) => {}
                next => return Ok(next),
            }
        }
    }

    async fn next(&mut self, until: Instant) -> Result<Inbound, TransportError> {
        if self.media_first {
            self.media_first = false;
            let past = self.media.now();
            if let packet @ Inbound::Media(_) = self.wait_for_media(past).await? {
                return Ok(packet);
            }
        }
        loop {
            if let message @ Inbound::Control(_) = self.poll_control().await? {
                self.media_first = true;
                return Ok(message);
            }
            let slice = self.media.now() + SLICE;
            match self.wait_for_media(slice.min(until)).await? {
                Inbound::Idle if self.media.now() < until => {}
                next => return Ok(next),
            }
        }
    }

    fn check_open(&self) -> Result<(), TransportError> {
        if self.open { Ok(()) } else { Err(TransportError::Closed) }
    }

    /// What the other half still has when one of them is lost.
    async fn rest(&mut self) -> Result<Inbound, TransportError> {
        if let Ok(message @ Inbound::Control(_)) = self.poll_control().await {
            return Ok(message);
        }
        let past = self.media.now();
        match self.wait_for_media(past).await {
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

    fn now(&self) -> Instant {
        self.media.now()
    }

    fn wall(&self) -> Option<SystemTime> {
        self.media.wall()
    }
}

/// How long a message may wait for the media half.
const SLICE: Duration = Duration::from_millis(10);
