//! The moderation key, and opening the reports that were sealed to it (SPEC sections 12.3 and
//! 12.4).

use std::{fmt, ops::ControlFlow};

use zeroize::Zeroize;

use super::{
    file::{Draft, MAX_FILE, SEALED_LABEL},
    verify::{Progress, Rejected, Report},
};
use crate::{
    id::UnixTime,
    keys::{secret::Secret, speaker::public_of},
    mls::{Failure, moderation},
};

/// The public key to which reports are sealed. An application ships it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ModerationKey([u8; 32]);

impl ModerationKey {
    /// Takes a key as [`ModerationSecret::key`] gave it.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the X25519 key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Seals a report: the result is the file to send.
    pub(crate) fn seal(&self, report: &Secret) -> Result<Vec<u8>, Failure> {
        let sealed = moderation::seal(&self.0, report.bytes())?;
        Ok([SEALED_LABEL, &sealed].concat())
    }
}

/// The secret key that opens reports. Wiped on drop.
pub struct ModerationSecret(moderation::Pair);

impl ModerationSecret {
    /// Makes the key pair from 32 secret random bytes. The same seed gives the same pair.
    ///
    /// # Errors
    /// [`NoKey`](Rejected::NoKey) if the cryptography fails, which it does for no seed that is
    /// known.
    pub fn from_seed(mut seed: [u8; 32]) -> Result<Self, Rejected> {
        let ikm = Secret::filled(seed.len(), |out| out.copy_from_slice(&seed));
        seed.zeroize();
        moderation::Pair::derive(&ikm).map(Self).map_err(|_| Rejected::NoKey)
    }

    /// The public half.
    pub fn key(&self) -> ModerationKey {
        ModerationKey(self.0.public)
    }

    /// Opens a report that arrived at `received`, by the clock of the device that received it, and
    /// checks all of it. The check of a long report takes more than a second of processor time:
    /// [`open_with`](Self::open_with) tells how far it is.
    ///
    /// `published` are private halves of speaker keys that were known to be published when the
    /// report arrived. An empty list is fine, since the time of arrival is enough. A key that its
    /// speaker published earlier than it had promised does not belong there, and
    /// [`Room::published_keys`](crate::room::Room::published_keys) does not return such keys:
    /// otherwise a speaker could disown what it has just said.
    ///
    /// # Errors
    /// [`Rejected`] says why the file proves nothing.
    pub fn open(
        &self,
        file: &[u8],
        received: UnixTime,
        published: &[PublishedKey],
    ) -> Result<Report, Rejected> {
        self.open_with(file, received, published, |_| ControlFlow::Continue(()))
    }

    /// Opens a report as [`open`](Self::open) does, and tells `progress` how many packets were
    /// checked: at the beginning, after each 64 packets, and at the end. `progress` may stop the
    /// check.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`Rejected::Stopped`] if `progress` stopped the check.
    pub fn open_with(
        &self,
        file: &[u8],
        received: UnixTime,
        published: &[PublishedKey],
        mut progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Report, Rejected> {
        if file.len() > MAX_FILE {
            return Err(Rejected::TooLarge);
        }
        let sealed = file.strip_prefix(SEALED_LABEL).ok_or(Rejected::NotAReport)?;
        let plain = self.0.open(sealed).ok_or(Rejected::Sealed)?;
        let draft = Draft::decode(plain.bytes()).map_err(|_| Rejected::Malformed)?;
        let report = Report::verify_with(draft, &mut progress)?;
        report.check_time(received)?;
        report.check_published(published)?;
        Ok(report)
    }
}

impl fmt::Debug for ModerationSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ModerationSecret(..)")
    }
}

/// The published private half of an old speaker key: anybody can sign as that speaker with it.
///
/// That is its purpose: from its publication on, a report under that key proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PublishedKey([u8; 32]);

impl PublishedKey {
    /// Takes the 32 bytes that were published.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes: the seed of an Ed25519 key (RFC 8032 section 5.1.5).
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public half, which was announced.
    pub(crate) fn public(&self) -> [u8; 32] {
        public_of(&self.0)
    }
}
