//! Collections that never grow past a stated size, and rates.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

/// The newest `N` values. A value that is noted when there are `N` takes the place of the oldest.
#[derive(Debug)]
pub(super) struct Recent<T, const N: usize>(VecDeque<T>);

impl<T: PartialEq, const N: usize> Recent<T, N> {
    /// Notes a value. Returns `false`, and changes nothing, if it is there already.
    pub(super) fn note(&mut self, value: T) -> bool {
        if self.0.contains(&value) {
            return false;
        }
        if self.0.len() >= N {
            self.0.pop_front();
        }
        self.0.push_back(value);
        true
    }

    pub(super) fn contains(&self, value: &T) -> bool {
        self.0.contains(value)
    }
}

impl<T, const N: usize> Default for Recent<T, N> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

/// At least the newest `N` values, and at most `2 N`: when the newer half is full the older one
/// goes.
#[derive(Debug)]
pub(super) struct Newest<T, const N: usize> {
    newer: BTreeSet<T>,
    older: BTreeSet<T>,
}

impl<T: Ord, const N: usize> Newest<T, N> {
    /// Notes a value.
    pub(super) fn note(&mut self, value: T) {
        if self.newer.len() >= N && !self.newer.contains(&value) {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(value);
    }

    pub(super) fn contains(&self, value: &T) -> bool {
        self.newer.contains(value) || self.older.contains(value)
    }
}

impl<T, const N: usize> Default for Newest<T, N> {
    fn default() -> Self {
        Self { newer: BTreeSet::new(), older: BTreeSet::new() }
    }
}

/// At most `N` values by key. When there are more, one of the least weight goes: that which was
/// noted the longest ago. No key that somebody chooses, and no number that somebody says, decides
/// about it.
#[derive(Debug)]
pub(super) struct Lately<K, V, W, const N: usize> {
    entries: BTreeMap<K, (W, u64, V)>,
    count: u64,
}

impl<K: Ord + Copy, V, W: Ord + Copy, const N: usize> Lately<K, V, W, N> {
    /// Notes the value of a key in place of the one before.
    pub(super) fn note(&mut self, key: K, value: V, weight: W) {
        self.count += 1;
        self.entries.insert(key, (weight, self.count, value));
        if self.entries.len() > N {
            let least = self.entries.iter().min_by_key(|(_, (weight, at, _))| (*weight, *at));
            if let Some(least) = least.map(|(key, _)| *key) {
                self.entries.remove(&least);
            }
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, _, value)| value)
    }
}

impl<K, V, W, const N: usize> Default for Lately<K, V, W, N> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), count: 0 }
    }
}

/// At most `most` events in any window of `within`, per value of `K`; at most 2,048 events are
/// remembered.
#[derive(Debug)]
pub(super) struct Rate<K> {
    most: usize,
    within: Duration,
    events: VecDeque<(Instant, K)>,
}

impl<K: PartialEq> Rate<K> {
    pub(super) const fn new(most: usize, within: Duration) -> Self {
        Self { most, within, events: VecDeque::new() }
    }

    pub(super) const fn of((most, within): (usize, Duration)) -> Self {
        Self::new(most, within)
    }

    /// How many events of `key` lie in the window that ends at `now`.
    pub(super) fn count(&self, key: &K, now: Instant) -> usize {
        self.events.iter().filter(|(at, other)| now < *at + self.within && other == key).count()
    }

    /// How many events of all keys lie in the window that ends at `now`.
    pub(super) fn total(&self, now: Instant) -> usize {
        self.events.iter().filter(|(at, _)| now < *at + self.within).count()
    }

    /// When the events of `key` were that are remembered, the oldest first.
    pub(super) fn times(&self, key: K) -> impl Iterator<Item = Instant> + '_ {
        self.events.iter().filter(move |(_, other)| *other == key).map(|(at, _)| *at)
    }

    pub(super) fn is_full(&self, key: &K, now: Instant) -> bool {
        self.count(key, now) >= self.most
    }

    /// Since when there have been as many events of `key` as the rate allows; `None` while there
    /// are fewer.
    pub(super) fn full_since(&self, key: &K, now: Instant) -> Option<Instant> {
        let mut events = self.events.iter().filter(|(at, other)| now < *at + self.within && other == key);
        events.nth(self.most.checked_sub(1)?).map(|(at, _)| *at)
    }

    /// Notes an event, whether or not the rate allows it.
    pub(super) fn note(&mut self, key: K, now: Instant) {
        while self.events.front().is_some_and(|(at, _)| *at + self.within <= now) {
            self.events.pop_front();
        }
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back((now, key));
    }

    /// Notes an event if the rate allows it.
    pub(super) fn take(&mut self, key: K, now: Instant) -> bool {
        if self.is_full(&key, now) {
            return false;
        }
        self.note(key, now);
        true
    }

    /// When the rate allows another event of `key`; `now` if it does already.
    pub(super) fn free_at(&self, key: &K, now: Instant) -> Instant {
        let count = self.count(key, now);
        if count < self.most {
            return now;
        }
        let mut ends = self.events.iter().filter(|(at, other)| now < *at + self.within && other == key);
        ends.nth(count - self.most).map_or(now, |(at, _)| *at + self.within)
    }
}

/// Knocks, Shows or Chains that are looked at in a second, whoever sent them: what does not open
/// cannot be told beforehand from what does (D3, G5, R7).
pub(super) const OPENED: (usize, Duration) = (512, Duration::from_secs(1));
/// Of these, those of strangers that are answered or taken.
pub(super) const OF_STRANGERS: (usize, Duration) = (64, Duration::from_secs(1));
/// More than what one rate counts: ten seconds of strangers' Shows, and those of all members.
const MAX_EVENTS: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_frees_its_place_when_the_window_has_passed() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut rate = Rate::new(2, 10 * second);
        assert!(rate.take('a', start));
        assert!(rate.take('a', start + second));
        assert!(!rate.take('a', start + 2 * second));
        assert!(rate.take('b', start + 2 * second), "keys are counted apart");
        assert_eq!(rate.free_at(&'a', start + 2 * second), start + 10 * second);
        assert_eq!(rate.full_since(&'a', start + 2 * second), Some(start + second));
        assert_eq!(rate.full_since(&'b', start + 2 * second), None);
        assert!(rate.take('a', start + 10 * second));
    }

    #[test]
    fn what_was_noted_the_longest_ago_goes_unless_it_weighs_more() {
        let mut lately = Lately::<u8, char, u8, 3>::default();
        for (key, value, weight) in [(9, 'a', 1), (5, 'b', 0), (7, 'c', 0), (5, 'd', 0), (1, 'e', 0)] {
            lately.note(key, value, weight);
        }
        assert_eq!(
            [9, 5, 7, 1].map(|key| lately.get(&key).copied()),
            [Some('a'), Some('d'), None, Some('e')]
        );
    }

    #[test]
    fn the_oldest_value_makes_room_for_the_newest() {
        let mut recent = Recent::<u8, 2>::default();
        assert!(recent.note(1) && recent.note(2) && !recent.note(1) && recent.note(3));
        assert!(!recent.contains(&1) && recent.contains(&2) && recent.contains(&3));
    }
}
