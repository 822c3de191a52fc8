//! The keeper of a branch as others heard it: whom a returner may ask, and whom a member may show
//! what it knows (SPEC section 7, rules R3 and G4).

use std::time::Instant;

use crate::{
    id::IdentityKey,
    wire::{heartbeat::Beat, signed::Genuine},
};

/// A keeper that can be asked.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) key: IdentityKey,
    pub(super) door_key: Vec<u8>,
    pub(super) known_law: [u8; 32],
    /// The time that its heartbeat said, in Unix milliseconds.
    pub(super) time_ms: u64,
    pub(super) heard_at: Instant,
    /// It is the host that a Chain led to, whom the law that we know need not admit.
    pub(super) is_host: bool,
}

impl Target {
    pub(super) fn of(beat: &Genuine<Beat>, now: Instant) -> Self {
        let Beat { key, door_key, known_law, time_ms, .. } = beat.content();
        Self {
            key: *key,
            door_key: door_key.clone(),
            known_law: *known_law,
            time_ms: *time_ms,
            heard_at: now,
            is_host: false,
        }
    }
}
