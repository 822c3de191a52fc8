//! Members who break the rules, with the keys of a member: no relay and no outsider can do these
//! things.
//!
//! Rooms stand in one process on virtual time. A rebel's room hears everything and says nothing of
//! its own accord; the test speaks in its name, with its keys.

mod accusations;
mod beats;
mod bounds;
mod doors;
mod floods;
mod former;
mod junk;
mod keepers;
mod keys;
mod leaves;
mod messages;
mod newcomers;
mod order;
mod petitions;
mod places;
mod replays;
mod shared_keys;
mod speakers;
mod statements;
mod takeovers;
mod turns;

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::{options::Admission, place::Place, *};
use crate::{
    group::{Name, codec::Writer},
    id::{Epoch, MemberId},
    lane::RelayName,
    law::{self, RoleWord, Standing, Tag, Word, statement::Content as _},
    media::SilenceReason,
    mls::{Purpose, SealingKey},
    wire::{
        door::{Door, door_name},
        heartbeat::{Beat, Heartbeat},
        saying::Saying,
        show::{Show, ShowContent, Wish},
        signed::Signed,
    },
};

/// Rooms whose messages all arrive at once.
struct Party {
    rooms: Vec<Room>,
    rebels: Vec<usize>,
    now: Instant,
    unix: UnixTime,
    invite: String,
    /// Every envelope that the relay saw, with its sender.
    log: Vec<(usize, Bytes)>,
    /// An envelope that a stranger plays to everybody after each message.
    played: Option<Bytes>,
}

const SECOND: Duration = Duration::from_secs(1);

fn identity(n: usize) -> Identity {
    Identity::from_seed([n as u8; 32], Name::new(&format!("member {n}")).unwrap())
}

impl Party {
    /// A host and `others` speakers, who came by one open invite; the host keeps the room.
    fn new(others: usize) -> Self {
        Self::with(others, Admission::Open)
    }

    fn with(others: usize, admission: Admission) -> Self {
        let relay = RelayName::new("relay.test:1").unwrap();
        let mut options = RoomOptions::new(Name::new("room").unwrap(), [relay]);
        (options.admission, options.default_role) = (admission, Role::Speaker);
        let (now, unix) = (Instant::now(), UnixTime::from(SystemTime::now()));
        let mut host =
            Room::create(identity(0), options, Seed::from_bytes(&mut [100; 32]), now, unix).unwrap();
        let invite = host.invite(InviteOptions::default(), now).unwrap().to_string();
        let (rebels, log) = (Vec::new(), Vec::new());
        let mut party = Self { rooms: vec![host], rebels, now, unix, invite, log, played: None };
        for n in 1..=others {
            party.knock(n);
        }
        if admission == Admission::Open {
            party.pass(40 * SECOND);
            assert!(party.rooms.iter().all(|room| room.roster().len() == others + 1), "all are in");
        }
        party
    }

    fn knock(&mut self, n: usize) -> usize {
        let (seed, invite) = (Seed::from_bytes(&mut [100 + n as u8; 32]), self.invite.parse().unwrap());
        let unix = UnixTime(self.unix.0 + (self.now - self.rooms[0].out.clock.began).as_secs());
        self.rooms.push(Room::join(identity(n), invite, seed, self.now, unix).unwrap());
        self.deliver();
        self.rooms.len() - 1
    }

    /// From now on a room says nothing of its own accord.
    fn rebel(&mut self, who: usize) {
        self.rebels.push(who);
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut calls = 0;
        loop {
            calls += 1;
            assert!(calls < 20_000, "a room asks for the same time again and again");
            let rebels = &self.rebels;
            let rooms = self.rooms.iter().enumerate().filter(|(who, _)| !rebels.contains(who));
            let next = rooms.filter_map(|(_, room)| room.poll_timeout()).min().filter(|at| *at <= end);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            for (who, room) in self.rooms.iter_mut().enumerate() {
                if !self.rebels.contains(&who) {
                    room.handle_timeout(self.now);
                }
            }
            self.deliver();
        }
        self.now = end;
    }

    /// Delivers what rooms have to say; what rebels have to say is lost.
    fn deliver(&mut self) {
        for _ in 0..100_000 {
            let mut rooms = self.rooms.iter_mut().enumerate();
            let Some((from, message)) = rooms.find_map(|(from, room)| Some((from, room.poll_transmit()?)))
            else {
                return;
            };
            if !self.rebels.contains(&from) {
                self.relay(from, &message);
            }
        }
        panic!("the rooms answer each other for ever");
    }

