//! Knocks that holders of a link make up or play again.

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
