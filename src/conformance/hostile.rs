//! A relay in the worst hands, put before any transport.
//!
//! ```text
//! transport.receive > Hostile: dropped? late? altered? something of its own? > receive
//!                     Middle: the attack, the dice, a recording of all that passed
//! ```

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;

use crate::transport::{Dice, Inbound, Part, RelayName, RoomHandle, Transport, TransportError};

/// What a hostile middle does. On the control lane, which is reliable, it adds and holds back; on
/// the media lane it takes away as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attack {
    /// Nothing: everything passes.
    None,
    /// Three of ten packets never arrive.
    Drop,
    /// Packets are late by up to 80 ms, messages by up to 40 ms.
    Delay,
    /// Every other packet and message arrives twice.
    Duplicate,
    /// Every other packet is overtaken by the next.
    Reorder,
    /// Three of ten packets are cut short, and cut copies of messages are added.
    Truncate,
    /// Three of ten packets have a bit flipped, and such copies of messages are added.
    Flip,
    /// Packets and messages that passed in other rooms are added.
    CrossRooms,
    /// Packets and messages that passed at any time before are added.
    Replay,
    /// Random bytes are added, with and without the beginning of something genuine.
    Inject,
    /// All messages to one member are held back until the attack is over: commits among them.
    Withhold {
        /// Which member, counted from 0 in the order of [`Middle::member`].
        from: usize,
    },
}

/// One hostile middle for any number of members. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Middle {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    attack: Attack,
    dice: Dice,
    members: usize,
    /// What passed, and in which room: the newest of each lane, up to a bound.
    recorded: [Vec<(RoomHandle, Bytes)>; 2],
    done: u64,
}

impl Middle {
    /// A middle that lets everything pass until it is told otherwise.
    pub fn new(seed: u64) -> Self {
        let dice = Dice::new(seed, 0x5ea1);
        let state = State { attack: Attack::None, dice, members: 0, recorded: [vec![], vec![]], done: 0 };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Puts the middle before a transport.
    pub fn member<T: Transport>(&self, inner: T) -> Hostile<T> {
        let mut state = self.lock();
        state.members += 1;
        Hostile {
            inner,
            middle: self.clone(),
            number: state.members - 1,
            room: RoomHandle::from_bytes([0; 16]),
            waiting: BTreeMap::new(),
            count: 0,
            in_order: None,
            overtaken: None,
            lost: false,
        }
    }

    /// Begins an attack, which ends the one before.
    pub fn attack(&self, attack: Attack) {
        self.lock().attack = attack;
    }

    /// How often it has dropped, altered or added something.
    pub fn done(&self) -> u64 {
        self.lock().done
    }

    // Nothing panics while it holds the lock, and a state is valid after every statement.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn chance(&mut self, percent: u64) -> bool {
        self.dice.below(100) < percent
    }

    /// Whether the attack does something to this one, which is counted.
    fn strikes(&mut self, percent: u64) -> bool {
        let strikes = self.chance(percent);
        self.done += u64::from(strikes);
        strikes
    }

    fn record(&mut self, lane: usize, room: RoomHandle, bytes: &Bytes) {
        let place = self.dice.below(RECORDED as u64) as usize;
        let Some(recorded) = self.recorded.get_mut(lane) else { return };
        if recorded.len() < RECORDED {
            recorded.push((room, bytes.clone()));
        } else if let Some(old) = recorded.get_mut(place) {
            // Any of the old ones makes room.
            *old = (room, bytes.clone());
        }
    }

    /// Something recorded, of this room or of another.
    fn recorded(&mut self, lane: usize, but: Option<RoomHandle>) -> Option<Bytes> {
        let recorded = self.recorded.get(lane)?;
        let fitting: Vec<&Bytes> =
            recorded.iter().filter(|(room, _)| but != Some(*room)).map(|(_, bytes)| bytes).collect();
        let place = self.dice.below(fitting.len() as u64) as usize;
        fitting.get(place).map(|bytes| Bytes::clone(bytes))
    }

