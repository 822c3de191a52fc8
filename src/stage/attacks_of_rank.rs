//! Porters who lie to an audience with the keys that they have, and a relay that says again what
//! they said (`spec/stage.md`, section 8).

use std::time::{Duration, Instant, SystemTime};

use super::{
    AudienceError, HallLane,
    envelope::{self, Use},
    epoch::{Base, EpochName},
    little::{self, Hall, seed},
    wire::{Asked, Beat, Down, Hall as Named, Message, Shown},
};
use crate::{
    group::signing::SigningKey,
    id::IdentityKey,
    keys::secret::Secret,
    random::Generator,
    room::UnixTime,
    wire::{
        door::{Badge, door_name},
        signed::Signed,
    },
};

fn hall(listeners: u8) -> Hall {
    Hall::new(listeners, Instant::now(), UnixTime::from(SystemTime::now())).unwrap()
}

fn say(hall: &Hall, message: &Message) -> Vec<u8> {
    let mut rng = Generator::new(seed(99));
    envelope::seal(&hall.key().0, Use::Lane, &message.encode(), &mut rng).unwrap().to_vec()
}

/// A second porter, whose door everybody knows and who lies.
struct Liar {
    answer: SigningKey,
    time_ms: u64,
}

impl Liar {
    fn new(hall: &mut Hall) -> Self {
        let answer = SigningKey::from_seed(Generator::new(seed(66)).seed());
        let host = little::identity(200).unwrap();
        let badge = Badge { answer_key: *answer.public(), office: hall.invite.office, no: hall.invite.no };
        let badge = Signed::badge(badge, &host, &hall.group_id());
        let badge = badge.verify(&hall.group_id(), &IdentityKey::from_bytes(*host.public())).unwrap();
        let door = Signed::door(badge, vec![9; 32], &answer, &hall.group_id());
        let bytes = say(hall, &Message::Door(door));
        for listener in &mut hall.listeners {
            listener.handle_control(HallLane::Hall, &bytes, hall.now).unwrap();
        }
        Self { answer, time_ms: 0 }
    }

    fn beat(&mut self, hall: &Hall, named: &Named) -> Vec<u8> {
        self.time_ms += 1;
        let name = door_name(self.answer.public());
        let beat = Beat::sign((name, &self.answer), &hall.group_id(), self.time_ms, named, (0, [0; 32]));
        say(hall, &Message::Beat(beat))
    }
}

fn named(hall_ms: u64, n: u64) -> Named {
    Named { hall_ms, n, first: 0, programme: [5; 32], mark: [7; 16], switch_ms: 0 }
}

fn newest(hall: &Hall) -> u64 {
    hall.stage.epoch().unwrap().0
}

fn beats(hall: &Hall) -> Vec<Beat> {
    let opened = hall.sent.iter().filter_map(|(lane, bytes)| {
        let content = envelope::open(&hall.key().0, Use::Lane, bytes)?;
        match Message::decode(content.bytes()) {
            Ok(Message::Beat(beat)) if *lane == HallLane::Hall => Some(beat),
            _ => None,
        }
    });
    opened.collect()
}

#[test]
fn h2_a_porter_moves_no_clock_of_those_who_listen_by_others() {
    let mut hall = hall(3);
    let mut liar = Liar::new(&mut hall);
    for round in 1..20 {
        let beat = liar.beat(&hall, &named(round * 60_000, newest(&hall)));
        hall.listeners[0].handle_control(HallLane::Hall, &beat, hall.now).unwrap();
    }
    hall.listeners[2].leave(hall.now);
    hall.pass(Duration::from_secs(13));
    assert_eq!(hall.listeners[0].code(), hall.stage.code(), "it hears the next turn");
    assert_eq!(hall.listeners[0].violations(), 19, "of marks");
}

#[test]
fn h11_who_names_epochs_that_nobody_has_sends_others_to_knock_once_in_a_while() {
    let mut hall = hall(3);
    let mut liar = Liar::new(&mut hall);
    let before = newest(&hall);
    let beat = liar.beat(&hall, &named(0, before + 256 * 500));
    hall.listeners[0].handle_control(HallLane::Hall, &beat, hall.now).unwrap();
    // The liar has no rank any more, or keeps on: what was said stays where it is.
    let mut knocks = 0;
    let mut on_foyer = false;
    for _ in 0..300 {
        hall.pass(Duration::from_millis(100));
        let comes = hall.listeners[0].lanes().any(|lane| lane == HallLane::Foyer);
        knocks += u32::from(comes && !on_foyer);
        on_foyer = comes;
    }
    assert!(knocks <= 2, "it went {knocks} times in half a minute");
    hall.listeners[2].leave(hall.now);
    hall.pass(Duration::from_secs(3));
    assert!(newest(&hall) > before);
    assert_eq!(hall.listeners[0].code(), hall.stage.code(), "it hears the next turn at once");
}

