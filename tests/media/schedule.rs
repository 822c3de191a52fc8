//! The step clock of an epoch: what it yields when, and what it refuses (SPEC sections 4.2 and
//! 4.5).

use std::time::Duration;

use sottovoce::{
    Epoch, EpochSecret, EpochStart, Leaf, PacketSize, Schedule, Speaker,
    media::{STEP, ScheduleError},
};
use sottovoce_testkit::stage::{Profile, Stage, group, name, signed};

/// The changes of keys that are due, in words.
fn rekeys(schedule: &mut Schedule) -> Vec<String> {
    std::iter::from_fn(|| schedule.poll_rekey()).map(|rekey| format!("{rekey:?}")).collect()
}

#[test]
fn keys_come_a_step_ahead_and_go_two_seconds_late() {
    let stage = Stage::of(2, group());
    let mut schedule = stage.schedule_again(0);
    let began = stage.now;
    let mut timeline = vec![(0, rekeys(&mut schedule))];
    while let Some(due) = schedule.poll_timeout().filter(|due| *due <= began + Duration::from_secs(22)) {
        schedule.handle_timeout(due - Duration::from_millis(1));
        assert_eq!(rekeys(&mut schedule), [] as [&str; 0], "nothing comes early");
        schedule.handle_timeout(due);
        timeline.push(((due - began).as_secs(), rekeys(&mut schedule)));
    }
    let timeline: Vec<_> =
        timeline.iter().map(|(at, rekeys)| format!("{at:>2} s  {}", rekeys.join(", "))).collect();
    assert_eq!(
        timeline,
        [
            " 0 s  Seal(SealRekey::Key(epoch 1, step 0)), Open(OpenRekey::Epoch(1, 2 senders))",
            " 2 s  Open(OpenRekey::RetireEpoch)",
            "10 s  Seal(SealRekey::Key(epoch 1, step 1)), Open(OpenRekey::Step(2))",
            "12 s  Open(OpenRekey::RetireSteps(before 1))",
            "20 s  Seal(SealRekey::Key(epoch 1, step 2)), Open(OpenRekey::Step(3))",
            "22 s  Open(OpenRekey::RetireSteps(before 2))",
        ]
    );
}

#[test]
fn the_keepers_clock_moves_ours_forward_by_six_steps_at_most_and_never_back() {
    let stage = Stage::of(2, group());
    let mut schedule = stage.schedule_again(0);
    let now = stage.now;
    schedule.handle_elapsed(Duration::from_secs(35), now);
    assert_eq!(schedule.elapsed(now), Duration::from_secs(35));
    assert!(format!("{schedule:?}").contains("step 3"));
    for reported in [0, 1, 34, 35] {
        schedule.handle_elapsed(Duration::from_secs(reported), now);
        assert_eq!(schedule.elapsed(now), Duration::from_secs(35));
    }
    for (report, expected) in [(Duration::MAX, 95), (Duration::from_secs(u64::MAX), 155), (STEP * 16, 160)] {
        schedule.handle_elapsed(report, now);
        assert_eq!(schedule.elapsed(now), Duration::from_secs(expected));
    }
}

#[test]
fn a_listener_gets_no_keys_to_seal_with() {
    for profile in Profile::all() {
        let stage = Stage::of(2, profile);
        let mut seats = stage.seats();
        seats[1].speaks = false;
        let mut schedule = stage.schedule_of(&seats, Leaf(1), &[], [3; 32]);
        schedule.handle_timeout(stage.now + 3 * STEP);
        let sealing: Vec<_> =
            rekeys(&mut schedule).into_iter().filter(|rekey| rekey.starts_with("Seal")).collect();
        assert_eq!(sealing, ["Seal(SealRekey::Stop(NotASpeaker))"; 2]);
        assert_eq!(schedule.speaker_key(), None);
    }
}

#[test]
fn what_cannot_be_a_room_is_refused_at_the_start() {
    let stage = Stage::of(1, signed());
    let speaker = |leaf| Speaker { leaf: Leaf(leaf), member: name(leaf) };
    let start = |group_id: &[u8], authenticator: &[u8], speakers: &[Speaker]| {
        let start = EpochStart {
            secret: EpochSecret::new(vec![5; 32]).unwrap(),
            group_id,
            epoch: Epoch(1),
            authenticator,
            suite: stage.profile.suite,
            authenticity: stage.profile.authenticity,
            packet_size: PacketSize::default(),
            own_leaf: Leaf(0),
            speakers,
            removed: &[],
            seed: &[1; 32],
        };
        Schedule::start(start, stage.now).map(|_| ()).err()
    };
    let fine = [speaker(0), speaker(1)];
    assert_eq!(start(b"g", b"a", &fine), None);
    assert_eq!(start(&[0; 255], &[0; 255], &[]), None, "a room in which nobody may speak");
    for (group_id, authenticator) in [(0, 1), (1, 0), (256, 1), (1, 256)] {
        let why = start(&vec![1; group_id], &vec![1; authenticator], &fine);
        assert_eq!(why, Some(ScheduleError::Context));
    }
    for unordered in [[1, 0], [0, 0]] {
        let why = start(b"g", b"a", &unordered.map(speaker));
        assert_eq!(why, Some(ScheduleError::Speakers));
    }
    let many: Vec<_> = (0..65_001).map(speaker).collect();
    assert_eq!(start(b"g", b"a", &many), Some(ScheduleError::Speakers));
    assert_eq!(start(b"g", b"a", &many[..65_000]), None);

    for length in [0, 1, 31] {
        assert!(EpochSecret::new(vec![7; length]).is_err());
    }
    assert!(EpochSecret::new(vec![7; 32]).is_ok() && EpochSecret::new(vec![7; 1_000]).is_ok());
    assert!([0, 15, 1_001, u16::MAX].iter().all(|size| PacketSize::new(*size).is_err()));
}
