//! A relay that holds no key, against the media plane: each test is something it must not achieve.

use std::time::Duration;

use sottovoce::{Leaf, OpenError, Opener, Rekey, media::SpeakerStats};
use sottovoce_testkit::stage::{
    GROUP_ID, Profile, Stage, group, insider, name, opus::packet, seal_with, seat, signed,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn every_flipped_bit_of_a_sealed_packet_is_refused_and_the_genuine_packet_still_opens() {
    for profile in Profile::all() {
        let mut stage = Stage::of(2, profile);
        let genuine = stage.say(0, &packet(b"what was said"));
        assert_eq!(genuine.len(), 160 + 23);
        for bit in 0..genuine.len() * 8 {
            let mut altered = genuine.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let why = stage.hear(1, &altered).unwrap_err();
            let expected: &[OpenError] = match bit / 8 {
                // Other lengths of KID and CTR, or another counter in the first byte itself.
                0 => &[OpenError::UnknownKey, OpenError::Malformed, OpenError::Forged],
                // Another KID; 0x00.. is not its shortest form.
                1..=4 => &[OpenError::UnknownKey, OpenError::Malformed],
                // Another counter of the same key.
                5 | 6 => &[OpenError::Forged, OpenError::Malformed],
                _ => &[OpenError::Forged],
            };
            assert!(expected.contains(&why), "bit {bit}: {why:?}");
        }
        assert!(stage.hear(1, &genuine).unwrap().packet.windows(13).any(|said| said == b"what was said"));
    }
}

#[test]
fn a_packet_cut_short_anywhere_is_refused_and_so_is_one_with_bytes_added() {
    for profile in Profile::all() {
        let mut stage = Stage::of(2, profile);
        let genuine = stage.say(0, &packet(b"whole"));
        for length in 0..genuine.len() {
            let why = stage.hear(1, &genuine[..length]).unwrap_err();
            let expected = if length < 7 + 16 { OpenError::Malformed } else { OpenError::Forged };
            assert_eq!(why, expected, "{length} bytes");
        }
        for length in genuine.len() + 1..=1_300 {
            let mut longer = genuine.clone();
            longer.resize(length, 0);
            let expected = if length <= 1_100 { OpenError::Forged } else { OpenError::TooLarge };
            assert_eq!(stage.hear(1, &longer), Err(expected), "{length} bytes");
        }
        stage.hear(1, &genuine).unwrap();
    }
}

#[test]
fn huge_and_empty_packets_are_refused_before_anything_else() {
    let mut stage = Stage::of(2, signed());
    let kid = stage.insider().kid(Leaf(0), 0);
    assert_eq!(stage.hear(1, &[]), Err(OpenError::Malformed));
    for length in [1_101, 1_500, 65_536, 4 << 20] {
        let mut huge = insider::header(kid, 0x100);
        huge.resize(length, 0xff);
        assert_eq!(stage.hear(1, &huge), Err(OpenError::TooLarge));
    }
    let sender = stage.member(1).opener.sender_stats(Leaf(0)).unwrap();
    assert_eq!(sender, SpeakerStats::default(), "no sender was even looked up");
}

#[test]
fn a_room_without_keys_refuses_every_packet() {
    let mut stage = Stage::of(2, signed());
    let frame = stage.say(0, &packet(b"early"));
    assert_eq!(Opener::new().open(&mut frame.clone()), Err(OpenError::UnknownKey));
}

#[test]
fn our_own_packets_come_back_as_our_own_and_not_as_somebodys() {
    for profile in Profile::all() {
        let mut stage = Stage::of(2, profile);
        let mine = stage.say(0, &packet(b"mine"));
        assert_eq!(stage.hear(0, &mine), Err(OpenError::Own));
        // Also when it was sealed in the epoch before, and in a step that is over.
        stage.enter(&stage.seats(), &[]);
        assert_eq!(stage.hear(0, &mine), Err(OpenError::Own));
        let mine = stage.say(0, &packet(b"mine, again"));
        stage.pass(11 * SECOND);
        assert_eq!(stage.hear(0, &mine), Err(OpenError::Own));
        // Our own sealer goes on undisturbed.
        let next = stage.say(0, &packet(b"more"));
        stage.hear(1, &next).unwrap();
    }
}

#[test]
fn forged_headers_of_every_speaker_leave_every_slot_to_honest_speakers() {
    for profile in [signed(), group()] {
        let mut stage =
            Stage::in_room(GROUP_ID, (0..180).map(|leaf| seat(leaf, leaf < 179)).collect(), profile);
        let insider = stage.insider();
        let kids: Vec<Vec<u64>> =
            (0..2).map(|step| (0..179).map(|leaf| insider.kid(Leaf(leaf), step)).collect()).collect();
        let forge = |stage: &mut Stage, of: usize, counter| {
            for kids in &kids {
                let mut forged = insider::header(kids[of % kids.len()], counter);
                forged.extend([0x5a; 100]);
                let why = stage.hear(179, &forged).unwrap_err();
                assert!([OpenError::Forged, OpenError::Busy, OpenError::Replayed].contains(&why), "{why:?}");
            }
        };
        // Every speaker's key is asked for, in every live step, before anybody has spoken: 128
        // slots are full.
        (0..2 * 179).for_each(|of| forge(&mut stage, of, 0x100));
        let speakers: Vec<u32> = (0..179).step_by(3).collect();
        for (round, counter) in [(0, 0xffff), (1, 0x100), (2, 0x101)] {
            for speaker in &speakers {
                let frame = stage.say(*speaker, &packet(&speaker.to_be_bytes()));
                assert_eq!(stage.hear(179, &frame).unwrap().member, name(*speaker), "round {round}");
                assert_eq!(stage.hear(179, &frame), Err(OpenError::Replayed));
                (0..7).for_each(|of| forge(&mut stage, *speaker as usize * 7 + of, counter));
            }
        }
    }
}

#[test]
fn when_more_speak_in_a_step_than_there_is_room_for_those_who_were_first_are_not_displaced() {
    let mut stage = Stage::of(140, group());
    let mut heard = 0;
    for speaker in 0..139 {
        for said in [b"one", b"two"] {
            let frame = stage.say(speaker, &packet(said));
            match stage.hear(139, &frame) {
                Ok(_) => heard += 1,
                Err(why) => assert_eq!((why, speaker >= 128), (OpenError::Busy, true)),
            }
        }
    }
    assert_eq!(heard, 2 * 128);
    let frame = stage.say(0, &packet(b"still"));
    stage.hear(139, &frame).unwrap();
    // The next step has slots of its own.
    stage.pass(10 * SECOND);
    let frame = stage.say(138, &packet(b"at last"));
    stage.hear(139, &frame).unwrap();
}

#[test]
fn forged_counters_neither_move_the_window_nor_use_up_a_counter() {
    for profile in Profile::all() {
        let mut stage = Stage::of(2, profile);
        let genuine = stage.say(0, &packet(b"one"));
        let kid = stage.insider().kid(Leaf(0), 0);
        for counter in [0x100, 0x101, 0x4ff, 0x500, 0x501, 0xfffe, 0xffff] {
            let mut forged = insider::header(kid, counter);
            forged.extend([0; 60]);
            assert_eq!(stage.hear(1, &forged), Err(OpenError::Forged));
        }
        for counter in [0, 7, 8, 0xff, 0x1_0000, 1 << 32, u64::MAX - 1, u64::MAX] {
            let mut forged = insider::header(kid, counter);
            forged.extend([0; 60]);
            assert_eq!(stage.hear(1, &forged), Err(OpenError::Malformed), "beyond what a key may use");
        }
        stage.hear(1, &genuine).unwrap();
    }
}

#[test]
fn packets_of_far_ahead_steps_are_unknown_by_the_thousand_and_change_nothing() {
    let mut stage = Stage::of(2, group());
    let insider = stage.insider();
    let mut base_keys_on = stage.schedule_again(0);
    let began = stage.now;
    // Real packets, sealed by somebody whose clock runs far ahead.
    let mut ahead = sottovoce::Sealer::new();
    let mut thousand = Vec::new();
    for step in 2..1_002 {
        base_keys_on.handle_timeout(began + 10 * SECOND * step);
        while let Some(rekey) = base_keys_on.poll_rekey() {
            if let Rekey::Seal(rekey) = rekey {
                drop(ahead.install(rekey).unwrap());
            }
        }
        thousand.push(seal_with(&mut ahead, &packet(b"from the future")).unwrap());
    }
    assert_eq!(insider::decode(&thousand[0]).unwrap().0, insider.kid(Leaf(0), 2), "they are what they seem");
    for frame in &thousand {
        assert_eq!(stage.hear(1, frame), Err(OpenError::UnknownKey));
    }
    let now = stage.say(0, &packet(b"now"));
    assert_eq!(stage.hear(1, &now).unwrap().step.0, 0);
    // The keys of step 2 come when step 1 begins, as if nothing had been.
    stage.pass(10 * SECOND);
    assert_eq!(stage.hear(1, &thousand[0]).unwrap().step.0, 2);
    assert_eq!(stage.hear(1, &thousand[1]), Err(OpenError::UnknownKey));
}

#[test]
fn a_packet_opens_once_at_every_edge_of_the_window() {
    for profile in [group(), Profile { suite: sottovoce::Suite::Aes256Gcm, ..group() }] {
        let mut stage = Stage::of(2, profile);
        let frames: Vec<_> = (0..2_100).map(|_| stage.say(0, &packet(b"x"))).collect();
        let mut opens = |index: usize| stage.hear(1, &frames[index]).map(|_| ());
        assert_eq!(opens(1_500), Ok(()));
        assert_eq!(opens(1_500), Err(OpenError::Replayed));
        assert_eq!(opens(1_500 - 1_024), Err(OpenError::TooOld));
        assert_eq!(opens(1_500 - 1_023), Ok(()), "the oldest that the window holds");
        assert_eq!(opens(1_500 - 1_023), Err(OpenError::Replayed));
        assert_eq!(opens(1_501), Ok(()));
        assert_eq!(opens(1_500 - 1_023), Err(OpenError::TooOld), "the window has moved");
        for index in 1_501 - 1_023..1_501 {
            assert_eq!(
                opens(index),
                if index == 1_500 { Err(OpenError::Replayed) } else { Ok(()) },
                "{index}"
            );
        }
        assert_eq!(opens(2_099), Ok(()));
        for index in 0..2_099 {
            let expected = match index {
                ..1_076 => Err(OpenError::TooOld),
                1_076..=1_501 => Err(OpenError::Replayed),
                _ => Ok(()),
            };
            assert_eq!(opens(index), expected, "{index}");
        }
        assert!((0..2_100).all(|index| opens(index).is_err()), "and none of them twice");
    }
}

#[test]
fn a_packet_that_was_opened_stays_closed_when_its_step_is_retired_and_installed_again() {
    let mut stage = Stage::of(2, group());
    let old = stage.say(0, &packet(b"step 0"));
    stage.hear(1, &old).unwrap();
    stage.pass(20 * SECOND);
    let two = stage.say(0, &packet(b"step 2"));
    assert_eq!(stage.hear(1, &two).unwrap().step.0, 2);
    stage.pass(13 * SECOND);
    assert_eq!(stage.hear(1, &two), Err(OpenError::UnknownKey), "step 2 is retired");

    // The same epoch secret used a second time: every change of keys comes again.
    let mut again = stage.schedule_again(1);
    let began = stage.now;
    for step in 0..8 {
        again.handle_timeout(began + 10 * SECOND * step);
        while let Some(rekey) = again.poll_rekey() {
            if let Rekey::Open(rekey) = rekey {
                drop(stage.member(1).opener.install(rekey));
            }
            for seen in [&old, &two] {
                let why = stage.hear(1, seen).unwrap_err();
                assert!([OpenError::UnknownKey, OpenError::Replayed].contains(&why), "{why:?}");
            }
        }
    }
}

#[test]
fn a_packet_that_was_opened_stays_closed_when_its_epoch_is_retired_and_installed_again() {
    let mut stage = Stage::of(2, group());
    let mut again = stage.schedule_again(1);
    let old = stage.say(0, &packet(b"the epoch before"));
    stage.hear(1, &old).unwrap();
    stage.enter(&stage.seats(), &[]);
    assert_eq!(stage.hear(1, &old), Err(OpenError::Replayed), "in the grace time its window is still there");
    stage.pass(3 * SECOND);
    assert_eq!(stage.hear(1, &old), Err(OpenError::UnknownKey));
    while let Some(rekey) = again.poll_rekey() {
        if let Rekey::Open(rekey) = rekey {
            drop(stage.member(1).opener.install(rekey));
        }
        assert_eq!(stage.hear(1, &old), Err(OpenError::UnknownKey));
    }
    let now = stage.say(0, &packet(b"the present epoch is undisturbed"));
    stage.hear(1, &now).unwrap();
}

#[test]
fn a_packet_of_another_room_with_the_same_members_is_refused_under_either_kid() {
    for profile in Profile::all() {
        let mut here = Stage::of(2, profile);
        let mut there = Stage::in_room(b"another stage", here.seats(), profile);
        let frame = there.say(0, &packet(b"said in another room"));
        assert_eq!(here.hear(1, &frame), Err(OpenError::UnknownKey));
        // The relay knows which pseudonym speaks here, and writes it in front of the other room's
        // packet.
        let (_, counter, taken) = insider::decode(&frame).unwrap();
        let ours = here.say(0, &packet(b"x"));
        let mut moved = insider::header(insider::decode(&ours).unwrap().0, counter);
        moved.extend(&frame[taken..]);
        assert_eq!(here.hear(1, &moved), Err(OpenError::Forged));
        there.hear(1, &frame).unwrap();
    }
}

#[test]
fn a_packet_is_never_opened_under_another_speakers_kid() {
    for profile in Profile::all() {
        let mut stage = Stage::of(3, profile);
        let (a, b) = (stage.say(0, &packet(b"a")), stage.say(1, &packet(b"b")));
        for (head, body) in [(&a, &b), (&b, &a)] {
            let crossed = [&head[..7], &body[7..]].concat();
            assert_eq!(stage.hear(2, &crossed), Err(OpenError::Forged));
        }
        assert_eq!(stage.hear(2, &a).unwrap().leaf, Leaf(0));
        assert_eq!(stage.hear(2, &b).unwrap().leaf, Leaf(1));
    }
}

#[test]
fn a_million_forgeries_close_one_key_for_its_step_and_no_other() {
    let mut stage = Stage::of(3, group());
    let keys = stage.insider().keys(Leaf(0), 0);
    let mut forged = insider::header(keys.kid, 0x100);
    forged.extend([0; 16]);
    let first = stage.say(0, &packet(b"one"));
    stage.hear(2, &first).unwrap();
    // A fresh counter, so that the window lets each of them through to the tag.
    forged[6] = 0x01;
    let opener = &mut stage.member(2).opener;
    for _ in 0..1 << 20 {
        assert_eq!(opener.open(&mut forged.clone()).map(|_| ()), Err(OpenError::Forged));
    }
    let closed = stage.say(0, &packet(b"two"));
    assert_eq!(stage.hear(2, &closed), Err(OpenError::Exhausted));
    let other = stage.say(1, &packet(b"other"));
    stage.hear(2, &other).unwrap();
    stage.pass(10 * SECOND);
    let next = stage.say(0, &packet(b"three"));
    stage.hear(2, &next).unwrap();
}
