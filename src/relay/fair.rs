//! A queue that is shared fairly by those who fill it: deficit round robin over senders (RFC 8290
//! section 4.2).
//!
//! ```text
//! sender 1 |m m m m m m m   \
//! sender 2 |m                > each in turn takes QUANTUM bytes' worth -> pop
//! sender 3 |m m             /  a sender that had nothing waiting goes before those that had
//! ```
//!
//! The order within one sender is kept. A sender that says little waits for at most one quantum of
//! each other sender that says little, and for one turn of the message that is being written; how
//! much the others have queued makes no difference.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// What waits, by sender. Holds nothing for a sender of which nothing waits.
pub(super) struct Queue<K, T> {
    flows: HashMap<K, Flow<T>>,
    /// Senders of which nothing waited before, served first, for one quantum each.
    fresh: VecDeque<K>,
    /// All other senders, served in turn.
    rest: VecDeque<K>,
    cost: usize,
}

struct Flow<T> {
    items: VecDeque<(T, usize)>,
    cost: usize,
    /// What the sender may still take in this turn.
    credit: usize,
}

impl<K, T> Default for Queue<K, T> {
    fn default() -> Self {
        Self { flows: HashMap::new(), fresh: VecDeque::new(), rest: VecDeque::new(), cost: 0 }
    }
}

impl<K: Copy + Eq + Hash, T> Queue<K, T> {
    /// Adds an item at the end of its sender's.
    pub(super) fn push(&mut self, sender: K, item: T, cost: usize) {
        let flow = self.flows.entry(sender).or_insert_with(|| {
            self.fresh.push_back(sender);
            Flow { items: VecDeque::new(), cost: 0, credit: QUANTUM }
        });
        flow.items.push_back((item, cost));
        flow.cost += cost;
        self.cost += cost;
    }

    /// Takes the item whose turn it is.
    pub(super) fn pop(&mut self) -> Option<(K, T)> {
        loop {
            let fresh = !self.fresh.is_empty();
            let turn = if fresh { &mut self.fresh } else { &mut self.rest };
            let sender = *turn.front()?;
            let Some(flow) = self.flows.get_mut(&sender) else {
                turn.pop_front();
                continue;
            };
            match flow.items.front() {
                Some((_, cost)) if *cost <= flow.credit => {
                    let (item, cost) = flow.items.pop_front()?;
                    flow.credit -= cost;
                    flow.cost -= cost;
                    self.cost -= cost;
                    if self.cost == 0 {
                        self.clear();
                    }
                    return Some((sender, item));
                }
                Some(_) => {
                    flow.credit += QUANTUM;
                    turn.pop_front();
                    self.rest.push_back(sender);
                }
                // One turn is passed over before the sender counts as new again.
                None if fresh => {
                    turn.pop_front();
                    self.rest.push_back(sender);
                }
                None => {
                    turn.pop_front();
                    self.flows.remove(&sender);
                }
            }
        }
    }

    /// Takes the oldest item of the sender of which most waits.
    #[cfg(any(feature = "quic", test))]
    pub(super) fn pop_from_fattest(&mut self) -> Option<T> {
        let flow = self.flows.values_mut().max_by_key(|flow| flow.cost)?;
        let (item, cost) = flow.items.pop_front()?;
        flow.cost -= cost;
        self.cost -= cost;
        if self.cost == 0 {
            self.clear();
        }
        Some(item)
    }

    /// The cost of all that waits.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// The cost of what waits of the sender of which most waits.
    pub(super) fn cost_of_fattest(&self) -> usize {
        self.flows.values().map(|flow| flow.cost).max().unwrap_or(0)
    }

    /// The cost of what waits of one sender.
    pub(super) fn cost_of(&self, sender: K) -> usize {
        self.flows.get(&sender).map_or(0, |flow| flow.cost)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cost == 0
    }

    pub(super) fn clear(&mut self) {
        self.flows.clear();
        self.fresh.clear();
        self.rest.clear();
        self.cost = 0;
    }
}

/// What a sender may take in one turn. Small, so that many senders with a little each are through
/// soon.
const QUANTUM: usize = 2 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn senders_with_much_waiting_take_equal_shares_whatever_the_size_of_their_messages() {
        let mut queue = Queue::default();
        for (sender, cost) in [(0, 16_000), (1, 300), (2, 7_000)] {
            for _ in 0..600_000 / cost {
                queue.push(sender, (sender, cost), cost);
            }
        }
        let mut taken = [0; 3];
        while taken.iter().sum::<usize>() < 900_000 {
            let (_, (sender, cost)): (_, (usize, usize)) = queue.pop().unwrap();
            taken[sender] += cost;
        }
        assert!(taken.iter().all(|taken| taken.abs_diff(300_000) < 32_000), "{taken:?}");
    }

    #[test]
    fn a_sender_that_says_little_goes_before_those_that_flood() {
        let mut queue = Queue::default();
        for flooder in 0..10 {
            for _ in 0..100 {
                queue.push(flooder, flooder, 16_000);
            }
        }
        // All have had their first turn.
        for _ in 0..30 {
            queue.pop();
        }
        queue.push(99, 99, 500);
        assert_eq!(queue.pop(), Some((99, 99)));
        // Coming back at once earns no second place before the others.
        queue.push(99, 99, 500);
        assert_eq!(queue.pop(), Some((99, 99)), "within its first quantum");
        for _ in 0..4 {
            queue.push(99, 99, 500);
        }
        let next: Vec<_> = std::iter::from_fn(|| queue.pop()).take(12).collect();
        assert!(next[2..].iter().any(|(sender, _)| *sender != 99), "{next:?}");
    }

    #[test]
    fn the_oldest_of_the_fattest_gives_way() {
        let mut queue = Queue::default();
        for (sender, item) in [(0, 1), (1, 2), (1, 3), (0, 4), (1, 5)] {
            queue.push(sender, item, 100);
        }
        assert_eq!(queue.pop_from_fattest(), Some(2));
        assert_eq!((queue.cost(), queue.cost_of(1)), (400, 200));
        let mut left: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, item)| item).collect();
        left.sort_unstable();
        assert_eq!(left, [1, 3, 4, 5]);
        assert!(queue.is_empty() && queue.pop_from_fattest().is_none());
    }

    proptest! {
        #[test]
        fn all_comes_out_once_in_each_senders_order_and_nothing_is_kept(
            pushes in prop::collection::vec((0u8..6, 1usize..20_000, any::<bool>()), 0..200),
        ) {
            let mut queue = Queue::default();
            let mut next = [0; 6];
            let mut out = [0; 6];
            let mut check = |(sender, number): (u8, usize)| {
                let expected = &mut out[usize::from(sender)];
                assert_eq!(number, *expected);
                *expected += 1;
            };
            for (sender, cost, pop) in pushes {
                let number = &mut next[usize::from(sender)];
                queue.push(sender, (sender, *number), cost);
                *number += 1;
                if pop {
                    check(queue.pop().unwrap().1);
                }
            }
            while let Some((_, item)) = queue.pop() {
                check(item);
            }
            prop_assert_eq!(out, next);
            prop_assert!(queue.flows.is_empty() && queue.fresh.is_empty() && queue.rest.is_empty());
        }
    }
}
