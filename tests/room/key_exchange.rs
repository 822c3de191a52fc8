//! Rooms whose keys are agreed on with ML-KEM and X25519 together, beside rooms with X25519 alone.

use std::time::Duration;

use sottovoce::{
    group::{KeyExchange, Role},
    room::{ControlError, Ending, Event, Invite, RoomOptions},
};
use sottovoce_testkit::net::{Net, Peer, options};

const SECOND: Duration = Duration::from_secs(1);

fn options_with(key_exchange: KeyExchange) -> RoomOptions {
    let mut options = options("stored");
    options.key_exchange = key_exchange;
    options
}

/// A room where all the others hear one of four speakers.
fn heard_by_two(net: &mut Net, key_exchange: KeyExchange) -> [Peer; 4] {
    let host = net.create("host", options_with(key_exchange));
    let invite = net.invite(host);
    assert_eq!(invite.parse::<Invite>().unwrap().key_exchange(), key_exchange);
    let guests = ["speaker", "stays", "goes"].map(|name| net.knock(name, &invite));
    net.run_for(SECOND);
    assert_eq!(net.admit_all(host, Some(Role::Speaker)), 3);
    net.run_for(SECOND);
    let peers = [host, guests[0], guests[1], guests[2]];
    for peer in peers {
        assert_eq!(net.room(peer).key_exchange(), Some(key_exchange));
        assert_eq!(net.room(peer).roster().len(), 4);
    }
    net.check_agreement();
    net.speak(guests[0], true);
    let began = net.now;
    net.run_for(2 * SECOND);
    for listener in [host, guests[1], guests[2]] {
        assert!(net.heard_since(listener, guests[0], began) > 40);
    }
    peers
}

#[test]
fn a_hybrid_room_lives_like_any_other() {
    let mut net = Net::new(60);
    let [host, speaker, stays, goes] = heard_by_two(&mut net, KeyExchange::MlKem768X25519);

    let goes_id = net.id(goes);
    net.with(host, |room, now| room.ban(goes_id, now)).unwrap();
    net.run_for(SECOND);
    let banned = net.now;
    assert!(matches!(
        net.device(goes).events.last(),
        Some(Event::Over(Ending::Removed { banned: true, .. }))
    ));
    net.run_for(2 * SECOND);
    assert_eq!(net.heard_since(goes, speaker, banned), 0);
    assert!(net.heard_since(stays, speaker, banned) > 40);

    net.with(stays, |room, _| room.leave()).unwrap();
    net.run_for(SECOND);
    assert_eq!(net.room(host).roster().len(), 2);
    let left = net.now;
    net.run_for(2 * SECOND);
    assert!(net.heard_since(host, speaker, left) > 40);
    for peer in [host, speaker] {
        // A leaving member tells the keeper twice, and is gone after the first time.
        let errors = &net.device(peer).control_errors;
        assert!(errors.iter().all(|error| *error == ControlError::NotAMember), "{errors:?}");
    }
}

#[test]
fn a_hybrid_knock_is_larger_and_fits_its_envelope() {
    for (key_exchange, size) in [(KeyExchange::X25519, 1024), (KeyExchange::MlKem768X25519, 8192)] {
        let mut net = Net::new(61);
        let host = net.create("host", options_with(key_exchange));
        let invite = net.invite(host);
        let guest = net.knock("guest", &invite);
        net.run_for(SECOND / 2);
        // A Call asks for a door, and the knock follows when one is shown.
        let sent: Vec<_> = net.sent_by(guest).iter().map(|message| message.len()).collect();
        assert_eq!(sent, [1024, size], "{key_exchange:?}");
    }
}
