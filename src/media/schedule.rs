//! When keys change: the step clock of one epoch (SPEC sections 4.2 and 4.5).
//!
//! ```text
//! start ──10 s── step 1 ──10 s── step 2 ...      each boundary: Seal(step), Open(step + 1)
//!   └2 s: the epoch before is dropped  └2 s: step 0 is dropped
//! ```

use std::{
    collections::VecDeque,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    keyring::{EpochRing, Sender, Standing, StepRing},
    profile::{Authenticity, PacketSize, SilenceReason},
    rekey::{OpenChange, OpenRekey, Rekey, SealChange, SealKey, SealRekey},
    start::{EpochStart, ScheduleError, Speaker},
    stats::SpeakerStats,
};
use crate::{
    id::{Epoch, Leaf, Step},
    keys::{
        ed25519::is_strong,
        frame::{StepSecret, first_base_key},
        kid::{MAX_SENDERS, Table},
        secret::{DEEP, Secret, scrub_stack},
        speaker::{Signer, epoch_context, speaker_context},
        suite::Suite,
    },
};

/// How long a step lasts.
pub const STEP: Duration = Duration::from_secs(10);

/// How long packets of the step or epoch before are still opened.
const GRACE: Duration = Duration::from_secs(2);

/// How far one report may move the step clock, in steps.
const MAX_CATCH_UP: u32 = 6;

/// An epoch ends here, after 121 days: the room must commit long before.
const LAST_STEP: Step = Step(1 << 20);

/// Slots for senders that are heard within one step.
const MAX_ACTIVE: usize = 128;

/// The media keys of one epoch, made step by step as time passes.
///
/// Sans-IO: feed it time with [`handle_timeout`](Self::handle_timeout) when
/// [`poll_timeout`](Self::poll_timeout) says so, and give what [`poll_rekey`](Self::poll_rekey)
/// yields to the sealer and the opener, in order. Dropping it wipes the chain; keys that were
/// handed over live on in the sealer and the opener.
pub struct Schedule {
    pub(super) suite: Suite,
    pub(super) authenticity: Authenticity,
    pub(super) packet_size: PacketSize,
    pub(super) group_id: Vec<u8>,
    pub(super) epoch: Epoch,
    pub(super) authenticator: Vec<u8>,
    pub(super) own_leaf: Leaf,
    pub(super) context: [u8; 32],
    pub(super) leaves: Vec<Leaf>,
    pub(super) muted: bool,
    pub(super) signer: Option<Arc<Signer>>,

    pub(super) began: Instant,
    pub(super) step: Step,
    /// The base key of the step after the one that was built last.
    pub(super) base_key: Secret,
    /// Our own key of the step after this one, if we may speak.
    pub(super) next_key: Option<Box<SealKey>>,
    pub(super) retire_steps_at: Option<Instant>,
    pub(super) retire_epoch_at: Option<Instant>,
    pub(super) exhausted: bool,
    pub(super) rekeys: VecDeque<Rekey>,
}

impl Schedule {
    /// Begins the epoch at `now` and yields its first keys.
    ///
    /// The epoch secret is wiped before this returns.
    ///
    /// # Errors
    /// [`ScheduleError::Speakers`] unless the speakers are strictly ascending by leaf and at most
    /// 65,000; [`ScheduleError::Context`] if the group id or the authenticator is empty or above
    /// 255 bytes.
    pub fn start(start: EpochStart<'_>, now: Instant) -> Result<Self, ScheduleError> {
        let schedule = Self::begin(&start, now);
        drop(start);
        scrub_stack::<DEEP>();
        schedule
    }

