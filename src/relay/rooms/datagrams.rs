//! The media lane: which address is whose, and where a packet goes (SPEC section 8.2.3).

use std::{net::SocketAddr, time::Instant};

use bytes::Bytes;

use super::{
    Copies, Member, Rooms,
    shares::{Cost, Lane},
};
use crate::{
    lane::{MAX_MEDIA, Part},
    relay::{bucket, log::Connection},
    relay_protocol::wire::{self, Cookie, Datagram, Ticket},
};

/// What is to be done about a datagram.
pub(in crate::relay) enum Verdict {
    /// Nothing.
    Drop,
    /// Send it to those that were written down.
    Forward(Connection),
    /// Send these bytes back to its source.
    Reply(Connection, Bytes),
}

impl Rooms {
    /// Judges a datagram, and writes down in `to` where it goes if it is to be forwarded.
    ///
    /// `fresh` makes a random cookie.
    pub(in crate::relay) fn handle_datagram(
        &mut self,
        source: SocketAddr,
        bytes: &[u8],
        now: Instant,
        fresh: impl FnOnce() -> Option<Cookie>,
        to: &mut Copies,
    ) -> Verdict {
        let verdict = match Datagram::parse(bytes) {
            Datagram::Sealed if bytes.len() <= MAX_MEDIA => {
                let from = self.addresses.get(&source).copied();
                self.handle_packet(from, bytes.len(), now, to).map(Verdict::Forward)
            }
            Datagram::Bind(ticket, cookie) => self.handle_bind(source, ticket, cookie, now, fresh),
            _ => {
                self.counts.malformed += 1;
                None
            }
        };
        verdict.unwrap_or(Verdict::Drop)
    }

    /// The same for the datagram of a member who came by QUIC; whether it is to be forwarded.
    #[cfg(any(feature = "quic", test))]
    pub(in crate::relay) fn handle_quic_datagram(
        &mut self,
        from: Connection,
        bytes: &[u8],
        now: Instant,
        to: &mut Copies,
    ) -> bool {
        // What a relay says about binding no member may say to another, whichever way it comes.
        if bytes.len() > MAX_MEDIA || Datagram::parse(bytes) != Datagram::Sealed {
            self.counts.malformed += 1;
            return false;
        }
        self.handle_packet(Some(from), bytes.len(), now, to).is_some()
    }

    /// A member who came by QUIC is there, even if it says nothing.
    #[cfg(any(feature = "quic", test))]
    pub(in crate::relay) fn handle_sign_of_life(&mut self, from: Connection, now: Instant) {
        if let Some(member) = self.members.get_mut(&from) {
            member.heard = now;
        }
    }

    fn handle_packet(
        &mut self,
        from: Option<Connection>,
        length: usize,
        now: Instant,
        to: &mut Copies,
    ) -> Option<Connection> {
        let (from, sender) = self.hear(from, length, now)?;
        if length == 0 {
            self.counts.malformed += 1;
            return None;
        }
        if sender.part == Part::Hears {
            self.counts.no_part += 1;
            return None;
        }
        let room = sender.room;
        self.counts.media += 1;
        self.counts.media_bytes += length as u64;
        let room = self.rooms.get_mut(&room)?;
        for connection in room.members.iter().filter(|other| **other != from) {
            let other = self.members.get_mut(connection).filter(|other| other.part != Part::Says);
            let Some(other) = other else { continue };
            let bound = other.ticket.is_none() || other.address.is_some();
            if bound && other.dice.roll(self.loss) {
                self.counts.lost += 1;
            } else if let Some(address) = other.address {
                to.addresses.push(address);
            } else if bound {
                to.connections.push(*connection);
            }
        }
        let copies = to.addresses.len() + to.connections.len();
        let copies_rate = self.limits.copy_rate / self.shares.rooms(Lane::Media);
        room.hand_on(Lane::Media, now, Cost::datagram(length), copies, copies_rate);
        self.counts.copies += copies as u64;
        self.counts.copied_bytes += (copies * length) as u64;
        Some(from)
    }