    fn cut(&mut self, bytes: &[u8]) -> Bytes {
        let length = self.dice.below(bytes.len() as u64) as usize;
        Bytes::copy_from_slice(bytes.get(..length).unwrap_or_default())
    }

    fn flip(&mut self, bytes: &[u8]) -> Bytes {
        let mut flipped = bytes.to_vec();
        let place = self.dice.below(bytes.len() as u64) as usize;
        let bit = self.dice.below(8) as u32;
        if let Some(byte) = flipped.get_mut(place) {
            *byte ^= 1u8 << bit;
        }
        flipped.into()
    }

    /// Random bytes of the size of something genuine, behind its first few bytes or none of them.
    fn invent(&mut self, genuine: &[u8]) -> Bytes {
        // Nothing, the configuration byte, the KID as well, the whole header.
        let kept = [0, 1, 5, 7].into_iter().nth(self.dice.below(4) as usize).unwrap_or(0);
        let random = |dice: &mut Dice| dice.below(256) as u8;
        let head = genuine.iter().take(kept).copied();
        let tail = (kept..genuine.len()).map(|_| random(&mut self.dice));
        head.chain(tail).collect()
    }
}

/// A transport behind a hostile [`Middle`].
#[derive(Debug)]
pub struct Hostile<T> {
    inner: T,
    middle: Middle,
    number: usize,
    room: RoomHandle,
    /// What is to be handed over, by when and in which order.
    waiting: BTreeMap<(Instant, u64), Inbound>,
    count: u64,
    /// When the last message was due: none may overtake it.
    in_order: Option<Instant>,
    /// A packet that waits to be overtaken.
    overtaken: Option<Bytes>,
    /// The connection below is lost; what waits is still to be handed over.
    lost: bool,
}

impl<T: Transport> Hostile<T> {
    fn put(&mut self, due: Instant, inbound: Inbound) {
        self.count += 1;
        self.waiting.insert((due, self.count), inbound);
    }

    /// Takes what is due first, if it is by now and not held back.
    fn take(&mut self, now: Instant) -> Option<Inbound> {
        let withheld = self.middle.lock().attack == Attack::Withhold { from: self.number };
        let free = |inbound: &Inbound| !(withheld && matches!(inbound, Inbound::Control(_)));
        let due = self.waiting.iter().take_while(|((due, _), _)| *due <= now);
        let key = due.filter(|(_, inbound)| free(inbound)).map(|(key, _)| *key).next()?;
        self.waiting.remove(&key)
    }

    fn handle_media(&mut self, packet: Bytes, now: Instant) {
        let (mut due, mut genuine, mut added) = (now, Some(packet.clone()), None);
        {
            let mut guard = self.middle.lock();
            let state = &mut *guard;
            state.record(MEDIA, self.room, &packet);
            let attack = state.attack;
            match attack {
                Attack::None | Attack::Withhold { .. } => {}
                Attack::Drop => genuine = genuine.filter(|_| !state.strikes(30)),
                Attack::Delay => due += Duration::from_micros(state.dice.below(80_000)),
                Attack::Duplicate => added = state.strikes(50).then(|| packet.clone()),
                Attack::Reorder if self.overtaken.is_none() && state.strikes(50) => {
                    self.overtaken = genuine.take();
                }
                Attack::Reorder => added = self.overtaken.take(),
                Attack::Truncate if state.strikes(30) => genuine = Some(state.cut(&packet)),
                Attack::Flip if state.strikes(30) => genuine = Some(state.flip(&packet)),
                Attack::Truncate | Attack::Flip => {}
                Attack::CrossRooms => added = state.recorded(MEDIA, Some(self.room)),
                Attack::Replay => added = state.recorded(MEDIA, None),
                Attack::Inject => added = Some(state.invent(&packet)),
            }
            if matches!(state.attack, Attack::CrossRooms | Attack::Replay | Attack::Inject) {
                state.done += u64::from(added.is_some());
            }
        }
        for packet in genuine.into_iter().chain(added) {
            self.put(due, Inbound::Media(packet));
        }
    }

