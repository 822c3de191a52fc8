//! A room in one process: members that are real `Room`s, messages delivered at once, time virtual.
//!
//! ```text
//! call of a room (timed, with all that it yields) > queue > everybody else's handle_control (timed) > ...
//! nothing queued, and not done yet > the next time that any room waits for > handle_timeout (timed)
//! ```
//!
//! Nobody is told who commits: whoever stays and says most did. Before each change the room rests,
//! so that a keeper commits at once, as in a room where people come and go; after four commits
//! within 30 s it would wait. What others than host and subject say meanwhile are heartbeats, which
//! they would say anyway: they are delivered, and not counted.
//!
//! In a room of up to [`WHOLE`] every member is real. In a larger one the host, the first who came
//! and the newest are; the others knocked as real rooms with real keys, were admitted and added by
//! the host's room, and were dropped before they entered. Their leaves and statements are there as
//! those of everybody, and they say nothing. The first is a moderator, so that somebody answers the
//! host's heartbeats. Asking 500 real rooms for the next time at which one has something to do, for
//! which each looks at 500 leaves, would take longer than all that is measured.

use std::{
    collections::{BTreeMap, VecDeque},
    error::Error,
    time::{Duration, Instant},
};

use bytes::Bytes;
use sottovoce::{
    Epoch, Leaf, Opener, Rekey, Sealer, Seed, Stamp,
    group::{Identity, KeyExchange, Name, Role},
    media::{HEADROOM, TAILROOM},
    room::{Event, InviteOptions, KnockId, Room, RoomOptions, Status, UnixTime},
    transport::RelayName,
};

use super::clock::spent;

pub type Failed = Box<dyn Error + Send + Sync>;

/// All members of one room.
pub struct Party {
    members: BTreeMap<Number, Member>,
    /// Members that are leaves in the tree and nothing more.
    leaves: usize,
    /// Knocks that the host has admitted.
    admitted: usize,
    queue: VecDeque<(Number, Bytes)>,
    /// Who waits at the host's door. The host lets everybody in: an open door takes 32 a minute.
    waiting: Vec<KnockId>,
    invite: String,
    now: Instant,
    /// When the party began, on both clocks.
    began: (Instant, UnixTime),
    next: Number,
    /// Whether the member that came last is muted.
    muted: bool,
    /// Whom the present change is about.
    subject: Number,
}

/// Counts the rooms that were ever made; 0 is the host.
type Number = u32;

struct Member {
    room: Room,
    /// What the application has of keys: only the host, who is heard, and the newest member, who
    /// listens.
    media: Option<Box<(Sealer, Opener)>>,
    /// The time in this room's calls during the present operation.
    spent: Duration,
    /// The bytes that it sent during the present operation.
    sent: usize,
}

/// What one change of the membership cost, by who did what.
#[derive(Clone, Default)]
pub struct Cost {
    /// The leaf that committed.
    pub committer: u32,
    /// At the committer: from what it heard, or was told to do, to the last byte for the others.
    pub committing: Duration,
    /// At one that stays and follows, the middle one of all: from the commit's bytes to the new
    /// keys.
    pub following: Duration,
    /// At the newcomer: making its knock, and from the Welcome's bytes to the first packet opened.
    pub entering: Option<Duration>,
    /// Bytes that the committer sent.
    pub sent: usize,
}

