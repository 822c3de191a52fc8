//! Answers to whoever knocks, shows or returns: sealed to the key that it sent (`spec/control.md`).

use super::outbox::{Outbox, own_key};
use crate::{
    group::KeyExchange,
    law::{Law, Rank, Register, Store},
    mls::{Purpose, SealingKey},
    wire::{
        answer::{Answer, AnswerContent},
        door::Badge,
        message::Message,
        signed::Signed,
    },
};

/// Seals an answer to the one-use key of a knock, Show or Return.
pub(super) fn send_answer(
    out: &mut Outbox,
    store: &Store,
    key_exchange: KeyExchange,
    one_use: &[u8],
    reference: [u8; 32],
    content: &AnswerContent,
) {
    let aad = Answer::aad(&store.known().group_id().0, &reference);
    let Some(key) = SealingKey::from_bytes(key_exchange, one_use) else { return };
    if let Ok(sealed) = key.seal(Purpose::Answer, &content.encode(), &aad) {
        let answer = Answer { reference, kem: sealed.kem_output, sealed: sealed.sealed };
        let _ = out.send(&Message::Answer(answer));
    }
}

/// Signs the badge of a door, as the host.
pub(super) fn badge(out: &Outbox, store: &Store, answer_key: [u8; 32]) -> Signed<Badge> {
    let law = store.law();
    let badge = Badge { answer_key, office: law.office().0, no: law.table_no().unwrap_or(0) };
    Signed::badge(badge, &out.identity, &store.known().group_id().0)
}

/// Whether an open door may sign one more admission: it leaves words to its user (D4). The host has
/// tables.
pub(super) fn has_spare_words(law: &Law, out: &Outbox) -> bool {
    let own = own_key(out);
    law.rank_of(&own) == Rank::Host || law.spoken(&own, Register::Role) < OPEN_DOOR_WORDS
}

/// About so many tags a moderator has said roles when its open door asks its user instead.
const OPEN_DOOR_WORDS: usize = 192;
