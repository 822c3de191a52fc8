//! The voice endpoint from microphone to loudspeaker, on virtual time, over a network that is good,
//! bad or hostile.

use std::time::Duration;

use sottovoce::{
    codec::{Decoder, MAX_SAMPLES},
    media::{Loss, OpusPacket},
    voice::{Frame, NotHeard, Receiver, ReceiverOptions, Sender, SenderOptions, VoiceError},
};
use sottovoce_testkit::line::{LISTENER, Line, Network, UNIX_MS, delay, noise, speech, tone, unsigned};
use sottovoce_testkit::stage::{self, STAMP, seat};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn network(delay: u32, jitter: u32, loss: f64) -> Network {
    Network { delay: delay * MS, jitter: jitter * MS, loss }
}

/// The largest step from one sample to the next.
fn roughest(sound: &[f32]) -> f32 {
    sound.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
}

fn power(sound: &[f32]) -> f32 {
    sound.iter().map(|sample| sample * sample).sum::<f32>() / sound.len() as f32
}

/// What a decoder makes of a speaker's packets that were never sealed.
fn reference(line: &Line) -> (Vec<f32>, u32) {
    let mut decoder = Decoder::new().unwrap();
    let mut pcm = [0; MAX_SAMPLES];
    let mut sound = Vec::new();
    for opus in &line.talking[0].opus {
        let len = decoder.decode(OpusPacket::parse(opus).unwrap(), &mut pcm).unwrap();
        sound.extend(pcm[..len].iter().map(|sample| f32::from(*sample) / 32_768.0));
    }
    (sound, decoder.final_range().unwrap())
}

#[test]
fn on_a_good_network_what_is_heard_is_to_the_sample_what_was_encoded_and_soon() {
    let track = speech(6);
    let mut line = Line::new(1, vec![track.clone()], network(20, 0, 0.0));
    line.run(6 * SECOND);
    let talker = line.listener.talkers().next().unwrap();
    assert_eq!((talker.stats.concealed, talker.stats.late, talker.stats.made_up_samples), (0, 0, 0));
    // Once the network is known to be steady, the delay that was kept for a worse one goes, by one
    // period.
    assert!(talker.stats.stretched_samples <= 600);
    // The frame takes 40 ms, the network 20, Opus looks 6.5 ahead; what is left is waiting.
    let late = delay(&track[48_000..240_000], &line.heard[48_000..], 48_000);
    assert!((66 * 48..90 * 48).contains(&late), "{} ms", late as f32 / 48.0);
    let (plain, _) = reference(&line);
    let begin = line.heard.iter().position(|sample| *sample != 0.0).unwrap();
    // From the second second on every sample is one that the decoder makes of the packets before
    // they were sealed.
    let from = begin + 96_000;
    let shift =
        (0..2_000).find(|n| line.heard[from..from + 4_800] == plain[96_000 + n - 400..100_800 + n - 400]);
    let shift = shift.expect("nowhere the same") + 96_000 - 400;
    let len = (plain.len() - shift).min(line.heard.len() - from);
    assert!(len > 120_000);
    assert!(line.heard[from..from + len] == plain[shift..shift + len]);
}

#[test]
fn encoder_and_decoder_end_in_one_state_through_seal_and_network() {
    let mut line = Line::new(2, vec![speech(3)], network(5, 0, 0.0));
    let mut decoder = Decoder::new().unwrap();
    let mut pcm = [0; MAX_SAMPLES];
    line.run(3 * SECOND);
    for opus in line.talking[0].opus.clone() {
        let sealed = line.stage.say(1, &opus);
        let heard = line.stage.hear(LISTENER, &sealed).unwrap();
        decoder.decode(OpusPacket::parse(&heard.packet).unwrap(), &mut pcm).unwrap();
    }
    assert_eq!(decoder.final_range().unwrap(), reference(&line).1);
}

#[test]
fn a_change_of_epoch_is_not_heard() {
    let run = |changes: bool| {
        let mut line = Line::new(3, vec![speech(8)], network(10, 0, 0.0));
        for n in 0..40 {
            if changes && n % 7 == 3 {
                let seats = line.stage.seats();
                line.stage.enter(&seats, &[]);
            }
            line.run(200 * MS);
        }
        assert_eq!(line.refused, 0);
        line.heard
    };
    assert!(run(true) == run(false), "a commit changed the sound");
}

