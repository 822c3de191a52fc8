//! Heartbeats and calls: what a member does when a keeper says that it is there, and what a keeper
//! does when somebody asks for that (SPEC section 7, rules B1 to B6 and K5).

use std::time::{Duration, Instant};

use super::{
    error::ControlError,
    judge::{Verdict, judge},
    memory::Memory,
    outbox::Outbox,
    returning::Returning,
    seat::{Outcome, Seat},
    target::Target,
    turns::SILENT_AFTER,
    words::answers,
};
use crate::id::IdentityKey;
use crate::wire::{
    heartbeat::{Beat, Heartbeat},
    message::{MAX_CHAIN, Message},
    saying::Saying,
    signed::Genuine,
    statements::Statements,
};

impl Seat {
    /// A heartbeat, of our keeper or of another branch.
    pub(super) fn hear_heartbeat(
        &mut self,
        out: &mut Outbox,
        memory: &mut Memory,
        heartbeat: &Heartbeat,
        now: Instant,
    ) -> Result<Outcome, ControlError> {
        let beat = open_beat(memory, heartbeat, None)?;
        let by = beat.content().key.id();
        if by == out.id() {
            return Err(ControlError::Own);
        }
        let made = out.skew.hear(by, beat.content().time_ms, Duration::ZERO, now);
        if Some(by) == self.keeper_id {
            self.stated.note((beat.content().epoch.0, beat.content().branch));
        }
        let lacking = self.liveness.lacking_since();
        if Some(by) != self.keeper_id {
            self.rivals.hear(by, made, now);
        }
        let verdict = judge(
            &beat,
            made,
            &self.view(memory, now),
            &self.turns,
            &self.rivals,
            self.entered_at,
            lacking,
            self.is_unheard(now),
        );
        match verdict {
            Verdict::Ours => {
                self.liveness.note_abreast();
                self.hear_keeper(out, memory, &beat, made, now);
            }
            Verdict::Behind { lost } => {
                let next = (beat.content().epoch.0, beat.content().branch);
                if self
                    .group
                    .prepared_branch()
                    .is_some_and(|branch| (self.group.epoch().0 + 1, branch) == next)
                {
                    self.merge_prepared(out, memory, now);
                    self.hear_keeper(out, memory, &beat, made, now);
                } else if let outcome @ (Outcome::Ends(_) | Outcome::Lost(_)) =
                    self.try_pending(out, memory, now).unwrap_or(Outcome::Stays)
                {
                    return Ok(outcome);
                } else if (self.group.epoch().0, self.group.branch()) == next {
                    self.hear_keeper(out, memory, &beat, made, now);
                } else if self.keeper_id == Some(by) && self.group.epoch() < beat.content().epoch {
                    // What waited may have led elsewhere: then the epoch is of a branch that is
                    // ours no more.
                    self.liveness.note_behind(beat.content().epoch.0, now);
                    if lost || self.was_away() {
                        self.go_to(&beat, now).rest();
                    }
                }
            }
            Verdict::Wins => self.go_to(&beat, now).rest(),
            Verdict::Lasts => {
                let goes_on = self.keeps() && self.returning.as_ref().is_none_or(|asks| !asks.rests());
                let returning = self.go_to(&beat, now);
                if goes_on {
                    returning.go_on();
                } else {
                    returning.rest();
                }
            }
            Verdict::Loses => {
                if beat.content().known_law == memory.store.known().hash() {
                    self.showing.forget_across(by);
                } else {
                    let wait =
                        if self.keeps() { 0 } else { 10_000 + u32::from_be_bytes(out.random()) % 10_000 };
                    let at = now + Duration::from_millis(wait.into());
                    let known = memory.store.known().hash();
                    self.showing.show_across(Target::of(&beat, now), known, at);
                }
            }
            Verdict::Nothing => {}
        }
        self.due.silence = true;
        Ok(Outcome::Stays)
    }

    /// Whether we keep a branch in which nobody was heard for as long as a keeper may be silent.
    fn is_unheard(&self, now: Instant) -> bool {
        let is_alone = self.group.roster().len() == 1;
        self.keeps() && (is_alone || self.liveness.proof() + SILENT_AFTER <= now)
    }

