//! A hostile listener: a real one with real keys, whose holder says whatever these let it say, and
//! a look behind honest ones. Of tests alone.

use std::time::Instant;

use bytes::Bytes;

use super::Listener;
use crate::{
    defence::LookedAt,
    group::signing::SigningKey,
    id::{IdentityKey, Leaf, MemberId},
    law::Tag,
    stage::{
        HallLane,
        card::{Card, Programme},
        envelope::{self, Use},
        porter::drawn,
        wire::{Asked, Beat, Bundle, Hall, Message, Ticket, Turn, Up},
    },
    wire::{door::Badge, signed::Signed},
};

/// A ticket of somebody, to be shown by whoever has it.
#[derive(Clone)]
pub struct HeldTicket(Ticket);

/// What a hostile listener claims of itself to its porter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerClaim {
    /// It lacks what is newer than this epoch.
    Keys(u64),
    /// It lacks the programme.
    Programme,
    /// It wants this page.
    Page(u32),
    /// Its hand is up, or down.
    Hand(bool),
    /// It wants a fresh chain, sealed to what is no key.
    Fresh,
}

/// A hostile listener's means. Nothing here asks a rule.
pub struct ListenerInsider<'a> {
    listener: &'a mut Listener,
    now: Instant,
}

impl<'a> ListenerInsider<'a> {
    /// Takes hold of a listener at `now`.
    pub fn of(listener: &'a mut Listener, now: Instant) -> Self {
        Self { listener, now }
    }

    /// A turn of its own cell, so many turns ahead, with a secret that nobody made.
    pub fn turn(&mut self, ahead: u64) -> Option<(HallLane, Bytes)> {
        let place = self.listener.place.as_ref()?;
        let lane = HallLane::Cell { porter: place.porter, cell: place.cell };
        let secret = drawn(&mut self.listener.rng);
        let first = place.clock.step(self.now);
        let turn = Turn { n: place.tuner.newest() + 256 * ahead, first, switch_ms: 300, secret };
        let bytes = place.copy_chain().seal(Use::Cell, turn.encode().bytes(), &mut self.listener.rng).ok()?;
        Some((lane, bytes))
    }

    /// A bundle for its own cell, under chains that nobody has.
    pub fn bundle(&mut self) -> Option<(HallLane, Bytes)> {
        let place = self.listener.place.as_ref()?;
        let (lane, step) =
            (HallLane::Cell { porter: place.porter, cell: place.cell }, place.clock.step(self.now));
        let (pair, fresh) = (drawn(&mut self.listener.rng), drawn(&mut self.listener.rng));
        let slots = (0..16u8).map(|slot| (slot, &pair));
        let bundle = Bundle::seal(step, &fresh, slots, vec![7; 96], &mut self.listener.rng);
        Some((lane, self.seal(&Message::Bundle(bundle))?))
    }

    /// A beat in a porter's name, signed by a key that is not the porter's.
    pub fn beat(&mut self, porter: [u8; 16]) -> Option<(HallLane, Bytes)> {
        let answer = SigningKey::from_seed(self.listener.rng.seed());
        let n = self.listener.place.as_ref()?.tuner.newest() + 256;
        let hall = Hall { hall_ms: 1 << 30, n, first: 0, programme: [5; 32], mark: [7; 16], switch_ms: 0 };
        let group_id = self.listener.invite.group_id;
        let beat = Beat::sign((porter, &answer), &group_id, 1 << 40, &hall, (0, [0; 32]));
        Some((HallLane::Hall, self.seal(&Message::Beat(beat))?))
    }

    /// A door with a badge that it signed itself, in the host's office.
    pub fn door(&mut self) -> Option<(HallLane, Bytes)> {
        let answer = SigningKey::from_seed(self.listener.rng.seed());
        let (office, group_id) = (self.listener.invite.office, self.listener.invite.group_id);
        let badge = Badge { answer_key: *answer.public(), office, no: u64::MAX };
        let own = &self.listener.identity;
        let key = IdentityKey::from_bytes(*own.public());
        let badge = Signed::badge(badge, own, &group_id).verify(&group_id, &key).ok()?;
        let door = Signed::door(badge, vec![9; 32], &answer, &group_id);
        Some((HallLane::Hall, self.seal(&Message::Door(door))?))
    }

