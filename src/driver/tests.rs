//! What is checked before anybody is contacted.

use std::{
    future::{Future, ready},
    time::{Duration, SystemTime},
};

use super::*;
use crate::{
    group::{Identity, Name},
    room::{InviteOptions, JoinError, RoomOptions, UnixTime},
    transport::{RelayName, RoomHandle, Transport, block_on, tcp_udp},
};

/// A transport that must not be touched.
struct Untouchable(RelayName);

#[expect(clippy::manual_async_fn, reason = "the trait is written so")]
impl Transport for Untouchable {
    fn relays(&self) -> Vec<&RelayName> {
        vec![&self.0]
    }

    fn connect(&mut self, _: RoomHandle) -> impl Future<Output = Result<(), TransportError>> + Send {
        async { panic!("contacted a relay that is not allowed") }
    }

    fn send_control(&mut self, _: Bytes) -> impl Future<Output = Result<(), TransportError>> + Send {
        async { panic!("sent to a relay that is not allowed") }
    }

    fn send_media(&mut self, _: &[u8]) -> Result<(), TransportError> {
        panic!("sent to a relay that is not allowed")
    }

    fn receive(&mut self, _: Instant) -> impl Future<Output = Result<Inbound, TransportError>> + Send {
        async { panic!("listened to a relay that is not allowed") }
    }

    fn close(&mut self) -> impl Future<Output = ()> + Send {
        ready(())
    }

    fn now(&self) -> Instant {
        panic!("asked a relay that is not allowed")
    }
}

#[test]
fn a_relay_that_is_not_on_the_list_is_not_contacted() {
    let relay = |name| RelayName::new(name).unwrap();
    let identity = |n| Identity::from_seed([n; 32], Name::new("somebody").unwrap());
    let unix = UnixTime::from(SystemTime::now());
    let options = RoomOptions::new(Name::new("room").unwrap(), [relay("good:1"), relay("better:1")]);
    let bad = || Untouchable(relay("good:2"));
    let refused = SessionError::RelayNotAllowed(relay("good:2"));
    let host = block_on(Session::create_with(
        bad(),
        identity(1),
        options.clone(),
        Seed::from_bytes(&mut [1; 32]),
        unix,
    ));
    assert_eq!(host.unwrap_err(), refused);
    let mut room =
        Room::create(identity(1), options, Seed::from_bytes(&mut [1; 32]), Instant::now(), unix).unwrap();
    let invite = room.invite(InviteOptions::default(), Instant::now()).unwrap();
    let guest =
        block_on(Session::join_with(bad(), identity(2), invite, Seed::from_bytes(&mut [2; 32]), unix));
    assert_eq!(guest.unwrap_err(), refused);
}
#[test]
fn what_can_be_known_here_is_said_before_anybody_is_contacted() {
    // Nobody listens there, which whoever tries is told.
    let nobody = RelayName::new("127.0.0.1:9").unwrap();
    let identity = |n| Identity::from_seed([n; 32], Name::new("somebody").unwrap());
    let unix = UnixTime::from(SystemTime::now());
    let options = RoomOptions::new(Name::new("room").unwrap(), [nobody.clone()]);
    let mut room =
        Room::create(identity(1), options, Seed::from_bytes(&mut [1; 32]), Instant::now(), unix).unwrap();
    let invite = room.invite(InviteOptions::lasting(Duration::from_secs(60)), Instant::now()).unwrap();
    let late = UnixTime::from(SystemTime::now() + Duration::from_secs(120));
    let client = tcp_udp::TcpUdpClient::new(nobody);
    let guest =
        block_on(Session::join_with(client, identity(2), invite, Seed::from_bytes(&mut [2; 32]), late));
    assert_eq!(guest.unwrap_err(), SessionError::Join(JoinError::Expired));
}