    /// A heartbeat of our keeper in our epoch.
    fn hear_keeper(
        &mut self,
        out: &mut Outbox,
        memory: &mut Memory,
        beat: &Genuine<Beat>,
        made: Instant,
        now: Instant,
    ) {
        if self.doubted_ms.is_some() && !self.keeps() {
            self.go_to(beat, now).rest();
        }
        self.note_connection();
        self.beat = self.beat.max(made);
        self.keeper_door = Some(beat.content().door_key.to_vec());
        self.hear_word(beat.content().key.id(), made);
        if self.stepped.take((), now) {
            self.schedule.handle_elapsed(Duration::from_millis(beat.content().step_ms), now);
        }
        self.hear_law(out, memory, &beat.content().key, beat.content().known_law, made, now);
        let most = answers(&self.view(memory, now), beat.content().time_ms, self.answered_at);
        if self.words.count(&(), now) < most {
            self.words.note((), now);
            self.answered_at = now;
            let at_ms = out.stamp_ms(now);
            let known_law = memory.store.known().hash();
            self.say(out, &Saying::Word { heard_ms: beat.content().time_ms, at_ms, known_law });
        }
    }

    /// Another branch wins, or ours has gone on without us: ask its keeper for our place.
    fn go_to(&mut self, beat: &Genuine<Beat>, now: Instant) -> &mut Returning {
        let key_exchange = self.group.key_exchange();
        let broken = self.broken.take();
        let own = self.group.own_leaf().0 % 64;
        let returning = self
            .returning
            .get_or_insert_with(|| Returning::new(key_exchange, now + RETURN_SPREAD * own, now));
        returning.broken = returning.broken.or(broken);
        returning.hear(Target::of(beat, now));
        returning
    }

    /// Somebody without a place waits for a heartbeat.
    pub(super) fn hear_call(&mut self, out: &mut Outbox, memory: &Memory, now: Instant) {
        if let Some(keeper) = &mut self.keeper {
            keeper.hurry_heartbeat(now);
        }
        self.show_chain(out, memory, now);
        self.due.keeping = true;
    }

    /// Shows the last hand-overs to holders of invites that are older, if we keep the room and did
    /// not just do so.
    pub(super) fn show_chain(&mut self, out: &mut Outbox, memory: &Memory, now: Instant) {
        let Some(keeper) = &mut self.keeper else { return };
        if memory.store.law().chain().len() == 0 || !keeper.may_show_chain(now) {
            return;
        }
        let chain: Vec<_> = memory.store.law().chain().collect();
        let last = chain.iter().skip(chain.len().saturating_sub(MAX_CHAIN));
        // Without their rest: it names who has rank and who is in, and holders of old invites may
        // be banned.
        let tables = last
            .filter_map(|id| memory.store.known().get(id))
            .filter_map(|table| Some(table.without_rest()?.statement().encode()));
        if let Ok(chain) = Statements::new(tables.collect()) {
            let _ = out.send(&Message::Chain(chain));
        }
    }
}

/// Opens a heartbeat, if it is newer than all before of its key and its key is not a stranger's, or
/// that of the host that a Chain led to.
pub(super) fn open_beat(
    memory: &mut Memory,
    heartbeat: &Heartbeat,
    reached: Option<&IdentityKey>,
) -> Result<Genuine<Beat>, ControlError> {
    let terms = memory.store.known().terms();
    let group_id = terms.group_id().0;
    let beat = heartbeat.open(&terms.salt).map_err(|_| ControlError::Undecryptable)?;
    let key = &beat.claimed().key;
    if !memory.store.law().admits(key) && reached != Some(key) {
        return Err(ControlError::NotAMember);
    }
    if !memory.newest.is_newer(beat.claimed().key.id(), beat.claimed().time_ms) {
        return Err(ControlError::Stale);
    }
    let beat = beat.verify(&group_id).map_err(|_| ControlError::NotTheKeeper)?;
    let Beat { key, time_ms, .. } = beat.content();
    memory.newest.note(key.id(), *time_ms, memory.store.law().rank_of(key));
    Ok(beat)
}

/// Members of a branch that lost do not all ask at once.
const RETURN_SPREAD: Duration = Duration::from_millis(15);
