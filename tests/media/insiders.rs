//! A member who holds every key of the room but the victim's speaker key, against the signatures.
//!
//! Where a test also shows the attack succeed in a room without signatures, it is to prove that the
//! attack is real, and what [`Authenticity::Group`](sottovoce::Authenticity::Group) does not
//! promise.

use std::time::Duration;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sottovoce::{
    Leaf, OpenError, Rekey, Sealer,
    media::{Proof, ScheduleError},
};
use sottovoce_testkit::stage::{
    GROUP_ID, Member, Profile, STAMP, Seat, Stage, group, insider, name,
    opus::{packet, untailed},
    seal_with, seat, signed,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_listener_who_seals_in_a_speakers_voice_is_refused() {
    for profile in Profile::all() {
        let mut stage = Stage::in_room(GROUP_ID, vec![seat(0, true), seat(1, true), seat(2, false)], profile);
        assert!(stage.member(2).seal(&packet(b"I may not speak")).is_err());
        // The listener knows the epoch secret: a schedule for the speaker's leaf gives the
        // speaker's keys, except for the seed of the speaker key, which never left the speaker.
        let mut impostor = Sealer::new();
        let mut schedule = stage.schedule_of(&stage.seats(), Leaf(0), &[], [0xbd; 32]);
        while let Some(rekey) = schedule.poll_rekey() {
            if let Rekey::Seal(rekey) = rekey {
                drop(impostor.install(rekey).unwrap());
            }
        }
        let forged = seal_with(&mut impostor, &packet(b"in your voice")).unwrap();
        assert_eq!(insider::decode(&forged).unwrap().0, stage.insider().kid(Leaf(0), 0));
        match stage.hear(1, &forged) {
            Ok(heard) => assert_eq!(heard.proof, Proof::Group, "and says that it proves nothing"),
            Err(why) => {
                assert_eq!(why, OpenError::Unsigned);
                let genuine = stage.say(0, &packet(b"my voice"));
                assert_eq!(stage.hear(1, &genuine).unwrap().proof, Proof::Signed(STAMP));
            }
        }
    }
}

#[test]
fn content_swapped_under_the_same_gcm_tag_is_refused() {
    for profile in [group(), signed()] {
        let mut stage = Stage::of(2, profile);
        let genuine = stage.say(0, &packet(b"sixteen bytes..! pay Alice ten pounds, said Bob"));
        let keys = stage.insider().keys(Leaf(0), 0);
        // Two neighbouring blocks changed so that their parts of GHASH cancel out.
        let hash_key = hash_key(&keys);
        let change = u128::from_be_bytes(*b"\0\0\0\0and hundred!");
        let mut swapped = genuine.clone();
        for (at, change) in [(7 + 16, change), (7 + 32, multiply(change, hash_key))] {
            for (byte, change) in swapped[at..at + 16].iter_mut().zip(change.to_be_bytes()) {
                *byte ^= change;
            }
        }
        let tag = genuine.len() - 16;
        assert_eq!(
            (&swapped[..7], &swapped[tag..]),
            (&genuine[..7], &genuine[tag..]),
            "same header, same tag"
        );
        assert_ne!(keys.open(&swapped).expect("the tag holds for both"), keys.open(&genuine).unwrap());

        match stage.hear(1, &swapped) {
            Ok(heard) => assert_eq!(heard.proof, Proof::Group),
            Err(why) => {
                assert_eq!(why, OpenError::Unsigned);
                stage.hear(1, &genuine).unwrap();
                assert_eq!(stage.hear(1, &swapped), Err(OpenError::Replayed));
            }
        }
    }
}

/// The key of GHASH, from two tags under one nonce: their difference is the block's times the key
/// squared.
fn hash_key(keys: &insider::Keys) -> u128 {
    let header = insider::header(keys.kid, 0x100);
    let [one, other] = [1u128 << 127, 0].map(|target| {
        // The plaintext whose ciphertext is `target`.
        let stream = keys.seal_under(&header, 0x100, &[0; 16])[header.len()..][..16].to_vec();
        let stream = u128::from_be_bytes(stream.try_into().unwrap());
        let frame = keys.seal_under(&header, 0x100, &(stream ^ target).to_be_bytes());
        u128::from_be_bytes(frame[frame.len() - 16..].try_into().unwrap())
    });
    // 1 << 127 is the number one in GCM's order of bits; squaring 127 times more undoes one
    // squaring.
    (0..127).fold(one ^ other, |root, _| multiply(root, root))
}

/// Multiplication in GCM's field (NIST SP 800-38D section 6.3).
fn multiply(x: u128, mut y: u128) -> u128 {
    let mut product = 0;
    for bit in (0..128).rev() {
        if x >> bit & 1 == 1 {
            product ^= y;
        }
        y = y >> 1 ^ if y & 1 == 1 { 0xe1 << 120 } else { 0 };
    }
    product
}

#[test]
fn a_captured_signed_packet_does_not_open_under_another_counter_step_or_leaf() {
    let mut stage = Stage::of(3, signed());
    let genuine = stage.say(0, &packet(b"I agree"));
    let insider = stage.insider();
    let keys = insider.keys(Leaf(0), 0);
    let plaintext = keys.open(&genuine).unwrap();
    for counter in [0, 1, 0xff, 0x1_0000] {
        assert_eq!(
            stage.hear(1, &keys.seal(counter, &plaintext)),
            Err(OpenError::Malformed),
            "CTR {counter}"
        );
    }
    for counter in [0x101, 0x200, 0x1000, 0xffff] {
        assert_eq!(stage.hear(1, &keys.seal(counter, &plaintext)), Err(OpenError::Unsigned), "CTR {counter}");
    }
    let next_step = insider.keys(Leaf(0), 1);
    assert_eq!(stage.hear(1, &next_step.seal(0x100, &plaintext)), Err(OpenError::Unsigned));
    // Nor as the insider's own words.
    assert_eq!(stage.hear(1, &insider.keys(Leaf(2), 0).seal(0x100, &plaintext)), Err(OpenError::Unsigned));
    // Sealed exactly as it was, it is the same packet.
    assert_eq!(keys.seal(0x100, &plaintext), genuine);
    stage.hear(1, &genuine).unwrap();
    assert_eq!(stage.hear(1, &genuine), Err(OpenError::Replayed));
}

#[test]
fn a_captured_signed_packet_does_not_open_in_another_epoch_or_room_even_under_the_same_speaker_key() {
    let mut stage = Stage::of(2, signed());
    let genuine = stage.say(0, &packet(b"I agree"));
    let plaintext = stage.insider().keys(Leaf(0), 0).open(&genuine).unwrap();
    let seed = stage.seed(Leaf(0));
    let mut elsewhere =
        [stage, Stage::in_room(b"another stage", vec![seat(0, true), seat(1, true)], signed())];
    for room in &mut elsewhere {
        let seats = room.seats();
        room.enter_unannounced(&seats, &[]);
        // The victim made the mistake to take the same speaker key again.
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let key: [u8; 32] = key.public_key().as_ref().try_into().unwrap();
        room.member(1).schedule.handle_speaker(Leaf(0), key).unwrap();
        room.member(1).take_keys();
        let insider = room.insider();
        let keys = insider.keys(Leaf(0), 0);
        assert_eq!(room.hear(1, &keys.seal(0x100, &plaintext)), Err(OpenError::Unsigned));
        // What the victim signs here and now does open.
        let now = insider.signed(&seed, Leaf(0), &keys, 0x100, &plaintext[..plaintext.len() - 64]);
        room.hear(1, &keys.seal(0x100, &now)).unwrap();
    }
}

#[test]
fn every_altered_bit_of_a_signed_plaintext_is_refused() {
    let mut stage = Stage::of(2, Profile { size: 96, ..signed() });
    let genuine = stage.say(0, &packet(b"word"));
    let keys = stage.insider().keys(Leaf(0), 0);
    let plaintext = keys.open(&genuine).unwrap();
    for bit in 0..plaintext.len() * 8 {
        let mut altered = plaintext.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(stage.hear(1, &keys.seal(0x100, &altered)), Err(OpenError::Unsigned), "bit {bit}");
    }
    for length in 0..plaintext.len() {
        assert_eq!(stage.hear(1, &keys.seal(0x100, &plaintext[..length])), Err(OpenError::Unsigned));
    }
    stage.hear(1, &genuine).unwrap();
}

#[test]
fn a_packet_without_a_signature_is_refused_in_a_room_that_has_them() {
    let mut stage = Stage::of(2, signed());
    let keys = stage.insider().keys(Leaf(0), 0);
    for plaintext in [packet(&[]), packet(&[0; 100]), [packet(b"x"), vec![0xc2; 73]].concat(), vec![]] {
        assert_eq!(stage.hear(1, &keys.seal(0x100, &plaintext)), Err(OpenError::Unsigned));
    }
}

#[test]
fn packets_in_the_victims_name_neither_burn_its_counters_nor_push_its_window_on() {
    let mut stage = Stage::of(2, signed());
    let keys = stage.insider().keys(Leaf(0), 0);
    let (first, second) = (stage.say(0, &packet(b"one")), stage.say(0, &packet(b"two")));
    stage.hear(1, &first).unwrap();
    for counter in (0x100..0x200).chain(0xff00..=0xffff) {
        let forged = keys.seal(counter, &packet(&[0x5a; 140]));
        let expected = if counter == 0x100 { OpenError::Replayed } else { OpenError::Unsigned };
        assert_eq!(stage.hear(1, &forged), Err(expected));
    }
    stage.hear(1, &second).unwrap();
    let sender = stage.member(1).opener.sender_stats(Leaf(0)).unwrap();
    assert_eq!((sender.opened, sender.forged), (2, 511));
}

#[test]
fn a_tail_outside_the_padding_or_a_packet_of_another_size_is_refused_though_the_signature_holds() {
    let mut stage = Stage::of(2, signed());
    let size = usize::from(stage.profile.size);
    let (insider, seed) = (stage.insider(), stage.seed(Leaf(0)));
    let keys = insider.keys(Leaf(0), 0);
    let in_padding = untailed(b"said", size);
    let edit = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut body = in_padding.clone();
        change(&mut body);
        body
    };
    // The whole packet is one frame, has no padding, or has one byte of padding too few or too
    // many.
    let outside = [
        edit(&|body| body[0] = 0x78),
        edit(&|body| body[1] = 0x01),
        edit(&|body| body[2] = 0),
        edit(&|body| body[2] = 72),
    ];
    let other_size = [untailed(b"said", size - 1), untailed(b"said", size + 1)];
    let expected = outside.map(|body| (body, OpenError::Unsigned)).into_iter();
    let expected = expected.chain(other_size.map(|body| (body, OpenError::WrongSize)));
    for (counter, (body, why)) in (0x200..).zip(expected) {
        let plaintext = insider.signed(&seed, Leaf(0), &keys, counter, &body);
        assert_eq!(stage.hear(1, &keys.seal(counter, &plaintext)), Err(why), "{body:02x?}");
    }
    // Exactly the tail is in the padding, and the packet opens.
    let least = edit(&|body| body[2] = 73);
    let plaintext = insider.signed(&seed, Leaf(0), &keys, 0x100, &least);
    stage.hear(1, &keys.seal(0x100, &plaintext)).unwrap();
}

