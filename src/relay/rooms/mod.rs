//! Who is in which room and under which address: the relay's whole state (SPEC section 8.2). No
//! sockets.
//!
//! Here is who comes, goes and sends messages; [`datagrams`] has the media lane, [`shares`] what
//! each may use.

pub(super) mod datagrams;
mod shares;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Counts, Limits, bucket,
    log::Connection,
    outbox::{self, Outbox},
};
use crate::{
    lane::{Part, RoomHandle},
    relay_protocol::{
        token::Serial,
        wire::{self, Cookie, Rejection, Ticket},
    },
    transport::{Dice, Percent},
};
use shares::{Account, Cost, Lane, Room, Shares};

pub(super) struct Rooms {
    limits: Limits,
    loss: Percent,
    seed: u64,
    rooms: HashMap<RoomHandle, Room>,
    shares: Shares,
    members: HashMap<Connection, Member>,
    tickets: HashMap<Ticket, Connection>,
    addresses: HashMap<SocketAddr, Connection>,
    /// Tokens that were taken back, and when each expires, in seconds since 1970.
    revoked: HashMap<Serial, u64>,
    next: Connection,
    pub(super) counts: Counts,
}

/// Which way a member comes, and so where its packets come from and go to.
pub(super) enum Way {
    /// By TCP; by UDP from the address that it binds with this ticket.
    Tcp(Ticket),
    /// By QUIC, both lanes on one connection. Its number is rung for when there is something new in
    /// its outbox.
    #[cfg(any(feature = "quic", test))]
    Quic(Arc<dyn Fn(Connection) + Send + Sync>),
}

/// Who gets a copy of a packet. Kept from one packet to the next, so that it allocates nothing.
#[derive(Default)]
pub(super) struct Copies {
    /// By UDP.
    pub(super) addresses: Vec<SocketAddr>,
    /// By QUIC.
    pub(super) connections: Vec<Connection>,
}

struct Member {
    room: RoomHandle,
    part: Part,
    /// None if it came by QUIC.
    ticket: Option<Ticket>,
    /// That of the token it came with.
    serial: Option<Serial>,
    outbox: Arc<Outbox>,
    /// Where its sealed packets come from and go to.
    address: Option<SocketAddr>,
    /// The address that it has yet to prove, and what proves it.
    challenge: Option<(SocketAddr, Cookie)>,
    heard: Instant,
    control: Account,
    media: Account,
    /// Who takes its messages so slowly that it is not read.
    held_by: Option<Connection>,
    dice: Dice,
}

impl Rooms {
    pub(super) fn new(limits: Limits, loss: Percent, seed: u64, now: Instant) -> Self {
        Self {
            limits,
            loss,
            seed,
            rooms: HashMap::new(),
            shares: Shares::new(now),
            members: HashMap::new(),
            tickets: HashMap::new(),
            addresses: HashMap::new(),
            revoked: HashMap::new(),
            next: Connection(0),
            counts: Counts::default(),
        }
    }

    /// Admits a member; the answer to it is the first thing in its outbox.
    ///
    /// Whether a token is genuine is settled before; whether it was taken back is settled here,
    /// under the same lock as taking it back.
    pub(super) fn join(
        &mut self,
        room: RoomHandle,
        way: Way,
        part: Part,
        serial: Option<Serial>,
        now: Instant,
    ) -> Result<(Connection, Arc<Outbox>), Rejection> {
        if serial.is_some_and(|serial| self.revoked.contains_key(&serial)) {
            return Err(Rejection::Token);
        }
        let ticket = match &way {
            Way::Tcp(ticket) => Some(*ticket),
            #[cfg(any(feature = "quic", test))]
            Way::Quic(_) => None,
        };
        let connection = self.vacant(room, ticket)?;
        let bell: Option<outbox::Bell> = match way {
            Way::Tcp(_) => None,
            #[cfg(any(feature = "quic", test))]
            Way::Quic(ring) => Some(Box::new(move || ring(connection))),
        };
        let answer = ticket.map_or_else(wire::admitted, |ticket| wire::answer(Ok(ticket)));
        let outbox = Arc::new(Outbox::new(self.limits.queue, answer, bell));
        let member = Member {
            room,
            part,
            ticket,
            serial,
            outbox: Arc::clone(&outbox),
            address: None,
            challenge: None,
            heard: now,
            control: Account::new(now),
            media: Account::new(now),
            held_by: None,
            dice: Dice::new(self.seed, connection.0.into()),
        };
        self.next = Connection(connection.0.wrapping_add(1));
        let shared = self.rooms.entry(room).or_insert_with(|| Room::new(now));
        shared.join(connection, &self.limits, &self.shares);
        if let Some(ticket) = ticket {
            self.tickets.insert(ticket, connection);
        }
        self.members.insert(connection, member);
        self.counts.connections += 1;
        Ok((connection, outbox))
    }

