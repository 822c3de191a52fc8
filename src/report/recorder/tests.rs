//! What a recorder keeps, forgets and refuses, frame by frame.

use super::*;
use crate::{
    Epoch, Leaf,
    id::{Counter, KeyId, Step},
    media::{OpusPacket, Proof, Stamp},
};

const SECOND: Duration = Duration::from_secs(1);
const SIZE: u16 = 20;

fn member(n: u8) -> MemberId {
    MemberId::from_bytes([n; 32])
}

fn recorder(seconds: u64, speakers: usize) -> (Buffer, Instant) {
    let (now, size) = (Instant::now(), PacketSize::new(SIZE).unwrap());
    let keep = Retention { window: SECOND * seconds as u32, packet: Duration::from_millis(100), speakers };
    (Buffer::new(keep, size, now), now)
}

/// A packet of a speaker, as an opener would give it.
fn opened(packet: &[u8], speaker: u8, counter: u64) -> Opened<'_> {
    Opened {
        member: member(speaker),
        leaf: Leaf(0),
        epoch: Epoch(1),
        step: Step(2),
        counter: Counter(counter),
        proof: Proof::Signed(Stamp::default()),
        packet: OpusPacket::parse(packet).unwrap(),
        evidence: Some(Evidence {
            speaker_context: [speaker; 32],
            kid: KeyId(0x8000_0004),
            salt: [counter as u8; 16],
            is_first: speaker < 10,
        }),
    }
}

fn packet(byte: u8) -> [u8; SIZE as usize] {
    let mut packet = [byte; SIZE as usize];
    packet[0] = 0x78;
    packet
}

#[test]
fn what_is_kept_is_what_was_opened() {
    let (mut recorder, now) = recorder(60, 2);
    for (at, counter) in [(0, 256), (1, 257), (7, 65_535)] {
        recorder.record(&opened(&packet(counter as u8), 3, counter), now + SECOND * at).unwrap();
    }
    recorder.record(&opened(&packet(0xbb), 4, 300), now).unwrap();
    let mut excerpt = Excerpt::new(&recorder);
    recorder.excerpt(member(3), now..now + 6 * SECOND, &mut excerpt).unwrap();
    assert_eq!((excerpt.member(), excerpt.len()), (Some(member(3)), 2));
    for (frame, counter) in excerpt.frames().zip([256, 257]) {
        assert_eq!((frame.counter, frame.step, frame.kid), (Counter(counter), Step(2), KeyId(0x8000_0004)));
        assert_eq!((frame.speaker_context, frame.salt), ([3; 32], [counter as u8; 16]));
        assert_eq!(frame.packet, packet(counter as u8));
    }
    recorder.excerpt(member(3), now..now + 7 * SECOND, &mut excerpt).unwrap();
    assert_eq!(excerpt.len(), 3, "what was in it before is gone");
    let window = now + SECOND..now + 6 * SECOND - Duration::from_millis(1);
    assert_eq!(recorder.excerpt(member(3), window, &mut excerpt), Err(ExcerptError::TooShort));
    assert!(excerpt.is_empty());
    let window = now..now + 9 * SECOND;
    assert_eq!(recorder.excerpt(member(5), window, &mut excerpt), Err(ExcerptError::NothingHeard));
}

#[test]
fn the_window_passes_over_what_is_old_and_leaves_zeros() {
    let (mut recorder, now) = recorder(10, 3);
    // Four times round the ring, so that it wraps, and the others' rings are looked after on the
    // way.
    recorder.record(&opened(&packet(0xee), 9, 256), now).unwrap();
    for tick in 0..400u32 {
        let at = now + Duration::from_millis(100) * tick;
        recorder.record(&opened(&packet(0xcc), 3, 256 + u64::from(tick)), at).unwrap();
        assert_eq!(recorder.kept(member(3)), tick.min(100) as usize + 1);
    }
    assert_eq!(recorder.kept(member(9)), 0, "whoever has said nothing since is forgotten");
    assert!(!recorder.frames.contains(&0xee) && recorder.frames.contains(&0xcc));
    recorder.handle_timeout(now + 100 * SECOND);
    assert!(recorder.frames.iter().all(|byte| *byte == 0), "nothing is left of it in memory");
    assert_eq!(format!("{recorder:?}"), "Recorder(0 frames)");
}

