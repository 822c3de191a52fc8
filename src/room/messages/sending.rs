//! Saying app messages, and saying them again (`spec/messages.md`, Q2, Q5, Q7, Q9, Q12).

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use rand::seq::SliceRandom;
use zeroize::Zeroize;

use super::{
    Audience, MessageKind, SendError,
    hands::Point,
    lane::{AGAIN_FOR, Sent},
};
use crate::{
    id::{Leaf, MemberId},
    law::Rank,
    media::SilenceReason,
    mls::{Failure, Purpose},
    room::{
        event::Event,
        memory::Memory,
        outbox::{Outbox, own_key},
        seat::Seat,
        view::role_of,
    },
    wire::{
        app::{Again, App, Content, MAX_BODY, MAX_RECIPIENTS, Note, SealedKey, ToSome},
        saying::Saying,
    },
};

impl Seat {
    /// Writes to `audience`, and says the number of the message.
    pub(super) fn send_app(
        &mut self,
        out: &mut Outbox,
        memory: &Memory,
        audience: Audience,
        kind: MessageKind,
        body: &[u8],
        now: Instant,
    ) -> Result<u64, SendError> {
        if body.len() > MAX_BODY {
            return Err(SendError::Body);
        }
        if let Some(reason) = self.may_not_write(memory, now) {
            return Err(SendError::Silent(reason));
        }
        let to = self.recipients(audience)?;
        if !out.messages.said.take((), now) {
            let free = out.messages.said.free_at(&(), now);
            return Err(SendError::TooOften(free.saturating_duration_since(now)));
        }
        let note = Note { kind: kind.wire(), body: body.to_vec() };
        let (number, branch) = (out.messages.number + 1, self.group.branch());
        let content = if to.is_empty() {
            Content::Open(note.clone())
        } else {
            self.seal(out, number, audience, &to, &note)?
        };
        out.messages.number = number;
        let run = out.messages.run;
        self.say(out, &Saying::App(App { run, number, content }));
        if out.messages.sent.len() >= MAX_AGAIN {
            out.messages.sent.pop_front();
        }
        out.messages.sent.push_back(Sent { at: now, branch, number, audience, to, note, times: 0 });
        Ok(number)
    }

    /// Why nothing may be written at the moment (Q2).
    fn may_not_write(&self, memory: &Memory, now: Instant) -> Option<SilenceReason> {
        let out = self.liveness.out_since().map(|_| SilenceReason::AwaitingRemoval);
        out.or_else(|| self.liveness.silence(&self.view(memory, now)))
    }

    /// To whom something is sealed: nobody if it is to all.
    fn recipients(&self, audience: Audience) -> Result<Vec<MemberId>, SendError> {
        if audience == Audience::All {
            return Ok(Vec::new());
        }
        let others = self.members.iter().filter(|member| !member.is_self);
        let meant = others.filter(|member| audience.includes(member.id, member.role)).map(|member| member.id);
        let meant: Vec<MemberId> = meant.take(MAX_RECIPIENTS + 1).collect();
        match meant.len() {
            0 => Err(SendError::Nobody),
            1..=MAX_RECIPIENTS => Ok(meant),
            _ => Err(SendError::TooMany),
        }
    }

    /// Seals a note to those of `to` who are here.
    fn seal(
        &self,
        out: &mut Outbox,
        number: u64,
        audience: Audience,
        to: &[MemberId],
        note: &Note,
    ) -> Result<Content, Failure> {
        let mut content_key: [u8; 32] = out.random();
        let (run, branch, own) = (out.messages.run, self.group.branch(), self.group.own_leaf());
        let mut leaves: Vec<Leaf> =
            to.iter().filter_map(|member| Some(self.group.occupant(*member)?.leaf)).collect();
        leaves.shuffle(&mut out.rng);
        let seal = |leaf: Leaf| {
            let key = self.group.sealing_key_of(leaf).ok_or_else(|| Failure::of("a leaf is gone"))?;
            let aad = App::aad(self.group.group_id(), &branch, own, leaf, &run, number);
            let sealed = key.seal(Purpose::App, &content_key, &aad)?;
            let key = sealed.sealed.try_into().map_err(|_| Failure::of("a sealed key has another length"))?;
            Ok(SealedKey { kem: sealed.kem_output, key })
        };
        let keys = leaves.into_iter().map(seal).collect::<Result<_, Failure>>();
        let sealed = ToSome { audience: audience.to_some(), note: note.clone() }.seal(&content_key);
        content_key.zeroize();
        Ok(Content::Sealed { keys: keys?, sealed })
    }