    fn begin(start: &EpochStart<'_>, now: Instant) -> Result<Self, ScheduleError> {
        let ascending = start.speakers.is_sorted_by(|a, b| a.leaf < b.leaf);
        if !ascending || start.speakers.len() > MAX_SENDERS {
            return Err(ScheduleError::Speakers);
        }
        if [start.group_id, start.authenticator].iter().any(|part| part.is_empty() || part.len() > 255) {
            return Err(ScheduleError::Context);
        }
        let (group_id, epoch, authenticator) = (start.group_id, start.epoch, start.authenticator);
        let context = epoch_context(group_id, epoch, authenticator);
        let speaks = start.speakers.iter().any(|speaker| speaker.leaf == start.own_leaf);
        let signs = speaks && start.authenticity == Authenticity::Signed;
        let signer =
            signs.then(|| Arc::new(Signer::new(start.seed, group_id, epoch, authenticator, start.own_leaf)));
        let mut schedule = Self {
            suite: start.suite,
            authenticity: start.authenticity,
            packet_size: start.packet_size,
            group_id: group_id.to_vec(),
            epoch,
            authenticator: authenticator.to_vec(),
            own_leaf: start.own_leaf,
            context,
            leaves: start.speakers.iter().map(|speaker| speaker.leaf).collect(),
            muted: false,
            signer,
            began: now,
            step: Step(0),
            base_key: first_base_key(start.suite, &start.secret.0, &context),
            next_key: None,
            retire_steps_at: None,
            retire_epoch_at: Some(now + GRACE),
            exhausted: false,
            rekeys: VecDeque::new(),
        };
        let mut ring = EpochRing::new(
            epoch,
            context,
            start.authenticity,
            start.packet_size,
            start.speakers.iter().map(|speaker| schedule.sender(speaker)).collect(),
            start.removed.into(),
        );
        let (first, key) = schedule.build_step(Step(0))?;
        let (second, next_key) = schedule.build_step(Step(1))?;
        ring.install(first);
        ring.install(second);
        schedule.next_key = next_key;
        schedule.rekeys.push_back(seal(key));
        schedule.rekeys.push_back(open(OpenChange::Epoch(Box::new(ring))));
        Ok(schedule)
    }

    /// Our public speaker key, to be announced to the room under our MLS signature.
    ///
    /// `None` if we may not speak, or with [`Authenticity::Group`].
    pub fn speaker_key(&self) -> Option<[u8; 32]> {
        self.signer.as_ref().map(|signer| signer.public)
    }

    /// Takes another member's announcement, which MLS has authenticated as from `leaf`.
    ///
    /// # Errors
    /// [`ScheduleError::NotASpeaker`] if the leaf may not speak; [`ScheduleError::WeakKey`] for a
    /// key under which anybody could sign. Packets of that leaf stay refused then.
    pub fn handle_speaker(&mut self, leaf: Leaf, key: [u8; 32]) -> Result<(), ScheduleError> {
        if leaf == self.own_leaf || self.leaves.binary_search(&leaf).is_err() {
            return Err(ScheduleError::NotASpeaker);
        }
        if !is_strong(&key) {
            return Err(ScheduleError::WeakKey);
        }
        let speaker_context = speaker_context(&self.group_id, self.epoch, &self.authenticator, leaf, &key);
        let context = self.context;
        self.rekeys.push_back(open(OpenChange::Speaker { context, leaf, key, speaker_context }));
        Ok(())
    }

    /// Says which speakers have a place of their own in what is kept for reports, which everybody
    /// has until this is called. The others share the places that are left. Only before the first
    /// keys are taken.
    #[cfg(feature = "room")]
    pub(crate) fn keep_first(&mut self, first: &[Leaf]) {
        for rekey in &mut self.rekeys {
            if let Rekey::Open(OpenRekey(OpenChange::Epoch(ring))) = rekey {
                for leaf in &self.leaves {
                    if let Some(sender) = ring.sender_mut(*leaf) {
                        sender.is_first = first.contains(leaf);
                    }
                }
            }
        }
    }

    /// Silences a leaf from now on, for the rest of the epoch.
    ///
    /// Its packets are refused as [`OpenError::Muted`](crate::OpenError::Muted), those of the epoch
    /// before as well; if it is our own, the sealer is stopped.
    pub fn mute(&mut self, leaf: Leaf) {
        let mut queued = false;
        for rekey in &mut self.rekeys {
            if let Rekey::Open(OpenRekey(OpenChange::Epoch(ring))) = rekey {
                queued = true;
                if let Some(sender) = ring.sender_mut(leaf) {
                    sender.standing = Standing::Muted;
                }
            }
        }
        if !queued && leaf != self.own_leaf && self.leaves.binary_search(&leaf).is_ok() {
            // The opener has the epoch already.
            self.rekeys.push_back(open(OpenChange::Mute { context: self.context, leaf }));
        }
        if leaf == self.own_leaf {
            self.muted = true;
            self.signer = None;
            self.next_key = None;
            self.rekeys.retain(|rekey| matches!(rekey, Rekey::Open(_)));
            self.rekeys.push_front(Rekey::Seal(SealRekey::stop(SilenceReason::Muted)));
        }
    }

