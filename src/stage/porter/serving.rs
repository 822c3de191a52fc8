//! What a porter does for who comes in, and for who sits there (`spec/stage.md`, H9 and 6.6).

use std::time::{Duration, Instant};

use super::{
    Desk, Out, Porter,
    cells::{Place, Seat, drawn},
    doors::{self, Verdict},
};
use crate::{
    defence::{Defence, holds},
    mls::{Purpose, SealingKey},
    random::Generator,
    stage::{
        StageEvent,
        chain::{Chain, Clock},
        envelope::Use,
        error::AudienceError,
        lane::{HallKey, HallLane},
        wire::{Admitted, AnswerContent, Asked, Down, Message, Sealed, Up, UpContent},
    },
    wire::answer::RefuseReason,
};

impl Porter {
    /// Takes what somebody in the audience, or before its doors, sent.
    ///
    /// # Errors
    /// [`AudienceError`] says why it did nothing.
    pub(in crate::stage) fn handle(
        &mut self,
        message: Message,
        (desk, clock, key): (&Desk, &Clock, &HallKey),
        out: &mut Out,
        rng: &mut Generator,
        now: Instant,
    ) -> Result<(), AudienceError> {
        match message {
            Message::Call => {
                self.foyer_at.get_or_insert(self.foyer_from.max(now));
                Ok(())
            }
            Message::Knock(sealed) if sealed.to == self.name => {
                self.handle_knock(&sealed, (desk, clock, key), out, rng, now)
            }
            Message::Up(up) if up.porter == self.name => {
                self.handle_up(&up, (desk, clock, key), out, rng, now)
            }
            Message::Knock(_) | Message::Up(_) => Err(AudienceError::OtherPorter),
            _ => Err(AudienceError::Malformed),
        }
    }

    pub(super) fn handle_knock(
        &mut self,
        sealed: &Sealed,
        (desk, clock, key): (&Desk, &Clock, &HallKey),
        out: &mut Out,
        rng: &mut Generator,
        now: Instant,
    ) -> Result<(), AudienceError> {
        let knock = self.doors.open(sealed, &self.sealing, &self.group_id, now)?;
        let tag = desk.law().tag(&knock.key);
        let seated = self.cells.place_of(&tag).and_then(|place| self.cells.seat(place));
        self.doors.screen(&knock, &tag, seated.map(|seat| seat.made_ms))?;
        let verdict = self.doors.judge(&knock, &tag, seated.is_some(), desk, now);
        let ticket = match verdict {
            Verdict::Refused(reason) => {
                let answer = doors::refused(reason);
                self.answer(&knock.one_use, knock.reply_to, &answer, desk, key, out, rng);
                return Err(AudienceError::Refused(reason));
            }
            Verdict::Admitted(ticket) => ticket,
        };
        let pair = drawn(rng);
        let step = self.step;
        let came = seated.is_none();
        let seat = Seat {
            key: knock.key,
            tag,
            name: knock.name.clone(),
            pair: Chain::new(step, doors::copy(&pair)),
            reply_to: knock.reply_to,
            made_ms: knock.made_ms,
            count: 0,
            hand: seated.and_then(|seat| seat.hand),
            came_at: now,
            heard_at: now,
            served_at: None,
        };
        let Some((place, cell_key)) = self.cells.put(seat, step, now, rng) else {
            let answer = doors::refused(RefuseReason::Full);
            self.answer(&knock.one_use, knock.reply_to, &answer, desk, key, out, rng);
            return Err(AudienceError::Refused(RefuseReason::Full));
        };
        let cell_key = doors::copy(cell_key);
        let shown = self.shown(now);
        let admitted = Admitted {
            terms: desk.known.terms().encode(),
            ticket,
            cell: place.cell,
            slot: place.slot,
            hall_ms: clock.elapsed_ms(now),
            step,
            pair,
            cell_key,
            shown,
        };
        let answer = AnswerContent::Admitted(Box::new(admitted));
        self.answer(&knock.one_use, knock.reply_to, &answer, desk, key, out, rng);
        if came {
            self.doors.count(&knock, &tag, desk);
            out.events.push_back(StageEvent::Came { member: knock.key.id(), name: knock.name });
        }
        Ok(())
    }

