//! A room at a MoQ relay: what this member publishes, and the others, whom it hears (SPEC section 8.8).

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use moq_net::{
    Error, Pattern, Patterns, Timestamp, announce, broadcast, cache, group,
    kio::{self, Task, Tasks, Waiter},
    origin,
    track::{self, Position, Subscription},
};

use super::{
    clock::Clock,
    order::{Lost, Order, Window},
    worker::Lanes,
};
use crate::{
    keys::derive::hkdf_sha256,
    transport::{MAX_CONTROL, MAX_MEDIA, RoomHandle, quic::line::Line},
};

/// Where everything of a room is at a relay, which learns nothing else of it.
#[derive(Debug)]
pub(super) struct Place {
    /// The path of the room.
    pub(super) room: String,
    /// The path of this connection in the room.
    pub(super) own: String,
}

impl Place {
    pub(super) fn new(handle: RoomHandle, nonce: [u8; 16]) -> Self {
        let mut room = [0; 16];
        hkdf_sha256(&[], handle.as_bytes(), &[b"sottovoce 1 moq"], &mut room);
        let room = hex(&room);
        let own = format!("{room}/{}", hex(&nonce));
        Self { room, own }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What this member says.
pub(super) struct Voice {
    /// Announced for as long as this is there.
    _broadcast: broadcast::Producer,
    control: track::Producer,
    media: track::Producer,
    begun: Instant,
    /// How many messages were sent.
    said: u64,
    /// When the messages of the last moments were sent, the newest last.
    recent: VecDeque<Instant>,
    /// Bytes of messages that may be sent, and when that was so.
    budget: (f64, Instant),
}

impl Voice {
    /// Begins to publish. `None` if `moq-net` will not have it.
    pub(super) fn new(origin: &origin::Producer, place: &Place, now: Instant) -> Option<Self> {
        let broadcast = origin.create_broadcast(place.own.as_str()).ok()?;
        let track = |name: &str, age, priority| {
            let info = track::Info::default().with_max_age(age).with_priority(priority);
            broadcast.create_track(name, info).ok()
        };
        let (control, media) = (track(CONTROL, KEPT, 1)?, track(MEDIA, LATE, 2)?);
        broadcast.announce(origin::Route::default()).ok()?;
        let (recent, budget) = (VecDeque::new(), (BURST, now));
        Some(Self { _broadcast: broadcast, control, media, begun: now, said: 0, recent, budget })
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
        let mut group = self.control.create_group(group::Info { sequence: self.said })?;
        self.said += 1;
        group.write_frame(self.timestamp(now)?, frame.freeze())?;
        group.finish()
    }

    /// Sends a packet in a datagram, or on a stream where datagrams cannot go.
    pub(super) fn speak(&mut self, packet: Bytes, datagrams: bool, now: Instant) -> Result<(), Error> {
        if packet.is_empty() {
            // In IETF MoQ transport what is empty means something else.
            return Ok(());
        }
        let timestamp = self.timestamp(now)?;
        match datagrams {
            true => self.media.append_datagram(timestamp, packet).map(|_| ()),
            false => self.media.write_frame(timestamp, packet),
        }
    }

    /// Whether somebody hears what is said, or nothing was said.
    pub(super) fn is_heard(&self) -> bool {
        self.said == 0 || self.control.is_used()
    }

    /// Says that nothing more comes.
    pub(super) fn finish(&self) {
        // It fails if the relay has ended it, which comes to the same.
        let _ = self.control.finish();
        let _ = self.media.finish();
    }

    fn timestamp(&self, now: Instant) -> Result<Timestamp, Error> {
        let passed = now.saturating_duration_since(self.begun).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        Timestamp::from_millis(passed).map_err(|_| Error::Closed)
    }
}

/// The origin that keeps what the others say, for as long as it may be needed and no longer.
pub(super) fn ears() -> (origin::Producer, origin::Driver) {
    let mut config = origin::Config::default();
    config.pool = cache::Pool::new(cache::Config::default().with_capacity(HEARD).with_expiry(EXPIRY));
    origin::Producer::new(config)
}

/// The origin that keeps what this member says.
pub(super) fn mouth() -> (origin::Producer, origin::Driver) {
    let mut config = origin::Config::default();
    config.pool = cache::Pool::new(cache::Config::default().with_expiry(EXPIRY));
    origin::Producer::new(config)
}

/// The part of `ears` that is of this room. `None` if `moq-net` will not have the name.
pub(super) fn of_room(ears: &origin::Producer, place: &Place) -> Option<origin::Producer> {
    let all = Patterns::from(Pattern::subtree(&place.room).ok()?);
    ears.scope("", &all).ok()
}

/// The other members: each has two tasks, one for each lane.
pub(super) struct Others {
    heard: Rc<Heard>,
    lanes: Lanes,
    announced: announce::Consumer,
    tasks: Tasks<Job>,
    own: String,
}

/// What the tasks have in common.
struct Heard {
    line: Arc<Line>,
    origin: origin::Consumer,
    clock: Rc<Clock>,
    /// The paths of those who are there, and what changes with each time that they come.
    there: RefCell<HashMap<String, u64>>,
    /// Who has a message for which the inbox has no room.
    stalled: RefCell<Vec<Waker>>,
    /// A message is lost, so the connection is.
    lost: Cell<bool>,
}

struct Job(Pin<Box<dyn Future<Output = ()>>>);

impl Task for Job {
    fn poll(&mut self, waiter: &Waiter) -> Poll<()> {
        waiter.poll_future(self.0.as_mut())
    }
}

impl Others {
    pub(super) fn new(
        origin: &origin::Producer,
        place: &Place,
        lanes: Lanes,
        line: Arc<Line>,
        clock: Rc<Clock>,
    ) -> Self {
        let origin = origin.consume();
        let announced = origin.announced();
        let heard = Heard {
            line,
            origin,
            clock,
            there: RefCell::default(),
            stalled: RefCell::default(),
            lost: Cell::new(false),
        };
        Self { heard: Rc::new(heard), lanes, announced, tasks: Tasks::new(), own: place.own.clone() }
    }

    /// Does what can be done now. Fails when a message is lost, or the relay brings more members than a room has.
    pub(super) fn poll(&mut self, waiter: &Waiter) -> Result<(), Lost> {
        while let Poll::Ready(update) = self.announced.poll_next(waiter) {
            let update = update.ok_or(Lost)?;
            let path = update.prefix.as_str();
            let mut there = self.heard.there.borrow_mut();
            if !update.kind.is_active() {
                there.remove(path);
            } else if path != self.own && !there.contains_key(path) {
                if there.len() >= MEMBERS {
                    return Err(Lost);
                }
                there.insert(path.to_owned(), 0);
                drop(there);
                let (heard, path) = (&self.heard, path.to_owned());
                if self.lanes == Lanes::Both {
                    self.tasks.push(Job(Box::pin(hear_control(Rc::clone(heard), path.clone()))));
                }
                self.tasks.push(Job(Box::pin(hear_media(Rc::clone(heard), path))));
            }
        }
        self.heard.stalled.borrow_mut().drain(..).for_each(Waker::wake);
        // An empty set is no end.
        let _ = self.tasks.poll(waiter);
        if self.heard.lost.get() { Err(Lost) } else { Ok(()) }
    }
}

impl Heard {
    fn is_there(&self, path: &str) -> bool {
        self.there.borrow().contains_key(path)
    }

    /// Gives the application a message, and waits for room if there is none.
    async fn deliver(&self, message: Bytes) {
        let mut message = Some(message);
        kio::wait(|waiter| {
            message = message.take().and_then(|message| self.line.deliver(message).err());
            if message.is_none() {
                return Poll::Ready(());
            }
            self.stalled.borrow_mut().push(waiter.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Waits for longer, the more often it went wrong.
    async fn back_off(&self, failures: u32) {
        let until = self.clock.now() + RETRY * 2u32.saturating_pow(failures.min(4));
        kio::wait(|waiter| self.clock.poll_until(until, waiter)).await;
    }

    async fn subscribe(
        &self,
        path: &str,
        name: &str,
        wanted: Subscription,
    ) -> Result<track::Subscriber, Error> {
        self.origin.request_broadcast(path).await?.track(name)?.subscribe(wanted).await
    }
}

/// How hearing somebody came to an end.
enum End {
    /// It has said everything.
    Finished,
    /// What was tried failed, and may be tried again.
    Failed,
    /// A message is lost.
    Lost,
}

impl From<Error> for End {
    fn from(_: Error) -> Self {
        Self::Failed
    }
}

impl From<Lost> for End {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

async fn hear_control(heard: Rc<Heard>, path: String) {
    let mut order = Order::default();
    let mut failures = 0;
    while heard.is_there(&path) {
        let from = order.next();
        match hear_messages(&heard, &path, &mut order).await {
            Err(End::Failed) => {}
            Err(End::Lost) => return heard.lost.set(true),
            Ok(()) | Err(End::Finished) => return,
        }
        failures = if order.next() == from { failures + 1 } else { 0 };
        heard.back_off(failures).await;
    }
}

async fn hear_messages(heard: &Heard, path: &str, order: &mut Order) -> Result<(), End> {
    let wanted = Subscription::default().with_max_age(KEPT).with_start(order.next().map(Position::group));
    let mut track = heard.subscribe(path, CONTROL, wanted).await?;
    loop {
        let deadline = order.deadline();
        let next = kio::wait(|waiter| {
            if let Poll::Ready(next) = track.poll_recv_group(waiter) {
                return Poll::Ready(Some(next));
            }
            match deadline {
                Some(deadline) => heard.clock.poll_until(deadline, waiter).map(|()| None),
                None => Poll::Pending,
            }
        });
        match next.await {
            Some(Ok(Some(mut group))) => {
                let number = group.sequence;
                // What cannot be read whole is as good as lost, but only if it is missed.
                if let Some(frame) = read(heard, &mut group, BACK + MAX_CONTROL).await
                    && let Some((back, message)) = split(frame)
                {
                    order.push(number, number.saturating_sub(back.into()), message, heard.clock.now())?;
                }
            }
            Some(Ok(None)) => return Err(End::Finished),
            Some(Err(error)) => return Err(error.into()),
            None => order.handle_timeout(heard.clock.now())?,
        }
        while let Some(message) = order.pop(heard.clock.now()) {
            heard.deliver(message).await;
        }
    }
}

/// The number of messages that can still be had before this one, and this one.
fn split(mut frame: Bytes) -> Option<(u32, Bytes)> {
    let back = frame.split_to_checked(BACK)?;
    Some((u32::from_be_bytes(back.as_ref().try_into().ok()?), frame))
}

trait SplitChecked: Sized {
    fn split_to_checked(&mut self, at: usize) -> Option<Self>;
}

impl SplitChecked for Bytes {
    fn split_to_checked(&mut self, at: usize) -> Option<Self> {
        (self.len() >= at).then(|| self.split_to(at))
    }
}

/// The only frame of a group, if it comes in time and is not longer than it may be.
async fn read(heard: &Heard, group: &mut group::Consumer, longest: usize) -> Option<Bytes> {
    let until = heard.clock.now() + STALLED;
    let mut frame = None;
    kio::wait(|waiter| {
        if frame.is_none() {
            match group.poll_next_frame(waiter) {
                Poll::Ready(Ok(Some(next))) if next.size <= longest as u64 => frame = Some(next),
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => {}
            }
        }
        if let Some(frame) = &mut frame
            && let Poll::Ready(read) = frame.poll_read_all(waiter)
        {
            return Poll::Ready(read.ok());
        }
        heard.clock.poll_until(until, waiter).map(|()| None)
    })
    .await
}

async fn hear_media(heard: Rc<Heard>, path: String) {
    let mut window = Window::default();
    let mut failures = 0;
    while heard.is_there(&path) {
        match hear_packets(&heard, &path, &mut window, &mut failures).await {
            Err(End::Failed) => failures += 1,
            _ => return,
        }
        heard.back_off(failures).await;
    }
}

async fn hear_packets(heard: &Heard, path: &str, window: &mut Window, failures: &mut u32) -> Result<(), End> {
    let wanted = Subscription::default().with_max_age(LATE).with_priority(1);
    let mut track = heard.subscribe(path, MEDIA, wanted).await?;
    let mut groups: VecDeque<group::Consumer> = VecDeque::new();
    loop {
        let (number, packet) = kio::wait(|waiter| {
            while let Poll::Ready(next) = track.poll_recv_group(waiter) {
                match next {
                    Ok(Some(group)) => groups.push_back(group),
                    Ok(None) => return Poll::Ready(Err(End::Finished)),
                    Err(error) => return Poll::Ready(Err(error.into())),
                }
                if groups.len() > AT_ONCE {
                    groups.pop_front();
                }
            }
            for index in 0..groups.len() {
                let Some(group) = groups.get_mut(index) else { break };
                if let Poll::Ready(read) = group.poll_read_frame(waiter) {
                    let number = group.sequence;
                    groups.remove(index);
                    let packet = read.ok().flatten().map(|frame| frame.payload);
                    return Poll::Ready(Ok((number, packet)));
                }
            }
            track.poll_recv_datagram(waiter).map(|next| match next {
                Ok(Some(datagram)) => Ok((datagram.sequence, Some(datagram.payload))),
                Ok(None) => Err(End::Finished),
                Err(error) => Err(error.into()),
            })
        })
        .await?;
        *failures = 0;
        let packet = packet.filter(|packet| packet.len() <= MAX_MEDIA);
        if let Some(packet) = packet.filter(|_| window.is_fresh(number)) {
            heard.line.inbox.push_media(packet);
        }
    }
}

/// The tracks of a member.
const CONTROL: &str = "c";
const MEDIA: &str = "m";
/// How long a message can be had: who comes in is behind those who are there by less.
const KEPT: Duration = Duration::from_secs(10);
/// Up to which age messages are asked for by whoever comes in: with time to spare before they are gone.
const RECENT: Duration = Duration::from_secs(5);
/// How late a packet may be that comes on a stream.
const LATE: Duration = Duration::from_millis(500);
/// How long what nobody reads is kept.
const EXPIRY: Duration = Duration::from_secs(30);
/// What the others have said and was not read, in bytes. Above it the oldest is lost, and with it the connection.
const HEARD: u64 = 8 * 1024 * 1024;
/// The number before each message: how many were said before it in the last moments.
const BACK: usize = 4;
/// Bytes of messages that may be sent at once, and in each second after that; each counts for more than its length.
const BURST: f64 = 1024.0 * 1024.0;
const RATE: f64 = 256.0 * 1024.0;
const OVERHEAD: usize = 66;
/// Members of a room, as a relay announces them.
const MEMBERS: usize = 1_024;
/// How long a message may take to come whole, once it has begun.
const STALLED: Duration = Duration::from_secs(5);
/// Packets on streams that are read at a time, of one member.
const AT_ONCE: usize = 16;
/// After the first failure; it doubles up to sixteen times that.
const RETRY: Duration = Duration::from_millis(100);
