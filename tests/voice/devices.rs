//! Devices as they are: blocks of any size, clocks that differ from ours, a voice on any of many
//! channels.

use std::{
    f32::consts::TAU,
    time::{Duration, Instant},
};

use sottovoce::{
    codec::FrameLength,
    voice::{Sender, SenderOptions, SenderStats, playback},
};
use sottovoce_testkit::line::{Line, Network, UNIX_MS, delay, speech, tone};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// Samples at 48 kHz that a device takes or gives at a time: 5 to 250 ms, odd sizes among them.
const BLOCKS: [usize; 12] = [240, 441, 480, 512, 1_024, 1_920, 2_646, 4_096, 5_761, 8_192, 9_600, 12_000];

#[test]
fn a_loudspeaker_that_takes_much_at_a_time_costs_delay_and_not_sound() {
    for block in BLOCKS {
        let mut line = Line::new(1, vec![tone(220.0, 0.4, 21)], Network::default());
        line.playing = block;
        line.run(20 * SECOND);
        let share = line.made_up_share();
        assert!(share < 0.01, "{block} samples at a time: {:.1} % made up", share * 100.0);
        let heard = &line.heard[48_000..];
        let roughest = heard.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(roughest < 0.03, "{block} samples at a time: {roughest}");
    }
}

#[test]
fn a_loudspeaker_that_takes_less_at_a_time_than_before_gives_the_delay_back() {
    let track = speech(40);
    let mut line = Line::new(2, vec![track.clone()], Network { delay: 20 * MS, ..Network::default() });
    line.playing = 9_600;
    line.run(10 * SECOND);
    line.playing = 240;
    line.run(20 * SECOND);
    let late = delay(&track[25 * 48_000..29 * 48_000], &line.heard[25 * 48_000..], 48_000) / 48;
    assert!(late < 100, "{late} ms");
}

#[test]
fn sound_that_is_made_long_before_it_is_heard_waits_for_packets_that_long() {
    let ahead = 100 * MS;
    let mut line = Line::new(3, vec![tone(220.0, 0.4, 11)], Network::default());
    line.playing = 48_000 * 20;
    line.listener.set_lead(ahead);
    for ms in 0..10_000_u64 {
        line.run(MS);
        if ms % 5 == 0 {
            let now = line.now() + ahead;
            let mut block = [0.0; 240];
            line.listener.render(now, &mut block);
            line.heard.extend(block);
        }
    }
    assert!(line.made_up_ms() < 100, "{} ms made up", line.made_up_ms());
}

#[test]
fn the_way_to_a_loudspeaker_says_how_much_is_taken_at_a_time() {
    let (media, mut callback) = playback(48_000);
    assert_eq!(media.block(), 0);
    for block in [480, 4_096, 256] {
        callback.fill(&mut vec![0.0; block]);
    }
    assert_eq!(media.block(), 4_096);
}

#[test]
fn a_microphone_that_gives_much_at_a_time_drops_nothing() {
    for frame in [FrameLength::Ms20, FrameLength::Ms40, FrameLength::Ms60] {
        for block in BLOCKS {
            let stats = record(frame, block, 0.0, 10);
            assert_eq!(stats.dropped, 0, "{frame:?}, {block}: {stats:?}");
            // Before the first block there is nothing, and where it ends is not where a tick is.
            let missing = block.div_ceil(frame.samples()) as u64 + 1;
            assert!(stats.filled <= missing, "{frame:?}, {block}: {stats:?}");
        }
    }
}

#[test]
fn a_microphone_whose_clock_differs_is_stretched_and_not_cut() {
    let (mut cases, all) = (vec![], [-500.0, -300.0, -50.0, 50.0, 300.0, 500.0]);
    for block in [480, 1_024, 1_920, 4_096] {
        cases.extend(all.map(|ppm| (FrameLength::Ms40, block, ppm)));
    }
    for frame in [FrameLength::Ms20, FrameLength::Ms60] {
        for block in [480, 960, 1_920, 3_840] {
            cases.extend([-500.0, 500.0].map(|ppm| (frame, block, ppm)));
        }
    }
    for (frame, block, ppm) in cases {
        let stats = record(frame, block, ppm, 60);
        let at_first = block.div_ceil(frame.samples()) as u64;
        assert!(stats.filled <= at_first + 1, "{frame:?}, {block}, {ppm}: {stats:?}");
        assert_eq!(stats.dropped, 0, "{frame:?}, {block}, {ppm}: {stats:?}");
        if ppm == 500.0 && block == 480 {
            assert!(stats.shortened >= 120, "{frame:?}, {block}: {stats:?}");
        }
        if ppm == -500.0 {
            assert!(stats.lengthened >= 1_000, "{frame:?}, {block}: {stats:?}");
        }
    }
}