impl Party {
    /// A room of `size`, which came in by crowds as large as a host takes them in one commit. If it
    /// is not `whole`, three members are real.
    pub fn new(key_exchange: KeyExchange, size: u32, whole: bool) -> Result<Self, Failed> {
        let (now, unix) = (Instant::now(), UnixTime::from(std::time::SystemTime::now()));
        let mut options = RoomOptions::new(Name::new("bench")?, [RelayName::new("relay.test:1")?]);
        options.key_exchange = key_exchange;
        let mut host = Room::create(identity(0)?, options, Seed::from_bytes(&mut seed(0, 1)), now, unix)?;
        let invite = host.invite(InviteOptions::lasting(YEAR), now)?.to_string();
        let mut party = Self {
            members: BTreeMap::new(),
            leaves: 0,
            admitted: 0,
            queue: VecDeque::new(),
            waiting: Vec::new(),
            invite,
            now,
            began: (now, unix),
            next: 1,
            muted: false,
            subject: 0,
        };
        party.members.insert(0, Member::new(host, true));
        party.call(0, |_, _| Ok(()))?;
        for crowd in crowds(size) {
            // A host opens 64 knocks of strangers in a second of its clock.
            party.now += Duration::from_secs(1);
            for _ in 0..crowd {
                party.knock()?;
            }
            if !whole {
                party.drop_crowd(size - 1)?;
            }
            party.settle()?;
            if !whole && party.size() == 1 + crowd as usize {
                party.promote_the_first()?;
            }
        }
        Ok(party)
    }

    /// Makes the first who came a moderator, who answers every heartbeat (P1): the others whose
    /// turn it would be are not there, and a host that nobody answers seals nothing (S2).
    fn promote_the_first(&mut self) -> Result<(), Failed> {
        let id = self.members.get(&1).ok_or("nobody came")?.room.id();
        let before = self.host()?.room.epoch();
        self.call(0, |room, now| Ok(room.set_role(id, Role::Moderator, now)?))?;
        self.settle_after(before)
    }

    /// Waits until everybody who knocks is admitted, and drops the rooms of all but the host, the
    /// first and the `last` member: their leaves are added by the next commit.
    fn drop_crowd(&mut self, last: Number) -> Result<(), Failed> {
        let (end, all) = (self.now + PATIENCE, self.next as usize - 1);
        self.deliver();
        while self.admitted < all {
            self.pass(end)?;
            self.deliver();
        }
        let before = self.members.len();
        self.members.retain(|number, _| *number <= 1 || *number == last);
        self.leaves += before - self.members.len();
        Ok(())
    }

    fn size(&self) -> usize {
        self.members.len() + self.leaves
    }

    /// The leaf of the member that came last.
    pub fn newest(&self) -> Result<u32, Failed> {
        let member = self.members.values().next_back().ok_or("the room is empty")?;
        Ok(leaf_of(&member.room)?.0)
    }

    /// Somebody knocks, is let in, and hears the host.
    pub fn join(&mut self) -> Result<Cost, Failed> {
        self.begin(self.next)?;
        let newcomer = self.knock()?;
        self.settle()?;
        self.hear_the_host(newcomer)?;
        self.cost(Some(newcomer))
    }

    /// The member that came last leaves.
    pub fn leave(&mut self) -> Result<Cost, Failed> {
        let last = self.last()?;
        self.begin(last)?;
        self.call(last, |room, _| Ok(room.leave()?))?;
        self.members.remove(&last);
        self.settle()?;
        self.cost(None)
    }

    /// The host bans the member that came last.
    pub fn ban(&mut self) -> Result<Cost, Failed> {
        let last = self.last()?;
        self.begin(last)?;
        let id = self.members.get(&last).ok_or("nobody to ban")?.room.id();
        self.call(0, |room, now| Ok(room.ban(id, now)?))?;
        self.deliver();
        self.members.remove(&last);
        self.settle()?;
        self.cost(None)
    }

    /// The host mutes the member that came last, or ends that.
    pub fn mute(&mut self) -> Result<Cost, Failed> {
        let last = self.last()?;
        self.begin(last)?;
        let id = self.members.get(&last).ok_or("nobody to mute")?.room.id();
        let before = self.host()?.room.epoch();
        self.muted = !self.muted;
        let muted = self.muted;
        self.call(0, |room, now| Ok(room.set_muted(id, muted, now)?))?;
        self.settle_after(before)?;
        self.cost(None)
    }

    /// Drops the member that came last.
    pub fn drop_last(&mut self) {
        self.queue.clear();
        let last = self.members.pop_last();
        if let Some((_, member)) = last {
            drop(member.room);
        }
    }

    fn last(&self) -> Result<Number, Failed> {
        Ok(*self.members.keys().next_back().ok_or("the room is empty")?)
    }

