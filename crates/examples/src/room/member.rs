//! One member of the room, on a thread of its own: it joins, speaks on a fixed tick if it may, and
//! keeps what it hears.
//!
//! ```text
//! story > orders > member > news > story        when it is over: Outcome
//! ```

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use sottovoce::codec::{Encoder, FrameLength};
use sottovoce::driver::{Next, Session};
use sottovoce::media::Level;
use sottovoce::media::{OpenRekey, SealRekey};
use sottovoce::report::ModerationKey;
use sottovoce::room::{Event, InviteOptions, Room, RoomOptions, UnixTime};
use sottovoce::transport::{Inbound, RelayName, Transport, block_on};
use sottovoce::{
    Authenticity, CaptureTime, Epoch, MemberId, OpenError, Opener, PacketSize, Rekey, Seed, Stamp, Step,
};
use sottovoce::{
    group::{Identity, Name, Role},
    room::Invite,
};

use super::tap::{Tap, Traffic};

/// Who somebody is, and what it does in this story.
#[derive(Clone)]
pub struct Person {
    /// The name that it shows.
    pub name: Name,
    /// What its identity key is made from.
    pub seed: [u8; 32],
    /// The role that the host gives it.
    pub role: Role,
    /// What it says, at 48 kHz, if anything: silence included, from the start of the speech.
    pub track: Vec<i16>,
}

impl Person {
    /// The identity, made anew from its seed.
    pub fn identity(&self) -> Identity {
        Identity::from_seed(self.seed, self.name.clone())
    }
}

/// What the story tells a member.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    /// The speech starts then.
    Start(Instant),
    /// For the host: ban somebody, now.
    Ban(MemberId),
    /// For the one who is to be banned: keep all keys, and hear nothing more of the room.
    Rebel,
    /// Report what somebody said last to the moderator who holds that key.
    Report(MemberId, ModerationKey),
    /// It is over.
    Stop,
}

/// What a member tells the story.
#[derive(Debug, Clone)]
pub enum News {
    /// The host has made the room: the invite's text.
    Invite(String),
    /// Somebody is in.
    Joined(MemberId),
    /// The host's ban is on its way, from then on.
    Banned(Instant),
    /// The one who is to be banned takes no control message any more.
    Rebelled,
    /// The report, sealed, or why there is none.
    Reported(Result<Vec<u8>, String>),
    /// A member could not go on.
    Failed(String),
}

/// What a member has to show at the end.
pub struct Outcome {
    /// Its fingerprint.
    pub id: MemberId,
    /// From the knock until it was in; for the host, to make the room.
    pub join: Duration,
    /// Media packets that reached it.
    pub received: u64,
    /// Media packets that it opened.
    pub opened: u64,
    /// Media packets that it refused for good, by reason.
    pub refused: BTreeMap<String, u64>,
    /// What it sealed, in order: the n-th is the n-th frame of its track.
    pub spoken: Vec<Spoken>,
    /// What it opened.
    pub heard: Vec<Got>,
    /// When it entered each epoch.
    pub entered: BTreeMap<Epoch, Instant>,
}

/// A packet that was sealed, before it was.
pub struct Spoken {
    /// The Opus packet as the encoder gave it.
    pub opus: Vec<u8>,
    /// Its place among the sender's packets, or `None` if it was not sealed.
    pub place: Option<Place>,
    /// The first bytes of the sealed packet, as the relay saw them.
    pub header: Vec<u8>,
}

/// A packet that was opened.
pub struct Got {
    /// Whose it is.
    pub from: MemberId,
    /// Its place among that sender's packets.
    pub place: Place,
    /// When it came.
    pub at: Instant,
    /// The Opus packet as it came out of the seal.
    pub opus: Vec<u8>,
    /// The first bytes of the sealed packet; kept by the rebel only.
    pub header: Vec<u8>,
}

/// Bytes of a sealed packet that no other packet has: the header, with KID and CTR.
pub const HEADER: usize = 7;