/// A listener that has missed a turn, and what it missed: the message of its cell, and the beat.
fn missed(hall: &mut Hall) -> (super::Listener, Vec<u8>, Beat) {
    hall.pass(Duration::from_secs(9));
    let absent = hall.listeners.remove(0);
    hall.sent.clear();
    hall.listeners.pop().unwrap().leave(hall.now);
    let before = newest(hall);
    // Somebody else's leaving makes the turn.
    hall.listeners[0].leave(hall.now);
    for _ in 0..700 {
        hall.pass(Duration::from_millis(20));
        if beats(hall).iter().any(|beat| beat.n > before) {
            break;
        }
    }
    let beat = beats(hall).into_iter().find(|beat| beat.n > before).unwrap();
    let cell = |(lane, _): &&(HallLane, bytes::Bytes)| matches!(lane, HallLane::Cell { .. });
    let turn = hall.sent.iter().rfind(cell).unwrap().1.to_vec();
    (absent, turn, beat)
}

#[test]
fn h4_no_beat_puts_a_switch_off_by_more_than_a_second() {
    let mut hall = hall(3);
    let mut liar = Liar::new(&mut hall);
    let (mut absent, turn, honest) = missed(&mut hall);
    let Beat { hall_ms, n, first, programme, mark, .. } = honest;
    let lie = Named { hall_ms, n, first, programme, mark, switch_ms: 60_000 };
    let cell = absent.lanes().find(|lane| matches!(lane, HallLane::Cell { .. })).unwrap();
    absent.handle_control(HallLane::Hall, &liar.beat(&hall, &lie), hall.now).unwrap();
    absent.handle_control(cell, &turn, hall.now).unwrap();
    absent.handle_timeout(hall.now + Duration::from_secs(1));
    assert_eq!(absent.epoch().unwrap().0, n);
}

#[test]
fn h11_another_mark_for_the_next_epoch_keeps_nobody_from_the_right_one() {
    let mut hall = hall(3);
    let mut liar = Liar::new(&mut hall);
    let (mut absent, turn, honest) = missed(&mut hall);
    let cell = absent.lanes().find(|lane| matches!(lane, HallLane::Cell { .. })).unwrap();
    // The liar is faster than the head.
    let lie = named(honest.hall_ms, honest.n);
    absent.handle_control(HallLane::Hall, &liar.beat(&hall, &lie), hall.now).unwrap();
    absent.handle_control(cell, &turn, hall.now).unwrap();
    let honest = say(&hall, &Message::Beat(honest));
    absent.handle_control(HallLane::Hall, &honest, hall.now).unwrap();
    absent.handle_timeout(hall.now + Duration::from_secs(1));
    assert!(absent.epoch().unwrap().0 > newest(&hall), "it has gone over to what is announced");
    assert_eq!(absent.violations(), 1);
}

fn down(hall: &Hall, index: usize, down: &Down) -> (HallLane, Vec<u8>) {
    let chain = hall.listeners[index].pair_chain().unwrap();
    // Each has a salt of its own.
    let mut rng = Generator::new(seed(hall.listeners[index].violations() as u8));
    let bytes = chain.seal(Use::Down, down.encode().bytes(), &mut rng).unwrap().to_vec();
    let own = hall.listeners[index].lanes().find(|lane| matches!(lane, HallLane::Own(_))).unwrap();
    (own, bytes)
}

fn secret() -> Secret {
    Secret::wrap(vec![3; 32])
}

#[test]
fn h3_steps_that_are_far_from_the_hall_clock_are_refused_before_any_work() {
    let mut hall = hall(2);
    let n = newest(&hall) + 256;
    for (first, step) in [(0, u32::MAX), (u32::MAX, u32::MAX), (0, 1 << 20)] {
        let name = EpochName { n, first, programme: [0; 32], authenticator: [1; 32] };
        let shown = Shown(vec![(Base { name, step, key: secret() }, 0)]);
        let (own, bytes) = down(&hall, 0, &Down::Keys { step: 0, cell_key: secret(), shown });
        let before = hall.listeners[0].violations();
        hall.listeners[0].handle_control(own, &bytes, hall.now).unwrap();
        assert_eq!(hall.listeners[0].violations(), before + 1);
    }
    let keys = Down::Keys { step: u32::MAX, cell_key: secret(), shown: Shown::default() };
    let (own, bytes) = down(&hall, 1, &keys);
    assert_eq!(hall.listeners[1].handle_control(own, &bytes, hall.now), Err(AudienceError::Malformed));
}

