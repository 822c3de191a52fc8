//! With real sockets, over TCP and UDP.

use std::{
    net::{SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use sottovoce::{
    driver::policy::{Call, State, Why},
    relay::{Relay, RelayOptions},
    transport::{RelayName, TransportError},
};

use crate::{
    people::{Person, SECOND, by, identity, room, seed, two, unix},
    way::Way,
};

fn relay() -> Relay {
    relay_at(([127, 0, 0, 1], 0).into())
}

fn relay_at(address: SocketAddr) -> Relay {
    let start = Instant::now();
    loop {
        match Relay::start(address, RelayOptions::default()) {
            Ok(relay) => return relay,
            Err(error) => assert!(start.elapsed() < 5 * SECOND, "{error}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Nobody listens there.
fn nobody() -> RelayName {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string().parse().unwrap()
}

const BACK: Duration = Duration::from_secs(2);
/// A keeper adds nobody twice in this time (spec/room.md, K7).
const READD: Duration = Duration::from_secs(5);

#[test]
fn a_relay_that_is_killed_and_comes_back_has_its_room_again_in_two_seconds() {
    let relay = relay();
    let (name, address) = (relay.name(), relay.address());
    let list = [name.clone()];
    let people = two(&list, by([name.clone()]), by([name]));
    let epochs = people.each_ref().map(|person| person.seen().epoch);
    relay.stop().unwrap();
    let killed = Instant::now();
    for person in &people {
        let noticed = person.until("not noticed", 3 * SECOND, |seen| {
            matches!(seen.state(), Some(State::Reconnecting { .. }))
        });
        println!("noticed after {noticed:?}");
    }
    thread::sleep((4 * SECOND).saturating_sub(killed.elapsed()));
    let _relay = relay_at(address);
    let back = Instant::now();
    for person in &people {
        let took = person.hears(back, 10 * SECOND);
        println!("heard again after {took:?}");
        assert!(took < BACK, "{took:?}");
        person.until("not in", SECOND, |seen| seen.state() == Some(&State::In));
    }
    // In place: nobody needed a new leaf.
    assert_eq!(people.each_ref().map(|person| person.seen().epoch), epochs);
}

#[test]
fn the_next_relay_of_the_list_is_taken_if_the_first_is_dead_or_says_nothing() {
    let relay = relay();
    // Accepts and says nothing.
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent: RelayName = stranger.local_addr().unwrap().to_string().parse().unwrap();
    for (first, most) in [(nobody(), SECOND), (silent, 3 * SECOND)] {
        let list = [first, relay.name()];
        let start = Instant::now();
        let options = room(list.clone());
        let ada =
            Person::of(Call::create_with(by(list.clone()), identity(1), options, seed(), unix()).unwrap());
        ada.until("not in", 10 * SECOND, |seen| seen.state() == Some(&State::In));
        let took = start.elapsed();
        println!("in after {took:?}");
        assert!(took < most, "{took:?}");
        assert_eq!(ada.seen().relay, Some(relay.name()));
    }
}

#[test]
fn a_room_whose_relay_dies_goes_over_to_the_next_of_the_list() {
    let (first, second) = (relay(), relay());
    let list = [first.name(), second.name()];
    let people = two(&list, by(list.clone()), by(list.clone()));
    first.stop().unwrap();
    let killed = Instant::now();
    for person in &people {
        person.until("not there", 5 * SECOND, |seen| {
            seen.relay == Some(second.name()) && seen.state() == Some(&State::In)
        });
        let took = person.hears(killed + Duration::from_millis(300), 10 * SECOND);
        println!("heard again after {took:?}");
        assert!(took < 2 * BACK, "{took:?}");
    }
}

/// A member behind a way that goes down for so long.
fn outage(lasts: Duration) {
    let relay = relay();
    let way = Way::to(relay.address());
    let list = [way.name(), relay.name()];
    let people = two(&list, by([relay.name()]), by([way.name()]));
    goes_down(&way, lasts, people);
}

fn goes_down(way: &Way, lasts: Duration, people: [Person; 2]) {
    let ben = &people[1];
    let epoch = ben.seen().epoch;
    way.is_down(true);
    let down = Instant::now();
    let noticed =
        ben.until("not noticed", 3 * SECOND, |seen| matches!(seen.state(), Some(State::Reconnecting { .. })));
    assert!(ben.seen().whys().contains(&Why::Silent));
    thread::sleep(lasts.saturating_sub(down.elapsed()));
    way.is_down(false);
    let back = Instant::now();
    for person in &people {
        let took = person.hears(back, 20 * SECOND);
        println!("down for {lasts:?}: noticed after {noticed:?}, heard again after {took:?}");
        assert!(took < BACK, "{took:?}");
    }
    ben.until("not in", 2 * SECOND, |seen| seen.state() == Some(&State::In));
    thread::sleep(SECOND);
    let again = Instant::now();
    people.iter().for_each(|person| assert!(person.hears(again, BACK) < BACK));
    assert_eq!(ben.seen().epoch, epoch, "nobody needed a new leaf");
}

#[test]
fn sound_is_back_two_seconds_after_a_short_outage() {
    outage(Duration::from_secs(5));
}

#[test]
fn sound_is_back_two_seconds_after_an_outage_that_silences_the_member() {
    outage(Duration::from_secs(19));
}

#[test]
fn who_missed_a_commit_is_back_with_a_new_leaf() {
    let relay = relay();
    let way = Way::to(relay.address());
    let list = [way.name(), relay.name()];
    let [ada, ben] = two(&list, by([relay.name()]), by([way.name()]));
    let epoch = ben.seen().epoch;
    thread::sleep(READD);
    way.is_down(true);
    let invite = ada.invite();
    let cem = Person::of(Call::join_with(by([relay.name()]), identity(3), invite, seed(), unix()).unwrap());
    cem.until("not in", 10 * SECOND, |seen| seen.state() == Some(&State::In));
    thread::sleep(3 * SECOND);
    way.is_down(false);
    let back = Instant::now();
    let took = ben.hears(back, 20 * SECOND);
    println!("heard again after {took:?}");
    // Mostly 0.3 s. A commit that comes while the connection changes may wait for what it lacks
    // (C1).
    assert!(took < 2 * BACK, "{took:?}");
    assert!(ben.seen().epoch > epoch);
    ben.until("not in", 2 * SECOND, |seen| seen.people == 3 && seen.state() == Some(&State::In));
}

#[test]
fn a_process_that_was_killed_is_heard_two_seconds_after_it_began_again() {
    let relay = relay();
    let list = [relay.name()];
    let [ada, ben] = two(&list, by(list.clone()), by(list.clone()));
    thread::sleep(READD);
    let seen = ben.kill();
    let membership = seen.membership.unwrap();
    thread::sleep(SECOND);
    let start = Instant::now();
    let ben = Person::of(Call::resume_with(by(list), identity(2), &membership, seed(), unix()).unwrap());
    for person in [&ada, &ben] {
        let took = person.hears(start, 10 * SECOND);
        println!("heard again after {took:?}");
        // The only other member was gone, so the keeper waits for a second before it commits (K8).
        assert!(took < BACK + SECOND / 2, "{took:?}");
    }
    let states: Vec<State> = ben.seen().states.iter().map(|(_, state)| state.clone()).collect();
    assert_eq!(states, [State::In], "it was connecting before");
}

#[test]
fn nobody_there_is_told_as_the_reason_of_each_attempt() {
    let relay = relay();
    let list = [relay.name()];
    let [ada, _ben] = two(&list, by(list.clone()), by(list.clone()));
    relay.stop().unwrap();
    thread::sleep(3 * SECOND);
    let seen = ada.seen();
    let whys = seen.whys();
    assert_eq!(whys.first(), Some(&Why::Transport(TransportError::Closed)));
    assert_eq!(whys.last(), Some(&Why::Transport(TransportError::Unreachable)));
    let State::Reconnecting { attempt, .. } = seen.state().unwrap() else { panic!("{:?}", seen.state()) };
    assert!((3..12).contains(attempt), "{attempt}");
}

/// The relay is reached by QUIC, which has no connection of the operating system that could tell.
#[cfg(feature = "quic")]
#[test]
fn sound_over_quic_is_back_two_seconds_after_an_outage() {
    use sottovoce::transport::quic::QuicClient;

    let relay = sottovoce_testkit::quic::relay(RelayOptions::default());
    let way = Way::to(relay.quic_address().unwrap());
    let direct = relay.quic_name().unwrap();
    let pin = direct.as_str().split('#').nth(1).unwrap();
    let behind: RelayName = format!("quic:{}#{pin}", way.name()).parse().unwrap();
    let by = |only: &RelayName| {
        let only = only.clone();
        move |name: &RelayName| (*name == only).then(|| QuicClient::new(name.clone()).unwrap())
    };
    let people = two(&[behind.clone(), direct.clone()], by(&direct), by(&behind));
    goes_down(&way, Duration::from_secs(6), people);
}
