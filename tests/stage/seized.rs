//! A device that is seized, by somebody who has recorded all traffic (H6).

use std::time::Duration;

use sottovoce::{OpenError, stage::HallLane};
use sottovoce_stage_sim::Node;

use super::{SECOND, hall};

/// What opens, by whoever has a device and everything that was ever sent.
fn oldest_opened(seed: u64, withheld: bool) -> (Duration, usize) {
    let (mut world, ears) = hall(seed, 12);
    let victim = ears[0];
    world.tape = Some(Vec::new());
    world.packets = Some(Vec::new());
    if withheld {
        // The relay keeps back what would make the device forget the chains of what it seals.
        world.withholds = Some(Box::new(move |_, to, lane| {
            to == Node::Ear(victim) && matches!(lane, Some(HallLane::Cell { .. } | HallLane::Own(_)))
        }));
    }
    // Turns, by people who leave, and steps.
    for (leaver, millis) in ears[1..6].iter().zip((10_100..).step_by(400)) {
        world.leave(*leaver);
        world.run_for(Duration::from_millis(millis));
    }
    let seized_at = world.now();
    let mut phone = world.take_out(victim).unwrap();
    let (tape, packets) = (world.tape.take().unwrap(), world.packets.take().unwrap());
    // Everything is played to it again, several times, as it was on the way then.
    for _ in 0..3 {
        for (_, lane, bytes) in &tape {
            let now = world.instant();
            let _ = phone.pump(seized_at, |listener| listener.handle_control(*lane, bytes, now));
        }
    }
    let mut opened = 0;
    let mut oldest = seized_at;
    for (sent, packet) in &packets {
        // What it has opened before is refused as a repeat: its key is there still.
        let mut frame = packet.to_vec();
        let opens = phone.opener.open(&mut frame);
        if matches!(opens, Ok(_) | Err(OpenError::Replayed | OpenError::TooOld)) {
            opened += 1;
            oldest = oldest.min(*sent);
        }
    }
    (seized_at - oldest, opened)
}

#[test]
fn h6_a_seized_device_opens_nothing_that_is_older_than_twelve_seconds() {
    for seed in 21..24 {
        let (age, opened) = oldest_opened(seed, false);
        assert!(age <= 12 * SECOND, "seed {seed}: {age:?}");
        assert!(opened <= 12 * 50, "{opened}");
    }
}

#[test]
fn h6_nor_if_a_relay_kept_from_it_what_it_would_have_forgotten() {
    for seed in 24..27 {
        let (age, _) = oldest_opened(seed, true);
        assert!(age <= 12 * SECOND, "seed {seed}: {age:?}");
    }
}
