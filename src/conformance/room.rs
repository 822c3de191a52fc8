//! A room through a hostile middle, one attack after the other, and what must be so whatever the
//! middle does.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant, SystemTime},
};

use super::{Attack, Hostile, Listed, Middle, Outcome, Stage};
use crate::{
    Seed,
    driver::{Next, Session, SessionError},
    group::{Identity, Name, Role},
    id::{Epoch, MemberId},
    media::Stamp,
    room::{Admission, Ending, Event, InviteOptions, RoomOptions, UnixTime},
    transport::{RelayName, Transport, TransportError, block_on},
};

pub(super) fn all<T: Transport + 'static>() -> Vec<Listed<T>> {
    vec![
        ("room: allow-list", "a relay that the room does not allow is not contacted", not_allowed),
        ("room: calm", "everybody hears everybody", calm),
        ("room: drop", "lost packets are lost alone", |stage| attacked(stage, Attack::Drop)),
        ("room: delay", "late packets and messages still count", |stage| attacked(stage, Attack::Delay)),
        ("room: duplicate", "nothing is heard twice", |stage| attacked(stage, Attack::Duplicate)),
        ("room: reorder", "packets out of order are heard", |stage| attacked(stage, Attack::Reorder)),
        ("room: truncate", "nothing cut is heard", |stage| attacked(stage, Attack::Truncate)),
        ("room: flip bits", "nothing altered is heard", |stage| attacked(stage, Attack::Flip)),
        ("room: cross rooms", "nothing of another room is heard", |stage| {
            attacked(stage, Attack::CrossRooms)
        }),
        ("room: replay", "nothing of an old capture is heard", |stage| attacked(stage, Attack::Replay)),
        ("room: inject", "nothing invented is heard", |stage| attacked(stage, Attack::Inject)),
        ("room: withhold", "a withheld commit is caught up with", withheld),
        ("room: ban", "0 packets sealed after a ban open for the banned, whatever is replayed", banned),
    ]
}

/// Places in the room.
const HOST: usize = 0;
const SPEAKER: usize = 1;
const GUEST: usize = 2;

/// A room whose members all stand behind one middle, driven by this thread.
struct Play<T> {
    middle: Middle,
    calls: Vec<Session<Hostile<T>>>,
    unix: UnixTime,
    invite: String,
    patience: Duration,
    /// Who sealed which number.
    said: HashMap<u32, MemberId>,
    /// What each has heard.
    heard: Vec<HashSet<u32>>,
    /// In which epoch it was sealed, of what each heard last.
    heard_in: Vec<Option<Epoch>>,
    endings: Vec<Option<Ending>>,
    next: u32,
}

impl<T: Transport> Play<T> {
    /// A host and nobody else.
    fn open(stage: &Stage<T>, middle: Middle) -> Result<Self, String> {
        let member = middle.member((stage.members)());
        let relays: Vec<RelayName> = member.relays().into_iter().cloned().collect();
        let unix = UnixTime::from(SystemTime::now());
        let mut options = RoomOptions::new(name("room"), relays);
        (options.admission, options.default_role) = (Admission::Open, Role::Speaker);
        let seed = rand::random();
        let call =
            Session::create_with(member, identity(seed), options, Seed::from_bytes(&mut { seed }), unix);
        let mut host = block_on(call).map_err(|error| format!("no room: {error}"))?;
        let now = host.now();
        let invite = host.room_mut().invite(InviteOptions::default(), now);
        let invite = invite.map_err(|error| format!("no invite: {error}"))?.to_string();
        let (said, next) = (HashMap::new(), 0);
        let mut play = Self {
            middle,
            calls: Vec::new(),
            unix,
            invite,
            patience: stage.options.patience,
            said,
            heard: Vec::new(),
            heard_in: Vec::new(),
            endings: Vec::new(),
            next,
        };
        play.add(host);
        Ok(play)
    }

    fn add(&mut self, call: Session<Hostile<T>>) {
        self.calls.push(call);
        self.heard.push(HashSet::new());
        self.heard_in.push(None);
        self.endings.push(None);
    }

    /// Host, speaker and guest, who all hear one another.
    fn begin(stage: &Stage<T>, middle: Middle) -> Result<Self, String> {
        let mut play = Self::open(stage, middle)?;
        for _ in [SPEAKER, GUEST] {
            let seed = rand::random();
            let invite = play.invite.parse().map_err(|error| format!("the invite: {error}"))?;
            let member = play.middle.member((stage.members)());
            let call = Session::join_with(
                member,
                identity(seed),
                invite,
                Seed::from_bytes(&mut { seed }),
                play.unix,
            );
            let call = block_on(call).map_err(|error| format!("cannot join: {error}"))?;
            play.add(call);
        }
        play.settle("at the start")?;
        Ok(play)
    }

    fn call(&mut self, place: usize) -> Result<&mut Session<Hostile<T>>, String> {
        self.calls.get_mut(place).ok_or_else(|| "nobody there".to_owned())
    }