    /// The number for a new member, if the limits leave a place.
    fn vacant(&self, room: RoomHandle, ticket: Option<Ticket>) -> Result<Connection, Rejection> {
        let taken = ticket.is_some_and(|ticket| self.tickets.contains_key(&ticket));
        if self.members.len() >= self.limits.connections || taken {
            return Err(Rejection::Connections);
        }
        match self.rooms.get(&room) {
            None if self.rooms.len() >= self.limits.rooms => return Err(Rejection::Rooms),
            Some(room) if room.members.len() >= self.limits.members => return Err(Rejection::Members),
            _ => {}
        }
        (0..=u16::MAX)
            .map(|offset| Connection(self.next.0.wrapping_add(offset)))
            .find(|connection| !self.members.contains_key(connection))
            .ok_or(Rejection::Connections)
    }

    /// Gives a member's place to whoever comes next. Its connection has ended.
    pub(super) fn leave(&mut self, connection: Connection) {
        self.detach(connection);
        self.members.remove(&connection);
        trace_event!(DEBUG, members = self.members.len(), "a member has left the relay");
    }

    /// Takes a member out of its room at once, and tells whether it still was there. Its closed
    /// outbox makes its writer end the connection, and only then [`Rooms::leave`] frees the place:
    /// what is counted is what exists.
    ///
    /// Nothing else closes an outbox, so the outbox of whoever is in a room is open.
    pub(super) fn detach(&mut self, connection: Connection) -> bool {
        let member = self.members.get_mut(&connection);
        let Some(member) = member.filter(|member| !member.outbox.is_closed()) else { return false };
        member.outbox.close();
        if let Some(ticket) = member.ticket {
            self.tickets.remove(&ticket);
        }
        if let Some(address) = member.address.take() {
            self.addresses.remove(&address);
        }
        if let Some(room) = self.rooms.get_mut(&member.room) {
            room.members.retain(|other| *other != connection);
            if room.members.is_empty() {
                self.rooms.remove(&member.room);
            }
        }
        true
    }

    /// Cuts off everybody and admits nobody, before the relay stops.
    pub(super) fn close(&mut self) {
        self.limits.connections = 0;
        let members: Vec<_> = self.members.keys().copied().collect();
        for connection in members {
            self.detach(connection);
        }
    }

    /// Ends the wait for new members, and lets every outbox run empty before its connection is
    /// closed.
    pub(super) fn finish(&mut self) {
        self.limits.connections = 0;
        for member in self.members.values() {
            member.outbox.finish();
        }
        self.rooms.clear();
        self.tickets.clear();
        self.addresses.clear();
    }

    /// Cuts off whoever came with that token, and remembers it as long as it would let in. False if
    /// no more can be remembered; nobody who came with it stays, even so.
    ///
    /// `unix` is the time now and `expiry` that of the token, in seconds since 1970.
    pub(super) fn revoke(&mut self, serial: Serial, expiry: u64, unix: u64) -> bool {
        let holders = self.members.iter().filter(|(_, member)| member.serial == Some(serial));
        let holders: Vec<_> = holders.map(|(connection, _)| *connection).collect();
        for connection in holders {
            self.counts.revoked += u64::from(self.detach(connection));
        }
        if self.revoked.len() >= REVOKED_MAX {
            self.revoked.retain(|_, expiry| *expiry > unix);
        }
        if expiry <= unix || self.revoked.contains_key(&serial) {
            return true;
        }
        let room = self.revoked.len() < REVOKED_MAX;
        if room {
            self.revoked.insert(serial, expiry);
        }
        room
    }

