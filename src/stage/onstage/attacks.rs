//! People on the stage who lie (`spec/stage.md`, section 8).

use std::time::{Duration, Instant, SystemTime};

use super::{HEEDED, Newest, Other, Stage, hearing::MAX_CARDS};
use crate::{
    group::{Identity, Name},
    id::{IdentityKey, Leaf, MemberId},
    keys::secret::Secret,
    law::StatementId,
    media::{Rekey, SealRekey, SilenceReason, rekey::SealChange},
    room::{UnixTime, hall::Said},
    stage::{
        HallLane,
        card::{Card, Programme},
        little::{Hall, identity},
        wire::{Here, MAX_BECAUSE, Say, Secrets},
    },
    wire::saying::Hidden,
};

fn hall(listeners: u8) -> Hall {
    Hall::new(listeners, Instant::now(), UnixTime::from(SystemTime::now())).unwrap()
}

fn key(identity: &Identity) -> IdentityKey {
    IdentityKey::from_bytes(*identity.public())
}

fn host() -> IdentityKey {
    key(&identity(200).unwrap())
}

/// Somebody whose rank has ended since.
fn mallory() -> IdentityKey {
    key(&identity(66).unwrap())
}

fn secrets(stage: &Stage, n: u64, now: Instant) -> Box<Secrets> {
    let clock = stage.clock.unwrap();
    Box::new(Secrets {
        n,
        first: clock.step(now),
        hall_ms: clock.elapsed_ms(now),
        switch_ms: 330,
        secret: Secret::wrap(vec![5; 32]),
        programme: stage.programme(),
        law: stage.desk.known.hash(),
        because: Vec::new(),
    })
}

fn said(say: &Say) -> Said {
    let bytes = Secret::filled(say.encode().bytes().len(), |out| {
        out.copy_from_slice(say.encode().bytes());
    });
    Said { from: MemberId::from_bytes([6; 32]), key: host(), leaf: Leaf(6), bytes: Hidden(bytes.into()) }
}

#[test]
fn h7_what_a_newcomer_was_told_first_ends_with_the_rank_of_who_told_it() {
    let mut hall = hall(0);
    let (now, stage) = (hall.now, &mut hall.stage);
    let honest = secrets(stage, stage.newest.n + 256, now);
    let year = Duration::from_secs(300 * 86_400);
    let lie = Secrets {
        n: 1 << 40,
        hall_ms: year.as_millis() as u64,
        first: (year.as_secs() / 10) as u32,
        ..*secrets(stage, 0, now)
    };
    (stage.newest, stage.clock) = (Newest::default(), None);
    stage.tuner.clear();
    stage.take_turn(Box::new(lie), mallory(), now);
    assert_eq!(stage.newest.n, 1 << 40, "it knows no better");
    let n = honest.n;
    stage.take_turn(honest, host(), now);
    assert_eq!(stage.newest.n, n);
    assert!(stage.clock.unwrap().elapsed(now) < Duration::from_secs(3_600));
    hall.pass(Duration::from_secs(2));
    assert_eq!(hall.stage.epoch().unwrap().0, n);
}

#[test]
fn h7_numbers_that_no_hall_comes_to_are_refused_and_the_next_turn_is_above_all() {
    let mut hall = hall(0);
    let (now, stage) = (hall.now, &mut hall.stage);
    let before = stage.newest.n;
    for n in [u64::MAX, u64::MAX - 255, (1 << 57) + 1, before + 256 * 1_025] {
        let lie = secrets(stage, n, now);
        stage.take_turn(lie, mallory(), now);
        assert_eq!(stage.newest.n, before);
    }
    stage.newest = Newest::default();
    let lie = secrets(stage, u64::MAX, now);
    stage.take_turn(lie, mallory(), now);
    assert_eq!(stage.newest.n, 0);
}

#[test]
fn h4_no_turn_puts_its_switch_off_by_more_than_a_second() {
    let mut hall = hall(0);
    let (now, stage) = (hall.now, &mut hall.stage);
    let mut lie = secrets(stage, stage.newest.n + 256, now);
    lie.switch_ms = u16::MAX;
    stage.take_turn(lie, mallory(), now);
    assert!(stage.newest.switch_at.unwrap() <= now + Duration::from_secs(1));
}

