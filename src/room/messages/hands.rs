//! The members whose hands are up, in the order of asking (`spec/messages.md`, Q11).

use std::{collections::BTreeMap, time::Instant};

use crate::{
    group::codec::{Malformed, Reader, Writer},
    id::{Epoch, MemberId},
};

/// The hands that are up.
#[derive(Default)]
pub(super) struct Hands {
    up: BTreeMap<MemberId, Hand>,
    /// When our own is said again for newcomers, and when it was said last.
    pub(super) again_at: Option<Instant>,
    pub(super) said_at: Option<Instant>,
}

struct Hand {
    at: Point,
    /// Whether its member was heard by role when it went up.
    speaks: bool,
}

/// A moment in the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    pub(super) epoch: Epoch,
    /// Since the epoch began, by the step clock.
    pub(super) ms: u64,
}

impl Point {
    pub(super) fn encode(self) -> Vec<u8> {
        Writer::new().u64(self.epoch.0).u64(self.ms).finish()
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let point = Self { epoch: Epoch(reader.u64()?), ms: reader.u64()? };
        reader.finish()?;
        Ok(point)
    }
}

impl Hands {
    /// Whether the hand was down before.
    pub(super) fn raise(&mut self, member: MemberId, at: Point, speaks: bool) -> bool {
        if self.up.contains_key(&member) {
            return false;
        }
        self.up.insert(member, Hand { at, speaks });
        true
    }

    /// Whether the hand was up before.
    pub(super) fn lower(&mut self, member: MemberId) -> bool {
        self.up.remove(&member).is_some()
    }

    /// The point at which a hand that is up was raised.
    pub(super) fn raised(&self, member: MemberId) -> Option<Point> {
        Some(self.up.get(&member)?.at)
    }

    /// Everybody whose hand is up, in the order of asking.
    pub(super) fn in_order(&self) -> Vec<MemberId> {
        let mut hands: Vec<_> = self.up.iter().map(|(member, hand)| (hand.at, *member)).collect();
        hands.sort_unstable();
        hands.into_iter().map(|(_, member)| member).collect()
    }

    /// Lowers the hands of whoever is gone, came anew, or has got a role that is heard. `speaks`
    /// says that of a member that stays, and nothing of others.
    pub(super) fn review(&mut self, speaks: impl Fn(MemberId) -> Option<bool>) -> Vec<MemberId> {
        let goes = |(member, hand): (&MemberId, &Hand)| {
            speaks(*member).is_none_or(|speaks| speaks && !hand.speaks).then_some(*member)
        };
        let gone: Vec<MemberId> = self.up.iter().filter_map(goes).collect();
        gone.iter().for_each(|member| _ = self.up.remove(member));
        // A member that loses the role and gets it back has got it.
        for (member, hand) in &mut self.up {
            hand.speaks = speaks(*member).unwrap_or(hand.speaks);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: fn(u8) -> MemberId = |n| MemberId::from_bytes([n; 32]);

    fn point(epoch: u64, ms: u64) -> Point {
        Point { epoch: Epoch(epoch), ms }
    }

    #[test]
    fn the_order_is_of_points_and_not_of_arrival() {
        let raised =
            [(ID(3), point(2, 10)), (ID(1), point(1, 9_000)), (ID(2), point(2, 10)), (ID(4), point(2, 9))];
        let mut orders = Vec::new();
        for first in 0..4 {
            let mut hands = Hands::default();
            for n in 0..4 {
                let (member, at) = raised[(first + n) % 4];
                assert!(hands.raise(member, at, false));
            }
            orders.push(hands.in_order());
        }
        assert!(orders.iter().all(|order| *order == [ID(1), ID(4), ID(2), ID(3)]), "{orders:?}");
    }

    #[test]
    fn a_hand_that_is_up_stays_where_it_is() {
        let mut hands = Hands::default();
        assert!(hands.raise(ID(1), point(1, 5), false) && hands.raise(ID(2), point(1, 6), false));
        assert!(!hands.raise(ID(2), point(0, 0), false));
        assert_eq!(hands.in_order(), [ID(1), ID(2)]);
        assert!(hands.lower(ID(1)) && !hands.lower(ID(1)));
    }

    #[test]
    fn a_hand_goes_down_with_its_member_and_when_its_member_is_heard() {
        let mut hands = Hands::default();
        for n in 1..=3 {
            hands.raise(ID(n), point(1, n.into()), n == 2);
        }
        let speaks = |member| if member == ID(1) { None } else { Some(true) };
        assert_eq!(hands.review(speaks), [ID(1), ID(3)]);
        assert_eq!(hands.in_order(), [ID(2)], "who could speak before may ask still");
        assert!(hands.review(|_| Some(false)).is_empty());
        assert_eq!(hands.review(|_| Some(true)), [ID(2)], "who got the role back has got it");
    }

    #[test]
    fn a_point_has_16_bytes() {
        let at = point(7, u64::MAX);
        assert_eq!(Point::decode(&at.encode()), Ok(at));
        for len in [0, 15, 17] {
            assert_eq!(Point::decode(&vec![0; len]), Err(Malformed));
        }
    }
}
