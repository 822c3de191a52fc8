//! Members who would be the keeper, keepers who break the rules, and what is played again.

use super::*;
use crate::group::{
    message::{Petition, Plea, RefuseReason, Refused},
    mls::{JoinKey, petition_aad},
};

fn answers_of(party: &mut Party, from: usize, forgeries: Vec<Forgery>) -> Vec<Result<(), ControlError>> {
    let commit = party.group(from).forge(forgeries).commit;
    party.tell(from, Message::Mls(commit))
}

fn keeper(party: &mut Party, n: usize) -> MemberId {
    party.rooms[n].keeper().unwrap()
}

#[test]
fn the_keeper_of_another_branch_is_noticed_at_its_first_heartbeat() {
    let mut party = Party::new();
    let unix = party.unix;
    let group = party.group(HOST);
    let id = group.id().to_vec();
    // The host equivocates: of two branches of one keeper the one with the lesser hash wins.
    let heartbeat = Heartbeat::new(&identity(0), &id, beat(group, group.epoch(), [0; 32], 4000, unix));
    let mallory = Heartbeat::new(&identity(66), &id, beat(group, group.epoch(), [0; 32], 4000, unix));
    assert_eq!(party.tell(LISTENER, Message::Heartbeat(mallory))[HOST], Err(ControlError::NotTheKeeper));
    assert_eq!(party.rooms[SPEAKER].poll_event(), None);
    party.tell(LISTENER, Message::Heartbeat(heartbeat));
    assert_eq!(party.rooms[SPEAKER].poll_event(), Some(Event::Silent { reason: Silence::Forked }));
    let Some(Rekey::Seal(rekey)) = party.rooms[SPEAKER].poll_rekey() else {
        panic!("the sealer is not told")
    };
    assert_eq!(format!("{rekey:?}"), "SealRekey::Pause(Forked)");
    // Nobody answers there, and nothing more is heard of it: ours goes on.
    party.pass(20 * SECOND);
    assert!(std::iter::from_fn(|| party.rooms[SPEAKER].poll_event()).any(|event| event == Event::Audible));
    party.goes_on();
}

#[test]
fn a_branch_of_lesser_rank_is_nothing_to_anybody() {
    let mut party = Party::new();
    let unix = party.unix;
    for (n, from) in [(1, MODERATOR), (3, LISTENER)] {
        let group = party.group(HOST);
        let later = Epoch(group.epoch().0 + 5);
        let heartbeat = Heartbeat::new(&identity(n), group.id(), beat(group, later, [0; 32], 10, unix));
        let answers = party.tell(from, Message::Heartbeat(heartbeat));
        assert_eq!(answers[HOST], Err(ControlError::OtherBranch));
        assert_eq!(party.rooms[SPEAKER].poll_event(), None);
    }
    party.goes_on();
}

#[test]
fn a_commit_that_is_known_and_withheld_stops_sending_at_once() {
    let mut party = Party::new();
    let unix = party.unix;
    let group = party.group(HOST);
    let later = Epoch(group.epoch().0 + 1);
    let heartbeat = Heartbeat::new(&identity(0), group.id(), beat(group, later, [1; 32], 10, unix));
    party.tell(LISTENER, Message::Heartbeat(heartbeat));
    assert_eq!(party.rooms[SPEAKER].poll_event(), Some(Event::Silent { reason: Silence::CommitWithheld }));
    party.pass(20 * SECOND);
    party.goes_on();
}

#[test]
fn who_takes_over_from_a_keeper_that_lives_gains_nothing_and_cannot_go_on() {
    let mut party = Party::new().without_renewals();
    let ids = party.ids();
    let taken = party.group(LISTENER).state().with_keeper(ids[LISTENER], 0);
    let answers = answers_of(&mut party, LISTENER, vec![Forgery::State(taken)]);
    assert!(answers.iter().all(Result::is_ok), "it may have been deaf");
    party.pass(SECOND);
    for n in [HOST, MODERATOR, SPEAKER] {
        assert_eq!(keeper(&mut party, n), ids[HOST], "the host has it back");
    }
    assert!(party.rooms[SPEAKER].roster().iter().any(|member| member.id == ids[LISTENER]));
    // The taker itself did not merge what it made; it is behind and comes back.
    party.pass(8 * SECOND);
    assert_eq!(party.rooms[LISTENER].epoch(), party.rooms[HOST].epoch());
    party.settle();
    // Once more within the minute: the keeper does not follow, and nobody else does.
    let before = party.rooms[HOST].epoch();
    let term = party.group(LISTENER).state().term;
    let taken = party.group(LISTENER).state().with_keeper(ids[LISTENER], term + 5);
    let answers = answers_of(&mut party, LISTENER, vec![Forgery::State(taken)]);
    let by = Some(ids[LISTENER]);
    assert_eq!(answers[HOST], Err(ControlError::NotPermitted { by, violation: Violation::NotKeeper }));
    party.pass(5 * SECOND);
    for n in [HOST, MODERATOR, SPEAKER] {
        assert_eq!((party.rooms[n].epoch(), keeper(&mut party, n)), (before, ids[HOST]));
    }
    party.settle();
    party.goes_on();
}