/// A tone through a device that gives blocks of that size, faster than ours by so many parts in a
/// million.
fn record(frame: FrameLength, block: usize, ppm: f64, seconds: u32) -> SenderStats {
    let mut options = SenderOptions::default();
    options.frame = frame;
    options.size = sottovoce::PacketSize::new(600).unwrap();
    let mut sender = Sender::new(options).unwrap();
    let began = Instant::now();
    sender.set_live(true, began, UNIX_MS);
    let (mut at, mut pcm) = (0_usize, vec![0.0; block]);
    for ms in 0..seconds * 1_000 {
        while (at + block) as f64 / 48.0 / (1.0 + ppm / 1e6) <= f64::from(ms) {
            for (n, sample) in pcm.iter_mut().enumerate() {
                *sample = 0.4 * (TAU * ((220 * (at + n)) % 48_000) as f32 / 48_000.0).sin();
            }
            at += block;
            sender.capture(&pcm).unwrap();
        }
        while sender.next_packet(began + ms * MS).is_some() {}
    }
    sender.stats()
}

#[test]
fn samples_that_trickle_in_a_little_too_slowly_are_stretched_too() {
    for ppm in [50.0, 300.0, 500.0] {
        let mut sender = Sender::new(SenderOptions::default()).unwrap();
        let began = Instant::now();
        sender.set_live(true, began, UNIX_MS);
        let (mut owed, mut at) = (0.0, 0);
        for ms in 0..120_000 {
            owed += 48.0 * (1.0 - ppm * 1e-6);
            if ms % 10 == 9 {
                let len = owed as usize;
                let tone = (at..at + len).map(|n| 0.4 * (TAU * ((220 * n) % 48_000) as f32 / 48_000.0).sin());
                sender.capture(&tone.collect::<Vec<_>>()).unwrap();
                at += len;
                owed -= len as f64;
            }
            while sender.next_packet(began + ms * MS).is_some() {}
        }
        let stats = sender.stats();
        assert!(stats.filled <= 1 && stats.dropped == 0, "{ppm}: {stats:?}");
    }
}

#[test]
fn a_voice_is_as_loud_as_on_one_channel_whichever_channels_it_is_on() {
    let mono = loudest(1, |_, sample| sample);
    for channels in [2, 3, 6, 8, 18, 32] {
        let opposite = loudest(channels, |channel, sample| if channel % 2 == 0 { sample } else { -sample });
        let last = loudest(channels, |channel, sample| if channel + 1 == channels { sample } else { 0.0 });
        let first = loudest(channels, |channel, sample| if channel == 0 { sample } else { 0.0 });
        for level in [opposite, last, first] {
            assert!(
                level <= mono + 1,
                "{channels}: {opposite}, {last} and {first} dB below overload, not {mono}"
            );
        }
    }
}

/// The loudest packet of a voice that each channel hears in its own way, in dB below overload.
fn loudest(channels: u16, hears: impl Fn(u16, f32) -> f32) -> u8 {
    let mut options = SenderOptions::default();
    options.channels = channels;
    let mut sender = Sender::new(options).unwrap();
    let began = Instant::now();
    sender.set_live(true, began, UNIX_MS);
    let mut loudest = 127;
    for (ms, block) in speech(3).chunks(48).enumerate() {
        let pcm: Vec<f32> =
            block.iter().flat_map(|sample| (0..channels).map(|channel| hears(channel, *sample))).collect();
        sender.capture(&pcm).unwrap();
        while let Some(packet) = sender.next_packet(began + MS * ms as u32) {
            loudest = loudest.min(packet.stamp.level.below_overload());
        }
    }
    loudest
}
