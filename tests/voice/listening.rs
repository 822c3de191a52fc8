//! What one listener sets for itself: how loud and on which side each member is heard, and nobody
//! at all; and that who talks is shown when it does.

use std::time::Duration;

use sottovoce::{
    codec::FrameLength,
    voice::{Receiver, ReceiverOptions, Sender, SenderOptions, Tuning},
};
use sottovoce_testkit::line::{LISTENER, Line, Network, noise, speech, tone, unsigned};
use sottovoce_testkit::stage::{self, Profile, name, seat};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn signed() -> Profile {
    Profile { size: 240, ..stage::signed() }
}

/// A good network, and a device of so many channels that asks for 5 ms at a time.
fn line(tracks: Vec<Vec<f32>>, channels: u16) -> Line {
    let mut options = ReceiverOptions::default();
    options.channels = channels;
    let network = Network { delay: 20 * MS, ..Network::default() };
    let mut line = Line::with(31, tracks, network, signed(), options);
    // The line counts samples of one channel.
    line.playing = 240 * usize::from(channels);
    line.drift_ppm = (f64::from(channels) - 1.0) * 1e6;
    line
}

fn tune(line: &mut Line, who: u32, volume: f32, pan: f32) {
    let tuning = Tuning::default().with_volume(volume).and_then(|tuning| tuning.with_pan(pan)).unwrap();
    line.listener.tune(name(who), tuning).unwrap();
}

/// The power of what is heard on each channel in the next 200 ms, without a word of what was
/// before.
fn powers(line: &mut Line, channels: usize) -> Vec<f32> {
    line.run(200 * MS);
    line.heard.clear();
    line.run(200 * MS);
    let power = |channel: usize| {
        let samples = line.heard.iter().skip(channel).step_by(channels);
        samples.clone().map(|sample| sample * sample).sum::<f32>() / samples.count() as f32
    };
    (0..channels).map(power).collect()
}

/// How much of one tone is in the sound: its amplitude.
fn amplitude(sound: impl Iterator<Item = f32>, hertz: f32) -> f32 {
    let (mut sin, mut cos, mut count) = (0.0, 0.0, 0);
    for (n, sample) in sound.enumerate() {
        let phase = std::f32::consts::TAU * hertz * n as f32 / 48_000.0;
        sin += sample * phase.sin();
        cos += sample * phase.cos();
        count = n + 1;
    }
    (sin * sin + cos * cos).sqrt() * 2.0 / count as f32
}

#[test]
fn volume_multiplies_and_pan_keeps_the_power_of_both_sides() {
    let mut line = line(vec![tone(220.0, 0.1, 20)], 2);
    line.run(2 * SECOND);
    let [left, right] = powers(&mut line, 2)[..] else { panic!("two channels") };
    assert!((left / 0.005 - 1.0).abs() < 0.1 && left == right, "{left} {right}");
    let both = left + right;
    for (volume, pan, share_left) in [
        (1.0, -1.0, 1.0),
        (1.0, 1.0, 0.0),
        (1.0, 0.5, 0.25),
        (2.0, 0.0, 0.5),
        (0.5, -0.5, 0.75),
        (4.0, 0.0, 0.5),
    ] {
        tune(&mut line, 1, volume, pan);
        let [left, right] = powers(&mut line, 2)[..] else { panic!("two channels") };
        let expected = both * volume * volume;
        assert!(((left + right) / expected - 1.0).abs() < 0.05, "{volume} {pan}: {left} {right} {expected}");
        assert!((left / (left + right) - share_left).abs() < 0.01, "{volume} {pan}: {left} {right}");
    }
}