/// What tells all packets of a sender apart: epoch, step and counter.
pub type Place = (Epoch, Step, u64);

/// Makes the room and hosts it until the end.
pub fn host(
    person: &Person,
    relay: &RelayName,
    options: RoomOptions,
    roles: &HashMap<MemberId, Role>,
    orders: &Receiver<Order>,
    news: &Sender<News>,
) -> Result<Outcome, Box<dyn Error>> {
    let began = Instant::now();
    let (tap, traffic) = Tap::new(relay.clone());
    let mut call = block_on(Session::create(tap, person.identity(), options))?;
    let invite = call.invite(InviteOptions::default())?;
    let join = began.elapsed();
    news.send(News::Invite(invite.to_string()))?;
    let mut member = Member::new(call, traffic, person, join)?;
    member.live(orders, news, Some(roles))?;
    member.outcome()
}

/// Knocks, and takes part until the end.
pub fn guest(
    person: &Person,
    relay: &RelayName,
    invite: Invite,
    orders: &Receiver<Order>,
    news: &Sender<News>,
) -> Result<Outcome, Box<dyn Error>> {
    let began = Instant::now();
    let (tap, traffic) = Tap::new(relay.clone());
    let mut call = block_on(Session::join(tap, person.identity(), invite))?;
    while !matches!(block_on(call.next(began + PATIENCE))?, Next::Event(Event::Joined { .. })) {
        if began.elapsed() > PATIENCE {
            return Err("nobody answered the knock".into());
        }
    }
    let join = began.elapsed();
    news.send(News::Joined(call.room().id()))?;
    let mut member = Member::new(call, traffic, person, join)?;
    member.live(orders, news, None)?;
    member.outcome()
}

/// A member at work.
struct Member {
    call: Session<Tap>,
    traffic: Arc<Mutex<Traffic>>,
    encoder: Encoder,
    track: Vec<i16>,
    join: Duration,
    spoken: Vec<Spoken>,
    /// Milliseconds since 1970 when the first frame was captured.
    began: Option<u64>,
    heard: Vec<Got>,
    entered: BTreeMap<Epoch, Instant>,
}

impl Member {
    fn new(
        call: Session<Tap>,
        traffic: Arc<Mutex<Traffic>>,
        person: &Person,
        join: Duration,
    ) -> Result<Self, Box<dyn Error>> {
        let encoder = Encoder::new(FRAME, PacketSize::default(), Authenticity::Signed)?;
        let track = person.track.clone();
        let entered = call.room().epoch().map(|epoch| (epoch, Instant::now())).into_iter().collect();
        Ok(Self {
            call,
            traffic,
            encoder,
            track,
            join,
            spoken: Vec::new(),
            began: None,
            heard: Vec::new(),
            entered,
        })
    }

