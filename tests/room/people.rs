//! People at the door and in the room: who is let in, who is there, and what each is told.

use std::time::Duration;

use sottovoce::{
    SilenceReason,
    group::Role,
    room::{Admission, CommandError, Ending, Event, InviteOptions, RefuseReason, Status},
};
use sottovoce_testkit::net::{Net, Peer, options, room_of};

const SECOND: Duration = Duration::from_secs(1);
/// A newcomer waits for other doors for ten seconds after the first refusal.
const REFUSED: Duration = Duration::from_secs(13);

/// A room of these names, the second of whom is moderator and has a door.
fn moderated(net: &mut Net, names: &[&str]) -> Vec<Peer> {
    let peers = room_of(net, names);
    let id = net.id(peers[1]);
    net.with(peers[0], |room, now| room.set_role(id, Role::Moderator, now)).unwrap();
    net.run_for(10 * SECOND);
    peers
}

fn told(net: &mut Net, peer: Peer, event: &Event) -> usize {
    net.device(peer).events.iter().filter(|told| *told == event).count()
}

#[test]
fn a_moderator_lets_in_by_its_own_door_while_the_host_keeps() {
    let mut net = Net::new(401);
    let peers = moderated(&mut net, &["host", "moderator", "listener"]);
    let [host, moderator, listener] = peers[..] else { panic!("three") };
    let invite = net.invite(host);
    let guest = net.knock("guest", &invite);
    // The host's user does not answer.
    let mut admitted = 0;
    net.run_until("it knocks at the moderator's door", |net| {
        admitted += net.admit_all(moderator, None);
        admitted > 0
    });
    net.run_for(2 * SECOND);
    assert!(net.is_present(guest));
    let keeper = net.id(host);
    for peer in [host, moderator, listener, guest] {
        assert_eq!((net.room(peer).keeper(), net.room(peer).roster().len()), (Some(keeper), 4));
    }
    assert_eq!(net.room(host).waiting().count(), 0, "nobody waits at the host's door for somebody who is in");
}

#[test]
fn a_knock_is_listed_while_it_waits_and_dropped_a_minute_after_its_last_repetition() {
    let mut net = Net::new(402);
    let host = net.create("host", options("door"));
    let invite = net.invite(host);
    let guest = net.knock("guest", &invite);
    net.run_for(70 * SECOND);
    let waiting: Vec<_> =
        net.room(host).waiting().map(|(knock, member, name)| (knock, member, name.to_string())).collect();
    let [(knock, member, name)] = &waiting[..] else { panic!("{waiting:?}") };
    assert_eq!((*member, name.as_str()), (net.id(guest), "guest"), "who goes on knocking goes on waiting");
    net.switch_off(guest);
    net.run_for(58 * SECOND);
    assert_eq!(net.room(host).waiting().count(), 1);
    net.run_for(4 * SECOND);
    assert_eq!(net.room(host).waiting().count(), 0);
    assert_eq!(told(&mut net, host, &Event::KnockGone { knock: *knock }), 1);
}

#[test]
fn an_invite_is_listed_and_counted_and_lets_nobody_in_once_it_is_revoked() {
    let mut net = Net::new(403);
    let mut open = options("open");
    open.admission = Admission::Open;
    let host = net.create("host", open);
    let (kept, revoked) = (net.invite(host), net.invite_with(host, InviteOptions::lasting(3_600 * SECOND)));
    let before = net.knock("before", &revoked);
    net.run_until("the first is in", |net| net.is_present(before));
    let invites = net.room(host).invites();
    assert_eq!(
        invites.iter().map(|invite| (invite.used, invite.revoked)).collect::<Vec<_>>(),
        [(0, false), (1, false)]
    );

    let id = invites[1].id;
    net.with(host, |room, now| room.revoke_invite(id, now)).unwrap();
    let again = net.with(host, |room, now| room.revoke_invite(id, now));
    assert_eq!(again, Err(CommandError::AlreadySo));
    let invites = net.room(host).invites();
    assert_eq!(
        invites.iter().map(|invite| (invite.used, invite.revoked)).collect::<Vec<_>>(),
        [(0, false), (1, true)]
    );
    let (late, other) = (net.knock("late", &revoked), net.knock("other", &kept));
    net.run_for(REFUSED);
    assert_eq!(net.device(late).events.last(), Some(&Event::Over(Ending::Refused(RefuseReason::Revoked))));
    assert!(
        net.is_present(other) && net.is_present(before),
        "it ends for nobody who is in, nor another invite"
    );
}

