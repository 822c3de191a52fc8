//! Taking app messages (`spec/messages.md`, Q1, Q4 to Q7, Q9 to Q11).

use std::{cmp::Ordering, time::Instant};

use super::{
    AppMessage, Audience, MessageKind,
    hands::Point,
    lane::{MAX_TRIED, MAX_TRIED_OF_ONE, Messages},
};
use crate::{
    group::codec::Malformed,
    id::{Epoch, IdentityKey, Leaf, MemberId},
    keys::secret::Secret,
    law::Rank,
    mls::{Purpose, Sealed},
    room::{
        error::ControlError, event::Event, memory::Memory, outbox::Outbox, seat::Seat, view::role_of,
        violation::Violation,
    },
    wire::app::{Again, App, Content, Note, Run, SealedKey, ToSome},
};

impl Seat {
    /// An app message, authenticated as from a leaf.
    pub(in crate::room) fn hear_app(
        &mut self,
        out: &mut Outbox,
        memory: &Memory,
        from: Leaf,
        app: App,
        now: Instant,
    ) -> Result<(), ControlError> {
        let sender = self.group.occupant_at(from).ok_or(ControlError::Malformed)?;
        let (id, key) = (sender.id, sender.key);
        if !memory.store.law().admits(&key) {
            return Err(ControlError::NotAMember);
        }
        let before = out.messages.heard.get(&id).copied();
        let missed = match before {
            Some((run, number)) if run == app.run && app.number <= number => {
                return Err(ControlError::Repeated);
            }
            Some((run, number)) if run == app.run => app.number - number - 1,
            Some(_) => app.number.saturating_sub(1),
            None => 0,
        };
        if app.number == 0 {
            return Err(ControlError::Malformed);
        }
        if out.messages.taken.is_full(&id, now) {
            return Err(ControlError::Flood);
        }
        let opened = match app.content {
            Content::Open(note) => Ok(Some((Audience::All, note))),
            Content::Sealed { keys, sealed } => {
                out.messages.try_keys(id, keys.len(), now)?;
                self.open_sealed(out.id(), from, &app.run, app.number, keys, &sealed)
            }
        };
        out.messages.taken.note(id, now);
        out.messages.heard.insert(id, (app.run, app.number));
        let opened = opened.map_err(|Malformed| ControlError::Malformed)?;
        let Some((audience, note)) = opened else { return Ok(()) };
        // Unknown kinds are ignored: newer versions may send them.
        let Some(kind) = MessageKind::of_wire(note.kind) else { return Ok(()) };
        match kind {
            MessageKind::HAND_RAISED | MessageKind::HAND_LOWERED if audience != Audience::All => {
                Err(ControlError::Malformed)
            }
            MessageKind::HAND_RAISED => self.hear_raised(out, id, &key, &note, now),
            MessageKind::HAND_LOWERED => self.hear_lowered(out, memory, from, &key, &note),
            _ if !kind.fits(&note.body) => Err(ControlError::Malformed),
            _ => {
                out.tell(Event::Message(AppMessage::new(id, audience, kind, note, app.number, missed)));
                Ok(())
            }
        }
    }

    /// Opens what is sealed to some, if one of the keys is ours.
    fn open_sealed(
        &self,
        own: MemberId,
        from: Leaf,
        run: &Run,
        number: u64,
        keys: Vec<SealedKey>,
        sealed: &[u8],
    ) -> Result<Option<(Audience, Note)>, Malformed> {
        let Some(pair) = self.group.own_pair() else { return Ok(None) };
        let aad =
            App::aad(self.group.group_id(), &self.group.branch(), from, self.group.own_leaf(), run, number);
        let open = |SealedKey { kem, key }| {
            let key = Sealed { kem_output: kem, sealed: key.to_vec() };
            pair.open(Purpose::App, &key, &aad).map(Secret::wrap)
        };
        let Some(content_key) = keys.into_iter().find_map(open) else { return Ok(None) };
        let content_key = content_key.bytes().try_into().map_err(|_| Malformed)?;
        let ToSome { audience, note } = ToSome::open(content_key, sealed)?;
        Ok(Some((Audience::of_byte(audience, own).ok_or(Malformed)?, note)))
    }

