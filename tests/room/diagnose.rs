//! Why nobody hears somebody, and why somebody hears nothing: each reason, in a room where it is
//! so.

use std::time::Duration;

use bytes::Bytes;
use sottovoce::{
    SilenceReason,
    group::Role,
    media::OpenError,
    room::{Deaf, Event, Knocking, RefuseReason, Status, Traffic, Unheard},
    testkit::{Kind, Witness},
};
use sottovoce_testkit::net::{Fate, Net, Peer, Watcher, options, room_of};

const SECOND: Duration = Duration::from_secs(1);

/// A host and speakers.
fn speakers(net: &mut Net, names: &[&str]) -> Vec<Peer> {
    let peers = room_of(net, names);
    for peer in &peers[1..] {
        let id = net.id(*peer);
        net.with(peers[0], |room, now| room.set_role(id, Role::Speaker, now)).unwrap();
    }
    net.run_for(10 * SECOND);
    peers
}

/// What becomes of a device's packets in the next two seconds.
fn traffic(net: &mut Net, peer: Peer) -> Traffic {
    let counts = |net: &Net| {
        let device = &net.devices[peer.0];
        (device.sent, device.received, device.opened, device.refused.clone())
    };
    let before = counts(net);
    net.run_for(2 * SECOND);
    let after = counts(net);
    let refused = after.3.iter().find(|(error, count)| before.3.get(error).copied().unwrap_or(0) < **count);
    let of = |before: u64, after: u64| u32::try_from(after - before).unwrap();
    let mut traffic = Traffic::default();
    (traffic.sealed, traffic.arrived, traffic.opened) =
        (of(before.0, after.0), of(before.1, after.1), of(before.2, after.2));
    traffic.refused = refused.map(|(error, _)| *error);
    traffic
}

fn unheard(net: &mut Net, peer: Peer) -> Vec<Unheard> {
    let traffic = traffic(net, peer);
    let now = net.now;
    net.room(peer).why_unheard(&traffic, now)
}

fn deaf(net: &mut Net, peer: Peer) -> Vec<Deaf> {
    let traffic = traffic(net, peer);
    let now = net.now;
    net.room(peer).why_deaf(&traffic, now)
}

#[test]
fn nothing_is_said_where_all_is_well() {
    let mut net = Net::new(521);
    let peers = speakers(&mut net, &["host", "a", "b"]);
    peers.iter().for_each(|peer| net.speak(*peer, true));
    net.run_for(2 * SECOND);
    for peer in peers {
        assert_eq!(unheard(&mut net, peer), []);
        assert_eq!(deaf(&mut net, peer), []);
    }
}

#[test]
fn a_member_outside_the_room_is_told_its_status() {
    let mut net = Net::new(522);
    let host = net.create("host", options("room"));
    let invite = net.invite(host);
    let guest = net.knock("guest", &invite);
    net.run_for(5 * SECOND);
    assert_eq!(unheard(&mut net, guest), [Unheard::Outside(Knocking::Decides)]);
    assert_eq!(deaf(&mut net, guest), [Deaf::Outside(Knocking::Decides)]);
    net.with(guest, |room, _| room.leave()).unwrap();
    assert_eq!(unheard(&mut net, guest), [Unheard::NotIn(Status::Over)]);
    assert_eq!(deaf(&mut net, guest), [Deaf::NotIn(Status::Over)]);
    assert_eq!(unheard(&mut net, host), [Unheard::NobodyHere, Unheard::NothingSealed]);
    assert_eq!(deaf(&mut net, host), [Deaf::NobodyHere, Deaf::NothingArrives]);
}

/// How often a newcomer was told that no door is shown to it, and that none answers.
fn told(net: &Net, guest: Peer) -> (usize, usize) {
    let events = &net.devices[guest.0].events;
    let count = |what: &Event| events.iter().filter(|event| *event == what).count();
    (count(&Event::NoDoor), count(&Event::NoAnswer))
}

