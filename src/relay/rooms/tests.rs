//! Members that come and go, limits, and what one member costs the others.

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
        Self { rooms: Rooms::new(limits, Percent::ZERO, 0, Instant::now()), now: Instant::now(), cookies: 0 }
    }

    pub(super) fn join(
        &mut self,
        room: RoomHandle,
        ticket: u8,
    ) -> Result<(Connection, Arc<Outbox>), Rejection> {
        let joined = self.rooms.join(room, Way::Tcp(Ticket([ticket; 16])), Part::Both, None, self.now);
        joined.inspect(|(_, outbox)| assert_eq!(outbox.poll(), Some(wire::answer(Ok(Ticket([ticket; 16]))))))
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
        let verdict = self.rooms.handle_datagram(address(source), bytes, self.now, || Some(cookie), &mut to);
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
    let held = [(1, one), (2, one), (3, other)].map(|(ticket, serial)| join(rooms, ticket, serial).unwrap());
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

#[test]
fn thousands_who_only_say_make_nothing_dearer_for_each_other() {
    let limits = Limits { connections: 2_001, members: 2_001, ..Limits::default() };
    let mut relay = Relay::new(limits);
    let mut join = |number: u16, part| {
        let mut ticket = [9; 16];
        ticket[..2].copy_from_slice(&number.to_be_bytes());
        relay.rooms.join(ROOM, Way::Tcp(Ticket(ticket)), part, None, relay.now).unwrap()
    };
    let (_, porter) = join(0, Part::Hears);
    let sayers: Vec<_> = (1..=2_000).map(|number| join(number, Part::Says).0).collect();
    // At its own rate it may send 8 s of 256 KiB at once, 4,080 messages: one copy is made of each.
    let free = (0..5_000).take_while(|_| {
        let wait = relay.rooms.handle_control(sayers[0], &[7; 256], relay.now);
        while porter.poll().is_some() {}
        wait == Some(Duration::ZERO)
    });
    let free = free.count();
    assert!((4_000..4_200).contains(&free), "{free}");
}
