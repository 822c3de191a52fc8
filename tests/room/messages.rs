//! What members write to each other, and whose hands are up (`spec/messages.md`).

use std::time::Duration;

use sottovoce::{
    SilenceReason,
    group::{KeyExchange, Role},
    room::{Admission, AppMessage, Audience, Event, MessageKind, SendError},
};
use sottovoce_testkit::net::{Net, Peer, options, room_of};

const SECOND: Duration = Duration::from_secs(1);

/// The texts that came to a device, with their senders.
fn read(net: &mut Net, peer: Peer) -> Vec<AppMessage> {
    let told = net.device(peer).events.iter().filter_map(|event| match event {
        Event::Message(message) => Some(message.clone()),
        _ => None,
    });
    told.collect()
}

fn texts(net: &mut Net, peer: Peer) -> Vec<String> {
    read(net, peer).iter().filter_map(|message| message.text().map(str::to_owned)).collect()
}

fn write(net: &mut Net, from: Peer, audience: Audience, text: &str) -> Result<u64, SendError> {
    net.with(from, |room, now| room.send_message(audience, MessageKind::TEXT, text.as_bytes(), now))
}

#[test]
fn everybody_writes_to_all_to_a_role_and_to_one_and_only_they_read_it() {
    let mut net = Net::new(501);
    let peers = room_of(&mut net, &["host", "moderator", "listener", "muted", "recorder"]);
    let [host, moderator, listener, muted, recorder] = peers[..] else { panic!("five") };
    for (peer, role) in [(moderator, Role::Moderator), (listener, Role::Listener), (recorder, Role::Recorder)]
    {
        let id = net.id(peer);
        net.with(host, |room, now| room.set_role(id, role, now)).unwrap();
    }
    let id = net.id(muted);
    net.with(host, |room, now| room.set_muted(id, true, now)).unwrap();
    net.run_for(10 * SECOND);

    for (n, peer) in peers.iter().enumerate() {
        assert_eq!(write(&mut net, *peer, Audience::All, &format!("from {n}")), Ok(1));
    }
    let to_rank = Audience::Role(Role::Moderator);
    write(&mut net, listener, to_rank, "to rank").unwrap();
    write(&mut net, host, Audience::Member(id), "to the muted one").unwrap();
    net.run_for(2 * SECOND);
    for (n, peer) in peers.iter().enumerate() {
        let mut expected: Vec<String> =
            (0..5).filter(|from| *from != n).map(|from| format!("from {from}")).collect();
        if [host, moderator].contains(peer) {
            expected.push("to rank".into());
        }
        if *peer == muted {
            expected.push("to the muted one".into());
        }
        let mut texts = texts(&mut net, *peer);
        texts.sort();
        assert_eq!(texts, expected, "{n}");
    }
    let ranked = read(&mut net, moderator).into_iter().find(|message| message.text() == Some("to rank"));
    assert_eq!(ranked.map(|message| message.audience), Some(to_rank));
    let one = read(&mut net, muted).into_iter().find(|message| message.text() == Some("to the muted one"));
    assert_eq!(one.map(|message| message.audience), Some(Audience::Member(id)));
    assert_eq!(write(&mut net, host, Audience::Role(Role::Host), "to nobody"), Err(SendError::Nobody));
    let oneself = Audience::Member(net.id(host));
    assert_eq!(write(&mut net, host, oneself, "to oneself"), Err(SendError::Nobody));
}

#[test]
fn the_relay_sees_envelopes_of_one_size_whatever_is_written_and_to_whom() {
    let mut net = Net::new(502);
    let peers = room_of(&mut net, &["host", "a", "b"]);
    net.run_for(5 * SECOND);
    let one = Audience::Member(net.id(peers[2]));
    let before = net.relay_log.len();
    for (audience, len) in [(Audience::All, 1), (Audience::All, 640), (one, 1), (one, 640)] {
        write(&mut net, peers[1], audience, &"x".repeat(len)).unwrap();
    }
    let sizes: Vec<usize> = net.relay_log.iter().skip(before).map(|envelope| envelope.len()).collect();
    assert_eq!(sizes, [1024; 4]);
    net.run_for(SECOND);
    assert_eq!((texts(&mut net, peers[0]).len(), texts(&mut net, peers[2]).len()), (2, 4));
}