#[test]
fn a_newcomer_whom_nobody_answers_is_told_so_and_comes_in_later() {
    let mut net = Net::new(528);
    let host = net.create("host", options("room"));
    let invite = net.invite(host);
    let guest = net.knock("guest", &invite);
    // Nothing of the host reaches the guest.
    net.cut(host, guest);
    net.run_for(6 * SECOND);
    assert_eq!(
        (unheard(&mut net, guest), told(&net, guest)),
        (vec![Unheard::Outside(Knocking::Asking)], (0, 0))
    );
    net.run_for(60 * SECOND);
    assert_eq!((deaf(&mut net, guest), told(&net, guest)), (vec![Deaf::Outside(Knocking::NoDoor)], (1, 0)));
    // Nothing of the guest reaches the host.
    net.heal();
    net.cut(guest, host);
    net.run_for(60 * SECOND);
    assert_eq!((deaf(&mut net, guest), told(&net, guest)), (vec![Deaf::Outside(Knocking::NoAnswer)], (1, 1)));
    net.heal();
    net.run_for(5 * SECOND);
    assert_eq!(deaf(&mut net, guest), [Deaf::Outside(Knocking::Decides)]);
    net.admit_all(host, None);
    net.run_for(3 * SECOND);
    assert!(net.is_present(guest));
    let now = net.now;
    assert_eq!((net.room(guest).knocking(now), told(&net, guest)), (None, (1, 1)));
}

#[test]
fn roles_and_mutes_are_told_on_both_sides() {
    let mut net = Net::new(523);
    let peers = speakers(&mut net, &["host", "listener", "muted"]);
    let [host, listener, muted] = peers[..] else { panic!("three") };
    let [of_listener, of_muted, of_host] = [listener, muted, host].map(|peer| net.id(peer));
    net.with(host, |room, now| room.set_role(of_listener, Role::Listener, now)).unwrap();
    net.with(host, |room, now| room.set_muted(of_muted, true, now)).unwrap();
    net.run_for(5 * SECOND);
    assert_eq!(unheard(&mut net, listener), [Unheard::Role(Role::Listener), Unheard::NothingSealed]);
    assert_eq!(unheard(&mut net, muted)[0], Unheard::Muted);
    assert_eq!(deaf(&mut net, host), [Deaf::NobodySpeaks, Deaf::Muted(of_muted), Deaf::NothingArrives]);
    let now = net.now;
    assert_eq!(net.room(host).why_deaf_to(of_listener, now), [Deaf::Role(of_listener, Role::Listener)]);
    assert_eq!(net.room(listener).why_deaf_to(of_host, now), []);
}

#[test]
fn a_member_that_is_cut_off_is_told_that_nobody_answers_and_why_it_does_not_send() {
    let mut net = Net::new(524);
    let peers = speakers(&mut net, &["host", "a", "b"]);
    let [host, a, b] = peers[..] else { panic!("three") };
    net.forks = true;
    net.divide(&[host], &[a, b]);
    net.speak(host, true);
    net.run_for(30 * SECOND);
    let said = unheard(&mut net, host);
    assert!(said.starts_with(&[Unheard::AllAbsent, Unheard::Silent(SilenceReason::NobodyHears)]), "{said:?}");
    let [of_a, of_b] = [a, b].map(|peer| net.id(peer));
    let said = deaf(&mut net, host);
    for reason in [Deaf::Absent(of_a), Deaf::Absent(of_b), Deaf::NothingArrives] {
        assert!(said.contains(&reason), "{reason:?} in {said:?}");
    }
}

/// A relay that brings one member heartbeats, and nothing else.
struct OnlyHeartbeats(Peer);

impl Watcher for OnlyHeartbeats {
    fn fate(&mut self, net: &Net, from: Peer, to: Peer, message: &Bytes) -> Fate {
        let kind = Witness::of(&net.devices[from.0].room).kind(message);
        if to != self.0 || kind == Some(Kind::Heartbeat) { Fate::Passes } else { Fate::IsLost }
    }
}

#[test]
fn a_commit_that_is_withheld_is_told_on_both_questions() {
    let mut net = Net::new(525);
    let peers = speakers(&mut net, &["host", "a", "b"]);
    let [host, a, b] = peers[..] else { panic!("three") };
    net.watcher = Some(Box::new(OnlyHeartbeats(a)));
    net.forks = true;
    let id = net.id(b);
    net.with(host, |room, now| room.set_role(id, Role::Listener, now)).unwrap();
    let (mut of_deaf, mut of_unheard) = (false, false);
    for _ in 0..48 {
        net.run_for(SECOND / 4);
        let (traffic, now) = (Traffic::default(), net.now);
        of_deaf |= net.room(a).why_deaf(&traffic, now).first() == Some(&Deaf::CommitWithheld);
        let silent = Unheard::Silent(SilenceReason::CommitWithheld);
        of_unheard |= net.room(a).why_unheard(&traffic, now).contains(&silent);
    }
    assert!(of_deaf && of_unheard, "{of_deaf} {of_unheard}");
    // It is over when the commit can come again.
    net.watcher = None;
    net.run_for(10 * SECOND);
    let now = net.now;
    assert_eq!(net.room(a).why_deaf_to(id, now), [Deaf::Role(id, Role::Listener)]);
}

