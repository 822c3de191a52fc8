//! A stage room by the reference relay over QUIC, with parts (`spec/stage.md`, H17 and H18).

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use sottovoce::{
    MemberId, Stamp,
    driver::{
        Next, Session,
        hall::{Listening, ListeningNext},
    },
    group::{Identity, Name, Role},
    relay::{Limits, RelayOptions, token::Issuer},
    room::{Event, InviteOptions, RoomOptions},
    stage::{ListenerEvent, StageEvent},
    transport::{
        Inbound, Part, RelayName, RoomHandle, Transport, TransportError, block_on, quic::QuicClient,
    },
};
use sottovoce_testkit::quic as support;

const TICK: Duration = Duration::from_millis(20);
const OPUS: [u8; 3] = [0xf8, 0xff, 0xfe];

/// When somebody opened a packet, and whose that was.
type Heard = Arc<Mutex<Vec<(Instant, MemberId)>>>;

fn connector() -> impl FnMut(&RelayName) -> Option<QuicClient> + Send + 'static {
    |name: &RelayName| QuicClient::new(name.clone()).ok()
}

fn identity(name: &str) -> Identity {
    Identity::generate(Name::new(name).unwrap()).unwrap()
}

/// Speaks until `done`, for at most so many seconds.
fn run(
    session: &mut Session<QuicClient>,
    seconds: u64,
    mut done: impl FnMut(&mut Session<QuicClient>, Option<Event>) -> bool,
) -> bool {
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        let _ = session.speak(&OPUS, Stamp::default());
        let until = session.now() + TICK;
        loop {
            let (event, idle) = match block_on(session.next(until)).unwrap() {
                Next::Event(event) => (Some(event), false),
                next => (None, next == Next::Idle),
            };
            if done(session, event) {
                return true;
            }
            if idle {
                break;
            }
        }
    }
    false
}

#[test]
fn a_stage_by_quic_is_heard_lets_up_and_bans() {
    let limits = Limits { rooms: 256, ..Limits::default() };
    let relay = support::relay(RelayOptions { limits, ..RelayOptions::default() });
    // A second one of the list carries nothing: nobody goes there while the first is there.
    let other = support::relay(RelayOptions::default());
    let names = [relay.quic_name().unwrap(), other.quic_name().unwrap()];
    let options = RoomOptions::new(Name::new("Evening hall").unwrap(), names.clone());
    let client = || QuicClient::new(names[0].clone()).unwrap();
    let host = block_on(Session::create(client(), identity("Ada"), options)).unwrap();
    let mut host = host.with_hall(connector()).unwrap();
    let ada = host.room().id();
    let mut audience = InviteOptions::default();
    audience.role = Some(Role::Listener);
    let link = host.invite(audience).unwrap().to_string();

    let (stop, hand) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let heard: [Heard; 3] = Default::default();
    let who = ["Bob", "Cleo", "Dora"].map(identity);
    let ids = who.each_ref().map(Identity::id);
    let threads: Vec<_> = who
        .into_iter()
        .zip(heard.iter().map(Arc::clone))
        .enumerate()
        .map(|(number, (who, heard))| {
            let (link, stop, hand) = (link.clone(), Arc::clone(&stop), Arc::clone(&hand));
            let (first, up) = (names[0].clone(), client());
            thread::spawn(move || {
                let mut audience = Listening::join(connector(), &who, link.parse().unwrap()).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    if number == 0 && hand.swap(false, Ordering::Relaxed) {
                        audience.set_hand(true).unwrap();
                    }
                    match block_on(audience.next(audience.now() + TICK)) {
                        ListeningNext::Packet(packet) => {
                            heard.lock().unwrap().push((Instant::now(), packet.member));
                        }
                        ListeningNext::Event(ListenerEvent::Up(invite)) => {
                            block_on(audience.leave());
                            let session = block_on(Session::join(up, who, *invite)).unwrap();
                            let mut session = session.with_hall(connector()).unwrap();
                            run(&mut session, 60, |_, _| stop.load(Ordering::Relaxed));
                            return;
                        }
                        _ => {}
                    }
                    assert_eq!(audience.relay(), Some(&first));
                }
                block_on(audience.leave());
            })
        })
        .collect();
    let hears = |place: usize, whom: MemberId, since: Instant| {
        heard[place].lock().unwrap().iter().any(|(at, who)| *at > since && *who == whom)
    };
    let began = Instant::now();
    assert!(run(&mut host, 20, |_, _| (0..3).all(|place| hears(place, ada, began))), "nobody hears");

    // What listeners send on the hall lane would be dropped, and they send nothing.
    assert_eq!(relay.counts().no_part, 0);
    hand.store(true, Ordering::Relaxed);
    let asked = |host: &mut Session<_>, event| {
        let up =
            matches!(event, Some(Event::Hall(StageEvent::Hand { member, up: true })) if member == ids[0]);
        up && host.let_up(ids[0]).is_ok()
    };
    assert!(run(&mut host, 10, asked), "no hand");
    assert!(run(&mut host, 15, |_, _| hears(1, ids[0], began)), "who came up is not heard");

    host.room_mut().ban(ids[2], Instant::now()).unwrap();
    let late = Instant::now() + Duration::from_millis(1_500);
    run(&mut host, 3, |_, _| false);
    assert!(hears(1, ada, late) && !hears(2, ada, late));
    assert_eq!(host.hall_dropped().1, 0, "a message to the audience was lost");
    stop.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_token_to_hear_by_quic_lets_nobody_send_and_one_to_say_lets_nobody_hear() {
    let issuer = Issuer::from_seed([7; 32]);
    let relay = support::relay(RelayOptions { issuer: Some(issuer.key()), ..RelayOptions::default() });
    let hall = RoomHandle::from_bytes([5; 16]);
    let client = || QuicClient::new(relay.quic_name().unwrap()).unwrap();
    let member = |part, serial| {
        let mut client = client().with_token(issuer.mint_for(hall, part, [serial; 16], u64::MAX));
        // What it says of itself does not count.
        client.set_part(Part::Both);
        block_on(client.connect(hall)).unwrap();
        client
    };
    let [mut stage, mut ear, mut says] =
        [member(Part::Both, 1), member(Part::Hears, 2), member(Part::Says, 3)];
    ear.send_media(b"\xb9noise").unwrap();
    block_on(ear.send_control("noise".into())).unwrap();
    block_on(says.send_control("knock".into())).unwrap();
    let next = |member: &mut QuicClient, ms| {
        let until = member.now() + Duration::from_millis(ms);
        block_on(member.receive(until))
    };
    for hears in [&mut stage, &mut ear] {
        assert_eq!(next(hears, 5_000), Ok(Inbound::Control("knock".into())));
    }
    stage.send_media(b"\xb9sealed").unwrap();
    assert_eq!(next(&mut ear, 5_000), Ok(Inbound::Media((&b"\xb9sealed"[..]).into())));
    for silent in [&mut stage, &mut says] {
        assert_eq!(next(silent, 200), Ok(Inbound::Idle));
    }
    assert_eq!(block_on(client().connect(hall)), Err(TransportError::Refused));
}