#[test]
fn a_keeper_that_equivocates_splits_the_room_for_seconds() {
    for split in [SPEAKER, LISTENER] {
        let mut party = Party::new().without_renewals();
        // One commit for one member, another for the others.
        let id = party.ids()[SPEAKER];
        let other = party.group(HOST).state().with_muted(id, true).unwrap();
        let commit = party.group(HOST).forge(vec![Forgery::State(other)]).commit;
        let envelope = party.envelope(HOST, &Message::Mls(commit));
        let now = party.now;
        party.rooms[split].handle_control(&envelope, now).unwrap();
        party.goes_on_for(&[HOST, MODERATOR]);
        party.pass(30 * SECOND);
        let code = party.rooms[HOST].code();
        for n in 0..4 {
            assert_eq!(party.rooms[n].code(), code, "{n} is in another branch");
        }
        party.settle();
        party.goes_on();
    }
}

#[test]
fn a_ban_is_ordered_by_its_issuer_alone() {
    let mut party = Party::new();
    let ids = party.ids();
    let id = party.group(HOST).id().to_vec();
    let by_listener = Order::new(&identity(3), &id, ids[SPEAKER], 1, true);
    let elsewhere = Order::new(&identity(0), b"another group", ids[SPEAKER], 1, true);
    let speaker = party.group(SPEAKER).own_leaf();
    for order in [by_listener, elsewhere] {
        let banned = party.group(HOST).state().with_order(order).unwrap();
        party.refuses(HOST, vec![Forgery::Remove(speaker), Forgery::State(banned)], Violation::Order);
    }
    // A lifted ban is not lifted by an older order, nor taken out of the state.
    let now = party.now;
    let stranger = identity(90).id();
    party.rooms[HOST].ban(stranger, now).unwrap();
    party.deliver();
    party.settle();
    let older = Order::new(&identity(0), &id, stranger, 1, false);
    let lifted = party.group(HOST).state().with_order(older).unwrap();
    party.refuses(HOST, vec![Forgery::State(lifted)], Violation::Order);
    let mut forgotten = RoomState::new(party.group(HOST).state().terms.clone());
    (forgotten.keeper, forgotten.term) = (ids[HOST], party.group(HOST).state().term);
    let certificate = party.group(HOST).state().certificate(ids[MODERATOR]).copied();
    let forgotten = forgotten.with_role(ids[MODERATOR], Role::Moderator, certificate).unwrap();
    let forgotten = forgotten.with_role(ids[SPEAKER], Role::Speaker, None).unwrap();
    party.refuses(HOST, vec![Forgery::State(forgotten)], Violation::Order);
}

/// A petition for `n` to return, as an honest one is made.
fn petition_of(party: &mut Party, n: u8, seed: u8) -> Message {
    let id = party.group(HOST).id().to_vec();
    let applicant = Applicant::new(&identity(n), &id, X25519, [seed; 32], [seed; 32], party.unix).unwrap();
    let key_package = applicant.key_package().to_vec();
    let plea = Plea::Return { key_package, orders: Vec::new(), broken: None };
    sealed(party, &plea, *applicant.reference())
}

pub(super) fn sealed(party: &mut Party, plea: &Plea, reference: [u8; 32]) -> Message {
    let id = party.group(HOST).id().to_vec();
    let Phase::Present(seat) = &party.rooms[MODERATOR].phase else { panic!("not in the room") };
    let door: JoinKey = seat.door_key.expect("a heartbeat has come");
    let aad = petition_aad(&id, &door.0, &reference);
    let sealed = door.seal(Purpose::Petition, &plea.encode(), &aad).unwrap();
    Message::Petition(Petition { reference, kem_output: sealed.kem_output, sealed: sealed.sealed })
}

#[test]
fn a_petition_is_for_members_and_counts_once() {
    let mut party = Party::new().without_renewals();
    party.pass(6 * SECOND);
    let petition = petition_of(&mut party, 90, 41);
    assert_eq!(party.tell(LISTENER, petition)[HOST], Ok(()), "it is answered: unknown");
    party.deliver();
    assert_eq!(party.rooms[HOST].roster().len(), 4);

    let leaf = party.group(SPEAKER).own_leaf();
    let petition = petition_of(&mut party, 2, 42);
    assert_eq!(party.tell(LISTENER, petition.clone())[HOST], Ok(()));
    assert_eq!(party.tell(LISTENER, petition.clone())[HOST], Err(ControlError::Repeated));
    party.pass(SECOND);
    let after = party.rooms[HOST].epoch();
    assert_eq!(party.tell(LISTENER, petition)[HOST], Err(ControlError::Repeated));
    // Whoever used the speaker's identity has its place now; the speaker, who did not, takes it back.
    assert_eq!(party.rooms[SPEAKER].status(), Status::Returning);
    party.pass(8 * SECOND);
    assert_eq!(party.rooms[SPEAKER].status(), Status::Present);
    assert!(party.rooms[HOST].epoch() > after);
    assert_eq!(party.rooms[SPEAKER].role(), Some(Role::Speaker));
    assert_eq!(party.group(SPEAKER).own_leaf(), leaf);

    // Somebody else's Leave, and one that is signed for another keeper.
    let id = party.group(HOST).id().to_vec();
    for (n, door_key) in [(3, [7; 32]), (90, [0; 32])] {
        let door_key = if n == 90 {
            let Phase::Present(seat) = &party.rooms[MODERATOR].phase else { panic!("not in the room") };
            seat.door_key.unwrap().0
        } else {
            door_key
        };
        let plea = Plea::leave(&identity(n), &id, &door_key);
        let petition = sealed(&mut party, &plea, [n; 32]);
        assert_eq!(party.tell(LISTENER, petition)[HOST], Err(ControlError::NotAMember));
    }
    party.settle();
    party.goes_on();
}