    fn begin(&mut self, subject: Number) -> Result<(), Failed> {
        let rested = self.now + REST;
        self.deliver();
        while self.due().is_some_and(|due| due < rested) {
            self.pass(rested)?;
            self.deliver();
        }
        self.now = rested;
        self.subject = subject;
        for member in self.members.values_mut() {
            (member.spent, member.sent) = (Duration::ZERO, 0);
        }
        Ok(())
    }

    /// When the next room has something to do.
    fn due(&self) -> Option<Instant> {
        self.members.values().filter_map(|member| member.room.poll_timeout()).min()
    }

    /// Lets time pass to what is due next, before `end`.
    fn pass(&mut self, end: Instant) -> Result<(), Failed> {
        let due = self.due().filter(|due| *due < end).ok_or("the room does not settle")?;
        self.now = self.now.max(due);
        let late = |(number, member): (&Number, &Member)| {
            member.room.poll_timeout().is_some_and(|due| due <= self.now).then_some(*number)
        };
        for number in self.members.iter().filter_map(late).collect::<Vec<_>>() {
            self.call(number, |room, now| {
                room.handle_timeout(now);
                Ok(())
            })?;
        }
        Ok(())
    }

    fn cost(&self, newcomer: Option<Number>) -> Result<Cost, Failed> {
        let staying = || self.members.iter().filter(|(number, _)| Some(**number) != newcomer);
        let (committer, made) =
            staying().max_by_key(|(_, member)| member.sent).ok_or("nobody has committed")?;
        let mut following: Vec<Duration> =
            staying().filter(|(number, _)| *number != committer).map(|(_, member)| member.spent).collect();
        following.sort_unstable();
        Ok(Cost {
            committer: leaf_of(&made.room)?.0,
            committing: made.spent,
            following: following.get(following.len() / 2).copied().unwrap_or_default(),
            entering: newcomer.and_then(|number| self.members.get(&number)).map(|member| member.spent),
            sent: made.sent,
        })
    }

    fn knock(&mut self) -> Result<Number, Failed> {
        let number = self.next;
        self.next += 1;
        let (identity, invite) = (identity(number)?, self.invite.parse()?);
        let unix = UnixTime::from_secs(self.began.1.as_secs() + (self.now - self.began.0).as_secs());
        let start = spent();
        let room = Room::join(identity, invite, Seed::from_bytes(&mut seed(number, 1)), self.now, unix)?;
        let knocked = spent() - start;
        // Only the newest hears.
        for (number, member) in &mut self.members {
            if *number > 0 {
                member.media = None;
            }
        }
        let mut member = Member::new(room, true);
        member.spent = knocked;
        self.members.insert(number, member);
        self.call(number, |_, _| Ok(()))?;
        Ok(number)
    }

    fn host(&self) -> Result<&Member, Failed> {
        Ok(self.members.get(&0).ok_or("there is no host")?)
    }

    /// Delivers and lets time pass until everybody is in, in one epoch, and nothing is queued.
    fn settle(&mut self) -> Result<(), Failed> {
        self.settle_after(None)
    }

    /// As [`settle`](Self::settle), in an epoch that is not `before`.
    fn settle_after(&mut self, before: Option<Epoch>) -> Result<(), Failed> {
        let members = self.size();
        let end = self.now + PATIENCE;
        loop {
            self.deliver();
            let epoch = self.members.get(&0).and_then(|host| host.room.epoch());
            let done = epoch != before
                && self.members.values().all(|member| {
                    member.room.status() == Status::Present
                        && member.room.epoch() == epoch
                        && member.room.roster().len() == members
                });
            if done {
                return Ok(());
            }
            self.pass(end)?;
        }
    }