    /// How many members and rooms there are.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.members.len(), self.rooms.len())
    }

    /// Cuts off members that were not heard of for too long, and those that hold up others and take
    /// too little.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let silent = |since: Instant| now.saturating_duration_since(since) >= self.limits.idle_timeout;
        let rate = self.limits.drain_rate;
        let gone = self.members.iter().filter(|(_, member)| {
            silent(member.heard) || (!member.outbox.is_closed() && member.outbox.is_too_slow(rate, now))
        });
        let gone: Vec<_> = gone.map(|(connection, _)| *connection).collect();
        self.cut(&gone);
    }

    /// Detaches members against their will.
    pub(super) fn cut(&mut self, connections: &[Connection]) {
        for connection in connections {
            let cut = self.detach(*connection);
            self.counts.cut += u64::from(cut);
            if cut {
                trace_event!(INFO, "the relay cut a member off");
            }
        }
    }

    /// Hands a control message to all others in the sender's room, in the order of the calls.
    ///
    /// Returns how long to wait before asking by [`held_up`](Self::held_up) whether the sender is
    /// read on, or `None` if it was cut off.
    pub(super) fn handle_control(
        &mut self,
        from: Connection,
        message: &[u8],
        now: Instant,
    ) -> Option<Duration> {
        let frame = wire::frame(message)?;
        self.shares.refresh(now, &self.limits, &mut self.rooms, &mut self.members);
        let sender = self.members.get_mut(&from).filter(|sender| !sender.outbox.is_closed())?;
        let room = self.rooms.get_mut(&sender.room)?;
        sender.heard = now;
        let cost = outbox::cost(&frame);
        let least = bucket::price(cost, self.limits.control_rate);
        let cost = Cost::message(cost);
        let burst = bucket::CONTROL_BURST;
        let wait = match sender.part {
            Part::Hears => sender.control.spend_alone(now, least, burst),
            _ => sender.control.spend(room, Lane::Control, now, cost, least, burst),
        };
        let (mut copies, mut held_by) = (0, None);
        let others = if sender.part == Part::Hears { &[][..] } else { room.members.as_slice() };
        for other in others.iter().filter(|other| **other != from) {
            let known = self.members.get(other).filter(|other| other.part != Part::Says);
            let Some(outbox) = known.map(|other| &other.outbox) else { continue };
            copies += usize::from(outbox.push(from, frame.clone()));
            if held_by.is_none() && outbox.holds_up(from) {
                held_by = Some(*other);
            }
        }
        let copies_rate = self.limits.copy_rate / self.shares.rooms(Lane::Control);
        room.hand_on(Lane::Control, now, cost, copies, copies_rate);
        if let Some(sender) = self.members.get_mut(&from) {
            sender.held_by = held_by;
        }
        self.counts.control += 1;
        self.counts.control_bytes += message.len() as u64;
        self.counts.control_copies += copies as u64;
        self.counts.control_copied_bytes += (copies * message.len()) as u64;
        Some(if held_by.is_some() { wait.max(LOOK_AGAIN) } else { wait })
    }

    /// How long to wait before asking again whether this sender is read on. Zero if it is, now, and
    /// `None` if it was cut off.
    ///
    /// It is not while some receiver has more of its messages waiting than is free there.
    pub(super) fn held_up(&mut self, from: Connection) -> Option<Duration> {
        let sender = self.members.get(&from).filter(|sender| !sender.outbox.is_closed())?;
        let holds_up =
            |other: &Connection| self.members.get(other).is_some_and(|other| other.outbox.holds_up(from));
        // Most often the one that did before still does, which is found out without asking all of
        // them.
        let held_by = match sender.held_by {
            None => return Some(Duration::ZERO),
            Some(before) if holds_up(&before) => Some(before),
            Some(_) => {
                let room = self.rooms.get(&sender.room)?;
                room.members.iter().filter(|other| **other != from).copied().find(holds_up)
            }
        };
        if let Some(sender) = self.members.get_mut(&from) {
            sender.held_by = held_by;
        }
        Some(if held_by.is_some() { LOOK_AGAIN } else { Duration::ZERO })
    }
}

impl Member {
    fn account(&mut self, lane: Lane) -> &mut Account {
        match lane {
            Lane::Control => &mut self.control,
            Lane::Media => &mut self.media,
        }
    }
}