#[test]
fn a_banned_member_that_asks_to_return_is_told_so_and_a_false_no_is_not_believed() {
    let mut party = Party::new().without_renewals();
    party.pass(6 * SECOND);
    let unix = party.unix;
    let group = party.group(HOST);
    let (id, later) = (group.id().to_vec(), Epoch(group.epoch().0 + 1));
    let heartbeat = Heartbeat::new(&identity(0), &id, beat(group, later, [1; 32], 10, UnixTime(unix.0 + 9)));
    party.tell(LISTENER, Message::Heartbeat(heartbeat));
    // The speaker asks to return; others say no in the keeper's name.
    let now = party.now + 4 * SECOND;
    party.rooms[SPEAKER].handle_timeout(now);
    let reference = {
        let Phase::Present(seat) = &party.rooms[SPEAKER].phase else { panic!("not in the room") };
        *seat.returning.as_ref().expect("it asks").reference()
    };
    let no = |signer: u8| {
        let refused = Refused::new(&identity(signer), &id, reference, RefuseReason::Banned, None);
        Message::Refused(refused)
    };
    for signer in [1, 3, 66] {
        assert_eq!(party.tell(LISTENER, no(signer))[SPEAKER], Err(ControlError::NotTheKeeper));
        assert_eq!(party.rooms[SPEAKER].status(), Status::Present);
    }
    assert_eq!(party.tell(LISTENER, no(0))[SPEAKER], Ok(()));
    assert_eq!(party.rooms[SPEAKER].status(), Status::Over);
}

#[test]
fn ten_thousand_knocks_a_second_are_looked_at_and_sixty_four_are_decrypted() {
    let mut party = Party::new().without_renewals();
    party.pass(SECOND);
    let invite: Invite = party.invite().parse().unwrap();
    party.deliver();
    party.settle();
    let mut outcomes = [0; 2];
    for n in 0..10_000u32 {
        let mut reference = [0; 32];
        reference[..4].copy_from_slice(&n.to_be_bytes());
        let knock = Knock { invite: invite.id.0, reference, kem_output: vec![9; 32], sealed: vec![0; 400] };
        let envelope = party.envelope(LISTENER, &Message::Knock(knock));
        let now = party.now;
        match party.rooms[HOST].handle_control(&envelope, now) {
            Err(ControlError::Undecryptable) => outcomes[0] += 1,
            Err(ControlError::Flood) => outcomes[1] += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(outcomes, [64, 9_936]);
    assert!(party.rooms[HOST].poll_transmit().is_none() && party.rooms[HOST].poll_event().is_none());
    party.goes_on();
}

#[test]
fn a_moderator_that_takes_over_does_not_get_past_the_host_or_its_peers() {
    let mut party = Party::new().without_renewals();
    let (ids, now) = (party.ids(), party.now);
    party.rooms[HOST].set_role(ids[SPEAKER], Role::Moderator, now).unwrap();
    party.deliver();
    party.settle();
    let id = party.group(HOST).id().to_vec();
    let (host, peer) = (party.group(HOST).own_leaf(), party.group(SPEAKER).own_leaf());
    let taken = party.group(MODERATOR).state().with_keeper(ids[MODERATOR], 0);
    for (leaf, violation) in [(host, Violation::Host), (peer, Violation::Rank)] {
        let forgeries = vec![Forgery::Remove(leaf), Forgery::State(taken.clone())];
        party.refuses(MODERATOR, forgeries, violation);
    }
    let order = Order::new(&identity(1), &id, ids[SPEAKER], 1, true);
    let banned = taken.with_order(order).unwrap();
    party.refuses(MODERATOR, vec![Forgery::Remove(peer), Forgery::State(banned)], Violation::Order);
    // A removal is in the tree, or it is not: what it does besides is seen by all who check it.
    let listener = party.group(LISTENER).own_leaf();
    let taken = party.group(MODERATOR).state().with_keeper(ids[MODERATOR], 0);
    let quietly = taken.with_role(ids[SPEAKER], Role::Listener, None).unwrap();
    let forgeries = vec![Forgery::Remove(listener), Forgery::State(quietly)];
    party.refuses(MODERATOR, forgeries, Violation::Rank);
}