#[test]
fn a_locked_room_lets_in_nobody_new_and_everybody_is_told_of_the_lock() {
    let mut net = Net::new(404);
    let peers = moderated(&mut net, &["host", "moderator", "listener"]);
    let [host, moderator, listener] = peers[..] else { panic!("three") };
    let invite = net.invite(host);
    net.with(host, |room, _| room.set_admission(Admission::Open)).unwrap();
    let refused = net.with(listener, |room, now| room.set_locked(true, now));
    assert_eq!(refused, Err(CommandError::NoRank));
    net.with(moderator, |room, now| room.set_locked(true, now)).unwrap();
    net.run_for(3 * SECOND);
    let by = net.id(moderator);
    for peer in [host, moderator, listener] {
        assert!(net.room(peer).is_locked());
        assert_eq!(told(&mut net, peer, &Event::Locked { locked: true, by }), 1);
    }
    let late = net.knock("late", &invite);
    net.run_for(REFUSED + 2 * SECOND);
    assert_eq!(net.device(late).events.last(), Some(&Event::Over(Ending::Refused(RefuseReason::Locked))));
    let member = Some(net.id(late));
    let turned_away = |event: &Event| match event {
        Event::KnockRefused { member: told, reason, .. } => {
            *told == member && *reason == RefuseReason::Locked
        }
        _ => false,
    };
    let told_of_it = [host, moderator].iter().any(|peer| net.devices[peer.0].events.iter().any(turned_away));
    assert!(told_of_it, "whoever is at the door is told whom it turned away");
    net.with(host, |room, now| room.set_locked(false, now)).unwrap();
    net.run_for(3 * SECOND);
    let by = net.id(host);
    assert_eq!(told(&mut net, listener, &Event::Locked { locked: false, by }), 1);
    let guest = net.knock("guest", &invite);
    net.run_until("it is in", |net| net.is_present(guest));
}

#[test]
fn a_silent_member_is_shown_as_absent_then_removed_and_comes_back_without_asking() {
    let mut net = Net::new(405);
    let peers = room_of(&mut net, &["host", "sleeper", "listener"]);
    let [host, sleeper, listener] = peers[..] else { panic!("three") };
    net.run_for(10 * SECOND);
    let (id, rooms) = (net.id(sleeper), [host, listener]);
    let knocks = |net: &mut Net| {
        net.device(host).events.iter().filter(|event| matches!(event, Event::Knocked { .. })).count()
    };
    let (asked, role) = (knocks(&mut net), net.room(sleeper).role());
    net.forks = true;
    net.divide(&rooms, &[sleeper]);
    net.run_for(30 * SECOND);
    for peer in rooms {
        assert!(net.room(peer).is_absent(id));
        assert_eq!(told(&mut net, peer, &Event::Absent { member: id, absent: true }), 1);
        assert_eq!(net.room(peer).roster().len(), 3, "it hears still, should it wake");
    }
    net.run_for(100 * SECOND);
    net.run_until("it is taken out", |net| rooms.iter().all(|peer| net.room(*peer).roster().len() == 2));
    let gone = |event: &Event| matches!(event, Event::Changed { left, .. } if *left == [id]);
    assert!(net.device(listener).events.iter().any(gone));
    net.heal();
    net.run_until("it is back", |net| rooms.iter().all(|peer| net.room(*peer).roster().len() == 3));
    net.run_for(SECOND);
    assert_eq!((net.room(sleeper).status(), net.room(sleeper).role()), (Status::Present, role));
    assert_eq!(knocks(&mut net), asked, "nobody was asked");
    assert!(!net.room(host).is_absent(id));
}

#[test]
fn a_member_heard_again_in_time_is_shown_as_present_again() {
    let mut net = Net::new(406);
    let peers = room_of(&mut net, &["host", "member", "listener"]);
    let [host, member, listener] = peers[..] else { panic!("three") };
    net.run_for(10 * SECOND);
    let id = net.id(member);
    net.withhold(member, host, true);
    net.withhold(member, listener, true);
    net.run_for(30 * SECOND);
    net.lose_withheld();
    net.run_for(12 * SECOND);
    for peer in [host, listener] {
        for absent in [true, false] {
            assert_eq!(told(&mut net, peer, &Event::Absent { member: id, absent }), 1);
        }
    }
}

