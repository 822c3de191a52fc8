//! A relay inside the process, with seeded faults, for tests, examples and documentation.
//!
//! ```text
//! member -> send_media -> lost? repeated? late? (dice of each pair of members) -> mailbox -> receive
//! ```
//!
//! It runs on real time, or on a time of its own ([`Hub::simulated`]) that passes only while every
//! member waits: an hour of heartbeats then takes no longer than the work in it.

mod mailbox;

use std::{
    collections::BTreeMap,
    future::poll_fn,
    ops::{Deref, DerefMut},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;

use super::{
    Dice, Inbound, MAX_CONTROL, MAX_MEDIA, Percent, RelayName, RoomHandle, Transport, TransportError,
    alarm::Alarm, check_length,
};
use mailbox::{Link, Mailbox};

/// Carries bytes between the [`LoopbackClient`]s of this process. Clones are the same hub.
///
/// ```
/// use sottovoce::transport::{Inbound, RoomHandle, Transport, block_on, loopback::Hub};
///
/// let hub = Hub::new("loopback".parse()?);
/// let (mut ada, mut ben) = (hub.client(), hub.client());
/// let room = RoomHandle::from_bytes([7; 16]);
/// block_on(ada.connect(room))?;
/// block_on(ben.connect(room))?;
/// ada.send_media(b"sealed")?;
/// let heard = block_on(ben.receive(ben.now()))?;
/// assert_eq!(heard, Inbound::Media("sealed".into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Hub {
    shared: Arc<Shared>,
}

impl Hub {
    /// A hub on real time that delivers everything at once, under this name in allow-lists.
    pub fn new(relay: RelayName) -> Self {
        Self::build(relay, Faults::default(), 0, None)
    }

    /// A hub on real time whose media lane has faults. The same seed, members joining in the same
    /// order and sending the same number of packets, have the same faults.
    pub fn faulty(relay: RelayName, faults: Faults, seed: u64) -> Self {
        Self::build(relay, faults, seed, None)
    }

    /// As [`Hub::faulty`], on simulated time.
    ///
    /// Time stands still as long as any member is not in `receive` and not yet dropped or closed,
    /// those that were never connected included. When all of them wait, it jumps to the next moment
    /// at which one has something to receive or has waited enough. So all of them have to wait at
    /// once, each on a thread or in a task of its own: who drives two of them in turn may only
    /// poll, with an `until` that has passed.
    pub fn simulated(relay: RelayName, faults: Faults, seed: u64) -> Self {
        Self::build(relay, faults, seed, Some(Simulation { now: Instant::now(), waiting: BTreeMap::new() }))
    }

    /// A new member, not yet connected. Members are numbered in the order of these calls.
    pub fn client(&self) -> LoopbackClient {
        let mut net = self.shared.lock();
        let id = net.members;
        net.members += 1;
        net.mailboxes.insert(id, Mailbox::default());
        LoopbackClient { shared: Arc::clone(&self.shared), id }
    }

    /// Ends all connections, as a relay that is restarted does. What members have not received by
    /// then they still receive.
    pub fn cut(&self) {
        let mut net = self.shared.lock();
        let members: Vec<_> = net.mailboxes.keys().copied().collect();
        for id in members {
            net.cut_off(id);
        }
    }

    fn build(relay: RelayName, faults: Faults, seed: u64, simulation: Option<Simulation>) -> Self {
        let net = Net { faults, seed, simulation, mailboxes: BTreeMap::new(), members: 0, woken: Vec::new() };
        Self { shared: Arc::new(Shared { relay, net: Mutex::new(net) }) }
    }
}

/// What a media lane does to packets, to each copy on its own. The control lane is always reliable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The share that never arrives.
    pub loss: Percent,
    /// The share that arrives twice.
    pub duplication: Percent,
    /// The share that is overtaken by the next packet of the same sender, or is 60 ms late if none
    /// comes.
    pub reordering: Percent,
    /// Every copy is late by a time between zero and this.
    pub delay: Duration,
}

/// One member's place at a [`Hub`].
///
/// A member that lets 4 MiB of control messages wait is cut off, as at a real relay; packets beyond
/// 1,024 are dropped.
#[derive(Debug)]
pub struct LoopbackClient {
    shared: Arc<Shared>,
    id: u64,
}

impl Transport for LoopbackClient {
    fn relays(&self) -> Vec<&RelayName> {
        vec![&self.shared.relay]
    }

