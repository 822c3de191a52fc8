//! Knocks that holders of a link make up or play again.

use std::num::NonZeroU16;

use super::*;
use crate::wire::knock::Knock;

#[test]
fn a_knock_that_is_made_up_or_played_again_is_not_answered_each_time() {
    let mut party = Party::with(1, Admission::default());
    party.pass(6 * SECOND);
    assert_eq!(party.rooms[1].status(), Status::Waiting);
    let mut knocks =
        party.log.iter().filter(|(from, _)| *from == 1).filter_map(|(_, envelope)| party.read(envelope));
    let knock =
        knocks.find_map(|message| if let Message::Knock(knock) = message { Some(knock) } else { None });
    let knock = knock.expect("somebody knocks");
    let before = party.sent_by(0);
    for _ in 0..20 {
        party.send(1, &Message::Knock(knock.clone()));
        party.send(1, &Message::Knock(Knock { sealed: vec![1; 64], ..knock.clone() }));
    }
    assert!(party.sent_by(0) <= before + 1, "{} answers", party.sent_by(0) - before);
}

#[test]
fn a_used_invite_lets_nobody_in_when_whoever_let_in_by_it_is_no_moderator_any_more() {
    let mut party = Party::new(2);
    let moderator = 1;
    let (id, now) = (party.id(moderator), party.now);
    party.rooms[0].set_role(id, Role::Moderator, now).unwrap();
    party.deliver();
    party.pass(70 * SECOND);
    let options = InviteOptions { uses: NonZeroU16::new(1), ..InviteOptions::default() };
    let now = party.now;
    party.invite = party.rooms[0].invite(options, now).unwrap().to_string();
    // The moderator's door is open, the host's is not.
    party.rooms[0].set_admission(Admission::Ask).unwrap();
    party.rooms[moderator].set_admission(Admission::Open).unwrap();
    let first = party.knock(3);
    party.pass(30 * SECOND);
    assert_eq!(party.rooms[first].status(), Status::Present, "the first comes in");
    let now = party.now;
    party.rooms[0].set_role(id, Role::Speaker, now).unwrap();
    party.deliver();
    party.rooms[0].set_admission(Admission::Open).unwrap();
    let second = party.knock(4);
    party.pass(60 * SECOND);
    assert_ne!(party.rooms[second].status(), Status::Present, "the link was used");
}

#[test]
fn who_knocks_once_and_is_gone_does_not_keep_the_door_busy() {
    let mut party = Party::with(1, Admission::default());
    party.pass(6 * SECOND);
    assert_eq!(party.rooms[0].waiting().count(), 1);
    party.rebel(1);
    // `pass` stops if the host's room asks for a time that has come, again and again.
    party.pass(56 * SECOND);
    assert_eq!(party.rooms[0].waiting().count(), 1, "a minute has not passed since the last knock");
    party.pass(10 * SECOND);
    assert_eq!(party.rooms[0].waiting().count(), 0);
    assert!(party.events(0).iter().any(|event| matches!(event, Event::KnockGone { .. })));
}
