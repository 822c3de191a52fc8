//! Parts of members at a real MoQ relay (SPEC section 8.8): who is announced, who is subscribed to.

use std::{
    thread,
    time::{Duration, Instant},
};

use sottovoce::transport::{Inbound, Part, RoomHandle, Transport, TransportError, block_on, moq::MoqClient};
use sottovoce_testkit::moq::{Issuer, Kind, Moq, Setup};

const ROOM: RoomHandle = RoomHandle::from_bytes([2; 16]);
const PATIENCE: Duration = Duration::from_secs(20);
const MOMENT: Duration = Duration::from_millis(300);

fn client(relay: &Moq, part: Part) -> MoqClient {
    let mut client = MoqClient::new(relay.name()).unwrap();
    client.set_part(part);
    client
}

fn member(relay: &Moq, part: Part) -> MoqClient {
    let mut member = client(relay, part);
    block_on(member.connect(ROOM)).unwrap();
    member
}

fn all(member: &mut MoqClient) -> Vec<Inbound> {
    std::iter::from_fn(|| {
        let next = block_on(member.receive(Instant::now() + MOMENT));
        next.ok().filter(|next| *next != Inbound::Idle)
    })
    .collect()
}

/// Says it on both lanes until each of them has heard both; says what of it they have heard.
fn hear(speaker: &mut MoqClient, listeners: &mut [&mut MoqClient], what: &[u8]) {
    block_on(speaker.send_control(what.to_vec().into())).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut missing = vec![(true, true); listeners.len()];
    while missing.contains(&(true, true)) || missing.iter().any(|(said, heard)| *said || *heard) {
        assert!(Instant::now() < deadline, "{missing:?} of {what:02x?}");
        speaker.send_media(what).unwrap();
        thread::sleep(Duration::from_millis(20));
        for (listener, (said, heard)) in listeners.iter_mut().zip(&mut missing) {
            match block_on(listener.receive(Instant::now())).unwrap() {
                Inbound::Control(message) => *said &= message != what,
                Inbound::Media(packet) => *heard &= packet != what,
                Inbound::Idle => {}
            }
        }
    }
}

/// Subscriptions of members that a relay serves at this moment.
fn subscriptions(relay: &Moq) -> u64 {
    let count = |what| relay.counted(&format!("moq_relay_subscriptions_{what}_total"), "publisher").unwrap();
    count("opened") - count("closed")
}

#[test]
fn who_hears_announces_nothing_and_who_says_subscribes_to_nothing() {
    let Some(relay) = Moq::start_with(Kind::Lite, &Setup { metrics: true, ..Setup::default() }) else {
        return;
    };
    let mut ears: Vec<_> = (0..6).map(|_| member(&relay, Part::Hears)).collect();
    let (mut both, mut other) = (member(&relay, Part::Both), member(&relay, Part::Both));
    let mut says = member(&relay, Part::Says);
    // What who hears sends goes nowhere, and is no error.
    for ear in &mut ears {
        ear.send_media(b"\xb9noise").unwrap();
        block_on(ear.send_control("noise".into())).unwrap();
    }
    // Nobody has said anything, so nobody is subscribed to.
    thread::sleep(MOMENT);
    assert_eq!(subscriptions(&relay), 0);
    let mut listeners: Vec<&mut MoqClient> = ears.iter_mut().chain([&mut other]).collect();
    hear(&mut both, &mut listeners, b"\xb9both");
    // Two tracks, for six that hear and the other one.
    assert_eq!(subscriptions(&relay), 2 * 7);
    hear(&mut says, &mut listeners, b"\xb9says");
    let mut two: Vec<&mut MoqClient> = vec![&mut both];
    hear(&mut says, &mut two, b"\xb9says");
    assert_eq!(subscriptions(&relay), 2 * 7 + 2 * 8);
    assert_eq!(all(&mut says), []);
    for member in ears.iter_mut().chain([&mut both, &mut other]) {
        let noise = |what: &Inbound| matches!(what, Inbound::Control(what) | Inbound::Media(what) if what.ends_with(b"noise"));
        assert!(!all(member).iter().any(noise));
    }
    // Who only hears has nothing that would have to arrive.
    let start = Instant::now();
    block_on(ears[0].close());
    assert!(start.elapsed() < Duration::from_millis(250), "{:?}", start.elapsed());
    assert_eq!(ears[0].send_media(b"\xb9"), Err(TransportError::Closed));
    // It may come back in another part.
    ears[0].set_part(Part::Both);
    block_on(ears[0].connect(ROOM)).unwrap();
    let mut back = ears.remove(0);
    hear(&mut back, &mut [&mut both], b"\xb9back");
}

#[test]
fn a_token_says_what_part_its_holder_has() {
    let issuer = Issuer::start(ROOM);
    let setup = Setup { auth: Some(issuer.url()), ..Setup::default() };
    let Some(relay) = Moq::start_with(Kind::Lite, &setup) else { return };
    let enter = |token: &str, part| {
        let mut client = client(&relay, part).with_token(token).unwrap();
        block_on(client.connect(ROOM)).map(|()| client)
    };
    // Who asks for nothing but what its token does not give is turned away.
    for (token, part) in [("hears", Part::Says), ("says", Part::Hears), ("bad", Part::Hears)] {
        assert_eq!(enter(token, part).err(), Some(TransportError::Refused), "{token} {part:?}");
    }
    let [mut stage, mut ear, mut liar] =
        [("good", Part::Both), ("hears", Part::Hears), ("hears", Part::Both)].map(|(token, part)| {
            enter(token, part).unwrap_or_else(|error| panic!("{token} {part:?}: {error}"))
        });
    hear(&mut stage, &mut [&mut ear], b"\xb9stage");
    // One that does not tell its part hears, and cannot be heard.
    let until = Instant::now() + 2 * MOMENT;
    while Instant::now() < until {
        let _ = liar.send_media(b"\xb9noise");
        let _ = block_on(liar.send_control("noise".into()));
        thread::sleep(Duration::from_millis(20));
    }
    hear(&mut stage, &mut [&mut ear], b"\xb9still");
    for member in [&mut stage, &mut ear] {
        let noise = |what: &Inbound| *what != Inbound::Media((&b"\xb9still"[..]).into());
        assert!(!all(member).iter().any(noise));
    }
    // And one with a token to say hears nothing, whatever it asks for.
    let Ok(mut spy) = enter("says", Part::Both) else { return };
    hear(&mut stage, &mut [&mut ear], b"\xb9secret");
    assert_eq!(all(&mut spy), []);
}
