//! A whole room on one machine: a relay on real sockets, members on threads, real speech, a ban, a
//! latecomer.
//!
//! cargo run --release --example room -- --help
//!
//! What the relay saw is kept and searched for anything readable; what was heard is compared, to
//! the bit, with the same Opus packets never sealed; and both come as a table, as JSON and as a
//! page with pictures.

mod control;
mod json;
mod page;
mod plot;
mod report;
mod spectrogram;
mod story;
mod table;

use std::collections::HashSet;
use std::error::Error;
use std::fs::File;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use sottovoce::codec::SAMPLE_RATE;
use sottovoce::relay::log::{Lane, LogRecord, Reader};
use sottovoce::report::ModerationSecret;
use sottovoce::room::UnixTime;
use sottovoce_examples::room::args::{self, Command, Options};
use sottovoce_examples::room::hearing;
use sottovoce_examples::room::member::FRAME;
use sottovoce_examples::room::out::Dir;
use sottovoce_examples::search::{Kind, Needle, Search};
use sottovoce_examples::{resample, wav};

use report::{Audit, Ban, Filed, Report, Seen, Sounds};
use story::Told;

fn main() -> ExitCode {
    let options = match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Run(options)) => options,
        Ok(Command::Help) => {
            print!("{}", args::help());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("room: {error}");
            return ExitCode::from(args::EXIT_USAGE);
        }
    };
    match run(&options) {
        Ok(report) if report.broken().is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(args::EXIT_FAILURE),
        Err(error) => {
            eprintln!("room: {error}");
            ExitCode::from(args::EXIT_FAILURE)
        }
    }
}

fn run(options: &Options) -> Result<Report, Box<dyn Error>> {
    let dir = Dir::create(&options.out)?;
    let length = Duration::from_secs(options.seconds.into());
    let recording = wav::read(&options.input, length)?;
    let speech = resample::pcm16(&resample::to_48k(&recording.samples, recording.rate));
    // A recording shorter than the run begins again; the run is whole frames.
    let samples = (options.seconds * SAMPLE_RATE) as usize / FRAME.samples() * FRAME.samples();
    let speech: Vec<i16> = speech.iter().copied().cycle().take(samples).collect();
    if !options.json {
        println!(
            "{} members talk for {} s through a relay on this machine ...",
            options.members, options.seconds
        );
    }

    let seed: [u8; 32] = rand::random();
    let moderator = ModerationSecret::from_seed(seed)?;
    let told = story::tell(options, &speech, &dir, moderator.key())?;
    // What `verify_report` needs to check the report once more.
    let hex: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    dir.write("moderation.secret", format!("{hex}\n").as_bytes())?;
    dir.write("report.bin", &told.report.1)?;
    let report = examine(options, &speech, &told, &dir, &moderator)?;
    let page = dir.write("index.html", page::render(&report).as_bytes())?;
    let object = json::object(&report);
    dir.write("report.json", object.to_string().as_bytes())?;
    if options.json {
        println!("{object}");
    } else {
        print!("\n{}\npictures: {}\n", table::render(&report), page.display());
        println!(
            "the report again, as its moderator checks it:\n  cargo run --release --example verify_report -- check --key {} --wav {} {}",
            dir.file("moderation.secret").display(),
            dir.file("reported.wav").display(),
            dir.file("report.bin").display()
        );
    }
    Ok(report)
}

/// Compares, searches and draws conclusions.
fn examine(
    options: &Options,
    speech: &[i16],
    told: &Told,
    dir: &Dir,
    moderator: &ModerationSecret,
) -> Result<Report, Box<dyn Error>> {
    let speakers: Vec<_> =
        told.cast.iter().map(|(_, outcome)| outcome).filter(|o| !o.spoken.is_empty()).collect();
    let mut compared = 0;
    let mut different = 0;
    let mut mixes = Vec::new();
    for (person, outcome) in &told.cast {
        let hearing = hearing::listen(outcome, &speakers, speech.len())?;
        compared += hearing.compared;
        different += hearing.different;
        wav::write(
            &dir.file(&format!("heard-by-{}.wav", person.name.as_str().to_lowercase())),
            &hearing.mix,
        )?;
        mixes.push(hearing.mix);
    }
    wav::write(&dir.file("speech.wav"), speech)?;

    let sealed = read_log(dir, story::SEALED_LOG)?;
    let control = read_log(dir, story::CONTROL_LOG)?;
    let search = Search::new(&needles(speech, told)?)?;
    let found = search.run_on_file(&dir.file(story::SEALED_LOG))?;
    let found_control = search.run_on_file(&dir.file(story::CONTROL_LOG))?;
    let media = |records: &[LogRecord]| -> Vec<Vec<u8>> {
        records
            .iter()
            .filter(|record| record.lane == Lane::Media)
            .map(|record| record.bytes.clone())
            .collect()
    };
    let payloads = media(&sealed);
    let sounds = Sounds {
        sent: speech.to_vec(),
        heard: mixes.get(story::LISTENER).cloned().unwrap_or_default(),
        relay_as_pcm: as_pcm(&payloads),
        relay_as_opus: hearing::play(&payloads)?,
        control_as_opus: hearing::play(media(&control))?,
        banned: mixes.get(story::REBEL).cloned().unwrap_or_default(),
    };
    Ok(Report {
        seed: options.seed,
        seconds: speech.len() as f64 / f64::from(SAMPLE_RATE),
        loss_percent: options.loss_percent,
        packets_sent: speakers
            .iter()
            .flat_map(|speaker| &speaker.spoken)
            .filter(|s| s.place.is_some())
            .count() as u64,
        relay_bytes: found.searched as u64,
        compared,
        bit_identical: different == 0,
        audit: Audit {
            needles: search.needles(),
            leaks: found.count(),
            leaks_control: found_control.count(),
            chance_hits: search.chance_hits(found.searched),
        },
        ban: ban(told)?,
        filed: filed(told, moderator),
        members: told.members(),
        sounds,
        sealed: seen(&sealed, told.starts_at),
        control: seen(&control, told.control_starts_at),
    })
}

