//! The four phases of a member, and how it goes from one to the next (SPEC section 7.12).
//!
//! ```text
//! Joining ──welcome──> Present ──leaf gone──> Returning ──welcome, founds──> Present
//!    └──refused, left──> Over <──left, closed, out──┘
//! ```

use std::time::Instant;

use super::{
    Room, Status,
    absent::Absent,
    authors::{handed_over_by, is_banned, is_out_by_words, issuer_of},
    chain::closes,
    entering::Arrival,
    error::{ControlError, WelcomeError},
    event::{Ending, Event},
    executor::Look,
    held::Held,
    joining::{Joining, News},
    memory::Memory,
    outbox::Outbox,
    returning::Returning,
    seat::{Outcome, Seat},
    shown,
    welcome::Entered,
};
use crate::{
    id::IdentityKey,
    media::SilenceReason,
    mls::{Context, EntryError, Failure, Group},
    wire::{
        answer::{Answer, AnswerContent},
        message::Message,
        statements::Statements,
    },
};

pub(super) enum Phase {
    Joining(Box<Joining>),
    Present(Box<Memory>, Box<Seat>),
    Returning(Box<Absent>),
    Over,
}

/// Founds a branch with ourselves as its keeper and only leaf.
pub(super) fn found(
    out: &mut Outbox,
    memory: &mut Memory,
    rank_heard: Instant,
    now: Instant,
) -> Result<Seat, Failure> {
    let terms = memory.store.known().terms();
    let own = IdentityKey::from_bytes(*out.identity.public());
    let epoch_law = memory.store.known().clone();
    let context = Context { keeper: memory.store.law().tag(&own).0, law: epoch_law.hash() };
    let (group_id, key_exchange) = (terms.group_id().0, terms.key_exchange);
    // Every KeyPackage that we made before and that nobody used is worth nothing to who comes to
    // this branch.
    let made_ms = match out.newest_made_ms(&memory.freshness) {
        0 => out.clock.unix_ms(now),
        newest => newest.saturating_add(1),
    };
    out.note_petition(made_ms);
    let group = Group::found(&out.identity, &group_id, key_exchange, context, made_ms, &mut out.rng)?;
    let arrival = Arrival { group, epoch_law, held: Held::default(), proof: now, rank_heard };
    Seat::arrive(out, memory, arrival, now)
}

impl Room {
    pub(super) fn seat(&self) -> Option<&Seat> {
        match &self.phase {
            Phase::Present(_, seat) => Some(seat),
            _ => None,
        }
    }

    pub(super) fn memory(&self) -> Option<&Memory> {
        match &self.phase {
            Phase::Present(memory, _) => Some(memory),
            Phase::Returning(absent) => Some(&absent.memory),
            Phase::Joining(_) | Phase::Over => None,
        }
    }

    /// A message's way: by phase, then by kind.
    pub(super) fn take(&mut self, message: Message, now: Instant) -> Result<(), ControlError> {
        match &mut self.phase {
            Phase::Joining(joining) => match message {
                Message::Welcome(welcome) => return self.enter(&welcome, now),
                Message::Mls(message) => {
                    return joining.held.keep(message, now).map_err(|_| ControlError::Overflow);
                }
                Message::Heartbeat(heartbeat) => {
                    joining.hear_doors(heartbeat.doors(), now);
                    self.tend(now);
                }
                Message::Chain(chain) => joining.hear_chain(&chain),
                Message::Answer(answer) => match joining.hear_answer(&answer, now)? {
                    News::Nothing => {}
                    News::Waits => self.out.tell(Event::Waiting),
                },
                Message::Knock(_) | Message::Show(_) | Message::Spent(_) | Message::Call => {}
            },
            Phase::Returning(absent) => match message {
                Message::Welcome(welcome) => return self.come_back(&welcome, now),
                Message::Mls(message) => {
                    return absent.held.keep(message, now).map_err(|_| ControlError::Overflow);
                }
                Message::Heartbeat(heartbeat) => {
                    absent.hear_heartbeat(&mut self.out, &heartbeat, now)?;
                    self.tend(now);
                }
                Message::Answer(answer) => return self.hear_shown(&answer, now),
                Message::Chain(chain) => {
                    if !absent.chains.take((), now) {
                        return Err(ControlError::Flood);
                    }
                    // Its host may be somebody whom we never saw: then no heartbeat of it counts
                    // before this.
                    absent.hear_chain(&chain);
                    // What is merged costs more than what is followed (R7).
                    if closes(&chain) && absent.closings.take((), now) {
                        self.learn_outside(&chain, now);
                    }
                }
                Message::Spent(seeds) => return self.hear_spent(&seeds, now),
                Message::Knock(_) | Message::Show(_) | Message::Call => {}
            },
            Phase::Present(memory, seat) => {
                let out = &mut self.out;
                let heard = match message {
                    Message::Mls(message) => seat.handle_mls(out, memory, message, now),
                    Message::Heartbeat(heartbeat) => seat.hear_heartbeat(out, memory, &heartbeat, now),
                    Message::Knock(knock) => seat.hear_knock(out, memory, &knock, now),
                    Message::Show(show) => seat.hear_show(out, memory, &show, now),
                    Message::Answer(answer) => seat.hear_answer(out, memory, &answer, now),
                    Message::Welcome(welcome) => return self.come_back(&welcome, now),
                    Message::Spent(seeds) => return self.hear_spent(&seeds, now),
                    Message::Call => {
                        seat.hear_call(out, memory, now);
                        Ok(Outcome::Stays)
                    }
                    Message::Chain(_) => Ok(Outcome::Stays),
                };
                let (outcome, heard) = match heard {
                    Ok(outcome) => (outcome, Ok(())),
                    Err(error) => (Outcome::Stays, Err(error)),
                };
                self.settle(outcome, now);
                return heard;
            }
            Phase::Over => return Err(ControlError::Over),
        }
        Ok(())
    }