#[test]
fn packets_that_wait_for_their_key_are_bridged_without_a_click() {
    let track = tone(220.0, 0.4, 6);
    let mut line = Line::new(4, vec![track.clone()], network(10, 0, 0.0));
    line.run(3 * SECOND);
    let seats = line.stage.seats();
    line.stage.enter_unannounced(&seats, &[]);
    line.run(70 * MS);
    line.stage.announce();
    line.retry_early();
    line.run(3 * SECOND - 70 * MS);
    let stats = line.listener.talkers().next().unwrap().stats;
    assert!(stats.concealed + stats.recovered <= 2, "{stats:?}");
    // A tone of that pitch and level moves by 0.012 a sample; what is made up may be a little
    // rougher.
    let heard = &line.heard[48_000..];
    assert!(roughest(heard) < 0.03, "{}", roughest(heard));
}

#[test]
fn a_speaker_who_comes_back_on_another_leaf_is_the_same_voice() {
    let mut line = Line::new(5, vec![tone(220.0, 0.4, 8)], network(10, 0, 0.0));
    line.run(3 * SECOND);
    // Its old leaf is removed, and it comes back on leaf 7 under its old identity.
    let old = line.stage.seats()[1];
    let seats = [seat(LISTENER, false), stage::Seat { leaf: sottovoce::Leaf(7), ..old }];
    line.stage.enter(&seats, &[old.leaf]);
    line.talking[0].leaf = 7;
    line.run(3 * SECOND);
    assert_eq!(line.listener.talkers().count(), 1);
    assert!(roughest(&line.heard[48_000..]) < 0.03);
}

#[test]
fn lost_packets_are_mostly_recovered_and_the_rest_made_up() {
    for (seed, loss) in [(6, 5.0), (7, 10.0), (8, 20.0)] {
        let mut line = Line::new(seed, vec![speech(30)], network(20, 10, loss));
        for _ in 0..30 {
            line.run(SECOND);
            line.report(line.listener.loss());
        }
        let stats = line.listener.talkers().next().unwrap().stats;
        let lost = line.talking[0].lost;
        assert!(stats.recovered + stats.concealed + 2 >= lost, "{stats:?} {lost}");
        assert!(stats.recovered + stats.concealed <= lost + lost / 4 + 8, "{stats:?} {lost}");
        // The one before a packet that came is recovered: of runs of n, one. Others are made up.
        assert!(stats.recovered as f64 > 0.6 * lost as f64, "loss {loss}: {stats:?} {lost}");
        let share = line.made_up_share();
        assert!(share < loss / 100.0 * 0.7, "loss {loss}: {share}, {stats:?}");
    }
}

#[test]
fn jitter_costs_delay_and_hardly_a_sample() {
    for (seed, jitter) in [(9, 10), (10, 20), (11, 30), (12, 60)] {
        let track = speech(30);
        let mut line = Line::new(seed, vec![track.clone()], network(20, jitter, 0.0));
        line.run(30 * SECOND);
        let share = line.made_up_share();
        assert!(share < 0.02, "jitter {jitter}: {share}");
        let late = delay(&track[20 * 48_000..25 * 48_000], &line.heard[20 * 48_000..], 24_000) as f32 / 48.0;
        assert!(late < 90.0 + jitter as f32 + 10.0, "jitter {jitter}: {late} ms");
    }
}

#[test]
fn clocks_that_differ_are_followed_either_way() {
    for (seed, ppm) in [(13, 300.0), (14, -300.0)] {
        let track = speech(60);
        let mut line = Line::new(seed, vec![track.clone()], network(20, 5, 0.0));
        line.drift_ppm = ppm;
        line.run(60 * SECOND);
        let stats = line.listener.talkers().next().unwrap().stats;
        // 18 ms apart after a minute.
        assert!(stats.stretched_samples > 200, "{ppm}: {stats:?}");
        assert!(line.made_up_share() < 0.01, "{ppm}: {stats:?}");
    }
}

#[test]
fn a_microphone_whose_clock_is_fast_does_not_pile_up_delay() {
    let mut line = Line::new(15, vec![speech(60)], network(10, 0, 0.0));
    for _ in 0..600 {
        line.run(100 * MS);
        // One sample in 1,000 more than our clock expects.
        line.talking[0].speaker.capture(&[0.0; 5]).unwrap();
    }
    let stats = line.talking[0].speaker.stats();
    assert!(stats.shortened > 1_500, "{stats:?}");
    assert_eq!(stats.dropped, 0, "{stats:?}");
}

