//! Messages that are sealed to one key: answers to whoever knocks, shows or returns, and Shows to
//! keepers (`spec/control.md`, 14.5).

use super::outbox::Outbox;
use crate::{
    group::KeyExchange,
    law::Store,
    mls::{Failure, Purpose, SealingKey},
    wire::{
        answer::{Answer, AnswerContent},
        door::door_name,
        message::Message,
        show::{Show, ShowContent},
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

/// Seals a Show to a keeper's door key, and queues it.
pub(super) fn send_show(
    out: &mut Outbox,
    key_exchange: KeyExchange,
    group_id: &[u8; 32],
    door_key: &[u8],
    reference: [u8; 32],
    content: ShowContent,
) -> Result<(), Failure> {
    let signed = Signed::show(content, &out.identity, group_id, door_key, &reference);
    let aad = Show::aad(group_id, door_key, &reference);
    // A key that nothing can be sealed to is a lie of its keeper: others are asked next.
    let Some(key) = SealingKey::from_bytes(key_exchange, door_key) else { return Ok(()) };
    let Ok(sealed) = key.seal(Purpose::Show, &signed.encode(), &aad) else { return Ok(()) };
    let show = Show { door: door_name(door_key), reference, kem: sealed.kem_output, sealed: sealed.sealed };
    out.send(&Message::Show(show)).map_err(|_| Failure::of("a Show is too long"))
}
