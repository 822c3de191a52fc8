//! What this member publishes at a MoQ relay (SPEC section 8.8).

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use moq_net::{Error, Timestamp, broadcast, cache, group, origin, track};

use super::{
    order::OVERHEAD,
    place::{BACK, CONTROL, EXPIRY, KEPT, LATE, MEDIA, Place},
};

/// What this member says, each kind announced once there is something of it.
pub(super) struct Voice {
    origin: origin::Producer,
    place: Place,
    messages: Option<Announced>,
    packets: Option<Announced>,
    /// How often packets were announced, and when the last one was sent.
    spoken: (u32, Instant),
    begun: Instant,
    /// How many messages were sent.
    said: u64,
    /// When the messages of the last moments were sent, the newest last.
    recent: VecDeque<Instant>,
    /// Bytes of messages that may be sent, and when that was so.
    budget: (f64, Instant),
}

/// A broadcast of one track.
struct Announced {
    track: track::Producer,
    /// Announced for as long as this is there.
    _broadcast: broadcast::Producer,
}

impl Announced {
    fn new(
        origin: &origin::Producer,
        path: &str,
        name: &str,
        age: Duration,
        priority: u8,
    ) -> Result<Self, Error> {
        let broadcast = origin.create_broadcast(path)?;
        let info = track::Info::default().with_max_age(age).with_priority(priority);
        let track = broadcast.create_track(name, info)?;
        broadcast.announce(origin::Route::default())?;
        Ok(Self { track, _broadcast: broadcast })
    }
}

impl Voice {
    /// Announces nothing yet.
    pub(super) fn new(origin: &origin::Producer, place: &Place, now: Instant) -> Self {
        Self {
            origin: origin.clone(),
            place: place.clone(),
            messages: None,
            packets: None,
            spoken: (0, now),
            begun: now,
            said: 0,
            recent: VecDeque::new(),
            budget: (BURST, now),
        }
    }

    /// When the next message may be sent.
    pub(super) fn ready_at(&self) -> Instant {
        let (bytes, since) = self.budget;
        since + Duration::from_secs_f64((-bytes / RATE).max(0.0))
    }

    pub(super) fn say(&mut self, message: &[u8], now: Instant) -> Result<(), Error> {
        let (bytes, since) = self.budget;
        let earned = now.saturating_duration_since(since).as_secs_f64() * RATE;
        self.budget = ((bytes + earned).min(BURST) - (message.len() + OVERHEAD) as f64, now);
        while self.recent.front().is_some_and(|sent| now.saturating_duration_since(*sent) > RECENT) {
            self.recent.pop_front();
        }
        let back = u32::try_from(self.recent.len()).unwrap_or(u32::MAX);
        self.recent.push_back(now);
        let mut frame = BytesMut::with_capacity(BACK + message.len());
        frame.put_u32(back);
        frame.put_slice(message);
        let timestamp = self.timestamp(now)?;
        let announced = match self.messages.take() {
            Some(announced) => announced,
            None => Announced::new(&self.origin, &self.place.own, CONTROL, KEPT, 1)?,
        };
        let announced = self.messages.insert(announced);
        let mut group = announced.track.create_group(group::Info { sequence: self.said })?;
        self.said += 1;
        group.write_frame(timestamp, frame.freeze())?;
        group.finish()
    }

    /// Sends a packet in a datagram, or on a stream where datagrams cannot go.
    pub(super) fn speak(&mut self, packet: Bytes, datagrams: bool, now: Instant) -> Result<(), Error> {
        if packet.is_empty() {
            // In IETF MoQ transport what is empty means something else.
            return Ok(());
        }
        let timestamp = self.timestamp(now)?;
        let announced = match self.packets.take() {
            Some(announced) => announced,
            None => {
                let path = self.place.packets(self.spoken.0);
                self.spoken.0 = self.spoken.0.wrapping_add(1);
                Announced::new(&self.origin, &path, MEDIA, LATE, 2)?
            }
        };
        let announced = self.packets.insert(announced);
        self.spoken.1 = now;
        match datagrams {
            true => announced.track.append_datagram(timestamp, packet).map(|_| ()),
            false => announced.track.write_frame(timestamp, packet),
        }
    }

