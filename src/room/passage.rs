//! How a member goes from one phase to the next: in, out, and back (SPEC section 7.12).

use std::time::Instant;

use super::{
    Phase, Room,
    error::ControlError,
    event::{Ending, Event},
    membership::Memory,
    returning::Absent,
    seat::{Outcome, Seat},
    waiting::Waiting,
};
use crate::{
    group::{
        Invite,
        message::{Message, RefuseReason, Refused},
        mls::{Failure, JoinError},
    },
    media::Silence,
};

impl Room {
    pub(super) fn handle_waiting(&mut self, message: Message, now: Instant) -> Result<(), ControlError> {
        let Phase::Waiting(waiting) = &mut self.phase else { return Ok(()) };
        match message {
            Message::Welcome(welcome) => self.enter(&welcome, now),
            Message::Mls(message) => waiting.hold(message, now),
            Message::Refused(refused) => {
                if waiting.is_refused_by(&refused)? {
                    self.end(Ending::Refused(refused.reason));
                }
                Ok(())
            }
            Message::Knock(_)
            | Message::Petition(_)
            | Message::Heartbeat(_)
            | Message::Lost(_)
            | Message::Vouch(_)
            | Message::Order(_)
            | Message::Spent(_) => Ok(()),
        }
    }

    pub(super) fn handle_present(&mut self, message: Message, now: Instant) -> Result<(), ControlError> {
        let Phase::Present(seat) = &mut self.phase else { return Ok(()) };
        let outcome = match message {
            Message::Knock(knock) => return seat.handle_knock(&mut self.core, &knock, now),
            Message::Petition(petition) => return seat.handle_petition(&mut self.core, &petition, now),
            Message::Spent(seeds) => return self.handle_spent(&seeds, now),
            Message::Lost(lost) => return seat.handle_lost(&mut self.core, &lost, now),
            Message::Vouch(vouch) => return seat.handle_vouch(&self.core, &vouch, now),
            Message::Welcome(welcome) => return self.come_back(&welcome, now),
            Message::Refused(refused) => return self.handle_refused(&refused, now),
            Message::Order(order) => seat.handle_order(&mut self.core, &order, now)?,
            Message::Heartbeat(heartbeat) => seat.handle_heartbeat(&mut self.core, &heartbeat, now)?,
            Message::Mls(message) => seat.handle_mls(&mut self.core, message, now)?,
        };
        self.settle(outcome);
        Ok(())
    }

    pub(super) fn handle_returning(&mut self, message: Message, now: Instant) -> Result<(), ControlError> {
        let Phase::Returning(absent) = &mut self.phase else { return Ok(()) };
        match message {
            Message::Heartbeat(heartbeat) => absent.handle_heartbeat(&mut self.core, &heartbeat, now),
            Message::Mls(message) => absent.hold(message, now),
            Message::Welcome(welcome) => self.come_back(&welcome, now),
            Message::Refused(refused) => self.handle_refused(&refused, now),
            Message::Spent(seeds) => self.handle_spent(&seeds, now),
            Message::Vouch(vouch) => absent.handle_vouch(&self.core, &vouch, now),
            Message::Knock(_) | Message::Petition(_) | Message::Lost(_) | Message::Order(_) => Ok(()),
        }
    }

