//! Seeded chance, for media lanes that lose, repeat and reorder on purpose.

use std::{error::Error, fmt, str::FromStr};

/// A share of packets, from 0 to 100 per cent, in steps of a ten-thousandth of one per cent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent {
    millionths: u32,
}

impl Percent {
    /// None of them.
    pub const ZERO: Self = Self { millionths: 0 };

    /// A share given in per cent: `Percent::new(2.5)`.
    ///
    /// # Errors
    /// [`InvalidPercent`] outside 0 to 100.
    pub fn new(percent: f64) -> Result<Self, InvalidPercent> {
        if (0.0..=100.0).contains(&percent) {
            Ok(Self { millionths: (percent * 10_000.0).round() as u32 })
        } else {
            Err(InvalidPercent)
        }
    }
}

impl FromStr for Percent {
    type Err = InvalidPercent;

    fn from_str(percent: &str) -> Result<Self, Self::Err> {
        percent.parse().map_err(|_| InvalidPercent).and_then(Self::new)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", f64::from(self.millionths) / 10_000.0)
    }
}

/// The value is not a number from 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPercent;

impl fmt::Display for InvalidPercent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a percentage is a number from 0 to 100")
    }
}

impl Error for InvalidPercent {}

/// A stream of random numbers that its seed replays (SplitMix64).
///
/// Written out because a seed that was printed with a failure must still replay it after the next
/// update of a random number crate. Not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    /// The stream number `stream` of a seed: streams of one seed are independent.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let seed = Self { state: seed }.next();
        Self { state: Self { state: seed ^ stream }.next() }
    }

    /// True in `share` of all cases. Always takes one number from the stream.
    pub(crate) fn roll(&mut self, share: Percent) -> bool {
        self.below(1_000_000) < u64::from(share.millionths)
    }

    /// A number from 0 to `limit - 1`; 0 if `limit` is 0. Always takes one number from the stream.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        let scaled = u128::from(self.next()) * u128::from(limit);
        (scaled >> 64) as u64
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_a_number_from_0_to_100() {
        assert_eq!(Percent::new(0.0), Ok(Percent::ZERO));
        assert_eq!("2.5".parse::<Percent>().unwrap().to_string(), "2.5 %");
        for wrong in ["-1", "100.1", "NaN", "inf", "", "5%"] {
            assert_eq!(wrong.parse::<Percent>(), Err(InvalidPercent), "{wrong}");
        }
    }

    #[test]
    fn the_stream_is_splitmix64() {
        // First outputs for seed 0, as the algorithm's reference code prints them.
        let mut dice = Dice { state: 0 };
        assert_eq!([dice.next(), dice.next()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    }

    #[test]
    fn the_share_is_met_and_the_seed_replays_it() {
        let rolls = |seed, stream| {
            let mut dice = Dice::new(seed, stream);
            let share = Percent::new(10.0).unwrap();
            (0..10_000).map(|_| dice.roll(share)).collect::<Vec<_>>()
        };
        let hits = rolls(1, 2).iter().filter(|hit| **hit).count();
        assert!((900..1_100).contains(&hits), "{hits}");
        assert_eq!(rolls(1, 2), rolls(1, 2));
        assert_ne!(rolls(1, 2), rolls(1, 3));
        assert_ne!(rolls(1, 2), rolls(2, 2));
        assert_ne!(rolls(1, 1), rolls(2, 2));
        let mut dice = Dice::new(3, 0);
        assert!((0..1_000).all(|_| !dice.roll(Percent::ZERO)));
        assert!((0..1_000).all(|_| dice.roll(Percent::new(100.0).unwrap())));
        assert_eq!(dice.below(0), 0);
    }
}
