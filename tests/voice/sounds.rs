//! Rooms for stereo and music (SPEC section 13.7): both sides stay where they are, whatever happens
//! on the way, and music keeps what speech has no bits for.

use std::{f32::consts::TAU, time::Duration};

use sottovoce::{
    Authenticity, PacketSize,
    codec::{Decoder, Encoder, FrameLength, MAX_SAMPLES},
    media::{OpusPacket, Sound},
    voice::{ReceiverOptions, Sender, SenderOptions, Tuning},
};
use sottovoce_testkit::{
    line::{Line, Network, speech, unsigned},
    stage::{self, Profile, name},
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const STEREO: [Sound; 2] = [Sound::StereoSpeech, Sound::Music];

/// A second or more of both sides, interleaved.
fn sides(seconds: usize, side: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    (0..2 * 48_000 * seconds).map(|n| side(n % 2, n / 2)).collect()
}

/// A tone of so many hertz, in moment `n`.
fn tone(hertz: f32, n: usize) -> f32 {
    0.4 * (TAU * (f64::from(hertz) * n as f64 / 48_000.0).fract() as f32).sin()
}

/// Decibels of each side of what is heard.
fn levels(heard: &[f32], channels: usize) -> Vec<f32> {
    let level = |channel: usize| {
        let samples = heard.iter().skip(channel).step_by(channels);
        let power = samples.clone().map(|sample| sample * sample).sum::<f32>() / samples.count() as f32;
        10.0 * power.max(1e-12).log10()
    };
    (0..channels).map(level).collect()
}

/// One speaker of a room for `sound`, heard by a device of so many channels.
fn line(sound: Sound, track: Vec<f32>, channels: u16, network: Network, profile: Profile) -> Line {
    let mut options = ReceiverOptions::default();
    (options.sound, options.channels) = (sound, channels);
    let profile = Profile { size: 400, ..profile };
    let mut line = Line::with(41, vec![track], network, profile, options);
    // The line counts samples of one channel.
    line.playing = 240 * usize::from(channels);
    line.drift_ppm = (f64::from(channels) - 1.0) * 1e6;
    line
}

/// The decibels of both sides in the second after the first.
fn heard(line: &mut Line, channels: u16) -> Vec<f32> {
    line.run(SECOND);
    line.heard.clear();
    line.run(SECOND);
    levels(&line.heard, channels.into())
}

#[test]
fn what_is_said_on_one_side_is_heard_on_that_side() {
    for sound in STEREO {
        for profile in [stage::signed(), unsigned()] {
            for (side, hertz) in [(0, 440.0), (1, 440.0), (0, 3_000.0), (1, 150.0)] {
                let track = sides(3, |at, n| if at == side { tone(hertz, n) } else { 0.0 });
                let mut line = line(sound, track, 2, Network::default(), profile);
                let levels = heard(&mut line, 2);
                let apart = levels[side] - levels[1 - side];
                println!("{sound:?} {:?} side {side}, {hertz} Hz: {levels:.1?} dB", profile.authenticity);
                assert!(apart > 20.0, "{sound:?} {side} {hertz}: {levels:?}");
                assert!((levels[side] + 11.0).abs() < 1.5, "{sound:?}: as loud as it was: {levels:?}");
            }
        }
    }
}

#[test]
fn sides_stay_apart_on_a_bad_network_and_through_stretching() {
    for sound in STEREO {
        let voice = speech(20);
        let track = sides(20, |at, n| if at == 0 { voice[n] } else { 0.0 });
        let network = Network { delay: 30 * MS, jitter: 30 * MS, loss: 5.0 };
        let mut line = line(sound, track, 2, network, stage::signed());
        line.run(2 * SECOND);
        line.heard.clear();
        line.run(16 * SECOND);
        let levels = levels(&line.heard, 2);
        let stats = line.listener.talkers().next().unwrap().stats;
        println!("{sound:?}: {levels:.1?} dB, {stats:?}");
        assert!(levels[0] - levels[1] > 15.0, "{sound:?}: {levels:?}");
        // Copies of lost packets come a packet later, for which the delay is stretched.
        assert_eq!(stats.stretched_samples > 0, sound != Sound::Music, "{stats:?}");
        assert!(stats.recovered + stats.concealed > 10, "{stats:?}");
        assert_eq!(stats.recovered == 0, sound == Sound::Music, "music has no copies: {stats:?}");
        assert!(line.heard.iter().all(|sample| sample.is_finite()));
    }
}

#[test]
fn a_device_of_one_channel_hears_both_sides() {
    for sound in STEREO {
        let track = sides(3, |at, n| if at == 0 { tone(440.0, n) } else { tone(1_000.0, n) });
        let mut line = line(sound, track, 1, Network::default(), stage::signed());
        let levels = heard(&mut line, 1);
        // Half of each amplitude: 6 dB less of two that add up to 3 dB more.
        assert!((levels[0] + 14.0).abs() < 1.5, "{sound:?}: {levels:?}");
    }
}

#[test]
fn volume_pan_and_mute_hold_for_two_channels() {
    let apart = |sound, tuning: Tuning| {
        let track = sides(3, |at, n| if at == 1 { tone(440.0, n) } else { 0.0 });
        let mut line = line(sound, track, 2, Network::default(), stage::signed());
        line.listener.tune(name(1), tuning).unwrap();
        heard(&mut line, 2)
    };
    let tuning = Tuning::default();
    for sound in STEREO {
        let as_it_comes = apart(sound, tuning);
        let softer = apart(sound, tuning.with_volume(0.5).unwrap());
        assert!((as_it_comes[1] - softer[1] - 6.0).abs() < 0.3, "{as_it_comes:?} {softer:?}");
        // What is said on the right is heard though only the left is on.
        let left = apart(sound, tuning.with_pan(-1.0).unwrap());
        assert!((as_it_comes[1] - left[0] - 3.0).abs() < 0.3, "{as_it_comes:?} {left:?}");
        assert!(left[1] < -100.0, "{left:?}");
        let right = apart(sound, tuning.with_pan(1.0).unwrap());
        assert!((as_it_comes[1] - right[1] - 3.0).abs() < 0.3, "{as_it_comes:?} {right:?}");
        assert!(apart(sound, tuning.with_mute(true)).iter().all(|level| *level < -100.0));
    }
}

#[test]
fn a_change_of_pan_does_not_click() {
    let track = sides(5, |_, n| tone(300.0, n));
    let mut line = line(Sound::Music, track, 2, Network::default(), stage::signed());
    line.run(SECOND);
    line.heard.clear();
    for (pan, _) in [(-1.0, 0), (1.0, 1), (0.0, 2)] {
        line.listener.tune(name(1), Tuning::default().with_pan(pan).unwrap()).unwrap();
        line.run(200 * MS);
    }
    for side in 0..2 {
        let heard: Vec<f32> = line.heard.iter().skip(side).step_by(2).copied().collect();
        let roughest = heard.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(roughest < 0.03, "side {side}: {roughest}");
    }
}

#[test]
fn packets_have_one_size_and_one_rate_whatever_is_said() {
    for (sound, length) in [(Sound::StereoSpeech, 40), (Sound::Music, 20)] {
        for (profile, size) in [(stage::signed(), 325), (unsigned(), 400)] {
            let voice = speech(6);
            let track = sides(6, |at, n| match n / 48_000 {
                0 | 3 => 0.0,
                1 => voice[n],
                2 => {
                    if at == 0 {
                        tone(9_000.0, n)
                    } else {
                        0.0
                    }
                }
                _ => (((n * 7_919 + at * 104_729) % 2_001) as f32 - 1_000.0) / 1_001.0,
            });
            let mut line = line(sound, track, 2, Network::default(), profile);
            line.run(5 * SECOND);
            let talking = &line.talking[0];
            assert!(talking.opus.iter().all(|opus| opus.len() == size), "{sound:?}");
            assert!(talking.sent.iter().all(|(_, sealed)| *sealed == 423));
            let gaps = talking.sent.windows(2).map(|pair| pair[1].0 - pair[0].0);
            assert!(gaps.clone().count() > 100 && gaps.clone().all(|gap| gap == length * MS), "{sound:?}");
            let all_stereo = talking.opus.iter().all(|opus| opus[0] & 0x04 != 0);
            assert!(all_stereo, "{sound:?}: silence and mono sound too");
        }
    }
}

#[test]
fn a_sender_takes_frame_and_size_from_the_sound() {
    for sound in STEREO {
        for frame in [FrameLength::Ms20, FrameLength::Ms60] {
            let mut options = SenderOptions::default();
            (options.sound, options.frame, options.size) = (sound, frame, PacketSize::new(16).unwrap());
            let now = std::time::Instant::now();
            let mut sender = Sender::new(options).unwrap();
            sender.set_live(true, now, 1);
            let tick = FrameLength::of_sound(sound).unwrap().millis();
            assert_eq!(sender.poll_timeout(), Some(now + tick * MS));
            assert_eq!(sender.next_packet(now + tick * MS).unwrap().opus.len(), 325);
        }
    }
}

#[test]
fn what_a_liar_seals_is_played_in_the_channels_of_the_room() {
    // Mono in a room for music, and stereo in a room for speech.
    for (said, room) in [(Sound::Speech, Sound::Music), (Sound::Music, Sound::Speech)] {
        for channels in [1, 2] {
            let track = match said {
                Sound::Speech => (0..3 * 48_000).map(|n| tone(440.0, n)).collect(),
                _ => sides(3, |_, n| tone(440.0, n)),
            };
            let mut line = line(said, track, channels, Network::default(), stage::signed());
            let mut options = ReceiverOptions::default();
            (options.sound, options.channels) = (room, channels);
            line.listener = sottovoce::voice::Receiver::new(options, line.began).unwrap();
            for level in heard(&mut line, channels) {
                assert!((level + 11.0).abs() < 1.0, "{said:?} {room:?} {channels}: {level}");
            }
            assert_eq!(line.refused, 0);
        }
    }
}

/// The amplitude of each of these tones after a room for `sound`, in decibels of what it was.
fn tones_after(sound: Sound, size: u16, hertz: &[f32]) -> Vec<f32> {
    let channels = usize::from(sound.channels());
    let frame = FrameLength::of_sound(sound).unwrap_or_default();
    let size = PacketSize::new(size).unwrap();
    let mut encoder = Encoder::of_sound(sound, frame, size, Authenticity::Signed).unwrap();
    let mut decoder = if channels == 2 { Decoder::stereo() } else { Decoder::new() }.unwrap();
    let (mut packet, mut pcm) = ([0; 1_000], vec![0; MAX_SAMPLES * channels]);
    let mut left = Vec::new();
    for at in (0..3 * 48_000).step_by(frame.samples()) {
        let said: Vec<i16> = (at..at + frame.samples())
            .map(|n| hertz.iter().map(|hertz| tone(*hertz, n)).sum::<f32>() / hertz.len() as f32 * 2.0)
            .flat_map(|sample| std::iter::repeat_n((sample * 32_767.0) as i16, channels))
            .collect();
        let len = encoder.encode(&said, &mut packet).unwrap();
        let samples = decoder.decode(OpusPacket::parse(&packet[..len]).unwrap(), &mut pcm).unwrap();
        left.extend(pcm[..samples * channels].iter().step_by(channels).map(|s| f32::from(*s) / 32_768.0));
    }
    let second = &left[48_000..96_000];
    let amplitude = |hertz: f32| {
        let (mut sin, mut cos) = (0.0, 0.0);
        for (n, sample) in second.iter().enumerate() {
            let phase = TAU * (f64::from(hertz) * n as f64 / 48_000.0).fract() as f32;
            (sin, cos) = (sin + sample * phase.sin(), cos + sample * phase.cos());
        }
        (sin * sin + cos * cos).sqrt() * 2.0 / second.len() as f32
    };
    let said = 0.8 / hertz.len() as f32;
    hertz.iter().map(|hertz| 20.0 * (amplitude(*hertz) / said).max(1e-6).log10()).collect()
}

#[test]
fn music_keeps_high_tones_that_speech_has_no_bits_for() {
    let hertz = [300.0, 1_000.0, 3_000.0, 6_000.0, 9_000.0, 12_000.0, 15_000.0, 18_000.0];
    let speech = tones_after(Sound::Speech, 240, &hertz);
    let stereo = tones_after(Sound::StereoSpeech, 400, &hertz);
    let music = tones_after(Sound::Music, 400, &hertz);
    println!(
        "Hz            {hertz:?}\nspeech        {speech:.1?}\nstereo speech {stereo:.1?}\nmusic         {music:.1?}"
    );
    assert!(music.iter().all(|level| level.abs() < 1.0), "{music:?}");
}
