//! Counters of opened and refused packets, by reason and by sender. The app may read them at any
//! time.

use super::error::OpenError;

/// Counts of one opener since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenStats {
    opened: u64,
    refused: [u64; OpenError::ALL.len()],
}

impl OpenStats {
    /// Packets opened.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// Packets refused for this reason.
    pub fn refused(&self, reason: OpenError) -> u64 {
        self.refused.get(reason as usize).copied().unwrap_or(0)
    }

    /// Every reason that has occurred, with its count.
    pub fn refusals(&self) -> impl Iterator<Item = (OpenError, u64)> + '_ {
        OpenError::ALL.iter().map(|reason| (*reason, self.refused(*reason))).filter(|(_, count)| *count > 0)
    }

    #[inline]
    pub(crate) fn note_opened(&mut self) {
        self.opened += 1;
    }

    #[inline]
    pub(crate) fn note_refused(&mut self, reason: OpenError) {
        if let Some(count) = self.refused.get_mut(reason as usize) {
            *count += 1;
        }
    }
}

/// Counts of one sender in one epoch. They stop at their maximum.
///
/// A refused packet is counted under the sender that its header *claims*: a relay can make these
/// grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SpeakerStats {
    /// Packets opened.
    pub opened: u32,
    /// Packets seen before, or too old to tell.
    pub replayed: u32,
    /// Packets whose tag or signature was wrong.
    pub forged: u32,
    /// Packets refused for any other reason.
    pub refused: u32,
}

impl SpeakerStats {
    #[inline]
    pub(crate) fn note_opened(&mut self) {
        self.opened = self.opened.saturating_add(1);
    }

    pub(crate) fn note_refused(&mut self, reason: OpenError) {
        let count = match reason {
            OpenError::Replayed | OpenError::TooOld => &mut self.replayed,
            OpenError::Forged | OpenError::Unsigned => &mut self.forged,
            _ => &mut self.refused,
        };
        *count = count.saturating_add(1);
    }
}
