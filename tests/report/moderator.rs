//! Reports from a room to the moderator, on real speech, through the very program that a moderator
//! runs.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use sottovoce::{
    Authenticity, OpenError,
    codec::{Decoder, Encoder, FrameLength, MAX_SAMPLES},
    media::{OpusPacket, Sound},
    report::{Equivocation, ExcerptError, Gap, ModerationSecret, NotKept, Rejected, Report, Retention},
    room::{Ending, Event, ReportError, UnixTime},
};
use sottovoce_examples::verify_report::{Outcome, run};
use sottovoce_testkit::table::{BEGAN, FRAME, Table, encoder, speech};

const SECOND: Duration = Duration::from_secs(1);
const ADA: usize = 0;
const BEN: usize = 1;
const CEM: usize = 2;

fn moderator() -> ModerationSecret {
    ModerationSecret::from_seed([42; 32]).unwrap()
}

/// A directory of its own for the files of one test.
struct Desk(PathBuf);

impl Desk {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sottovoce-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let desk = Self(path);
        desk.put("secret", "2a".repeat(32));
        desk
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.0.join(name), content).unwrap();
        self.path(name)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// The moderator's program, an hour or whatever after it all began.
    fn check(&self, arguments: &[&str]) -> Result<Outcome, Outcome> {
        let key = self.path("secret");
        let all = [&["check", "--key", &key], arguments].concat();
        run(all.iter().map(Into::into), UnixTime::from_secs(BEGAN.as_secs() + 30))
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn samples(path: &Path) -> Vec<i16> {
    samples_of(path, 1)
}

fn samples_of(path: &Path, channels: u16) -> Vec<i16> {
    let mut reader = hound::WavReader::open(path).unwrap();
    assert_eq!((reader.spec().sample_rate, reader.spec().channels), (48_000, channels));
    reader.samples().map(Result::unwrap).collect()
}

#[test]
fn what_the_moderator_hears_is_what_the_reporter_heard_to_the_bit() {
    let desk = Desk::new("round-trip");
    let mut table = Table::of(&["Ada", "Ben", "Cem"]);
    let mut speech = speech();
    // Two epochs begin while Ada speaks, and a step within the first of them.
    table.speak(ADA, &speech, |table, index| {
        if index == 130 || index == 180 {
            table.new_epoch();
        }
        Vec::new()
    });
    speech.truncate(speech.len() / FrameLength::Ms40.samples() * FrameLength::Ms40.samples());
    let ada = table.id(ADA);
    let heard = table.members[BEN].played[&ada].sound.clone();
    assert_eq!(heard.len(), speech.len(), "Ben heard all of it");
    let report = table.report(BEN, ADA, 30, &moderator().key()).unwrap();
    println!("{} s of speech make a report of {} bytes", heard.len() / 48_000, report.len());

    let file = desk.put("report", &report);
    let wav = desk.path("said.wav");
    let fingerprint: String = ada.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let outcome = desk.check(&["--wav", &wav, "--expect", &fingerprint, &file]).unwrap();
    println!("{}", outcome.text);
    assert_eq!(outcome.status, 0);
    for said in ["Ada", fingerprint.as_str(), "tea", "11.00 s in 275 packets", "gaps        none"] {
        assert!(outcome.text.contains(said), "{said} is not said");
    }
    assert!(samples(Path::new(&wav)) == heard, "the WAV differs from what Ben's decoder gave");

    // Cem heard the same, and both reports agree.
    let second = desk.put("second", table.report(CEM, ADA, 30, &moderator().key()).unwrap());
    let outcome = desk.check(&[&file, &second]).unwrap();
    assert!(
        outcome.text.contains("275 packets that are the same; 0 are in the first only, 0"),
        "{}",
        outcome.text
    );
}

#[test]
fn a_report_from_a_room_for_music_is_played_with_both_sides() {
    let desk = Desk::new("stereo");
    let mut table = Table::with(&["Ada", "Ben"], Retention::default(), |room| room.sound = Sound::Music);
    let size = table.members[ADA].room.packet_size().unwrap();
    let mut encoder = Encoder::of_sound(Sound::Music, FrameLength::Ms20, size, Authenticity::Signed).unwrap();
    let mut decoder = Decoder::stereo().unwrap();
    let (mut heard, mut pcm, frame) = (Vec::new(), [0; 2 * MAX_SAMPLES], FrameLength::Ms20.samples());
    for index in 0..350 {
        // A tone on the left, none on the right.
        let said: Vec<i16> = (index * frame..(index + 1) * frame)
            .flat_map(|n| [((n as f32 * 0.1).sin() * 8_000.0) as i16, 0])
            .collect();
        let mut opus = vec![0; encoder.packet_len()];
        let len = encoder.encode(&said, &mut opus).unwrap();
        table.say(ADA, &opus[..len], &[]);
        let samples = decoder.decode(OpusPacket::parse(&opus[..len]).unwrap(), &mut pcm).unwrap();
        heard.extend_from_slice(&pcm[..2 * samples]);
        table.pass(Duration::from_millis(20));
    }
    let file = desk.put("report", table.report(BEN, ADA, 30, &moderator().key()).unwrap());
    let wav = desk.path("said.wav");
    let outcome = desk.check(&["--wav", &wav, &file]).unwrap();
    assert!(outcome.text.contains("7.00 s in 350 packets"), "{}", outcome.text);
    let said = samples_of(Path::new(&wav), 2);
    assert!(said == heard, "the WAV differs from what a player's decoder gave");
    let loudest = |side: usize| said.iter().skip(side).step_by(2).map(|s| s.unsigned_abs()).max();
    assert!(loudest(0) > Some(7_000) && loudest(1) < Some(80), "{:?} {:?}", loudest(0), loudest(1));
}

#[test]
fn what_was_lost_is_silent_and_what_follows_is_as_it_was_heard() {
    let desk = Desk::new("loss");
    let mut table = Table::of(&["Ada", "Ben"]);
    let speech = speech();
    let ada = table.id(ADA);
    table.speak(ADA, &speech, |table, index| {
        let lost = [50, 51, 120].contains(&index);
        if lost {
            table.members[BEN].conceal(ada);
        }
        if lost { vec![BEN] } else { vec![] }
    });
    let file = desk.put("report", table.report(BEN, ADA, 30, &moderator().key()).unwrap());
    let wav = desk.path("said.wav");
    let outcome = desk.check(&["--wav", &wav, &file]).unwrap();
    for said in [
        "gaps        2",
        "after 2.00 s: 2 packets are missing, 0.08 s",
        "after 4.72 s: 1 packets are missing",
    ] {
        assert!(outcome.text.contains(said), "{}", outcome.text);
    }
    let (said, mut heard) = (samples(Path::new(&wav)), table.members[BEN].played[&ada].sound.clone());
    let frame = FrameLength::Ms40.samples();
    assert!(
        heard[50 * frame..52 * frame].iter().any(|sample| *sample != 0),
        "a player invents something there"
    );
    heard[50 * frame..52 * frame].fill(0);
    heard[120 * frame..121 * frame].fill(0);
    assert!(said == heard, "outside the gaps the WAV is what Ben heard");
}

#[test]
fn a_report_holds_one_speaker_and_nobody_else() {
    let mut table = Table::of(&["Ada", "Ben", "Cem"]);
    let speech = speech();
    let (mut of_ada, mut of_cem) = (encoder(), encoder());
    for block in speech.chunks_exact(FrameLength::Ms40.samples()).take(150) {
        let mut opus = vec![0; of_ada.packet_len()];
        of_ada.encode(block, &mut opus).unwrap();
        table.say(ADA, &opus, &[]);
        let turned: Vec<i16> = block.iter().rev().copied().collect();
        of_cem.encode(&turned, &mut opus).unwrap();
        table.say(CEM, &opus, &[]);
        table.pass(FRAME);
    }
    let file = table.report(BEN, ADA, 10, &moderator().key()).unwrap();
    let report = moderator().open(&file, table.unix(), &[]).unwrap();
    assert_eq!((report.member(), report.packets().count()), (table.id(ADA), 150));
    // Label, encapsulated key, tag; and of the report the head, one part and 150 frames: there is
    // room for nothing more.
    let part = 8 + 32 + 4 + 32 + (2 + 1 + 32 + 1 + 3 + 8 + 64) + (32 + 8 + 4 + 64) + 4;
    let plain = 18 + (1 + 32) + (1 + 3) + 2 + 1 + part + 150 * (4 + 4 + 2 + 16 + 240);
    assert_eq!(file.len(), 25 + 32 + 16 + plain);
    // And Ben can hold nothing that he said himself against himself, or somebody whom he never
    // heard.
    for nobody in [BEN, CEM] {
        let outcome = table.report(BEN, nobody, 10, &moderator().key()).map(|_| ());
        let expected =
            if nobody == CEM { Ok(()) } else { Err(ReportError::Excerpt(ExcerptError::NothingHeard)) };
        assert_eq!(outcome, expected);
    }
}

#[test]
fn the_last_minute_is_kept_and_no_more() {
    let mut table = Table::of(&["Ada", "Ben"]);
    let speech = speech();
    table.speak(ADA, &speech[..48_000 * 10], |_, _| vec![]);
    let key = moderator().key();
    let packets = |table: &mut Table, seconds| {
        let file = table.report(BEN, ADA, seconds, &key).unwrap();
        moderator().open(&file, table.unix(), &[]).unwrap().packets().count()
    };
    assert_eq!(packets(&mut table, 60), 250);
    assert_eq!(packets(&mut table, 5), 125, "a shorter window is the newest part");
    table.pass(51 * SECOND);
    let now = table.now;
    table.members[BEN].recorder.as_mut().unwrap().handle_timeout(now);
    assert_eq!(packets(&mut table, 70), 225, "the first second is gone");
    table.pass(10 * SECOND);
    let now = table.now;
    table.members[BEN].recorder.as_mut().unwrap().handle_timeout(now);
    let nothing = ReportError::Excerpt(ExcerptError::NothingHeard);
    assert_eq!(table.report(BEN, ADA, 100, &key), Err(nothing));
    assert_eq!(table.report(BEN, ADA, 4, &key), Err(ReportError::Excerpt(ExcerptError::TooShort)));
}

#[test]
fn somebody_who_is_removed_can_still_report_and_somebody_who_left_cannot() {
    let key = moderator().key();
    for leaves in [false, true] {
        let mut table = Table::of(&["Ada", "Ben"]);
        table.speak(ADA, &speech()[..48_000 * 6], |_, _| vec![]);
        let (ben, now) = (table.id(BEN), table.now);
        if leaves {
            table.members[BEN].room.leave().unwrap();
        } else {
            table.members[ADA].room.remove(ben, now).unwrap();
        }
        table.deliver();
        assert!(matches!(
            table.members[BEN].events.last(),
            Some(Event::Over(Ending::Left | Ending::Removed { .. }))
        ));
        let report = table.report(BEN, ADA, 10, &key);
        if leaves {
            assert_eq!(report.map(|_| ()), Err(ReportError::Unvouched));
        } else {
            let report = moderator().open(&report.unwrap(), table.unix(), &[]).unwrap();
            assert_eq!(report.packets().count(), 150);
        }
    }
}

#[test]
fn a_speaker_who_sends_too_much_erases_nothing_and_is_not_heard_beyond_what_is_kept() {
    let mut keep = Retention::default();
    keep.packet = FRAME;
    let mut table = Table::with(&["Ada", "Ben", "Cem"], keep, |_| {});
    table.speak(ADA, &speech()[..48_000 * 6], |_, _| vec![]);
    let abuse = table.report(BEN, ADA, 20, &moderator().key()).unwrap();
    // Now she sends as much as her keys allow.
    let mut opus = vec![0; encoder().packet_len()];
    encoder().encode(&[0; FrameLength::Ms40.samples()], &mut opus).unwrap();
    for _ in 0..3_000 {
        table.say(ADA, &opus, &[]);
    }
    assert!(table.members[BEN].not_kept.iter().all(|why| *why == NotKept::Rate));
    assert!(table.members[BEN].not_kept.len() > 1_000, "what is not kept is not played");
    let later = table.report(BEN, ADA, 20, &moderator().key()).unwrap();
    let open = |file: &[u8]| moderator().open(file, table.unix(), &[]).unwrap();
    let (abuse, later) = (open(&abuse), open(&later));
    assert_eq!(abuse.compare(&later).unwrap().only_first, 0, "all of it is still there");
    // Others are heard as before.
    table.say(CEM, &opus, &[]);
    assert_eq!(table.members[BEN].not_kept.iter().filter(|why| **why != NotKept::Rate).count(), 0);
    assert_eq!(table.members[BEN].played.len(), 2);
}

#[test]
fn nothing_is_kept_where_nothing_is_to_be_kept() {
    let mut table = Table::with(&["Ada", "Ben"], Retention::NOTHING, |_| {});
    table.speak(ADA, &speech()[..48_000 * 6], |_, _| vec![]);
    assert_eq!(table.members[BEN].recorder.as_ref().unwrap().reserved(), 0);
    assert!(table.members[BEN].not_kept.is_empty(), "all of it is played");
    let nothing = ReportError::Excerpt(ExcerptError::NothingHeard);
    assert_eq!(table.report(BEN, ADA, 10, &moderator().key()), Err(nothing));

    let unsigned = Table::with(&["Ada", "Ben"], Retention::default(), |options| {
        options.authenticity = sottovoce::Authenticity::Group;
    });
    assert!(unsigned.members[BEN].recorder.is_none(), "without signatures nothing can be proved");
}

#[test]
fn an_excerpt_of_one_room_is_no_report_in_another() {
    let mut table = Table::of(&["Ada", "Ben"]);
    table.speak(ADA, &speech()[..48_000 * 6], |_, _| vec![]);
    let mut other = Table::seeded(7, &["Ada", "Ben"], Retention::default(), |_| {});
    other.speak(ADA, &speech()[..48_000], |_, _| vec![]);
    let excerpt = table.members[BEN].excerpt(table.id(ADA), table.now, 10).unwrap();
    let refused = other.members[BEN].room.report(&excerpt, &moderator().key()).map(|_| ());
    assert_eq!(refused, Err(ReportError::Unvouched));
}

#[test]
fn a_second_version_under_one_number_is_not_heard_and_convicts_whoever_made_it() {
    let mut table = Table::of(&["Ada", "Ben", "Cem"]);
    let speech = speech();
    table.speak(ADA, &speech[..48_000 * 3], |_, _| vec![]);
    // Ada's device has a twin: a room made from the same seeds, and so with the same keys and
    // counters.
    let mut twin = Table::of(&["Ada", "Ben", "Cem"]);
    twin.speak(ADA, &speech[..48_000 * 3], |_, _| vec![]);
    let mut opus = vec![0; encoder().packet_len()];
    let [first, second] = [(&mut table, 3), (&mut twin, 7)].map(|(table, at)| {
        let block = &speech[48_000 * at..48_000 * at + FrameLength::Ms40.samples()];
        encoder().encode(block, &mut opus).unwrap();
        table.seal(ADA, &opus)
    });
    assert!(first[..7] == second[..7] && first[7..] != second[7..], "one number, two contents");
    table.carry(ADA, &first, &[CEM]);
    table.carry(ADA, &second, &[BEN]);
    table.carry(ADA, &second, &[CEM]);
    assert_eq!(
        table.members[BEN].refused,
        [OpenError::Replayed],
        "Ben hears one version, the first that came"
    );
    table.pass(FRAME);
    table.speak(ADA, &speech[48_000 * 4..48_000 * 7], |_, _| vec![]);

    let key = moderator().key();
    let open =
        |file: Vec<u8>| moderator().open(&file, UnixTime::from_secs(BEGAN.as_secs() + 60), &[]).unwrap();
    let (of_ben, of_cem): (Report, Report) =
        (open(table.report(BEN, ADA, 20, &key).unwrap()), open(table.report(CEM, ADA, 20, &key).unwrap()));
    let comparison = of_ben.compare(&of_cem).unwrap();
    assert!(
        matches!(comparison.equivocations[..], [Equivocation::Packet(place)] if place.counter.0 == 256 + 75)
    );
    assert_eq!((comparison.same, comparison.only_first, comparison.only_second), (150, 0, 0));
    let desk = Desk::new("versions");
    let files = [BEN, CEM]
        .map(|reporter| desk.put(&reporter.to_string(), table.report(reporter, ADA, 20, &key).unwrap()));
    let outcome = desk.check(&[&files[0], &files[1]]).unwrap();
    assert_eq!(outcome.status, 3);
    assert!(outcome.text.contains("TWO VERSIONS the speaker signed epoch"), "{}", outcome.text);
}

#[test]
fn the_program_says_why_not_and_writes_nothing_then() {
    let desk = Desk::new("refusals");
    let mut table = Table::of(&["Ada", "Ben"]);
    table.speak(ADA, &speech()[..48_000 * 6], |_, _| vec![]);
    let good = table.report(BEN, ADA, 10, &moderator().key()).unwrap();
    let file = desk.put("report", &good);
    let wav = desk.path("never.wav");
    let refuse = |arguments: &[&str], status: u8, why: &str| {
        let arguments = [&["--wav", &wav][..], arguments].concat();
        let refused = desk.check(&arguments).unwrap_err();
        assert!(refused.status == status && refused.text.contains(why), "{refused:?} is not {why:?}");
        assert!(!Path::new(&wav).exists(), "a WAV was written all the same");
    };
    let [late, early] = [BEGAN.as_secs() + 1_600, BEGAN.as_secs() - 1_000].map(|seconds| seconds.to_string());
    refuse(&["--received-at", &late, &file], 1, "proves nothing: expired");
    refuse(&["--received-at", "9999-12-31T23:59:59Z", &file], 1, "proves nothing: expired");
    refuse(&["--received-at", &early, &file], 1, "after it arrived");
    refuse(&["--received-at", "1970-01-01T00:00:00Z", &file], 1, "after it arrived");
    refuse(&["--expect", &"00".repeat(32), &file], 1, "not by 0000");
    refuse(&["--room", "00ff", &file], 1, "not from 00ff");
    refuse(&["--at-least", "6.5", &file], 1, "too short: it has 6.00 s");
    refuse(&[&desk.put("cut", &good[..good.len() - 1])], 1, "altered, or cut off");
    refuse(&[&desk.put("empty", b"")], 1, "not a sealed report");
    refuse(&[&desk.put("huge", vec![0; 35 << 20])], 1, "larger than any report");
    refuse(&[&desk.put("garbage", vec![7; 5_000])], 1, "not a sealed report");
    refuse(&[&desk.path("nowhere")], 1, "nowhere");
    refuse(&["--key", &desk.put("other", "2b".repeat(32)), &file], 1, "sealed to another key");
    refuse(&["--key", &desk.put("bad", "2b"), &file], 1, "not 32 bytes in hex");
    refuse(&[], 2, "one report");
    refuse(&["--nonsense", "1", &file], 2, "no option --nonsense");
    refuse(&["--at-least", "-1", &file], 2, "does not take");
    refuse(&["--received-at", "2026-13-01T00:00:00Z", &file], 2, "does not take");
    assert!(desk.check(&["--at-least", "6", &file]).is_ok());
    let outcome = desk.check(&["--received-at", &BEGAN.as_secs().to_string(), &file]).unwrap();
    let arrived = outcome.text.lines().find_map(|line| line.strip_prefix("arrived     ")).unwrap();
    let arrived = arrived.split(';').next().unwrap().replace(' ', "T").replace(".000TUTC", "Z");
    assert_eq!(desk.check(&["--received-at", &arrived, &file]).unwrap().text, outcome.text, "{arrived}");

    // A key of its own, which is not overwritten.
    let (secret, public) = (desk.path("new.secret"), desk.path("new.public"));
    let keygen = || run(["keygen", &secret, &public].iter().map(Into::into), *BEGAN);
    let made = keygen().unwrap();
    assert_eq!(keygen().unwrap_err().status, 1);
    assert!(made.text.contains(fs::read_to_string(&public).unwrap().trim()));
    refuse(&["--key", &secret, &file], 1, "sealed to another key");
}

#[test]
fn half_an_hour_later_the_report_is_worth_nothing_and_the_key_is_out() {
    let mut table = Table::of(&["Ada", "Ben"]);
    table.speak(ADA, &speech()[..48_000 * 6], |_, _| vec![]);
    let file = table.report(BEN, ADA, 10, &moderator().key()).unwrap();
    let open = |table: &Table| moderator().open(&file, table.unix(), &[]).map(|_| ());
    assert_eq!(open(&table), Ok(()));
    table.new_epoch();
    table.pass(24 * 60 * SECOND);
    assert_eq!(open(&table), Ok(()));
    assert_eq!(table.members[BEN].room.published_keys().count(), 0);
    table.pass(6 * 60 * SECOND);
    assert!(matches!(open(&table), Err(Rejected::Expired { .. })));
    let published: Vec<_> = table.members[BEN].room.published_keys().collect();
    assert!(!published.is_empty());
    let refused = moderator().open(&file, *BEGAN, &published).map(|_| ());
    assert!(matches!(refused, Err(Rejected::Published { .. })), "{refused:?}");
}

#[test]
fn a_report_under_a_newer_announcement_is_worth_more_time() {
    let mut table = Table::of(&["Ada", "Ben"]);
    table.pass(299 * SECOND - FRAME);
    table.speak(ADA, &speech()[..48_000 * 6], |_, _| vec![]);
    let file = table.report(BEN, ADA, 10, &moderator().key()).unwrap();
    let report = moderator().open(&file, table.unix(), &[]).unwrap();
    let until = report.proves_until().unwrap();
    assert!(
        until.as_secs() >= BEGAN.as_secs() + 300 + 1_500,
        "the announcement after five minutes counts, not the first"
    );
    let gaps: Vec<Gap> = report.gaps();
    assert_eq!(gaps, [], "and it is no gap");
}