    /// Withdraws packets if there have been none for long.
    pub(super) fn rest(&mut self, now: Instant) {
        if now.saturating_duration_since(self.spoken.1) > SILENT
            && let Some(announced) = self.packets.take()
        {
            // It fails if the relay has ended it, which comes to the same.
            let _ = announced.track.finish();
        }
    }

    /// Whether somebody hears what is said, or nothing was said.
    pub(super) fn is_heard(&self) -> bool {
        self.messages.as_ref().is_none_or(|announced| announced.track.is_used())
    }

    /// Says that nothing more comes.
    pub(super) fn finish(&self) {
        for announced in [&self.messages, &self.packets].into_iter().flatten() {
            // It fails if the relay has ended it, which comes to the same.
            let _ = announced.track.finish();
        }
    }

    fn timestamp(&self, now: Instant) -> Result<Timestamp, Error> {
        let passed = now.saturating_duration_since(self.begun).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        Timestamp::from_millis(passed).map_err(|_| Error::Closed)
    }
}

/// The origin that keeps what this member says.
pub(super) fn mouth() -> (origin::Producer, origin::Driver) {
    let mut config = origin::Config::default();
    config.pool = cache::Pool::new(cache::Config::default().with_expiry(EXPIRY));
    origin::Producer::new(config)
}

/// Up to which age messages are asked for by whoever comes in: with time to spare before they are
/// gone.
const RECENT: Duration = Duration::from_secs(5);
/// After how long without a packet nobody has to be subscribed any more.
const SILENT: Duration = Duration::from_secs(30);
/// Bytes of messages that may be sent at once, and in each second after that; each counts for more
/// than its length.
const BURST: f64 = 1024.0 * 1024.0;
const RATE: f64 = 256.0 * 1024.0;

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use moq_net::{announce::Kind, kio::Waiter};

    use super::*;
    use crate::transport::RoomHandle;

    /// What is announced, and what is withdrawn.
    fn changes(announced: &mut moq_net::announce::Consumer) -> Vec<(String, bool)> {
        let mut changes = Vec::new();
        while let Poll::Ready(Some(update)) = announced.poll_next(&Waiter::noop()) {
            changes.push((update.prefix.as_str().to_owned(), update.kind == Kind::Announced));
        }
        changes
    }

    #[test]
    fn each_kind_is_announced_with_the_first_of_it_and_packets_are_withdrawn_after_a_pause() {
        let (origin, _driver) = mouth();
        let mut announced = origin.consume().announced();
        let (place, now) = (Place::new(RoomHandle::from_bytes([1; 16]), [2; 16]), Instant::now());
        let mut voice = Voice::new(&origin, &place, now);
        assert!(voice.is_heard() && changes(&mut announced).is_empty());
        voice.say(b"message", now).unwrap();
        assert!(!voice.is_heard());
        assert_eq!(changes(&mut announced), [(place.own.clone(), true)]);
        voice.speak(Bytes::new(), true, now).unwrap();
        voice.speak(Bytes::from_static(b"packet"), true, now).unwrap();
        voice.speak(Bytes::from_static(b"packet"), false, now).unwrap();
        assert_eq!(changes(&mut announced), [(place.packets(0), true)]);
        voice.rest(now + SILENT);
        assert_eq!(changes(&mut announced), []);
        let later = now + SILENT + Duration::from_millis(1);
        voice.rest(later);
        assert_eq!(changes(&mut announced), [(place.packets(0), false)]);
        voice.rest(later);
        voice.speak(Bytes::from_static(b"packet"), true, later).unwrap();
        assert_eq!(changes(&mut announced), [(place.packets(1), true)]);
    }
}
