//! The one place where a member that is present does what its agents want, in one order.
//!
//! Whatever hears a message, or is told something by the application, changes what agents know and
//! marks in [`Due`](super::seat::Due) what may follow from that. It sends answers, and decides
//! nothing else. When it is done, and when time has passed, the agents are asked here: each sees a
//! [`View`](super::view::View) and says what it wants, and here that is done. No agent sees
//! another.

use std::time::{Duration, Instant};

use super::{
    incoming::LACKS_FOR,
    memory::Memory,
    outbox::Outbox,
    returning::Returning,
    seat::{IGNORED_AFTER, Outcome, Seat},
};

/// How much the executor looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// The work that a message or a command has marked.
    Marked,
    /// Everything that time may have made due.
    Everything,
}

impl Seat {
    /// Does what the agents want.
    pub(super) fn carry_out(
        &mut self,
        out: &mut Outbox,
        memory: &mut Memory,
        look: Look,
        now: Instant,
    ) -> Outcome {
        let all = look == Look::Everything;
        if all {
            self.schedule.handle_timeout(now);
            self.pending.retain(|pending| pending.since + PENDING_FOR > now);
        }
        if all || self.due.keeping {
            // A statement that came may be what a commit lacks.
            match self.try_pending(out, memory, now) {
                Ok(Outcome::Stays) | Err(_) => {}
                Ok(outcome) => return outcome,
            }
        }
        if all {
            if let Err(failure) = self.tend_returning(out, memory, now) {
                self.fault = Some(failure);
            }
            self.tend_takeover(out, memory, now);
            self.tend_renewal(out, memory, now);
        }
        if all || self.due.keeping {
            self.tend_door(out, memory, now);
            // Last of those that commit: a heartbeat follows whatever was committed.
            self.tend_keeping(out, memory, now);
        }
        if all {
            self.tend_showing(out, memory, now);
            self.tend_missing(out, memory, now);
            self.tend_leaves(out, memory, now);
            self.tend_people(out, memory, now);
            self.tend_hands(out, memory, now);
            self.tend_speakers(out, memory, now);
        }
        if all || self.due.clocks {
            self.tend_clocks(out, memory, now);
        }
        if all || self.due.silence || self.due.keeping {
            // Pauses or resumes the sealer by the four rules (S1 to S4).
            let silence = self.liveness.silence(&self.view(memory, now));
            out.set_silence(silence);
        }
        self.due = Default::default();
        out.rekey(std::iter::from_fn(|| self.schedule.poll_rekey()));
        Outcome::Stays
    }

    /// When there may be something to do.
    pub(super) fn poll_timeout(&self, memory: &Memory, now: Instant) -> Option<Instant> {
        let view = self.view(memory, now);
        let stays = self.takes_part(now);
        let looks = self.due.keeping || self.due.silence || self.due.clocks;
        let times = [
            looks.then_some(now),
            self.schedule.poll_timeout(),
            self.liveness.poll_timeout(&view),
            // A member that returns takes nothing over, renews nothing and puts nothing together.
            stays.then(|| self.turns.takeover_at(&view)).flatten().map(|at| self.turns.try_at(at)),
            self.keeper.as_ref().map(|keeper| keeper.poll_timeout(self.answered(now), stays, now)),
            self.returning.as_ref().map(Returning::poll_timeout),
            self.showing.poll_timeout(),
            Some(self.missing.poll_timeout()),
            memory.doors.as_ref().and_then(|doors| doors.poll_timeout()),
            memory.doors.as_ref().map(|_| self.door_at(now)),
            stays.then_some(self.renew_at),
            self.pending.iter().map(|pending| (pending.since + LACKS_FOR).max(now + A_MOMENT)).min(),
            self.asked.iter().map(|(_, _, at)| *at + IGNORED_AFTER).filter(|at| *at > now).min(),
            self.unsaid.iter().map(|(at, _)| *at).min(),
            Some(self.people_at(now)),
        ];
        times.into_iter().flatten().min()
    }
}

const PENDING_FOR: Duration = Duration::from_secs(15);
const A_MOMENT: Duration = Duration::from_millis(250);