    /// An address is bound only for the holder of a ticket, and only after it proved by a cookie
    /// that it receives what is sent there: otherwise a member could aim a room's packets at a
    /// bystander.
    fn handle_bind(
        &mut self,
        source: SocketAddr,
        ticket: Ticket,
        cookie: Cookie,
        now: Instant,
        fresh: impl FnOnce() -> Option<Cookie>,
    ) -> Option<Verdict> {
        let from = self.tickets.get(&ticket).copied();
        let (from, member) = self.hear(from, BIND_LEN, now)?;
        if member.address == Some(source) {
            return Some(Verdict::Reply(from, wire::bound(ticket)));
        }
        let expected = member.challenge.filter(|(address, _)| *address == source).map(|(_, cookie)| cookie);
        if expected == Some(cookie) {
            member.challenge = None;
            self.rebind(from, source);
            return Some(Verdict::Reply(from, wire::bound(ticket)));
        }
        // The same cookie again for a request that was repeated meanwhile.
        let cookie = expected.or_else(fresh)?;
        member.challenge = Some((source, cookie));
        Some(Verdict::Reply(from, wire::challenge(ticket, cookie)))
    }

    fn rebind(&mut self, connection: Connection, address: SocketAddr) {
        // The newcomer proved that the address is its own now, so whoever had it before has moved.
        let before = self.addresses.insert(address, connection);
        if let Some(before) = before.and_then(|before| self.members.get_mut(&before)) {
            before.address = None;
        }
        let Some(member) = self.members.get_mut(&connection) else { return };
        if let Some(old) = member.address.replace(address) {
            self.addresses.remove(&old);
        }
    }

    /// The sender of a datagram, if there is one and it keeps to its rate and its share of the
    /// room.
    fn hear(
        &mut self,
        from: Option<Connection>,
        length: usize,
        now: Instant,
    ) -> Option<(Connection, &mut Member)> {
        self.shares.refresh(now, &self.limits, &mut self.rooms, &mut self.members);
        let member = from.and_then(|from| Some((from, self.members.get_mut(&from)?)));
        let member = member.filter(|(_, member)| !member.outbox.is_closed());
        let found = member.and_then(|(from, member)| {
            let room = self.rooms.get_mut(&member.room)?;
            Some((from, member, room))
        });
        let Some((from, member, room)) = found else {
            self.counts.unbound += 1;
            return None;
        };
        let burst = bucket::MEDIA_BURST;
        let affordable = if member.part == Part::Hears {
            // Thousands say that they are there, and take nothing from who speaks.
            member.media.afford_alone(now, bucket::price(1, HEARS_RATE), burst)
        } else {
            let least = bucket::price(1, self.limits.media_rate);
            member.media.afford(room, Lane::Media, now, Cost::datagram(length), least, burst)
        };
        if !affordable {
            self.counts.over_rate += 1;
            return None;
        }
        member.heard = now;
        Some((from, member))
    }
}

const BIND_LEN: usize = 38;