    /// An epoch has begun: what was said a moment ago is said again (Q9), hands are looked through
    /// (Q11), and our own is to be said again for newcomers (Q12).
    pub(in crate::room) fn enter_messages(
        &mut self,
        out: &mut Outbox,
        memory: &Memory,
        added: &[MemberId],
        now: Instant,
    ) {
        let here: BTreeSet<MemberId> = self.group.roster().iter().map(|member| member.id).collect();
        out.messages.heard.retain(|member, _| here.contains(member));
        let law = self.epoch_law.law();
        let speaks = |member: MemberId| {
            let occupant = self.group.occupant(member).filter(|_| !added.contains(&member))?;
            Some(role_of(law, &occupant.key).0.may_speak())
        };
        for member in out.messages.hands.review(speaks) {
            out.tell(Event::Hand { member, raised: false, by: None });
        }
        if !added.is_empty() && out.messages.hands.raised(out.id()).is_some() {
            let spread = Duration::from_millis((u32::from_be_bytes(out.random()) % 5_000).into());
            let hands = &mut out.messages.hands;
            let soonest = hands.said_at.map_or(now, |said| said + HANDS_APART);
            hands.again_at.get_or_insert((now + spread).max(soonest));
        }
        out.messages.forget_epochs(now);
        if out.messages.sent.is_empty() || self.may_not_write(memory, now).is_some() {
            return;
        }
        for mut sent in std::mem::take(&mut out.messages.sent) {
            if sent.branch != self.group.branch() && sent.times < MAX_TIMES && now < sent.at + AGAIN_FOR {
                sent.times += 1;
                self.say_again(out, &sent);
            }
            out.messages.sent.push_back(sent);
        }
    }

    fn say_again(&mut self, out: &mut Outbox, sent: &Sent) {
        let (run, number) = (out.messages.run, sent.number);
        let saying = if sent.to.is_empty() {
            let salt = out.random();
            let Some(lived) = out.messages.epochs.iter().find(|lived| lived.branch == sent.branch) else {
                return;
            };
            Saying::Again(Again::new(&run, number, &sent.note, sent.branch, &lived.key, salt))
        } else {
            match self.seal(out, number, sent.audience, &sent.to, &sent.note) {
                Ok(Content::Sealed { keys, .. }) if keys.is_empty() => return,
                Ok(content) => Saying::App(App { run, number, content }),
                Err(_) => return,
            }
        };
        self.say(out, &saying);
    }

    /// The present moment by the step clock.
    pub(super) fn point(&self, now: Instant) -> Point {
        let ms = u64::try_from(self.schedule.elapsed(now).as_millis()).unwrap_or(u64::MAX);
        Point { epoch: self.group.epoch(), ms }
    }

    pub(super) fn raise_own(
        &mut self,
        out: &mut Outbox,
        memory: &Memory,
        now: Instant,
    ) -> Result<(), SendError> {
        let own = out.id();
        if out.messages.hands.raised(own).is_some() {
            return Ok(());
        }
        let at = self.point(now);
        self.send_app(out, memory, Audience::All, MessageKind::HAND_RAISED, &at.encode(), now)?;
        let speaks = role_of(self.epoch_law.law(), &own_key(out)).0.may_speak();
        out.messages.hands.raise(own, at, speaks);
        out.messages.hands.said_at = Some(now);
        out.tell(Event::Hand { member: own, raised: true, by: Some(own) });
        Ok(())
    }

    pub(super) fn lower(
        &mut self,
        out: &mut Outbox,
        memory: &Memory,
        of: MemberId,
        now: Instant,
    ) -> Result<(), SendError> {
        let own = out.id();
        if of != own && memory.store.law().rank_of(&own_key(out)) == Rank::None {
            return Err(SendError::NoRank);
        }
        if out.messages.hands.raised(of).is_none() {
            return Ok(());
        }
        let body: &[u8] = if of == own { &[] } else { of.as_bytes() };
        self.send_app(out, memory, Audience::All, MessageKind::HAND_LOWERED, body, now)?;
        out.messages.hands.lower(of);
        out.tell(Event::Hand { member: of, raised: false, by: Some(own) });
        Ok(())
    }

    /// Says our raised hand again, if it is due.
    pub(in crate::room) fn tend_hands(&mut self, out: &mut Outbox, memory: &Memory, now: Instant) {
        if out.messages.hands.again_at.is_none_or(|at| at > now) {
            return;
        }
        out.messages.hands.again_at = None;
        let Some(at) = out.messages.hands.raised(out.id()) else { return };
        match self.send_app(out, memory, Audience::All, MessageKind::HAND_RAISED, &at.encode(), now) {
            Ok(_) => out.messages.hands.said_at = Some(now),
            Err(_) => out.messages.hands.again_at = Some(now + HANDS_LATER),
        }
    }
}

impl Outbox {
    pub(in crate::room) fn hands_at(&self) -> Option<Instant> {
        self.messages.hands.again_at
    }
}

/// The newest messages that are said again, and how often each (Q9).
const MAX_AGAIN: usize = 8;
const MAX_TIMES: u8 = 3;
const HANDS_APART: Duration = Duration::from_secs(30);
/// Messages that could not be sent are tried again then.
const HANDS_LATER: Duration = Duration::from_secs(5);