    fn relay(&mut self, from: usize, message: &Bytes) {
        self.log.push((from, message.clone()));
        for (to, room) in self.rooms.iter_mut().enumerate() {
            if to != from {
                let _ = room.handle_control(message, self.now);
            }
            if let Some(played) = &self.played {
                let _ = room.handle_control(played, self.now);
            }
        }
    }

    /// Sends a message in the name of a room, and delivers what follows from it.
    fn send(&mut self, from: usize, message: &Message) {
        let out = &mut self.rooms[from].out;
        for envelope in out.lane.seal(&message.encode(), &mut out.rng).unwrap() {
            self.relay(from, &envelope);
        }
        self.deliver();
    }

    /// Says something in MLS in the name of a room.
    fn say(&mut self, from: usize, saying: &Saying) {
        let message = self.seat(from).group.seal(&saying.encode()).unwrap();
        self.send(from, &Message::Mls(message));
    }

    /// A heartbeat that claims an epoch and a branch.
    fn beat(&mut self, from: usize, epoch: u64, branch: [u8; 32], door_key: Vec<u8>) {
        self.beat_with(from, |beat| {
            (beat.epoch, beat.branch, beat.door_key) = (Epoch(epoch), branch, door_key);
        });
    }

    /// A heartbeat of a room's own epoch, but for what `change` makes of it.
    fn beat_with(&mut self, from: usize, change: impl FnOnce(&mut Beat)) {
        self.beat_with_doors(from, Vec::new(), change);
    }

    fn beat_with_doors(&mut self, from: usize, doors: Vec<Signed<Door>>, change: impl FnOnce(&mut Beat)) {
        let message = self.heartbeat_with(from, doors, change);
        self.send(from, &message);
    }

    fn heartbeat_with(
        &mut self,
        from: usize,
        doors: Vec<Signed<Door>>,
        change: impl FnOnce(&mut Beat),
    ) -> Message {
        let now = self.now;
        let (out, memory, seat) = self.rooms[from].present().unwrap();
        let known = memory.store.known();
        let mut beat = Beat {
            key: IdentityKey::from_bytes(*out.identity.public()),
            epoch: seat.group.epoch(),
            branch: seat.group.branch(),
            step_ms: 0,
            time_ms: out.stamp_ms(now),
            epoch_law: known.hash(),
            known_law: known.hash(),
            door_key: vec![9; 32],
        };
        change(&mut beat);
        let (group_id, salt) = (known.group_id().0, known.terms().salt);
        Message::Heartbeat(Heartbeat::new(beat, doors, &out.identity, &group_id, &salt, &mut out.rng))
    }

    /// Standings of a room of rank, Unbans and Bans in two registers of `tags` tags that nobody
    /// has, as they are shown.
    fn words_about_nobody(&mut self, who: usize, tags: u16) -> Vec<Vec<u8>> {
        let own = IdentityKey::from_bytes(*self.rooms[who].out.identity.public());
        let law = self.memory(who).store.law();
        let (term, group_id) = (law.term_of(&own).unwrap(), self.memory(who).store.known().group_id().0);
        let words = [Word::Ban, Word::Role(RoleWord::new(law::Role::Speaker, true))];
        let mut shown = Vec::new();
        for tag in 0..tags {
            let mut about = [0; 16];
            about[..2].copy_from_slice(&(tag + 1).to_be_bytes());
            about[2] = who as u8;
            for word in words {
                let standing = Standing { issuer: own, term, about: Tag(about), word, n: 1 };
                let content = standing.write(Writer::new()).finish();
                let signed = [&b"sottovoce 2 standing"[..], &group_id, &content].concat();
                let signature = self.rooms[who].out.identity.sign(&signed);
                shown.push([&[0][..], &content, &signature].concat());
            }
        }
        shown
    }

    /// The bytes that rooms other than `who` have sent.
    fn bytes_of_others(&self, who: usize) -> usize {
        self.log.iter().filter(|(from, _)| *from != who).map(|(_, envelope)| envelope.len()).sum()
    }

    fn seat(&mut self, who: usize) -> &mut seat::Seat {
        self.rooms[who].present().unwrap().2
    }