#[test]
fn two_speakers_stand_on_two_sides_of_a_device_and_further_channels_have_the_middle() {
    let mut line = line(vec![tone(300.0, 0.2, 20), tone(500.0, 0.2, 20)], 4);
    tune(&mut line, 1, 1.0, -1.0);
    tune(&mut line, 2, 0.5, 1.0);
    line.run(2 * SECOND);
    line.heard.clear();
    line.run(SECOND);
    let heard = |channel: usize, hertz: f32| {
        amplitude(line.heard.iter().copied().skip(channel).step_by(4), hertz) / (0.2 * 2_f32.sqrt())
    };
    for (channel, ada, ben) in [(0, 1.0, 0.0), (1, 0.0, 0.5), (2, 0.5, 0.25), (3, 0.5, 0.25)] {
        let (a, b) = (heard(channel, 300.0), heard(channel, 500.0));
        assert!((a - ada).abs() < 0.06 && (b - ben).abs() < 0.06, "channel {channel}: {a} {b}");
    }
}

#[test]
fn one_channel_has_no_sides() {
    let mut line = line(vec![tone(220.0, 0.2, 20)], 1);
    line.run(2 * SECOND);
    let before = powers(&mut line, 1)[0];
    tune(&mut line, 1, 1.0, -1.0);
    assert!((powers(&mut line, 1)[0] / before - 1.0).abs() < 0.05);
}

#[test]
fn the_loudest_volume_of_many_stays_within_full_scale_and_moves_nobody() {
    let mut line = line(vec![tone(300.0, 0.9, 8), tone(410.0, 0.9, 8)], 2);
    line.run(2 * SECOND);
    tune(&mut line, 1, Tuning::LOUDEST, 1.0);
    tune(&mut line, 2, Tuning::LOUDEST, 0.0);
    line.run(SECOND);
    line.heard.clear();
    line.run(SECOND);
    assert!(line.heard.iter().all(|sample| sample.abs() <= 1.0));
    let side = |channel: usize| amplitude(line.heard.iter().copied().skip(channel).step_by(2), 410.0);
    // Only the right is too loud; the one in the middle is softer on both sides alike.
    assert!((side(0) / side(1) - 1.0).abs() < 0.1, "{} {}", side(0), side(1));
}

#[test]
fn changes_of_volume_side_mute_and_deafness_do_not_click() {
    let mut line = line(vec![tone(220.0, 0.2, 20)], 2);
    line.run(2 * SECOND);
    line.heard.clear();
    for n in 0..40 {
        match n % 8 {
            0 => tune(&mut line, 1, 4.0, 0.0),
            1 => tune(&mut line, 1, 0.1, 1.0),
            2 => tune(&mut line, 1, 1.0, -1.0),
            3 => line.listener.tune(name(1), Tuning::default().with_mute(true)).unwrap(),
            4 => tune(&mut line, 1, 0.0, 0.0),
            5 => tune(&mut line, 1, 1.0, 0.0),
            6 => line.listener.set_deafened(true),
            _ => line.listener.set_deafened(false),
        }
        line.run(97 * MS);
    }
    // At the loudest a tone of that pitch moves by 0.024 a sample, and at 0.9 it is limited. A step
    // of its gain would move it by up to 0.7.
    for channel in 0..2 {
        let side: Vec<f32> = line.heard.iter().copied().skip(channel).step_by(2).collect();
        let roughest = side.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(roughest < 0.04, "channel {channel}: {roughest}");
        assert!(side.iter().any(|sample| sample.abs() > 0.7), "it was loud once");
    }
}

#[test]
fn whoever_is_muted_is_not_decoded_and_is_heard_again_within_two_frames() {
    let mut line = line(vec![tone(220.0, 0.3, 20)], 1);
    line.run(2 * SECOND);
    let played = |line: &Line| line.listener.talkers().next().unwrap().stats.played;
    let mute =
        |line: &mut Line, muted| line.listener.tune(name(1), Tuning::default().with_mute(muted)).unwrap();
    mute(&mut line, true);
    line.run(50 * MS);
    let (before, from) = (played(&line), line.heard.len());
    line.run(3 * SECOND);
    assert_eq!(played(&line), before, "nothing was decoded");
    assert!(line.heard[from..].iter().all(|sample| *sample == 0.0));
    // It is still shown as speaking: its mute is nobody else's.
    let talker = line.listener.talkers().next().unwrap();
    assert!(talker.level.below_overload() < 20 && !talker.mixed && !talker.notes.muted, "{talker:?}");
    mute(&mut line, false);
    let from = line.heard.len();
    line.run(500 * MS);
    let first = line.heard[from..].iter().position(|sample| sample.abs() > 0.1).expect("heard");
    assert!(first < 80 * 48, "{} ms", first / 48);
    let stats = line.listener.talkers().next().unwrap().stats;
    assert_eq!((stats.concealed, stats.recovered, stats.late), (0, 0, 0), "{stats:?}");
}