/// Datagrams a second of a member that only hears: binds.
const HEARS_RATE: u32 = 10;

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use super::{
        super::{
            Way,
            tests::{OTHER_ROOM, ROOM, Relay, address},
        },
        *,
    };
    use crate::relay::Limits;

    #[test]
    fn thousands_who_say_that_they_hear_take_nothing_from_who_speaks() {
        let limits = Limits { connections: 2_001, members: 2_001, ..Limits::default() };
        let mut relay = Relay::new(limits);
        relay.join(ROOM, 1).unwrap();
        assert!(relay.bound(1_000, 1));
        let mut hears = Vec::new();
        for number in 0..2_000u16 {
            let mut ticket = [9; 16];
            ticket[..2].copy_from_slice(&number.to_be_bytes());
            let ticket = Ticket(ticket);
            relay.rooms.join(ROOM, Way::Tcp(ticket), Part::Hears, None, relay.now).unwrap();
            hears.push((2_000 + number, ticket));
        }
        // A second of 25 packets, while each of the others asks to be bound.
        for chunk in hears.chunks(80) {
            for (port, ticket) in chunk {
                relay.datagram(*port, &wire::bind(*ticket, Cookie::NONE));
            }
            relay.now += Duration::from_millis(40);
            relay.reached(1_000);
        }
        assert_eq!((relay.rooms.counts.media, relay.rooms.counts.over_rate), (25, 0));
        // A member that asks all the time is not answered all the time.
        let (port, ticket) = hears[0];
        for _ in 0..100 {
            relay.datagram(port, &wire::bind(ticket, Cookie::NONE));
        }
        assert!(relay.rooms.counts.over_rate > 80, "{}", relay.rooms.counts.over_rate);
    }

    #[test]
    fn who_hears_is_not_heard_and_who_says_hears_nothing() {
        let mut relay = Relay::new(Limits::default());
        let join = |rooms: &mut Rooms, ticket, part| {
            rooms.join(ROOM, Way::Tcp(Ticket([ticket; 16])), part, None, Instant::now()).unwrap()
        };
        let parts = [(1, Part::Both), (2, Part::Hears), (3, Part::Says)];
        let members = parts.map(|(ticket, part)| join(&mut relay.rooms, ticket, part));
        let [both, hears, says] = members.each_ref().map(|(number, _)| *number);
        for (_, outbox) in &members {
            assert!(outbox.poll().is_some(), "the answer");
        }
        for (ticket, port) in [(1, 1_000), (2, 2_000), (3, 3_000)] {
            assert!(relay.bound(port, ticket));
        }
        let mut said = |from, message: &[u8]| {
            relay.rooms.handle_control(from, message, relay.now).unwrap();
            let came = members.each_ref().map(|(_, outbox)| outbox.poll());
            came.map(|frame| frame == wire::frame(message))
        };
        assert_eq!(said(both, b"stage"), [false, true, false]);
        assert_eq!(said(hears, b"audience"), [false; 3]);
        assert_eq!(said(says, b"knock"), [true, true, false]);
        assert_eq!(relay.reached(1_000), [address(2_000)]);
        assert!(relay.reached(2_000).is_empty());
        assert_eq!(relay.reached(3_000), [address(1_000), address(2_000)]);
        assert_eq!((relay.rooms.counts.no_part, relay.rooms.counts.media), (1, 2));
    }

    #[test]
    fn an_address_is_bound_only_with_a_ticket_and_its_own_cookie() {
        let mut relay = Relay::new(Limits::default());
        relay.join(ROOM, 1).unwrap();
        assert!(relay.bind(1_000, 9, Cookie::NONE).is_none());
        let Some(Datagram::Challenge(_, cookie)) = relay.bind(1_000, 1, Cookie::NONE) else { panic!() };
        // Asked again, the relay repeats itself; a cookie seen at one address is worth nothing at
        // another.
        assert!(relay.bind(1_000, 1, Cookie::NONE) == Some(Datagram::Challenge(Ticket([1; 16]), cookie)));
        assert!(matches!(relay.bind(2_000, 1, cookie), Some(Datagram::Challenge(..))));
        assert!(matches!(relay.bind(1_000, 1, cookie), Some(Datagram::Challenge(..))));
        assert!(relay.rooms.addresses.is_empty());
        assert!(relay.bound(1_000, 1));
        assert!(relay.bind(1_000, 1, Cookie::NONE) == Some(Datagram::Bound(Ticket([1; 16]))));
    }

    #[test]
    fn a_member_moves_with_its_ticket_and_its_old_address_is_nobodys() {
        let mut relay = Relay::new(Limits::default());
        relay.join(ROOM, 1).unwrap();
        relay.join(ROOM, 2).unwrap();
        assert!(relay.bound(1_000, 1) && relay.bound(2_000, 2));
        assert_eq!(relay.reached(1_000), [address(2_000)]);
        assert!(relay.bound(3_000, 2));
        assert_eq!(relay.reached(1_000), [address(3_000)]);
        assert!(relay.reached(2_000).is_empty());
        assert_eq!(relay.rooms.counts.unbound, 1);
        // The second takes over the address of the first, which has gone elsewhere.
        assert!(relay.bound(1_000, 2));
        assert!(relay.reached(1_000).is_empty());
        assert!(relay.bound(4_000, 1));
        assert_eq!(relay.reached(4_000), [address(1_000)]);
        assert_eq!(relay.rooms.addresses.len(), 2);
    }

    #[test]
    fn packets_stay_in_their_room_and_reserved_datagrams_go_nowhere() {
        let mut relay = Relay::new(Limits::default());
        for (room, ticket) in [(ROOM, 1), (ROOM, 2), (ROOM, 3), (OTHER_ROOM, 4)] {
            relay.join(room, ticket).unwrap();
        }
        assert!(relay.bound(1_000, 1) && relay.bound(2_000, 2) && relay.bound(4_000, 4));
        assert_eq!(relay.reached(1_000), [address(2_000)]);
        assert!(relay.reached(4_000).is_empty());
        let forged = wire::bound(Ticket([2; 16]));
        for bytes in [&forged[..], &[0xff, 0x00], &[0xff, 0x00, 1, 2, 3], &[0xb0; MAX_MEDIA + 1]] {
            assert!(matches!(relay.datagram(1_000, bytes), (Verdict::Drop, to) if to.is_empty()));
        }
        assert_eq!(relay.rooms.counts.malformed, 4);
        assert_eq!(relay.datagram(1_000, &[0xb0; MAX_MEDIA]).1, [address(2_000)]);
        // Nothing is in it, so it is nothing that a member sends.
        assert!(matches!(relay.datagram(1_000, &[]), (Verdict::Drop, to) if to.is_empty()));
        assert_eq!(relay.rooms.counts.malformed, 5);
    }

    #[test]
    fn members_meet_whichever_way_they_came() {
        let mut relay = Relay::new(Limits::default());
        relay.join(ROOM, 1).unwrap();
        assert!(relay.bound(1_000, 1));
        let rung = Arc::new(AtomicUsize::new(0));
        let [ada, ben] = [(); 2].map(|()| {
            let rung = Arc::clone(&rung);
            let ring = Arc::new(move |_| {
                rung.fetch_add(1, Ordering::Relaxed);
            });
            let joined = relay.rooms.join(ROOM, Way::Quic(ring), Part::Both, None, relay.now);
            joined.inspect(|(_, outbox)| assert_eq!(outbox.poll(), Some(wire::admitted()))).unwrap()
        });
        assert_eq!(rung.load(Ordering::Relaxed), 2, "once for each answer");
        let (verdict, to) = relay.copies(1_000, b"\xb0 sealed");
        assert!(matches!(verdict, Verdict::Forward(_)));
        assert_eq!((to.addresses, to.connections), (vec![], vec![ada.0, ben.0]));
        let quic = |relay: &mut Relay, bytes: &[u8]| {
            let mut to = Copies::default();
            let forwarded = relay.rooms.handle_quic_datagram(ada.0, bytes, relay.now, &mut to);
            assert!(forwarded || (to.addresses.is_empty() && to.connections.is_empty()));
            forwarded.then_some((to.addresses, to.connections))
        };
        assert_eq!(quic(&mut relay, b"\xb0 sealed"), Some((vec![address(1_000)], vec![ben.0])));
        for forbidden in [&wire::bound(Ticket([1; 16]))[..], &[0xff, 0x00], &[0xb0; MAX_MEDIA + 1]] {
            assert_eq!(quic(&mut relay, forbidden), None);
        }
        assert_eq!(relay.rooms.counts.malformed, 3);
        // A message of one reaches the outboxes of both kinds, and rings for those that nobody
        // waits at.
        assert!(relay.rooms.handle_control(ada.0, b"hello", relay.now).is_some());
        assert_eq!((ben.1.poll(), ada.1.poll()), (wire::frame(b"hello"), None));
        assert_eq!(rung.load(Ordering::Relaxed), 3);
        // A sign of life of the connection is one of the member.
        relay.now += Limits::default().idle_timeout;
        relay.rooms.handle_sign_of_life(ada.0, relay.now);
        relay.rooms.handle_timeout(relay.now);
        assert!(!ada.1.is_closed() && ben.1.is_closed());
        // A member that is cut off is heard no more, even if its connection has yet to end.
        relay.rooms.cut(&[ada.0]);
        assert_eq!(quic(&mut relay, b"\xb0 sealed"), None);
    }
}
