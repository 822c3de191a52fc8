//! From what everybody noted to figures, sounds and pictures.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fs::{self, File};
use std::io::BufReader;
use std::time::Duration;

use sottovoce::MemberId;
use sottovoce::relay::log::{Lane, LogRecord, Reader};
use sottovoce_examples::room::hearing;
use sottovoce_examples::room::out::Dir;
use sottovoce_examples::search::{Kind, Needle, Search};
use sottovoce_examples::wav;
use sottovoce_stage_sim::percentile;

use crate::hear::Heard;
use crate::live::{LOG, REBEL, ROOM_NAME, Told};
use crate::report::{Ban, Mark, Relay, Report, Row, Sound, ms};

/// A packet that somebody on the stage sealed.
struct Said<'a> {
    at: std::time::Instant,
    from: MemberId,
    opus: &'a [u8],
}

/// Compares, searches and draws conclusions.
///
/// # Errors
/// Whatever cannot be read, written, or decoded.
pub fn examine(told: &Told, speech: &[i16], dir: &Dir) -> Result<Report, Box<dyn Error>> {
    let said = said(told);
    // Speech that begins again may give the same bytes again.
    let mut places: HashMap<(MemberId, Frame<'_>), Vec<usize>> = HashMap::new();
    for (place, said) in said.iter().enumerate() {
        if let Some(frame) = frame(said.opus) {
            places.entry((said.from, frame)).or_default().push(place);
        }
    }
    let ban_at = said.partition_point(|said| said.at < told.banned);
    let (mut opened, mut different) = (0, 0);
    let mut rows = Vec::new();
    for (number, ear) in told.ears.iter().enumerate() {
        let mut heard = vec![false; said.len()];
        for got in &ear.got {
            opened += 1;
            let places = frame(&got.opus).and_then(|frame| places.get(&(got.from, frame)));
            match places.and_then(|places| places.iter().rfind(|place| said[**place].at <= got.at)) {
                Some(place) => heard[*place] = true,
                None => different += 1,
            }
        }
        let banned = (number == REBEL).then_some(ban_at);
        rows.push(Row { name: ear.name.clone(), heard: marks(&heard, banned) });
    }
    // Of who was banned nothing is missed.
    let others = rows.iter().enumerate().filter(|(number, _)| *number != REBEL);
    let (mut row_max, mut missed, mut present) = (0, 0, 0);
    for (_, row) in others {
        let mut in_a_row = 0;
        for mark in &row.heard {
            in_a_row = if *mark == Mark::Missed { in_a_row + 1 } else { 0 };
            row_max = row_max.max(in_a_row);
            missed += usize::from(*mark == Mark::Missed);
            present += usize::from(*mark != Mark::Absent);
        }
    }
    let guest: Vec<usize> =
        said.iter().enumerate().filter(|(_, s)| s.from == told.guest).map(|(p, _)| p).collect();
    let hears_guest = |row: &&Row| guest.iter().any(|place| row.heard[*place] == Mark::Heard);
    let there: Vec<&Row> = rows.iter().take(told.regulars).filter(|row| row.name != "Ferdinand").collect();
    let heard_guest = (there.iter().copied().filter(hears_guest).count(), there.len());
    let mut joins: Vec<Duration> = told.ears[..told.regulars].iter().filter_map(join).collect();
    let mut crowd_joins: Vec<Duration> = told.ears[told.regulars..].iter().filter_map(join).collect();
    let first_of_guest = told.ears.iter().flat_map(|ear| &ear.got).filter(|got| got.from == told.guest);
    let first_of_guest = first_of_guest.map(|got| got.at).min();
    let sounds = sounds(told, speech, &said, &rows, ban_at, dir)?;
    Ok(Report {
        seconds: told.closed.saturating_duration_since(told.started).as_secs_f64(),
        listeners: told.ears.len(),
        said: said.len(),
        opened,
        different,
        joins: (percentile(&mut joins, 50), percentile(&mut joins, 99)),
        crowd: crowd_joins.len(),
        crowd_joins: (percentile(&mut crowd_joins, 50), percentile(&mut crowd_joins, 99)),
        hand_ms: ms(told.raised.1.saturating_duration_since(told.raised.0)),
        up_ms: first_of_guest.map(|at| ms(at.saturating_duration_since(told.let_up))),
        heard_guest,
        ban: ban(told),
        missed_ms_max: row_max as f64 * 40.0,
        missed_share: missed as f64 / present.max(1) as f64,
        told: (told.told, told.ears.len() - 2),
        codes: told.codes,
        page_people: told.page_people,
        violations: told.ears.iter().map(|ear| ear.violations).sum(),
        dropped: told.stage.iter().map(|shown| shown.dropped.1).sum::<u64>()
            + told.ears.iter().map(|ear| ear.dropped.1).sum::<u64>(),
        growth: told.growth.iter().map(crate::report::Cost::clone).collect(),
        audience: told.audience.clone(),
        relay: relay(told, speech, &said, dir)?,
        by_guest: said.iter().map(|said| said.from == told.guest).collect(),
        rows,
        sounds,
    })
}

/// What a decoder plays of a packet: its configuration, and the bytes of its frames.
pub type Frame<'a> = (u8, &'a [u8]);

