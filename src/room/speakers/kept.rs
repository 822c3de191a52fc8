//! Data that a room keeps for reports (SPEC section 12).

use std::{collections::VecDeque, time::Duration};

use super::{expiry::Expiry, vouched::Vouched};
use crate::{report::PublishedKey, room::bounded::Rate};

/// All that a room knows for reports.
#[derive(Default)]
pub(in crate::room) struct Reports {
    pub(in crate::room) vouched: Vouched,
    pub(in crate::room) expiry: Expiry,
    /// Private halves that were published, the newest last.
    pub(super) published: VecDeque<PublishedKey>,
    /// Seeds of others that were looked at.
    pub(super) looked_at: SeedRate,
}

/// A seed costs a multiplication before anybody can tell whether a speaker had it.
pub(super) struct SeedRate(pub(super) Rate<()>);

impl Default for SeedRate {
    fn default() -> Self {
        Self(Rate::new(MAX_SEEDS, Duration::from_secs(1)))
    }
}

impl Reports {
    pub(super) fn note_published(&mut self, key: PublishedKey) {
        if self.published.len() >= MAX_PUBLISHED {
            self.published.pop_front();
        }
        self.published.push_back(key);
    }
}

/// Seeds of others that are looked at in a second.
const MAX_SEEDS: usize = 128;
/// Published keys that are kept.
const MAX_PUBLISHED: usize = 1_024;
