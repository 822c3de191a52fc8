//! The audio thread neither allocates nor frees, whatever comes, and an idle sender's memory is
//! bounded: counted by an allocator that counts.

use std::{collections::BTreeSet, hint::black_box, time::Duration};

use crate::{BYTES, CALLS};
use sottovoce::{
    Authenticity, CaptureTime, Leaf, OpenError, Opener, PacketSize, Rekey, Schedule, SealError, Sealer,
    SilenceReason, Stamp,
    media::{Early, HEADROOM, Level, Loss, Notes, OpenRekey, Retired, SealRekey},
    report::{Buffer, Excerpt, NotKept, Retention},
};
use sottovoce_testkit::stage::{
    GROUP_ID, Profile, Seat, Stage, group, insider, name,
    opus::{self, packet},
    seat, signed,
};

/// Does something as the audio thread would: one call of the allocator, either way, and the test
/// fails.
fn audio<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let before = CALLS.get();
    let out = act();
    let calls = CALLS.get() - before;
    assert_eq!(calls, 0, "{what} called the allocator {calls} times");
    out
}

#[test]
fn the_counter_counts_what_it_should() {
    let before = CALLS.get();
    drop(black_box(vec![0u8; 100]));
    assert_eq!(CALLS.get() - before, 2, "one allocation, one free");
    let caught = std::panic::catch_unwind(|| audio("a box", || drop(black_box(Box::new(1)))));
    assert!(caught.is_err());
}

const STAMP: Stamp = Stamp {
    captured: CaptureTime::UNKNOWN,
    level: Level::from_byte(2),
    notes: Notes { muted: false, loss: Loss::Unknown },
};

/// Seals one packet in place, in a buffer that is there already.
fn seal<'b>(sealer: &mut Sealer, buffer: &'b mut [u8], said: &[u8]) -> Result<&'b mut [u8], SealError> {
    let packet = &mut buffer[HEADROOM..];
    packet[0] = 0x78;
    packet[1..=said.len()].copy_from_slice(said);
    sealer.seal(buffer, 1 + said.len(), STAMP)
}

#[test]
fn sealing_and_opening_never_touch_the_allocator() {
    for profile in Profile::all() {
        let mut stage = Stage::of(3, profile);
        let (mut sealers, mut listener) = (Vec::new(), stage.members.remove(&Leaf(2)).unwrap().opener);
        for (_, member) in std::mem::take(&mut stage.members) {
            sealers.push(member.sealer);
        }
        let mut buffer = [0; 300];
        for round in 0..2_000 {
            let sealer = &mut sealers[round % 2];
            audio("a packet", || {
                let frame = seal(sealer, &mut buffer, b"said").unwrap();
                // The first of each sender also makes its keys.
                let opened = listener.open(frame).unwrap();
                black_box(opened.packet.as_bytes());
            });
            audio("questions", || {
                black_box((sealer.position(), sealer.sealed_size(), sealer.remaining()));
                black_box((listener.stats().refusals().count(), listener.sender_stats(Leaf(0))));
            });
        }
    }
}

#[test]
fn recording_and_taking_an_excerpt_never_touch_the_allocator() {
    let mut stage = Stage::of(4, signed());
    let mut now = stage.now;
    let mut keep = Retention::default();
    (keep.window, keep.speakers) = (Duration::from_secs(6), 2);
    let mut recorder = Buffer::new(keep, PacketSize::new(signed().size).unwrap(), now);
    let mut excerpt = Excerpt::new(&recorder);
    let mut listener = stage.members.remove(&Leaf(3)).unwrap().opener;
    let mut buffer = [0; 300];
    let (mut full, mut fast) = (0, 0);
    for round in 0..6_000u32 {
        // A third speaker now and then, and from the middle on all of them faster than their audio
        // needs.
        let leaf = if round % 50 == 0 { 2 } else { round % 2 };
        let frame = seal(&mut stage.member(leaf).sealer, &mut buffer, b"said").unwrap();
        let opened = listener.open(frame).unwrap();
        match audio("recording", || recorder.record(&opened, now)) {
            Ok(()) => {}
            Err(NotKept::Speakers) => full += 1,
            Err(NotKept::Rate) => fast += 1,
            Err(other) => panic!("{other}"),
        }
        now += Duration::from_millis(if round < 3_000 { 20 } else { 1 });
    }
    assert!(full > 50 && fast > 1_000, "{full} and {fast}: both refusals");
    let member = stage.member(1).id;
    audio("an excerpt", || recorder.excerpt(member, now - Duration::from_secs(6)..now, &mut excerpt))
        .unwrap();
    assert!(excerpt.len() > 300);
    audio("time", || recorder.handle_timeout(now + Duration::from_secs(9)));
    assert_eq!(recorder.kept(member), 0);
    audio("wiping", || recorder.wipe());
}