#[test]
fn silence_and_mute_keep_the_rate_and_not_being_live_stops_it() {
    let mut line = Line::new(16, vec![speech(9)], Network::default());
    line.run(3 * SECOND);
    line.talking[0].speaker.set_muted(true);
    line.run(3 * SECOND);
    let talker = line.listener.talkers().next().unwrap();
    assert!(talker.notes.muted && !talker.level.is_voice());
    assert!(power(&line.heard[5 * 48_000..]) < 1e-9);
    let sent = &line.talking[0].sent;
    assert!(sent.windows(2).all(|pair| pair[1].0 - pair[0].0 == 40 * MS));
    assert!(sent.iter().all(|(_, size)| *size == 263));
    let before = sent.len();
    let now = line.now();
    line.talking[0].speaker.set_live(false, now, UNIX_MS);
    line.run(2 * SECOND);
    assert_eq!(line.talking[0].sent.len(), before);
    assert_eq!(line.talking[0].speaker.poll_timeout(), None);
    // Muting did not click, and neither did unmuting from another place of the track.
    line.talking[0].speaker.set_muted(false);
    let now = line.now();
    line.talking[0].speaker.set_live(true, now, UNIX_MS + 8_000);
    line.run(SECOND);
    assert!(line.talking[0].sent.len() > before + 20);
}

#[test]
fn rooms_without_signatures_are_heard_in_order_too() {
    let mut line =
        Line::with(17, vec![speech(12)], network(20, 20, 5.0), unsigned(), ReceiverOptions::default());
    for _ in 0..4 {
        line.run(3 * SECOND);
        let seats = line.stage.seats();
        line.stage.enter(&seats, &[]);
    }
    let stats = line.listener.talkers().next().unwrap().stats;
    assert!(stats.played > 260 && stats.late < 8, "{stats:?}");
    assert!(power(&line.heard[48_000..]) > 1e-4);
}

#[test]
fn of_many_the_loudest_are_mixed_and_the_mix_stays_within_full_scale() {
    let mut options = ReceiverOptions::default();
    options.loudest = 3;
    let tracks =
        (0..12).map(|n| if n < 3 { tone(300.0 + 50.0 * n as f32, 0.9, 4) } else { noise(n, 0.02, 4) });
    let mut line = Line::with(18, tracks.collect(), network(5, 5, 0.0), stage_profile(), options);
    line.run(4 * SECOND);
    let mut mixed: Vec<_> =
        line.listener.talkers().filter(|talker| talker.mixed).map(|talker| talker.member).collect();
    mixed.sort_unstable();
    assert_eq!(mixed, [1, 2, 3].map(stage::name));
    assert!(line.heard.iter().all(|sample| sample.abs() <= 1.0));
    assert!(power(&line.heard[96_000..]) > 0.1);
}

#[test]
fn of_many_who_are_equally_loud_no_more_are_mixed_than_there_are_places() {
    let mut options = ReceiverOptions::default();
    options.loudest = 3;
    let tracks = (0..9).map(|_| tone(300.0, 0.3, 2)).collect();
    let mut line = Line::with(24, tracks, network(5, 0, 0.0), stage_profile(), options);
    for _ in 0..10 {
        line.run(200 * MS);
        assert!(line.listener.talkers().filter(|talker| talker.mixed).count() <= 3);
    }
    assert_eq!(line.listener.talkers().filter(|talker| talker.mixed).count(), 3);
}

fn stage_profile() -> stage::Profile {
    stage::Profile { size: 240, ..stage::signed() }
}

#[test]
fn more_speakers_than_places_are_turned_away_until_somebody_is_silent() {
    let mut options = ReceiverOptions::default();
    options.speakers = 2;
    let tracks = (0..3).map(|n| tone(200.0 + 100.0 * n as f32, 0.3, 8)).collect();
    let mut line = Line::with(19, tracks, Network::default(), stage_profile(), options);
    line.run(2 * SECOND);
    assert_eq!(line.listener.talkers().count(), 2);
    let now = line.now();
    line.talking[0].speaker.set_live(false, now, UNIX_MS);
    line.run(4 * SECOND);
    let there: Vec<_> = line.listener.talkers().map(|talker| talker.member).collect();
    assert!(there.contains(&stage::name(3)) && !there.contains(&stage::name(1)));
    line.listener.forget(stage::name(3));
    assert!(line.listener.totals().expected > 200);
}

#[test]
fn reports_of_loss_travel_in_the_packets() {
    let mut line = Line::new(20, vec![speech(4)], Network::default());
    line.talking[0].speaker.report(Loss::Below25);
    line.run(2 * SECOND);
    assert_eq!(line.listener.reported_loss(), Loss::Below25);
    assert_eq!(line.listener.loss(), Loss::Below1);
    for (lost, class) in
        [(0, Loss::Below1), (1, Loss::Below3), (5, Loss::Below7), (10, Loss::Below15), (99, Loss::Worse)]
    {
        assert_eq!(Loss::of(lost, 100), class);
    }
    assert_eq!(Loss::of(0, 0), Loss::Unknown);
}