#[test]
fn whoever_is_muted_takes_no_place_from_others() {
    let mut options = ReceiverOptions::default();
    (options.loudest, options.speakers) = (1, 2);
    let tracks = vec![tone(300.0, 0.9, 20), tone(500.0, 0.02, 20), tone(700.0, 0.01, 20)];
    let mut line = Line::with(33, tracks, Network::default(), signed(), options);
    let heard = |line: &mut Line| {
        line.run(SECOND);
        line.listener.talkers().filter(|talker| talker.mixed).map(|talker| talker.member).collect::<Vec<_>>()
    };
    assert_eq!(heard(&mut line), [name(1)]);
    line.listener.tune(name(1), Tuning::default().with_mute(true)).unwrap();
    assert_eq!(heard(&mut line), [name(2)]);
    // And its place among those who are kept goes to somebody whom the listener wants to hear.
    line.listener.tune(name(2), Tuning::default().with_volume(0.0).unwrap()).unwrap();
    assert_eq!(heard(&mut line), [name(3)]);
}

#[test]
fn deafness_decodes_nothing_and_ends_at_once() {
    let mut line = line(vec![speech(20), tone(300.0, 0.2, 20)], 1);
    line.run(2 * SECOND);
    line.listener.set_deafened(true);
    line.run(50 * MS);
    let (expected, from) = (line.listener.totals().expected, line.heard.len());
    line.run(3 * SECOND);
    assert_eq!(line.listener.totals().expected, expected);
    assert!(line.heard[from..].iter().all(|sample| *sample == 0.0));
    assert!(line.listener.is_deafened() && line.listener.talkers().any(|talker| talker.level.is_voice()));
    line.listener.set_deafened(false);
    let from = line.heard.len();
    line.run(200 * MS);
    let first = line.heard[from..].iter().position(|sample| sample.abs() > 0.05).expect("heard");
    assert!(first < 80 * 48, "{} ms", first / 48);
}

#[test]
fn a_tuning_outlives_silence_other_leaves_and_a_removal() {
    let mut line = line(vec![tone(220.0, 0.3, 30)], 1);
    // Before it was ever heard.
    tune(&mut line, 1, 0.25, 0.0);
    line.run(2 * SECOND);
    let softly = powers(&mut line, 1)[0];
    assert!((softly / (0.045 / 16.0) - 1.0).abs() < 0.1, "{softly}");
    // It comes back on leaf 7 under its old identity, after the listener had forgotten it.
    let old = line.stage.seats()[1];
    line.stage.enter(&[seat(LISTENER, false), stage::Seat { leaf: sottovoce::Leaf(7), ..old }], &[old.leaf]);
    line.talking[0].leaf = 7;
    line.listener.forget(name(1));
    line.run(SECOND);
    assert!((powers(&mut line, 1)[0] / softly - 1.0).abs() < 0.1);
    assert_eq!(line.listener.tunings().collect::<Vec<_>>(), [(name(1), line.listener.tuning(name(1)))]);
    line.listener.tune(name(1), Tuning::default()).unwrap();
    assert!((powers(&mut line, 1)[0] / softly / 16.0 - 1.0).abs() < 0.1);
    assert_eq!(line.listener.tunings().count(), 0);
}

