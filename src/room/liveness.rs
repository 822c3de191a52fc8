//! When a member stops sending: a pure function of what it knows and the time (SPEC section 7,
//! rules S1 to S4).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::view::View;
use crate::{
    defence::{Defence, holds},
    id::MemberId,
    law::Rank,
    media::SilenceReason,
    mls::Occupant,
};

/// The state that the four rules look at.
pub(super) struct Liveness {
    /// Since when the law that we know has put somebody out, for everybody whom it puts out and who
    /// is in the tree.
    out_since: BTreeMap<MemberId, Instant>,
    /// When the newest word of the keeper of our epoch was made; as the keeper, of any other
    /// member.
    proof: Instant,
    /// An epoch of our keeper that we were told of and lack, and since when.
    behind: Option<(u64, Instant)>,
    /// When somebody else of rank was heard last.
    rank_heard: Instant,
    /// Everybody of rank said that it leaves.
    rank_left: bool,
}

impl Liveness {
    /// The member comes in at `now`, at its user's wish, and has a word that was made at `proof`.
    pub(super) const fn begin(proof: Instant, rank_heard: Instant) -> Self {
        Self { out_since: BTreeMap::new(), proof, behind: None, rank_heard, rank_left: false }
    }

    /// An epoch has begun; `changed` says whether another member keeps it, `keeper_word` is the
    /// newest word of that one, by when it was made, if it is not ourselves.
    pub(super) fn enter(&mut self, epoch: u64, changed: bool, keeper_word: Option<Instant>) {
        if let Some(word) = keeper_word {
            self.proof = self.proof.min(word);
        }
        if self.behind.is_some_and(|(lacking, _)| lacking <= epoch) || changed {
            self.behind = None;
        }
    }

    /// Somebody whose word is proof said something in our epoch.
    pub(super) fn prove(&mut self, made: Instant) {
        self.proof = self.proof.max(made);
    }

    /// Our keeper spoke of an epoch that we have not entered.
    pub(super) fn note_behind(&mut self, epoch: u64, now: Instant) {
        match &mut self.behind {
            Some((lacking, _)) => *lacking = epoch.min(*lacking),
            None => self.behind = Some((epoch, now)),
        }
    }

    /// A newer heartbeat of our keeper states the epoch that we are in: what it said of a later one
    /// was of the past.
    pub(super) fn note_abreast(&mut self) {
        self.behind = None;
    }

    /// How long an epoch that we were told of has been lacking.
    pub(super) fn lacking_since(&self) -> Option<Instant> {
        self.behind.map(|(_, since)| since)
    }

    /// When the newest word that is proof was made.
    pub(super) fn proof(&self) -> Instant {
        self.proof
    }

    /// When somebody else of rank was heard last.
    pub(super) fn rank_heard(&self) -> Instant {
        self.rank_heard
    }

    /// Somebody else of rank was heard.
    pub(super) fn hear_rank(&mut self, made: Instant) {
        self.rank_heard = self.rank_heard.max(made);
        self.rank_left = false;
    }

    /// The user goes on without anybody of rank.
    pub(super) fn consent(&mut self, now: Instant) {
        self.rank_heard = self.rank_heard.max(now);
    }

    pub(super) fn note_rank_left(&mut self) {
        self.rank_left = true;
    }

    /// Looks at the tree again, after the tree or the law that we know has changed. `entered` holds
    /// who came in with the change of the tree: somebody who is out when it comes in has no second
    /// (S1).
    pub(super) fn review(
        &mut self,
        roster: &[Occupant],
        admits: impl Fn(&Occupant) -> bool,
        entered: &[MemberId],
        now: Instant,
    ) {
        let out: Vec<_> = roster
            .iter()
            .filter(|member| !member.is_self && !admits(member))
            .map(|member| member.id)
            .collect();
        self.out_since.retain(|member, _| out.contains(member));
        for member in out {
            let at = if entered.contains(&member) { now.checked_sub(A_SECOND).unwrap_or(now) } else { now };
            self.out_since.entry(member).or_insert(at);
        }
    }

    /// Since when somebody in the tree has been out by the law that we know.
    pub(super) fn out_since(&self) -> Option<Instant> {
        self.out_since.values().min().copied()
    }

    /// Since when a member in the tree has been out by the law that we know.
    pub(super) fn out_since_of(&self, member: MemberId) -> Option<Instant> {
        self.out_since.get(&member).copied()
    }

    /// Why we do not send; `None` while we may.
    pub(super) fn silence(&self, view: &View<'_>) -> Option<SilenceReason> {
        self.deadlines(view).into_iter().find(|(at, _)| *at <= view.now).map(|(_, silence)| silence)
    }

    /// When [`silence`](Self::silence) changes next by itself.
    pub(super) fn poll_timeout(&self, view: &View<'_>) -> Option<Instant> {
        self.deadlines(view).into_iter().map(|(at, _)| at).filter(|at| *at > view.now).min()
    }

    /// When each rule stops us, the most telling reason first.
    fn deadlines(&self, view: &View<'_>) -> Vec<(Instant, SilenceReason)> {
        let mut deadlines = Vec::new();
        if let Some(at) = self.out_since()
            && holds(Defence::Removal)
        {
            deadlines.push((at + A_SECOND, SilenceReason::AwaitingRemoval));
        }
        if let Some((_, since)) = self.behind
            && holds(Defence::Withheld)
        {
            deadlines.push((since + LACKING, SilenceReason::CommitWithheld));
        }
        if view.group.roster().len() > 1 && holds(Defence::Proof) {
            let reason = if view.keeps() { SilenceReason::NobodyHears } else { SilenceReason::NoProofOfLife };
            deadlines.push((self.proof + PROOF_HOLDS, reason));
        }
        if let Some(own) = view.own()
            && view.known().rank_of(&own.key) != Rank::Host
            && holds(Defence::Attended)
        {
            let unattended = Duration::from_secs(view.terms().unattended.seconds().into());
            let most = if self.rank_left { unattended * 6 } else { unattended };
            deadlines.push((self.rank_heard + most, SilenceReason::Unattended));
        }
        deadlines
    }
}

const A_SECOND: Duration = Duration::from_secs(1);
/// An epoch that we were told of may lack so long.
pub(super) const LACKING: Duration = Duration::from_secs(3);
/// How long one word of the keeper holds.
pub(super) const PROOF_HOLDS: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_a_newer_heartbeat_that_states_our_epoch_ends_a_lacking_one() {
        let now = Instant::now();
        let mut liveness = Liveness::begin(now, now);
        liveness.note_behind(12, now);
        assert_eq!(liveness.lacking_since(), Some(now));
        // Epochs of this branch come, but it is far from the twelfth.
        liveness.enter(2, false, None);
        assert_eq!(liveness.lacking_since(), Some(now));
        liveness.note_abreast();
        assert_eq!(liveness.lacking_since(), None);
        // What the keeper spoke of is of its branch: a takeover of our own ends it as well.
        liveness.note_behind(12, now);
        liveness.enter(3, true, None);
        assert_eq!(liveness.lacking_since(), None);
    }
}