/// How often it is asked whether a sender that was held up still is.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Tokens that were taken back and have not expired: 24 bytes each, so at most a few MiB.
const REVOKED_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::{datagrams::Verdict, *};
    use crate::relay_protocol::wire::Datagram;

    pub(super) const ROOM: RoomHandle = RoomHandle::from_bytes([1; 16]);
    pub(super) const OTHER_ROOM: RoomHandle = RoomHandle::from_bytes([2; 16]);

    pub(super) fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// Rooms without a network, and the members' side of binding.
    pub(super) struct Relay {
        pub(super) rooms: Rooms,
        pub(super) now: Instant,
        cookies: u8,
    }

    impl Relay {
        pub(super) fn new(limits: Limits) -> Self {
            Self {
                rooms: Rooms::new(limits, Percent::ZERO, 0, Instant::now()),
                now: Instant::now(),
                cookies: 0,
            }
        }

        pub(super) fn join(
            &mut self,
            room: RoomHandle,
            ticket: u8,
        ) -> Result<(Connection, Arc<Outbox>), Rejection> {
            let joined = self.rooms.join(room, Way::Tcp(Ticket([ticket; 16])), Part::Both, None, self.now);
            joined.inspect(|(_, outbox)| {
                assert_eq!(outbox.poll(), Some(wire::answer(Ok(Ticket([ticket; 16])))))
            })
        }

        pub(super) fn datagram(&mut self, source: u16, bytes: &[u8]) -> (Verdict, Vec<SocketAddr>) {
            let (verdict, to) = self.copies(source, bytes);
            assert!(to.connections.is_empty());
            (verdict, to.addresses)
        }

        pub(super) fn copies(&mut self, source: u16, bytes: &[u8]) -> (Verdict, Copies) {
            let mut to = Copies::default();
            self.cookies = self.cookies.wrapping_add(1);
            let cookie = Cookie([self.cookies; 16]);
            let verdict =
                self.rooms.handle_datagram(address(source), bytes, self.now, || Some(cookie), &mut to);
            (verdict, to)
        }

        /// Sends a bind and returns the relay's answer.
        pub(super) fn bind(&mut self, source: u16, ticket: u8, cookie: Cookie) -> Option<Datagram> {
            match self.datagram(source, &wire::bind(Ticket([ticket; 16]), cookie)).0 {
                Verdict::Reply(_, bytes) => Some(Datagram::parse(&bytes)),
                _ => None,
            }
        }

        /// Both steps of binding.
        pub(super) fn bound(&mut self, source: u16, ticket: u8) -> bool {
            let Some(Datagram::Challenge(_, cookie)) = self.bind(source, ticket, Cookie::NONE) else {
                return false;
            };
            self.bind(source, ticket, cookie) == Some(Datagram::Bound(Ticket([ticket; 16])))
        }

        pub(super) fn reached(&mut self, source: u16) -> Vec<SocketAddr> {
            match self.datagram(source, b"\xb0 sealed") {
                (Verdict::Forward(_), to) => to,
                (_, to) => {
                    assert!(to.is_empty());
                    to
                }
            }
        }
    }

    #[test]
    fn limits_are_kept_and_places_come_free() {
        let limits = Limits { connections: 4, rooms: 2, members: 2, ..Limits::default() };
        let mut relay = Relay::new(limits);
        let (first, _) = relay.join(ROOM, 1).unwrap();
        relay.join(ROOM, 2).unwrap();
        assert_eq!(relay.join(ROOM, 3).err(), Some(Rejection::Members));
        relay.join(OTHER_ROOM, 3).unwrap();
        assert_eq!(relay.join(RoomHandle::from_bytes([3; 16]), 4).err(), Some(Rejection::Rooms));
        relay.join(OTHER_ROOM, 4).unwrap();
        assert_eq!(relay.join(ROOM, 5).err(), Some(Rejection::Connections));
        relay.rooms.leave(first);
        relay.join(ROOM, 5).unwrap();
        assert_eq!(relay.rooms.counts.connections, 5);
    }

    #[test]
    fn a_member_that_left_leaves_nothing_behind() {
        let mut relay = Relay::new(Limits::default());
        let (connection, outbox) = relay.join(ROOM, 1).unwrap();
        assert!(relay.bound(1_000, 1));
        relay.rooms.leave(connection);
        let Rooms { rooms, members, tickets, addresses, .. } = &relay.rooms;
        assert!(rooms.is_empty() && members.is_empty() && tickets.is_empty() && addresses.is_empty());
        assert!(outbox.is_closed());
        assert!(!relay.bound(1_000, 1));
    }

    #[test]
    fn connection_numbers_in_use_are_passed_over() {
        let mut relay = Relay::new(Limits::default());
        let (first, _) = relay.join(ROOM, 1).unwrap();
        relay.rooms.next = first;
        assert_eq!(relay.join(ROOM, 2).unwrap().0, Connection(1));
        relay.rooms.next = Connection(u16::MAX);
        assert_eq!(relay.join(ROOM, 3).unwrap().0, Connection(u16::MAX));
        assert_eq!(relay.join(ROOM, 4).unwrap().0, Connection(2));
    }

    #[test]
    fn a_slow_reader_holds_up_who_says_much_and_is_cut_off_if_it_takes_too_little() {
        let mut relay = Relay::new(Limits { queue: 10_000, drain_rate: 1_000, ..Limits::default() });
        let (sender, _) = relay.join(ROOM, 1).unwrap();
        let (slow, slow_outbox) = relay.join(ROOM, 2).unwrap();
        let (quiet, reader) = relay.join(ROOM, 3).unwrap();
        let mut sent = 0;
        while relay.rooms.held_up(sender).unwrap().is_zero() {
            assert!(relay.rooms.handle_control(sender, &[7; 1_000], relay.now).is_some());
            assert_eq!(reader.poll(), wire::frame(&[7; 1_000]));
            sent += 1;
        }
        assert_eq!(sent, 4, "half of the queue");
        // Others are not held up by that, and lose nothing.
        assert_eq!(relay.rooms.handle_control(quiet, b"aside", relay.now), Some(Duration::ZERO));
        assert_eq!(relay.rooms.held_up(quiet), Some(Duration::ZERO));
        for second in 0..10 {
            relay.now += Duration::from_secs(1);
            relay.rooms.handle_timeout(relay.now);
            assert_eq!(slow_outbox.is_closed(), second >= 5, "{second}");
            relay.rooms.held_up(sender);
        }
        assert_eq!(relay.rooms.held_up(sender), Some(Duration::ZERO));
        assert_eq!(relay.rooms.counts.cut, 1);
        assert!(relay.rooms.handle_control(slow, b"still here", relay.now).is_none());
    }

    #[test]
    fn strangers_who_flood_a_room_slow_down_themselves_and_its_members_go_on() {
        let mut relay = Relay::new(Limits::default());
        let (ada, _) = relay.join(ROOM, 1).unwrap();
        let (_, ben) = relay.join(ROOM, 2).unwrap();
        let strangers: Vec<_> = (10..20).map(|ticket| relay.join(ROOM, ticket).unwrap()).collect();
        let mut waits = vec![Duration::ZERO; strangers.len()];
        let (mut taken, mut latest) = (0, Duration::ZERO);
        for _ in 0..2_000 {
            relay.now += Duration::from_millis(5);
            for ((stranger, outbox), wait) in strangers.iter().zip(&mut waits) {
                while outbox.poll().is_some() {}
                if wait.is_zero() {
                    *wait = relay.rooms.held_up(*stranger).unwrap();
                }
                if wait.is_zero() {
                    *wait = relay.rooms.handle_control(*stranger, &[7; 16_000], relay.now).unwrap();
                }
                *wait = wait.saturating_sub(Duration::from_millis(5));
            }
            // Ben reads 1 MB a second, and what Ada says is there before much else.
            let wait = relay.rooms.handle_control(ada, b"message", relay.now).unwrap();
            assert!(wait.is_zero(), "{wait:?}");
            latest = latest.max(wait);
            while taken < 5_000 {
                let Some(frame) = ben.poll() else { break };
                taken += frame.len();
            }
            taken = taken.saturating_sub(5_000);
            assert!(!ben.is_closed());
        }
        assert_eq!(relay.rooms.counts.cut, 0);
        // Ten seconds of the room's rate, and its burst of eight.
        let most = u64::from(Limits::default().room_control_rate) * 19;
        assert!(relay.rooms.counts.control_bytes < most, "{}", relay.rooms.counts.control_bytes);
    }

    #[test]
    fn silent_members_are_cut_off_and_either_lane_is_a_sign_of_life() {
        let mut relay = Relay::new(Limits::default());
        let (_, silent) = relay.join(ROOM, 1).unwrap();
        let (_, bound) = relay.join(ROOM, 2).unwrap();
        let (talking, heard) = relay.join(ROOM, 3).unwrap();
        assert!(relay.bound(2_000, 2));
        for _ in 0..3 {
            relay.now += Limits::default().idle_timeout / 2;
            assert!(relay.bind(2_000, 2, Cookie::NONE).is_some());
            assert!(relay.rooms.handle_control(talking, b"message", relay.now).is_some());
            relay.rooms.handle_timeout(relay.now);
        }
        assert!(silent.is_closed() && !bound.is_closed() && !heard.is_closed());
        assert_eq!(relay.rooms.counts.cut, 1);
    }

    #[test]
    fn a_relay_that_closes_admits_nobody_and_counts_nobody_as_cut() {
        let mut relay = Relay::new(Limits::default());
        let (member, outbox) = relay.join(ROOM, 1).unwrap();
        relay.rooms.close();
        assert!(outbox.is_closed());
        assert!(relay.rooms.handle_control(member, b"message", relay.now).is_none());
        assert_eq!(relay.join(ROOM, 2).err(), Some(Rejection::Connections));
        assert_eq!(relay.rooms.counts.cut, 0);
    }

    #[test]
    fn a_revoked_token_ends_its_connections_and_opens_no_more_until_forgotten_at_its_expiry() {
        let mut relay = Relay::new(Limits::default());
        let [one, other] = [Serial([1; 16]), Serial([2; 16])];
        let join = |rooms: &mut Rooms, ticket, serial| {
            rooms
                .join(ROOM, Way::Tcp(Ticket([ticket; 16])), Part::Both, Some(serial), relay.now)
                .map(|(_, outbox)| outbox)
        };
        let rooms = &mut relay.rooms;
        let held =
            [(1, one), (2, one), (3, other)].map(|(ticket, serial)| join(rooms, ticket, serial).unwrap());
        assert!(rooms.revoke(one, 1_000, 900));
        assert_eq!(held.each_ref().map(|outbox| outbox.is_closed()), [true, true, false]);
        assert_eq!((rooms.counts.revoked, rooms.counts.cut), (2, 0));
        assert_eq!(join(rooms, 4, one).err(), Some(Rejection::Token));
        // After its expiry nobody can come with it, so it need not be remembered; but who stayed
        // goes.
        assert!(rooms.revoke(other, 1_000, 1_001));
        assert!(held[2].is_closed() && !rooms.revoked.contains_key(&other));
        for number in 0..REVOKED_MAX as u64 {
            let mut serial = [9; 16];
            serial[..8].copy_from_slice(&number.to_be_bytes());
            assert_eq!(rooms.revoke(Serial(serial), 2_000, 999), number + 1 < REVOKED_MAX as u64);
        }
        // All but the first are forgotten by then, and there is room again.
        assert!(rooms.revoke(Serial([8; 16]), 3_000, 2_000));
        assert_eq!(rooms.revoked.len(), 1);
    }

    #[test]
    fn a_relay_that_finishes_lets_what_waits_flow_out() {
        let mut relay = Relay::new(Limits::default());
        let (sender, _) = relay.join(ROOM, 1).unwrap();
        let (_, outbox) = relay.join(ROOM, 2).unwrap();
        relay.rooms.handle_control(sender, b"last", relay.now).unwrap();
        relay.rooms.finish();
        assert!(relay.rooms.handle_control(sender, b"too late", relay.now).is_none());
        assert_eq!(relay.join(ROOM, 3).err(), Some(Rejection::Connections));
        assert_eq!((outbox.poll(), outbox.poll()), (wire::frame(b"last"), None));
        assert!(!outbox.is_closed(), "closed is for those who are cut off");
    }

    #[test]
    fn too_many_packets_are_dropped_and_too_many_messages_wait() {
        let mut relay = Relay::new(Limits { media_rate: 10, control_rate: 1_000, ..Limits::default() });
        let (sender, _) = relay.join(ROOM, 1).unwrap();
        relay.join(ROOM, 2).unwrap();
        assert!(relay.bound(1_000, 1) && relay.bound(2_000, 2));
        let passed = (0..20).filter(|_| !relay.reached(1_000).is_empty()).count();
        assert_eq!((passed, relay.rooms.counts.over_rate), (8, 12));
        relay.now += Duration::from_millis(100);
        assert_eq!(relay.reached(1_000).len(), 1);
        let mut waits =
            (0..20).map(|_| relay.rooms.handle_control(sender, &[0; 1_000 - 256 - 2], relay.now).unwrap());
        assert!(waits.by_ref().take(8).all(|wait| wait.is_zero()));
        assert_eq!(waits.next(), Some(Duration::from_secs(1)));
    }
}
