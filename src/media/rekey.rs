//! Keys as values: what the control thread makes and the audio thread takes (SPEC section 4.5).

use std::{fmt, sync::Arc};

use super::{
    keyring::{EpochRing, StepRing},
    profile::{PacketSize, SilenceReason},
};
use crate::{
    id::{Epoch, KeyId, Leaf, Step},
    keys::{frame::FrameKey, speaker::Signer},
};

/// A change of keys, for the sealer or for the opener.
///
/// Taking one costs the audio thread a pointer swap. Neither can be cloned or printed.
#[derive(Debug)]
pub enum Rekey {
    /// For [`Sealer::install`](crate::Sealer::install).
    Seal(SealRekey),
    /// For [`Opener::install`](crate::Opener::install).
    Open(OpenRekey),
}

/// A change of what a [`Sealer`](crate::Sealer) seals with.
pub struct SealRekey(pub(crate) SealChange);

pub(crate) enum SealChange {
    Key(Box<SealKey>),
    Pause(SilenceReason),
    Resume,
    Stop(SilenceReason),
}

/// The key of one step of our own, and what goes around a packet.
pub(crate) struct SealKey {
    pub(crate) epoch: Epoch,
    pub(crate) step: Step,
    pub(crate) kid: KeyId,
    pub(crate) key: FrameKey,
    /// Tells this key from every other without revealing it.
    pub(crate) name: [u8; 16],
    /// `None` with [`Authenticity::Group`](crate::Authenticity::Group).
    pub(crate) signer: Option<Arc<Signer>>,
    pub(crate) packet_size: PacketSize,
}

impl SealRekey {
    /// Stops sealing until [`SealRekey::resume`], and keeps the key and its counter.
    pub fn pause(reason: SilenceReason) -> Self {
        Self(SealChange::Pause(reason))
    }

    /// Ends a pause.
    pub fn resume() -> Self {
        Self(SealChange::Resume)
    }

    /// Stops sealing and takes the key out. Only another key ends this; [`SealRekey::resume`] does
    /// not.
    pub fn stop(reason: SilenceReason) -> Self {
        Self(SealChange::Stop(reason))
    }
}

impl fmt::Debug for SealRekey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            SealChange::Key(key) => write!(f, "SealRekey::Key(epoch {}, step {})", key.epoch.0, key.step.0),
            SealChange::Pause(reason) => write!(f, "SealRekey::Pause({reason:?})"),
            SealChange::Resume => f.write_str("SealRekey::Resume"),
            SealChange::Stop(reason) => write!(f, "SealRekey::Stop({reason:?})"),
        }
    }
}

/// A change of what an [`Opener`](crate::Opener) opens with.
pub struct OpenRekey(pub(crate) OpenChange);

pub(crate) enum OpenChange {
    Epoch(Box<EpochRing>),
    Step { context: [u8; 32], ring: Box<StepRing> },
    Speaker { context: [u8; 32], leaf: Leaf, key: [u8; 32], speaker_context: [u8; 32] },
    Withdraw { context: [u8; 32], leaf: Leaf },
    Mute { context: [u8; 32], leaf: Leaf },
    RetireSteps { context: [u8; 32], first: Step },
    RetireEpoch { context: [u8; 32] },
    Close,
}

impl OpenRekey {
    /// Drops every key: nothing opens any more.
    pub fn close() -> Self {
        Self(OpenChange::Close)
    }

    /// Stops hearing a leaf in the epoch with this context.
    #[cfg(feature = "room")]
    pub(crate) fn withdraw(context: [u8; 32], leaf: Leaf) -> Self {
        Self(OpenChange::Withdraw { context, leaf })
    }

    /// Whether this drops every key.
    pub(crate) fn is_close(&self) -> bool {
        matches!(self.0, OpenChange::Close)
    }
}

impl fmt::Debug for OpenRekey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            OpenChange::Epoch(ring) => {
                write!(f, "OpenRekey::Epoch({}, {} senders)", ring.epoch.0, ring.senders.len())
            }
            OpenChange::Step { ring, .. } => write!(f, "OpenRekey::Step({})", ring.step.0),
            OpenChange::Speaker { leaf, .. } => write!(f, "OpenRekey::Speaker(leaf {})", leaf.0),
            OpenChange::Withdraw { leaf, .. } => write!(f, "OpenRekey::Withdraw(leaf {})", leaf.0),
            OpenChange::Mute { leaf, .. } => write!(f, "OpenRekey::Mute(leaf {})", leaf.0),
            OpenChange::RetireSteps { first, .. } => write!(f, "OpenRekey::RetireSteps(before {})", first.0),
            OpenChange::RetireEpoch { .. } => f.write_str("OpenRekey::RetireEpoch"),
            OpenChange::Close => f.write_str("OpenRekey::Close"),
        }
    }
}

/// Keys that are no longer used, to be dropped where freeing and wiping memory disturbs nobody.
///
/// Send it back to the control thread. Dropping it wipes what it holds.
#[must_use = "drop it outside the audio thread"]
pub struct Retired {
    _contents: Contents,
}

pub(crate) enum Contents {
    Nothing,
    #[expect(dead_code, reason = "kept only to be dropped elsewhere")]
    Seal(Box<SealKey>),
    #[expect(dead_code, reason = "kept only to be dropped elsewhere")]
    Epochs([Option<Box<EpochRing>>; 2]),
    #[expect(dead_code, reason = "kept only to be dropped elsewhere")]
    Steps([Option<Box<StepRing>>; 4]),
}

impl Retired {
    pub(crate) fn new(contents: Contents) -> Self {
        Self { _contents: contents }
    }

    pub(crate) fn nothing() -> Self {
        Self::new(Contents::Nothing)
    }

    pub(crate) fn seal(key: Option<Box<SealKey>>) -> Self {
        Self::new(key.map_or(Contents::Nothing, Contents::Seal))
    }
}

impl fmt::Debug for Retired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Retired")
    }
}
