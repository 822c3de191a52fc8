//! The other members of a room at a MoQ relay, and what is heard of them (SPEC section 8.8).

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

use bytes::{Buf, Bytes};
use moq_net::{
    Error, Pattern, Patterns, announce, cache, group,
    kio::{self, Task, Tasks, Waiter},
    origin,
    track::{self, Position, Subscription},
};

use super::{
    clock::Clock,
    order::{Lost, Reorder, Window},
    place::{BACK, CONTROL, EXPIRY, KEPT, Kind, LATE, Lanes, MEDIA, Place},
};
use crate::transport::{MAX_CONTROL, MAX_MEDIA, line::Line};

/// The origin that keeps what the others say, for as long as it may be needed and no longer.
pub(super) fn ears() -> (origin::Producer, origin::Driver) {
    let mut config = origin::Config::default();
    config.pool = cache::Pool::new(cache::Config::default().with_capacity(HEARD).with_expiry(EXPIRY));
    origin::Producer::new(config)
}

/// The part of `ears` that is of this room. `None` if `moq-net` will not have the name.
pub(super) fn of_room(ears: &origin::Producer, place: &Place) -> Option<origin::Producer> {
    let all = Patterns::from(Pattern::subtree(&place.room).ok()?);
    ears.scope("", &all).ok()
}

/// What the other members publish: each broadcast has a task.
pub(super) struct Others {
    heard: Rc<Heard>,
    lanes: Lanes,
    announced: announce::Consumer,
    tasks: Tasks<Job>,
    place: Place,
}

/// What the tasks have in common.
struct Heard {
    line: Arc<Line>,
    origin: origin::Consumer,
    clock: Rc<Clock>,
    /// What is heard, by its path.
    there: RefCell<HashMap<String, Presence>>,
    /// Who has a message for which the inbox has no room.
    stalled: RefCell<Vec<Waker>>,
    /// Bytes of messages that wait for an earlier one of their member.
    held: Cell<usize>,
    /// A message is lost, so the connection is.
    lost: Cell<bool>,
}

struct Presence {
    /// Since when it is no longer announced. What is known of its messages is kept for a while: a
    /// relay that takes another way to it may withdraw it first, and nothing of what it says
    /// meanwhile may be passed over.
    gone: Option<Instant>,
    kind: Kind,
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
            held: Cell::new(0),
            lost: Cell::new(false),
        };
        Self { heard: Rc::new(heard), lanes, announced, tasks: Tasks::new(), place: place.clone() }
    }

    /// Does what can be done now. Fails when a message is lost, or the relay brings more members
    /// than a room has.
    pub(super) fn poll(&mut self, waiter: &Waiter) -> Result<(), Lost> {
        while let Poll::Ready(update) = self.announced.poll_next(waiter) {
            let update = update.ok_or(Lost)?;
            let path = update.prefix.as_str();
            let Some(kind) = self.place.of_another(path) else { continue };
            if kind == Kind::Messages && self.lanes == Lanes::MediaOnly {
                continue;
            }
            let (mut there, now) = (self.heard.there.borrow_mut(), self.heard.clock.now());
            if let Some(presence) = there.get_mut(path) {
                presence.gone = (!update.kind.is_active()).then_some(now);
            } else if update.kind == announce::Kind::Announced {
                if there.values().filter(|presence| presence.kind == kind).count() >= MEMBERS {
                    return Err(Lost);
                }
                there.insert(path.to_owned(), Presence { gone: None, kind });
                let (heard, path) = (Rc::clone(&self.heard), path.to_owned());
                self.tasks.push(Job(match kind {
                    Kind::Messages => Box::pin(hear_control(heard, path)),
                    Kind::Packets => Box::pin(hear_media(heard, path)),
                }));
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
        let there = self.there.borrow();
        let recent = |gone: Instant| self.clock.now().saturating_duration_since(gone) < ABSENT;
        there.get(path).is_some_and(|presence| presence.gone.is_none_or(recent))
    }

    /// A member whose messages cost `before` costs `after` now.
    fn note_held(&self, before: usize, after: usize) -> Result<(), Lost> {
        self.held.set((self.held.get() + after).saturating_sub(before));
        if self.held.get() > HELD { Err(Lost) } else { Ok(()) }
    }

    /// The task that heard it has ended.
    fn end(&self, path: &str) {
        self.there.borrow_mut().remove(path);
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
    let mut order = Reorder::default();
    let mut failures = 0;
    while heard.is_there(&path) {
        let from = order.next();
        match hear_messages(&heard, &path, &mut order).await {
            Err(End::Failed) => {}
            Err(End::Lost) => {
                heard.lost.set(true);
                break;
            }
            Ok(()) | Err(End::Finished) => break,
        }
        failures = if order.next() == from { failures + 1 } else { 0 };
        heard.back_off(failures).await;
    }
    // It can only have become less.
    let _ = heard.note_held(order.cost(), 0);
    heard.end(&path);
}

async fn hear_messages(heard: &Heard, path: &str, order: &mut Reorder) -> Result<(), End> {
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
                    let held = order.cost();
                    order.push(number, number.saturating_sub(back.into()), message, heard.clock.now())?;
                    heard.note_held(held, order.cost())?;
                }
            }
            Some(Ok(None)) => {
                order.pass_over()?;
                deliver_all(heard, order).await?;
                let end = track.finished().await?;
                order.finish(end)?;
                return Err(End::Finished);
            }
            Some(Err(error)) => return Err(error.into()),
            None => order.handle_timeout(heard.clock.now())?,
        }
        deliver_all(heard, order).await?;
    }
}

/// Hands on what is due.
async fn deliver_all(heard: &Heard, order: &mut Reorder) -> Result<(), Lost> {
    loop {
        let held = order.cost();
        let Some(message) = order.pop(heard.clock.now()) else { return Ok(()) };
        heard.note_held(held, order.cost())?;
        heard.deliver(message).await;
    }
}

/// The number of messages that can still be had before this one, and this one.
fn split(mut frame: Bytes) -> Option<(u32, Bytes)> {
    Some((frame.try_get_u32().ok()?, frame))
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
            _ => break,
        }
        heard.back_off(failures).await;
    }
    heard.end(&path);
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

/// What the others have said and was not read, in bytes. Above it the oldest is lost, and with it
/// the connection.
const HEARD: u64 = 8 * 1024 * 1024;
/// The cost of messages that wait for an earlier one of their member, of all members together.
const HELD: usize = 8 * 1024 * 1024;
/// Broadcasts of one kind in a room, as a relay announces them.
const MEMBERS: usize = 1_024;
/// How long it is waited for somebody who is no longer announced.
const ABSENT: Duration = Duration::from_secs(60);
/// How long a message may take to come whole, once it has begun.
const STALLED: Duration = Duration::from_secs(5);
/// Packets on streams that are read at a time, of one member.
const AT_ONCE: usize = 16;
/// After the first failure; it doubles up to sixteen times that.
const RETRY: Duration = Duration::from_millis(100);
