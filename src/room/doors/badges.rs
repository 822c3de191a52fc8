//! Badges of doors, and how many words an open door may use (SPEC section 7, rules D2 and D4).

use crate::{
    law::{Law, Rank, Register, Store},
    room::outbox::{Outbox, own_key},
    wire::{door::Badge, signed::Signed},
};

/// Signs the badge of a door, as the host.
pub(in crate::room) fn badge(out: &Outbox, store: &Store, answer_key: [u8; 32]) -> Signed<Badge> {
    let law = store.law();
    let badge = Badge { answer_key, office: law.office().0, no: law.table_no().unwrap_or(0) };
    Signed::badge(badge, &out.identity, &store.known().group_id().0)
}

/// Whether an open door may sign one more admission: it leaves words to its user (D4). The host has
/// tables.
pub(in crate::room) fn has_spare_words(law: &Law, out: &Outbox) -> bool {
    let own = own_key(out);
    law.rank_of(&own) == Rank::Host || law.spoken(&own, Register::Role) < OPEN_DOOR_WORDS
}

/// About so many tags a moderator has said roles when its open door asks its user instead.
const OPEN_DOOR_WORDS: usize = 192;
