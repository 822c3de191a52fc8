//! `cargo bench --bench voice`: what the voice endpoint adds, in delay, in made-up sound, and in
//! time on a processor.
//!
//! ```text
//! delay    track > Sender > seal > 20 ms, jitter, loss > open > Receiver > what is heard       on virtual time
//! time     packets of n speakers > open | Receiver::hear and render                             CPU time of this thread
//! ```
//!
//! The delay is measured on the sound itself: by how much what is heard has to be moved to match
//! what was said. It is from the microphone's callback to the loudspeaker's, with the 20 ms of the
//! network taken off; devices add their own. Real speech. Every figure of the first table is of 60
//! s; the times are medians of rounds in which both kinds take turns.

mod support {
    pub mod clock;
    pub mod median;
    #[allow(dead_code, reason = "no null here")]
    pub mod output;
}

use std::{env, error::Error, fmt::Write as _, time::Duration};

use sottovoce::{
    Authenticity, Opener,
    codec::{Decoder, MAX_SAMPLES},
    media::OpusPacket,
    voice::{Frame, Receiver, ReceiverOptions},
};
use sottovoce_testkit::line::{self, LISTENER, Line, Network, delay, speech};
use sottovoce_testkit::stage::{Profile, Stage, signed};
use support::{
    clock::spent,
    median::median,
    output::{self, Json},
};

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo test` runs benchmarks without this flag: it wants to know whether they run, not what
    // comes out.
    let measuring = env::args().any(|argument| argument == "--bench");
    let seconds = if measuring { 60 } else { 4 };
    let mut text = String::new();
    let mut rows = vec![];
    networks(seconds, &mut text, &mut rows)?;
    speakers(measuring, &mut text, &mut rows)?;
    println!("{text}");
    println!("saved {}", output::save("voice.json", &output::json(&rows))?.display());
    Ok(())
}

type Rows = Vec<Vec<(&'static str, Json)>>;

/// Delay and made-up sound, over networks from good to bad.
fn networks(seconds: usize, text: &mut String, rows: &mut Rows) -> Result<(), Box<dyn Error>> {
    writeln!(text, "jitter   loss   delay added   packets lost   recovered   made up   late")?;
    let track = speech(seconds);
    let cases =
        [(0, 0.0), (10, 0.0), (20, 0.0), (30, 0.0), (10, 2.0), (10, 5.0), (10, 10.0), (10, 20.0), (30, 10.0)];
    for (seed, (jitter, loss)) in cases.into_iter().enumerate() {
        let network =
            Network { delay: Duration::from_millis(20), jitter: Duration::from_millis(jitter), loss };
        let mut line = Line::new(seed as u64, vec![track.clone()], network);
        for _ in 0..seconds {
            line.run(Duration::from_secs(1));
            line.report(line.listener.loss());
        }
        let stats = line.listener.talkers().next().ok_or("nobody was heard")?.stats;
        // The median over spans of five seconds: the delay adapts.
        let spans = (seconds / 2 * 48_000..(seconds - 1) * 48_000).step_by(5 * 48_000);
        let delays = spans.map(|at| {
            let said = &track[at..(at + 5 * 48_000).min(track.len())];
            delay(said, &line.heard[at..], 24_000) as f64 / 48.0 - 20.0
        });
        let added = median(delays.collect()).ok_or("nothing to compare")?;
        let sent = line.talking[0].sent.len() as f64;
        let share = |part: u64| part as f64 / sent * 100.0;
        let made_up = line.made_up_share() * 100.0;
        writeln!(
            text,
            "{jitter:>3} ms {loss:>5} % {added:>9.1} ms {:>12.2} % {:>9.2} % {made_up:>7.2} % {:>4.2} %",
            share(line.talking[0].lost),
            share(stats.recovered),
            share(stats.late),
        )?;
        rows.push(vec![
            ("jitter_ms", Json::Number(jitter as f64, 0)),
            ("loss_percent", Json::Number(loss, 1)),
            ("delay_added_ms", Json::Number(added, 1)),
            ("lost_percent", Json::Number(share(line.talking[0].lost), 2)),
            ("recovered_percent", Json::Number(share(stats.recovered), 2)),
            ("made_up_percent", Json::Number(made_up, 2)),
            ("late_percent", Json::Number(share(stats.late), 2)),
        ]);
    }
    Ok(())
}

/// The packets of so many speakers, sealed, by frame.
struct Crowd {
    frames: Vec<Vec<Vec<u8>>>,
    stage: Stage,
}

fn crowd(speakers: u32, frames: usize, authenticity: Authenticity) -> Crowd {
    // One voice is encoded, and everybody seals it.
    let mut line = Line::new(1, vec![speech(frames / 25 + 1)], Network::default());
    line.run(Duration::from_millis(40 * frames as u64 + 60));
    let mut stage = Stage::of(speakers + 1, Profile { size: 240, authenticity, ..signed() });
    let sealed = line.talking[0]
        .opus
        .iter()
        .take(frames)
        .enumerate()
        .map(|(n, opus)| (1..=speakers).map(|leaf| seal(&mut stage, leaf, opus, n as u64)).collect());
    Crowd { frames: sealed.collect(), stage }
}

fn seal(stage: &mut Stage, leaf: u32, opus: &[u8], frame: u64) -> Vec<u8> {
    use sottovoce::{CaptureTime, Stamp, media::HEADROOM, media::Level};
    let stamp = Stamp {
        captured: CaptureTime::from_millis(line::UNIX_MS + frame * 40),
        level: Level::from_byte(0x80 | 20),
        ..Stamp::default()
    };
    let mut buffer = vec![0; 1_100];
    buffer[HEADROOM..HEADROOM + opus.len()].copy_from_slice(opus);
    stage.member(leaf).sealer.seal(&mut buffer, opus.len(), stamp).expect("there is a key").to_vec()
}

/// Time on a processor for a second of sound: to open, to play, and to decode alone.
fn listen(crowd: &mut Crowd, loudest: usize) -> [f64; 2] {
    let mut now = crowd.stage.now;
    let mut options = ReceiverOptions::default();
    (options.speakers, options.loudest) = (64, loudest);
    let mut listener = Receiver::new(options, now).expect("the options are good");
    let opener: &mut Opener = &mut crowd.stage.member(LISTENER).opener;
    let mut pcm = [0.0; 240];
    let (mut open, mut play) = (Duration::ZERO, Duration::ZERO);
    for frame in &crowd.frames {
        let mut copies = frame.clone();
        for sealed in &mut copies {
            let start = spent();
            let opened = opener.open(sealed).expect("it was sealed for us");
            open += spent() - start;
            let start = spent();
            listener.hear(Frame::from(&opened), now).expect("there is a place");
            play += spent() - start;
        }
        for _ in 0..8 {
            let start = spent();
            listener.render(now, &mut pcm);
            play += spent() - start;
            now += Duration::from_millis(5);
        }
    }
    let seconds = crowd.frames.len() as f64 * 0.04;
    [open, play].map(|time| time.as_secs_f64() * 1e3 / seconds)
}

/// How long decoding one of the packets takes by itself, in microseconds.
fn decoding(packets: &[Vec<u8>]) -> f64 {
    let mut decoder = Decoder::new().expect("libopus is there");
    let mut pcm = [0; MAX_SAMPLES];
    let start = spent();
    for packet in packets {
        let packet = OpusPacket::parse(packet).expect("it was encoded here");
        decoder.decode(packet, &mut pcm).expect("it was encoded here");
    }
    (spent() - start).as_secs_f64() * 1e6 / packets.len() as f64
}

fn speakers(measuring: bool, text: &mut String, rows: &mut Rows) -> Result<(), Box<dyn Error>> {
    let (rounds, frames) = if measuring { (9, 125) } else { (1, 25) };
    writeln!(
        text,
        "\nspeakers   mixed   signed: open   play   unsigned: open   play      ms of processor for a second of sound"
    )?;
    for (count, loudest) in [(1, 8), (10, 8), (50, 8), (50, 50)] {
        let mut times = vec![];
        for _ in 0..rounds {
            let mut both = [Authenticity::Signed, Authenticity::Group].map(|kind| crowd(count, frames, kind));
            times.push(both.each_mut().map(|crowd| listen(crowd, loudest)));
        }
        let of = |kind: usize, part: usize| {
            median(times.iter().map(|time| time[kind][part]).collect()).unwrap_or(0.0)
        };
        let figures = [of(0, 0), of(0, 1), of(1, 0), of(1, 1)];
        writeln!(
            text,
            "{count:>8} {:>7} {:>14.2} {:>6.2} {:>16.3} {:>6.2}",
            loudest.min(count as usize),
            figures[0],
            figures[1],
            figures[2],
            figures[3]
        )?;
        rows.push(vec![
            ("speakers", Json::Number(count.into(), 0)),
            ("mixed", Json::Number(loudest.min(count as usize) as f64, 0)),
            ("signed_open_ms_per_s", Json::Number(figures[0], 3)),
            ("signed_play_ms_per_s", Json::Number(figures[1], 3)),
            ("group_open_ms_per_s", Json::Number(figures[2], 3)),
            ("group_play_ms_per_s", Json::Number(figures[3], 3)),
        ]);
    }
    let mut line = Line::new(2, vec![speech(10)], Network::default());
    let start = spent();
    line.run(Duration::from_secs(if measuring { 10 } else { 2 }));
    let whole = (spent() - start).as_secs_f64() * 1e6 / line.talking[0].sent.len() as f64;
    let alone =
        median((0..rounds).map(|_| decoding(&line.talking[0].opus)).collect()).ok_or("nothing was sent")?;
    writeln!(
        text,
        "\none speaker, one listener, a packet of 40 ms: {whole:.0} us for everything, {alone:.0} us of it to decode"
    )?;
    rows.push(vec![
        ("whole_us_per_packet", Json::Number(whole, 1)),
        ("decode_us_per_packet", Json::Number(alone, 1)),
    ]);
    Ok(())
}