/// All changes of keys of some epochs, made beforehand, as the control thread does.
fn rekeys(stage: &mut Stage, epochs: u32) -> Vec<Rekey> {
    let mut rekeys = Vec::new();
    let mut now = stage.now;
    for _ in 0..epochs {
        let mut schedule = stage.schedule_again(1);
        if let Some(key) = stage.member(0).schedule.speaker_key() {
            schedule.handle_speaker(Leaf(0), key).unwrap();
            schedule.handle_speaker(Leaf(0), key).unwrap();
        }
        for _ in 0..40 {
            now += Duration::from_secs(1);
            schedule.handle_timeout(now);
            rekeys.extend(std::iter::from_fn(|| schedule.poll_rekey()));
        }
        // A jump over steps.
        now += Duration::from_secs(100);
        schedule.handle_timeout(now);
        rekeys.extend(std::iter::from_fn(|| schedule.poll_rekey()));
        stage.now = now;
        stage.enter(&stage.seats(), &[]);
    }
    rekeys
}

#[test]
fn taking_a_change_of_keys_is_a_swap() {
    for profile in Profile::all() {
        let mut stage = Stage::of(2, profile);
        let (first, again) = (rekeys(&mut stage, 3), rekeys(&mut Stage::of(2, profile), 3));
        let kinds: BTreeSet<String> = first
            .iter()
            .map(|rekey| format!("{rekey:?}").replace(|c: char| c.is_ascii_digit(), ""))
            .collect();
        let signs = profile.authenticity == Authenticity::Signed;
        assert_eq!(kinds.len(), 5 + usize::from(signs), "{kinds:?}");

        let (mut sealer, mut opener) = (Sealer::new(), Opener::new());
        let mut retired: Vec<Retired> = Vec::with_capacity(2_000);
        let mut reused = Vec::with_capacity(2_000);
        // The second time each comes too late: a step that is there, a key that was there, an epoch
        // that is over.
        for rekey in first.into_iter().chain(again) {
            audio("a change of keys", || match rekey {
                Rekey::Seal(rekey) => match sealer.install(rekey) {
                    Ok(old) => retired.push(old),
                    Err(why) => reused.push(why),
                },
                Rekey::Open(rekey) => retired.push(opener.install(rekey)),
            });
        }
        assert!(!reused.is_empty());
        audio("the others", || {
            retired.push(sealer.install(SealRekey::pause(SilenceReason::Forked)).unwrap());
            retired.push(sealer.install(SealRekey::resume()).unwrap());
            retired.push(sealer.install(SealRekey::stop(SilenceReason::Closed)).unwrap());
            retired.push(opener.install(OpenRekey::close()));
        });
        assert!(retired.len() < retired.capacity());
    }
}

