//! What a listener does with what comes on its lanes (`spec/stage.md`, section 3).

use std::time::{Duration, Instant};

use super::{
    Listener, RENEW,
    joining::{open_answer, random_within},
    place::Place,
};
use crate::{
    law::Terms,
    media::{Authenticity, OpenRekey},
    stage::{
        card::Programme,
        chain::{Clock, GRACE},
        envelope::{self, Use},
        error::AudienceError,
        event::{ListenerEvent, Over},
        lane::{HallKey, HallLane},
        tuner::Tuner,
        wire::{Admitted, AnswerContent, Asked, Down, Message, Page, Sealed},
    },
    wire::{answer::RefuseReason, invite::Invite},
};

impl Listener {
    pub(super) fn take(&mut self, lane: HallLane, bytes: &[u8], now: Instant) -> Result<(), AudienceError> {
        match lane {
            HallLane::Doors | HallLane::Porter(_) => Err(AudienceError::Lane),
            HallLane::Own(number) if number == self.reply_to => self.take_own(bytes, now),
            HallLane::Cell { porter, cell } => {
                let ours = self.place.as_mut().filter(|place| place.porter == porter && place.cell == cell);
                let place = ours.ok_or(AudienceError::Lane)?;
                if let Some(taken) = place.hear_cell(bytes, now) {
                    return taken;
                }
                match open(&self.key, bytes)? {
                    Message::Bundle(bundle) => place.hear_bundle(&bundle, now),
                    _ => Err(AudienceError::Lane),
                }
            }
            HallLane::Hall | HallLane::Foyer => match open(&self.key, bytes)? {
                Message::Door(door) => self.doors.hear_door(door, now),
                Message::Chain(tables) => self.doors.hear_chain(&tables, now),
                Message::Beat(beat) => {
                    self.doors.hear_beat(beat.clone(), now)?;
                    let Some(place) = &mut self.place else { return Ok(()) };
                    place.hear_beat(&beat, now);
                    self.take_early(now)
                }
                Message::Programme(programme) => self.hear_programme(programme, now),
                _ => Err(AudienceError::Lane),
            },
            HallLane::Own(_) => Err(AudienceError::Lane),
        }
    }

    pub(super) fn take_own(&mut self, bytes: &[u8], now: Instant) -> Result<(), AudienceError> {
        let down = self.place.as_ref().and_then(|place| place.pair.open(Use::Down, bytes));
        if let Some(content) = down {
            let is_new = |place: &mut Box<Place>| bytes.first_chunk().is_some_and(|salt| place.is_new(salt));
            if !self.place.as_mut().is_some_and(is_new) {
                return Err(AudienceError::Repeated);
            }
            let down = Down::decode(content.bytes()).map_err(|_| AudienceError::Malformed)?;
            return self.hear_down(down, now);
        }
        match open(&self.key, bytes)? {
            Message::Answer(answer) => self.hear_answer(answer, now),
            Message::Programme(programme) => self.hear_programme(programme, now),
            _ => Err(AudienceError::Lane),
        }
    }

    pub(super) fn hear_programme(&mut self, programme: Programme, now: Instant) -> Result<(), AudienceError> {
        self.early = Some(programme);
        if self.place.is_some() { self.take_early(now) } else { Ok(()) }
    }

    /// A programme counts once somebody of rank has named it.
    pub(super) fn take_early(&mut self, now: Instant) -> Result<(), AudienceError> {
        let Some(place) = &mut self.place else { return Ok(()) };
        let Some(programme) = self.early.take() else { return Ok(()) };
        match place.hear_programme(programme.clone(), now) {
            Err(AudienceError::Repeated) => {
                self.early = Some(programme);
                Ok(())
            }
            taken => taken,
        }
    }

    pub(super) fn hear_answer(&mut self, answer: Sealed, now: Instant) -> Result<(), AudienceError> {
        let joining = self.joining.as_mut().ok_or(AudienceError::Repeated)?;
        let opened = joining.hear(answer, &self.invite.group_id);
        let (porter, asked_at, content) = opened.ok_or(AudienceError::Undecryptable)?;
        match content {
            AnswerContent::Admitted(admitted) => self.enter(*admitted, porter, asked_at, now),
            AnswerContent::Waiting => {
                self.events.push_back(ListenerEvent::Waiting);
                Ok(())
            }
            AnswerContent::Refused(reason) => {
                if let Some(known) = self.doors.get_mut(&porter) {
                    known.refused = Some(reason);
                }
                self.end_if_refused(reason, now);
                Ok(())
            }
            AnswerContent::Fresh { .. } => Err(AudienceError::Malformed),
        }
    }

    /// All doors that we know have refused us, and others have had time to show themselves.
    pub(super) fn end_if_refused(&mut self, reason: RefuseReason, now: Instant) {
        let all = self.doors.iter().all(|known| known.refused.is_some());
        let tried = self.joining.as_ref().is_some_and(|joining| joining.since() + REFUSED_AFTER <= now);
        if all && (tried || self.doors.iter().len() > 1) {
            self.end(Over::Refused(reason));
        }
    }