    /// Takes an announcement back: packets of that leaf are refused until it announces its key
    /// again.
    ///
    /// Does nothing for a leaf that may not speak, and with [`Authenticity::Group`].
    pub fn withdraw_speaker(&mut self, leaf: Leaf) {
        if self.authenticity == Authenticity::Signed && self.leaves.binary_search(&leaf).is_ok() {
            self.rekeys.push_back(open(OpenChange::Withdraw { context: self.context, leaf }));
        }
    }

    /// How long this epoch has lasted by its step clock, which the keeper tells the others.
    pub fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// Takes the keeper's [`elapsed`](Self::elapsed): the step clock catches up, and never goes
    /// back.
    ///
    /// One report moves it by six steps at most.
    pub fn handle_elapsed(&mut self, reported: Duration, now: Instant) {
        let ahead = reported.saturating_sub(self.elapsed(now)).min(STEP * MAX_CATCH_UP);
        if let Some(began) = self.began.checked_sub(ahead) {
            self.began = began;
        }
        self.handle_timeout(now);
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.retire_epoch_at.take_if(|at| *at <= now).is_some() {
            self.rekeys.push_back(open(OpenChange::RetireEpoch { context: self.context }));
        }
        let due = self.elapsed(now).as_secs() / STEP.as_secs();
        let due = Step(u32::try_from(due).unwrap_or(u32::MAX).min(LAST_STEP.0));
        if due > self.step {
            self.enter(due);
            self.retire_steps_at = Some(self.boundary(due) + GRACE);
        }
        if self.retire_steps_at.take_if(|at| *at <= now).is_some() {
            self.rekeys.push_back(open(OpenChange::RetireSteps { context: self.context, first: self.step }));
        }
        if self.step == LAST_STEP && !self.exhausted {
            self.exhausted = true;
            self.rekeys.push_back(Rekey::Seal(SealRekey::stop(SilenceReason::EpochTooOld)));
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let step = (self.step < LAST_STEP).then(|| self.boundary(Step(self.step.0 + 1)));
        [step, self.retire_steps_at, self.retire_epoch_at].into_iter().flatten().min()
    }

    /// The next change of keys, in order.
    pub fn poll_rekey(&mut self) -> Option<Rekey> {
        self.rekeys.pop_front()
    }

    /// Goes to `due`, over steps that time has passed by.
    fn enter(&mut self, due: Step) {
        // The step after the current one was built when the current one began.
        let mut next = Step(self.step.0 + 1);
        if due > next {
            self.next_key = None;
            while Step(next.0 + 1) < due {
                self.base_key = StepSecret::new(self.suite, &self.base_key).ratchet();
                next = Step(next.0 + 1);
            }
            self.open_step(due);
            // What time has passed by has no grace left.
            let first = Step(due.0 - 1);
            self.rekeys.push_back(open(OpenChange::RetireSteps { context: self.context, first }));
        }
        self.step = due;
        let key = self.next_key.take();
        if !self.muted {
            self.rekeys.push_back(seal(key));
        }
        self.open_step(Step(due.0 + 1));
        scrub_stack::<DEEP>();
    }

    fn open_step(&mut self, step: Step) {
        // The table of step 0 was built from the same leaves; another step fails once in 2^7000.
        if let Ok((ring, key)) = self.build_step(step) {
            self.next_key = key;
            self.rekeys.push_back(open(OpenChange::Step { context: self.context, ring }));
        }
    }

    /// Makes the keys of `step`, whose base key this holds, and moves on to the next base key.
    pub(super) fn build_step(
        &mut self,
        step: Step,
    ) -> Result<(Box<StepRing>, Option<Box<SealKey>>), ScheduleError> {
        let secret = StepSecret::new(self.suite, &self.base_key);
        self.base_key = secret.ratchet();
        let table = Table::build(&secret.kid_mac(), step, self.leaves.iter().copied());
        let table = table.ok_or(ScheduleError::Speakers)?;
        let own = self.leaves.binary_search(&self.own_leaf).ok().and_then(|index| u16::try_from(index).ok());
        let own = own.and_then(|index| table.kid_of(index));
        let key = own.filter(|_| !self.muted).map(|kid| {
            Box::new(SealKey {
                epoch: self.epoch,
                step,
                kid,
                key: secret.frame_key(kid),
                name: secret.key_name(kid),
                signer: self.signer.clone(),
                packet_size: self.packet_size,
            })
        });
        let slots = self.leaves.len().min(MAX_ACTIVE);
        Ok((Box::new(StepRing::new(step, secret, table, slots, own)), key))
    }

    pub(super) fn sender(&self, speaker: &Speaker) -> Sender {
        let standing = match self.authenticity {
            _ if speaker.leaf == self.own_leaf => Standing::Own,
            Authenticity::Signed => Standing::Unannounced,
            Authenticity::Group => Standing::Ready,
        };
        Sender {
            leaf: speaker.leaf,
            standing,
            member: speaker.member,
            key: [0; 32],
            context: [0; 32],
            is_first: true,
            stats: SpeakerStats::default(),
        }
    }

    fn boundary(&self, step: Step) -> Instant {
        self.began + STEP * step.0
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule(epoch {}, step {}, {} speakers)", self.epoch.0, self.step.0, self.leaves.len())
    }
}

pub(super) fn seal(key: Option<Box<SealKey>>) -> Rekey {
    Rekey::Seal(match key {
        Some(key) => SealRekey(SealChange::Key(key)),
        None => SealRekey::stop(SilenceReason::NotASpeaker),
    })
}

pub(super) fn open(change: OpenChange) -> Rekey {
    Rekey::Open(OpenRekey(change))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SealError, Sealer, Stamp, id::MemberId, keys::secret::EpochSecret};

