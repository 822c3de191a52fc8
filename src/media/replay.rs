//! The replay window: which counters of a key have been opened (RFC 9605 section 9.3, SPEC section
//! 5.4).

use crate::id::Counter;

/// Remembers the last 1,024 counters, in a ring of words that is cleared a word at a time.
///
/// The ring is larger than the window, so that the word being entered never overlaps what must be
/// kept, and a power of two, so that finding a word is a mask.
pub(crate) struct Window {
    words: [u64; WORDS],
    /// One more than the highest counter recorded; 0 while there is none.
    end: u64,
}

/// How many counters below the highest are told apart.
pub(crate) const SPAN: u64 = 1_024;
const WORDS: usize = 32;

/// Why a counter is not fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stale {
    /// It was opened before.
    Replayed,
    /// It lies too far below the highest to tell.
    TooOld,
}

impl Window {
    pub(crate) const fn new() -> Self {
        Self { words: [0; WORDS], end: 0 }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Whether a packet with this counter is worth opening. Changes nothing.
    #[inline]
    pub(crate) fn screen(&self, counter: Counter) -> Result<(), Stale> {
        let counter = counter.0;
        if counter >= self.end {
            return Ok(());
        }
        if self.end - counter > SPAN {
            return Err(Stale::TooOld);
        }
        match self.words.get(word(counter)) {
            Some(bits) if bits & bit(counter) == 0 => Ok(()),
            _ => Err(Stale::Replayed),
        }
    }

    /// Notes a counter whose packet has been authenticated. Counters stay below 2^64 - 1.
    #[inline]
    pub(crate) fn record(&mut self, counter: Counter) {
        let counter = counter.0;
        if counter >= self.end {
            let entered = counter / 64;
            let left = self.end.saturating_sub(1) / 64;
            // Every word between the old highest and the new one starts empty; all of them at most.
            let fresh = (entered - left).min(WORDS as u64);
            for number in 0..fresh {
                if let Some(bits) = self.words.get_mut(word((entered - number) * 64)) {
                    *bits = 0;
                }
            }
            self.end = counter + 1;
        }
        if let Some(bits) = self.words.get_mut(word(counter)) {
            *bits |= bit(counter);
        }
    }
}

#[inline]
fn word(counter: u64) -> usize {
    (counter / 64) as usize % WORDS
}

#[inline]
fn bit(counter: u64) -> u64 {
    1 << (counter % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// What the window must do, written without thought for speed.
    #[derive(Default)]
    struct Naive(BTreeSet<u64>);

    impl Naive {
        fn screen(&self, counter: u64) -> Result<(), Stale> {
            match self.0.last() {
                Some(highest) if counter + SPAN <= *highest => Err(Stale::TooOld),
                _ if self.0.contains(&counter) => Err(Stale::Replayed),
                _ => Ok(()),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn it_agrees_with_a_set(moves in prop::collection::vec((prop::bool::ANY, 0u64..2_300), 1..600), start in 0u64..5_000) {
            let mut window = Window::new();
            let mut naive = Naive::default();
            let mut around = start;
            for (forward, by) in moves {
                let counter = if forward { around + by } else { around.saturating_sub(by) };
                prop_assert_eq!(window.screen(Counter(counter)), naive.screen(counter), "counter {}", counter);
                if naive.screen(counter).is_ok() {
                    window.record(Counter(counter));
                    naive.0.insert(counter);
                    around = around.max(counter);
                }
            }
        }
    }

    #[test]
    fn its_edges_are_exact() {
        let mut window = Window::new();
        window.record(Counter(5_000));
        assert_eq!(window.screen(Counter(5_000)), Err(Stale::Replayed));
        assert_eq!(window.screen(Counter(5_000 - SPAN + 1)), Ok(()));
        assert_eq!(window.screen(Counter(5_000 - SPAN)), Err(Stale::TooOld));
        window.record(Counter(5_000 - SPAN + 1));
        assert_eq!(window.screen(Counter(5_000 - SPAN + 1)), Err(Stale::Replayed));
        window.record(Counter(u64::MAX - 1));
        assert_eq!(window.screen(Counter(5_000)), Err(Stale::TooOld));
        assert_eq!(window.screen(Counter(u64::MAX - 2)), Ok(()));
    }

    #[test]
    fn the_first_counter_may_be_zero_and_is_then_known() {
        let mut window = Window::new();
        assert!(window.is_empty());
        window.record(Counter(0));
        assert!(!window.is_empty());
        assert_eq!(window.screen(Counter(0)), Err(Stale::Replayed));
        assert_eq!(window.screen(Counter(1)), Ok(()));
    }
}
