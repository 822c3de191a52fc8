//! A session whose media plane is on an audio thread: keys, early packets and reports cross over.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant, SystemTime},
};

use sottovoce::{
    MemberId, SealError, Seed, SilenceReason, Stamp,
    driver::{Apart, MediaHandle, Session, SpeakError},
    group::{Identity, Name, Role},
    report::{ModerationSecret, Retention},
    room::{Admission, Ending, Event, InviteOptions, ReportError, RoomOptions, UnixTime},
    transport::{
        TransportError, block_on,
        loopback::{Hub, LoopbackClient},
    },
};

const PATIENCE: Duration = Duration::from_secs(20);
const OPUS: [u8; 3] = [0xf8, 0xff, 0xfe];

struct Member {
    session: Session<LoopbackClient, Apart>,
    media: MediaHandle,
    heard: Vec<MemberId>,
    events: Vec<Event>,
}

impl Member {
    fn of(session: Session<LoopbackClient>) -> Self {
        let (session, media) = session.split();
        Self { session, media, heard: Vec::new(), events: Vec::new() }
    }

    fn id(&self) -> MemberId {
        self.session.room().id()
    }

    /// What the control task does.
    fn control(&mut self) {
        let now = self.session.now();
        while let Some(event) = block_on(self.session.next(now)).unwrap() {
            self.events.push(event);
        }
    }

    /// What the audio thread does.
    fn audio(&mut self) -> Result<(), SpeakError> {
        let heard = &mut self.heard;
        self.media.hear(Instant::now(), |packet| heard.push(packet.member));
        self.media.speak(&OPUS, Stamp { captured: SystemTime::now().into(), ..Stamp::default() })
    }
}