    #[test]
    fn an_epoch_that_is_never_renewed_ends_in_silence() {
        let now = Instant::now();
        let start = EpochStart {
            secret: EpochSecret::new(vec![7; 32]).unwrap(),
            group_id: b"room",
            epoch: Epoch(1),
            authenticator: b"authenticator",
            suite: Suite::default(),
            authenticity: Authenticity::Group,
            packet_size: PacketSize::default(),
            own_leaf: Leaf(0),
            speakers: &[Speaker { leaf: Leaf(0), member: MemberId::from_bytes([0; 32]) }],
            removed: &[],
            seed: &[0; 32],
        };
        let mut schedule = Schedule::start(start, now).unwrap();
        // As if all steps but the last three had passed: a million of them take a while.
        schedule.step = Step(LAST_STEP.0 - 3);
        let mut sealer = Sealer::new();
        let mut seal_in = |steps: u32| {
            schedule.handle_timeout(now + STEP * steps);
            while let Some(rekey) = schedule.poll_rekey() {
                if let Rekey::Seal(rekey) = rekey {
                    drop(sealer.install(rekey).unwrap());
                }
            }
            let due = schedule.poll_timeout();
            (sealer.seal(&mut [0x78; 300], 1, Stamp::default()).map(|sealed| sealed.len()), due)
        };
        assert_eq!(seal_in(LAST_STEP.0 - 2).0, Ok(263));
        assert_eq!(seal_in(LAST_STEP.0 - 1), (Ok(263), Some(now + STEP * (LAST_STEP.0 - 1) + GRACE)));
        let over = Err(SealError::Silent(SilenceReason::EpochTooOld));
        assert_eq!(seal_in(LAST_STEP.0).0, over);
        // The grace of the step before is the last thing that falls due.
        assert_eq!(seal_in(LAST_STEP.0 + 1), (over, None));
        assert_eq!(seal_in(u32::MAX), (over, None));
    }
}
