//! Members of a hall who lie with the keys that they have (`spec/stage.md`, section 8).

use std::time::{Duration, Instant, SystemTime};

use super::{
    AudienceError, HallLane,
    card::{Card, Programme},
    chain::Chain,
    envelope::{self, Use},
    epoch::EpochName,
    little::{self, Hall, seed},
    wire::{Asked, Beat, Message, Sealed, Ticket, Turn, Up},
};
use crate::{
    group::{Identity, signing::SigningKey},
    id::Leaf,
    keys::secret::Secret,
    law::Tag,
    random::Generator,
    room::{InviteOptions, UnixTime},
};

fn hall(listeners: u8) -> Hall {
    Hall::new(listeners, Instant::now(), UnixTime::from(SystemTime::now())).unwrap()
}

fn identity(seed: u8) -> Identity {
    little::identity(seed).unwrap()
}

fn rng() -> Generator {
    Generator::new(seed(99))
}

#[test]
fn everybody_is_in_and_reads_the_same_code() {
    let hall = hall(4);
    assert_eq!(hall.stage.audience(), 4);
    let code = hall.stage.code().unwrap();
    assert!(hall.listeners.iter().all(|listener| listener.code() == Some(code)));
}

#[test]
fn h11_a_turn_that_somebody_in_the_cell_made_up_counts_for_nobody() {
    let mut hall = hall(3);
    let lane = hall.cell(0).unwrap();
    let before = hall.listeners[1].epoch();
    // The liar is in the cell, and knows its chain.
    let turn = Turn { n: 1 << 20, first: 0, switch_ms: 0, secret: Secret::wrap(vec![7; 32]) };
    let chain = hall.listeners[0].cell_chain().unwrap();
    let forged = chain.seal(Use::Cell, turn.encode().bytes(), &mut rng()).unwrap();
    assert!(hall.listeners[1].handle_control(lane, &forged, hall.now).is_ok(), "it is of the cell");
    hall.pass(Duration::from_secs(3));
    assert_eq!(hall.listeners[1].epoch(), before);
    // An honest turn still gets through: somebody leaves.
    hall.listeners[2].leave(hall.now);
    hall.pass(Duration::from_secs(13));
    assert!(hall.listeners[1].epoch() > before);
    assert_eq!(hall.listeners[1].code(), hall.stage.code());
}

#[test]
fn h11_a_secret_in_place_of_the_one_that_was_announced_is_seen_and_the_right_one_is_asked_for() {
    let mut hall = hall(3);
    let lane = hall.cell(0).unwrap();
    hall.listeners[2].leave(hall.now);
    let before = hall.listeners[1].epoch().unwrap().0;
    // At the turn the liar is faster: its secret has the right number.
    let chain = hall.listeners[0].cell_chain().unwrap();
    let turn = Turn { n: before + 256, first: 0, switch_ms: 900, secret: Secret::wrap(vec![7; 32]) };
    let forged = chain.seal(Use::Cell, turn.encode().bytes(), &mut rng()).unwrap();
    hall.listeners[1].handle_control(lane, &forged, hall.now).unwrap();
    hall.pass(Duration::from_secs(13));
    assert_eq!(hall.listeners[1].code(), hall.stage.code());
    assert_eq!(hall.listeners[0].code(), hall.stage.code());
}

#[test]
fn h14_different_secrets_for_two_cells_show_in_their_codes() {
    let (group, programme) = ([1; 32], [2; 32]);
    let name = |secret| EpochName::of(&Secret::wrap(vec![secret; 32]), &group, 256, 0, programme);
    assert_ne!(name(1).mark(), name(2).mark());
    let code = |secret| crate::group::RoomCode::of_hall(&group, &name(secret).authenticator);
    assert_ne!(code(1), code(2));
}

