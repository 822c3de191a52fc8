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
    /// The member that takes its messages so slowly that this one is not read.
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
        shared.join(connection, part, &self.limits, &self.shares);
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
            room.leave(connection, member.part);
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
mod tests;
