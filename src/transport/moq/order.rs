//! What a member says, put into the order in which it said it, and each thing taken once (SPEC
//! section 8.8).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;

/// A message is missing that will not come any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost;

/// The control messages of one member: they come in any order, and go in that of their numbers.
#[derive(Debug, Default)]
pub(super) struct Reorder {
    /// The number of the message that comes next, once it is known.
    next: Option<u64>,
    /// Messages below this one were said before we came: they are waited for, but not missed.
    beginning: u64,
    held: BTreeMap<u64, Bytes>,
    /// What is held costs, each message its bytes and [`OVERHEAD`].
    cost: usize,
    /// Since when something is missing below what is held.
    since: Option<Instant>,
}

impl Reorder {
    /// Takes message `number`, when the member may still be asked for those from `oldest` on.
    pub(super) fn push(
        &mut self,
        number: u64,
        oldest: u64,
        message: Bytes,
        now: Instant,
    ) -> Result<(), Lost> {
        let next = *self.next.get_or_insert_with(|| {
            self.beginning = number;
            oldest.min(number)
        });
        // What is below has been handed on, or was given up.
        if number >= next && !self.held.contains_key(&number) {
            self.cost += message.len() + OVERHEAD;
            self.held.insert(number, message);
        }
        if !self.held.is_empty() && !self.held.contains_key(&next) {
            self.since.get_or_insert(now);
        }
        if self.cost > HELD { Err(Lost) } else { Ok(()) }
    }

    /// Hands on the next message, if it is there.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Bytes> {
        let next = self.next?;
        let message = self.held.remove(&next)?;
        self.cost = self.cost.saturating_sub(message.len() + OVERHEAD);
        self.next = next.checked_add(1);
        let waits = !self.held.is_empty() && self.next.is_some_and(|next| !self.held.contains_key(&next));
        self.since = waits.then_some(now);
        Some(message)
    }

    /// The number of the message that is waited for, to go on from there.
    pub(super) fn next(&self) -> Option<u64> {
        self.next
    }

    /// The bytes of messages that wait for an earlier one, and [`OVERHEAD`] for each.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// Nothing more comes than what is before message `end`. Says whether something of it is lost.
    pub(super) fn finish(&self, end: u64) -> Result<(), Lost> {
        let due = self.next.is_some_and(|next| next < end);
        if due || !self.held.is_empty() { Err(Lost) } else { Ok(()) }
    }

    /// Until when what is missing is waited for.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + PATIENCE)
    }

    /// Gives up what was said before we came, or says that something is lost, if its time has come.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Lost> {
        if self.deadline().is_none_or(|deadline| now < deadline) { Ok(()) } else { self.pass_over() }
    }

    /// Goes on with what is held, if nothing is missing but what was said before we came.
    pub(super) fn pass_over(&mut self) -> Result<(), Lost> {
        let Some((lowest, _)) = self.held.first_key_value() else { return Ok(()) };
        if *lowest > self.beginning && self.next != Some(*lowest) {
            return Err(Lost);
        }
        self.next = Some(*lowest);
        self.since = None;
        Ok(())
    }
}

/// The packets of one member: any order, each once, none that is far behind.
#[derive(Debug, Default)]
pub(super) struct Window {
    highest: Option<u64>,
    /// Bit n is set if the one that is n below the highest has come.
    seen: u64,
}

impl Window {
    /// Whether this packet is to be handed on.
    pub(super) fn is_fresh(&mut self, number: u64) -> bool {
        let highest = self.highest.unwrap_or(number);
        let bits = |distance: u64| u32::try_from(distance).unwrap_or(u32::MAX);
        if number > highest {
            self.seen = self.seen.checked_shl(bits(number - highest)).unwrap_or(0);
        }
        let highest = *self.highest.insert(highest.max(number));
        let Some(bit) = 1u64.checked_shl(bits(highest - number)) else { return false };
        let fresh = self.seen & bit == 0;
        self.seen |= bit;
        fresh
    }
}

/// How long a message is waited for when later ones have come.
const PATIENCE: Duration = Duration::from_secs(5);
/// The cost of messages of one member that wait for an earlier one: more than a member sends while
/// others have patience, in a burst and at its rate. A relay may bring the newest first.
const HELD: usize = 3 * 1024 * 1024;
/// What a message costs beside its bytes.
pub(super) const OVERHEAD: usize = 66;

#[cfg(test)]
mod tests {
    use super::*;

    fn all(order: &mut Reorder, now: Instant) -> Vec<u8> {
        std::iter::from_fn(|| order.pop(now)).map(|message| message[0]).collect()
    }

    fn push(order: &mut Reorder, number: u8, oldest: u64, now: Instant) {
        order.push(number.into(), oldest, Bytes::copy_from_slice(&[number]), now).unwrap();
    }

    #[test]
    fn messages_go_in_the_order_of_their_numbers_and_once() {
        let now = Instant::now();
        let mut order = Reorder::default();
        for number in [2, 0, 1, 1, 4] {
            push(&mut order, number, 0, now);
        }
        assert_eq!(all(&mut order, now), [0, 1, 2]);
        push(&mut order, 2, 0, now);
        assert_eq!(all(&mut order, now), [0u8; 0]);
        assert_eq!(order.next(), Some(3));
        push(&mut order, 3, 0, now);
        assert_eq!(all(&mut order, now), [3, 4]);
        assert_eq!(order.deadline(), None);
    }

