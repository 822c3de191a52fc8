//! The key schedule of a hall epoch, which a listener may enter in the middle (`spec/stage.md`,
//! H3, H4).
//!
//! ```text
//! room:  epoch secret > base key 0 > step 0, 1, 2 ...
//! hall:                 base key i > step i, i+1 ...      began with step 0, signer from outside
//! ```

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    keyring::EpochRing,
    profile::{Authenticity, PacketSize},
    rekey::OpenChange,
    schedule::{STEP, Schedule, open, seal},
    start::{ScheduleError, Speaker},
};
use crate::{
    id::{Epoch, Leaf, Step},
    keys::{
        frame::StepSecret,
        secret::{DEEP, Secret, scrub_stack},
        speaker::{Signer, epoch_context},
        suite::Suite,
    },
};

/// What the schedule of a hall epoch starts from.
pub(crate) struct HallStart<'a> {
    /// The base key of `step`.
    pub(crate) base_key: Secret,
    pub(crate) step: Step,
    /// When step 0 began.
    pub(crate) began: Instant,
    /// When the epoch before is dropped.
    pub(crate) retire_at: Instant,
    pub(crate) group_id: &'a [u8],
    pub(crate) epoch: Epoch,
    pub(crate) authenticator: &'a [u8],
    pub(crate) suite: Suite,
    pub(crate) packet_size: PacketSize,
    /// Whom packets may come from, ascending by leaf.
    pub(crate) voices: &'a [Voice],
    /// Our own place among them with what signs our packets, if we may speak.
    pub(crate) own: Option<(Leaf, Arc<Signer>)>,
}

/// A speaker with the key that it signs packets with.
#[derive(Clone, Copy)]
pub(crate) struct Voice {
    pub(crate) speaker: Speaker,
    pub(crate) key: [u8; 32],
    /// What the signatures are bound to.
    pub(crate) context: [u8; 32],
}

impl Schedule {
    /// Begins a hall epoch at the step whose base key is known.
    ///
    /// # Errors
    /// As [`Schedule::start`].
    pub(crate) fn start_in_hall(start: HallStart<'_>, now: Instant) -> Result<Self, ScheduleError> {
        let schedule = Self::begin_in_hall(start, now);
        scrub_stack::<DEEP>();
        schedule
    }

    fn begin_in_hall(start: HallStart<'_>, now: Instant) -> Result<Self, ScheduleError> {
        if !start.voices.is_sorted_by(|a, b| a.speaker.leaf < b.speaker.leaf) {
            return Err(ScheduleError::Speakers);
        }
        let context = epoch_context(start.group_id, start.epoch, start.authenticator);
        // Nobody has this leaf: the tree of a room is far smaller.
        let (own_leaf, signer) =
            start.own.map_or((Leaf(u32::MAX), None), |(leaf, signer)| (leaf, Some(signer)));
        let mut schedule = Self {
            suite: start.suite,
            authenticity: Authenticity::Signed,
            packet_size: start.packet_size,
            group_id: start.group_id.to_vec(),
            epoch: start.epoch,
            authenticator: start.authenticator.to_vec(),
            own_leaf,
            context,
            leaves: start.voices.iter().map(|voice| voice.speaker.leaf).collect(),
            muted: false,
            signer,
            began: start.began,
            step: start.step,
            base_key: start.base_key,
            next_key: None,
            retire_steps_at: None,
            retire_epoch_at: Some(start.retire_at),
            exhausted: false,
            rekeys: Default::default(),
        };
        let mut ring = EpochRing::new(
            start.epoch,
            context,
            Authenticity::Signed,
            start.packet_size,
            start.voices.iter().map(|voice| schedule.sender(&voice.speaker)).collect(),
            Box::default(),
        );
        let (first, key) = schedule.build_step(start.step)?;
        let (second, next_key) = schedule.build_step(Step(start.step.0 + 1))?;
        ring.install(first);
        ring.install(second);
        schedule.next_key = next_key;
        if schedule.leaves.binary_search(&own_leaf).is_ok() {
            schedule.rekeys.push_back(seal(key));
        }
        schedule.rekeys.push_back(open(OpenChange::Epoch(Box::new(ring))));
        for voice in start.voices.iter().filter(|voice| voice.speaker.leaf != own_leaf) {
            let (leaf, key, speaker_context) = (voice.speaker.leaf, voice.key, voice.context);
            schedule.rekeys.push_back(open(OpenChange::Speaker { context, leaf, key, speaker_context }));
        }
        schedule.handle_timeout(now);
        Ok(schedule)
    }
}

/// The base key of the step after this one.
pub(crate) fn next_base_key(suite: Suite, base_key: &Secret) -> Secret {
    StepSecret::new(suite, base_key).ratchet()
}

/// How long the steps before `step` have lasted.
pub(crate) fn until(step: u32) -> Duration {
    STEP * step
}
