//! Who is heard when more speak than can be mixed: the loudest, and rather those who were heard
//! before (SPEC section 13.5).

/// What speaks for somebody: decibels below overload, less a bonus for who is heard already and who
/// speaks.
pub(super) fn handicap(below_overload: u8, voice: bool, muted: bool, heard: bool) -> u32 {
    let level = u32::from(below_overload) * 2;
    let silent = if muted { 400 } else { u32::from(!voice) * 60 };
    (level + silent + u32::from(!heard) * 12) + 1
}

/// Who is among the best: everybody below the bar, and of those at it as many as there are places
/// left.
pub(super) struct Bar {
    at: u32,
    left: usize,
}

impl Bar {
    /// The bar that `most` at most pass. `handicaps` is put in order.
    pub(super) fn of(handicaps: &mut [u32], most: usize) -> Self {
        handicaps.sort_unstable();
        let Some(last) = most.checked_sub(1) else { return Self { at: 0, left: 0 } };
        let at = handicaps.get(last).copied().unwrap_or(u32::MAX);
        let below = handicaps.partition_point(|handicap| *handicap < at);
        Self { at, left: most - below.min(most) }
    }

    /// Whether somebody passes. Ask once for each.
    pub(super) fn passes(&mut self, handicap: u32) -> bool {
        if handicap != self.at {
            return handicap < self.at;
        }
        let passes = self.left > 0;
        self.left = self.left.saturating_sub(1);
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loudest_are_heard_and_a_little_louder_is_not_enough_to_take_a_place() {
        let heard = handicap(30, true, false, true);
        assert!(handicap(27, true, false, false) > heard);
        assert!(handicap(20, true, false, false) < heard);
        assert!(handicap(20, false, false, false) > heard);
        assert!(handicap(0, true, true, true) > handicap(127, false, false, false));
    }

    #[test]
    fn never_more_than_there_are_places_for_however_alike_they_are() {
        let passing = |handicaps: &[u32], most| {
            let mut bar = Bar::of(&mut handicaps.to_vec(), most);
            handicaps.iter().map(|handicap| bar.passes(*handicap)).collect::<Vec<_>>()
        };
        assert_eq!(passing(&[5, 1, 3], 2), [false, true, true]);
        assert_eq!(passing(&[5, 1, 3], 9), [true; 3]);
        assert_eq!(passing(&[5, 1, 3], 0), [false; 3]);
        assert_eq!(passing(&[7, 7, 7, 2], 2), [true, false, false, true]);
    }
}
