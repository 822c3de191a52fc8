//! Packets that come before their key: held for a moment, opened once it is there (SPEC section
//! 5.6).

use sottovoce::{Leaf, OpenError, Opener, media::Early};
use sottovoce_testkit::stage::{Heard, Profile, Stage, opus::packet, signed};

/// What a receiver does with whatever arrives.
fn receive(opener: &mut Opener, early: &mut Early, frame: &[u8]) -> Result<Heard, OpenError> {
    let mut copy = frame.to_vec();
    let heard = opener.open(&mut copy).map(Heard::from);
    if let Err(why) = heard
        && why.is_early()
    {
        assert_eq!(copy, frame, "what is early is as it was");
        early.hold(frame);
    }
    heard
}

/// What it does after every change of keys.
fn catch_up(opener: &mut Opener, early: &mut Early) -> Vec<Result<Heard, OpenError>> {
    let mut heard = Vec::new();
    while let Some(frame) = early.next_known(opener) {
        heard.push(opener.open(frame).map(Heard::from));
    }
    heard
}

#[test]
fn packets_of_an_epoch_that_has_not_been_merged_here_open_in_order_once_it_is() {
    for profile in Profile::all() {
        let mut stage = Stage::of(3, profile);
        // Member 2 is slow: everybody else is in the next epoch already.
        let mut slow = std::mem::take(&mut stage.member(2).opener);
        let mut early = Early::new(8);
        stage.enter(&stage.seats(), &[]);
        let frames: Vec<_> = (0..5).map(|n| stage.say(n % 2, &packet(&[n as u8; 3]))).collect();
        for frame in &frames {
            assert_eq!(receive(&mut slow, &mut early, frame), Err(OpenError::UnknownKey));
        }
        assert_eq!(catch_up(&mut slow, &mut early), []);
        // The commit arrives, and the announcements with it.
        let mut schedule = stage.schedule_again(2);
        for leaf in [0, 1] {
            if let Some(key) = stage.member(leaf).schedule.speaker_key() {
                schedule.handle_speaker(Leaf(leaf), key).unwrap();
            }
        }
        while let Some(rekey) = schedule.poll_rekey() {
            if let sottovoce::Rekey::Open(rekey) = rekey {
                drop(slow.install(rekey));
            }
        }
        let heard: Vec<_> = catch_up(&mut slow, &mut early).into_iter().map(Result::unwrap).collect();
        assert_eq!(
            heard.iter().map(|heard| heard.leaf.0).collect::<Vec<_>>(),
            [0, 1, 0, 1, 0],
            "oldest first"
        );
        assert_eq!(catch_up(&mut slow, &mut early), [], "and each of them once");
        for frame in &frames {
            assert_eq!(receive(&mut slow, &mut early, frame), Err(OpenError::Replayed));
        }
    }
}

#[test]
fn packets_of_a_speaker_whose_key_is_on_its_way_wait_and_others_do_not_wait_for_them() {
    let mut stage = Stage::of(3, signed());
    stage.enter_unannounced(&stage.seats(), &[]);
    let mut early = Early::new(8);
    let frames: Vec<_> = (0..4).map(|n| stage.say(n % 2, &packet(b"x"))).collect();
    for frame in &frames {
        let why = receive(&mut stage.member(2).opener, &mut early, frame);
        assert_eq!(why, Err(OpenError::UnknownSpeaker));
    }
    for leaf in [1, 0] {
        stage.announce_one(Leaf(leaf));
        let heard = catch_up(&mut stage.member(2).opener, &mut early);
        let leaves: Vec<_> = heard.into_iter().map(|heard| heard.unwrap().leaf).collect();
        assert_eq!(leaves, [Leaf(leaf); 2]);
    }
}

#[test]
fn a_flood_of_unknown_packets_pushes_out_the_oldest_and_nothing_else() {
    let mut stage = Stage::of(2, signed());
    stage.enter_unannounced(&stage.seats(), &[]);
    let mut early = Early::new(16);
    let opener = &mut stage.members.get_mut(&Leaf(1)).unwrap().opener;
    for n in 0..10_000u32 {
        let junk = [&[0xb9, 0x80], n.to_be_bytes().as_slice(), &[0; 90]].concat();
        let why = receive(opener, &mut early, &junk).unwrap_err();
        assert!([OpenError::UnknownKey, OpenError::Malformed].contains(&why));
    }
    let mut frames: Vec<_> = (0..20).map(|_| stage.say(0, &packet(b"x"))).collect();
    frames.push([0; 1_101].to_vec());
    let opener = &mut stage.members.get_mut(&Leaf(1)).unwrap().opener;
    frames.iter().for_each(|frame| early.hold(frame));
    assert_eq!(catch_up(opener, &mut early), []);
    stage.announce();
    let heard = catch_up(&mut stage.member(1).opener, &mut early);
    let counters: Vec<_> = heard.into_iter().map(|heard| heard.unwrap().counter.0).collect();
    assert_eq!(counters, (0x104..0x114).collect::<Vec<_>>(), "the last 16 of 20, in order");
}

#[test]
fn what_is_forgotten_and_what_turns_out_to_be_forged_is_not_heard() {
    let mut stage = Stage::of(2, signed());
    stage.enter_unannounced(&stage.seats(), &[]);
    let mut early = Early::new(4);
    let frame = stage.say(0, &packet(b"x"));
    early.hold(&frame);
    early.clear();
    let mut forged = frame.clone();
    forged[20] ^= 1;
    early.hold(&forged);
    early.hold(&[]);
    stage.announce();
    let opener = &mut stage.member(1).opener;
    assert_eq!(catch_up(opener, &mut early), [Err(OpenError::Forged)]);
    let mut none = Early::new(0);
    none.hold(&frame);
    assert_eq!(catch_up(opener, &mut none), []);
    stage.hear(1, &frame).unwrap();
}
