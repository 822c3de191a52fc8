//! What a room keeps for reports (SPEC section 12).

use std::collections::VecDeque;

use super::{expiry::Expiry, vouched::Vouched};
use crate::report::PublishedKey;

/// All that a room knows for reports.
#[derive(Default)]
pub(in crate::room) struct Reports {
    pub(in crate::room) vouched: Vouched,
    pub(in crate::room) expiry: Expiry,
    /// Private halves that were published, the newest last.
    pub(super) published: VecDeque<PublishedKey>,
}

impl Reports {
    pub(super) fn note_published(&mut self, key: PublishedKey) {
        if self.published.len() >= MAX_PUBLISHED {
            self.published.pop_front();
        }
        self.published.push_back(key);
    }
}

/// Published keys that are kept.
const MAX_PUBLISHED: usize = 1_024;