#[test]
fn h10_another_listener_cannot_speak_for_one() {
    let mut hall = hall(2);
    // With the chain of the cell, and with a key of its own, in the other's slot.
    let porter = hall.stage.porter().unwrap();
    for slot in 0..2 {
        let chain = Chain::new(0, Secret::wrap(vec![5; 32]));
        let leave = [0, 0, 0, 9, 2];
        let sealed = chain.seal_bare(Use::Up, &leave, &mut rng());
        let up = Message::Up(Up { porter, cell: 0, slot, sealed });
        let bytes = envelope::seal(&hall.key().0, Use::Lane, &up.encode(), &mut rng()).unwrap();
        assert_eq!(hall.stage.handle_control(&bytes, hall.now), Err(AudienceError::Undecryptable));
    }
    assert_eq!(hall.stage.audience(), 2);
}

#[test]
fn h9_a_knock_that_is_repeated_or_made_up_seats_nobody() {
    let mut hall = hall(0);
    let at = hall.join(1).unwrap();
    let mut knocks = Vec::new();
    for _ in 0..100 {
        hall.now += Duration::from_millis(20);
        let now = hall.now;
        hall.listeners[at].handle_timeout(now);
        while let Some((_, bytes)) = hall.listeners[at].poll_transmit() {
            let _ = hall.stage.handle_control(&bytes, now);
            knocks.push(bytes);
        }
        hall.stage.handle_timeout(now);
        while let Some((lane, bytes)) = hall.stage.poll_transmit() {
            if hall.listeners[at].lanes().any(|mine| mine == lane) {
                let _ = hall.listeners[at].handle_control(lane, &bytes, now);
            }
        }
    }
    assert_eq!(hall.stage.audience(), 1);
    for bytes in knocks {
        let again = hall.stage.handle_control(&bytes, hall.now);
        assert!(matches!(again, Ok(()) | Err(AudienceError::Repeated)), "{again:?}");
    }
    let porter = hall.stage.porter().unwrap();
    for (to, error) in [(porter, AudienceError::Undecryptable), ([0; 16], AudienceError::OtherPorter)] {
        let knock = Message::Knock(Sealed { to, kem: vec![9; 32], sealed: vec![1; 300] });
        let bytes = envelope::seal(&hall.key().0, Use::Lane, &knock.encode(), &mut rng()).unwrap();
        assert_eq!(hall.stage.handle_control(&bytes, hall.now), Err(error));
    }
    hall.pass(Duration::from_secs(1));
    assert_eq!(hall.listeners[at].code(), hall.stage.code(), "who sits there hears on");
}

#[test]
fn h9_knocks_without_end_cost_a_porter_so_many_openings_in_a_second() {
    let mut hall = hall(0);
    let porter = hall.stage.porter().unwrap();
    let knock = Message::Knock(Sealed { to: porter, kem: vec![9; 32], sealed: vec![1; 300] });
    let mut refused = 0;
    for _ in 0..450 {
        let bytes = envelope::seal(&hall.key().0, Use::Lane, &knock.encode(), &mut rng()).unwrap();
        refused += u32::from(hall.stage.handle_control(&bytes, hall.now) == Err(AudienceError::Flood));
    }
    assert_eq!(refused, 50);
}

