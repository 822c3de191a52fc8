//! Answers to whoever knocks, shows or returns: sealed to the key that it sent (`spec/control.md`).

use super::outbox::Outbox;
use crate::{
    group::KeyExchange,
    law::Store,
    mls::{Purpose, SealingKey},
    wire::{
        answer::{Answer, AnswerContent},
        message::Message,
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
