//! On simulated time.

use std::time::{Duration, Instant};

use sottovoce::{
    driver::policy::{Call, CallNext, Reason, State, Why},
    room::{Audience, Event, InviteOptions, MessageKind},
    transport::TransportError,
};

use crate::{
    people::{SECOND, identity, room, seed, unix},
    simulated::Shared,
};

const MS: Duration = Duration::from_millis(1);

/// Runs one call for so long, and says which states there were and when.
fn run(world: &Shared, call: &mut Call<Shared>, lasts: Duration) -> Vec<(Instant, State)> {
    let mut states = Vec::new();
    world.run(&mut [call], lasts, |_, next| {
        if let CallNext::State(state) = next {
            states.push((world.lock().now, state));
        }
    });
    states
}

fn host(world: &Shared) -> Call<Shared> {
    Call::create_with(world.clone(), identity(1), room(world.list()), seed(), unix()).unwrap()
}

/// Somebody who is on the way into the room of `host`.
fn guest(world: &Shared, host: &mut Call<Shared>) -> Call<Shared> {
    let now = host.now();
    let invite = host.room_mut().invite(InviteOptions::default(), now).unwrap();
    Call::join_with(world.clone(), identity(2), invite, seed(), unix()).unwrap()
}

/// How long after `since` it was in.
fn back(states: &[(Instant, State)], since: Instant) -> Duration {
    states.iter().find(|(_, state)| *state == State::In).expect("it is in again").0 - since
}

#[test]
fn attempts_become_rare_and_end_only_when_the_application_gives_up() {
    let world = Shared::of(&["relay"]);
    let mut call = host(&world);
    assert_eq!(call.state(), &State::Connecting);
    assert_eq!(run(&world, &mut call, SECOND).last().unwrap().1, State::In);
    assert_eq!(std::mem::take(&mut world.lock().attempts).len(), 1);
    world.relay("relay", |relay| relay.gone = true);
    let start = call.now();
    let states = run(&world, &mut call, 600 * SECOND);
    let (at, first) = &states[0];
    let closed = Why::Transport(TransportError::Closed);
    assert_eq!(first, &State::Reconnecting { since: *at, attempt: 0, why: closed });
    let attempts: Vec<Duration> = world.lock().attempts.iter().map(|(at, _)| *at - start).collect();
    let why = Why::Transport(TransportError::Unreachable);
    assert_eq!(
        states.last().unwrap().1,
        State::Reconnecting { since: *at, attempt: attempts.len() as u32, why }
    );
    assert!(attempts[0] < 300 * MS, "{:?}", attempts[0]);
    for pair in attempts.windows(2) {
        let pause = pair[1] - pair[0];
        let most = if pair[0] < 60 * SECOND { SECOND } else { 8 * SECOND };
        assert!((120 * MS..=most + 10 * MS).contains(&pause), "{pause:?} after {:?}", pair[0]);
    }
    assert!((120..220).contains(&attempts.len()), "{}", attempts.len());
    call.give_up();
    let states: Vec<State> =
        run(&world, &mut call, 60 * SECOND).into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, [State::Out { reason: Reason::GaveUp }]);
    assert_eq!(world.lock().attempts.len(), attempts.len());
}

#[test]
fn a_relay_that_says_nothing_any_more_is_noticed_in_three_seconds() {
    let world = Shared::of(&["relay"]);
    let mut call = host(&world);
    run(&world, &mut call, 10 * SECOND);
    world.relay("relay", |relay| relay.silent = true);
    let start = call.now();
    let states = run(&world, &mut call, 60 * SECOND);
    let (at, state) = &states[0];
    assert!(matches!(state, State::Reconnecting { why: Why::Silent, .. }), "{state:?}");
    assert!((2 * SECOND..3 * SECOND).contains(&(*at - start)), "{:?}", *at - start);
    // No more than four attempts are under way, and each is given fifteen seconds.
    let attempts = world.lock().attempts.len();
    assert!((13..=1 + 4 * 4).contains(&attempts), "{attempts}");
    world.relay("relay", |relay| relay.silent = false);
    let start = call.now();
    let took = back(&run(&world, &mut call, 10 * SECOND), start);
    assert!(took < 200 * MS, "{took:?}");
}