#[test]
fn h8_doors_and_beats_of_nobody_of_rank_are_dropped_and_are_bounded() {
    let mut hall = hall(1);
    let doors: Vec<_> = hall.sent.iter().filter(|(lane, _)| *lane == HallLane::Foyer).cloned().collect();
    assert!(!doors.is_empty());
    let mut flood = 0;
    for n in 0..60u8 {
        let mut rng = Generator::new(seed(n));
        let answer = crate::group::signing::SigningKey::from_seed(rng.seed());
        let badge = crate::wire::door::Badge {
            answer_key: *answer.public(),
            office: hall.invite.office,
            no: u64::MAX,
        };
        let badge = crate::wire::signed::Signed::badge(badge, &identity(7), &hall.group_id());
        let host = crate::id::IdentityKey::from_bytes(*identity(7).public());
        let badge = badge.verify(&hall.group_id(), &host).unwrap();
        let door = crate::wire::signed::Signed::door(badge, vec![9; 32], &answer, &hall.group_id());
        let bytes =
            envelope::seal(&hall.key().0, Use::Lane, &Message::Door(door).encode(), &mut rng).unwrap();
        match hall.listeners[0].handle_control(HallLane::Hall, &bytes, hall.now) {
            Err(AudienceError::Flood) => flood += 1,
            Err(AudienceError::Signature) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(flood >= 30, "{flood}");
    hall.pass(Duration::from_secs(20));
    assert_eq!(hall.listeners[0].code(), hall.stage.code());
}

#[test]
fn h9_a_ticket_of_somebody_without_rank_lets_nobody_in() {
    let mut hall = hall(0);
    let forged = Ticket::sign(&identity(7), [0; 16], Tag([1; 16]), 5, &hall.group_id());
    assert!(forged.verify(&hall.group_id()).is_ok());
    let options = InviteOptions::default();
    let mut gone = hall.room.invite(options, hall.now).unwrap();
    gone.id = crate::wire::invite::InviteId([9; 16]);
    hall.invite = gone;
    let at = hall.join(3).unwrap();
    hall.listeners[at].hold_ticket(forged);
    hall.pass(Duration::from_secs(8));
    assert_eq!(hall.stage.audience(), 0);
    assert!(hall.listeners[at].code().is_none());
}

#[test]
fn h13_a_programme_with_a_card_that_its_identity_did_not_sign_is_refused() {
    let hall = hall(0);
    let group_id = hall.group_id();
    let mut victim = Card::sign(&identity(1), Leaf(3), [9; 32], 7, &group_id);
    victim.voice = [8; 32];
    let programme = Programme::new(vec![victim]);
    assert!(programme.verify(&Programme::default(), &group_id).is_err());
}

#[test]
fn random_bytes_on_every_lane_do_nothing_and_never_panic() {
    use rand::Rng;
    let mut hall = hall(1);
    let mut rng = rng();
    let lanes: Vec<_> =
        hall.listeners[0].lanes().chain([HallLane::Doors, HallLane::Foyer, HallLane::Own([3; 16])]).collect();
    for round in 0..200usize {
        let mut bytes = vec![0; [256, 512, 1_024, 100, 0][round % 5]];
        rng.fill_bytes(&mut bytes);
        // Under the hall's key too: whoever has an invite can.
        let inside =
            envelope::seal(&hall.key().0, Use::Lane, &bytes[..bytes.len().min(180)], &mut rng).unwrap();
        for lane in &lanes {
            for bytes in [&bytes[..], &inside] {
                assert!(hall.listeners[0].handle_control(*lane, bytes, hall.now).is_err());
            }
        }
        assert!(hall.stage.handle_control(&bytes, hall.now).is_err());
        assert!(hall.stage.handle_control(&inside, hall.now).is_err());
    }
    hall.pass(Duration::from_secs(6));
    assert_eq!(hall.listeners[0].code(), hall.stage.code());
}

#[test]
fn debug_names_nobody() {
    let hall = hall(1);
    assert_eq!(format!("{:?} {:?}", hall.listeners[0], hall.stage), "Listener(in) Stage(1 listen)");
}

/// What a listener has to say now.
fn says(hall: &mut Hall, index: usize) -> Vec<(HallLane, bytes::Bytes)> {
    std::iter::from_fn(|| hall.listeners[index].poll_transmit()).collect()
}

#[test]
fn h11_secrets_that_a_liar_makes_up_make_others_ask_once_in_a_while_and_nobody_goes_away() {
    let mut hall = hall(3);
    let lane = hall.cell(0).unwrap();
    let chain = hall.listeners[0].cell_chain().unwrap();
    let mut asked = 0;
    for round in 0..8u8 {
        let turn = Turn {
            n: (1 << 20) + u64::from(round),
            first: 0,
            switch_ms: 0,
            secret: Secret::wrap(vec![round; 32]),
        };
        let forged = chain.seal(Use::Cell, turn.encode().bytes(), &mut rng()).unwrap();
        hall.listeners[1].handle_control(lane, &forged, hall.now).unwrap();
        for _ in 0..25 {
            hall.now += Duration::from_millis(20);
            let now = hall.now;
            hall.listeners[1].handle_timeout(now);
            let said = says(&mut hall, 1);
            asked += said.len();
            for (_, bytes) in said {
                hall.stage.handle_control(&bytes, now).unwrap();
                assert!(hall.stage.poll_transmit().is_none(), "there is nothing newer to tell");
            }
        }
    }
    assert_eq!(asked, 1, "in four seconds");
    assert!(!hall.listeners[1].lanes().any(|lane| lane == HallLane::Foyer), "it stays where it is");
    hall.pass(Duration::from_secs(1));
    assert_eq!(hall.listeners[1].code(), hall.stage.code());
}

#[test]
fn h11_who_asks_for_keys_is_answered_if_there_are_newer_ones_and_once_in_a_while() {
    let mut hall = hall(1);
    let newest = hall.listeners[0].epoch().unwrap().0;
    for (claimed, answers) in [(newest, 0), (u64::MAX, 0), (0, 1)] {
        let mut answered = 0;
        hall.pass(Duration::from_secs(2));
        for _ in 0..10 {
            hall.listeners[0].claim(Asked::Keys(claimed), hall.now);
            for (_, bytes) in says(&mut hall, 0) {
                let now = hall.now;
                let _ = hall.stage.handle_control(&bytes, now);
            }
            while let Some((lane, bytes)) = hall.stage.poll_transmit() {
                assert!(matches!(lane, HallLane::Own(_)));
                hall.listeners[0].handle_control(lane, &bytes, hall.now).unwrap();
                answered += 1;
            }
        }
        assert_eq!(answered, answers, "who says that it has {claimed}");
    }
    assert_eq!(hall.listeners[0].epoch().unwrap().0, newest);
}

#[test]
fn h11_a_beat_that_names_another_mark_for_the_epoch_that_is_held_is_noticed() {
    let mut hall = hall(2);
    let answer = {
        let facts = hall.room.hall_facts(hall.now).unwrap();
        SigningKey::from_seed(crate::Seed::copied(facts.door.unwrap().0.bytes()))
    };
    let n = hall.listeners[0].epoch().unwrap().0;
    let named =
        super::wire::Hall { hall_ms: 1, n, first: 0, programme: [0; 32], mark: [7; 16], switch_ms: 0 };
    let porter = hall.stage.porter().unwrap();
    let beat = Beat::sign((porter, &answer), &hall.group_id(), 1 << 40, &named, (2, [0; 32]));
    let bytes = envelope::seal(&hall.key().0, Use::Lane, &Message::Beat(beat).encode(), &mut rng()).unwrap();
    assert_eq!(hall.listeners[0].violations(), 0);
    hall.listeners[0].handle_control(HallLane::Hall, &bytes, hall.now).unwrap();
    assert_eq!(hall.listeners[0].violations(), 1);
    assert_eq!(hall.listeners[0].epoch().unwrap().0, n, "it hears what it heard");
}

#[test]
fn h9_the_ticket_of_another_lets_nobody_in() {
    let mut hall = hall(1);
    let stolen = hall.listeners[0].ticket().unwrap();
    let mut gone = hall.room.invite(InviteOptions::default(), hall.now).unwrap();
    gone.id = crate::wire::invite::InviteId([9; 16]);
    hall.invite = gone;
    let at = hall.join(5).unwrap();
    hall.listeners[at].hold_ticket(stolen);
    hall.pass(Duration::from_secs(8));
    assert_eq!(hall.stage.audience(), 1);
    assert!(hall.listeners[at].code().is_none());
}

#[test]
fn h16_a_hand_is_shown_once_however_often_it_is_raised() {
    let mut hall = hall(2);
    while hall.stage.poll_event().is_some() {}
    for _ in 0..20 {
        hall.listeners[0].claim(Asked::Hand(true), hall.now);
        hall.pass(Duration::from_millis(20));
    }
    let events = std::iter::from_fn(|| hall.stage.poll_event()).count();
    assert_eq!((events, hall.stage.hands().len()), (1, 1));
}
