//! What echo cancellation, noise suppression and gain control do to real speech: measured on what
//! leaves the sender, before and after. `--nocapture` prints the numbers of docs/VOICE.md.

use std::time::{Duration, Instant};

use sottovoce::{
    codec::{Decoder, MAX_SAMPLES},
    media::OpusPacket,
    voice::{Noise, Processing, ProcessingOptions, Sender, SenderOptions, VoiceError},
};
use sottovoce_testkit::line::{UNIX_MS, delay, noise, speech};

/// 10 ms at 48 kHz.
const BLOCK: usize = 480;
const SECOND: usize = 48_000;

fn options(echo: bool, noise: Noise, gain: bool) -> ProcessingOptions {
    let mut options = ProcessingOptions::default();
    (options.echo, options.noise, options.gain) = (echo, noise, gain);
    options
}

/// What a listener without losses hears of a microphone that records `near` beside a loudspeaker
/// that plays `far`.
fn sent(near: &[f32], far: &[f32], processing: Option<ProcessingOptions>) -> Vec<f32> {
    let mut sender = Sender::new(SenderOptions::default()).unwrap();
    sender.process(processing.map(|options| Processing::new(options).unwrap()));
    let mut now = Instant::now();
    sender.set_live(true, now, UNIX_MS);
    let (mut decoder, mut pcm, mut heard) = (Decoder::new().unwrap(), [0; MAX_SAMPLES], Vec::new());
    for (near, far) in near.chunks_exact(BLOCK).zip(far.chunks_exact(BLOCK)) {
        sender.handle_played(far).unwrap();
        sender.capture(near).unwrap();
        now += Duration::from_millis(10);
        while let Some(packet) = sender.next_packet(now) {
            let len = decoder.decode(OpusPacket::parse(packet.opus).unwrap(), &mut pcm).unwrap();
            heard.extend(pcm[..len].iter().map(|sample| f32::from(*sample) / 32_768.0));
        }
    }
    let stats = sender.stats();
    assert_eq!((stats.dropped, stats.skipped), (0, 0), "{stats:?}");
    heard
}

/// Decibels of full scale.
fn level(sound: &[f32]) -> f32 {
    10.0 * (sound.iter().map(|s| s * s).sum::<f32>() / sound.len() as f32).max(1e-10).log10()
}

/// A small room between loudspeaker and microphone: 40 ms until the first sound is there, then 120
/// ms of echoes that die away, -12 dB in all.
fn echo(far: &[f32]) -> Vec<f32> {
    let taps = noise(99, 1.0, 1);
    let room: Vec<(usize, f32)> =
        (0..120).map(|n| (1_920 + n * 48 + n * 7 % 40, taps[n] * (-(n as f32) / 25.0).exp())).collect();
    let loud = room.iter().map(|(_, tap)| tap * tap).sum::<f32>().sqrt();
    let at =
        |n: usize| room.iter().map(move |(late, tap)| n.checked_sub(*late).map_or(0.0, |n| far[n] * tap));
    (0..far.len()).map(|n| at(n).sum::<f32>() * 0.25 / loud).collect()
}

