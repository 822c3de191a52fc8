//! What an observer of packets learns of what is said: nothing, by sizes or by times. The same
//! observer learns a lot from packets at variable bitrate with DTX, so it is a good one.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use sottovoce_testkit::line::{Line, Network, noise, speech};

/// What leaves a device in one second: how large each packet is, and how long after the one before
/// it.
type Second = Vec<(usize, Duration)>;

/// The kinds of sound that an observer would like to tell apart.
const KINDS: usize = 3;

/// Something like music: chords that change twice a second.
fn music(seconds: usize) -> Vec<f32> {
    let chord =
        |n: usize| [[261.6, 329.6, 392.0], [220.0, 277.2, 329.6], [293.7, 370.0, 440.0]][n / 24_000 % 3];
    (0..seconds * 48_000)
        .map(|n| {
            chord(n)
                .iter()
                .map(|f: &f64| (n as f64 / 48_000.0 * f * std::f64::consts::TAU).sin())
                .sum::<f64>() as f32
                * 0.15
        })
        .collect()
}

/// Speech with its pauses, silence with a little noise, music.
fn tracks(seconds: usize) -> [Vec<f32>; KINDS] {
    [speech(seconds), noise(5, 0.000_1, seconds), music(seconds)]
}

fn seconds_of(packets: &[(Duration, usize)]) -> Vec<Second> {
    let gaps = packets.windows(2).map(|pair| (pair[1].0, (pair[1].1, pair[1].0 - pair[0].0)));
    let mut out: Vec<Second> = Vec::new();
    for (at, packet) in gaps {
        let second = at.as_secs() as usize;
        out.resize(out.len().max(second + 1), Vec::new());
        out[second].push(packet);
    }
    out
}

/// What the observer looks at: number, mean and spread of sizes, longest gap.
fn features(second: &Second) -> [f64; 4] {
    let n = second.len().max(1) as f64;
    let mean = second.iter().map(|(size, _)| *size as f64).sum::<f64>() / n;
    let spread = (second.iter().map(|(size, _)| (*size as f64 - mean).powi(2)).sum::<f64>() / n).sqrt();
    let gap = second.iter().map(|(_, gap)| gap.as_secs_f64()).fold(0.0, f64::max);
    [second.len() as f64, mean, spread, gap * 1_000.0]
}

/// Learns from even seconds what each kind looks like, and says how many of the odd ones it gets
/// right.
fn accuracy(kinds: &[Vec<Second>; KINDS]) -> f64 {
    let mut rng = StdRng::seed_from_u64(7);
    let of = |seconds: &Vec<Second>, odd: usize| -> Vec<[f64; 4]> {
        seconds
            .iter()
            .skip(2)
            .enumerate()
            .filter(|(n, _)| n % 2 == odd)
            .map(|(_, second)| features(second))
            .collect()
    };
    let known: Vec<Vec<[f64; 4]>> = kinds.iter().map(|kind| of(kind, 0)).collect();
    let all: Vec<[f64; 4]> = known.concat();
    let scale: [f64; 4] = std::array::from_fn(|f| {
        let mean = all.iter().map(|one| one[f]).sum::<f64>() / all.len() as f64;
        (all.iter().map(|one| (one[f] - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt().max(1e-9)
    });
    let (mut right, mut asked) = (0.0, 0.0);
    for (kind, seconds) in kinds.iter().enumerate() {
        for second in of(seconds, 1) {
            // Its nearest neighbour; of equals any one.
            let mut best: (f64, Vec<usize>) = (f64::INFINITY, vec![]);
            for (guess, examples) in known.iter().enumerate() {
                for example in examples {
                    let far = (0..4).map(|f| ((second[f] - example[f]) / scale[f]).powi(2)).sum::<f64>();
                    if far < best.0 {
                        best = (far, vec![guess]);
                    } else if far == best.0 {
                        best.1.push(guess);
                    }
                }
            }
            right += f64::from(u8::from(best.1[rng.random_range(0..best.1.len())] == kind));
            asked += 1.0;
        }
    }
    right / asked
}

#[test]
fn speech_silence_and_music_leave_the_device_alike() {
    const SECONDS: usize = 40;
    let kinds = tracks(SECONDS).map(|track| {
        let mut line = Line::new(1, vec![track], Network::default());
        line.run(Duration::from_secs(SECONDS as u64));
        let sent = &line.talking[0].sent;
        assert!(sent.iter().all(|(_, size)| *size == 263));
        assert!(sent.windows(2).all(|pair| pair[1].0 - pair[0].0 == Duration::from_millis(40)));
        seconds_of(sent)
    });
    assert_eq!(kinds[0], kinds[1]);
    assert_eq!(kinds[0], kinds[2]);
    let guessed = accuracy(&kinds);
    assert!((guessed - 1.0 / KINDS as f64).abs() < 0.15, "the observer is right in {guessed}");
}

#[test]
fn the_same_observer_reads_variable_bitrate_and_dtx() {
    const SECONDS: usize = 40;
    let kinds = tracks(SECONDS).map(|track| {
        let mut encoder = opus::Encoder::new(48_000, opus::Channels::Mono, opus::Application::Voip).unwrap();
        encoder.set_bitrate(opus::Bitrate::Bits(32_000)).unwrap();
        encoder.set_vbr(true).unwrap();
        encoder.set_dtx(true).unwrap();
        let mut sent = Vec::new();
        for (n, frame) in track.chunks_exact(1_920).enumerate() {
            let packet = encoder.encode_vec_float(frame, 1_000).unwrap();
            // A packet of one or two bytes says that there is nothing to send.
            if packet.len() > 2 {
                sent.push((Duration::from_millis(40) * n as u32, packet.len() + 23));
            }
        }
        let mut seconds = seconds_of(&sent);
        seconds.resize(SECONDS, Vec::new());
        seconds
    });
    let guessed = accuracy(&kinds);
    assert!(guessed > 0.9, "the observer is right in {guessed}");
}