#[test]
fn a_valid_seal_around_broken_opus_is_refused_and_the_counter_stays_free() {
    let broken: [&[u8]; 6] = [&[], &[0x79, 1], &[0x7a, 252], &[0x7b], &[0x7b, 0], &[0x7b, 0x41, 9, 0]];
    let mut stage = Stage::of(2, group());
    let keys = stage.insider().keys(Leaf(0), 0);
    for plaintext in broken {
        assert_eq!(stage.hear(1, &keys.seal(0x100, plaintext)), Err(OpenError::NotOpus), "{plaintext:02x?}");
    }
    let honest = stage.say(0, &packet(b"fine"));
    stage.hear(1, &honest).unwrap();

    // Signed by the speaker's own key: that does not make Opus of it.
    let mut stage = Stage::of(2, signed());
    let insider = stage.insider();
    let keys = insider.keys(Leaf(0), 0);
    for front in [[0x79].as_slice(), &[0x7a, 252, 255], &[0x7b, 0], &[0x7b, 7], &[0x7b, 0x41, 254]] {
        let body = [front, &[0xc2, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
        let plaintext = insider.signed(&stage.seed(Leaf(0)), Leaf(0), &keys, 0x100, &body);
        assert_eq!(stage.hear(1, &keys.seal(0x100, &plaintext)), Err(OpenError::NotOpus), "{front:02x?}");
    }
    let honest = stage.say(0, &packet(b"fine"));
    stage.hear(1, &honest).unwrap();
}

#[test]
fn an_announcement_cannot_be_changed_within_an_epoch() {
    let mut stage = Stage::of(2, signed());
    let insider = stage.insider();
    let keys = insider.keys(Leaf(0), 0);
    let second_seed = [9; 32];
    let second = Ed25519KeyPair::from_seed_unchecked(&second_seed).unwrap();
    let second: [u8; 32] = second.public_key().as_ref().try_into().unwrap();
    for key in [second, stage.member(0).schedule.speaker_key().unwrap()] {
        stage.member(1).schedule.handle_speaker(Leaf(0), key).unwrap();
        stage.member(1).take_keys();
        let genuine = stage.say(0, &packet(b"as announced first"));
        let (_, counter, _) = insider::decode(&genuine).unwrap();
        let body = &keys.open(&genuine).unwrap()[..160 - 64];
        let other = keys.seal(counter, &insider.signed(&second_seed, Leaf(0), &keys, counter, body));
        assert_eq!(stage.hear(1, &other), Err(OpenError::Unsigned));
        stage.hear(1, &genuine).unwrap();
    }
}

#[test]
fn only_speakers_other_than_ourselves_can_announce_a_key() {
    let mut stage = Stage::in_room(GROUP_ID, vec![seat(0, true), seat(1, false), seat(2, true)], signed());
    let key = stage.member(0).schedule.speaker_key().unwrap();
    let schedule = &mut stage.member(2).schedule;
    for leaf in [1, 2, 3, u32::MAX] {
        assert_eq!(schedule.handle_speaker(Leaf(leaf), key), Err(ScheduleError::NotASpeaker), "leaf {leaf}");
    }
    assert_eq!(stage.member(1).schedule.speaker_key(), None);
}

#[test]
fn a_key_that_another_speaker_has_announced_gives_nobody_that_speakers_words() {
    let mut stage = Stage::of(3, signed());
    stage.enter_unannounced(&stage.seats(), &[]);
    stage.announce_one(Leaf(0));
    // Leaf 1 announces leaf 0's key as its own, and seals leaf 0's plaintext under its own KID.
    let copied = stage.member(0).schedule.speaker_key().unwrap();
    stage.member(2).schedule.handle_speaker(Leaf(1), copied).unwrap();
    stage.member(2).take_keys();
    let insider = stage.insider();
    let genuine = stage.say(0, &packet(b"mine"));
    let plaintext = insider.keys(Leaf(0), 0).open(&genuine).unwrap();
    assert_eq!(stage.hear(2, &insider.keys(Leaf(1), 0).seal(0x100, &plaintext)), Err(OpenError::Unsigned));
    assert_eq!(stage.hear(2, &genuine).unwrap().leaf, Leaf(0));
}

#[test]
fn speaker_keys_under_which_anybody_could_sign_are_refused() {
    // The points of small order, by every y that decodes to one (RFC 8032 section 5.1.3), with both
    // sign bits.
    let p = "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f";
    let one_more = "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f";
    let minus_one = "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f";
    let of_order_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    let other_of_order_8 = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";
    let (zero, one) = ("00".repeat(32), format!("01{}", "00".repeat(31)));
    let mut stage = Stage::of(2, signed());
    stage.enter_unannounced(&stage.seats(), &[]);
    let mut verified = 0;
    for y in [&zero, &one, p, one_more, minus_one, of_order_8, other_of_order_8] {
        for sign in [0, 0x80] {
            let mut key: [u8; 32] =
                std::array::from_fn(|i| u8::from_str_radix(&y[2 * i..2 * i + 2], 16).unwrap());
            key[31] |= sign;
            assert_eq!(
                stage.member(1).schedule.handle_speaker(Leaf(0), key),
                Err(ScheduleError::WeakKey),
                "{y}"
            );
            // Why: the signature (R = that point or the neutral one, S = 0) verifies over some
            // messages.
            let neutral: [u8; 32] = std::array::from_fn(|i| u8::from(i == 0));
            let signature = [neutral, [0; 32]].concat();
            let verifier = UnparsedPublicKey::new(&ED25519, key);
            verified += (0..64u8).filter(|n| verifier.verify(&[*n], &signature).is_ok()).count();
        }
    }
    assert!(verified > 64, "signatures by nobody verify under such keys: {verified}");
    stage.member(1).take_keys();
    let frame = stage.say(0, &packet(b"still unannounced"));
    assert_eq!(stage.hear(1, &frame), Err(OpenError::UnknownSpeaker));
    stage.announce();
    stage.hear(1, &frame).unwrap();
}

#[test]
fn a_removed_leaf_is_deaf_and_dumb_from_the_commit_on_and_the_stayers_late_packets_open() {
    for profile in Profile::all() {
        let mut stage = Stage::of(3, profile);
        let (late, last) = (stage.say(0, &packet(b"late")), stage.say(2, &packet(b"before the ban")));
        let old_insider = stage.insider();
        let mut banned = stage.ban(2);
        assert_eq!(stage.hear(1, &last), Err(OpenError::Removed), "not even what was sealed before the ban");
        let grace = banned.seal(&packet(b"in the grace time")).unwrap();
        assert_eq!(stage.hear(1, &grace), Err(OpenError::Removed));
        stage.hear(1, &late).unwrap();
        // In the old epoch's keys it may still try another voice; only signatures stop that.
        let as_another = old_insider.keys(Leaf(0), 0).seal(0x4000, &packet(&[0; 150]));
        match profile.authenticity {
            sottovoce::Authenticity::Signed => {
                assert_eq!(stage.hear(1, &as_another), Err(OpenError::Unsigned))
            }
            sottovoce::Authenticity::Group => assert_eq!(stage.hear(1, &as_another).unwrap().leaf, Leaf(0)),
        }
        for _ in 0..50 {
            stage.pass(SECOND);
            let frame = stage.say(0, &packet(b"without you"));
            banned.schedule.handle_timeout(stage.now);
            banned.take_keys();
            assert_eq!(banned.open(&frame), Err(OpenError::UnknownKey));
            let frame = banned.seal(&packet(b"hello?")).unwrap();
            let expected = stage.hear(1, &frame).unwrap_err();
            assert!([OpenError::Removed, OpenError::UnknownKey].contains(&expected));
        }
        assert_eq!(
            stage.hear(1, &old_insider.keys(Leaf(0), 0).seal(0x4001, &packet(b"x"))),
            Err(OpenError::UnknownKey)
        );
    }
}

#[test]
fn the_grace_time_of_an_epoch_ends_after_two_seconds() {
    let mut stage = Stage::of(2, group());
    let frames: Vec<_> = (0..3).map(|_| stage.say(0, &packet(b"late"))).collect();
    stage.enter(&stage.seats(), &[]);
    stage.hear(1, &frames[0]).unwrap();
    stage.pass(Duration::from_millis(1_999));
    stage.hear(1, &frames[1]).unwrap();
    stage.pass(Duration::from_millis(1));
    assert_eq!(stage.hear(1, &frames[2]), Err(OpenError::UnknownKey));
}

#[test]
fn a_demoted_speaker_is_refused_in_the_grace_time_and_after_it() {
    for profile in Profile::all() {
        let mut stage = Stage::of(3, profile);
        let before = stage.say(2, &packet(b"before"));
        let mut seats = stage.seats();
        seats[2].speaks = false;
        stage.enter(&seats, &[]);
        assert_eq!(stage.hear(1, &before), Err(OpenError::Removed));
        assert!(stage.member(2).seal(&packet(b"silenced here")).is_err());
        let heard = stage.say(0, &packet(b"and still listening"));
        stage.hear(2, &heard).unwrap();
    }
}

#[test]
fn a_leaf_that_somebody_else_got_opens_nothing_of_its_former_member() {
    for removed in [vec![Leaf(2)], vec![]] {
        for profile in Profile::all() {
            let mut stage = Stage::of(3, profile);
            let before = stage.say(2, &packet(b"of the former member"));
            let mut seats = stage.seats();
            seats[2] = Seat { id: name(77), ..seats[2] };
            let mut left = stage.enter(&seats, &removed);
            let former: &mut Member = left.get_mut(&Leaf(2)).unwrap();
            assert_eq!(stage.hear(1, &before), Err(OpenError::Removed));
            let after = former.seal(&packet(b"of the former member")).unwrap();
            assert_eq!(stage.hear(1, &after), Err(OpenError::Removed));
            let new = stage.say(2, &packet(b"of the new member"));
            assert_eq!(stage.hear(1, &new).unwrap().member, name(77));
        }
    }
}

#[test]
fn a_member_who_was_removed_and_came_back_to_the_same_leaf_has_no_grace_for_what_it_said_before() {
    let mut stage = Stage::of(3, signed());
    let before = stage.say(2, &packet(b"before"));
    stage.enter(&stage.seats(), &[Leaf(2)]);
    assert_eq!(stage.hear(1, &before), Err(OpenError::Removed));
    let after = stage.say(2, &packet(b"after"));
    stage.hear(1, &after).unwrap();
}