/// Speech in bursts over a soft background: the sound, and when it begins and ends, in
/// milliseconds.
fn bursts() -> (Vec<f32>, Vec<(u64, u64)>) {
    let mut track = noise(5, 0.001, 14);
    let buzz = tone(180.0, 0.2, 14);
    let spans: Vec<(u64, u64)> = (0..9).map(|n| (1_500 + n * 1_307, 2_100 + n * 1_307)).collect();
    for (from, to) in &spans {
        for at in *from as usize * 48..*to as usize * 48 {
            track[at] += buzz[at] + 0.3 * buzz[at * 3 % buzz.len()];
        }
    }
    (track, spans)
}

#[test]
fn who_talks_is_shown_within_300_ms_of_the_beginning_and_the_end_at_both_ends() {
    let bad = Network { delay: 30 * MS, jitter: 20 * MS, loss: 2.0 };
    for profile in [signed(), unsigned()] {
        for frame in [FrameLength::Ms20, FrameLength::Ms40, FrameLength::Ms60] {
            let (track, spans) = bursts();
            let mut line = Line::with(35, vec![track], bad, profile, ReceiverOptions::default());
            let mut options = SenderOptions::default();
            (options.frame, options.authenticity) = (frame, profile.authenticity);
            options.size = sottovoce::PacketSize::new(profile.size).unwrap();
            line.talking[0].speaker = Sender::new(options).unwrap();
            line.set_live(0, true, 0);
            let (mut own, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..14_000 {
                line.run(MS);
                own.push(line.talking[0].speaker.level().is_voice());
                theirs.push(line.listener.talkers().any(|talker| talker.level.is_voice()));
            }
            let mut worst = [0; 4];
            for (which, shown) in [(0, own), (2, theirs)] {
                for (from, to) in &spans {
                    let at = |moment: u64| moment as usize;
                    let on = shown[at(*from)..].iter().position(|shown| *shown).unwrap();
                    let off = shown[at(*to)..].iter().position(|shown| !shown).unwrap();
                    assert!(!shown[at(*from) - 1], "{frame:?}: it was shown before");
                    assert!(
                        shown[at(*from) + on..at(*to)].iter().all(|shown| *shown),
                        "{frame:?}: it flickers"
                    );
                    assert!(!shown[at(*to) + off..at(*to) + 600].contains(&true), "{frame:?}: it flickers");
                    worst[which] = worst[which].max(on);
                    worst[which + 1] = worst[which + 1].max(off);
                }
            }
            println!(
                "{:?} {frame:?}: onset and end at the speaker and at the listener {worst:?} ms",
                profile.authenticity
            );
            assert!(worst.iter().all(|ms| *ms <= 300), "{frame:?} {worst:?}");
        }
    }
}

#[test]
fn whoever_stops_amid_speech_is_shown_as_silent_within_300_ms() {
    type Stop = fn(&mut Line);
    let ways: [(&str, Stop); 3] = [
        ("it stops", |line| line.set_live(0, false, 0)),
        ("it mutes its microphone", |line| line.talking[0].speaker.set_muted(true)),
        ("it is gone", |line| drop(line.talking.remove(0))),
    ];
    for (what, stop) in ways {
        let mut line = line(vec![tone(200.0, 0.3, 5)], 1);
        line.run(2 * SECOND);
        assert!(line.listener.talkers().any(|talker| talker.level.is_voice()), "{what}");
        stop(&mut line);
        line.run(300 * MS);
        assert!(!line.listener.talkers().any(|talker| talker.level.is_voice()), "{what}");
    }
}

#[test]
fn a_device_of_44_100_samples_has_two_sides_that_are_in_step() {
    let mut line = line(vec![tone(300.0, 0.3, 4)], 1);
    let mut options = ReceiverOptions::default();
    (options.rate, options.channels) = (44_100, 2);
    line.listener = Receiver::new(options, line.now()).unwrap();
    line.playing = 882;
    line.drift_ppm = (882.0 / 480.0 - 1.0) * 1e6;
    line.run(3 * SECOND);
    assert!(line.heard.chunks(2).all(|pair| pair[0] == pair[1]));
    assert!(line.heard[88_200..].iter().any(|sample| sample.abs() > 0.2));
}
