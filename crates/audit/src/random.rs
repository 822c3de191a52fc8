//! Does this look like what a cipher puts out? Entropy, chi-square, constant places, repetition,
//! text.
//!
//! A threshold is a false alarm in about three million trials (five standard deviations) where
//! nothing else is said, so a capture with a hundred flows raises one by chance every ten thousand
//! times.

use std::collections::HashSet;

/// What was measured of some bytes, and what speaks against their being random.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// How many there are.
    pub bytes: usize,
    /// Shannon entropy in bits per byte.
    pub entropy: f64,
    /// What random bytes of that number have, five standard deviations either way. None below 1,280
    /// bytes.
    pub band: Option<(f64, f64)>,
    /// Chi-square with 255 degrees of freedom, as standard deviations from what is expected.
    pub chi: f64,
    /// The longest run of printable ASCII.
    pub text: String,
    /// What is wrong, in words. Empty if nothing is.
    pub wrong: Vec<String>,
}

/// Measures all pieces as one lot, and the places within pieces of one size.
pub fn measure<'a>(pieces: impl Iterator<Item = &'a [u8]> + Clone) -> Measured {
    let mut counts = [0u64; 256];
    let mut longest: &[u8] = &[];
    let mut bytes = 0;
    for piece in pieces.clone() {
        bytes += piece.len();
        piece.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
        let runs = piece.split(|byte| !(0x20..0x7f).contains(byte));
        longest = runs.chain([longest]).max_by_key(|run| run.len()).unwrap_or(longest);
    }
    let n = bytes as f64;
    let share = |count: &u64| *count as f64 / n.max(1.0);
    let entropy =
        counts.iter().filter(|count| **count > 0).map(|count| -share(count) * share(count).log2()).sum();
    // 2 n ln 2 (8 - H) is chi-square with 255 degrees of freedom, of variance 510.
    let deficit = |chi: f64| 8.0 - chi / (2.0 * n * std::f64::consts::LN_2);
    let spread = SIGMAS * 510f64.sqrt();
    let band = (bytes >= ENOUGH).then(|| (deficit(255.0 + spread), deficit(255.0 - spread).min(8.0)));
    let expected = n / 256.0;
    let chi_square: f64 =
        counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected.max(1e-9)).sum();
    // Wilson and Hilferty: the cube root of chi-square is close to normal.
    let k = 2.0 / (9.0 * 255.0);
    let chi = ((chi_square / 255.0).cbrt() - (1.0 - k)) / k.sqrt();
    let text = String::from_utf8_lossy(longest).into_owned();
    let mut wrong = Vec::new();
    if let Some((low, high)) = band {
        if entropy < low || entropy > high {
            wrong.push(format!("entropy {entropy:.4} bits per byte is outside {low:.4} to {high:.4}"));
        }
        if chi.abs() > SIGMAS {
            wrong.push(format!("byte values are {chi:+.1} standard deviations from even"));
        }
    }
    // 95 of 256 bytes are printable.
    if !longest.is_empty() && n * (95f64 / 256.0).powi(longest.len() as i32) < 1e-6 {
        wrong.push(format!("a text of {} characters stands there: {:.60?}", longest.len(), text));
    }
    wrong.extend(constant_places(pieces.clone()));
    wrong.extend(repeated_blocks(pieces));
    Measured { bytes, entropy, band, chi, text, wrong }
}

/// Places that hold the same byte too often: a header or padding that was not sealed.
fn constant_places<'a>(pieces: impl Iterator<Item = &'a [u8]> + Clone) -> Option<String> {
    let lot: Vec<&[u8]> = pieces.collect();
    if lot.len() < 24 {
        return None;
    }
    let longest = lot.iter().map(|piece| piece.len()).max()?.min(2_048);
    let from_the_end = |piece: &&[u8], place: usize| piece.iter().rev().nth(place).copied();
    let mut places = Vec::new();
    for place in 0..longest {
        for end in [false, true] {
            let bytes = lot.iter().filter_map(|piece| match end {
                false => piece.get(place).copied(),
                true => from_the_end(piece, place),
            });
            let mut counts = [0usize; 256];
            let mut n = 0usize;
            bytes.for_each(|byte| {
                counts[usize::from(byte)] += 1;
                n += 1;
            });
            let most = counts.into_iter().max().unwrap_or(0);
            // Chernoff's bound on so many of one value, for 256 values and all places.
            let (share, chance) = (most as f64 / n.max(1) as f64, 1.0 / 256.0);
            if n >= 24 && share > chance {
                let rest =
                    if share < 1.0 { (1.0 - share) * ((1.0 - share) / (1.0 - chance)).ln() } else { 0.0 };
                let bound = -(n as f64) * (share * (share / chance).ln() + rest);
                if bound + (256.0 * 2.0 * longest as f64).ln() < 1e-7f64.ln() {
                    places.push(if end { -(place as i64) - 1 } else { place as i64 });
                }
            }
        }
    }
    let first: Vec<String> = places.iter().take(6).map(i64::to_string).collect();
    let more = if places.len() > 6 { " and more" } else { "" };
    (!places.is_empty()).then(|| {
        format!(
            "{} places hold nearly the same byte in every packet: {}{more}",
            places.len(),
            first.join(", ")
        )
    })
}

/// Blocks of 16 bytes that stand in two places.
fn repeated_blocks<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<String> {
    let mut seen = HashSet::new();
    let repeated =
        pieces.flat_map(|piece| piece.chunks_exact(16)).filter(|block| !seen.insert(*block)).count();
    (repeated > 0).then(|| format!("{repeated} blocks of 16 bytes stand there more than once"))
}

/// How many bytes the tests of value counts need.
pub const ENOUGH: usize = 1_280;
const SIGMAS: f64 = 5.0;
