//! Members who break the rules, with the keys of a member: no relay and no outsider can do these things.
//!
//! Rooms stand in one process on virtual time. A rebel's room hears everything and says nothing of its
//! own accord; the test speaks in its name, with its keys.

mod doors;
mod floods;
mod keepers;
mod replays;
mod statements;

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::{options::Admission, order::Place, *};
use crate::{
    group::Name,
    id::{Epoch, MemberId},
    media::Silence,
    mls::{Purpose, SealingKey},
    transport::RelayName,
    wire::{
        door::door_name,
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
        let mut party = Self { rooms: vec![host], rebels, now, unix, invite, log };
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
        self.rooms.push(Room::knock(identity(n), invite, seed, self.now, unix).unwrap());
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
        let now = self.now;
        let (out, memory, _) = self.rooms[from].present().unwrap();
        let known = memory.store.known();
        let beat = Beat {
            key: IdentityKey::from_bytes(*out.identity.public()),
            epoch: Epoch(epoch),
            branch,
            step_ms: 0,
            time_ms: out.stamp_ms(now),
            epoch_law: known.hash(),
            known_law: known.hash(),
            door_key,
        };
        let (group_id, salt) = (known.group_id().0, known.terms().salt);
        let heartbeat = Heartbeat::new(beat, Vec::new(), &out.identity, &group_id, &salt, &mut out.rng);
        self.send(from, &Message::Heartbeat(heartbeat));
    }

    fn seat(&mut self, who: usize) -> &mut seat::Seat {
        self.rooms[who].present().unwrap().2
    }

    fn memory(&mut self, who: usize) -> &mut Memory {
        self.rooms[who].present().unwrap().1
    }

    fn id(&self, who: usize) -> MemberId {
        self.rooms[who].id()
    }

    fn epoch(&self, who: usize) -> Option<Epoch> {
        self.rooms[who].epoch()
    }

    /// Why a member does not send.
    fn silence(&mut self, who: usize) -> Option<Silence> {
        let now = self.now;
        let Ok((_, memory, seat)) = self.rooms[who].present() else { return Some(Silence::Returning) };
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

    /// The seconds in which a member may not send, of `seconds` during which `each` happens once a second.
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

    /// How many messages of a room the relay has seen.
    fn sent_by(&self, who: usize) -> usize {
        self.log.iter().filter(|(from, _)| *from == who).count()
    }

    /// A Show of an identity to the host, who keeps the room.
    fn show_to_host(&mut self, by: &Identity, reference: [u8; 32]) -> Message {
        let seat = self.seat(0);
        let door_key = seat.keeper.as_ref().unwrap().door.public().as_bytes().to_vec();
        let key_exchange = seat.group.key_exchange();
        let group_id = self.memory(0).store.known().group_id().0;
        let content = ShowContent {
            key: IdentityKey::from_bytes(*by.public()),
            one_use: door_key.clone(),
            time_ms: 0,
            wish: Wish::Nothing,
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