    #[test]
    fn what_is_missing_is_waited_for_and_then_lost() {
        let now = Instant::now();
        let mut order = Reorder::default();
        push(&mut order, 0, 0, now);
        push(&mut order, 2, 0, now);
        assert_eq!(all(&mut order, now), [0]);
        let deadline = order.deadline().unwrap();
        assert_eq!(order.handle_timeout(deadline - Duration::from_millis(1)), Ok(()));
        assert_eq!(all(&mut order, now), [0u8; 0]);
        assert_eq!(order.handle_timeout(deadline), Err(Lost));
    }

    #[test]
    fn what_was_said_before_we_came_is_waited_for_but_not_missed() {
        let now = Instant::now();
        let mut order = Reorder::default();
        push(&mut order, 9, 6, now);
        push(&mut order, 7, 6, now);
        assert_eq!(all(&mut order, now), [0u8; 0]);
        let deadline = order.deadline().unwrap();
        assert_eq!(order.handle_timeout(deadline), Ok(()));
        // Not 6. And 8 is before 9, with which we began.
        assert_eq!(all(&mut order, deadline), [7]);
        let deadline = order.deadline().unwrap();
        assert_eq!(order.handle_timeout(deadline), Ok(()));
        assert_eq!(all(&mut order, deadline), [9]);
        push(&mut order, 11, 6, deadline);
        assert_eq!(all(&mut order, deadline), [0u8; 0]);
        assert_eq!(order.handle_timeout(deadline + PATIENCE), Err(Lost));
    }

    #[test]
    fn an_end_before_which_something_is_missing_is_a_loss() {
        let now = Instant::now();
        let mut order = Reorder::default();
        // Nothing was heard of it, so nothing is missed.
        assert_eq!(order.finish(9), Ok(()));
        push(&mut order, 0, 0, now);
        push(&mut order, 2, 0, now);
        assert_eq!((all(&mut order, now), order.cost()), (vec![0], 1 + OVERHEAD));
        assert_eq!(order.finish(3), Err(Lost));
        push(&mut order, 1, 0, now);
        assert_eq!((all(&mut order, now), order.cost()), (vec![1, 2], 0));
        assert_eq!((order.finish(3), order.finish(4)), (Ok(()), Err(Lost)));
        assert_eq!(order.pass_over(), Ok(()));
        // Before we came.
        let mut order = Reorder::default();
        push(&mut order, 5, 3, now);
        assert_eq!(all(&mut order, now), [0u8; 0]);
        assert_eq!(order.pass_over(), Ok(()));
        assert_eq!((all(&mut order, now), order.finish(6)), (vec![5], Ok(())));
    }

    #[test]
    fn a_burst_that_comes_newest_first_is_put_into_order() {
        let now = Instant::now();
        // As many of 1 KiB as a member may send at once, and in the seconds in which it is waited.
        let sent = (1 << 20) / (1_024 + OVERHEAD as u64) + 5 * (1 << 18) / (1_024 + OVERHEAD as u64);
        let mut order = Reorder::default();
        order.push(0, 0, Bytes::new(), now).unwrap();
        for number in (2..sent).rev() {
            order.push(number, 0, Bytes::from(vec![7; 1_024]), now).unwrap();
        }
        assert!(order.pop(now).is_some() && order.pop(now).is_none());
        order.push(1, 0, Bytes::new(), now).unwrap();
        assert_eq!(std::iter::from_fn(|| order.pop(now)).count() as u64, sent - 1);
        assert_eq!(order.cost(), 0);
    }

    #[test]
    fn what_a_relay_invents_is_bounded() {
        let now = Instant::now();
        let mut order = Reorder::default();
        push(&mut order, 0, u64::MAX, now);
        assert_eq!(all(&mut order, now), [0]);
        let pushed = (0..).map(|number| order.push(u64::MAX - number, 0, Bytes::new(), now));
        assert_eq!(pushed.take_while(Result::is_ok).count(), HELD / OVERHEAD);
        let mut order = Reorder::default();
        order.push(u64::MAX, u64::MAX, Bytes::new(), now).unwrap();
        assert!(order.pop(now).is_some() && order.pop(now).is_none());
    }

    #[test]
    fn packets_are_taken_once_and_not_when_they_are_far_behind() {
        let mut window = Window::default();
        for (number, fresh) in [
            (0, true),
            (0, false),
            (2, true),
            (1, true),
            (1, false),
            (66, true),
            (3, true),
            (2, false),
            (3, false),
        ] {
            assert_eq!(window.is_fresh(number), fresh, "{number}");
        }
        // Never came, but is 64 behind.
        assert!(window.is_fresh(70) && !window.is_fresh(6) && window.is_fresh(7));
        assert!(window.is_fresh(u64::MAX) && !window.is_fresh(u64::MAX));
        assert!(window.is_fresh(u64::MAX - 1) && !window.is_fresh(71));
    }
}
