//! What a door says to whoever knocked (SPEC section 7, rules D3 to D6).

use std::time::Instant;

use super::{Admitted, Doors};
use crate::{
    group::KeyExchange,
    law::Store,
    mls::{Purpose, SealingKey},
    room::{commands::own_key, outbox::Outbox, shown},
    wire::{
        answer::{Answer, AnswerContent, Receipt, RefuseReason, Refused},
        message::Message,
        signed::Signed,
    },
};

impl Doors {
    pub(super) fn say_waiting(&self, out: &mut Outbox, store: &Store, one_use: &[u8], reference: [u8; 32]) {
        let group_id = store.known().group_id().0;
        let waiting = Signed::waiting(reference, &self.answer, &group_id);
        self.answer(out, store, one_use, reference, &AnswerContent::Waiting(waiting));
    }

    pub(super) fn refuse_with(
        &mut self,
        out: &mut Outbox,
        store: &Store,
        one_use: &[u8],
        reference: [u8; 32],
        reason: RefuseReason,
    ) {
        self.answered.note(reference);
        let refused = Refused { reference, reason };
        let refused = Signed::refused(refused, &self.answer, &store.known().group_id().0);
        self.answer(out, store, one_use, reference, &AnswerContent::Refused(refused));
    }

    /// Refuses somebody whom the door let in by itself, and whom the law has no place for.
    pub(in crate::room) fn refuse_full(
        &mut self,
        out: &mut Outbox,
        store: &Store,
        refused: &Admitted,
        now: Instant,
    ) {
        self.tell_refused(out, Some(&refused.candidate), RefuseReason::Full, now);
        self.refuse_with(out, store, &refused.one_use, refused.reference, RefuseReason::Full);
    }

    /// Seals the word of somebody of rank that lets a newcomer believe the room.
    pub(in crate::room) fn send_receipt(
        &self,
        out: &mut Outbox,
        store: &Store,
        one_use: &[u8],
        reference: [u8; 32],
    ) {
        let (law, group_id) = (store.law(), store.known().group_id().0);
        let receipt = Receipt {
            key: own_key(out),
            reference,
            office: law.office().0,
            no: law.table_no().unwrap_or(0),
            standings: shown::that_put_out(store.known()),
        };
        let receipt = Signed::receipt(receipt, &out.identity, &group_id);
        self.answer(out, store, one_use, reference, &AnswerContent::Receipt(receipt));
    }

    /// An answer that cannot be sealed or sent is asked for again by the next knock.
    fn answer(
        &self,
        out: &mut Outbox,
        store: &Store,
        one_use: &[u8],
        reference: [u8; 32],
        content: &AnswerContent,
    ) {
        send_answer(out, store, self.key_exchange, one_use, reference, content);
    }
}

/// Seals an answer to the one-use key of a knock, Show or Return.
pub(in crate::room) fn send_answer(
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
