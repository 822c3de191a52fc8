//! The media lane: which address is whose, and where a packet goes (SPEC section 8.2.3).

use std::{net::SocketAddr, time::Instant};

use bytes::Bytes;

use super::{Member, Rooms};
use crate::{
    relay::{
        bucket,
        log::Connection,
        wire::{self, Cookie, Datagram, Ticket},
    },
    transport::MAX_MEDIA,
};

/// What is to be done about a datagram.
pub(in crate::relay) enum Verdict {
    /// Nothing.
    Drop,
    /// Send it to the addresses that were written down.
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
        to: &mut Vec<SocketAddr>,
    ) -> Verdict {
        let verdict = match Datagram::parse(bytes) {
            Datagram::Sealed if bytes.len() <= MAX_MEDIA => self.handle_packet(source, bytes.len(), now, to),
            Datagram::Bind(ticket, cookie) => self.handle_bind(source, ticket, cookie, now, fresh),
            _ => {
                self.counts.malformed += 1;
                None
            }
        };
        verdict.unwrap_or(Verdict::Drop)
    }

    fn handle_packet(
        &mut self,
        source: SocketAddr,
        length: usize,
        now: Instant,
        to: &mut Vec<SocketAddr>,
    ) -> Option<Verdict> {
        let from = self.addresses.get(&source).copied();
        let (from, sender) = self.hear(from, now)?;
        let room = sender.room;
        self.counts.media += 1;
        self.counts.media_bytes += length as u64;
        for other in self.rooms.get(&room)?.iter().filter(|other| **other != from) {
            let Some(other) = self.members.get_mut(other) else { continue };
            let Some(address) = other.address else { continue };
            if other.dice.roll(self.loss) {
                self.counts.lost += 1;
            } else {
                to.push(address);
            }
        }
        self.counts.copies += to.len() as u64;
        self.counts.copied_bytes += (to.len() * length) as u64;
        Some(Verdict::Forward(from))
    }

    /// An address is bound only for the holder of a ticket, and only after it proved by a cookie that it
    /// receives what is sent there: otherwise a member could aim a room's packets at a bystander.
    fn handle_bind(
        &mut self,
        source: SocketAddr,
        ticket: Ticket,
        cookie: Cookie,
        now: Instant,
        fresh: impl FnOnce() -> Option<Cookie>,
    ) -> Option<Verdict> {
        let from = self.tickets.get(&ticket).copied();
        let (from, member) = self.hear(from, now)?;
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

    /// The sender of a datagram, if there is one and it keeps to its rate.
    fn hear(&mut self, from: Option<Connection>, now: Instant) -> Option<(Connection, &mut Member)> {
        let Some((from, member)) = from.and_then(|from| Some((from, self.members.get_mut(&from)?))) else {
            self.counts.unbound += 1;
            return None;
        };
        if !member.media.afford(now, 1, self.limits.media_rate, bucket::MEDIA_BURST) {
            self.counts.over_rate += 1;
            return None;
        }
        member.heard = now;
        Some((from, member))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{OTHER_ROOM, ROOM, Relay, address},
        *,
    };
    use crate::relay::Limits;

    #[test]
    fn an_address_is_bound_only_with_a_ticket_and_its_own_cookie() {
        let mut relay = Relay::new(Limits::default());
        relay.join(ROOM, 1).unwrap();
        assert!(relay.bind(1_000, 9, Cookie::NONE).is_none());
        let Some(Datagram::Challenge(_, cookie)) = relay.bind(1_000, 1, Cookie::NONE) else { panic!() };
        // Asked again, the relay repeats itself; a cookie seen at one address is worth nothing at another.
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
        assert_eq!(relay.datagram(1_000, &[]).1, [address(2_000)]);
    }
}