    pub(super) fn enter(
        &mut self,
        admitted: Admitted,
        porter: [u8; 16],
        asked_at: Instant,
        now: Instant,
    ) -> Result<(), AudienceError> {
        let terms = Terms::decode(&admitted.terms).map_err(|_| AudienceError::Malformed)?;
        let ours = terms.group_id().0 == self.invite.group_id && terms.sound == self.invite.sound;
        if !ours || terms.authenticity != Authenticity::Signed {
            return Err(AudienceError::Malformed);
        }
        // Never behind: what the porter said is at least as old as our question is not.
        let told = Duration::from_millis(admitted.hall_ms) + now.saturating_duration_since(asked_at);
        let mut clock = Clock::told(told, now);
        if !clock.is_near(admitted.step, now) {
            return Err(AudienceError::Malformed);
        }
        let moved = self.place.is_some();
        let fresh = || Tuner::new(terms.suite, terms.packet_size, self.invite.group_id);
        let newest = admitted.shown.0.last().map_or(0, |(base, _)| base.name.n);
        let (tuner, programmes) = match self.place.take() {
            Some(place) => {
                // What the porter before made up, a clock or an epoch, does not come along.
                let ahead = place.clock.elapsed(now) > clock.elapsed(now) + GRACE;
                let made_up = newest > 0 && place.tuner.newest() > newest && !place.is_confirmed();
                let (tuner, programmes, old) = place.into_tuner();
                if ahead || made_up {
                    self.rekeys.push_back(OpenRekey::close());
                    (fresh(), programmes)
                } else {
                    clock.catch_up(old.elapsed(now), now);
                    (tuner, programmes)
                }
            }
            None => (fresh(), Vec::new()),
        };
        let renew_at = now + RENEW + random_within(RENEW, &mut self.rng);
        self.ticket = Some(admitted.ticket.clone());
        let place = Place::new(
            admitted,
            porter,
            (tuner, programmes),
            terms.suite,
            clock,
            self.invite.group_id,
            (renew_at, now),
        );
        self.place = Some(Box::new(place));
        self.joining = None;
        if self.hand {
            let _ = self.ask(Asked::Hand(true), now);
        }
        let beats: Vec<_> = self.doors.iter().filter_map(|known| known.beat.clone()).collect();
        if let Some(place) = &mut self.place {
            beats.iter().for_each(|(beat, _)| place.hear_beat(beat, now));
            if moved {
                place.give_up(now);
            }
        }
        self.take_early(now)
    }

    pub(super) fn hear_down(&mut self, down: Down, now: Instant) -> Result<(), AudienceError> {
        let Some(place) = &mut self.place else { return Err(AudienceError::NotSeated) };
        match down {
            Down::Keys { step, cell_key, shown } => return place.take_keys(step, cell_key, shown, now),
            Down::Fresh(sealed) => {
                let (one_use, _) = place.one_use.take().ok_or(AudienceError::Repeated)?;
                match open_answer(&one_use, sealed, &self.invite.group_id) {
                    Some(AnswerContent::Fresh { step, key }) if place.clock.is_near(step, now) => {
                        place.pair.replace(step, key);
                        place.renew_at = now + RENEW + random_within(RENEW, &mut self.rng);
                    }
                    _ => return Err(AudienceError::Undecryptable),
                }
            }
            Down::Page(page) => return self.hear_page(page),
            Down::Up(link) => {
                let text = std::str::from_utf8(link.bytes()).map_err(|_| AudienceError::Malformed)?;
                let invite: Invite = text.parse().map_err(|_| AudienceError::Malformed)?;
                if invite.group_id != self.invite.group_id {
                    return Err(AudienceError::Malformed);
                }
                self.hand = false;
                self.events.push_back(ListenerEvent::Up(Box::new(invite)));
            }
            Down::Out(reason) => self.end(Over::PutOut(reason)),
        }
        Ok(())
    }

    /// A page counts if it is one of those whose hashes the porter's beat signs.
    pub(super) fn hear_page(&mut self, page: Page) -> Result<(), AudienceError> {
        let Some(place) = &mut self.place else { return Err(AudienceError::NotSeated) };
        place.page.take_if(|number| *number == page.number).ok_or(AudienceError::Repeated)?;
        let beat = self.doors.get(&place.porter).and_then(|known| known.beat.as_ref());
        let signed = beat.is_some_and(|(beat, _)| beat.roster == Page::roster(&page.hashes));
        if !signed || page.hashes.get(page.number as usize) != Some(&page.hash()) {
            return Err(AudienceError::Signature);
        }
        let people = page.people.into_iter().map(|(_, key, name)| (key.id(), name)).collect();
        self.events.push_back(ListenerEvent::Page { number: page.number, people });
        Ok(())
    }
}

fn open(key: &HallKey, bytes: &[u8]) -> Result<Message, AudienceError> {
    let content = envelope::open(&key.0, Use::Lane, bytes).ok_or(AudienceError::Envelope)?;
    Message::decode(content.bytes()).map_err(|_| AudienceError::Malformed)
}

const REFUSED_AFTER: Duration = Duration::from_secs(3);
