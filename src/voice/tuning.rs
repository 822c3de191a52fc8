//! How one listener hears each member: how loud, on which side, or not at all (SPEC section 13.5).

use std::fmt;

use crate::id::MemberId;

/// How somebody is heard, for one listener alone: nobody else learns of it.
///
/// ```
/// use sottovoce::voice::{Tuning, TuningError};
///
/// let softly = Tuning::default().with_volume(0.5)?.with_pan(-1.0)?; // half as loud, on the left
/// assert_eq!((softly.volume(), softly.pan(), softly.is_muted()), (0.5, -1.0, false));
/// assert_eq!(softly.with_volume(f32::NAN), Err(TuningError::Volume));
/// # Ok::<(), TuningError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    volume: f32,
    pan: f32,
    muted: bool,
}

impl Default for Tuning {
    /// As it comes, in the middle.
    fn default() -> Self {
        Self { volume: 1.0, pan: 0.0, muted: false }
    }
}

impl Tuning {
    /// The loudest volume: 12 dB more than what comes.
    pub const LOUDEST: f32 = 4.0;

    /// Multiplies the samples: 0 is silence, 1 is as it comes, [`LOUDEST`](Self::LOUDEST) the most.
    ///
    /// # Errors
    /// [`TuningError::Volume`] for any other number, and for what is none.
    pub fn with_volume(self, volume: f32) -> Result<Self, TuningError> {
        // Adding 0 makes 0 of -0.
        let valid = (0.0..=Self::LOUDEST).contains(&volume);
        if valid { Ok(Self { volume: volume + 0.0, ..self }) } else { Err(TuningError::Volume) }
    }

    /// Where it stands between left, -1, and right, 1. The power of both sides together is the same
    /// everywhere, so one side alone is 3 dB louder than each of two. A device of one channel has
    /// no sides, and plays all at its volume.
    ///
    /// # Errors
    /// [`TuningError::Pan`] for any other number, and for what is none.
    pub fn with_pan(self, pan: f32) -> Result<Self, TuningError> {
        let valid = (-1.0..=1.0).contains(&pan);
        if valid { Ok(Self { pan: pan + 0.0, ..self }) } else { Err(TuningError::Pan) }
    }

    /// Not heard, with volume and pan kept for later.
    pub fn with_mute(self, muted: bool) -> Self {
        Self { muted, ..self }
    }

    /// What samples are multiplied by, 0 to [`LOUDEST`](Self::LOUDEST).
    pub fn volume(self) -> f32 {
        self.volume
    }

    /// From left, -1, to right, 1.
    pub fn pan(self) -> f32 {
        self.pan
    }

    /// Whether it is muted.
    pub fn is_muted(self) -> bool {
        self.muted
    }

    /// Whether nothing is to be heard, by mute or by volume.
    pub(super) fn is_silent(self) -> bool {
        self.muted || self.volume == 0.0
    }

    /// What the channels of a speaker are multiplied by on the left and on the right; the same
    /// where there are no sides. Two channels are drawn together by as much as they are panned, so
    /// that nothing is lost on a side that is off.
    pub(super) fn gains(self, sides: bool, channels: usize) -> Gains {
        let pan = if sides { self.pan } else { 0.0 };
        // The squares add up to 2 wherever it stands, and in the middle each is exactly 1.
        let [left, right] = [self.volume * (1.0 - pan).sqrt(), self.volume * (1.0 + pan).sqrt()];
        if channels == 1 {
            return [[left, 0.0], [right, 0.0]];
        }
        let other = pan.abs() / 2.0;
        [[left * (1.0 - other), left * other], [right * other, right * (1.0 - other)]]
    }
}

/// For left and right, what the first and the second channel of a speaker are multiplied by.
pub(super) type Gains = [[f32; 2]; 2];

/// Why somebody is heard as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TuningError {
    /// The volume is no number from 0 to 4.
    Volume,
    /// The pan is no number from -1 to 1.
    Pan,
    /// 1,024 members have a tuning of their own: set one of them back to [`Tuning::default`].
    Full,
}

impl fmt::Display for TuningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Volume => "a volume must be a number from 0 to 4",
            Self::Pan => "a pan must be a number from -1 to 1",
            Self::Full => "1,024 members have a tuning of their own already",
        })
    }
}

impl std::error::Error for TuningError {}

/// Who is not heard as it comes. All memory is taken when it is made.
pub(super) struct Tunings(Vec<(MemberId, Tuning)>);