    async fn connect(&mut self, handle: RoomHandle) -> Result<(), TransportError> {
        let mut mailbox = Mailbox::default();
        mailbox.room = Some(handle);
        self.shared.lock().mailboxes.insert(self.id, mailbox);
        Ok(())
    }

    async fn send_control(&mut self, message: Bytes) -> Result<(), TransportError> {
        check_length(message.len(), MAX_CONTROL)?;
        self.send(|net, to, now| net.deliver_control(to, &message, now))
    }

    fn send_media(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        check_length(packet.len(), MAX_MEDIA)?;
        let packet = Bytes::copy_from_slice(packet);
        let from = self.id;
        self.send(|net, to, now| net.deliver_media(from, to, &packet, now))
    }

    async fn receive(&mut self, until: Instant) -> Result<Inbound, TransportError> {
        let mut waiting = Waiting { shared: &self.shared, id: self.id, alarm: None };
        poll_fn(|context| waiting.poll(until, context)).await
    }

    async fn close(&mut self) {
        self.shared.leave(self.id);
    }

    /// A relay in the process is there for as long as there is a connection.
    fn heard(&self) -> Option<Instant> {
        let net = self.shared.lock();
        net.room(self.id).map(|_| net.now())
    }

    fn now(&self) -> Instant {
        self.shared.lock().now()
    }

    fn wall(&self) -> Option<SystemTime> {
        self.shared.lock().simulation.is_none().then(SystemTime::now)
    }
}

impl LoopbackClient {
    /// Has something delivered to each of the others in the room.
    fn send(&self, mut deliver: impl FnMut(&mut Net, u64, Instant)) -> Result<(), TransportError> {
        let mut net = self.shared.lock();
        let room = net.room(self.id).ok_or(TransportError::Closed)?;
        let now = net.now();
        let others: Vec<_> = net
            .mailboxes
            .iter()
            .filter(|(id, mailbox)| **id != self.id && mailbox.room == Some(room))
            .map(|(id, _)| *id)
            .collect();
        for other in others {
            net.wake(other);
            deliver(&mut net, other, now);
        }
        Ok(())
    }
}

impl Drop for LoopbackClient {
    fn drop(&mut self) {
        self.shared.leave(self.id);
    }
}

#[derive(Debug)]
struct Shared {
    relay: RelayName,
    net: Mutex<Net>,
}

impl Shared {
    fn leave(&self, id: u64) {
        let mut net = self.lock();
        net.wake(id);
        net.mailboxes.remove(&id);
        // Nobody else may be busy.
        net.pass_time();
    }

    fn lock(&self) -> Locked<'_> {
        // Nothing panics while it holds the lock, and a net is valid after every statement.
        Locked(Some(self.net.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Whoever was woken meanwhile is told when this is dropped, after the lock is gone.
struct Locked<'a>(Option<MutexGuard<'a, Net>>);

impl Deref for Locked<'_> {
    type Target = Net;

    fn deref(&self) -> &Net {
        self.0.as_ref().expect("it is there until this is dropped")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Net {
        self.0.as_mut().expect("it is there until this is dropped")
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let woken = self.0.take().map(|mut net| std::mem::take(&mut net.woken));
        woken.into_iter().flatten().for_each(Waker::wake);
    }
}

/// A member in `receive`, which it leaves when this is dropped.
struct Waiting<'a> {
    shared: &'a Shared,
    id: u64,
    /// On real time.
    alarm: Option<(Instant, Alarm)>,
}

impl Waiting<'_> {
    fn poll(&mut self, until: Instant, context: &mut Context<'_>) -> Poll<Result<Inbound, TransportError>> {
        loop {
            let mut net = self.shared.lock();
            net.wait_no_more(self.id);
            let now = net.now();
            let Some(mailbox) = net.mailboxes.get_mut(&self.id) else {
                return Poll::Ready(Err(TransportError::Closed));
            };
            if let Some(inbound) = mailbox.take(now) {
                return Poll::Ready(Ok(inbound));
            }
            if mailbox.room.is_none() {
                return Poll::Ready(Err(TransportError::Closed));
            }
            if until <= now {
                return Poll::Ready(Ok(Inbound::Idle));
            }
            let wake = mailbox.next_due().map_or(until, |due| due.min(until));
            mailbox.waker = Some(context.waker().clone());
            if let Some(simulation) = &mut net.simulation {
                simulation.waiting.insert(self.id, wake);
                net.pass_time();
                // If that has woken this member as well, it is polled again.
                return Poll::Pending;
            }
            drop(net);
            let (_, alarm) = match self.alarm.take().filter(|(at, _)| *at == wake) {
                Some(known) => self.alarm.insert(known),
                None => self.alarm.insert((wake, Alarm::at(wake))),
            };
            if Pin::new(alarm).poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.lock().wait_no_more(self.id);
    }
}

#[derive(Debug)]
struct Net {
    faults: Faults,
    seed: u64,
    simulation: Option<Simulation>,
    mailboxes: BTreeMap<u64, Mailbox>,
    members: u64,
    /// Who is to be told, once the lock is gone, that there is something to do.
    woken: Vec<Waker>,
}

/// Time that passes only while everybody waits.
#[derive(Debug)]
struct Simulation {
    now: Instant,
    /// Who is in `receive`, and when each wants to be woken.
    waiting: BTreeMap<u64, Instant>,
}

impl Net {
    fn now(&self) -> Instant {
        self.simulation.as_ref().map_or_else(Instant::now, |simulation| simulation.now)
    }

