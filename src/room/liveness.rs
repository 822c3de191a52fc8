//! Whether the others are still there: without proof of it we stop sending, since a ban could be withheld
//! from us (SPEC section 7.6).

use std::time::{Duration, Instant};

use crate::media::Silence;

/// What we know of the keeper; as the keeper, of those who follow us. Commits do not renew it: one that was held back
/// proves no more than it did when it was made.
pub(super) struct Liveness {
    /// The last moment, by our own clock, at which the keeper is known to have been in our epoch or before it.
    proved: Instant,
    /// The time of the newest heartbeat of this epoch.
    newest_ms: u64,
    doubt: Option<Doubt>,
    /// When the keeper was last heard of, by our own clock.
    heard_at: Instant,
}

/// Why we do not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The last proof is too old.
    Time,
    /// The keeper is in a later epoch: a commit is withheld from us.
    Behind,
    /// A branch that wins over ours is alive.
    Fork,
}

impl Doubt {
    fn silence(self) -> Silence {
        match self {
            Self::Time => Silence::NoProofOfLife,
            Self::Behind => Silence::CommitWithheld,
            Self::Fork => Silence::Forked,
        }
    }
}

/// What a heartbeat changes for the sealer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Nothing,
    Pause(Silence),
    Resume,
}

impl Liveness {
    /// We come in, by a word of the keeper that was made at `proved` by our own clock.
    pub(super) fn begin(proved: Instant, now: Instant) -> Self {
        Self { proved, newest_ms: 0, doubt: None, heard_at: now }
    }

    /// The next epoch. `doubt` is what it does not settle.
    pub(super) fn enter(&mut self, doubt: Option<Doubt>, now: Instant) -> Verdict {
        self.newest_ms = 0;
        self.heard_at = now;
        self.go_by(doubt, now)
    }

    /// Nothing is left of a doubt but the age of the last proof.
    pub(super) fn settle(&mut self, now: Instant) -> Verdict {
        match self.doubt {
            Some(Doubt::Behind | Doubt::Fork) => self.go_by(None, now),
            Some(Doubt::Time) | None => Verdict::Nothing,
        }
    }

    /// Whether we do not send.
    pub(super) fn doubts(&self) -> bool {
        self.doubt.is_some()
    }

    /// The others are known to have been with us at `at`, by our own clock: whoever follows us if we are the keeper.
    pub(super) fn follow(&mut self, at: Instant, now: Instant) -> Verdict {
        self.note_proof(at, now);
        if self.doubt != Some(Doubt::Time) || self.until() <= now {
            return Verdict::Nothing;
        }
        self.doubt = None;
        Verdict::Resume
    }

    /// The same, on the way into an epoch: what it changes for the sealer comes with [`enter`](Self::enter).
    pub(super) fn note_proof(&mut self, at: Instant, now: Instant) {
        self.proved = self.proved.max(at.min(now));
    }

    /// Until when a keeper that sent a heartbeat at `sent` waits for an answer to it before it adds anybody: if the one before was
    /// not answered either.
    pub(super) fn waits_for_answer(&self, sent: Instant) -> Option<Instant> {
        let missed = sent.saturating_duration_since(self.proved) > HEARTBEAT;
        missed.then_some(sent + ANSWER)
    }

    /// Whether nobody has gone along with us for so long that we might be alone.
    pub(super) fn is_deserted(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.proved) >= DESERTED_AFTER
    }

    /// Another is the keeper: what the one before proved is nothing of it. It was last heard at `last`, by our own clock.
    pub(super) fn change_keeper(&mut self, last: Option<Instant>, now: Instant) {
        let stale = now.checked_sub(PROOF_HOLDS).unwrap_or(now);
        self.proved = self.proved.min(last.unwrap_or(stale));
    }

    /// The keeper was heard of, whatever it said.
    pub(super) fn note_heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    pub(super) fn heard_at(&self) -> Instant {
        self.heard_at
    }

    /// A heartbeat of this epoch and branch that says `said_ms` and was made at `at` by our own clock.
    ///
    /// One that says nothing newer than what is known is a repeat.
    pub(super) fn prove(&mut self, said_ms: u64, at: Instant, now: Instant) -> Result<Verdict, Repeat> {
        if said_ms <= self.newest_ms {
            return Err(Repeat);
        }
        self.newest_ms = said_ms;
        self.heard_at = now;
        Ok(self.follow(at, now))
    }

    /// Stops sending. A worse reason takes the place of a lesser one.
    pub(super) fn doubt(&mut self, doubt: Doubt) -> Verdict {
        let before = self.doubt;
        if before == Some(doubt) || before == Some(Doubt::Fork) {
            return Verdict::Nothing;
        }
        self.doubt = Some(doubt);
        if before.is_some_and(|before| before.silence() == doubt.silence()) {
            return Verdict::Nothing;
        }
        Verdict::Pause(doubt.silence())
    }

    /// Stops sending if proof is too old.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Verdict {
        if self.until() <= now && self.doubt.is_none() { self.doubt(Doubt::Time) } else { Verdict::Nothing }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.doubt.is_none().then_some(self.until())
    }

    fn until(&self) -> Instant {
        self.proved + PROOF_HOLDS
    }

    fn go_by(&mut self, doubt: Option<Doubt>, now: Instant) -> Verdict {
        let doubt = doubt.or_else(|| (self.until() <= now).then_some(Doubt::Time));
        match (std::mem::replace(&mut self.doubt, doubt), doubt) {
            (Some(_), None) => Verdict::Resume,
            (before, Some(doubt)) if before != Some(doubt) => Verdict::Pause(doubt.silence()),
            _ => Verdict::Nothing,
        }
    }
}

