//! A moderator that was demoted, together with a keeper without rank that leaves that out.

use super::*;
use crate::{
    mls::{Aad, Context, Draft},
    wire::{envelope::MAX_MESSAGE, statements::Statements},
};

impl Party {
    /// A member commits these statements and none besides, and keeps the room.
    fn commit_only(&mut self, who: usize, added: Vec<law::StatementId>) {
        let now = self.now;
        let (out, memory, seat) = self.rooms[who].present().unwrap();
        let keeper = memory.store.law().tag(&IdentityKey::from_bytes(*out.identity.public())).0;
        let shown = added.iter().map(|id| memory.store.get(id).unwrap().clone());
        seat.epoch_law = seat.epoch_law.union(shown.collect::<Vec<_>>(), memory.store.pins());
        let context = Context { keeper, law: seat.epoch_law.hash() };
        let aad = Aad::new(out.stamp_ms(now), added.iter().map(|id| id.0).collect()).unwrap();
        let draft = Draft { context: Some(context), ..Draft::new(aad, MAX_MESSAGE) };
        let commit = seat.group.commit(&draft).unwrap().commit;
        self.send(who, &Message::Mls(commit));
    }
}

#[test]
fn a_moderator_that_was_demoted_mutes_nobody_with_the_help_of_a_keeper_without_rank() {
    let mut party = Party::new(4);
    let (former, id, now) = (1, party.id(1), party.now);
    party.rooms[0].set_role(id, Role::Moderator, now).unwrap();
    party.deliver();
    party.pass(10 * SECOND);
    // The host demotes it, and is cut off before it has committed that.
    let now = party.now;
    party.rooms[0].set_role(id, Role::Listener, now).unwrap();
    party.deliver();
    party.rebel(0);
    let others: Vec<usize> = party.order().into_iter().filter(|who| *who != former).collect();
    let (keeper, victim, other) = (others[0], others[1], others[2]);
    party.rebel(former);
    party.rebel(keeper);
    let is_silent = |party: &mut Party| {
        let soon = party.now + SECOND / 2;
        let (_, memory, seat) = party.rooms[other].present().unwrap();
        seat.turns.silent_since(&seat.view(memory, soon)).is_some()
    };
    while !is_silent(&mut party) {
        party.pass(SECOND / 10);
    }
    party.commit_only(keeper, Vec::new());
    assert_eq!(party.rooms[other].keeper(), Some(party.id(keeper)), "it took over");
    let issuer = IdentityKey::from_bytes(*party.rooms[former].out.identity.public());
    let about = party.memory(other).store.law().tag(&IdentityKey::from_bytes(*identity(victim).public()));
    let term =
        party.seat(other).epoch_law.law().term_of(&issuer).expect("the epoch's law has it as moderator");
    assert!(party.memory(other).store.law().term_of(&issuer).is_none(), "the known law does not");
    let word = Word::Role(RoleWord::new(law::Role::Speaker, true));
    let standing = Standing { issuer, term, about, word, n: 100 };
    let group_id = party.group_id();
    let muted = law::GenuineStatement::Standing(law::Genuine::sign(standing, &identity(former), &group_id));
    let (shown, id) = (muted.statement(), muted.id());
    party.say(former, &Saying::Statements(Statements::new(vec![shown.encode()]).unwrap()));
    party.commit_only(keeper, vec![id]);
    let victim_id = party.id(victim);
    let is_muted = |party: &Party| {
        party.rooms[other].roster().iter().any(|member| member.id == victim_id && member.muted)
    };
    let at_once = is_muted(&party);
    let mut seconds = 0;
    for second in 0..60 {
        if second % 4 == 0 && party.rooms[keeper].present().is_ok() {
            party.beat_with(keeper, |_| {});
        }
        party.pass(SECOND);
        seconds += usize::from(is_muted(&party));
    }
    assert!(seconds <= 25, "muted in {seconds} of 60 seconds, at once: {at_once}");
}
