//! Members who write in others' names, write again, write too much, and read what is not theirs
//! (`spec/messages.md`, section 5).

use super::*;
use crate::{
    room::{AppMessage, Audience, MessageKind},
    wire::app::{App, Content, Note},
};

const TEXT: u16 = 1;

fn app(number: u64, kind: u16, body: &[u8]) -> Saying {
    let content = Content::Open(Note { kind, body: body.to_vec() });
    Saying::App(App { run: [9; 8], number, content })
}

impl Party {
    fn write(&mut self, who: usize, audience: Audience, text: &str) {
        let now = self.now;
        self.rooms[who].send_message(audience, MessageKind::TEXT, text.as_bytes(), now).unwrap();
        self.deliver();
    }

    fn read_messages(&mut self, who: usize) -> Vec<AppMessage> {
        let messages = self.events(who).into_iter().filter_map(|event| match event {
            Event::Message(message) => Some(message),
            _ => None,
        });
        messages.collect()
    }

    /// The saying in the newest envelope of a room, as a member of the room reads it.
    fn newest_saying(&mut self, from: usize, reader: usize) -> Saying {
        let (_, envelope) = self.log.iter().rev().find(|(who, _)| *who == from).unwrap().clone();
        let Some(Message::Mls(bytes)) = self.read(&envelope) else { panic!("it is no MLS message") };
        match self.seat(reader).group.process(&bytes).unwrap() {
            crate::mls::Incoming::Application { bytes, .. } => Saying::decode(&bytes).unwrap(),
            crate::mls::Incoming::Commit { .. } => panic!("it is a commit"),
        }
    }
}

#[test]
fn q3_nobody_plays_a_message_again_in_its_epoch_later_or_after_a_restart() {
    let mut party = Party::new(2);
    party.write(1, Audience::All, "once");
    let envelope = party.log.last().unwrap().1.clone();
    let message = party.read(&envelope).unwrap();
    let again = |party: &mut Party| {
        // As it was, and in an envelope of somebody who has the lane key.
        let out = &mut party.rooms[2].out;
        let fresh = out.lane.seal(&message.encode(), &mut out.rng).unwrap().remove(0);
        let now = party.now;
        [envelope.clone(), fresh].map(|envelope| party.rooms[0].handle_control(&envelope, now))
    };
    assert_eq!(party.read_messages(0).len(), 1);
    assert!(again(&mut party).iter().all(|taken| *taken == Err(ControlError::Undecryptable)));
    let now = party.now;
    party.rooms[0].rename(Name::new("other").unwrap(), now).unwrap();
    party.deliver();
    assert!(again(&mut party).iter().all(|taken| *taken == Err(ControlError::Stale)));
    party.restart(0);
    party.pass(15 * SECOND);
    assert_eq!(party.rooms[0].status(), Status::Present);
    assert!(again(&mut party).iter().all(Result::is_err));
    assert_eq!(party.read_messages(0).len(), 0);
}

#[test]
fn q3_what_somebody_said_is_not_said_in_its_name_in_another_epoch() {
    let mut party = Party::new(2);
    party.write(1, Audience::All, "mine");
    // An insider who was there knows its content and the again key, and says it again, altered and
    // not: it is the insider's own word then, in its own order.
    let now = party.now;
    party.rooms[0].rename(Name::new("other").unwrap(), now).unwrap();
    party.deliver();
    assert_eq!(party.read_messages(0).len(), 1);
    let (run, branch) = (party.rooms[1].out.messages.run(), party.rooms[2].out.messages.first_branch());
    let note = Note { kind: TEXT, body: b"yours".to_vec() };
    let forged = party.rooms[2].out.messages.again_of(&run, 1, &note, branch);
    party.say(2, &Saying::Again(forged));
    let read = party.read_messages(0);
    let [message] = &read[..] else { panic!("{read:?}") };
    assert_eq!(message.from, party.id(2));
}

