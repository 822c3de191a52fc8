//! The parts of the main job that decide what it reports: the leak search, the options, recordings,
//! the comparison.

use std::{ffi::OsString, fs, num::NonZeroU32, path::PathBuf, time::Duration};

use sottovoce_examples::{
    base64, resample,
    room::{
        args::{self, Command, parse},
        hearing, member, out,
    },
    search::{Encoding, Kind, Needle, Search},
    wav,
};

fn run(arguments: &[&str]) -> Result<Command, args::Error> {
    parse(arguments.iter().map(OsString::from))
}

/// Bytes that look random and are always the same.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect()
}

#[test]
fn a_secret_is_found_in_every_encoding_and_at_every_alignment() {
    let name = "Clementine";
    let needle = Needle::text(Kind::DisplayName, name).unwrap();
    let search = Search::new(&[needle]).unwrap();
    let utf16 = |big: bool| -> Vec<u8> {
        name.encode_utf16()
            .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect()
    };
    let hex: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut hidden = vec![
        (Encoding::Raw, name.as_bytes().to_vec()),
        (Encoding::HexLower, hex.clone().into_bytes()),
        (Encoding::HexUpper, hex.to_uppercase().into_bytes()),
        (Encoding::Utf16Le, utf16(false)),
        (Encoding::Utf16Be, utf16(true)),
    ];
    for before in 0..3 {
        let text = [&noise(before), name.as_bytes(), &noise(5)].concat();
        hidden.push((Encoding::Base64, base64::encode(&text, base64::STANDARD).into_bytes()));
    }
    for (encoding, bytes) in hidden {
        let capture = [noise(1_000), bytes, noise(1_000)].concat();
        let found = search.run(&capture);
        assert!(found.count() > 0, "{encoding:?} went unnoticed");
        assert!(found.hits.iter().any(|hit| hit.encoding == encoding), "{encoding:?}: {:?}", found.hits);
    }
    assert_eq!(search.run(&noise(100_000)).count(), 0);
}

#[test]
fn needles_that_chance_would_find_are_refused() {
    assert!(Needle::text(Kind::RoomName, "short").is_err());
    assert!(Needle::binary(Kind::OpusPacket, &noise(15)).is_err());
    assert!(Needle::binary(Kind::Speech, &[0; 64]).is_err());
    assert!(Search::new(&[]).is_err());
}

#[test]
fn options_are_checked_one_clear_line_each() {
    assert!(matches!(run(&[]), Ok(Command::Run(_))));
    assert_eq!(run(&["--help"]), Ok(Command::Help));
    let Ok(Command::Run(options)) = run(&["--members", "5", "--seconds=7", "--loss", "2.5", "--json"]) else {
        panic!("good options were refused");
    };
    assert_eq!((options.members, options.seconds, options.loss_percent, options.json), (5, 7, 2.5, true));
    let wrong: [&[&str]; 9] = [
        &["--members", "0"],
        &["--members", "many"],
        &["--members"],
        &["--seconds", "0"],
        &["--loss", "101"],
        &["--loss", "NaN"],
        &["--nonsense"],
        &["--json=yes"],
        &["--seed", "1", "--seed", "2"],
    ];
    for arguments in wrong {
        let error = run(arguments).expect_err("wrong options were taken").to_string();
        assert!(!error.is_empty() && !error.contains('\n'), "{arguments:?}: {error:?}");
    }
}

#[test]
fn files_that_are_no_recording_are_refused_one_clear_line_each() {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("recordings");
    fs::create_dir_all(&dir).unwrap();
    let good = dir.join("good.wav");
    wav::write(&good, &[5; 4_800]).unwrap();
    let whole = fs::read(&good).unwrap();
    let broken = [
        ("empty.wav", Vec::new()),
        ("text.wav", b"this is not a recording, whatever its name says".to_vec()),
        ("truncated.wav", whole[..whole.len() / 2].to_vec()),
        ("header.wav", whole[..44].to_vec()),
        ("half-header.wav", whole[..20].to_vec()),
    ];
    for (name, bytes) in broken {
        let path = dir.join(name);
        fs::write(&path, bytes).unwrap();
        let error = wav::read(&path, Duration::from_secs(1)).expect_err(name).to_string();
        assert!(error.contains(name) && !error.contains('\n'), "{error:?}");
    }
    assert!(wav::read(&dir, Duration::from_secs(1)).is_err());
    assert!(wav::read(&dir.join("nowhere.wav"), Duration::from_secs(1)).is_err());
    let recording = wav::read(&good, Duration::from_secs(1)).unwrap();
    assert_eq!(resample::pcm16(&recording.samples), [5; 4_800]);
    assert!(out::Dir::create(&good).is_err());
}

#[test]
fn a_tone_keeps_its_pitch_whatever_the_rate() {
    for rate in [8_000u32, 16_000, 22_050, 44_100, 96_000] {
        let samples: Vec<f32> =
            (0..rate).map(|i| (i as f32 / rate as f32 * 440.0 * std::f32::consts::TAU).sin() * 0.5).collect();
        let tone = resample::to_48k(&samples, NonZeroU32::new(rate).unwrap());
        assert!(tone.len().abs_diff(48_000) <= 1, "{rate}: {}", tone.len());
        let rising = tone.windows(2).filter(|pair| pair[0] <= 0.0 && pair[1] > 0.0).count();
        assert!(rising.abs_diff(440) <= 1, "{rate}: {rising} periods");
    }
}

/// The comparison of the main job, on packets that it is given: it must see one bit, and forgive a
/// loss.
#[test]
fn the_comparison_sees_a_single_changed_packet_and_forgives_a_lost_one() {
    use member::{FRAME, Got, Outcome, Spoken};
    use sottovoce::{Authenticity, Epoch, MemberId, PacketSize, Step, codec::Encoder};

    let mut encoder = Encoder::new(FRAME, PacketSize::default(), Authenticity::Signed).unwrap();
    let outcome = |id: u8| Outcome {
        id: MemberId::from_bytes([id; 32]),
        join: Duration::ZERO,
        received: 0,
        opened: 0,
        refused: Default::default(),
        spoken: Vec::new(),
        heard: Vec::new(),
        entered: Default::default(),
    };
    let (mut speaker, mut listener) = (outcome(1), outcome(2));
    for frame in 0..30u64 {
        let pcm: Vec<i16> =
            (0..FRAME.samples()).map(|i| (((i as u64 * (frame + 3)) % 211) * 90) as i16).collect();
        let mut opus = vec![0; encoder.packet_len()];
        let len = encoder.encode(&pcm, &mut opus).unwrap();
        opus.truncate(len);
        let place = (Epoch(1), Step(0), 256 + frame);
        if frame != 11 {
            let (from, at) = (speaker.id, std::time::Instant::now());
            listener.heard.push(Got { from, place, at, opus: opus.clone(), header: Vec::new() });
        }
        speaker.spoken.push(Spoken { opus, place: Some(place), header: Vec::new() });
    }
    let samples = 30 * FRAME.samples();
    let hearing = hearing::listen(&listener, &[&speaker, &listener], samples).unwrap();
    assert_eq!((hearing.compared, hearing.different), (29, 0));
    assert_eq!(hearing.mix.len(), samples);
    assert!(hearing.mix.iter().any(|sample| *sample != 0));

    let middle = listener.heard[15].opus.len() / 2;
    listener.heard[15].opus[middle] ^= 1;
    assert!(hearing::listen(&listener, &[&speaker], samples).unwrap().different > 0);
}
