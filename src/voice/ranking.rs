//! Who is heard when more speak than can be mixed: the loudest, and rather those who were heard before (SPEC section 13.5).

/// What speaks for somebody: decibels below overload, less a bonus for who is heard already and who speaks.
pub(super) fn handicap(below_overload: u8, voice: bool, muted: bool, heard: bool) -> u32 {
    let level = u32::from(below_overload) * 2;
    let silent = if muted { 400 } else { u32::from(!voice) * 60 };
    (level + silent + u32::from(!heard) * 12) + 1
}

/// The greatest handicap with which somebody is still among the `most` best. `handicaps` is put in order.
pub(super) fn bar(handicaps: &mut [u32], most: usize) -> u32 {
    handicaps.sort_unstable();
    match most.checked_sub(1) {
        None => 0,
        Some(last) => handicaps.get(last).copied().unwrap_or(u32::MAX),
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
        assert_eq!(bar(&mut [5, 1, 3], 2), 3);
        assert_eq!(bar(&mut [5, 1, 3], 9), u32::MAX);
        assert_eq!(bar(&mut [5, 1, 3], 0), 0);
    }
}