#[test]
fn q7_what_is_to_one_is_read_by_nobody_else_and_sealed_again_by_nobody_else() {
    let mut party = Party::new(3);
    party.write(1, Audience::Member(party.id(0)), "for the host");
    let read = party.read_messages(0);
    assert_eq!((read.len(), read[0].text()), (1, Some("for the host")));
    assert_eq!(read[0].audience, Audience::Member(party.id(0)));
    assert!(party.read_messages(2).is_empty() && party.read_messages(3).is_empty());

    // An insider that keeps what it sees has no key that opens it, nor can it pass it on as its
    // own.
    party.rebel(2);
    let now = party.now;
    let host = Audience::Member(party.id(0));
    let number = party.rooms[1].send_message(host, MessageKind::TEXT, b"secret", now);
    let envelope = party.rooms[1].poll_transmit().unwrap();
    party.log.push((1, envelope.clone()));
    let Saying::App(sealed) = party.newest_saying(1, 2) else { panic!() };
    assert_eq!(Ok(sealed.number), number);
    let from = party.rooms[1].seat().unwrap().group.own_leaf();
    let opens = |party: &mut Party, who: usize, to: usize, of: usize| {
        let to = party.seat(to).group.own_leaf();
        let (group_id, branch) = (party.group_id().0, party.seat(0).group.branch());
        let from = if of == 1 { from } else { party.seat(of).group.own_leaf() };
        let aad = App::aad(&group_id, &branch, from, to, &sealed.run, sealed.number);
        let Content::Sealed { keys, .. } = &sealed.content else { panic!("it is to all") };
        let key = crate::mls::Sealed { kem_output: keys[0].kem.clone(), sealed: keys[0].key.to_vec() };
        party.seat(who).group.own_pair().unwrap().open(Purpose::App, &key, &aad).is_some()
    };
    assert!(opens(&mut party, 0, 0, 1), "the host opens it");
    assert!(!opens(&mut party, 2, 2, 1) && !opens(&mut party, 2, 0, 1), "somebody else opens it");
    assert!(!opens(&mut party, 0, 0, 2), "the host takes it as another's");
    party.say(2, &Saying::App(sealed));
    assert!(party.read_messages(0).is_empty(), "somebody passed on what it could not read");
}

#[test]
fn q5_a_flood_of_one_member_costs_others_no_bytes_and_forty_messages() {
    let mut party = Party::new(3);
    party.rebel(1);
    let before = party.bytes_of_others(1);
    for number in 1..=300 {
        party.say(1, &app(number, TEXT, b"flood"));
    }
    assert_eq!(party.bytes_of_others(1), before, "somebody answered");
    for who in [0, 2, 3] {
        assert_eq!(party.read_messages(who).len(), 40);
    }
    // Another is heard meanwhile, and the flood is told as left out once it ends.
    party.write(2, Audience::All, "still here");
    assert_eq!(party.read_messages(0).len(), 1);
    party.pass(10 * SECOND);
    party.say(1, &app(301, TEXT, b"sorry"));
    let read = party.read_messages(0);
    assert_eq!((read.len(), read[0].missed), (1, 260));
}

#[test]
fn q7_keys_of_one_member_are_tried_34_times_in_a_second() {
    let mut party = Party::new(2);
    party.rebel(1);
    let key = |byte| crate::wire::app::SealedKey { kem: vec![byte; 32], key: [byte; 48] };
    for number in 1..=20 {
        let content = Content::Sealed { keys: (1..=17).map(key).collect(), sealed: vec![7; 40] };
        party.say(1, &Saying::App(App { run: [9; 8], number, content }));
    }
    let now = party.now;
    assert_eq!(party.rooms[0].out.messages.tried(now), 34);
    assert!(party.read_messages(0).is_empty());
    // Somebody else is read still.
    party.write(2, Audience::Member(party.id(0)), "to you");
    assert_eq!(party.read_messages(0).len(), 1);
}