#[test]
fn no_refusal_touches_the_allocator() {
    let mut seen = BTreeSet::new();
    let mut refuse = |opener: &mut Opener, expected: OpenError, frame: &[u8]| {
        let mut frame = frame.to_vec();
        let why = audio(expected.name(), || opener.open(&mut frame).map(|_| ()));
        assert_eq!(why, Err(expected));
        seen.insert(expected.name());
    };

    let mut stage = Stage::in_room(GROUP_ID, vec![seat(0, true), seat(1, true), seat(2, true)], signed());
    let (insider, seed) = (stage.insider(), stage.seed(Leaf(0)));
    let keys = insider.keys(Leaf(0), 0);
    let mine = stage.say(1, &packet(b"mine"));
    let before_the_ban = stage.say(2, &packet(b"gone"));
    let mut early: Vec<Vec<u8>> = (0..1_100).map(|_| stage.say(0, &packet(b"x"))).collect();
    let last = early.pop().unwrap();
    let opener = &mut stage.member(1).opener;
    refuse(opener, OpenError::Malformed, &[]);
    refuse(opener, OpenError::Malformed, &[0x80, 1]);
    refuse(opener, OpenError::Malformed, &insider::header(keys.kid, 1 << 40));
    refuse(opener, OpenError::Malformed, &insider::header(keys.kid, 0x100));
    refuse(opener, OpenError::TooLarge, &[0; 2_000]);
    refuse(opener, OpenError::UnknownKey, &insider::header(0x1234, 0x100));
    refuse(opener, OpenError::Own, &mine);
    refuse(opener, OpenError::Forged, &[&last[..100], &[0; 83]].concat());
    refuse(opener, OpenError::Unsigned, &keys.seal(0x9000, &packet(&[0; 150])));
    let body = opus::untailed(b"a byte too many", 161);
    let other_size = insider.signed(&seed, Leaf(0), &keys, 0x9001, &body);
    refuse(opener, OpenError::WrongSize, &keys.seal(0x9001, &other_size));
    let mut text = last.clone();
    audio("an honest packet", || opener.open(&mut text).map(|_| ())).unwrap();
    refuse(opener, OpenError::Replayed, &last);
    refuse(opener, OpenError::TooOld, &early[0]);

    let seats: Vec<Seat> = stage.seats().into_iter().take(2).collect();
    stage.enter_unannounced(&seats, &[Leaf(2)]);
    let frame = stage.say(0, &packet(b"new"));
    let opener = &mut stage.member(1).opener;
    refuse(opener, OpenError::Removed, &before_the_ban);
    refuse(opener, OpenError::UnknownSpeaker, &frame);

    let mut stage = Stage::of(2, group());
    let keys = stage.insider().keys(Leaf(0), 0);
    refuse(&mut stage.member(1).opener, OpenError::NotOpus, &keys.seal(0x100, &[]));
    let forged = [insider::header(keys.kid, 0x100), vec![0; 60]].concat();
    let mut frame = forged.clone();
    for _ in 0..(1 << 20) {
        frame.copy_from_slice(&forged);
        let _ = black_box(stage.member(1).opener.open(&mut frame));
    }
    refuse(&mut stage.member(1).opener, OpenError::Exhausted, &forged);

    // One opener of a room of 130, which has room for 128 at a time.
    let stage = Stage::of(2, group());
    let seats: Vec<_> = (0..130).map(|leaf| seat(leaf, true)).collect();
    let mut opener = Opener::new();
    let schedule = stage.schedule_of(&seats, Leaf(129), &[], [1; 32]);
    open_rekeys(schedule).for_each(|rekey| drop(opener.install(rekey)));
    let insider = stage.insider_of(seats.iter().map(|seat| seat.leaf).collect());
    for leaf in 0..128 {
        let mut frame = insider.keys(Leaf(leaf), 0).seal(0x100, &packet(b"x"));
        audio("the first packet of a sender", || opener.open(&mut frame).map(|_| ())).unwrap();
    }
    refuse(&mut opener, OpenError::Busy, &insider.keys(Leaf(128), 0).seal(0x100, &packet(b"x")));

    // Somebody who was silenced and seals all the same.
    let mut stage = Stage::of(2, group());
    let seats: Vec<_> = (0..2).map(|leaf| seat(leaf, true)).collect();
    let mut opener = Opener::new();
    let mut schedule = stage.schedule_of(&seats, Leaf(1), &[], [1; 32]);
    schedule.mute(Leaf(0));
    open_rekeys(schedule).for_each(|rekey| drop(opener.install(rekey)));
    let insider = stage.insider_of(seats.iter().map(|seat| seat.leaf).collect());
    refuse(&mut opener, OpenError::Muted, &insider.keys(Leaf(0), 0).seal(0x100, &packet(b"x")));

    let all: BTreeSet<_> = OpenError::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(seen, all, "every reason");
    stage.pass(Duration::ZERO);
}

fn open_rekeys(mut schedule: Schedule) -> impl Iterator<Item = OpenRekey> {
    std::iter::from_fn(move || schedule.poll_rekey()).filter_map(|rekey| match rekey {
        Rekey::Open(rekey) => Some(rekey),
        Rekey::Seal(_) => None,
    })
}

#[test]
fn no_error_of_the_sealer_touches_the_allocator() {
    let mut stage = Stage::of(2, group());
    let mut buffer = [0; 300];
    let fails = |sealer: &mut Sealer, expected: SealError, length: usize, buffer: &mut [u8]| {
        let why = audio("an error", || sealer.seal(buffer, length, STAMP).map(|_| ()));
        assert_eq!(why, Err(expected));
    };
    fails(&mut Sealer::new(), SealError::Silent(SilenceReason::NotYet), 1, &mut buffer);
    let sealer = &mut stage.member(0).sealer;
    fails(sealer, SealError::NotOpus, 0, &mut buffer);
    fails(sealer, SealError::TooLarge, 170, &mut buffer);
    fails(sealer, SealError::BufferTooSmall, 1, &mut [0; 40]);
    for _ in 0..65_280 {
        seal(sealer, &mut buffer, b"x").unwrap();
    }
    fails(sealer, SealError::Exhausted, 1, &mut buffer);
}