#[test]
fn a_message_to_one_member_of_a_hybrid_room_opens_there() {
    let mut net = Net::new(503);
    let mut hybrid = options("hybrid");
    (hybrid.key_exchange, hybrid.admission) = (KeyExchange::MlKem768X25519, Admission::Open);
    let host = net.create("host", hybrid);
    let invite = net.invite(host);
    let guest = net.knock("guest", &invite);
    net.run_until("it is in", |net| net.is_present(guest));
    net.run_for(2 * SECOND);
    let to = Audience::Member(net.id(guest));
    write(&mut net, host, to, "welcome").unwrap();
    net.run_for(SECOND);
    assert_eq!(texts(&mut net, guest), ["welcome"]);
}

#[test]
fn messages_that_cross_a_change_of_epoch_arrive_once_in_order_and_not_at_the_newcomer() {
    for seed in 504..508 {
        let mut net = Net::new(seed);
        let mut open = options("chat");
        open.admission = Admission::Open;
        let host = net.create("host", open);
        let invite = net.invite(host);
        let [a, b] = ["a", "b"].map(|name| net.knock(name, &invite));
        net.run_until("all are in", |net| {
            [host, a, b].iter().all(|peer| net.room(*peer).roster().len() == 3)
        });
        net.run_for(10 * SECOND);
        net.device(a).events.clear();
        let guest = net.knock("guest", &invite);
        net.withhold(host, a, true);
        net.run_until("the host has committed", |net| net.room(host).roster().len() == 4);
        net.run_for(Duration::from_millis(100));
        // The others are in the next epoch, in which nobody reads this.
        assert_eq!((net.room(a).roster().len(), net.room(b).roster().len()), (3, 4), "seed {seed}");
        for n in 0..3 {
            write(&mut net, a, Audience::All, &n.to_string()).unwrap();
        }
        let to_host = Audience::Member(net.id(host));
        write(&mut net, a, to_host, "3").unwrap();
        net.run_for(Duration::from_millis(200));
        assert!(texts(&mut net, host).is_empty() && texts(&mut net, b).is_empty());
        net.withhold(host, a, false);
        net.run_for(Duration::from_millis(200));
        write(&mut net, a, Audience::All, "4").unwrap();
        net.run_for(2 * SECOND);
        assert_eq!(texts(&mut net, host), ["0", "1", "2", "3", "4"], "seed {seed}");
        assert_eq!(texts(&mut net, b), ["0", "1", "2", "4"], "seed {seed}");
        assert!(read(&mut net, host).iter().all(|message| message.missed == 0));
        assert_eq!(texts(&mut net, guest), ["4"], "who came later reads what was written before");
    }
}

#[test]
fn lost_messages_are_reported_as_missed() {
    let mut net = Net::new(509);
    let peers = room_of(&mut net, &["host", "a", "b"]);
    net.run_for(5 * SECOND);
    write(&mut net, peers[1], Audience::All, "one").unwrap();
    net.run_for(SECOND);
    net.withhold(peers[1], peers[2], true);
    for text in ["two", "three"] {
        write(&mut net, peers[1], Audience::All, text).unwrap();
    }
    net.run_for(SECOND);
    net.lose_withheld();
    write(&mut net, peers[1], Audience::All, "four").unwrap();
    net.run_for(SECOND);
    let missed = |net: &mut Net, peer| {
        let read = read(net, peer);
        read.iter().map(|message| (message.number, message.missed)).collect::<Vec<_>>()
    };
    assert_eq!(missed(&mut net, peers[2]), [(1, 0), (4, 2)]);
    assert_eq!(missed(&mut net, peers[0]), [(1, 0), (2, 0), (3, 0), (4, 0)]);
}