/// It says nothing new.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Repeat;

/// How often the keeper proves that it is there.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long one proof holds.
pub(super) const PROOF_HOLDS: Duration = Duration::from_secs(15);

/// How long an answer to a heartbeat may take.
const ANSWER: Duration = Duration::from_secs(1);

/// A keeper that nobody followed for so long follows any other.
const DESERTED_AFTER: Duration = Duration::from_secs(45);

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn fifteen_seconds_without_proof_are_too_many() {
        let start = Instant::now();
        let mut liveness = Liveness::begin(start, start);
        assert_eq!(liveness.prove(5, start + s(5), start + s(5)), Ok(Verdict::Nothing));
        assert_eq!(liveness.poll_timeout(), Some(start + s(20)));
        assert_eq!(liveness.handle_timeout(start + s(19)), Verdict::Nothing);
        assert_eq!(liveness.handle_timeout(start + s(20)), Verdict::Pause(Silence::NoProofOfLife));
        assert_eq!(liveness.handle_timeout(start + s(21)), Verdict::Nothing);
        assert_eq!(liveness.prove(22, start + s(22), start + s(22)), Ok(Verdict::Resume));
    }

    #[test]
    fn a_heartbeat_that_was_held_back_proves_only_its_own_time() {
        let start = Instant::now();
        let mut liveness = Liveness::begin(start, start);
        assert_eq!(liveness.prove(5, start + s(5), start + s(14)), Ok(Verdict::Nothing));
        assert_eq!(liveness.handle_timeout(start + s(20)), Verdict::Pause(Silence::NoProofOfLife));
        assert_eq!(liveness.prove(10, start + s(10), start + s(30)), Ok(Verdict::Nothing), "20 s old");
        assert_eq!(liveness.prove(10, start + s(30), start + s(31)), Err(Repeat));
    }

    #[test]
    fn an_epoch_that_was_held_back_is_no_proof() {
        let start = Instant::now();
        let mut liveness = Liveness::begin(start, start);
        assert_eq!(liveness.enter(None, start + s(14)), Verdict::Nothing);
        assert_eq!(liveness.handle_timeout(start + s(15)), Verdict::Pause(Silence::NoProofOfLife));
        assert_eq!(liveness.enter(None, start + s(16)), Verdict::Nothing);
        assert_eq!(liveness.prove(1, start + s(16), start + s(17)), Ok(Verdict::Resume));
    }

    #[test]
    fn a_fork_is_not_mended_by_time_or_by_what_is_lesser() {
        let start = Instant::now();
        let mut liveness = Liveness::begin(start, start);
        assert_eq!(liveness.doubt(Doubt::Behind), Verdict::Pause(Silence::CommitWithheld));
        assert_eq!(liveness.doubt(Doubt::Fork), Verdict::Pause(Silence::Forked));
        assert_eq!(liveness.doubt(Doubt::Behind), Verdict::Nothing);
        assert_eq!(liveness.prove(5, start + s(5), start + s(5)), Ok(Verdict::Nothing));
        assert_eq!(liveness.enter(Some(Doubt::Fork), start + s(6)), Verdict::Nothing);
        assert_eq!(liveness.doubt(Doubt::Fork), Verdict::Nothing);
        assert_eq!(liveness.settle(start + s(7)), Verdict::Resume, "the other branch is gone");
        assert_eq!(liveness.doubt(Doubt::Fork), Verdict::Pause(Silence::Forked));
        let late = liveness.settle(start + s(60));
        assert_eq!(late, Verdict::Pause(Silence::NoProofOfLife), "and so is ours");
    }

    #[test]
    fn who_is_behind_waits_for_the_commit_and_not_for_old_heartbeats() {
        let start = Instant::now();
        let mut liveness = Liveness::begin(start, start);
        assert_eq!(liveness.doubt(Doubt::Behind), Verdict::Pause(Silence::CommitWithheld));
        assert_eq!(liveness.prove(5, start + s(5), start + s(5)), Ok(Verdict::Nothing));
        assert_eq!(liveness.enter(None, start + s(6)), Verdict::Resume);
    }

    #[test]
    fn nobody_is_believed_to_live_later_than_now() {
        let start = Instant::now();
        let mut liveness = Liveness::begin(start, start);
        assert_eq!(liveness.follow(start + s(100), start + s(1)), Verdict::Nothing);
        assert_eq!(liveness.poll_timeout(), Some(start + s(16)));
    }
}