#[test]
fn early_packets_wait_in_memory_that_is_there_from_the_start() {
    let mut stage = Stage::of(2, signed());
    stage.enter_unannounced(&stage.seats(), &[]);
    let frames: Vec<_> = (0..6).map(|_| stage.say(0, &packet(b"early"))).collect();
    let mut early = Early::new(4);
    let mut opener = std::mem::take(&mut stage.member(1).opener);
    audio("holding", || {
        frames.iter().for_each(|frame| early.hold(frame));
        early.hold(&[0; 5_000]);
        assert!(early.next_known(&mut opener).is_none());
    });
    stage.member(1).opener = opener;
    stage.announce();
    let opener = &mut stage.member(1).opener;
    audio("taking out", || {
        let mut opened = 0;
        while let Some(frame) = early.next_known(opener) {
            opened += u32::from(opener.open(frame).is_ok());
        }
        assert_eq!(opened, 4);
        early.clear();
    });
}

/// Live bytes of a listener's opener and schedule with this many speakers, three steps of keys in
/// place.
fn bytes_with(speakers: u32) -> isize {
    let stage = Stage::in_room(GROUP_ID, vec![seat(0, true)], signed());
    let seats: Vec<_> = (0..speakers).map(|leaf| Seat { id: name(leaf), ..seat(leaf, true) }).collect();
    let before = BYTES.get();
    let mut opener = Opener::new();
    let mut schedule = stage.schedule_of(&seats, Leaf(u32::MAX), &[], [0; 32]);
    schedule.handle_timeout(stage.now + Duration::from_secs(10));
    while let Some(rekey) = schedule.poll_rekey() {
        if let Rekey::Open(rekey) = rekey {
            drop(opener.install(rekey));
        }
    }
    let bytes = BYTES.get() - before;
    drop((opener, schedule));
    bytes
}

#[test]
fn a_loaded_idle_sender_takes_at_most_200_bytes() {
    // The first 128 have slots besides, whether they speak or not.
    let base = bytes_with(128);
    println!("128 senders, with their slots: {base} bytes");
    // 5,462 and 10,923 are where the tables have just doubled.
    for count in [1_000, 5_000, 5_462, 10_923, 20_000] {
        let each = (bytes_with(count) - base) as f64 / f64::from(count - 128);
        println!("{count} senders: {each:.1} bytes for each one more");
        assert!(each <= 200.0, "{each} bytes at {count}");
    }
    let from_1_000_to_5_000 = (bytes_with(5_000) - bytes_with(1_000)) as f64 / 4_000.0;
    println!("from 1,000 to 5,000: {from_1_000_to_5_000:.1} bytes for each one more");
    assert!((100.0..=200.0).contains(&from_1_000_to_5_000));
}

#[cfg(feature = "room")]
#[test]
fn the_media_handle_of_a_session_never_touches_the_allocator() {
    use std::time::{Instant, SystemTime};

    use sottovoce::{
        Seed,
        driver::Session,
        group::{Identity, Name, Role},
        room::{Admission, InviteOptions, RoomOptions, UnixTime},
        transport::{block_on, loopback::Hub},
    };

    let hub = Hub::new("hub".parse().unwrap());
    let unix = UnixTime::from(SystemTime::now());
    let mut options = RoomOptions::new(Name::new("call").unwrap(), ["hub".parse().unwrap()]);
    (options.default_role, options.admission) = (Role::Speaker, Admission::Open);
    let identity = |n: u8| Identity::from_seed([n; 32], Name::new("member").unwrap());
    let seed = |n| Seed::from_bytes(&mut [n; 32]);
    let mut host = block_on(Session::create_with(hub.client(), identity(1), options, seed(1), unix)).unwrap();
    let now = host.now();
    let link = host.room_mut().invite(InviteOptions::default(), now).unwrap();
    let guest = block_on(Session::join_with(hub.client(), identity(2), link, seed(2), unix)).unwrap();
    let ((mut host, mut mouth), (mut guest, mut ear)) = (host.split(), guest.split());
    let (start, mut heard, mut sent) = (Instant::now(), 0, 0);
    while heard < 200 {
        assert!(start.elapsed() < Duration::from_secs(30), "{heard} of {sent} were heard");
        let now = host.now();
        while block_on(host.next(now)).unwrap().is_some() {}
        while block_on(guest.next(now)).unwrap().is_some() {}
        // Keys cross over in between, and what they replace goes back.
        audio("hearing", || ear.hear(now, |_| heard += 1));
        let stamp = Stamp { captured: SystemTime::now().into(), ..STAMP };
        sent += u32::from(audio("speaking", || mouth.speak(&[0xf8, 0xff, 0xfe], stamp)).is_ok());
        std::thread::sleep(Duration::from_millis(2));
    }
}