    fn memory(&mut self, who: usize) -> &mut Memory {
        self.rooms[who].present().unwrap().1
    }

    fn group_id(&self) -> law::GroupId {
        *self.rooms[0].memory().unwrap().store.known().group_id()
    }

    fn id(&self, who: usize) -> MemberId {
        self.rooms[who].id()
    }

    fn epoch(&self, who: usize) -> Option<Epoch> {
        self.rooms[who].epoch()
    }

    /// Why a member does not send.
    fn silence(&mut self, who: usize) -> Option<SilenceReason> {
        let now = self.now;
        let Ok((_, memory, seat)) = self.rooms[who].present() else { return Some(SilenceReason::Returning) };
        seat.liveness.silence(&seat.view(memory, now))
    }

    /// The members other than the host, as they come in the order of keepers.
    fn order(&self) -> Vec<usize> {
        let law = self.rooms[0].memory().unwrap().store.law();
        let mut others: Vec<usize> = (1..self.rooms.len()).collect();
        others.sort_by_key(|who| {
            Place::of(law, &IdentityKey::from_bytes(*self.rooms[*who].out.identity.public()))
        });
        others
    }

    /// The seconds in which a member may not send, of `seconds` during which `each` happens once a
    /// second.
    fn silent_seconds(
        &mut self,
        who: usize,
        seconds: usize,
        mut each: impl FnMut(&mut Self, usize),
    ) -> usize {
        let mut silent = 0;
        for second in 0..seconds {
            each(self, second);
            self.pass(SECOND);
            silent += usize::from(self.silence(who).is_some());
        }
        silent
    }

    /// What an envelope of the relay says, if it is whole.
    fn read(&self, envelope: &Bytes) -> Option<Message> {
        let whole = Inbox::default().receive(&self.rooms[0].out.lane, envelope, self.now).ok()??;
        Message::decode(&whole).ok()
    }

    /// How many messages of a kind the relay has seen from a room since the log had `since`
    /// entries.
    fn count(&self, who: usize, since: usize, is_kind: impl Fn(&Message) -> bool) -> usize {
        let of_room = self.log.iter().skip(since).filter(|(from, _)| *from == who);
        of_room.filter_map(|(_, envelope)| self.read(envelope)).filter(is_kind).count()
    }

    /// A member starts again from what it stored.
    fn restart(&mut self, who: usize) {
        let membership = self.rooms[who].membership().unwrap();
        let seed = Seed::from_bytes(&mut [150 + who as u8; 32]);
        let unix = UnixTime(self.unix.0 + (self.now - self.rooms[0].out.clock.began).as_secs());
        self.rooms[who] = Room::resume(identity(who), &membership, seed, self.now, unix).unwrap();
    }

    /// How many messages of a room the relay has seen.
    fn sent_by(&self, who: usize) -> usize {
        self.log.iter().filter(|(from, _)| *from == who).count()
    }

    /// A Show of an identity to the host, who keeps the room.
    fn show_to_host(&mut self, by: &Identity, reference: [u8; 32]) -> Message {
        self.wish_of_host(by, reference, Wish::Nothing)
    }

    /// A Show of an identity with a wish to the host, who keeps the room.
    fn wish_of_host(&mut self, by: &Identity, reference: [u8; 32], wish: Wish) -> Message {
        let seat = self.seat(0);
        let door_key = seat.keeper.as_ref().unwrap().door.public().as_bytes().to_vec();
        let key_exchange = seat.group.key_exchange();
        let group_id = self.memory(0).store.known().group_id().0;
        let content = ShowContent {
            key: IdentityKey::from_bytes(*by.public()),
            one_use: door_key.clone(),
            time_ms: 0,
            wish,
            statements: Default::default(),
        };
        let signed = Signed::show(content, by, &group_id, &door_key, &reference);
        let aad = Show::aad(&group_id, &door_key, &reference);
        let key = SealingKey::from_bytes(key_exchange, &door_key).unwrap();
        let sealed = key.seal(Purpose::Show, &signed.encode(), &aad).unwrap();
        Message::Show(Show {
            door: door_name(&door_key),
            reference,
            kem: sealed.kem_output,
            sealed: sealed.sealed,
        })
    }

    fn events(&mut self, who: usize) -> Vec<Event> {
        std::iter::from_fn(|| self.rooms[who].poll_event()).collect()
    }
}