#[test]
fn who_wakes_finds_out_at_once_and_forgets_how_long_it_has_tried() {
    let world = Shared::of(&["relay"]);
    let mut call = host(&world);
    run(&world, &mut call, 10 * SECOND);
    // The clock was set, and the relay is there.
    world.sleep(3_600 * SECOND);
    assert_eq!(run(&world, &mut call, 10 * SECOND), []);
    world.relay("relay", |relay| relay.silent = true);
    world.sleep(3_600 * SECOND);
    let start = call.now();
    let states = run(&world, &mut call, 2 * SECOND);
    let (at, state) = &states[0];
    assert!(matches!(state, State::Reconnecting { why: Why::Slept, .. }), "{state:?}");
    assert!(*at - start < 2 * SECOND);
    // Asleep again, after it has tried for long: the last pause was up to eight seconds.
    world.relay("relay", |relay| (relay.silent, relay.gone) = (false, true));
    for _ in 0..4 {
        run(&world, &mut call, 100 * SECOND);
        world.sleep(3_600 * SECOND);
        world.relay("relay", |relay| relay.gone = false);
        let start = call.now();
        let took = back(&run(&world, &mut call, 10 * SECOND), start);
        assert!(took < 200 * MS, "{took:?}");
        world.relay("relay", |relay| relay.gone = true);
    }
}

#[test]
fn a_short_patience_of_the_application_does_not_cut_attempts_off() {
    let world = Shared::of(&["relay"]);
    world.relay("relay", |relay| relay.delay = 3 * SECOND);
    let mut call = host(&world);
    let start = call.now();
    let took = back(&run(&world, &mut call, 10 * SECOND), start);
    assert!((3 * SECOND..3 * SECOND + 20 * MS).contains(&took), "{took:?}");
}

#[test]
fn what_is_said_without_a_connection_arrives_when_there_is_one() {
    let world = Shared::of(&["relay"]);
    let mut host = host(&world);
    run(&world, &mut host, SECOND);
    let mut guest = guest(&world, &mut host);
    let mut texts = Vec::new();
    let mut both = |host: &mut Call<Shared>, lasts| {
        world.run(&mut [host, &mut guest], lasts, |_, next| {
            if let CallNext::Event(Event::Message(message)) = next {
                texts.push(message.text().unwrap().to_owned());
            }
        });
        texts.clone()
    };
    let say = |host: &mut Call<Shared>, text: &str| {
        let now = host.now();
        host.room_mut().send_message(Audience::All, MessageKind::TEXT, text.as_bytes(), now).unwrap();
    };
    both(&mut host, 10 * SECOND);
    // Nothing comes through any more, which nobody knows yet.
    world.relay("relay", |relay| relay.silent = true);
    say(&mut host, "lost with the connection");
    both(&mut host, 4 * SECOND);
    say(&mut host, "kept");
    assert_eq!(both(&mut host, 4 * SECOND), [""; 0]);
    assert!(matches!(host.state(), State::Reconnecting { .. }));
    world.relay("relay", |relay| relay.silent = false);
    assert_eq!(both(&mut host, 5 * SECOND), ["lost with the connection", "kept"]);
    say(&mut host, "as always");
    assert_eq!(both(&mut host, SECOND).last().unwrap(), "as always");
}

#[test]
fn members_at_different_relays_find_each_other() {
    let world = Shared::of(&["a", "b"]);
    let mut host = host(&world);
    world.relay("a", |relay| relay.gone = true);
    run(&world, &mut host, SECOND);
    assert_eq!(host.relay().unwrap().as_str(), "b");
    world.relay("a", |relay| relay.gone = false);
    // The host is alone in its room, and expects nobody.
    run(&world, &mut host, 60 * SECOND);
    assert_eq!(host.relay().unwrap().as_str(), "b");
    let mut guest = guest(&world, &mut host);
    world.run(&mut [&mut host, &mut guest], SECOND, |_, _| {});
    assert_eq!(guest.relay().unwrap().as_str(), "a");
    let mut took = None;
    let start = host.now();
    world.run(&mut [&mut host, &mut guest], 30 * SECOND, |number, next| {
        if number == 1 && next == CallNext::State(State::In) {
            took = Some(world.lock().now - start);
        }
    });
    assert!(took.is_some(), "{guest:?} at {:?}", guest.relay());
    assert_eq!(guest.relay().unwrap().as_str(), "b");
    // Who hears others stays, and nobody asks the first relay without need.
    world.lock().attempts.clear();
    world.run(&mut [&mut host, &mut guest], 120 * SECOND, |_, _| {});
    assert_eq!(world.lock().attempts.len(), 0);
}

#[test]
fn who_hears_nobody_looks_around_and_stays_connected() {
    let world = Shared::of(&["a", "b"]);
    let mut host = host(&world);
    run(&world, &mut host, SECOND);
    let mut guest = guest(&world, &mut host);
    world.run(&mut [&mut host, &mut guest], 10 * SECOND, |_, _| {});
    assert_eq!(host.room().roster().len(), 2);
    drop(guest);
    world.lock().attempts.clear();
    world.relay("b", |relay| relay.gone = true);
    let states = run(&world, &mut host, 60 * SECOND);
    assert_eq!(states, []);
    let attempts = world.lock().attempts.len();
    assert!((1..=3).contains(&attempts), "{attempts}");
    assert!(world.lock().attempts.iter().all(|(_, relay)| relay.as_str() == "b"));
}