#[test]
fn packets_that_are_refused_and_packets_that_are_not_given_are_told() {
    let mut net = Net::new(526);
    let peers = speakers(&mut net, &["host", "a"]);
    let [host, a] = peers[..] else { panic!("two") };
    net.speak(a, true);
    net.run_for(2 * SECOND);
    let forged = Traffic { arrived: 50, refused: Some(OpenError::Forged), ..Traffic::default() };
    let now = net.now;
    assert_eq!(net.room(host).why_deaf(&forged, now), [Deaf::Refused(OpenError::Forged)]);
    assert_eq!(unheard(&mut net, host), [Unheard::NothingSealed]);
    net.media.loss = 100;
    net.run_for(SECOND);
    assert_eq!(deaf(&mut net, host), [Deaf::NothingArrives]);
    let traffic = Traffic { unsealed: Some(sottovoce::SealError::TooLarge), ..Traffic::default() };
    let now = net.now;
    assert_eq!(
        net.room(host).why_unheard(&traffic, now),
        [Unheard::NotSealed(sottovoce::SealError::TooLarge)]
    );
}

#[test]
fn a_key_that_has_not_come_is_told_with_its_member() {
    let mut net = Net::new(527);
    let peers = speakers(&mut net, &["host", "a", "b"]);
    let [host, a, b] = peers[..] else { panic!("three") };
    net.speak(a, true);
    // A new epoch, in which what `a` says does not reach `b`.
    net.withhold(a, b, true);
    let id = net.id(b);
    net.with(host, |room, now| room.set_role(id, Role::Listener, now)).unwrap();
    net.run_for(3 * SECOND);
    let of_a = net.id(a);
    let said = deaf(&mut net, b);
    assert!(said.contains(&Deaf::NoKey(of_a)), "{said:?}");
    assert!(said.contains(&Deaf::Refused(OpenError::UnknownSpeaker)), "{said:?}");
}

#[test]
fn every_reason_is_one_line_that_can_be_read() {
    let member = sottovoce::MemberId::from_bytes([7; 32]);
    let unheard = [
        Unheard::NotIn(Status::Returning),
        Unheard::Outside(Knocking::Asking),
        Unheard::Outside(Knocking::NoDoor),
        Unheard::Outside(Knocking::NoAnswer),
        Unheard::Role(Role::Listener),
        Unheard::Muted,
        Unheard::Silent(SilenceReason::NobodyHears),
        Unheard::NobodyHere,
        Unheard::AllAbsent,
        Unheard::Clock,
        Unheard::NothingSealed,
        Unheard::NotSealed(sottovoce::SealError::TooLarge),
    ];
    let deaf = [
        Deaf::NotIn(Status::Over),
        Deaf::Outside(Knocking::Decides),
        Deaf::Outside(Knocking::Refused(RefuseReason::Locked)),
        Deaf::NobodyHere,
        Deaf::NobodySpeaks,
        Deaf::CommitWithheld,
        Deaf::Role(member, Role::Recorder),
        Deaf::Muted(member),
        Deaf::Absent(member),
        Deaf::Clock(member),
        Deaf::NoKey(member),
        Deaf::NothingArrives,
        Deaf::Refused(OpenError::Forged),
    ];
    let lines = unheard.iter().map(ToString::to_string).chain(deaf.iter().map(ToString::to_string));
    let mut lines: Vec<_> = lines.collect();
    assert!(lines.iter().all(|line| !line.contains('\n') && (5..120).contains(&line.len())), "{lines:?}");
    lines.sort();
    lines.dedup();
    // Two lists say of one another that nobody else is here.
    assert_eq!(lines.len(), unheard.len() + deaf.len() - 1);
}