    fn enter(&mut self, welcome: &[u8], now: Instant) -> Result<(), ControlError> {
        let own = self.core.identity.id();
        let waiting = match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Waiting(waiting) => waiting,
            other => {
                self.phase = other;
                return Ok(());
            }
        };
        let entered = match waiting.enter(own, welcome) {
            Ok(entered) => entered,
            Err((waiting, error)) => {
                self.phase = Phase::Waiting(waiting);
                return match error {
                    JoinError::NotForUs => Ok(()),
                    error => Err(error.into()),
                };
            }
        };
        self.core.invite = Some(entered.invite);
        let seat = entered.group.and_then(|group| {
            self.core.events.push_back(Event::Joined { epoch: group.epoch() });
            Seat::new(&mut self.core, group, entered.held, None, now, now)
        });
        self.sit_down(seat, now);
        Ok(())
    }

    /// Takes a welcome into a room that we were in before.
    fn come_back(&mut self, welcome: &[u8], now: Instant) -> Result<(), ControlError> {
        let own = self.core.identity.id();
        let (returning, id, state, rival) = match &self.phase {
            Phase::Present(seat) => {
                let (Some(returning), Some(rival)) = (&seat.returning, &seat.rival) else { return Ok(()) };
                (returning, seat.group.id(), seat.group.state(), rival)
            }
            Phase::Returning(absent) => {
                let (Some(returning), Some(rival)) = (&absent.returning, &absent.rival) else {
                    return Ok(());
                };
                (returning, absent.memory.group_id.as_slice(), &absent.memory.state, rival)
            }
            Phase::Waiting(_) | Phase::Over => return Ok(()),
        };
        let proved = returning.proved(rival);
        let entry = match returning.check(welcome, own, id, state, rival.keeper) {
            Ok(entry) => entry,
            Err(JoinError::NotForUs) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let core = &mut self.core;
        let seat = match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Present(mut before) => before.returning.take().map(|returning| {
                let (group, held) = returning.enter(entry)?;
                core.events.push_back(Event::Returned { epoch: group.epoch() });
                let mut seat = Seat::new(core, group, held, before.door.take(), proved, now)?;
                seat.follows(core, *before, now)?;
                seat.speak_again(core);
                Ok(seat)
            }),
            Phase::Returning(absent) => {
                let Absent { memory, door, returning, .. } = *absent;
                returning.map(|returning| {
                    let (group, held) = returning.enter(entry)?;
                    core.events.push_back(Event::Returned { epoch: group.epoch() });
                    let mut seat = Seat::new(core, group, held, door, proved, now)?;
                    seat.highest_term = seat.highest_term.max(memory.highest_term);
                    seat.speak_again(core);
                    Ok(seat)
                })
            }
            Phase::Waiting(_) | Phase::Over => None,
        };
        if let Some(seat) = seat {
            self.sit_down(seat, now);
        }
        Ok(())
    }

    fn sit_down(&mut self, seat: Result<Seat, Failure>, now: Instant) {
        match seat {
            Ok(mut seat) => {
                let outcome = seat.retry_held(&mut self.core, now);
                self.phase = Phase::Present(Box::new(seat));
                self.settle(outcome);
            }
            Err(Failure(what)) => self.end(Ending::Broken(what)),
        }
    }

    /// A keeper that we asked to let us back says no.
    fn handle_refused(&mut self, refused: &Refused, now: Instant) -> Result<(), ControlError> {
        let (returning, rival, id) = match &self.phase {
            Phase::Present(seat) => (&seat.returning, &seat.rival, seat.group.id()),
            Phase::Returning(absent) => (&absent.returning, &absent.rival, absent.memory.group_id.as_slice()),
            Phase::Waiting(_) | Phase::Over => return Ok(()),
        };
        let (Some(returning), Some(rival)) = (returning, rival) else { return Ok(()) };
        if !returning.is_refused_by(refused, rival.keeper, id)? {
            return Ok(());
        }
        let (by, banned) = (rival.keeper, refused.reason == RefuseReason::Banned);
        let invite = self.core.invite.take();
        match invite {
            // Only the branch that gave way had let us in.
            Some(invite) if refused.reason == RefuseReason::Unknown && !self.was_removed() => {
                self.knock_again(invite, now);
            }
            _ => self.end(Ending::Removed { by, banned }),
        }
        Ok(())
    }

    /// Whether the keeper named somebody to remove us: then we do not knock again by ourselves.
    fn was_removed(&self) -> bool {
        match &self.phase {
            Phase::Present(seat) => {
                let own = seat.group.own_leaf();
                seat.task.as_ref().is_some_and(|task| task.removes.contains(&own))
            }
            Phase::Waiting(_) | Phase::Returning(_) | Phase::Over => false,
        }
    }

    fn knock_again(&mut self, invite: Invite, now: Instant) {
        let core = &mut self.core;
        let unix = core.clock.unix(now);
        if unix >= invite.expires {
            return self.end(Ending::Refused(RefuseReason::Expired));
        }
        let applicant = core.apply(&invite.group_id, invite.key_exchange, now);
        let waiting = applicant.and_then(|applicant| {
            let mut waiting = Waiting::new(applicant, invite, now);
            waiting.handle_timeout(core, now)?;
            Ok(waiting)
        });
        match waiting {
            Ok(waiting) => {
                self.core.stop(Silence::Returning);
                self.phase = Phase::Waiting(Box::new(waiting));
            }
            Err(Failure(what)) => self.end(Ending::Broken(what)),
        }
    }

    /// Goes by what a message or the time came to.
    pub(super) fn settle(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Stays => {}
            Outcome::Ends(ending) => self.end(ending),
            Outcome::Lost => {
                let phase = std::mem::replace(&mut self.phase, Phase::Over);
                if let Phase::Present(seat) = phase {
                    let memory = Memory::of(&seat.group, seat.highest_term);
                    let mut absent = Absent::new(memory, seat.door);
                    // The welcome to what we asked for comes next.
                    absent.rival = seat.rival;
                    absent.returning = seat.returning;
                    self.core.stop(Silence::Returning);
                    self.phase = Phase::Returning(Box::new(absent));
                }
            }
        }
    }

    pub(super) fn end_if_broken(&mut self) {
        if let Phase::Present(seat) = &mut self.phase
            && let Some(Failure(what)) = seat.broken()
        {
            self.end(Ending::Broken(what));
        }
    }

    /// Drops the group and every key, and says how it ended.
    pub(super) fn end(&mut self, ending: Ending) {
        self.phase = Phase::Over;
        self.core.end_reports(&ending);
        self.core.stop(match ending {
            Ending::Removed { .. } => Silence::Removed,
            _ => Silence::Closed,
        });
        self.core.events.push_back(Event::Over(ending));
    }
}
