//! The capture time in a stamp: no two packets of a sender have the same one, whatever the
//! application says (SPEC section 5.2).

use sottovoce::{
    Authenticity, CaptureTime, SealError, Sealer, Stamp,
    media::{HEADROOM, Level, Proof, TAILROOM},
};
use sottovoce_testkit::stage::{Profile, Stage, signed};

/// A packet of 20 ms.
const OPUS: [u8; 3] = [0xfc, 0xff, 0xfe];

fn seal(sealer: &mut Sealer, captured: CaptureTime) -> Result<Vec<u8>, SealError> {
    let mut buffer = [0; HEADROOM + 1_000 + TAILROOM];
    buffer[HEADROOM..HEADROOM + OPUS.len()].copy_from_slice(&OPUS);
    let stamp = Stamp { captured, level: Level::new(40, false), ..Stamp::default() };
    sealer.seal(&mut buffer, OPUS.len(), stamp).map(|sealed| sealed.to_vec())
}

fn heard(stage: &mut Stage, sealed: &[u8]) -> u64 {
    match stage.hear(1, sealed).unwrap().proof {
        Proof::Signed(stamp) => stamp.captured.as_millis(),
        proof => panic!("{proof:?}"),
    }
}

#[test]
fn packets_that_say_no_capture_time_follow_each_other() {
    let mut stage = Stage::of(2, signed());
    for n in 0..50 {
        let sealed = seal(&mut stage.member(0).sealer, CaptureTime::UNKNOWN).unwrap();
        assert_eq!(heard(&mut stage, &sealed), n * 20);
    }
    // After one that says it, they go on from there; after a change of keys too.
    seal(&mut stage.member(0).sealer, CaptureTime::from_millis(5_000)).unwrap();
    let seats = stage.seats();
    stage.enter(&seats, &[]);
    let sealed = seal(&mut stage.member(0).sealer, CaptureTime::UNKNOWN).unwrap();
    assert_eq!(heard(&mut stage, &sealed), 5_020);
}

#[test]
fn a_capture_time_that_stands_still_or_goes_back_is_an_error_and_uses_no_counter() {
    let mut stage = Stage::of(2, signed());
    let sealer = &mut stage.member(0).sealer;
    seal(sealer, CaptureTime::from_millis(1_790_000_000_000)).unwrap();
    let remaining = sealer.remaining();
    // Only 48 bits travel: what differs in the others alone is the same to receivers.
    for same in [1_790_000_000_000, 1_789_999_999_999, 1, 1_790_000_000_000 | 1 << 48] {
        assert_eq!(seal(sealer, CaptureTime::from_millis(same)), Err(SealError::NotLater), "{same}");
    }
    assert_eq!(sealer.remaining(), remaining);
    assert!(seal(sealer, CaptureTime::from_millis(1_790_000_000_001)).is_ok());
    // A new key does not make it forget.
    let seats = stage.seats();
    stage.enter(&seats, &[]);
    let again = seal(&mut stage.member(0).sealer, CaptureTime::from_millis(1_790_000_000_001));
    assert_eq!(again, Err(SealError::NotLater));
}

#[test]
fn where_no_stamp_travels_its_capture_time_does_not_matter() {
    let mut stage = Stage::of(2, Profile { authenticity: Authenticity::Group, ..signed() });
    for _ in 0..3 {
        seal(&mut stage.member(0).sealer, CaptureTime::from_millis(7)).unwrap();
    }
}
