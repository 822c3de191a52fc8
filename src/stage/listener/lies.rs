//! What tests and the fuzzer take from a listener, and have it say.

use std::time::Instant;

use super::Listener;
use crate::stage::{
    chain::Chain,
    wire::{Asked, Ticket},
};

impl Listener {
    /// The chain of our cell, for whoever plays a listener that lies.
    pub(in crate::stage) fn cell_chain(&self) -> Option<Chain> {
        self.place.as_ref().map(|place| place.copy_chain())
    }

    /// Our own chain, for whoever plays a porter that lies.
    pub(in crate::stage) fn pair_chain(&self) -> Option<Chain> {
        self.place.as_ref().map(|place| place.copy_pair())
    }

    /// Says this to our porter, true or not.
    pub(in crate::stage) fn claim(&mut self, asked: Asked, now: Instant) {
        let _ = self.ask(asked, now);
    }

    pub(in crate::stage) fn ticket(&self) -> Option<Ticket> {
        self.ticket.clone()
    }

    /// Shows this ticket with the next knock.
    pub(in crate::stage) fn hold_ticket(&mut self, ticket: Ticket) {
        self.ticket = Some(ticket);
    }
}