#[test]
fn a_message_that_may_not_be_written_is_refused_with_a_reason_and_not_sent() {
    let mut net = Net::new(510);
    let peers = room_of(&mut net, &["host", "a"]);
    let [host, a] = peers[..] else { panic!("two") };
    net.run_for(5 * SECOND);
    let before = net.relay_log.len();
    for body in [vec![], vec![0xff], vec![b'x'; 641]] {
        let refused =
            net.with(a, |room, now| room.send_message(Audience::All, MessageKind::TEXT, &body, now));
        assert_eq!(refused, Err(SendError::Body));
    }
    assert_eq!(net.relay_log.len(), before);
    for n in 1..=20 {
        assert_eq!(write(&mut net, a, Audience::All, "x"), Ok(n));
    }
    assert_eq!(write(&mut net, a, Audience::All, "x"), Err(SendError::TooOften(10 * SECOND)));
    assert_eq!(net.relay_log.len(), before + 20);
    net.run_for(10 * SECOND);
    assert_eq!(write(&mut net, a, Audience::All, "x"), Ok(21));
    assert_eq!(texts(&mut net, host).len(), 20);
    // Cut off, nobody knows who reads it.
    net.divide(&[host], &[a]);
    net.forks = true;
    net.run_for(16 * SECOND);
    let refused = write(&mut net, host, Audience::All, "x");
    assert_eq!(refused, Err(SendError::Silent(SilenceReason::NobodyHears)));
    net.with(a, |room, _| room.leave()).unwrap();
    assert_eq!(write(&mut net, a, Audience::All, "x"), Err(SendError::NotInRoom));
}

#[test]
fn hands_are_in_the_same_order_for_all_and_come_down_for_their_reasons() {
    let mut net = Net::new(511);
    let mut open = options("hands");
    (open.admission, open.default_role) = (Admission::Open, Role::Listener);
    let host = net.create("host", open);
    let invite = net.invite(host);
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| net.knock(name, &invite));
    let peers = [host, a, b, c, d];
    net.run_until("all are in", |net| peers.iter().all(|peer| net.room(*peer).roster().len() == 5));
    net.run_for(10 * SECOND);
    // Within a delay of each other, so that they cross.
    for peer in [c, a, d, b] {
        net.with(peer, |room, now| room.raise_hand(now)).unwrap();
        net.run_for(Duration::from_millis(7));
    }
    net.run_for(2 * SECOND);
    let order = net.room(host).hands();
    assert_eq!(order.len(), 4);
    for peer in peers {
        assert_eq!(net.room(peer).hands(), order);
    }
    net.with(c, |room, now| room.raise_hand(now)).unwrap();
    net.run_for(SECOND);
    assert_eq!(net.room(a).hands(), order, "a hand that is up stays where it is");

    // Withdrawn, lowered by rank, got the role, left.
    let [id_a, id_b, id_c, id_d] = [a, b, c, d].map(|peer| net.id(peer));
    assert_eq!(net.with(b, |room, now| room.lower_hand(id_a, now)), Err(SendError::NoRank));
    net.with(a, |room, now| room.lower_hand(id_a, now)).unwrap();
    net.with(host, |room, now| room.lower_hand(id_b, now)).unwrap();
    net.run_for(SECOND);
    net.with(host, |room, now| room.set_role(id_c, Role::Speaker, now)).unwrap();
    net.run_for(5 * SECOND);
    for peer in peers {
        assert_eq!(net.room(peer).hands(), [id_d]);
    }
    let host_id = net.id(host);
    for (member, by) in [(id_a, Some(id_a)), (id_b, Some(host_id)), (id_c, None)] {
        assert!(net.device(d).events.contains(&Event::Hand { member, raised: false, by }));
    }

    // A member that comes later sees it, in its place.
    net.with(b, |room, now| room.raise_hand(now)).unwrap();
    let guest = net.knock("guest", &invite);
    net.run_until("it is in", |net| net.is_present(guest));
    net.run_for(40 * SECOND);
    assert_eq!(net.room(guest).hands(), [id_d, id_b]);
    net.with(d, |room, _| room.leave()).unwrap();
    net.run_for(10 * SECOND);
    for peer in [host, a, b, c, guest] {
        assert_eq!(net.room(peer).hands(), [id_b]);
    }
}

#[test]
fn numbers_begin_anew_after_a_restart_and_go_on_after_the_loss_of_a_place() {
    let mut net = Net::new(512);
    let peers = room_of(&mut net, &["host", "a", "b"]);
    let [host, a, b] = peers[..] else { panic!("three") };
    net.run_for(10 * SECOND);
    write(&mut net, a, Audience::All, "before").unwrap();
    net.run_for(SECOND);
    net.forks = true;
    net.divide(&[host, b], &[a]);
    net.run_for(150 * SECOND);
    net.heal();
    net.run_until("it is back", |net| [host, a, b].iter().all(|peer| net.room(*peer).roster().len() == 3));
    net.run_for(5 * SECOND);
    assert_eq!(write(&mut net, a, Audience::All, "after"), Ok(2));
    net.run_for(SECOND);
    assert_eq!(texts(&mut net, b), ["before", "after"]);
}