    fn room(&self, id: u64) -> Option<RoomHandle> {
        self.mailboxes.get(&id)?.room
    }

    /// This member has something to do, so simulated time stands still.
    fn wake(&mut self, id: u64) {
        let waker = self.wait_no_more(id);
        self.woken.extend(waker);
    }

    fn wait_no_more(&mut self, id: u64) -> Option<Waker> {
        if let Some(simulation) = &mut self.simulation {
            simulation.waiting.remove(&id);
        }
        self.mailboxes.get_mut(&id)?.waker.take()
    }

    /// If everybody waits, jumps to the moment at which the first has something to do.
    fn pass_time(&mut self) {
        let Some(simulation) = &mut self.simulation else { return };
        if simulation.waiting.len() < self.mailboxes.len() {
            return;
        }
        let Some(next) = simulation.waiting.values().min().copied() else { return };
        simulation.now = simulation.now.max(next);
        let due: Vec<_> =
            simulation.waiting.iter().filter(|(_, wake)| **wake <= next).map(|(id, _)| *id).collect();
        for id in due {
            self.wake(id);
        }
    }

    fn cut_off(&mut self, id: u64) {
        if let Some(mailbox) = self.mailboxes.get_mut(&id) {
            mailbox.room = None;
        }
        self.wake(id);
    }

    fn deliver_control(&mut self, to: u64, message: &Bytes, now: Instant) {
        let Some(mailbox) = self.mailboxes.get_mut(&to) else { return };
        if mailbox.control + message.len() > CONTROL_WAITING {
            mailbox.room = None;
            return;
        }
        mailbox.put(now, Inbound::Control(message.clone()));
    }

    fn deliver_media(&mut self, from: u64, to: u64, packet: &Bytes, now: Instant) {
        let faults = self.faults;
        let Some(mailbox) = self.mailboxes.get_mut(&to) else { return };
        let dice = || Dice::new(self.seed, (from << 32) | to);
        let link = mailbox.links.entry(from).or_insert_with(|| Link { dice: dice(), held: None });
        // Always five numbers from the dice, so that turning one fault on leaves the others as they
        // were.
        let lost = link.dice.roll(faults.loss);
        let repeated = link.dice.roll(faults.duplication);
        let overtaken = link.dice.roll(faults.reordering);
        let longest = u64::try_from(faults.delay.as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        let [due, again] = [(); 2].map(|()| now + Duration::from_micros(link.dice.below(longest)));
        if lost || mailbox.media >= MEDIA_WAITING {
            return;
        }
        let late = link.held.take();
        let hold = overtaken && late.is_none();
        let key = mailbox.put(if hold { due + OVERTAKEN } else { due }, Inbound::Media(packet.clone()));
        if repeated {
            mailbox.put(again, Inbound::Media(packet.clone()));
        }
        if let Some(late) = late.and_then(|late| mailbox.remove(late)) {
            mailbox.put(due, late);
        }
        if let (true, Some(link)) = (hold, mailbox.links.get_mut(&from)) {
            link.held = Some(key);
        }
    }
}

/// Bytes of control messages that may wait for a member.
const CONTROL_WAITING: usize = 4 * 1024 * 1024;
/// Packets that may wait for a member.
const MEDIA_WAITING: usize = 1_024;
/// How late an overtaken packet is if nothing overtakes it: more than the time between two packets.
const OVERTAKEN: Duration = Duration::from_millis(60);