    pub(super) fn handle_up(
        &mut self,
        up: &Up,
        (desk, clock, key): (&Desk, &Clock, &HallKey),
        out: &mut Out,
        rng: &mut Generator,
        now: Instant,
    ) -> Result<(), AudienceError> {
        let place = Place { cell: up.cell, slot: up.slot };
        let seat = self.cells.seat_mut(place).ok_or(AudienceError::NotSeated)?;
        let content = seat.pair.open_bare(Use::Up, &up.sealed).ok_or(AudienceError::Undecryptable)?;
        let said = UpContent::decode(content.bytes()).map_err(|_| AudienceError::Malformed)?;
        if said.count <= seat.count {
            return Err(AudienceError::Repeated);
        }
        (seat.count, seat.heard_at) = (said.count, now);
        let (tag, member, reply_to) = (seat.tag, seat.member(), seat.reply_to);
        let dear = !matches!(said.asked, Asked::Hand(_) | Asked::Leave);
        let paced = dear && holds(Defence::HallPace);
        if paced && seat.served_at.is_some_and(|at| now.saturating_duration_since(at) < BETWEEN_ANSWERS) {
            return Err(AudienceError::Flood);
        }
        if dear {
            seat.served_at = Some(now);
        }
        match said.asked {
            Asked::Hand(up) if up != seat.hand.is_some() => {
                seat.hand = up.then_some(now);
                out.events.push_back(StageEvent::Hand { member, up });
            }
            Asked::Hand(_) => {}
            Asked::Leave => {
                self.cells.remove(&tag);
                out.events.push_back(StageEvent::Went { member, put_out: None });
            }
            // What it lacks is not here yet: our turn will tell it.
            Asked::Keys(n) if self.newest() <= n => {}
            Asked::Keys(_) => {
                let keys = self.keys(place, now).ok_or(AudienceError::NotSeated)?;
                self.say(place, &keys, key, out, rng);
            }
            Asked::Fresh(one_use) => {
                let (step, fresh) = (self.step, drawn(rng));
                let answer = AnswerContent::Fresh { step, key: doors::copy(&fresh) };
                let sealed = self.seal_answer(&one_use, reply_to, &answer, desk);
                let sealed = sealed.ok_or(AudienceError::Malformed)?;
                self.say(place, &Down::Fresh(sealed), key, out, rng);
                self.cells.heal(place, step, fresh);
            }
            Asked::Page(number) => {
                if !self.may_answer_long(now) {
                    return Err(AudienceError::Flood);
                }
                let page = self.cells.page(number).ok_or(AudienceError::Malformed)?;
                self.say(place, &Down::Page(page), key, out, rng);
            }
            // Whoever waits for it receives the foyer too: once there is enough for all.
            Asked::Programme if !self.may_answer_long(now) => {
                self.wanted = true;
                self.foyer_at.get_or_insert(self.foyer_from.max(now));
            }
            Asked::Programme => {
                let programme = Message::Programme((*self.programme).clone());
                self.send(HallLane::Own(reply_to), &programme, key, out, rng);
            }
        }
        let _ = clock;
        Ok(())
    }

    /// Whether there is room for one more long answer in this second: anybody can ask for them.
    fn may_answer_long(&mut self, now: Instant) -> bool {
        let (since, count) = &mut self.long;
        if since.is_none_or(|since| now.saturating_duration_since(since) >= Duration::from_secs(1)) {
            (*since, *count) = (Some(now), 0);
        }
        *count = count.saturating_add(1);
        *count <= MAX_LONG
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one answer")]
    pub(super) fn answer(
        &self,
        one_use: &[u8],
        reply_to: [u8; 16],
        answer: &AnswerContent,
        desk: &Desk,
        key: &HallKey,
        out: &mut Out,
        rng: &mut Generator,
    ) {
        if let Some(sealed) = self.seal_answer(one_use, reply_to, answer, desk) {
            self.send(HallLane::Own(reply_to), &Message::Answer(sealed), key, out, rng);
        }
    }

    pub(super) fn seal_answer(
        &self,
        one_use: &[u8],
        reply_to: [u8; 16],
        answer: &AnswerContent,
        desk: &Desk,
    ) -> Option<Sealed> {
        let to = SealingKey::from_bytes(desk.known.terms().key_exchange, one_use)?;
        let aad = doors::answer_aad(&self.group_id, &reply_to, one_use);
        let sealed = to.seal(Purpose::HallAnswer, answer.encode().bytes(), &aad).ok()?;
        Some(Sealed { to: reply_to, kem: sealed.kem_output, sealed: sealed.sealed })
    }
}

/// How far apart the dear answers to one listener are.
const BETWEEN_ANSWERS: Duration = Duration::from_millis(900);
/// Pages and programmes that a porter sends to single listeners in a second.
const MAX_LONG: u32 = 16;
