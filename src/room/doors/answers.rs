//! What a door says to whoever knocked (SPEC section 7, rules D3 to D6).

use super::Doors;
use crate::{
    group::KeyExchange,
    law::{Law, Rank, Register, Store},
    mls::{Purpose, SealingKey},
    room::{commands::own_key, outbox::Outbox, shown},
    wire::{
        answer::{Answer, AnswerContent, Receipt, RefuseReason, Refused},
        door::Badge,
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

/// Signs the badge of a door, as the host.
pub(in crate::room) fn badge(out: &Outbox, store: &Store, answer_key: [u8; 32]) -> Signed<Badge> {
    let law = store.law();
    let badge = Badge { answer_key, office: law.office().0, no: law.table_no().unwrap_or(0) };
    Signed::badge(badge, &out.identity, &store.known().group_id().0)
}

/// Whether an open door may sign one more admission: it leaves words to its user (D4). The host has tables.
pub(in crate::room) fn has_spare_words(law: &Law, out: &Outbox) -> bool {
    let own = own_key(out);
    law.rank_of(&own) == Rank::Host || law.spoken(&own, Register::Role) < OPEN_DOOR_WORDS
}

/// About so many tags a moderator has said roles when its open door asks its user instead.
const OPEN_DOOR_WORDS: usize = 192;
