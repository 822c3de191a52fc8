//! The driver over the in-process relay, on simulated time: one thread a member, as an application
//! has it.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, SystemTime},
};

use sottovoce::{
    MemberId, SealError, Seed, SilenceReason, Stamp,
    driver::{Next, Session, SpeakError},
    group::{Identity, Name, Role},
    report::ModerationSecret,
    room::{Ending, Event, InviteOptions, ReportError, RoomOptions, UnixTime},
    transport::{
        RelayName, block_on,
        loopback::{Faults, Hub, LoopbackClient},
    },
};

const FRAME: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);

/// Two calls of ten seconds each, and a ban in between.
const TALK: Duration = Duration::from_secs(10);

fn identity(n: u8, name: &str) -> Identity {
    Identity::from_seed([n; 32], Name::new(name).unwrap())
}

/// Twenty milliseconds of Opus, code 0, with a payload that says which it is.
fn opus(n: u16) -> [u8; 60] {
    let mut packet = [0x55; 60];
    packet[0] = 0xf8;
    packet[1..3].copy_from_slice(&n.to_be_bytes());
    packet
}

#[derive(Default)]
struct Heard {
    packets: Vec<(MemberId, Vec<u8>)>,
    ending: Option<Ending>,
}

/// Listens until the room is over and `lingers` has passed.
fn listen(mut call: Session<LoopbackClient>, lingers: Duration) -> (Heard, Session<LoopbackClient>) {
    let mut heard = Heard::default();
    let mut end = None;
    loop {
        let until = end.unwrap_or(call.now() + SECOND);
        match block_on(call.next(until)).unwrap() {
            Next::Event(Event::Over(ending)) => {
                heard.ending = Some(ending);
                end = Some(call.now() + lingers);
            }
            Next::Event(_) => {}
            Next::Packet(audio) => heard.packets.push((audio.member, audio.packet.to_vec())),
            Next::Idle if end.is_some() => return (heard, call),
            Next::Idle => {}
        }
    }
}

#[test]
fn a_call_is_heard_until_the_ban_and_closed_at_the_end() {
    let relay = RelayName::new("hub").unwrap();
    let hub = Hub::simulated(relay.clone(), Faults::default(), 1);
    let unix = UnixTime::from(SystemTime::now());
    let (host_end, guest_end, banned_end) = (hub.client(), hub.client(), hub.client());
    let (to_guest, guest_link) = mpsc::channel::<String>();
    let (to_banned, banned_link) = mpsc::channel::<String>();

    let host = thread::spawn(move || {
        let options = RoomOptions::new(Name::new("call").unwrap(), [relay]);
        let mut call = block_on(Session::create_with(
            host_end,
            identity(1, "host"),
            options,
            Seed::from_bytes(&mut [1; 32]),
            unix,
        ))
        .unwrap();
        let now = call.now();
        for links in [&to_guest, &to_banned] {
            links.send(call.room_mut().invite(InviteOptions::default(), now).unwrap().to_string()).unwrap();
        }
        let banned = identity(3, "banned").id();
        while call.room().roster().len() < 3 {
            if let Next::Event(Event::Knocked { knock, .. }) =
                block_on(call.next(call.now() + SECOND)).unwrap()
            {
                let now = call.now();
                call.room_mut().admit_as(knock, Role::Listener, now).unwrap();
            }
        }
        let mut sent = 0;
        for part in 0..2 {
            let end = call.now() + TALK;
            while call.now() < end {
                call.speak(&opus(sent), Stamp::default()).unwrap();
                sent += 1;
                let next = call.now() + FRAME;
                while block_on(call.next(next)).unwrap() != Next::Idle {}
            }
            let now = call.now();
            match part {
                0 => call.room_mut().ban(banned, now).unwrap(),
                _ => call.room_mut().close().unwrap(),
            }
        }
        block_on(call.next(call.now())).unwrap();
        let silent = call.speak(&opus(0), Stamp::default());
        assert_eq!(silent, Err(SpeakError::Seal(SealError::Silent(SilenceReason::Closed))));
        block_on(call.close()).unwrap();
        sent
    });

    let member = move |end: LoopbackClient, n: u8, link: mpsc::Receiver<String>, lingers: Duration| {
        let invite = link.recv().unwrap().parse().unwrap();
        let call = block_on(Session::join_with(
            end,
            identity(n, "member"),
            invite,
            Seed::from_bytes(&mut [n; 32]),
            unix,
        ))
        .unwrap();
        let (heard, mut call) = listen(call, lingers);
        let key = ModerationSecret::from_seed([9; 32]).unwrap().key();
        let report = call.report(identity(1, "host").id(), 6 * TALK, &key);
        assert_eq!(call.not_kept(), 0);
        let refused: u64 = call.opener().stats().refusals().map(|(_, count)| count).sum();
        block_on(call.close()).unwrap();
        (heard, refused, report)
    };
    let guest = thread::spawn(move || member(guest_end, 2, guest_link, Duration::ZERO));
    let banned = thread::spawn(move || member(banned_end, 3, banned_link, 2 * TALK));

    let sent = host.join().unwrap();
    let (guest, _, report_of_guest) = guest.join().unwrap();
    let (banned, refused, report_of_banned) = banned.join().unwrap();
    assert!(sent >= 990);
    let (half, host_id) = (usize::from(sent) / 2, identity(1, "host").id());
    assert_eq!(guest.ending, Some(Ending::Closed));
    assert!(guest.packets.len() >= usize::from(sent) - 2, "{} of {sent}", guest.packets.len());
    assert!(guest.packets.iter().all(|(member, _)| *member == host_id));
    // The payload comes out as it went in, padded to the room's size.
    assert!(guest.packets.iter().all(|(_, packet)| packet.windows(57).any(|window| window == &opus(0)[3..])));
    assert_eq!(banned.ending, Some(Ending::Removed { by: Some(host_id), banned: true }));
    assert!((half - 2..=half + 2).contains(&banned.packets.len()), "{} of {half}", banned.packets.len());
    // A ban does not take from the banned what it heard in the last minute; the end of the room
    // does.
    let secret = ModerationSecret::from_seed([9; 32]).unwrap();
    let report = secret.open(&report_of_banned.unwrap(), unix, &[]).unwrap();
    assert_eq!((report.member(), report.packets().count()), (host_id, banned.packets.len()));
    assert!(matches!(report_of_guest, Err(ReportError::Excerpt(_))), "{report_of_guest:?}");
    assert!(
        refused as usize >= half - 2,
        "the banned member received {refused} packets that it could not open"
    );
}
