//! Members without rank that take the keeping over in turn.

use super::{super::making::Work, *};

impl Party {
    /// A member commits, whosever turn it is, and so keeps the room if the others merge it.
    fn commit(&mut self, who: usize, renews: bool) {
        let now = self.now;
        let (out, memory, seat) = self.rooms[who].present().unwrap();
        seat.commit(out, memory, Work { renews, ..Work::default() }, now).unwrap();
        while let Some(message) = self.rooms[who].poll_transmit() {
            self.relay(who, &message);
        }
        self.deliver();
    }

    /// A member that kept the room merges the takeover of another one at once, as no honest one
    /// does.
    fn give_way(&mut self, who: usize) {
        let now = self.now;
        let (out, memory, seat) = self.rooms[who].present().unwrap();
        if let Some(pending) = seat.pending.pop() {
            let law = seat.epoch_law.clone();
            seat.merge(out, memory, *pending.staged, law, now);
        }
    }
}

#[test]
fn members_who_take_over_from_each_other_do_not_make_everybody_return_when_a_moderator_takes_over() {
    let mut party = Party::new(6);
    let (id, now) = (party.id(1), party.now);
    party.rooms[0].set_role(id, Role::Moderator, now).unwrap();
    party.deliver();
    party.pass(10 * SECOND);
    let order = party.order();
    let (moderator, rebels, other) = (order[0], &order[1..4], order[5]);
    assert_eq!(moderator, 1);
    // Host and moderator are away for a while.
    party.rebel(0);
    party.rebel(moderator);
    party.pass(25 * SECOND);
    assert!(party.seat(rebels[0]).keeps());
    for rebel in rebels {
        party.rebel(*rebel);
    }
    // A keeper that has committed as often as members merge counts as silent: the next one takes
    // over at once.
    for rebel in rebels.iter().chain(rebels) {
        if !party.seat(*rebel).keeps() {
            party.commit(*rebel, false);
            rebels.iter().for_each(|other| party.give_way(*other));
        }
        let (id, now) = (party.id(*rebel), party.now);
        while party.memory(other).pace.too_fast_since(id, now).is_none() {
            party.commit(*rebel, true);
        }
    }
    let keeper = party.id(rebels[2]);
    assert_eq!(party.rooms[other].keeper(), Some(keeper), "the last of them keeps");
    let since = party.log.len();
    party.rebels.retain(|rebel| *rebel != moderator);
    party.pass(2 * SECOND);
    assert_eq!(party.rooms[other].keeper(), Some(id));
    let returns = party.count(other, since, |kind| matches!(kind, Message::Show(_)));
    assert_eq!(returns, 0, "the takeover is merged, and nobody has to return");
}

#[test]
fn a_keeper_that_loses_its_place_and_comes_back_has_made_the_commits_that_it_made() {
    let mut party = Party::new(4);
    party.pass(40 * SECOND);
    let (host, speaker) = (party.id(0), party.id(4));
    let mut muted = false;
    let mut mute = |party: &mut Party| {
        muted = !muted;
        let now = party.now;
        party.rooms[0].set_muted(speaker, muted, now).unwrap();
        party.deliver();
    };
    // Four at once, then one in two and a half seconds.
    for _ in 0..15 {
        mute(&mut party);
        party.pass(SECOND);
    }
    // It loses its place, and comes back at once: its Return tells who keeps next.
    let now = party.now;
    party.rooms[0].settle(seat::Outcome::Lost(None), now);
    party.pass(13 * SECOND);
    assert_eq!(party.rooms[1].keeper(), Some(host), "its rank makes it the keeper again");
    let epoch = party.epoch(1).unwrap().0;
    for _ in 0..6 {
        mute(&mut party);
        party.pass(SECOND / 2);
    }
    let made = party.epoch(1).unwrap().0 - epoch;
    assert!(made <= 2, "{made} commits in 3 s, after those of the last half minute");
}

#[test]
fn a_keeper_that_comes_to_where_it_is_asked_for_a_place_is_not_asked_in_vain() {
    let mut party = Party::new(3);
    let (id, now) = (party.id(1), party.now);
    party.rooms[0].set_role(id, Role::Moderator, now).unwrap();
    party.deliver();
    party.pass(10 * SECOND);
    // The host is away, and says that it keeps a branch where nobody lets anybody in.
    party.rebel(0);
    party.pass(10 * SECOND);
    assert_eq!(party.rooms[2].keeper(), Some(id));
    for _ in 0..4 {
        party.beat(0, 77, [7; 32], vec![9; 32]);
        party.pass(4 * SECOND);
    }
    assert!(party.seat(1).returning.is_some(), "the moderator asks the host");
    party.rebels.clear();
    party.restart(0);
    party.pass(4 * SECOND);
    let host = party.id(0);
    for second in 0..20 {
        for who in 1..4 {
            assert_eq!(party.rooms[who].keeper(), Some(host), "{who}, {second} s after it came back");
        }
        party.pass(SECOND);
    }
}

#[test]
fn a_host_that_was_asked_in_vain_elsewhere_keeps_the_room_that_it_comes_to() {
    let mut party = Party::new(4);
    for who in [1, 2] {
        let (id, now) = (party.id(who), party.now);
        party.rooms[0].set_role(id, Role::Moderator, now).unwrap();
    }
    party.deliver();
    party.pass(10 * SECOND);
    let order = party.order();
    let (rebel, moderator) = (order[0], order[1]);
    // The host is away. It and the first of the moderators say that they keep branches where nobody
    // lets anybody in.
    party.rebel(0);
    party.rebel(rebel);
    party.pass(15 * SECOND);
    assert!(party.seat(moderator).keeps());
    for second in 0..13 {
        if second % 3 == 0 {
            party.beat(0, 77, [7; 32], vec![9; 32]);
            party.beat(rebel, 77, [8; 32], vec![9; 32]);
        }
        party.pass(SECOND);
    }
    let host = party.id(0);
    let returning = party.seat(moderator).returning.as_ref();
    assert!(returning.is_some_and(|returning| returning.asked_in_vain(host).is_some()));
    party.rebels.retain(|rebel| *rebel != 0);
    party.restart(0);
    party.pass(4 * SECOND);
    for second in 0..20 {
        assert_eq!(party.rooms[moderator].keeper(), Some(host), "{second} s after it came back");
        party.pass(SECOND);
    }
}
