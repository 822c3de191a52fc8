//! What a door says to whoever knocked (SPEC section 7, rules D3 to D6).

use std::time::Instant;

use super::{Admitted, Doors};
use crate::{
    law::Store,
    room::{
        outbox::{Outbox, own_key},
        sealing::send_answer,
        shown,
    },
    wire::{
        answer::{AnswerContent, Receipt, RefuseReason, Refused},
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