#[test]
fn h6_what_gave_a_chain_gives_it_once_even_if_a_relay_says_it_again() {
    let mut hall = hall(3);
    hall.pass(Duration::from_secs(9));
    hall.sent.clear();
    hall.listeners[0].claim(Asked::Keys(0), hall.now);
    hall.pass(Duration::from_millis(40));
    let own = hall.listeners[0].lanes().find(|lane| matches!(lane, HallLane::Own(_))).unwrap();
    let keys = hall.sent.iter().find(|(lane, _)| *lane == own).unwrap().1.clone();
    hall.listeners.pop().unwrap().leave(hall.now);
    let again = hall.listeners[0].handle_control(own, &keys, hall.now);
    assert_eq!(again, Err(AudienceError::Repeated));
}

#[test]
fn h11_an_epoch_that_only_a_porter_made_up_is_left_behind_with_it() {
    let mut hall = hall(3);
    let name = EpochName { n: 1 << 40, first: 0, programme: [0; 32], authenticator: [1; 32] };
    let programme = beats(&hall).last().unwrap().programme;
    let name = EpochName { programme, ..name };
    let shown = Shown(vec![(Base { name, step: 0, key: secret() }, 0)]);
    let (own, bytes) = down(&hall, 0, &Down::Keys { step: 0, cell_key: secret(), shown });
    hall.listeners[0].handle_control(own, &bytes, hall.now).unwrap();
    hall.pass(Duration::from_secs(2));
    assert_eq!(hall.listeners[0].epoch().unwrap().0, 1 << 40, "by the word of its porter");
    // Nobody names it: it knocks again, and takes what the hall has.
    hall.pass(Duration::from_secs(28));
    assert_eq!(hall.listeners[0].code(), hall.stage.code());
}

#[test]
fn h8_made_up_doors_keep_no_beat_away() {
    let mut hall = hall(1);
    let answer = SigningKey::from_seed(Generator::new(seed(5)).seed());
    let badge = Badge { answer_key: *answer.public(), office: hall.invite.office, no: u64::MAX };
    let (liar, group_id) = (little::identity(7).unwrap(), hall.group_id());
    let badge = Signed::badge(badge, &liar, &group_id);
    let badge = badge.verify(&group_id, &IdentityKey::from_bytes(*liar.public())).unwrap();
    let forged = say(&hall, &Message::Door(Signed::door(badge, vec![9; 32], &answer, &group_id)));
    let mut flooded = false;
    for _ in 0..60 {
        let taken = hall.listeners[0].handle_control(HallLane::Hall, &forged, hall.now);
        flooded |= taken == Err(AudienceError::Flood);
    }
    assert!(flooded);
    let answer = {
        let facts = hall.room.hall_facts(hall.now).unwrap();
        SigningKey::from_seed(crate::Seed::copied(facts.door.unwrap().0.bytes()))
    };
    let beat = Liar { answer, time_ms: 1 << 40 }.beat(&hall, &named(0, 1));
    assert_eq!(hall.listeners[0].handle_control(HallLane::Hall, &beat, hall.now), Ok(()));
}

#[test]
fn who_asks_for_what_is_long_gets_it_from_a_lane_of_all_once_many_do() {
    let mut hall = hall(24);
    hall.pass(Duration::from_secs(2));
    hall.sent.clear();
    for listener in &mut hall.listeners {
        listener.claim(Asked::Programme, hall.now);
    }
    hall.pass(Duration::from_millis(900));
    let programmes = |foyer: bool| {
        let is = |lane: &HallLane| {
            if foyer { *lane == HallLane::Foyer } else { matches!(lane, HallLane::Own(_)) }
        };
        let sent = hall.sent.iter().filter(|(lane, bytes)| {
            let content = envelope::open(&hall.key().0, Use::Lane, bytes);
            is(lane)
                && content.is_some_and(|content| {
                    matches!(Message::decode(content.bytes()), Ok(Message::Programme(_)))
                })
        });
        sent.count()
    };
    assert_eq!(programmes(false), 16);
    assert!((1..=2).contains(&programmes(true)));
}