fn sum(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

#[test]
fn the_echo_of_the_loudspeaker_is_taken_out_and_who_speaks_meanwhile_is_heard() {
    let far = speech(22);
    let hiss = noise(1, 0.0005, 22);
    let mut near = sum(&echo(&far), &hiss);
    let alone = sent(&near, &far, None);
    let cleaned = sent(&near, &far, Some(options(true, Noise::Keep, false)));
    let spans = [(1, 3), (3, 11), (11, 21)];
    for (from, to) in spans {
        let (before, after) =
            (level(&alone[from * SECOND..to * SECOND]), level(&cleaned[from * SECOND..to * SECOND]));
        println!(
            "echo, second {from} to {to}: {before:.1} dB before, {after:.1} dB after, {:.1} dB less",
            before - after
        );
    }
    let less = level(&alone[3 * SECOND..21 * SECOND]) - level(&cleaned[3 * SECOND..21 * SECOND]);
    assert!(less > 20.0, "the echo is only {less} dB softer");

    // Both talk: somebody says something else, over the second half.
    let said: Vec<f32> = speech(22).into_iter().skip(4 * SECOND).chain(speech(4)).map(|s| s * 0.7).collect();
    for n in 11 * SECOND..near.len() {
        near[n] += said[n];
    }
    let alone = sent(&sum(&said, &hiss), &vec![0.0; said.len()], None);
    let both = sent(&near, &far, Some(options(true, Noise::Keep, false)));
    let (expected, got) = (level(&alone[12 * SECOND..21 * SECOND]), level(&both[12 * SECOND..21 * SECOND]));
    println!("both talk: the near one alone {expected:.1} dB, cleaned {got:.1} dB");
    assert!((expected - got).abs() < 3.0, "{expected} {got}");
}

#[test]
fn a_steady_background_is_taken_out_and_the_voice_stays() {
    let said = speech(22);
    let silent = vec![0.0; said.len()];
    let mixed = sum(&said, &noise(2, 0.02, 22));
    // The loudest half and the softest tenth of the sound without noise: speech, and pauses.
    let clean = sent(&said, &silent, None);
    let mut frames: Vec<usize> = (5 * SECOND / 960..20 * SECOND / 960).collect();
    frames.sort_by(|a, b| level(&clean[a * 960..][..960]).total_cmp(&level(&clean[b * 960..][..960])));
    let ratio = |sound: &[f32], late: usize| {
        let of = |frames: &[usize]| -> Vec<f32> {
            frames.iter().flat_map(|frame| sound[frame * 960 + late..][..960].to_vec()).collect()
        };
        (level(&of(&frames[frames.len() / 2..])), level(&of(&frames[..frames.len() / 10])))
    };
    let before = ratio(&sent(&mixed, &silent, None), 0);
    println!(
        "noise as it is: speech {:.1} dB, pauses {:.1} dB, ratio {:.1} dB",
        before.0,
        before.1,
        before.0 - before.1
    );
    for (kind, least) in [(Noise::Low, 4.0), (Noise::Moderate, 8.0), (Noise::High, 11.0)] {
        let sound = sent(&mixed, &silent, Some(options(false, kind, false)));
        let after = ratio(&sound, delay(&clean[5 * SECOND..8 * SECOND], &sound[5 * SECOND..], 4_800));
        println!(
            "noise, {kind:?}: speech {:.1} dB, pauses {:.1} dB, ratio {:.1} dB",
            after.0,
            after.1,
            after.0 - after.1
        );
        assert!(before.1 - after.1 > least, "{kind:?}: {before:?} {after:?}");
        assert!((before.0 - after.0).abs() < 3.0, "{kind:?}: the voice itself {before:?} {after:?}");
    }
}

#[test]
fn soft_and_loud_speakers_come_to_one_level() {
    let silent = vec![0.0; 33 * SECOND];
    let mut levels = Vec::new();
    for gain in [0.05, 0.3, 1.0] {
        let said: Vec<f32> = speech(33).iter().map(|sample| sample * gain).collect();
        let before = level(&sent(&said, &silent, None)[22 * SECOND..32 * SECOND]);
        let after = sent(&said, &silent, Some(options(false, Noise::Moderate, true)));
        assert!(after.iter().all(|sample| sample.abs() <= 1.0));
        let after = level(&after[22 * SECOND..32 * SECOND]);
        println!("level: {before:.1} dB before, {after:.1} dB after");
        levels.push(after);
    }
    let spread =
        levels.iter().fold(f32::MIN, |a, b| a.max(*b)) - levels.iter().fold(f32::MAX, |a, b| a.min(*b));
    assert!(spread < 8.0, "26 dB apart before, {spread} after: {levels:?}");
}

#[test]
fn it_costs_little_time_and_little_delay() {
    let said = speech(11);
    let silent = vec![0.0; said.len()];
    let plain = sent(&said, &silent, None);
    let cleaned = sent(&said, &silent, Some(options(true, Noise::Moderate, false)));
    let late =
        |sound: &[f32]| delay(&said[3 * SECOND..6 * SECOND], &sound[3 * SECOND..], 9_600) as f32 / 48.0;
    println!("delay: {:.1} ms before, {:.1} ms after", late(&plain), late(&cleaned));
    assert!(late(&cleaned) - late(&plain) < 20.0, "{} {}", late(&plain), late(&cleaned));
    let mut processing = ProcessingOptions::default();
    processing.rate = 44_100;
    let began = Instant::now();
    sent(&said, &silent, Some(processing));
    let with = began.elapsed();
    let began = Instant::now();
    sent(&said, &silent, None);
    println!("time for 11 s, with packets and decoding: {:?} with, {:?} without", with, began.elapsed());
}

#[test]
fn what_makes_no_sense_is_refused_or_silence_and_packets_keep_their_size_and_rate() {
    let made = |rate, channels| {
        let mut options = ProcessingOptions::default();
        (options.rate, options.channels) = (rate, channels);
        Processing::new(options).err()
    };
    assert_eq!(made(7_999, 1), Some(VoiceError::Rate));
    assert_eq!(made(48_000, 0), Some(VoiceError::Channels));
    assert_eq!(made(48_000, 33), Some(VoiceError::Channels));
    assert_eq!((made(8_000, 1), made(44_100, 6), made(192_000, 32)), (None, None, None));

    let mut options = ProcessingOptions::default();
    (options.rate, options.channels) = (44_100, 2);
    let mut sender = Sender::new(SenderOptions::default()).unwrap();
    assert_eq!(sender.handle_played(&[0.0; 3]), Ok(()), "there is nothing to do it for");
    sender.process(Some(Processing::new(options).unwrap()));
    let mut now = Instant::now();
    sender.set_live(true, now, UNIX_MS);
    assert_eq!(sender.handle_played(&[0.0; 3]), Err(VoiceError::Ragged));
    let mut lengths = Vec::new();
    for n in 0..800 {
        let wild = [f32::NAN, f32::INFINITY, -1e38, 1.0, f32::MIN_POSITIVE, 0.0][n % 6];
        let far = [wild; 882];
        // The loudspeaker gives too much, nothing, and too much again.
        for _ in 0..[1, 0, 5][n / 200 % 3] {
            sender.handle_played(&far).unwrap();
        }
        sender.capture(&[wild * if n % 2 == 0 { 1.0 } else { -1.0 }; BLOCK]).unwrap();
        sender.set_muted(n / 100 % 2 == 1);
        now += Duration::from_millis(10);
        while let Some(packet) = sender.next_packet(now) {
            lengths.push(packet.opus.len());
        }
        if n == 400 {
            sender.process(None);
        } else if n == 500 {
            sender.process(Some(Processing::new(options).unwrap()));
        }
    }
    assert!(lengths.len() == 200 && lengths.iter().all(|length| *length == lengths[0]), "{}", lengths.len());
}