#[test]
fn a_member_that_is_alone_is_told_so_and_not_that_the_keeper_is_silent() {
    let mut net = Net::new(407);
    let peers = room_of(&mut net, &["host", "a", "b"]);
    let [host, a, b] = peers[..] else { panic!("three") };
    net.run_for(10 * SECOND);
    net.forks = true;
    net.switch_off(a);
    net.switch_off(b);
    net.run_for(20 * SECOND);
    assert_eq!(told(&mut net, host, &Event::Alone), 1);
    assert_eq!(told(&mut net, host, &Event::Silent { reason: SilenceReason::NobodyHears }), 1);
    let blamed = Event::Silent { reason: SilenceReason::NoProofOfLife };
    assert_eq!(told(&mut net, host, &blamed), 0, "it keeps the room itself");
}

#[test]
fn one_identity_on_two_devices_ends_for_the_older_one_with_a_reason() {
    let mut net = Net::new(408);
    let mut open = options("twins");
    open.admission = Admission::Open;
    let host = net.create("host", open);
    let invite = net.invite(host);
    let older = net.knock("twin", &invite);
    net.run_until("the older one is in", |net| net.is_present(older));
    net.run_for(5 * SECOND);
    let identity = net.identity_of(older);
    let newer = net.knock_as(identity, &invite);
    net.run_until("the newer one is in", |net| net.is_present(newer));
    net.run_for(3 * SECOND);
    assert_eq!(net.device(older).events.last(), Some(&Event::Over(Ending::TakenOver)));
    assert_eq!(net.room(older).status(), Status::Over);
    assert_eq!(net.device(older).sealer.position(), None, "it has no keys any more");
    net.run_for(60 * SECOND);
    assert_eq!(
        net.room(newer).status(),
        Status::Present,
        "the two do not take the place from each other for ever"
    );
    assert_eq!(net.room(host).roster().len(), 2);
}

#[test]
fn a_change_of_role_or_mute_is_told_to_everybody_once_and_to_the_member_itself() {
    let mut net = Net::new(409);
    let peers = moderated(&mut net, &["host", "moderator", "member", "listener"]);
    let [host, moderator, member, _] = peers[..] else { panic!("four") };
    let id = net.id(member);
    net.with(moderator, |room, now| room.set_role(id, Role::Speaker, now)).unwrap();
    net.run_for(3 * SECOND);
    net.with(moderator, |room, now| room.set_muted(id, true, now)).unwrap();
    net.run_for(3 * SECOND);
    net.with(host, |room, now| room.set_muted(id, false, now)).unwrap();
    net.run_for(3 * SECOND);
    let events = [
        Event::RoleChanged { member: id, role: Role::Speaker, by: net.id(moderator) },
        Event::Muted { member: id, muted: true, by: net.id(moderator) },
        Event::Muted { member: id, muted: false, by: net.id(host) },
    ];
    for peer in &peers {
        let of_member = |event: &&Event| matches!(event, Event::RoleChanged { member, .. } | Event::Muted { member, .. } if *member == id);
        let told: Vec<Event> = net.device(*peer).events.iter().filter(of_member).cloned().collect();
        assert_eq!(told, events, "{peer:?}");
    }
}

#[test]
fn a_member_whose_statement_the_keeper_ignores_is_told_so() {
    let mut net = Net::new(410);
    let peers = moderated(&mut net, &["host", "moderator", "member"]);
    let [host, moderator, member] = peers[..] else { panic!("three") };
    let id = net.id(member);
    // The keeper hears nothing of the act.
    net.withhold(moderator, host, true);
    net.forks = true;
    net.with(moderator, |room, now| room.set_role(id, Role::Speaker, now)).unwrap();
    net.run_for(2 * SECOND);
    assert_eq!(told(&mut net, moderator, &Event::Ignored { member: id }), 0);
    net.run_for(6 * SECOND);
    assert_eq!(told(&mut net, moderator, &Event::Ignored { member: id }), 1);
}