    /// A programme in which it may be heard itself.
    pub fn programme(&mut self) -> Option<(HallLane, Bytes)> {
        let group_id = self.listener.invite.group_id;
        let card = Card::sign(&self.listener.identity, Leaf(1), [9; 32], 7, &group_id);
        Some((HallLane::Hall, self.seal(&Message::Programme(Programme::new(vec![card])))?))
    }

    /// Something to its porter, in the name of another seat, under its own chain.
    pub fn leave_of(&mut self, slot: u8) -> Option<(HallLane, Bytes)> {
        let place = self.listener.place.as_ref()?;
        let (porter, cell) = (place.porter, place.cell);
        let leave = [0xff, 0xff, 0xff, 0xff, 2];
        let sealed = place.copy_pair().seal_bare(Use::Up, &leave, &mut self.listener.rng);
        let up = Message::Up(Up { porter, cell, slot, sealed });
        Some((HallLane::Porter(porter), self.seal(&up)?))
    }

    /// Says this to its porter, true or not. It leaves by
    /// [`poll_transmit`](Listener::poll_transmit).
    pub fn claim(&mut self, claim: ListenerClaim) {
        let asked = match claim {
            ListenerClaim::Keys(n) => Asked::Keys(n),
            ListenerClaim::Programme => Asked::Programme,
            ListenerClaim::Page(number) => Asked::Page(number),
            ListenerClaim::Hand(up) => Asked::Hand(up),
            ListenerClaim::Fresh => Asked::Fresh(vec![3; 32]),
        };
        let _ = self.listener.ask(asked, self.now);
    }

    /// The ticket that it was given.
    pub fn ticket(&self) -> Option<HeldTicket> {
        self.listener.ticket.clone().map(HeldTicket)
    }

    /// Shows this ticket with its next knocks, though it is another's.
    pub fn show(&mut self, ticket: HeldTicket) {
        self.listener.ticket = Some(ticket.0);
    }

    /// Shows a ticket that it signed itself, about a tag that is not its own.
    pub fn show_forged(&mut self) {
        let group_id = self.listener.invite.group_id;
        let ticket = Ticket::sign(&self.listener.identity, [0; 16], Tag([1; 16]), 5, &group_id);
        self.listener.ticket = Some(ticket);
    }

    fn seal(&mut self, message: &Message) -> Option<Bytes> {
        envelope::seal(&self.listener.key.0, Use::Lane, &message.encode(), &mut self.listener.rng).ok()
    }
}

/// What a judge sees of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hearing {
    /// The door of its porter.
    pub porter: [u8; 16],
    /// Its seat.
    pub seat: (u32, u8),
    /// The epoch that it opens.
    pub epoch: Option<LookedAt>,
    /// Its hall clock, in milliseconds.
    pub hall_ms: u64,
    /// It looks for a porter.
    pub joins: bool,
}

impl Hearing {
    /// Looks at a listener; `None` if it has no seat.
    pub fn of(listener: &Listener, now: Instant) -> Option<Self> {
        let place = listener.place.as_ref()?;
        Some(Self {
            porter: place.porter,
            seat: (place.cell, place.slot),
            epoch: place.tuner.present().map(|name| LookedAt { n: name.n, code: name.authenticator }),
            hall_ms: place.clock.elapsed_ms(now),
            joins: listener.joining.is_some(),
        })
    }

    /// Whether the user was told that nobody of rank is heard.
    pub fn is_attended(listener: &Listener) -> bool {
        listener.attended
    }

    /// Whether this is sealed for everybody with an invite; else it is under a chain.
    pub fn is_of_lane(listener: &Listener, bytes: &[u8]) -> bool {
        envelope::open(&listener.key.0, Use::Lane, bytes).is_some()
    }

    /// Whose speakers it knows.
    pub fn speakers(listener: &Listener) -> Vec<MemberId> {
        listener.speakers().iter().map(|speaker| speaker.id).collect()
    }
}