#[test]
fn nothing_younger_than_the_window_is_displaced() {
    let (mut recorder, now) = recorder(10, 2);
    let kept =
        (0..1_000u64).filter(|n| recorder.record(&opened(&packet(1), 3, 256 + n), now).is_ok()).count();
    assert_eq!(kept, 111, "one packet in 100 ms, a tenth more, and one");
    assert_eq!(recorder.record(&opened(&packet(1), 3, 2_000), now), Err(NotKept::Rate));
    recorder.record(&opened(&packet(2), 4, 256), now).unwrap();
    assert_eq!(recorder.record(&opened(&packet(3), 5, 256), now), Err(NotKept::Speakers));
    let later = now + 10 * SECOND + Duration::from_millis(1);
    recorder.record(&opened(&packet(3), 5, 257), later).unwrap();
    assert_eq!(
        (recorder.kept(member(3)) == 0 || recorder.kept(member(4)) == 0, recorder.kept(member(5))),
        (true, 1)
    );
    let large = [0x78; SIZE as usize + 1];
    assert_eq!(recorder.record(&opened(&large, 5, 258), later), Err(NotKept::Size));
    assert_eq!(recorder.record(&opened(&packet(3), 5, 1 << 20), later), Err(NotKept::Size));
    assert_eq!(recorder.kept(member(5)), 1);
}

#[test]
fn what_is_wiped_is_zeros() {
    let (mut recorder, now) = recorder(10, 2);
    let fill = |recorder: &mut Buffer| {
        for n in 0..50 {
            recorder.record(&opened(&packet(0xaa), 3 + n as u8 % 2, 256 + n), now).unwrap();
        }
        assert!(recorder.frames.contains(&0xaa));
    };
    fill(&mut recorder);
    recorder.wipe();
    assert!(recorder.frames.iter().all(|byte| *byte == 0));
    fill(&mut recorder);
    recorder.handle_rekey(&OpenRekey::close());
    assert!(recorder.frames.iter().all(|byte| *byte == 0));
    fill(&mut recorder);
    let mut excerpt = Excerpt::new(&recorder);
    recorder.excerpt(member(3), now..now + 5 * SECOND, &mut excerpt).unwrap();
    assert_eq!(excerpt.len(), 25);
    excerpt.clear();
    assert!(excerpt.frames.is_empty());
}

#[test]
fn what_cannot_prove_anything_is_not_kept_and_may_be_played() {
    let (mut recorder, now) = recorder(10, 2);
    let bytes = packet(1);
    let unsigned = Opened { evidence: None, proof: Proof::Group, ..opened(&bytes, 3, 256) };
    assert_eq!(recorder.record(&unsigned, now), Ok(()));
    assert_eq!(recorder.kept(member(3)), 0);
    let mut off = Buffer::new(Retention::NOTHING, PacketSize::default(), now);
    assert_eq!(off.record(&opened(&bytes, 3, 256), now), Ok(()));
    assert_eq!((off.reserved(), off.kept(member(3)), off.window()), (0, 0, Duration::ZERO));
}

#[test]
fn memory_is_bounded_whatever_is_asked_for() {
    let now = Instant::now();
    let keep = Retention { window: SECOND * 5, packet: Duration::ZERO, speakers: usize::MAX };
    let size = PacketSize::new(16).unwrap();
    let recorder = Buffer::new(keep, size, now);
    assert_eq!(recorder.reserved(), 1_024 * 2_201 * (HEAD + 16));
    let default = Buffer::new(Retention::default(), PacketSize::default(), now);
    assert_eq!(default.reserved(), 64 * 3_301 * 308);
    assert_eq!(
        Buffer::new(Retention { window: SECOND * 900, ..keep_one() }, size, now).window(),
        SECOND * 300
    );
}

fn keep_one() -> Retention {
    Retention { speakers: 1, ..Retention::default() }
}

#[test]
fn throwaway_speakers_leave_places_to_who_was_there_before_them() {
    let (mut recorder, now) = recorder(60, 4);
    for throwaway in 10..20 {
        let kept = recorder.record(&opened(&packet(1), throwaway, 256), now);
        assert_eq!(kept.is_ok(), throwaway < 12, "two of four places are for everybody");
    }
    assert_eq!(recorder.gave_way(), GaveWay { packets: 8, last: Some(member(19)) });
    for first in [1, 2] {
        recorder.record(&opened(&packet(1), first, 256), now).unwrap();
        recorder.record(&opened(&packet(1), 10, 256 + u64::from(first)), now).unwrap();
    }
    // Nothing of the throwaways went for it, and their places are free when the window has passed.
    assert_eq!((recorder.kept(member(10)), recorder.kept(member(11))), (3, 1));
    recorder.record(&opened(&packet(1), 19, 300), now + 61 * SECOND).unwrap();
}