    /// Does what is due.
    pub(super) fn tend(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Joining(joining) => {
                if self.out.clock.unix(now) >= joining.invite.expires {
                    self.end(Ending::Expired);
                } else if let Some(reason) = joining.is_refused(now) {
                    self.end(Ending::Refused(reason));
                } else if let Err(Failure(what)) = joining.handle_timeout(&mut self.out, now) {
                    self.end(Ending::Broken(what));
                }
            }
            Phase::Present(memory, seat) => {
                let outcome = seat.carry_out(&mut self.out, memory, Look::Everything, now);
                self.settle(outcome, now);
            }
            Phase::Returning(_) => self.ask_again(now),
            Phase::Over => {}
        }
    }

    fn ask_again(&mut self, now: Instant) {
        let Phase::Returning(absent) = &mut self.phase else { return };
        let memory = &absent.memory;
        if let Err(Failure(what)) =
            absent.returning.handle_timeout(&mut self.out, &memory.store, &memory.freshness, now)
        {
            return self.end(Ending::Broken(what));
        }
        if absent.found_at(&mut self.out).is_none_or(|at| at > now) {
            return;
        }
        let Phase::Returning(absent) = std::mem::replace(&mut self.phase, Phase::Over) else { return };
        let Absent { mut memory, rank_heard, .. } = *absent;
        match found(&mut self.out, &mut memory, rank_heard, now) {
            Ok(seat) => {
                self.out.set_silence(None);
                self.out.tell(Event::Returned { epoch: seat.group.epoch() });
                self.phase = Phase::Present(Box::new(memory), Box::new(seat));
                self.tend(now);
            }
            Err(Failure(what)) => self.end(Ending::Broken(what)),
        }
    }

    pub(super) fn phase_timeout(&self, now: Instant) -> Option<Instant> {
        match &self.phase {
            Phase::Joining(joining) => Some(joining.poll_timeout()),
            Phase::Present(memory, seat) => {
                [seat.poll_timeout(memory, now), self.out.hands_at()].into_iter().flatten().min()
            }
            Phase::Returning(absent) => {
                // Looked at every time that the member asks: every two seconds.
                let _ = now;
                Some(absent.returning.poll_timeout())
            }
            Phase::Over => None,
        }
    }

    /// A newcomer's Welcome.
    fn enter(&mut self, welcome: &[u8], now: Instant) -> Result<(), ControlError> {
        let Phase::Joining(joining) = &self.phase else { return Ok(()) };
        let own = IdentityKey::from_bytes(*self.out.identity.public());
        let (entry, entered) = match joining.check(welcome, own) {
            Ok(entered) => entered,
            Err(WelcomeError::Join(EntryError::NotForUs)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let Phase::Joining(joining) = std::mem::replace(&mut self.phase, Phase::Over) else { return Ok(()) };
        let (petition, held, _) = joining.into_petition();
        let made = petition.began;
        let Entered { store, epoch_law } = entered;
        let mut memory = Memory::new(store);
        let seat = petition.applicant.enter(entry).and_then(|group| {
            self.out.tell(Event::Joined { epoch: group.epoch() });
            let arrival = Arrival { group, epoch_law, held, proof: made, rank_heard: now };
            Seat::arrive(&mut self.out, &mut memory, arrival, now)
        });
        self.sit_down(memory, seat, now);
        Ok(())
    }

    /// The Welcome of somebody who asked for its place again.
    fn come_back(&mut self, welcome: &[u8], now: Instant) -> Result<(), ControlError> {
        let own = IdentityKey::from_bytes(*self.out.identity.public());
        let checked = match &mut self.phase {
            Phase::Present(memory, seat) => match &mut seat.returning {
                Some(returning) => returning.check(welcome, &memory.store, own),
                None => return Ok(()),
            },
            Phase::Returning(absent) => absent.returning.check(welcome, &absent.memory.store, own),
            _ => return Ok(()),
        };
        let (entry, epoch_law) = match checked {
            Ok(checked) => checked,
            Err(WelcomeError::Join(EntryError::NotForUs)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let (mut memory, returning, held, rank_heard) = match std::mem::replace(&mut self.phase, Phase::Over)
        {
            Phase::Present(memory, seat) => {
                let seat = *seat;
                let rank_heard = seat.liveness.rank_heard();
                (*memory, seat.returning, seat.held, rank_heard)
            }
            Phase::Returning(absent) => {
                let Absent { memory, returning, held, rank_heard, .. } = *absent;
                (memory, Some(returning), held, rank_heard)
            }
            other => {
                self.phase = other;
                return Ok(());
            }
        };
        let Some(petition) = returning.and_then(Returning::into_petition) else { return Ok(()) };
        let made = petition.began;
        let before = memory.store.law().host().id();
        let seat = petition.applicant.enter(entry).and_then(|group| {
            self.out.tell(Event::Returned { epoch: group.epoch() });
            let arrival = Arrival { group, epoch_law, held, proof: made, rank_heard };
            Seat::arrive(&mut self.out, &mut memory, arrival, now)
        });
        if memory.store.law().host().id() != before {
            let by = handed_over_by(memory.store.known());
            self.out.tell(Event::HostChanged { host: memory.store.law().host().id(), by });
        }
        self.sit_down(memory, seat, now);
        Ok(())
    }

    fn sit_down(&mut self, memory: Memory, seat: Result<Seat, Failure>, now: Instant) {
        match seat {
            Ok(mut seat) => {
                let mut memory = memory;
                let outcome = seat.retry_held(&mut self.out, &mut memory, now);
                self.phase = Phase::Present(Box::new(memory), Box::new(seat));
                self.settle(outcome, now);
                self.tend(now);
            }
            Err(Failure(what)) => self.end(Ending::Broken(what)),
        }
    }

    /// An answer with statements that say why we are not let in.
    fn hear_shown(&mut self, answer: &Answer, now: Instant) -> Result<(), ControlError> {
        let Phase::Returning(absent) = &mut self.phase else { return Ok(()) };
        let group_id = absent.memory.store.known().group_id().0;
        if let Some(petition) = absent.returning.petition()
            && let Some(AnswerContent::Shown(statements)) = petition.open(answer, &group_id, now)?
        {
            self.learn_outside(&statements, now);
        }
        Ok(())
    }

    /// Takes statements while we have no place.
    fn learn_outside(&mut self, statements: &Statements, now: Instant) {
        let Phase::Returning(absent) = &mut self.phase else { return };
        let known = absent.memory.store.known().clone();
        let merged = absent.memory.store.merge(shown::decode(statements), &known);
        if merged.changed {
            absent.memory.note_law();
        }
        let (law, own) = (absent.memory.store.law(), IdentityKey::from_bytes(*self.out.identity.public()));
        if law.is_over() {
            self.end(Ending::Closed);
        } else if !law.admits(&own) {
            let (by, banned) = (issuer_of(law, &own), is_banned(law, &own));
            if !is_out_by_words(law, &own) {
                self.end(Ending::Removed { by, banned });
            } else if absent.returning.slow_down() {
                // A holder of a Ban that was lifted since, the host's too, could show it for ever:
                // it ends nothing.
                self.out.tell(Event::KeptOut { by, banned });
            }
        } else {
            absent.returning.speed_up(now);
        }
    }

    /// Does what a message has marked, and goes where the message, or that, leads.
    pub(super) fn settle(&mut self, outcome: Outcome, now: Instant) {
        let outcome = match (outcome, &mut self.phase) {
            (Outcome::Stays, Phase::Present(memory, seat)) => {
                seat.carry_out(&mut self.out, memory, Look::Marked, now)
            }
            (outcome, _) => outcome,
        };
        match outcome {
            Outcome::Stays => {}
            Outcome::Ends(ending) => self.end(ending),
            Outcome::Lost(returning) => {
                let Phase::Present(memory, seat) = std::mem::replace(&mut self.phase, Phase::Over) else {
                    return;
                };
                let (memory, seat) = (*memory, *seat);
                self.out.messages.leave_epoch(now);
                let returning = returning.map_or_else(
                    || Returning::new(memory.store.known().terms().key_exchange, now, now),
                    |returning| *returning,
                );
                self.out.stop(SilenceReason::Returning);
                let absent = Absent::with(memory, returning, seat.held, seat.liveness.rank_heard(), now);
                self.phase = Phase::Returning(Box::new(absent));
            }
        }
    }

    pub(super) fn end_if_faulty(&mut self) {
        if let Phase::Present(_, seat) = &mut self.phase
            && let Some(Failure(what)) = seat.fault.take()
        {
            self.end(Ending::Broken(what));
        }
    }

    /// The room is over for us: keys are dropped.
    pub(super) fn end(&mut self, ending: Ending) {
        if self.status() == Status::Over {
            return;
        }
        self.phase = Phase::Over;
        self.out.end_reports(&ending);
        self.out.stop(match ending {
            Ending::Removed { .. } | Ending::Refused(_) | Ending::Expired | Ending::TakenOver => {
                SilenceReason::Removed
            }
            Ending::Closed | Ending::Left | Ending::Broken(_) => SilenceReason::Closed,
        });
        self.out.tell(Event::Over(ending));
    }
}