/// The frames of a packet, as it was encoded or as it came, padded (RFC 6716, section 3.2).
pub fn frame(opus: &[u8]) -> Option<Frame<'_>> {
    let (toc, rest) = opus.split_first()?;
    let (config, code) = (toc >> 2, toc & 3);
    let frame = match (code, rest) {
        (0..=2, frames) => frames,
        (_, [count, rest @ ..]) => {
            let (mut rest, mut padding) = (rest, 0);
            let mut more = count & 0x40 != 0;
            while more {
                let (length, after) = rest.split_first()?;
                rest = after;
                padding += usize::from(*length).min(254);
                more = *length == 255;
            }
            rest.get(..rest.len().checked_sub(padding)?)?
        }
        _ => return None,
    };
    Some((config, frame))
}

/// Everything that was sealed, in the order of time.
fn said(told: &Told) -> Vec<Said<'_>> {
    let all = told.stage.iter().flat_map(|shown| {
        shown.spoken.iter().map(|spoken| Said { at: spoken.at, from: shown.id, opus: &spoken.opus })
    });
    let mut said: Vec<_> = all.collect();
    said.sort_by_key(|said| said.at);
    said
}

/// From the first packet that a listener heard to the last one it was there, or it was put out.
fn marks(heard: &[bool], banned: Option<usize>) -> Vec<Mark> {
    let (first, last) = (heard.iter().position(|heard| *heard), heard.iter().rposition(|heard| *heard));
    let mark = |(place, heard): (usize, &bool)| match (heard, banned, first.zip(last)) {
        (true, ..) => Mark::Heard,
        (false, Some(banned), _) if place >= banned => Mark::Banned,
        (false, _, Some((first, last))) if (first..last).contains(&place) => Mark::Missed,
        _ => Mark::Absent,
    };
    heard.iter().enumerate().map(mark).collect()
}

fn join(ear: &Heard) -> Option<Duration> {
    ear.got.first().map(|got| got.at.saturating_duration_since(ear.joined))
}

fn ban(told: &Told) -> Ban {
    let rebel = &told.ears[REBEL];
    let last = rebel.got.last().map_or(told.started, |got| got.at);
    let deaf = last.saturating_duration_since(told.banned);
    // Who hears to the end was never deaf.
    let to_the_end = last + Duration::from_secs(1) > told.closed;
    let late = |got: &&crate::hear::Got| got.at > told.banned + Duration::from_millis(1_500);
    Ban {
        name: rebel.name.clone(),
        deaf_ms: (!to_the_end).then(|| ms(deaf)),
        came: u64::from(told.came_after_ban > 0) * told.came_after_ban,
        opened: rebel.got.iter().filter(late).count() as u64,
    }
}

