//! The moderator's program: see `examples/verify_report.rs`.

use std::{
    error::Error,
    ffi::OsString,
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{Read, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use lexopt::{
    Parser,
    prelude::{Long, Short, Value},
};
use sottovoce::{
    MemberId,
    codec::{Decoder, MAX_SAMPLES, SAMPLE_RATE},
    report::{Comparison, Equivocation, Gap, MAX_FILE, ModerationSecret, PublishedKey, Report},
    room::UnixTime,
};

use crate::wav;

/// What is printed, and the exit status.
#[derive(Debug)]
pub struct Outcome {
    pub text: String,
    pub status: u8,
}

impl Outcome {
    fn usage(text: impl Into<String>) -> Self {
        Self { text: format!("{}\n\n{USAGE}", text.into()), status: 2 }
    }

    fn no(path: &Path, why: impl std::fmt::Display) -> Self {
        Self { text: format!("{}: {why}", path.display()), status: 1 }
    }
}

/// Does what the command line says.
pub fn run(arguments: impl Iterator<Item = OsString>, now: UnixTime) -> Result<Outcome, Outcome> {
    let mut parser = Parser::from_args(arguments);
    match parser.next().map_err(wrong)? {
        Some(Value(word)) if word == "keygen" => {
            let mut paths = Vec::new();
            while let Some(argument) = parser.next().map_err(wrong)? {
                match argument {
                    Value(path) => paths.push(path),
                    other => return Err(wrong(other.unexpected())),
                }
            }
            match &paths[..] {
                [secret, public] => keygen(Path::new(secret), Path::new(public)),
                _ => Err(Outcome::usage("keygen needs two files")),
            }
        }
        Some(Value(word)) if word == "check" => check(&Check::parse(&mut parser, now)?),
        Some(Long("help") | Short('h')) => Ok(Outcome { text: USAGE.to_owned(), status: 0 }),
        _ => Err(Outcome::usage("say keygen or check")),
    }
}

fn wrong(why: lexopt::Error) -> Outcome {
    Outcome::usage(why.to_string())
}

/// Makes a moderation key pair. Neither file may be there.
fn keygen(secret: &Path, public: &Path) -> Result<Outcome, Outcome> {
    let seed: [u8; 32] = rand::random();
    let key = ModerationSecret::from_seed(seed).map_err(|why| Outcome::no(secret, why))?.key();
    write_new(secret, &hex(&seed)).map_err(|why| Outcome::no(secret, why))?;
    write_new(public, &hex(key.as_bytes())).map_err(|why| Outcome::no(public, why))?;
    Ok(Outcome { text: format!("moderation key {}\n", hex(key.as_bytes())), status: 0 })
}

/// What is to be checked, and what is expected of it.
struct Check {
    key: PathBuf,
    files: Vec<PathBuf>,
    received: UnixTime,
    speaker: Option<MemberId>,
    room: Option<Vec<u8>>,
    at_least: Duration,
    published: Vec<PublishedKey>,
    wav: Option<PathBuf>,
}

impl Check {
    fn parse(parser: &mut Parser, now: UnixTime) -> Result<Self, Outcome> {
        let mut key = None;
        let mut check = Self {
            key: PathBuf::new(),
            files: Vec::new(),
            received: now,
            speaker: None,
            room: None,
            at_least: Duration::from_secs(5),
            published: Vec::new(),
            wav: None,
        };
        while let Some(argument) = parser.next().map_err(wrong)? {
            let name = match argument {
                Value(file) => {
                    check.files.push(file.into());
                    continue;
                }
                Long(name) => name.to_owned(),
                other @ Short(_) => return Err(wrong(other.unexpected())),
            };
            let value = parser.value().map_err(wrong)?;
            let text = value.to_str().unwrap_or_default();
            let refused = || Outcome::usage(format!("--{name} does not take {value:?}"));
            match name.as_str() {
                "key" => key = Some(PathBuf::from(value)),
                "received-at" => check.received = time(text).ok_or_else(refused)?,
                "expect" => {
                    let id = from_hex(text).and_then(|id| id.try_into().ok()).ok_or_else(refused)?;
                    check.speaker = Some(MemberId::from_bytes(id));
                }
                "room" => check.room = Some(from_hex(text).ok_or_else(refused)?),
                "at-least" => {
                    let seconds = text.parse().ok().filter(|seconds| (0.0..=300.0).contains(seconds));
                    check.at_least = Duration::from_secs_f64(seconds.ok_or_else(refused)?);
                }
                "published" => {
                    let path = Path::new(&value);
                    check.published.extend(published(path).map_err(|why| Outcome::no(path, why))?);
                }
                "wav" => check.wav = Some(value.into()),
                _ => return Err(Outcome::usage(format!("there is no option --{name}"))),
            }
        }
        check.key = key.ok_or_else(|| Outcome::usage("--key is needed"))?;
        match check.files.len() {
            1 | 2 => Ok(check),
            _ => Err(Outcome::usage("one report, or two to compare")),
        }
    }
}

fn check(check: &Check) -> Result<Outcome, Outcome> {
    let secret = read_secret(&check.key).map_err(|why| Outcome::no(&check.key, why))?;
    let mut text = String::new();
    let mut reports = Vec::new();
    for path in &check.files {
        let report = open(check, &secret, path)?;
        describe(&mut text, path, &report, check.received);
        reports.push(report);
    }
    if let (Some(path), Some(report)) = (&check.wav, reports.first()) {
        let sound = decode(report).map_err(|why| Outcome::no(path, why))?;
        sound.write(path).map_err(|why| Outcome::no(path, why))?;
        let _ = writeln!(text, "written     {}", path.display());
    }
    let mut status = 0;
    if let [first, second] = &reports[..] {
        let other = check.files.last().map_or(Path::new(""), PathBuf::as_path);
        let of_two = "it is of another speaker or room than the first, so there is nothing to compare";
        let comparison = first.compare(second).ok_or_else(|| Outcome::no(other, of_two))?;
        compare(&mut text, &comparison);
        status = if comparison.equivocations.is_empty() { 0 } else { 3 };
    }
    Ok(Outcome { text, status })
}

/// A report that proves what is wanted of it.
fn open(check: &Check, secret: &ModerationSecret, path: &Path) -> Result<Report, Outcome> {
    let file = read_file(path).map_err(|why| Outcome::no(path, why))?;
    let report = secret
        .open(&file, check.received, &check.published)
        .map_err(|why| Outcome::no(path, format!("proves nothing: {why}")))?;
    if let Some(speaker) = check.speaker.filter(|speaker| *speaker != report.member()) {
        let (expected, found) = (hex(speaker.as_bytes()), hex(report.member().as_bytes()));
        return Err(Outcome::no(path, format!("it is by {found}, not by {expected}")));
    }
    if let Some(room) = check.room.as_ref().filter(|room| *room != report.room_id()) {
        let found = hex(report.room_id());
        return Err(Outcome::no(path, format!("it is from the room {found}, not from {}", hex(room))));
    }
    if report.duration() < check.at_least {
        let (has, wants) = (report.duration().as_secs_f64(), check.at_least.as_secs_f64());
        let why = format!("too short: it has {has:.2} s of audio, and {wants} s are wanted (--at-least)");
        return Err(Outcome::no(path, why));
    }
    Ok(report)
}

fn describe(text: &mut String, path: &Path, report: &Report, received: UnixTime) {
    let mut line = |what: &str, value: String| {
        let _ = writeln!(text, "{what:<11} {value}");
    };
    line("report", path.display().to_string());
    line("speaker", format!("{} (the name it took)", report.name()));
    line("", hex(report.member().as_bytes()));
    line("room", report.room().to_string());
    line("", hex(report.room_id()));
    line("captured", format!("{}, by the speaker's clock", stamp(report.captured().as_millis())));
    let until = match report.proves_until() {
        Some(until) => {
            format!("; until {} it proves something", stamp(until.as_secs().saturating_mul(1_000)))
        }
        None => "; it proves something for ever".to_owned(),
    };
    line("arrived", stamp(received.as_secs().saturating_mul(1_000)) + &until);
    let packets = report.packets().count();
    line(
        "audio",
        format!("{:.2} s in {packets} packets, each signed by this speaker", report.duration().as_secs_f64()),
    );
    let gaps = report.gaps();
    line("gaps", if gaps.is_empty() { "none".to_owned() } else { gaps.len().to_string() });
    for gap in gaps {
        line("", describe_gap(&gap));
    }
}

fn describe_gap(gap: &Gap) -> String {
    let mut said = format!("after {:.2} s: ", gap.after.as_secs_f64());
    if gap.packets > 0 {
        let _ = write!(
            said,
            "{} packets are missing, {:.2} s if they are like the one before; ",
            gap.packets,
            gap.missing.as_secs_f64()
        );
    }
    let _ = match (gap.clock_ms, gap.key_changed) {
        (0, _) => write!(said, "the speaker's clock agrees"),
        (ms, false) => write!(said, "the speaker's clock is {ms} ms further than the audio"),
        (ms, true) => write!(
            said,
            "the key changed, and the speaker's clock is {ms} ms further than the audio: packets before the change can be missing"
        ),
    };
    said
}

fn compare(text: &mut String, comparison: &Comparison) {
    let Comparison { same, only_first, only_second, .. } = comparison;
    let _ = writeln!(
        text,
        "both have    {same} packets that are the same; {only_first} are in the first only, {only_second} in the second"
    );
    for equivocation in &comparison.equivocations {
        let _ = match equivocation {
            Equivocation::SpeakerKey(epoch) => {
                writeln!(text, "TWO VERSIONS the speaker announced two keys in epoch {}", epoch.0)
            }
            Equivocation::Packet(place) => {
                writeln!(text, "TWO VERSIONS the speaker signed {place} twice, with different content")
            }
            _ => writeln!(text, "TWO VERSIONS"),
        };
    }
    if comparison.equivocations.is_empty() && *same > 0 {
        let _ = writeln!(text, "agreed       the two reports do not contradict each other anywhere");
    }
}

/// What was said, at 48 kHz.
pub struct Said {
    /// Samples, of two channels interleaved.
    pub samples: Vec<i16>,
    /// 1, or 2 if any packet is stereo.
    pub channels: u16,
}

impl Said {
    fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut writer = wav::Writer::create(path, self.channels)?;
        writer.append(&self.samples)?;
        writer.finish()
    }
}

/// The sound. Packets that are missing for certain are silence, two seconds of it at most in one
/// place.
///
/// # Errors
/// What the codec says.
pub fn decode(report: &Report) -> Result<Said, Box<dyn Error>> {
    // A report says nothing of the room's sound: its packets do.
    let is_stereo = report.packets().any(|packet| packet.packet.is_stereo());
    let (mut decoder, channels) = if is_stereo { (Decoder::stereo()?, 2) } else { (Decoder::new()?, 1) };
    let (mut sound, mut pcm) = (Vec::new(), vec![0; MAX_SAMPLES * channels]);
    let gaps = report.gaps();
    let mut gaps = gaps.iter().filter(|gap| gap.packets > 0).peekable();
    let (mut after, mut last) = (Duration::ZERO, 0);
    for packet in report.packets() {
        if let Some(gap) = gaps.next_if(|gap| gap.after == after && last > 0) {
            let silence =
                gap.missing.min(Duration::from_secs(2)).as_millis() as usize * SAMPLE_RATE as usize / 1_000;
            sound.extend(std::iter::repeat_n(0, silence * channels));
            // A player conceals what did not come, and its decoder goes on from there.
            for _ in 0..gap.packets.min(100) {
                decoder.conceal(&mut pcm[..last * channels])?;
            }
        }
        // What a member sealed can be nonsense to the decoder; a player has nothing to play then
        // either.
        last = (packet.duration.as_micros() * u128::from(SAMPLE_RATE) / 1_000_000) as usize;
        match decoder.decode(packet.packet, &mut pcm) {
            Ok(samples) => sound.extend_from_slice(&pcm[..samples * channels]),
            Err(_) => sound.extend(std::iter::repeat_n(0, last * channels)),
        }
        after += packet.duration;
    }
    Ok(Said { samples: sound, channels: channels as u16 })
}

fn read_secret(path: &Path) -> Result<ModerationSecret, Box<dyn Error>> {
    let text = fs::read_to_string(path)?;
    let seed = from_hex(text.trim()).and_then(|seed| seed.try_into().ok());
    Ok(ModerationSecret::from_seed(seed.ok_or("not 32 bytes in hex, as keygen writes them")?)?)
}

/// A file of at most one byte more than the largest report.
fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Published speaker keys, 32 bytes in hex a line.
fn published(path: &Path) -> Result<Vec<PublishedKey>, Box<dyn Error>> {
    let key =
        |line: &str| from_hex(line.trim()).and_then(|key| key.try_into().ok()).map(PublishedKey::from_bytes);
    let text = fs::read_to_string(path)?;
    let keys: Option<Vec<_>> = text.lines().map(key).collect();
    keys.ok_or_else(|| "a line is not 32 bytes in hex".into())
}

fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(format!("{text}\n").as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
}

/// Seconds since 1970, or `YYYY-MM-DDThh:mm:ssZ`.
fn time(text: &str) -> Option<UnixTime> {
    if let Ok(seconds) = text.parse() {
        return Some(UnixTime::from_secs(seconds));
    }
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, separator: char| -> Option<[u64; 3]> {
        let numbers: Option<Vec<u64>> = text.split(separator).map(|part| part.parse().ok()).collect();
        numbers?.try_into().ok()
    };
    let ([year, month, day], [hour, minute, second]) = (numbers(date, '-')?, numbers(clock, ':')?);
    let sound = (1970..=9999).contains(&year) && hour < 24 && minute < 60 && second < 60;
    let seconds = hour * 3_600 + minute * 60 + second;
    // The day is found by counting: 3 million steps at most, and nothing to get wrong.
    (0..).map(|days| (days, date_of(days))).take_while(|(_, date)| date[0] <= year).find_map(
        |(days, date)| {
            (sound && date == [year, month, day]).then_some(UnixTime::from_secs(days * 86_400 + seconds))
        },
    )
}

/// Year, month and day of a number of days since 1970-01-01.
fn date_of(mut days: u64) -> [u64; 3] {
    // 400 years have 146,097 days; years are counted from March, so that the leap day is the last.
    days += 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let next = u64::from(month >= 10);
    [era * 400 + year + next, if month < 10 { month + 3 } else { month - 9 }, day - (153 * month + 2) / 5 + 1]
}

/// Milliseconds since 1970 as a date and a time.
fn stamp(millis: u64) -> String {
    let seconds = millis / 1_000;
    let [year, month, day] = date_of(seconds / 86_400);
    let (hour, minute) = (seconds / 3_600 % 24, seconds / 60 % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{:02}.{:03} UTC", seconds % 60, millis % 1_000)
}

const USAGE: &str = "\
Opens reports, and says who said it, when, how long, and what is missing, or why it proves nothing.

verify_report keygen SECRET PUBLIC        makes a moderation key: two new files
verify_report check --key SECRET [options] REPORT [REPORT]
  --received-at TIME   when the report arrived, by your clock: seconds since 1970 or
                       YYYY-MM-DDThh:mm:ssZ (default: now). Note it when a report arrives:
                       half an hour after the fact it proves nothing any more
  --expect HEX         the speaker's fingerprint, 32 bytes, if it is to be nobody else
  --room HEX           the room's group id, if it is to be no other
  --at-least SECONDS   how much audio it has to have, 0 to 300 (default: 5)
  --published FILE     speaker keys that were published when it arrived, 32 bytes in hex a line
  --wav FILE           where the sound goes, of the first report

Exit status: 0 proved, 1 not proved, 2 wrong command line, 3 the speaker made two versions.
";