    fn handle_control(&mut self, message: Bytes, now: Instant) {
        let (mut due, mut before, mut after) = (now, None, None);
        {
            let mut guard = self.middle.lock();
            let state = &mut *guard;
            state.record(CONTROL, self.room, &message);
            match state.attack {
                Attack::Delay => due += Duration::from_micros(state.dice.below(40_000)),
                Attack::Duplicate => after = state.strikes(50).then(|| message.clone()),
                Attack::Truncate => before = Some(state.cut(&message)),
                Attack::Flip => before = Some(state.flip(&message)),
                Attack::CrossRooms => after = state.recorded(CONTROL, Some(self.room)),
                Attack::Replay => after = state.recorded(CONTROL, None),
                Attack::Inject => before = Some(state.invent(&message)),
                Attack::None | Attack::Drop | Attack::Reorder | Attack::Withhold { .. } => {}
            }
            state.done += u64::from(before.is_some());
        }
        // Late, but never out of order: the lane below promises that, and a room may rely on it.
        due = self.in_order.map_or(due, |last| last.max(due));
        self.in_order = Some(due);
        for message in before.into_iter().chain([message]).chain(after) {
            self.put(due, Inbound::Control(message));
        }
    }
}

impl<T: Transport> Transport for Hostile<T> {
    fn relays(&self) -> Vec<&RelayName> {
        self.inner.relays()
    }

    fn set_part(&mut self, part: Part) {
        self.inner.set_part(part);
    }

    async fn connect(&mut self, handle: RoomHandle) -> Result<(), TransportError> {
        self.waiting.clear();
        (self.room, self.in_order, self.overtaken, self.lost) = (handle, None, None, false);
        self.inner.connect(handle).await
    }

    async fn send_control(&mut self, message: Bytes) -> Result<(), TransportError> {
        self.inner.send_control(message).await
    }

    fn send_media(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        self.inner.send_media(packet)
    }

    async fn receive(&mut self, until: Instant) -> Result<Inbound, TransportError> {
        loop {
            let now = self.inner.now();
            if let Some(inbound) = self.take(now) {
                return Ok(inbound);
            }
            let next = self.waiting.keys().map(|(due, _)| *due).find(|due| *due > now);
            if self.lost && self.waiting.is_empty() {
                return Err(TransportError::Closed);
            }
            let wake = next.map_or(until, |due| due.min(until));
            match self.inner.receive(wake).await {
                Ok(Inbound::Media(packet)) => self.handle_media(packet, now),
                Ok(Inbound::Control(message)) => self.handle_control(message, now),
                Ok(Inbound::Idle) if self.inner.now() >= until => {
                    return Ok(self.take(self.inner.now()).unwrap_or(Inbound::Idle));
                }
                Ok(Inbound::Idle) => {}
                Err(error) if self.waiting.is_empty() => return Err(error),
                Err(_) => {
                    // What was held back or late is all that there will be.
                    self.lost = true;
                    let waiting = std::mem::take(&mut self.waiting);
                    self.waiting =
                        waiting.into_iter().map(|((_, count), inbound)| ((now, count), inbound)).collect();
                    if self.middle.lock().attack == (Attack::Withhold { from: self.number }) {
                        return Err(TransportError::Closed);
                    }
                }
            }
        }
    }

    async fn close(&mut self) {
        self.waiting.clear();
        self.inner.close().await;
    }

    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn wall(&self) -> Option<SystemTime> {
        self.inner.wall()
    }
}

const CONTROL: usize = 0;
const MEDIA: usize = 1;
/// How many packets and messages a recording keeps.
const RECORDED: usize = 2_048;