    /// Carries out orders, answers the room, and speaks every 40 ms, until it is told to stop.
    fn live(
        &mut self,
        orders: &Receiver<Order>,
        news: &Sender<News>,
        roles: Option<&HashMap<MemberId, Role>>,
    ) -> Result<(), Box<dyn Error>> {
        let mut start = None;
        loop {
            match orders.try_recv() {
                Ok(Order::Start(at)) => start = Some(at),
                Ok(Order::Ban(member)) => {
                    let now = Instant::now();
                    self.call.room_mut().ban(member, now)?;
                    news.send(News::Banned(now))?;
                }
                Ok(Order::Report(member, moderator)) => {
                    let report = self.call.report(member, REPORTED, &moderator);
                    news.send(News::Reported(report.map_err(|error| error.to_string())))?;
                }
                Ok(Order::Rebel) | Err(TryRecvError::Empty) => {}
                Ok(Order::Stop) | Err(TryRecvError::Disconnected) => return Ok(()),
            }
            let tick = start.map(|start| start + FRAME_TIME * self.spoken.len() as u32);
            let frames = self.track.len() / FRAME.samples();
            let tick = tick.filter(|_| self.spoken.len() < frames);
            if let Some(tick) = tick
                && Instant::now() >= tick
            {
                self.speak()?;
                continue;
            }
            let soon = Instant::now() + Duration::from_millis(5);
            match block_on(self.call.next(tick.map_or(soon, |tick| tick.min(soon))))? {
                Next::Packet(heard) => self.heard.push(Got {
                    from: heard.member,
                    place: (heard.epoch, heard.step, heard.counter.0),
                    at: Instant::now(),
                    opus: heard.packet.to_vec(),
                    header: Vec::new(),
                }),
                Next::Event(Event::Knocked { knock, member, .. }) => {
                    let now = self.call.now();
                    if let Some(role) = roles.and_then(|roles| roles.get(&member)) {
                        self.call.room_mut().admit_as(knock, *role, now)?;
                    }
                }
                Next::Event(Event::Changed { epoch, .. }) => {
                    self.entered.insert(epoch, Instant::now());
                }
                Next::Event(Event::Over(ending)) => {
                    return Err(format!("the room is over: {ending:?}").into());
                }
                Next::Event(_) | Next::Idle => {}
            }
        }
    }

    /// Encodes and sends the next frame of the track.
    fn speak(&mut self) -> Result<(), Box<dyn Error>> {
        let at = self.spoken.len() * FRAME.samples();
        let pcm = &self.track[at..at + FRAME.samples()];
        let mut opus = vec![0; self.encoder.packet_len()];
        let length = self.encoder.encode(pcm, &mut opus)?;
        opus.truncate(length);
        // Frames follow each other without a gap, however late this thread comes round.
        let began = *self.began.get_or_insert_with(unix_ms);
        let captured = CaptureTime::from_millis(began + self.spoken.len() as u64 * u64::from(FRAME.millis()));
        let stamp = Stamp { captured, level: level(pcm), ..Stamp::default() };
        let (mut place, mut header) = (None, Vec::new());
        // Silent for now, the frame is lost, as on any network.
        if self.call.speak(&opus, stamp).is_ok()
            && let Some((epoch, step)) = self.call.sealer().position()
        {
            let traffic = self.traffic.lock().unwrap_or_else(PoisonError::into_inner);
            header = traffic.last_sent.iter().take(HEADER).copied().collect();
            // The counter is in clear, in bytes 5 and 6 (SPEC section 3.2).
            let counter = header.get(5..).and_then(|bytes| bytes.try_into().ok()).map(u16::from_be_bytes);
            place = counter.map(|counter| (epoch, step, counter.into()));
        }
        self.spoken.push(Spoken { opus, place, header });
        Ok(())
    }

    fn outcome(self) -> Result<Outcome, Box<dyn Error>> {
        let received = self.traffic.lock().unwrap_or_else(PoisonError::into_inner).received;
        let stats = self.call.opener().stats();
        let refusals: Vec<_> = stats.refusals().collect();
        let outcome = Outcome {
            id: self.call.room().id(),
            join: self.join,
            received,
            opened: stats.opened(),
            refused: for_good(received, stats.opened(), &refusals),
            spoken: self.spoken,
            heard: self.heard,
            entered: self.entered,
        };
        block_on(self.call.close())?;
        Ok(outcome)
    }
}

