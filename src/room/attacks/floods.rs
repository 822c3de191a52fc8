//! Small messages that would make others do much.

use super::*;
use crate::mls::{Aad, forge::Forgery};

#[test]
fn throwaway_identities_are_not_all_told_why_they_are_out() {
    let mut party = Party::new(1);
    for n in 0..200_u8 {
        let stranger = Identity::from_seed([n; 32], Name::new("stranger").unwrap());
        let stranger = if n < 2 { identity(200) } else { stranger };
        let show = party.show_to_host(&stranger, [n; 32]);
        party.send(1, &show);
        party.pass(SECOND / 20);
    }
    let answers = party
        .log
        .iter()
        .filter(|(from, envelope)| *from == 0 && matches!(party.read(envelope), Some(Message::Answer(_))));
    assert!(answers.count() <= 80);
}

#[test]
fn a_listeners_commit_of_statements_that_nobody_has_makes_nobody_ask() {
    let mut party = Party::new(4);
    party.rebel(4);
    let aad = Aad::new(0, vec![[5; 32]]).unwrap().encode();
    let before = party.log.len();
    let forged = party.seat(4).group.forge(vec![Forgery::Update(Default::default()), Forgery::Aad(aad)]);
    party.send(4, &Message::Mls(forged.commit));
    assert_eq!(party.log.len(), before + 1, "nobody answers");
}
