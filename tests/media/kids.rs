//! Key ids as an observer sees them: numbers that name nobody and link nothing (SPEC section 4.4).

use std::{collections::BTreeSet, time::Duration};

use sottovoce::Leaf;
use sottovoce_testkit::stage::{GROUP_ID, Profile, Stage, group, insider, opus::packet, seat};

/// All KIDs of many leaves over many steps and epochs, from an insider's calculation, which agrees
/// with ours.
fn kids() -> Vec<Vec<u32>> {
    let mut stage = Stage::in_room(GROUP_ID, (0..2).map(|leaf| seat(leaf, true)).collect(), group());
    let mut rows: Vec<Vec<u32>> = Vec::new();
    for _ in 0..4 {
        let insider = stage.insider_of((0..250).map(Leaf).collect());
        rows.extend((0..4).map(|step| insider.kids(step).into_iter().map(|kid| kid as u32).collect()));
        let spoken = insider::decode(&stage.say(1, &packet(&[]))).unwrap().0;
        assert_eq!(u64::from(rows[rows.len() - 4][1]), spoken);
        stage.enter(&stage.seats(), &[]);
    }
    rows
}

#[test]
fn the_29_free_bits_are_uniform_and_the_other_three_say_nothing_of_the_leaf() {
    let rows = kids();
    let all: Vec<u32> = rows.iter().flatten().copied().collect();
    assert_eq!(all.len(), 4 * 4 * 250);
    for (index, row) in rows.iter().enumerate() {
        assert!(row.iter().all(|kid| kid >> 31 == 1 && kid & 3 == index as u32 % 4), "the step, modulo 4");
        assert_eq!(row.iter().collect::<BTreeSet<_>>().len(), row.len(), "one KID, one sender");
    }
    // Each bit by itself: 4,000 throws of a coin, within six standard deviations of 2,000.
    for bit in 2..31 {
        let ones = all.iter().filter(|kid| *kid >> bit & 1 == 1).count();
        assert!(ones.abs_diff(2_000) < 190, "bit {bit}: {ones}");
    }
    // Pairs of bits, which a linear mistake would show: 29 x 28 / 2 chi-squares of three degrees of
    // freedom.
    for (a, b) in (2..31).flat_map(|a| (a + 1..31).map(move |b| (a, b))) {
        let mut cells = [0u32; 4];
        all.iter().for_each(|kid| cells[(kid >> a & 1 | (kid >> b & 1) << 1) as usize] += 1);
        let chi: f64 = cells.iter().map(|cell| (f64::from(*cell) - 1_000.0).powi(2) / 1_000.0).sum();
        assert!(chi < 35.0, "bits {a} and {b}: {chi}");
    }
    // Bytes: 255 degrees of freedom, whose chi-square exceeds 400 once in 10^8.
    for shift in [2, 10, 18, 23] {
        let mut cells = [0u32; 256];
        all.iter().for_each(|kid| cells[(kid >> shift & 0xff) as usize] += 1);
        let expected = all.len() as f64 / 256.0;
        let chi: f64 = cells.iter().map(|cell| (f64::from(*cell) - expected).powi(2) / expected).sum();
        assert!((130.0..400.0).contains(&chi), "bits from {shift}: {chi}");
    }
}

#[test]
fn the_kids_of_one_leaf_in_two_steps_or_epochs_and_of_neighbouring_leaves_differ_in_half_their_bits() {
    let rows = kids();
    let free = |a: u32, b: u32| ((a ^ b) >> 2).count_ones();
    let steps = rows.windows(2).flat_map(|pair| pair[0].iter().zip(&pair[1]).map(|(a, b)| free(*a, *b)));
    let leaves = rows.iter().flat_map(|row| row.windows(2).map(|pair| free(pair[0], pair[1])));
    let (steps, leaves): (Vec<_>, Vec<_>) = (steps.collect(), leaves.collect());
    for distances in [steps, leaves] {
        // 29 fair coins each: mean 14.5; the mean of 3,750 lies within 0.3 of it.
        let mean = f64::from(distances.iter().sum::<u32>()) / distances.len() as f64;
        assert!((14.2..14.8).contains(&mean), "{mean} over {}", distances.len());
    }
}

#[test]
fn every_header_has_seven_bytes_and_every_packet_of_a_room_one_size() {
    for profile in Profile::all() {
        let mut stage = Stage::of(3, profile);
        let mut sizes = BTreeSet::new();
        for _ in 0..12 {
            for leaf in 0..3 {
                for said in [b"".as_slice(), b"a few words", &[7; 60]] {
                    let frame = stage.say(leaf, &packet(said));
                    let (_, _, taken) = insider::decode(&frame).unwrap();
                    sizes.insert((taken, frame.len()));
                }
            }
            stage.pass(Duration::from_secs(5));
        }
        assert_eq!(sizes, BTreeSet::from([(7, 160 + 23)]));
    }
}