/// Knocks like a guest, and from the ban on tries everything it has on every packet.
///
/// It does not run the library's loop but one of its own, which drops the commit that removes it,
/// so that its room goes on ratcheting the keys of the epoch it was in, and which never gives a key
/// away.
pub fn rebel(
    person: &Person,
    relay: &RelayName,
    invite: Invite,
    orders: &Receiver<Order>,
    news: &Sender<News>,
) -> Result<Outcome, Box<dyn Error>> {
    let began = Instant::now();
    let (mut tap, traffic) = Tap::new(relay.clone());
    block_on(tap.connect(invite.handle()))?;
    let mut room = Room::join(person.identity(), invite, Seed::generate()?, began, unix())?;
    let mut opener = Opener::new();
    let mut join = None;
    let mut obeys = true;
    let mut heard = Vec::new();
    loop {
        match orders.try_recv() {
            Ok(Order::Rebel) => {
                obeys = false;
                news.send(News::Rebelled)?;
            }
            Ok(Order::Stop) | Err(TryRecvError::Disconnected) => break,
            Ok(_) | Err(TryRecvError::Empty) => {}
        }
        let now = Instant::now();
        room.handle_timeout(now);
        while let Some(rekey) = room.poll_rekey() {
            match rekey {
                Rekey::Open(rekey) => keep(&mut opener, rekey),
                Rekey::Seal(rekey) => drop::<SealRekey>(rekey),
            }
        }
        while let Some(message) = room.poll_transmit() {
            block_on(tap.send_control(message))?;
        }
        while let Some(event) = room.poll_event() {
            if let Event::Joined { .. } = event {
                join = Some(began.elapsed());
                news.send(News::Joined(room.id()))?;
            }
        }
        match block_on(tap.receive(now + Duration::from_millis(5)))? {
            // What a message does or does not do here is for the others to say.
            Inbound::Control(message) if obeys => drop(room.handle_control(&message, Instant::now()).is_ok()),
            Inbound::Media(packet) => {
                let at = Instant::now();
                if let Ok(opened) = opener.open(&mut packet.to_vec()) {
                    heard.push(Got {
                        from: opened.member,
                        place: (opened.epoch, opened.step, opened.counter.0),
                        at,
                        opus: opened.packet.as_bytes().to_vec(),
                        header: packet.iter().take(HEADER).copied().collect(),
                    });
                }
            }
            Inbound::Control(_) | Inbound::Idle => {}
        }
    }
    let received = traffic.lock().unwrap_or_else(PoisonError::into_inner).received;
    let refusals: Vec<_> = opener.stats().refusals().collect();
    let outcome = Outcome {
        id: room.id(),
        join: join.ok_or("it was never admitted")?,
        received,
        opened: opener.stats().opened(),
        refused: for_good(received, opener.stats().opened(), &refusals),
        spoken: Vec::new(),
        heard,
        entered: BTreeMap::new(),
    };
    block_on(tap.close());
    Ok(outcome)
}

/// Takes new keys, and drops nothing elsewhere: the rebel has no audio thread.
fn keep(opener: &mut Opener, rekey: OpenRekey) {
    drop(opener.install(rekey));
}

/// Refusals by reason, without the packets that were refused as early, held, and opened when their
/// key came.
fn for_good(received: u64, opened: u64, refusals: &[(OpenError, u64)]) -> BTreeMap<String, u64> {
    let refused: u64 = refusals.iter().map(|(_, count)| count).sum();
    let mut held = (opened + refused).saturating_sub(received);
    let mut table = BTreeMap::new();
    for (reason, count) in refusals {
        let opened_later = if reason.is_early() { held.min(*count) } else { 0 };
        held -= opened_later;
        if *count > opened_later {
            table.insert(reason.name().to_owned(), count - opened_later);
        }
    }
    table
}

/// The level of a frame as RFC 6464 has it.
fn level(pcm: &[i16]) -> Level {
    let power = pcm.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / pcm.len() as f64;
    let below = -10.0 * (power.max(1e-9) / 32_768f64.powi(2)).log10();
    Level::from_byte(below.clamp(0.0, 127.0) as u8)
}

fn unix() -> UnixTime {
    UnixTime::from(SystemTime::now())
}

/// Capture times are in milliseconds.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// How much audio a packet holds.
pub const FRAME: FrameLength = FrameLength::Ms40;
/// The tick on which packets leave, speech or silence.
pub const FRAME_TIME: Duration = Duration::from_millis(40);
/// How much of what was heard last goes into a report.
const REPORTED: Duration = Duration::from_secs(10);
/// How long a guest waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
