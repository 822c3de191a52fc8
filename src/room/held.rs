//! Messages that came before the commit or the welcome that they need (SPEC section 7.8).

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::defence::{Defence, holds};

/// A bounded number of messages, to be tried again.
#[derive(Default)]
pub(super) struct Held {
    /// With when they came, the oldest first.
    messages: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
}

impl Held {
    /// Keeps a message, unless too much is kept already. What waits for too long makes room: it is
    /// of another branch, or of the time before we come in.
    pub(super) fn keep(&mut self, message: Vec<u8>, now: Instant) -> Result<(), Overflow> {
        let old = |(at, _): &(Instant, Vec<u8>)| now.saturating_duration_since(*at) >= KEPT_FOR;
        while self.messages.front().is_some_and(old) {
            self.bytes -= self.messages.pop_front().map_or(0, |(_, message)| message.len());
        }
        let full = self.messages.len() >= MAX_MESSAGES || self.bytes + message.len() > MAX_BYTES;
        if full && holds(Defence::HeldBound) {
            return Err(Overflow);
        }
        self.bytes += message.len();
        self.messages.push_back((now, message));
        Ok(())
    }

    /// How much is kept.
    #[cfg(feature = "testkit")]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Everything, oldest first.
    pub(super) fn take(&mut self) -> VecDeque<(Instant, Vec<u8>)> {
        self.bytes = 0;
        std::mem::take(&mut self.messages)
    }
}

/// Too much is kept already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overflow;

const MAX_MESSAGES: usize = 256;
const MAX_BYTES: usize = 256 * 1024;
const KEPT_FOR: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_needs_any_more_makes_room() {
        let (mut held, start) = (Held::default(), Instant::now());
        for _ in 0..MAX_MESSAGES {
            assert_eq!(held.keep(vec![0; 1000], start), Ok(()));
        }
        assert_eq!(held.keep(vec![0; 1000], start + KEPT_FOR / 2), Err(Overflow));
        assert_eq!(held.keep(vec![1; 1000], start + KEPT_FOR), Ok(()));
        let left = held.take();
        assert_eq!((left.len(), left[0].1[0]), (1, 1));
        assert_eq!(held.keep(vec![0; MAX_BYTES], start), Ok(()));
        assert_eq!(held.keep(vec![0], start), Err(Overflow));
    }
}