#[test]
fn devices_that_cannot_be_are_refused_and_samples_that_are_none_are_silence() {
    let options = |rate, channels| {
        let mut options = SenderOptions::default();
        (options.rate, options.channels) = (rate, channels);
        Sender::new(options).err()
    };
    assert_eq!(options(0, 1), Some(VoiceError::Rate));
    assert_eq!(options(u32::MAX, 1), Some(VoiceError::Rate));
    assert_eq!(options(48_000, 0), Some(VoiceError::Channels));
    assert_eq!(options(48_000, 255), Some(VoiceError::Channels));
    assert_eq!(options(44_100, 6), None);
    let mut broken = ReceiverOptions::default();
    broken.channels = 0;
    let now = std::time::Instant::now();
    assert_eq!(Receiver::new(broken, now).err(), Some(VoiceError::Channels));

    let mut line = Line::new(21, vec![tone(300.0, 0.3, 4)], Network::default());
    assert_eq!(line.talking[0].speaker.capture(&[]), Ok(()));
    line.run(SECOND);
    line.talking[0].track[40_000..60_000].fill(f32::NAN);
    line.talking[0].track[60_000..80_000].fill(f32::INFINITY);
    line.talking[0].track[80_000..100_000].fill(-1e30);
    line.run(2 * SECOND);
    assert!(line.talking[0].speaker.stats().not_numbers >= 20_000);
    assert!(line.heard.iter().all(|sample| sample.is_finite() && sample.abs() <= 1.0));

    let mut options = SenderOptions::default();
    options.channels = 2;
    let mut stereo = Sender::new(options).unwrap();
    assert_eq!(stereo.capture(&[0.1; 3]), Err(VoiceError::Ragged));
}

#[test]
fn valid_seals_around_broken_opus_give_neither_panic_nor_noise() {
    let mut line = Line::new(22, vec![tone(300.0, 0.3, 9)], Network::default());
    // The same member on a second leaf: a sealer of its own says what it likes, after the packets
    // of the first.
    let second = stage::Seat { leaf: sottovoce::Leaf(7), ..seat(1, true) };
    line.stage.enter(&[seat(LISTENER, false), seat(1, true), second], &[]);
    line.run(SECOND);
    line.set_live(0, false, 0);
    let mut state = 0x1234_5678_9abc_def0_u64;
    for n in 0..1_000_u32 {
        // Well-formed framing around bytes that are no frames, of every configuration and length.
        let len = 1 + (n as usize * 7) % 160;
        let mut packet: Vec<u8> = (0..len)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            })
            .collect();
        packet[0] = (n % 64) as u8 * 4;
        let sealed = line.stage.say(7, &packet);
        let now = line.now();
        line.arrive(&sealed, now);
        line.run(20 * MS);
    }
    let stats = line.listener.talkers().next().unwrap().stats;
    assert!(line.refused == 0 && stats.played + stats.broken > 100, "{stats:?}");
    line.set_live(0, true, 0);
    line.run(2 * SECOND);
    assert!(line.heard.iter().all(|sample| sample.is_finite() && sample.abs() <= 1.0));
}

#[test]
fn a_listener_says_why_it_does_not_take_a_packet() {
    let mut line = Line::new(23, vec![], Network::default());
    line.stage.enter(&[seat(LISTENER, false), seat(1, true)], &[]);
    let sealed = line.stage.say(1, &[0xfc, 0xff, 0xfe]);
    let mut frame = sealed;
    let now = line.now();
    let opened = line.stage.member(LISTENER).opener.open(&mut frame).unwrap();
    assert_eq!(line.listener.hear(Frame::from(&opened), now), Ok(()));
    let talker = line.listener.talkers().next().unwrap();
    assert_eq!((talker.level, talker.notes), (STAMP.level, STAMP.notes));
    // That one says that nobody comes in is shown above; that it says so is shown here.
    let full = {
        let mut options = ReceiverOptions::default();
        options.speakers = 1;
        let mut listener = Receiver::new(options, now).unwrap();
        line.stage.enter(&[seat(LISTENER, false), seat(1, true), seat(2, true)], &[]);
        let mut outcomes = vec![];
        for leaf in [1, 2] {
            let mut frame = line.stage.say(leaf, &[0xfc, 0xff, 0xfe]);
            let opened = line.stage.member(LISTENER).opener.open(&mut frame).unwrap();
            outcomes.push(listener.hear(Frame::from(&opened), now));
        }
        outcomes
    };
    assert_eq!(full, [Ok(()), Err(NotHeard::Crowded)]);
}