#[test]
fn h3_a_turn_of_a_step_long_ago_is_refused_before_any_work() {
    let mut hall = hall(0);
    let (now, stage) = (hall.now, &mut hall.stage);
    let before = stage.newest.n;
    stage.clock = Some(crate::stage::chain::Clock::told(Duration::MAX, now));
    let mut lie = secrets(stage, before + 256, now);
    assert_eq!(lie.first, 3_153_600, "a year at most");
    lie.first = 0;
    stage.take_turn(lie, host(), now);
    assert_eq!(stage.newest.n, before);
}

#[test]
fn h2_however_often_somebody_says_a_later_time_the_clock_moves_six_steps_in_five_seconds() {
    for ahead in [60_000, 1_900] {
        let mut hall = hall(0);
        let (now, stage) = (hall.now, &mut hall.stage);
        let before = stage.clock.unwrap().elapsed(now);
        for _ in 0..200 {
            let hall_ms = stage.clock.unwrap().elapsed_ms(now) + ahead;
            let here = Here { hall_ms, n: 0, listeners: 0, wants_turn: false };
            stage.hear(said(&Say::Here(here)), now);
        }
        let moved = stage.clock.unwrap().elapsed(now) - before;
        assert!(moved > Duration::from_secs(59) && moved <= Duration::from_secs(60), "{moved:?}");
    }
}

#[test]
fn h2_listeners_follow_when_the_clock_of_their_porter_is_moved() {
    let mut hall = hall(2);
    let now = hall.now;
    let hall_ms = hall.stage.clock.unwrap().elapsed_ms(now) + 60_000;
    let here = Here { hall_ms, n: 0, listeners: 0, wants_turn: false };
    hall.stage.hear(said(&Say::Here(here)), now);
    hall.sent.clear();
    hall.pass(Duration::from_millis(100));
    assert!(hall.sent.iter().any(|(lane, _)| *lane == HallLane::Hall), "it beats at once");
    hall.listeners[1].leave(hall.now);
    hall.pass(Duration::from_secs(12));
    assert_eq!(hall.listeners[0].code(), hall.stage.code());
}

#[test]
fn h13_cards_that_somebody_made_up_fill_nothing() {
    let mut hall = hall(0);
    let now = hall.now;
    let group_id = hall.group_id();
    for round in 0..20u32 {
        let stage = &mut hall.stage;
        let mut lie = secrets(stage, stage.newest.n + 256, now);
        let cards = (0..64u32).map(|card| {
            let seed = [round as u8 + 1, card as u8, 0, 0].repeat(8).try_into().unwrap();
            let nobody = Identity::from_seed(seed, Name::new("Nobody").unwrap());
            Card::sign(&nobody, Leaf(100 + round * 64 + card), [9; 32], 1, &group_id)
        });
        lie.programme = Programme::new(cards.collect());
        stage.take_turn(lie, mallory(), now);
        assert!(stage.cards.len() <= MAX_CARDS);
    }
    assert!(hall.stage.cards.len() > 900, "{}", hall.stage.cards.len());
    hall.pass(Duration::from_secs(3));
    assert_eq!(hall.stage.cards.len(), 1, "those of the stage stay");
    assert_eq!(hall.stage.newest.programme.cards().len(), 1, "and the head says so");
}

#[test]
fn h12_a_turn_names_no_more_statements_than_others_read() {
    let mut hall = hall(0);
    let (now, stage) = (hall.now, &mut hall.stage);
    stage.unheeded = (0..100u8).map(|id| StatementId([id; 32])).collect();
    stage.unheeded_since = Some(now);
    stage.make_turn(true, now);
    let made = stage.says.iter().filter_map(|say| match Say::decode(say.bytes()) {
        Ok(Say::Secrets(secrets)) => Some(secrets.because.len()),
        _ => None,
    });
    assert_eq!(made.collect::<Vec<_>>(), [MAX_BECAUSE]);
}

/// The turn that the stage has just made.
fn made(stage: &mut Stage, now: Instant) -> Secrets {
    stage.says.clear();
    stage.make_turn(false, now);
    let mut made = stage.says.iter().filter_map(|say| match Say::decode(say.bytes()) {
        Ok(Say::Secrets(secrets)) => Some(*secrets),
        _ => None,
    });
    made.next().unwrap()
}