#[test]
fn an_error_of_a_command_names_its_own_cause() {
    let mut net = Net::new(411);
    let peers = moderated(&mut net, &["host", "moderator", "member", "second"]);
    let [host, moderator, member, second] = peers[..] else { panic!("four") };
    let (of_host, of_moderator, of_member) = (net.id(host), net.id(moderator), net.id(member));
    let of_second = net.id(second);
    let mut try_it = |peer: Peer,
                      command: &dyn Fn(
        &mut sottovoce::room::Room,
        std::time::Instant,
    ) -> Result<(), CommandError>| {
        net.with(peer, |room, now| command(room, now)).unwrap_err()
    };
    // Nobody does this to the host, the host itself included.
    for peer in [host, moderator] {
        assert_eq!(try_it(peer, &|room, now| room.set_muted(of_host, true, now)), CommandError::AboutHost);
        assert_eq!(try_it(peer, &|room, now| room.ban(of_host, now)), CommandError::AboutHost);
    }
    assert_eq!(try_it(moderator, &|room, now| room.set_muted(of_moderator, true, now)), CommandError::Rank);
    assert_eq!(
        try_it(moderator, &|room, now| room.set_role(of_member, Role::Moderator, now)),
        CommandError::HostOnly
    );
    assert_eq!(
        try_it(moderator, &|room, now| room.set_role(of_member, Role::Host, now)),
        CommandError::HostOnly
    );
    assert_eq!(try_it(member, &|room, now| room.set_muted(of_second, true, now)), CommandError::NoRank);
    assert_eq!(try_it(member, &|room, now| room.set_locked(true, now)), CommandError::NoRank);
    assert_eq!(try_it(member, &|room, _| room.close()), CommandError::HostOnly);
    assert_eq!(try_it(host, &|room, now| room.set_muted(of_member, false, now)), CommandError::AlreadySo);
    let nobody = sottovoce::MemberId::from_bytes([7; 32]);
    assert_eq!(try_it(host, &|room, now| room.hand_over(nobody, now)), CommandError::UnknownMember);
    assert_eq!(try_it(host, &|room, now| room.remove(nobody, now)), CommandError::UnknownMember);
    // Somebody who is out was seen, and is not there.
    net.with(host, |room, now| room.remove(of_second, now)).unwrap();
    net.run_for(2 * SECOND);
    let gone = net.with(host, |room, now| room.hand_over(of_second, now));
    assert_eq!(gone, Err(CommandError::NotHeard));
    let muted = net.with(host, |room, now| room.set_muted(of_second, true, now));
    assert_eq!(muted, Err(CommandError::NotAdmitted));
}

#[test]
fn a_member_that_may_not_speak_is_not_told_that_it_may_send_again() {
    let mut net = Net::new(412);
    let peers = room_of(&mut net, &["host", "listener", "muted", "speaker"]);
    let [host, listener, muted, speaker] = peers[..] else { panic!("four") };
    let [of_listener, of_muted] = [listener, muted].map(|peer| net.id(peer));
    net.with(host, |room, now| room.set_role(of_listener, Role::Listener, now)).unwrap();
    for speaks in [muted, speaker] {
        let id = net.id(speaks);
        net.with(host, |room, now| room.set_role(id, Role::Speaker, now)).unwrap();
    }
    net.with(host, |room, now| room.set_muted(of_muted, true, now)).unwrap();
    net.run_for(10 * SECOND);
    peers.iter().for_each(|peer| net.device(*peer).events.clear());
    let sending = |net: &mut Net, peer: Peer| {
        let sending = |event: &&Event| matches!(event, Event::Silent { .. } | Event::Audible);
        net.device(peer).events.iter().filter(sending).cloned().collect::<Vec<_>>()
    };
    net.forks = true;
    // Everybody is alone.
    for (n, peer) in peers.iter().enumerate() {
        net.divide(&[*peer], &peers[n + 1..]);
    }
    net.run_for(20 * SECOND);
    net.heal();
    net.run_for(60 * SECOND);
    assert!(matches!(sending(&mut net, speaker)[..], [Event::Silent { .. }, ..]));
    for peer in [listener, muted] {
        assert_eq!(sending(&mut net, peer), []);
    }
    // A role that is heard is told what stops it, and that it goes on.
    net.with(host, |room, now| room.set_role(of_listener, Role::Speaker, now)).unwrap();
    net.run_for(10 * SECOND);
    net.divide(&[host, speaker, muted], &[listener]);
    net.run_for(17 * SECOND);
    assert!(matches!(sending(&mut net, listener)[..], [Event::Silent { .. }]));
}