    fn present(&self, place: usize) -> bool {
        self.endings.get(place).is_some_and(Option::is_none)
    }

    /// Everybody who may speaks for so long, and everybody takes what comes.
    fn talk(&mut self, lasts: Duration) -> Outcome {
        let end = Instant::now() + lasts;
        let mut tick = Instant::now();
        while Instant::now() < end {
            if Instant::now() >= tick {
                tick += FRAME;
                for place in 0..self.calls.len() {
                    self.speak(place);
                }
            }
            for place in 0..self.calls.len() {
                self.take(place)?;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn speak(&mut self, place: usize) {
        let number = self.next;
        let Some(call) = self.calls.get_mut(place) else { return };
        // Whoever may not speak, or has no key yet, says nothing.
        if call.speak(&packet(number), Stamp::default()).is_ok() {
            self.said.insert(number, call.room().id());
            self.next += 1;
        }
    }

    /// Takes all that has come, and judges it.
    fn take(&mut self, place: usize) -> Outcome {
        loop {
            let call = self.call(place)?;
            let now = call.now();
            match block_on(call.next(now)) {
                Ok(Next::Idle) => return Ok(()),
                Ok(Next::Event(Event::Over(ending))) => {
                    if let Some(place) = self.endings.get_mut(place) {
                        *place = Some(ending);
                    }
                }
                Ok(Next::Event(_)) => {}
                Ok(Next::Packet(heard)) => {
                    let number = number_in(&heard.packet).ok_or("something was heard that nobody sealed")?;
                    let speaker = self.said.get(&number);
                    if speaker != Some(&heard.member) {
                        return Err(format!("packet {number} was heard in somebody else's name"));
                    }
                    if !self.heard.get_mut(place).is_some_and(|all| all.insert(number)) {
                        return Err(format!("packet {number} was heard twice"));
                    }
                    if let Some(last) = self.heard_in.get_mut(place) {
                        *last = (*last).max(Some(heard.epoch));
                    }
                }
                Err(TransportError::Closed) if !self.present(place) => return Ok(()),
                Err(error) => return Err(format!("member {place} lost its connection: {error}")),
            }
        }
    }

    /// Goes on, without any attack, until all who are there are in one epoch, see each other and
    /// hear each other.
    fn settle(&mut self, when: &str) -> Outcome {
        self.middle.attack(Attack::None);
        let deadline = Instant::now() + self.patience;
        let mut since = self.next;
        loop {
            self.talk(4 * FRAME)?;
            let why = match self.apart() {
                Some(why) => {
                    since = self.next;
                    why
                }
                None => match self.deaf_since(since) {
                    Some(why) => why,
                    None => return Ok(()),
                },
            };
            if Instant::now() > deadline {
                return Err(format!("{when}: {why}"));
            }
        }
    }

    /// Why those who are there are not in one epoch with one roster.
    fn apart(&self) -> Option<String> {
        let there = |(place, _): &(usize, &Session<Hostile<T>>)| self.present(*place);
        let states: Vec<_> = self.calls.iter().enumerate().filter(there).collect();
        let (_, host) = states.first()?;
        let members = |call: &Session<Hostile<T>>| {
            let mut members: Vec<MemberId> = call.room().roster().iter().map(|member| member.id).collect();
            members.sort();
            members
        };
        let expected = (host.room().epoch(), members(host));
        let apart = states.iter().find(|(_, call)| (call.room().epoch(), members(call)) != expected);
        match apart {
            Some((place, _)) => Some(format!("member {place} is not where the host is")),
            None if expected.1.len() != states.len() => Some("the roster is not who is there".to_owned()),
            None => None,
        }
    }

    /// Who has heard nothing from that number on of somebody that it should hear.
    fn deaf_since(&self, since: u32) -> Option<String> {
        let there: Vec<usize> = (0..self.calls.len()).filter(|place| self.present(*place)).collect();
        for listener in &there {
            for speaker in there.iter().filter(|speaker| *speaker != listener) {
                let speaker_id = self.calls.get(*speaker)?.room().id();
                let heard = self.heard.get(*listener)?;
                let fresh = |number: &u32| *number >= since && self.said.get(number) == Some(&speaker_id);
                if !heard.iter().any(fresh) {
                    return Some(format!("member {listener} does not hear member {speaker}"));
                }
            }
        }
        None
    }

    /// The host gives the guest another role and takes it back: two commits.
    fn commit_twice(&mut self) -> Outcome {
        let guest = self.call(GUEST)?.room().id();
        for role in [Role::Listener, Role::Speaker] {
            let host = self.call(HOST)?;
            let now = host.now();
            let given = host.room_mut().set_role(guest, role, now);
            given.map_err(|error| format!("no commit: {error}"))?;
            // A keeper puts together what it is asked for within 250 ms.
            self.talk(COMMITTED)?;
        }
        Ok(())
    }
}

fn not_allowed<T: Transport>(stage: &Stage<T>) -> Outcome {
    let member = (stage.members)();
    let other = RelayName::new("another.relay.example:1").map_err(|error| error.to_string())?;
    let options = RoomOptions::new(name("room"), [other]);
    let seed = rand::random();
    let call = Session::create_with(
        member,
        identity(seed),
        options,
        Seed::from_bytes(&mut { seed }),
        UnixTime::from(SystemTime::now()),
    );
    match block_on(call) {
        Err(SessionError::RelayNotAllowed(_)) => Ok(()),
        Err(error) => Err(format!("it said {error}")),
        Ok(_) => Err("it was contacted".to_owned()),
    }
}

fn calm<T: Transport>(stage: &Stage<T>) -> Outcome {
    let mut play = Play::begin(stage, Middle::new(stage.options.seed))?;
    play.commit_twice()?;
    play.settle("after two commits")
}

/// What was heard must have been sealed, once, by who is named: [`Play::take`] sees to that all the
/// time. Here the attack is given a chance, and the room has to go on meanwhile, if it can, and
/// afterwards in any case.
fn attacked<T: Transport>(stage: &Stage<T>, attack: Attack) -> Outcome {
    let middle = Middle::new(stage.options.seed);
    if attack == Attack::CrossRooms {
        // Another room, to take packets from; all members of it leave.
        Play::begin(stage, middle.clone())?.talk(10 * FRAME)?;
    }
    let mut play = Play::begin(stage, middle)?;
    let (before, done) = (play.next, play.middle.done());
    play.middle.attack(attack);
    play.talk(ATTACKED)?;
    play.commit_twice()?;
    if attack != Attack::Delay && play.middle.done() == done {
        return Err("the attack had nothing to attack".to_owned());
    }
    if let Some(why) = play.deaf_since(before) {
        return Err(format!("under attack: {why}"));
    }
    play.settle("when the attack was over")
}

fn withheld<T: Transport>(stage: &Stage<T>) -> Outcome {
    let mut play = Play::begin(stage, Middle::new(stage.options.seed))?;
    let before = play.call(SPEAKER)?.room().epoch();
    play.middle.attack(Attack::Withhold { from: SPEAKER });
    play.commit_twice()?;
    let (host, speaker) = (play.call(HOST)?.room().epoch(), play.call(SPEAKER)?.room().epoch());
    if host <= before || speaker != before {
        return Err(format!("no commit was withheld: {before:?}, {host:?}, {speaker:?}"));
    }
    // Without the commit there are no keys of its epoch.
    if play.heard_in.get(SPEAKER).copied().flatten() > before {
        return Err("a packet of an epoch was heard whose commit was withheld".to_owned());
    }
    play.settle("when nothing was withheld any more")
}

fn banned<T: Transport>(stage: &Stage<T>) -> Outcome {
    let mut play = Play::begin(stage, Middle::new(stage.options.seed))?;
    play.talk(ATTACKED)?;
    play.middle.attack(Attack::Replay);
    let guest = play.call(GUEST)?.room().id();
    let host = play.call(HOST)?;
    let (now, before) = (host.now(), host.room().epoch());
    host.room_mut().ban(guest, now).map_err(|error| format!("no ban: {error}"))?;
    play.talk(ATTACKED)?;
    if play.present(GUEST) {
        return Err("the banned member does not know".to_owned());
    }
    if play.heard_in.get(GUEST).copied().flatten() > before {
        return Err("the banned member heard a packet that was sealed after the ban".to_owned());
    }
    play.settle("after the ban")?;
    // It received them, and opened none: the relay has not taken its path away.
    let refused: u64 = play.call(GUEST)?.opener().stats().refusals().map(|(_, count)| count).sum();
    if refused == 0 {
        Err("the banned member received nothing it could fail to open".to_owned())
    } else {
        Ok(())
    }
}

/// Twenty milliseconds of Opus, code 0, whose payload says which it is.
fn packet(number: u32) -> [u8; 60] {
    let mut packet = [0x55; 60];
    let parts = [&[0xf8][..], MARK, &number.to_be_bytes()].concat();
    packet.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
    packet
}

/// Which packet it was, after padding moved it.
fn number_in(packet: &[u8]) -> Option<u32> {
    let at = packet.windows(MARK.len()).position(|window| window == MARK)?;
    let number = packet.get(at + MARK.len()..)?.first_chunk()?;
    Some(u32::from_be_bytes(*number))
}

fn identity(bytes: [u8; 32]) -> Identity {
    Identity::from_seed(bytes, name("member"))
}

fn name(name: &'static str) -> Name {
    Name::new(name).expect("the names here are short and plain")
}

const MARK: &[u8; 12] = b"conformance!";
const FRAME: Duration = Duration::from_millis(20);
/// How long an attack has before the room commits.
const ATTACKED: Duration = Duration::from_millis(600);
const COMMITTED: Duration = Duration::from_millis(400);