#[test]
fn q1_whoever_known_law_has_out_is_not_read_before_the_commit_either() {
    let mut party = Party::new(2);
    party.rebel(1);
    let now = party.now;
    let (host, out) = (party.id(0), party.id(1));
    party.rooms[0].ban(out, now).unwrap();
    // The statement arrives, the commit is on its way.
    let statement = party.rooms[0].poll_transmit().unwrap();
    party.rooms[2].handle_control(&statement, now).unwrap();
    assert!(party.rooms[2].roster().iter().any(|member| member.id == out), "the tree has it still");
    let message = party.seat(1).group.seal(&app(1, TEXT, b"one more word").encode()).unwrap();
    let rebel = &mut party.rooms[1].out;
    let envelope = rebel.lane.seal(&Message::Mls(message).encode(), &mut rebel.rng).unwrap().remove(0);
    assert_eq!(party.rooms[2].handle_control(&envelope, now), Err(ControlError::NotAMember));
    // And nobody writes while it could read.
    for audience in [Audience::All, Audience::Member(host)] {
        let refused = party.rooms[2].send_message(audience, MessageKind::TEXT, b"x", now);
        assert_eq!(refused, Err(crate::room::SendError::Silent(SilenceReason::AwaitingRemoval)));
    }
    party.deliver();
    party.write(2, Audience::All, "it is gone");
    assert_eq!(party.read_messages(0).len(), 1);
}

#[test]
fn q11_nobody_without_rank_lowers_another_hand_and_nobody_is_ahead_by_a_lie() {
    let mut party = Party::new(3);
    party.rebel(1);
    party.pass(30 * SECOND);
    let now = party.now;
    party.rooms[2].raise_hand(now).unwrap();
    party.deliver();
    let (rebel, honest) = (party.id(1), party.id(2));
    party.say(1, &app(1, 5, honest.as_bytes()));
    let told = party.events(0);
    assert!(told.contains(&Event::Violation { by: Some(rebel), violation: Violation::NoRight }), "{told:?}");
    assert_eq!(party.rooms[0].hands(), [honest]);
    // A point long ago, before its turn, and one to come count as now.
    party.pass(SECOND);
    let epoch = party.epoch(0).unwrap().0;
    for (number, (epoch, ms)) in
        [(epoch, 0), (epoch, u64::MAX), (epoch + 1, 0), (1, 0)].into_iter().enumerate()
    {
        let point = [epoch.to_be_bytes(), ms.to_be_bytes()].concat();
        party.say(1, &app(2 * number as u64 + 2, 4, &point));
        for who in [0, 2, 3] {
            assert_eq!(party.rooms[who].hands(), [honest, rebel], "{epoch} {ms}");
        }
        party.say(1, &app(2 * number as u64 + 3, 5, b""));
        assert_eq!(party.rooms[0].hands(), [honest]);
    }
    // Rank lowers it.
    let now = party.now;
    party.rooms[0].lower_hand(honest, now).unwrap();
    party.deliver();
    assert!((0..4).filter(|who| *who != 1).all(|who| party.rooms[who].hands().is_empty()));
}

#[test]
fn q10_what_is_not_in_its_form_is_not_told_and_counts() {
    let mut party = Party::new(1);
    party.rebel(1);
    let bad: [(u16, &[u8]); 6] =
        [(1, b""), (2, b"\xff"), (3, b""), (4, b"short"), (5, b"short"), (77, b"new")];
    for (number, (kind, body)) in bad.into_iter().enumerate() {
        party.say(1, &app(number as u64 + 1, kind, body));
    }
    party.say(1, &app(0, TEXT, b"no number"));
    party.say(1, &app(7, TEXT, b"good"));
    let read = party.read_messages(0);
    assert_eq!((read.len(), read[0].text(), read[0].missed), (1, Some("good"), 0));
    party.say(1, &app(7, TEXT, b"the same number"));
    party.say(1, &app(3, TEXT, b"an earlier one"));
    party.say(1, &app(u64::MAX, TEXT, b"the last"));
    party.say(1, &app(u64::MAX, TEXT, b"one more"));
    let read = party.read_messages(0);
    assert_eq!((read.len(), read[0].text(), read[0].missed), (1, Some("the last"), u64::MAX - 8));
}