fn relay(told: &Told, speech: &[i16], said: &[Said<'_>], dir: &Dir) -> Result<Relay, Box<dyn Error>> {
    let pcm: Vec<u8> = speech.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let mut needles = Needle::canaries(Kind::Speech, &pcm, 32, 40)?;
    let opus = said.iter().step_by(17).filter_map(|said| said.opus.get(4..36));
    needles.extend(opus.filter_map(|bytes| Needle::binary(Kind::OpusPacket, bytes).ok()));
    let people = told.ears.iter().map(|ear| (&ear.name, &ear.id));
    let mut clear: Vec<u8> = said.iter().flat_map(|said| said.opus.iter().copied()).collect();
    for (name, id) in people.chain(told.stage.iter().map(|shown| (&shown.name, &shown.id))).take(40) {
        needles.push(Needle::text(Kind::DisplayName, name)?);
        needles.push(Needle::binary(Kind::AccountId, id.as_bytes())?);
        clear.extend(name.as_bytes());
    }
    needles.push(Needle::text(Kind::RoomName, ROOM_NAME)?);
    let search = Search::new(&needles)?;
    let log = dir.file(LOG);
    let (leaks, bytes) = (search.run_on_file(&log)?.count(), fs::metadata(&log)?.len());
    let (mut sizes, mut control_sizes) = (Vec::new(), BTreeMap::new());
    for record in records(dir)? {
        match record.lane {
            Lane::Media => sizes.push(record.bytes.len()),
            Lane::Control => *control_sizes.entry(record.bytes.len()).or_insert(0) += 1,
            _ => {}
        }
    }
    sizes.sort_unstable();
    sizes.dedup();
    let counts = &told.counts;
    Ok(Relay {
        members: told.members,
        connections: counts.connections,
        packets: counts.media,
        copies: counts.copies,
        control: counts.control,
        control_copies: counts.control_copies,
        refused: counts.refused,
        dropped: counts.over_rate + counts.malformed + counts.unbound + counts.no_part,
        sizes,
        control_sizes: control_sizes.into_iter().collect(),
        needles: search.needles(),
        leaks,
        leaks_control: search.run(&clear).count(),
        bytes,
    })
}

fn records(dir: &Dir) -> Result<Vec<LogRecord>, Box<dyn Error>> {
    let reader = Reader::new(BufReader::new(File::open(dir.file(LOG))?))?;
    Ok(reader.collect::<Result<_, _>>()?)
}

/// What was to be heard where, one packet of what was said after the other.
fn sounds(
    told: &Told,
    speech: &[i16],
    said: &[Said<'_>],
    rows: &[Row],
    ban_at: usize,
    dir: &Dir,
) -> Result<Vec<Sound>, Box<dyn Error>> {
    let share = |place: usize| place as f64 / said.len().max(1) as f64;
    let heard = |number: usize| {
        let row = &rows[number].heard;
        let packets =
            said.iter().zip(row).map(|(said, mark)| if *mark == Mark::Heard { said.opus } else { &[] });
        hearing::play(packets)
    };
    let guest = said.iter().position(|said| said.from == told.guest).map(share).unwrap_or_default();
    let packets = records(dir)?.into_iter().filter(|record| record.lane == Lane::Media);
    let payloads: Vec<u8> = packets.flat_map(|record| record.bytes).collect();
    let noise = payloads.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let late = told.regulars;
    let sounds = vec![
        Sound {
            title: "Said on the stage",
            caption: format!(
                "{} s of speech, before Opus, and then from its beginning again.",
                speech.len() / 48_000
            ),
            samples: hearing::play(said.iter().map(|said| said.opus))?,
            mark: Some((guest, "the guest")),
        },
        Sound {
            title: "Heard by one who was there from the start",
            caption: format!("{} heard both voices.", rows[0].name),
            samples: heard(0)?,
            mark: Some((guest, "the guest")),
        },
        Sound {
            title: "Heard by one of the late crowd",
            caption: "Nothing of what was said before it came.".to_owned(),
            samples: heard(late.min(rows.len() - 1))?,
            mark: None,
        },
        Sound {
            title: "Heard by the one who was banned",
            caption: format!("{} goes on receiving, and tries the keys that it had.", rows[REBEL].name),
            samples: heard(REBEL)?,
            mark: Some((share(ban_at), "ban")),
        },
        Sound {
            title: "Heard by the relay, playing the packets as samples",
            caption: "Noise from edge to edge.".to_owned(),
            samples: noise,
            mark: None,
        },
    ];
    wav::write(&dir.file("said.wav"), &sounds[0].samples)?;
    wav::write(&dir.file("heard.wav"), &sounds[1].samples)?;
    wav::write(&dir.file("banned.wav"), &sounds[3].samples)?;
    Ok(sounds)
}
