//! What a member without a connection does not do, and what it asks for once it has one again (SPEC
//! section 7, rule R9).

use std::time::Instant;

use super::{Room, connection::Connection, memory::Memory, outbox::Outbox, phase::Phase, seat::Seat};
use crate::wire::message::Message;

impl Seat {
    fn be_connected(&mut self, out: &mut Outbox, memory: &Memory, now: Instant) {
        self.connection = if self.keeps() { Connection::Here } else { Connection::Anew };
        self.turns.note_connected(now);
        self.missing.ask_soon(self.group.own_leaf(), now);
        if let Some(returning) = &mut self.returning {
            returning.ask_now(now);
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.hurry_heartbeat(now);
        }
        self.show_chain(out, memory, now);
        self.due.keeping = true;
        if self.group.roster().len() > 1 && out.send(&Message::Call).is_err() {
            self.fault.get_or_insert_with(|| crate::mls::Failure::of("a call is too long"));
        }
    }

    /// Whether an epoch that we lack was begun while we had no connection, so that it will not
    /// come.
    pub(super) fn was_away(&self) -> bool {
        self.connection == Connection::Anew && self.pending.is_empty()
    }

    /// The keeper was heard on the new connection.
    pub(super) fn note_connection(&mut self) {
        if self.connection == Connection::Anew {
            self.connection = Connection::Here;
        }
    }
}

impl Room {
    /// Tells the room that nobody hears it: its connection is lost. It then takes nothing over and
    /// founds nothing. A room counts as connected until this is said.
    pub fn handle_disconnected(&mut self, now: Instant) {
        let _ = self.at(now);
        match &mut self.phase {
            Phase::Present(_, seat) => seat.connection = Connection::Lost,
            Phase::Returning(absent) => absent.note_connection(Connection::Lost, self.now),
            Phase::Joining(_) | Phase::Over => {}
        }
    }

    /// Tells the room that it is connected again: it asks at once for what it may have missed.
    /// Messages that others sent meanwhile are lost.
    pub fn handle_connected(&mut self, now: Instant) {
        let now = self.at(now);
        match &mut self.phase {
            Phase::Present(memory, seat) => seat.be_connected(&mut self.out, memory, now),
            Phase::Returning(absent) => absent.note_connection(Connection::Anew, now),
            Phase::Joining(joining) => joining.knock_now(now),
            Phase::Over => {}
        }
        self.tend(now);
        self.publish(now);
        self.end_if_faulty();
    }
}