/// What happened to the banned member's ears.
fn ban(told: &Told) -> Result<Ban, Box<dyn Error>> {
    let (person, rebel) = told.cast.get(story::REBEL).ok_or("there is nobody to ban")?;
    // The senders' own notes say in which epoch each packet was sealed.
    let spoken = told.cast.iter().flat_map(|(_, outcome)| &outcome.spoken);
    let sealed_after = spoken.filter(|s| s.place.is_some_and(|(epoch, ..)| epoch >= told.banned_from));
    let sealed_after: HashSet<&[u8]> = sealed_after.map(|spoken| spoken.header.as_slice()).collect();
    let after = rebel.heard.iter().filter(|got| sealed_after.contains(got.header.as_slice())).count() as u64;
    let received_after = told.received_after_ban(rebel);
    Ok(Ban {
        name: person.name.to_string(),
        at: told.banned_at.saturating_duration_since(told.started),
        deaf: told.deaf(),
        received_after,
        opened_after: after,
    })
}

/// What the moderator makes of the report: it must be the speaker's, and hold.
fn filed(told: &Told, moderator: &ModerationSecret) -> Filed {
    let (speaker, file) = &told.report;
    let person = told.cast.iter().find(|(_, outcome)| outcome.id == *speaker);
    let name = person.map_or(String::new(), |(person, _)| person.name.to_string());
    match moderator.open(file, UnixTime::from(SystemTime::now()), &[]) {
        Ok(report) if report.member() == *speaker => {
            Filed { name, proved: Ok(report.packets().count()), audio: report.duration() }
        }
        Ok(_) => Filed { name, proved: Err("it is somebody else's".to_owned()), audio: Duration::ZERO },
        Err(why) => Filed { name, proved: Err(why.to_string()), audio: Duration::ZERO },
    }
}

/// What must not be readable at a relay: audio, Opus packets, ids, names.
fn needles(speech: &[i16], told: &Told) -> Result<Vec<Needle>, Box<dyn Error>> {
    let pcm: Vec<u8> = speech.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let mut needles = Needle::canaries(Kind::Speech, &pcm, 32, 40)?;
    let spoken = told.cast.iter().flat_map(|(_, outcome)| &outcome.spoken).map(|spoken| &spoken.opus);
    for packet in spoken.chain(&told.control_packets).step_by(7) {
        // The first bytes of a packet say little; a packet of silence is nobody's secret.
        needles.extend(packet.get(4..36).and_then(|bytes| Needle::binary(Kind::OpusPacket, bytes).ok()));
    }
    for (person, outcome) in &told.cast {
        needles.push(Needle::text(Kind::DisplayName, person.name.as_str())?);
        needles.push(Needle::binary(Kind::AccountId, outcome.id.as_bytes())?);
    }
    needles.push(Needle::text(Kind::RoomName, story::ROOM_NAME)?);
    Ok(needles)
}

fn read_log(dir: &Dir, name: &str) -> Result<Vec<LogRecord>, Box<dyn Error>> {
    let reader = Reader::new(std::io::BufReader::new(File::open(dir.file(name))?))?;
    Ok(reader.collect::<Result<_, _>>()?)
}

/// Bytes taken for 16-bit samples.
fn as_pcm(packets: &[Vec<u8>]) -> Vec<i16> {
    let bytes: Vec<u8> = packets.concat();
    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn seen(records: &[LogRecord], start: Duration) -> Vec<Seen> {
    let media = records.iter().filter(|record| record.lane == Lane::Media && record.at >= start);
    media
        .map(|record| Seen { at: record.at - start, from: record.connection.0, bytes: record.bytes.len() })
        .collect()
}
