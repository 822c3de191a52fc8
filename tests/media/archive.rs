//! The vendor stored everything, and later somebody seizes a device (SPEC section 4.2): what opens?
//!
//! The device in these tests has received nothing, as if the relay had kept every packet back, so
//! that no replay window helps it: whatever does not open, does not open for want of a key.

use std::time::Duration;

use sottovoce::OpenError;
use sottovoce_testkit::stage::{Stage, signed};

const TICK: Duration = Duration::from_millis(200);

/// Speech, sealed by leaf 0 every 200 ms, with the time since the first packet.
fn archive(stage: &mut Stage, seconds: u64) -> Vec<(Duration, Vec<u8>)> {
    let begun = stage.now;
    let mut stored = Vec::new();
    while stage.now - begun < Duration::from_secs(seconds) {
        let packet = stage.say(0, &[0x80, 1, 2, 3]);
        stored.push((stage.now - begun, packet));
        stage.pass(TICK);
    }
    stored
}

#[test]
fn a_device_seized_later_opens_nothing_older_than_twelve_seconds() {
    let mut stage = Stage::of(2, signed());
    // Seizures at many places in a step, the worst of them just before a step is retired.
    for extra in [0, 900, 1_900, 2_000, 2_100, 5_000, 9_900] {
        let stored = archive(&mut stage, 65);
        stage.pass(Duration::from_millis(extra));
        let end = stored.last().expect("65 s of packets").0 + TICK + Duration::from_millis(extra);
        let mut opened = 0;
        for (at, packet) in &stored {
            let age = end - *at;
            match stage.hear(1, packet) {
                Ok(_) => {
                    opened += 1;
                    assert!(age <= Duration::from_secs(12), "a packet {age:?} old opened");
                }
                Err(refusal) => {
                    assert_eq!(refusal, OpenError::UnknownKey, "at {at:?}");
                }
            }
        }
        // The check can fail: what is fresh does open.
        assert!(extra > 9_000 || opened > 0, "nothing opened at all");
    }
}

#[test]
fn a_device_seized_after_a_commit_opens_nothing_of_the_epoch_before_once_the_grace_is_over() {
    let mut stage = Stage::of(3, signed());
    let stored = archive(&mut stage, 9);
    stage.ban(2);
    stage.pass(Duration::from_millis(2_000));
    assert!(stored.iter().all(|(_, packet)| stage.hear(1, packet) == Err(OpenError::UnknownKey)));
}

#[test]
fn keys_of_a_later_step_do_not_open_earlier_ones_even_for_a_member_that_was_asleep() {
    let mut stage = Stage::of(2, signed());
    let stored = archive(&mut stage, 30);
    // The device sleeps for an hour: its clock jumps over 360 steps at once.
    let later = stage.now + Duration::from_secs(3_600);
    let sleeper = stage.member(1);
    sleeper.schedule.handle_timeout(later);
    sleeper.take_keys();
    sleeper.schedule.handle_timeout(later + Duration::from_secs(2));
    sleeper.take_keys();
    assert!(stored.iter().all(|(_, packet)| stage.hear(1, packet).is_err()));
}