/// Turns both members until `done`.
fn until(members: [&mut Member; 2], what: &str, mut done: impl FnMut(&Member, &Member) -> bool) {
    let [host, guest] = members;
    let start = Instant::now();
    while !done(host, guest) {
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        for member in [&mut *host, &mut *guest] {
            member.control();
            // Silent at times, for a reason that the story knows.
            let _ = member.audio();
            member.control();
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn identity(n: u8, name: &str) -> Identity {
    Identity::from_seed([n; 32], Name::new(name).unwrap())
}

fn two() -> [Member; 2] {
    let hub = Hub::new("hub".parse().unwrap());
    let unix = UnixTime::from(SystemTime::now());
    let mut options = RoomOptions::new(Name::new("call").unwrap(), ["hub".parse().unwrap()]);
    (options.default_role, options.admission) = (Role::Speaker, Admission::Open);
    let seed = |n| Seed::from_bytes(&mut [n; 32]);
    let host = Session::create_with(hub.client(), identity(1, "host"), options, seed(1), unix);
    let mut host = Member::of(block_on(host).unwrap());
    let now = host.session.now();
    let link = host.session.room_mut().invite(InviteOptions::default(), now).unwrap();
    let guest =
        block_on(Session::join_with(hub.client(), identity(2, "guest"), link, seed(2), unix)).unwrap();
    // Before any key has come, so that all of them cross over.
    let mut guest = Member::of(guest);
    assert_eq!(guest.audio(), Err(SpeakError::Seal(SealError::Silent(SilenceReason::NotYet))));
    until([&mut host, &mut guest], "both hear each other", |host, guest| {
        host.heard.contains(&guest.id()) && guest.heard.contains(&host.id())
    });
    [host, guest]
}

#[test]
fn two_who_have_their_audio_apart_hear_each_other_through_changes_of_keys() {
    let [mut host, mut guest] = two();
    let (host_id, guest_id) = (host.id(), guest.id());
    let now = host.session.now();
    host.session.room_mut().set_role(guest_id, Role::Listener, now).unwrap();
    until([&mut host, &mut guest], "the guest is a listener", |_, guest| {
        guest
            .session
            .room()
            .roster()
            .iter()
            .any(|member| member.id == guest_id && member.role == Role::Listener)
    });
    guest.control();
    assert!(matches!(guest.audio(), Err(SpeakError::Seal(SealError::Silent(_)))));
    let now = host.session.now();
    host.session.room_mut().set_role(guest_id, Role::Speaker, now).unwrap();
    host.heard.clear();
    guest.heard.clear();
    until([&mut host, &mut guest], "both are heard again", |host, guest| {
        host.heard.len() > 20 && guest.heard.len() > 20
    });
    assert!(host.heard.iter().all(|member| *member == guest_id));
    assert!(guest.heard.iter().all(|member| *member == host_id));
    assert_eq!((guest.session.overrun(), guest.media.not_kept()), (0, 0));
    let now = host.session.now();
    host.session.room_mut().ban(guest_id, now).unwrap();
    until([&mut host, &mut guest], "the guest is out", |_, guest| {
        guest.events.iter().any(|event| matches!(event, Event::Over(Ending::Removed { .. })))
    });
    guest.control();
    assert!(matches!(guest.audio(), Err(SpeakError::Seal(SealError::Silent(_)))));
}

#[test]
fn packets_sealed_before_a_ban_are_not_sent_after_it() {
    let [mut host, guest] = two();
    let stamp = || Stamp { captured: SystemTime::now().into(), ..Stamp::default() };
    host.media.speak(&OPUS, stamp()).unwrap();
    // The packet waits for the session, which has another key by the time it comes to take it.
    let now = host.session.now();
    host.session.room_mut().ban(guest.id(), now).unwrap();
    while host.session.outdated() == 0 {
        let until = host.session.now() + Duration::from_millis(20);
        let _ = block_on(host.session.next(until)).unwrap();
        assert!(now.elapsed() < PATIENCE, "the packet was sent");
    }
    assert_eq!(host.session.outdated(), 1);
}

#[test]
fn an_audio_thread_that_takes_no_keys_is_given_up_and_told() {
    let [mut host, guest] = two();
    let mut media = guest.media;
    let mut session = guest.session;
    let key = ModerationSecret::from_seed([9; 32]).unwrap().key();
    // Each of these is an order that the thread does not take.
    for _ in 0..5_000 {
        session.keep(Retention::NOTHING);
    }
    let stamp = Stamp { captured: SystemTime::now().into(), ..Stamp::default() };
    let spoken = media.speak(&OPUS, stamp);
    assert_eq!(spoken, Err(SpeakError::Transport(TransportError::Closed)));
    session.keep(Retention::default());
    let until = session.now() + Duration::from_millis(50);
    while block_on(session.next(until)).unwrap().is_some() {}
    let report = block_on(session.report(host.id(), Duration::from_secs(60), &key));
    assert_eq!(report, Err(ReportError::Empty));
    host.control();
}

#[test]
fn a_report_is_made_of_what_the_audio_thread_kept() {
    let [mut host, mut guest] = two();
    let host_id = host.id();
    until([&mut host, &mut guest], "something to report", |_, guest| guest.heard.len() > 20);
    let secret = ModerationSecret::from_seed([9; 32]).unwrap();
    let (key, minute) = (secret.key(), Duration::from_secs(60));
    let Member { mut session, mut media, .. } = guest;
    // One that is given up leaves nothing behind for the next one to find.
    let nobody = identity(3, "nobody").id();
    let mut given_up = Box::pin(session.report(nobody, minute, &key));
    let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
    assert!(given_up.as_mut().poll(context).is_pending());
    drop(given_up);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let audio = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                media.hear(Instant::now(), |_| {});
                thread::sleep(Duration::from_millis(1));
            }
        });
        let report = block_on(session.report(host_id, minute, &key)).unwrap();
        assert!(report.len() > 1_000);
        assert!(block_on(session.report(nobody, minute, &key)).is_err());
        assert_eq!(block_on(session.report(host_id, minute, &key)).unwrap().len(), report.len());
        // Nothing is kept any more, so nothing is shown.
        session.keep(Retention::NOTHING);
        assert_eq!(block_on(session.report(host_id, minute, &key)), Err(ReportError::Empty));
        over.store(true, Ordering::Relaxed);
        audio.join().unwrap();
    });
}

#[test]
fn a_session_goes_on_without_its_audio_thread_and_the_audio_thread_without_its_session() {
    let [mut host, mut guest] = two();
    let now = host.session.now();
    host.session.room_mut().set_role(guest.id(), Role::Listener, now).unwrap();
    drop(host.session);
    let spoken = host.media.speak(&OPUS, Stamp { captured: SystemTime::now().into(), ..Stamp::default() });
    assert!(matches!(spoken, Err(SpeakError::Transport(_))), "{spoken:?}");
    host.media.hear(Instant::now(), |_| {});
    drop(guest.media);
    let until = guest.session.now() + Duration::from_millis(300);
    while block_on(guest.session.next(until)).unwrap().is_some() {}
    let key = ModerationSecret::from_seed([9; 32]).unwrap().key();
    let report = block_on(guest.session.report(host.heard[0], Duration::from_secs(60), &key));
    assert_eq!(report, Err(ReportError::Empty));
    guest.heard.clear();
}