    /// Something that was said in an earlier epoch.
    pub(in crate::room) fn hear_again(
        &mut self,
        out: &mut Outbox,
        memory: &Memory,
        from: Leaf,
        again: &Again,
        now: Instant,
    ) -> Result<(), ControlError> {
        out.messages.forget_epochs(now);
        let lived = out.messages.epochs.iter().find(|lived| lived.branch == again.branch);
        let Some(lived) = lived else { return Ok(()) };
        let app = again.open(&lived.key).map_err(|Malformed| ControlError::Malformed)?;
        self.hear_app(out, memory, from, app, now)
    }

    fn hear_raised(
        &mut self,
        out: &mut Outbox,
        member: MemberId,
        key: &IdentityKey,
        note: &Note,
        now: Instant,
    ) -> Result<(), ControlError> {
        let said = Point::decode(&note.body).map_err(|Malformed| ControlError::Malformed)?;
        let at = if self.is_credible(out, said, now) { said } else { self.point(now) };
        let speaks = role_of(self.epoch_law.law(), key).0.may_speak();
        if out.messages.hands.raise(member, at, speaks) {
            out.tell(Event::Hand { member, raised: true, by: Some(member) });
        }
        Ok(())
    }

    /// Whether a hand may have gone up at a point, as far as we can tell (Q11).
    fn is_credible(&self, out: &Outbox, said: Point, now: Instant) -> bool {
        let own = self.point(now);
        match said.epoch.cmp(&own.epoch) {
            Ordering::Greater => false,
            Ordering::Equal => said.ms <= own.ms + AHEAD_MS && own.ms <= said.ms.saturating_add(BEHIND_MS),
            Ordering::Less if said.epoch < self.first_epoch => true,
            Ordering::Less => out.messages.began(said.epoch).is_some_and(|began| {
                let since = u64::try_from(now.saturating_duration_since(began).as_millis());
                since.is_ok_and(|since| said.ms <= since && since <= said.ms.saturating_add(BEHIND_MS))
            }),
        }
    }

    fn hear_lowered(
        &mut self,
        out: &mut Outbox,
        memory: &Memory,
        from: Leaf,
        key: &IdentityKey,
        note: &Note,
    ) -> Result<(), ControlError> {
        let by = key.id();
        let member = match &note.body[..] {
            [] => by,
            body => MemberId::from_bytes(body.try_into().map_err(|_| ControlError::Malformed)?),
        };
        if member != by && memory.store.law().rank_of(key) == Rank::None {
            return Err(self.report(out, Some(from), Violation::NoRight));
        }
        if out.messages.hands.lower(member) {
            out.tell(Event::Hand { member, raised: false, by: Some(by) });
        }
        Ok(())
    }
}

impl Messages {
    /// Notes that keys of a member are tried, if so many may be (Q7).
    fn try_keys(&mut self, of: MemberId, count: usize, now: Instant) -> Result<(), ControlError> {
        let tried = &mut self.tried;
        if tried.count(&of, now) + count > MAX_TRIED_OF_ONE || tried.total(now) + count > MAX_TRIED {
            return Err(ControlError::Flood);
        }
        (0..count).for_each(|_| tried.note(of, now));
        Ok(())
    }

    /// When an epoch began that we were in lately.
    fn began(&self, epoch: Epoch) -> Option<Instant> {
        Some(self.epochs.iter().rev().find(|lived| lived.epoch == epoch)?.began)
    }
}

/// How far a hand's point may be from our own (Q11).
const AHEAD_MS: u64 = 2_000;
const BEHIND_MS: u64 = 15_000;