    fn deliver(&mut self) {
        while let Some((from, message)) = self.queue.pop_front() {
            let others: Vec<Number> = self.members.keys().copied().filter(|number| *number != from).collect();
            for number in others {
                // What a room has no use for, such as the commit before a Welcome, costs its time
                // too.
                let before = self.spent_by(number);
                let _ = self.call(number, |room, now| Ok(room.handle_control(&message, now)?));
                if from != 0
                    && from != self.subject
                    && let Some(member) = self.members.get_mut(&number)
                {
                    member.spent = before;
                }
            }
            for knock in std::mem::take(&mut self.waiting) {
                let done = self.call(0, |room, now| Ok(room.admit(knock, now)?));
                self.admitted += usize::from(done.is_ok());
            }
        }
    }

    fn spent_by(&self, number: Number) -> Duration {
        self.members.get(&number).map(|member| member.spent).unwrap_or_default()
    }

    /// One call of a room and everything that it yields, timed.
    fn call(
        &mut self,
        number: Number,
        call: impl FnOnce(&mut Room, Instant) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        let Some(member) = self.members.get_mut(&number) else { return Ok(()) };
        let (mut messages, mut rekeys) = (vec![], vec![]);
        let start = spent();
        let outcome = call(&mut member.room, self.now);
        messages.extend(std::iter::from_fn(|| member.room.poll_transmit()));
        rekeys.extend(std::iter::from_fn(|| member.room.poll_rekey()));
        while let Some(event) = member.room.poll_event() {
            if let Event::Knocked { knock, .. } = event {
                self.waiting.push(knock);
            }
        }
        member.spent += spent() - start;
        if let Some(media) = &mut member.media {
            for rekey in rekeys {
                match rekey {
                    Rekey::Seal(rekey) => drop(media.0.install(rekey)),
                    Rekey::Open(rekey) => drop(media.1.install(rekey)),
                }
            }
        }
        member.sent += messages.iter().map(Bytes::len).sum::<usize>();
        self.queue.extend(messages.into_iter().map(|message| (number, message)));
        outcome
    }

    /// The host says something, and the newcomer opens it, timed.
    fn hear_the_host(&mut self, newcomer: Number) -> Result<(), Failed> {
        let mut buffer = [0; HEADROOM + OPUS + 100 + TAILROOM];
        buffer[HEADROOM] = 0xfc;
        let host = self.members.get_mut(&0).and_then(|host| host.media.as_mut()).ok_or("there is no host")?;
        let packet = host.0.seal(&mut buffer, OPUS, Stamp::default())?;
        let newcomer = self.members.get_mut(&newcomer).ok_or("the newcomer is gone")?;
        let media = newcomer.media.as_mut().ok_or("the newcomer does not listen")?;
        let start = spent();
        media.1.open(packet)?;
        newcomer.spent += spent() - start;
        Ok(())
    }
}

impl Member {
    fn new(room: Room, hears: bool) -> Self {
        let media = hears.then(|| Box::new((Sealer::new(), Opener::new())));
        Self { room, media, spent: Duration::ZERO, sent: 0 }
    }
}

/// How many come in at once, until there are `size`.
pub fn crowds(size: u32) -> impl Iterator<Item = u32> {
    (1..size).step_by(CROWD as usize).map(move |there| CROWD.min(size - there))
}

fn leaf_of(room: &Room) -> Result<Leaf, Failed> {
    Ok(room.roster().iter().find(|member| member.is_self).ok_or("not in the room")?.leaf)
}

fn identity(number: Number) -> Result<Identity, Failed> {
    Ok(Identity::from_seed(seed(number, 0), Name::new(&format!("member {number:04}"))?))
}

fn seed(number: Number, use_: u8) -> [u8; 32] {
    let mut seed = [use_; 32];
    seed[..4].copy_from_slice(&number.to_be_bytes());
    seed
}

/// In rooms of more members than this three of them are real.
pub const WHOLE: u32 = 128;
/// Fewer than a host opens in a second, than wait by one invite, and than one commit adds.
const CROWD: u32 = 30;
/// Bytes of Opus in a packet: 40 ms at 32 kb/s.
const OPUS: usize = 160;
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// Between two changes: four commits in 30 s are not paced.
const REST: Duration = Duration::from_secs(8);
/// Virtual time after which a room that did not settle never will.
const PATIENCE: Duration = Duration::from_secs(60);