/// A storm found a stage in two parts for good: a member had taken a turn that the head never got,
/// whose number was above all that the head made.
#[test]
fn h7_the_next_turn_is_above_what_another_porter_names() {
    let mut hall = hall(0);
    let (now, stage) = (hall.now, &mut hall.stage);
    let own = stage.newest.n >> 8;
    let mut named = |count: u64| {
        let here = Here { hall_ms: 0, n: count << 8, listeners: 0, wants_turn: false };
        stage.porters.insert(host().id(), Other { key: host(), at: now, here });
        made(stage, now).n >> 8
    };
    assert_eq!(named(own + 600), own + 601);
    // A word that nobody would follow moves nothing.
    assert_eq!(named(own + 601 + 5_000), own + 602);
    assert_eq!(named(u64::MAX >> 8), own + 603);
}

/// A storm found a porter that knew neither of a ban nor of the turn that named it, and passed the
/// next one on.
#[test]
fn h7_later_turns_name_a_ban_again() {
    let mut hall = hall(0);
    let (now, stage) = (hall.now, &mut hall.stage);
    let known = stage.desk.known.ids().next().unwrap();
    stage.unheeded = [known].into();
    stage.unheeded_since = Some(now);
    for _ in 0..3 {
        assert_eq!(made(stage, now).because, [known.0]);
        assert!(stage.unheeded.is_empty() && stage.unheeded_since.is_none());
    }
}

/// Whether a sealer that takes these changes of keys is paused, and by which reason.
fn paused(stage: &mut Stage) -> Option<SilenceReason> {
    let mut paused = None;
    for rekey in stage.rekeys.drain(..) {
        match rekey {
            Rekey::Seal(SealRekey(SealChange::Pause(reason))) => paused = Some(reason),
            Rekey::Seal(SealRekey(SealChange::Resume)) => paused = None,
            _ => {}
        }
    }
    paused
}

/// A storm found members that sealed to the banned, since their room had ended a pause of its own.
#[test]
fn h12_a_pause_of_the_room_and_one_of_the_hall_end_only_together() {
    let mut hall = hall(0);
    let (now, stage) = (hall.now, &mut hall.stage);
    let removal = Some(SilenceReason::AwaitingRemoval);
    let room = SilenceReason::NoProofOfLife;
    let silence = |stage: &mut Stage, since: Option<Instant>| {
        stage.unheeded_since = since;
        stage.newest.switch_at = None;
        stage.tend_silence(now);
    };
    silence(stage, Some(now - HEEDED));
    assert_eq!(paused(stage), removal);
    stage.pass(Rekey::Seal(SealRekey::pause(room)));
    assert_eq!(paused(stage), Some(room));
    stage.pass(Rekey::Seal(SealRekey::resume()));
    assert_eq!(paused(stage), removal, "nobody has heeded the ban yet");
    stage.pass(Rekey::Seal(SealRekey::pause(room)));
    silence(stage, None);
    assert_eq!(paused(stage), Some(room), "the room still pauses");
    stage.pass(Rekey::Seal(SealRekey::resume()));
    assert_eq!(paused(stage), None);
}

#[test]
fn h7_who_makes_a_new_card_each_moment_keeps_nobody_from_going_over() {
    let mut hall = hall(2);
    let before = hall.stage.epoch().unwrap();
    hall.listeners[1].leave(hall.now);
    for _ in 0..30 {
        let (leaf, now) = (Leaf(0), hall.now);
        hall.stage.make_card(leaf, now);
        hall.pass(Duration::from_millis(100));
    }
    let turns = (hall.stage.epoch().unwrap().0 - before.0) / 256;
    assert!((1..=4).contains(&turns), "{turns} turns in three seconds");
    assert!(hall.listeners[0].epoch().unwrap() > before);
}

#[test]
fn h10_a_turn_whose_law_we_never_learn_is_held_no_longer_than_a_chain() {
    let mut hall = hall(0);
    let (now, stage) = (hall.now, &mut hall.stage);
    let mut lie = secrets(stage, stage.newest.n + 256, now);
    (lie.law, lie.because) = ([7; 32], vec![[8; 32]]);
    stage.take_turn(lie, mallory(), now);
    assert!(stage.waiting.is_some());
    let n = stage.newest.n;
    stage.newest.made = Some(now + Duration::from_secs(60));
    stage.drop_waiting(now + Duration::from_millis(11_900));
    assert!(stage.waiting.is_some());
    stage.drop_waiting(now + Duration::from_secs(12));
    assert!(stage.waiting.is_none() && stage.somebody_lacks);
    stage.newest.made = Some(now);
    hall.pass(Duration::from_secs(5));
    assert!(hall.stage.newest.n > n, "there is another");
}