impl Tunings {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(MOST))
    }

    pub(super) fn of(&self, member: MemberId) -> Tuning {
        let found = self.0.iter().find(|(tuned, _)| *tuned == member);
        found.map_or(Tuning::default(), |(_, tuning)| *tuning)
    }

    pub(super) fn set(&mut self, member: MemberId, tuning: Tuning) -> Result<(), TuningError> {
        let at = self.0.iter().position(|(tuned, _)| *tuned == member);
        match at {
            Some(at) if tuning == Tuning::default() => drop(self.0.swap_remove(at)),
            Some(at) => self.0.iter_mut().skip(at).take(1).for_each(|(_, known)| *known = tuning),
            None if tuning == Tuning::default() => {}
            None if self.0.len() == MOST => return Err(TuningError::Full),
            None => self.0.push((member, tuning)),
        }
        Ok(())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (MemberId, Tuning)> + '_ {
        self.0.iter().copied()
    }
}

/// Members with a tuning of their own.
const MOST: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_in_range_become_a_tuning() {
        let tuning = Tuning::default();
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.001, 4.001, f32::MAX, f32::MIN] {
            assert_eq!(tuning.with_volume(wrong), Err(TuningError::Volume), "{wrong}");
        }
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.001, 1.001] {
            assert_eq!(tuning.with_pan(wrong), Err(TuningError::Pan), "{wrong}");
        }
        for right in [-0.0, 0.0, f32::MIN_POSITIVE, 1.0, Tuning::LOUDEST] {
            assert_eq!(tuning.with_volume(right).map(Tuning::volume), Ok(right));
        }
        assert!(tuning.with_volume(-0.0).is_ok_and(|tuning| tuning.volume().is_sign_positive()));
        assert!(tuning.with_volume(0.0).is_ok_and(Tuning::is_silent));
        assert!(tuning.with_mute(true).is_silent() && !tuning.is_silent());
    }

    #[test]
    fn the_power_of_both_sides_is_the_same_everywhere_and_the_middle_changes_nothing() {
        let gains = |tuning: Tuning, sides| tuning.gains(sides, 1).map(|[first, _]| first);
        assert_eq!(gains(Tuning::default(), true), [1.0; 2]);
        for step in -10..=10_i8 {
            let tuning = Tuning::default().with_pan(f32::from(step) / 10.0).unwrap();
            let [left, right] = gains(tuning, true);
            assert!((left * left + right * right - 2.0).abs() < 1e-5, "{step}");
            assert!((step < 0) == (left > right) && gains(tuning, false) == [1.0; 2], "{step}");
        }
        assert_eq!(gains(Tuning::default().with_pan(-1.0).unwrap(), true)[1], 0.0);
    }

    #[test]
    fn two_channels_that_are_alike_are_panned_as_one_and_none_is_lost_on_a_side_that_is_off() {
        assert_eq!(Tuning::default().gains(true, 2), [[1.0, 0.0], [0.0, 1.0]]);
        for step in -10..=10_i8 {
            let tuning = Tuning::default().with_pan(f32::from(step) / 10.0).unwrap();
            for (two, one) in tuning.gains(true, 2).into_iter().zip(tuning.gains(true, 1)) {
                assert!((two[0] + two[1] - one[0]).abs() < 1e-6, "{step}");
            }
            let of_channel = |n: usize| tuning.gains(true, 2).iter().map(|side| side[n].powi(2)).sum::<f32>();
            assert!(of_channel(0) > 0.32 && of_channel(1) > 0.32, "{step}: 5 dB at most");
            assert_eq!(tuning.gains(false, 2), [[1.0, 0.0], [0.0, 1.0]]);
        }
    }

    #[test]
    fn memory_is_bounded_and_whoever_is_heard_as_it_comes_takes_none() {
        let member = |n: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&n.to_le_bytes());
            MemberId::from_bytes(bytes)
        };
        let softly = Tuning::default().with_volume(0.5).unwrap();
        let mut tunings = Tunings::new();
        let room = tunings.0.capacity();
        (0..MOST).for_each(|n| tunings.set(member(n), softly).unwrap());
        assert_eq!(tunings.set(member(MOST), softly), Err(TuningError::Full));
        assert_eq!(tunings.set(member(MOST), Tuning::default()), Ok(()));
        assert_eq!(tunings.set(member(7), softly.with_mute(true)), Ok(()));
        assert_eq!(
            (tunings.of(member(7)), tunings.of(member(MOST))),
            (softly.with_mute(true), Tuning::default())
        );
        assert_eq!(tunings.set(member(3), Tuning::default()), Ok(()));
        assert_eq!(tunings.set(member(MOST), softly), Ok(()));
        assert_eq!((tunings.iter().count(), tunings.0.capacity()), (MOST, room));
    }
}
