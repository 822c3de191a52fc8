//! Devices that sleep, and clocks that are wrong (SPEC section 7, rules T3 and T4).
//!
//! Each device has an `Instant` of its own, which stands still while it sleeps, and a clock that
//! may be wrong.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use sottovoce::{
    MemberId, Opener, Rekey, SealError, Sealer, Seed, SilenceReason, Stamp,
    driver::{Next, Session, SpeakError},
    group::{Identity, Name, Role},
    media::{HEADROOM, TAILROOM},
    room::{
        Admission, Deaf, Ending, Event, InviteOptions, RefuseReason, Room, RoomOptions, Status, Traffic,
        Unheard, UnixTime,
    },
    transport::{
        Inbound, RelayName, RoomHandle, Transport, TransportError, block_on,
        loopback::{Hub, LoopbackClient},
    },
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// The hour is real, since MLS looks at it.
fn noon() -> u64 {
    UnixTime::from(SystemTime::now()).as_secs() / 3_600 * 3_600
}

struct Device {
    room: Room,
    sealer: Sealer,
    opener: Opener,
    events: Vec<Event>,
    /// How long it slept: its `Instant` is so far behind.
    slept: Duration,
    asleep: bool,
    /// What came while it slept.
    waiting: Vec<Bytes>,
}

struct World {
    began: Instant,
    now: Instant,
    devices: Vec<Device>,
}

impl World {
    fn new(names: usize, clocks: &[i64]) -> Self {
        let now = Instant::now();
        let mut world = Self { began: now, now, devices: Vec::new() };
        let mut options = RoomOptions::new(Name::new("room").unwrap(), ["relay:1".parse().unwrap()]);
        options.admission = Admission::Open;
        options.default_role = Role::Speaker;
        let unix = world.unix(clocks.first().copied().unwrap_or(0));
        world.add(Room::create(identity(0), options, seed(0), now, unix).unwrap());
        let invite = world.devices[0].room.invite(InviteOptions::default(), now).unwrap().to_string();
        for n in 1..names {
            let unix = world.unix(clocks.get(n).copied().unwrap_or(0));
            let now = world.now;
            world.add(Room::join(identity(n), invite.parse().unwrap(), seed(n), now, unix).unwrap());
            world.run(3 * SECOND);
        }
        world
    }

    fn add(&mut self, room: Room) {
        self.devices.push(Device {
            room,
            sealer: Sealer::new(),
            opener: Opener::new(),
            events: Vec::new(),
            slept: Duration::ZERO,
            asleep: false,
            waiting: Vec::new(),
        });
    }

    /// The time of day by a clock that is `ahead` seconds ahead.
    fn unix(&self, ahead: i64) -> UnixTime {
        UnixTime::from_secs((noon() + (self.now - self.began).as_secs()).saturating_add_signed(ahead))
    }

    fn id(&self, n: usize) -> MemberId {
        self.devices[n].room.id()
    }

    /// Takes what a room has to say; what is to be sent is returned.
    fn drain(&mut self, n: usize) -> Vec<Bytes> {
        let device = &mut self.devices[n];
        while let Some(rekey) = device.room.poll_rekey() {
            match rekey {
                Rekey::Seal(rekey) => drop(device.sealer.install(rekey)),
                Rekey::Open(rekey) => drop(device.opener.install(rekey)),
            }
        }
        device.events.extend(std::iter::from_fn(|| device.room.poll_event()));
        std::iter::from_fn(|| device.room.poll_transmit()).collect()
    }

    fn deliver(&mut self, from: usize) -> bool {
        let messages = self.drain(from);
        for to in (0..self.devices.len()).filter(|to| *to != from) {
            let device = &mut self.devices[to];
            let now = self.now - device.slept;
            for message in &messages {
                if device.asleep {
                    device.waiting.push(message.clone());
                } else {
                    let _ = device.room.handle_control(message, now);
                }
            }
        }
        !messages.is_empty()
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let awake: Vec<usize> = (0..self.devices.len()).filter(|n| !self.devices[*n].asleep).collect();
            // Everybody speaks, whoever was first.
            if awake.iter().filter(|n| self.deliver(**n)).count() > 0 {
                continue;
            }
            let due = |n: &usize| {
                let device = &self.devices[*n];
                device.room.poll_timeout().map(|at| at + device.slept)
            };
            let Some(at) = awake.iter().filter_map(due).min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            for n in awake {
                let device = &mut self.devices[n];
                device.room.handle_timeout(self.now - device.slept);
            }
        }
        self.now = end;
    }

    fn sleep(&mut self, n: usize, time: Duration) {
        self.devices[n].asleep = true;
        self.run(time);
        self.devices[n].slept += time;
        self.devices[n].asleep = false;
    }

    /// What the driver does first when the device is awake again.
    fn compare_clocks(&mut self, n: usize) {
        let (unix, now) = (self.unix(0), self.now - self.devices[n].slept);
        self.devices[n].room.set_clock(unix, now);
    }

    fn take_waiting(&mut self, n: usize) {
        let device = &mut self.devices[n];
        let now = self.now - device.slept;
        for message in std::mem::take(&mut device.waiting) {
            let _ = device.room.handle_control(&message, now);
        }
    }

    fn seal(&mut self, n: usize) -> Result<Vec<u8>, SealError> {
        let mut buffer = [0x78; HEADROOM + 240 + TAILROOM];
        self.devices[n].sealer.seal(&mut buffer, 20, Stamp::default()).map(|packet| packet.to_vec())
    }

    fn opens(&mut self, n: usize, packet: &[u8]) -> bool {
        self.devices[n].opener.open(&mut packet.to_vec()).is_ok()
    }

    fn saw(&self, n: usize, what: impl Fn(&Event) -> bool) -> bool {
        self.devices[n].events.iter().any(what)
    }
}

fn identity(n: usize) -> Identity {
    Identity::from_seed([n as u8 + 1; 32], Name::new(&format!("member {n}")).unwrap())
}

fn seed(n: usize) -> Seed {
    Seed::from_bytes(&mut [n as u8 + 101; 32])
}

#[test]
fn a_device_that_slept_through_a_ban_sends_nothing_to_the_banned() {
    for time in [20 * SECOND, 4 * MINUTE, 330 * SECOND, 8 * 60 * MINUTE] {
        let mut world = World::new(4, &[]);
        let (host, sleeper, outlaw, listener) = (0, 1, 2, 3);
        let packet = world.seal(sleeper).unwrap();
        assert!(world.opens(outlaw, &packet));
        world.devices[sleeper].asleep = true;
        world.run(SECOND);
        let (id, now) = (world.id(outlaw), world.now);
        world.devices[host].room.ban(id, now).unwrap();
        world.sleep(sleeper, time);
        world.devices[sleeper].slept += SECOND;
        // By its own `Instant` not a moment has passed, and the outlaw kept its keys.
        let woke = world.now;
        assert!(world.seal(sleeper).is_ok(), "without a look at the clock it would send");
        world.compare_clocks(sleeper);
        let slept = |event: &Event| matches!(event, Event::Slept { lasted } if *lasted >= time);
        world.drain(sleeper);
        assert!(world.saw(sleeper, slept));
        assert_eq!(world.seal(sleeper).unwrap_err(), SealError::Silent(SilenceReason::NoProofOfLife));
        world.take_waiting(sleeper);
        while world.devices[sleeper].room.status() != Status::Present || world.seal(sleeper).is_err() {
            assert!(world.now < woke + 20 * SECOND, "asleep for {time:?}: it does not come back");
            world.run(SECOND / 10);
        }
        let packet = world.seal(sleeper).unwrap();
        assert!(!world.opens(outlaw, &packet));
        world.run(SECOND);
        let packet = world.seal(sleeper).unwrap();
        assert!(world.opens(listener, &packet), "asleep for {time:?}: it is not heard");
    }
}

#[test]
fn a_keeper_that_slept_is_back_in_its_room_within_twenty_seconds() {
    for time in [MINUTE, 330 * SECOND] {
        let mut world = World::new(3, &[]);
        world.sleep(0, time);
        assert_eq!(world.devices[1].room.keeper(), world.devices[2].room.keeper());
        world.compare_clocks(0);
        world.take_waiting(0);
        world.run(20 * SECOND);
        let codes: Vec<_> =
            world.devices.iter().map(|device| device.room.code().unwrap().to_string()).collect();
        assert!(codes.iter().all(|code| *code == codes[0]), "asleep for {time:?}: {codes:?}");
        for from in 0..3 {
            let packet = world.seal(from).unwrap();
            assert!(
                (0..3).filter(|to| *to != from).all(|to| world.opens(to, &packet)),
                "{from} is not heard"
            );
        }
    }
}

#[test]
fn a_member_whose_clock_is_six_minutes_off_is_told_so() {
    // The two others tell the member with the wrong clock so, be it the host or a guest; of two
    // members the host counts as right. A clock that is set back while its member is in the room
    // shows nowhere else: no member states an earlier time after a later one.
    for (wrong, ahead, members, jumps) in
        [(0, 360, 3, true), (2, 360, 3, true), (1, 360, 2, true), (2, -360, 3, false), (1, -360, 2, false)]
    {
        {
            let mut clocks = [0; 3];
            clocks[wrong] = if jumps { 0 } else { ahead };
            let mut world = World::new(members, &clocks);
            if jumps {
                let (unix, now) = (world.unix(ahead), world.now);
                world.devices[wrong].room.set_clock(unix, now);
            }
            world.run(20 * SECOND);
            let id = world.id(wrong);
            for n in 0..members {
                let told = world.devices[n].events.iter().filter_map(|event| match event {
                    Event::ClockWrong { member, seconds } => Some((*member, *seconds)),
                    _ => None,
                });
                let told: Vec<_> = told.collect();
                assert_eq!(told.len(), 1, "{n} of {members} about {wrong}, {ahead} s off: {told:?}");
                let (member, seconds) = told[0];
                assert_eq!(member, id, "{n} of {members} about {wrong}, {ahead} s off");
                assert!((seconds - ahead).abs() <= 5, "{seconds}");
                assert!(!world.saw(n, |event| matches!(event, Event::Violation { .. })));
                let room = &world.devices[n].room;
                let unheard = room.why_unheard(&Traffic::default(), world.now);
                assert_eq!(unheard.contains(&Unheard::Clock), n == wrong, "{unheard:?}");
                let deaf = room.why_deaf_to(id, world.now);
                assert_eq!(deaf.contains(&Deaf::Clock(id)), n != wrong, "{deaf:?}");
            }
        }
    }
}

#[test]
fn a_newcomer_whose_clock_is_in_1970_is_told_and_so_is_the_door() {
    let mut world = World::new(2, &[]);
    let now = world.now;
    let invite = world.devices[0].room.invite(InviteOptions::default(), now).unwrap().to_string();
    world
        .add(Room::join(identity(2), invite.parse().unwrap(), seed(2), now, UnixTime::from_secs(3)).unwrap());
    world.run(20 * SECOND);
    let refused = Ending::Refused(RefuseReason::Clock);
    assert_eq!(world.devices[2].events.last(), Some(&Event::Over(refused)));
    let told = Event::KnockRefused { member: None, name: None, reason: RefuseReason::Clock };
    assert!(world.devices[0].events.contains(&told), "{:?}", world.devices[0].events);

    // Of a clock that is minutes off it is known whose it is.
    let (now, unix) = (world.now, world.unix(120));
    world.add(Room::join(identity(3), invite.parse().unwrap(), seed(3), now, unix).unwrap());
    world.run(20 * SECOND);
    assert_eq!(world.devices[3].events.last(), Some(&Event::Over(Ending::Refused(RefuseReason::Clock))));
    let (member, name) = (Some(world.id(3)), Some(Name::new("member 3").unwrap()));
    assert!(world.devices[0].events.contains(&Event::KnockRefused {
        member,
        name,
        reason: RefuseReason::Clock
    }));
}

#[test]
fn t2_a_host_whose_clock_is_corrected_while_its_app_is_off_keeps_its_room_again() {
    // Eight minutes ahead: what it says after a restart must count as later, and as just said.
    let mut world = World::new(3, &[480]);
    // The second time it is off for a minute, and comes back to a branch of its own at first.
    for (off, is_apart) in [(2 * SECOND, false), (MINUTE, true)] {
        let membership = world.devices[0].room.membership().unwrap();
        world.devices[0].asleep = true;
        world.run(off);
        let (now, unix) = (world.now, world.unix(0));
        world.devices[0].room = Room::resume(identity(0), &membership, seed(9), now, unix).unwrap();
        world.devices.iter_mut().for_each(|device| device.asleep = is_apart);
        world.devices[0].asleep = false;
        world.run(if is_apart { 12 * SECOND } else { 20 * SECOND });
        for device in &mut world.devices {
            device.asleep = false;
            device.waiting.clear();
        }
        world.run(20 * SECOND);
        for second in 0..60 {
            world.run(SECOND);
            let (host, packet) = (world.id(0), world.seal(0).unwrap());
            for n in 1..3 {
                assert_eq!(world.devices[n].room.keeper(), Some(host), "{n}, off {off:?}, {second} s");
                assert!(world.opens(n, &packet), "{n} hears the host, off {off:?}, {second} s");
                let packet = world.seal(n).unwrap();
                assert!(world.opens(0, &packet), "the host hears {n}, off {off:?}, {second} s");
            }
        }
    }
}

/// A device whose clock goes on while its `Instant` stands still.
struct Sleeper {
    inner: LoopbackClient,
    began: (Instant, SystemTime),
    slept: Arc<Mutex<Duration>>,
}

impl Transport for Sleeper {
    fn relays(&self) -> Vec<&RelayName> {
        self.inner.relays()
    }

    async fn connect(&mut self, room: RoomHandle) -> Result<(), TransportError> {
        self.inner.connect(room).await
    }

    async fn send_control(&mut self, message: Bytes) -> Result<(), TransportError> {
        self.inner.send_control(message).await
    }

    fn send_media(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        self.inner.send_media(packet)
    }

    async fn receive(&mut self, until: Instant) -> Result<Inbound, TransportError> {
        self.inner.receive(until).await
    }

    async fn close(&mut self) {
        self.inner.close().await;
    }

    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn wall(&self) -> Option<SystemTime> {
        Some(self.began.1 + (self.inner.now() - self.began.0) + *self.slept.lock().unwrap())
    }
}

#[test]
fn the_driver_compares_both_clocks_before_a_packet_is_sealed() {
    let relay: RelayName = "hub".parse().unwrap();
    let hub = Hub::new(relay.clone());
    let unix = UnixTime::from_secs(noon());
    let mut options = RoomOptions::new(Name::new("call").unwrap(), [relay]);
    (options.admission, options.default_role) = (Admission::Open, Role::Speaker);
    let mut host = block_on(Session::create_with(hub.client(), identity(0), options, seed(0), unix)).unwrap();
    let now = host.now();
    let link = host.room_mut().invite(InviteOptions::default(), now).unwrap().to_string();
    let (inner, slept) = (hub.client(), Arc::new(Mutex::new(Duration::ZERO)));
    let guest = Sleeper { began: (inner.now(), SystemTime::now()), inner, slept: slept.clone() };
    let mut guest =
        block_on(Session::join_with(guest, identity(1), link.parse().unwrap(), seed(1), unix)).unwrap();
    let (mut opus, stamp) = ([0x55; 60], Stamp::default());
    opus[0] = 0xf8;
    while guest.speak(&opus, stamp).is_err() {
        let soon = host.now() + SECOND / 100;
        block_on(host.next(soon)).unwrap();
        block_on(guest.next(guest.now())).unwrap();
    }
    // It sleeps for a minute, and wakes with a packet of its microphone in hand.
    *slept.lock().unwrap() += MINUTE;
    let silent = guest.speak(&opus, stamp).unwrap_err();
    assert!(matches!(silent, SpeakError::Seal(SealError::Silent(SilenceReason::NoProofOfLife))), "{silent}");
    let mut events = std::iter::from_fn(|| match block_on(guest.next(guest.now())).unwrap() {
        Next::Event(event) => Some(event),
        _ => None,
    });
    assert!(events.any(|event| event == Event::Slept { lasted: MINUTE }));
}

#[test]
fn an_identity_lent_to_a_failed_attempt_can_be_used_for_the_next() {
    let world = World::new(1, &[]);
    let (now, unix) = (world.now, world.unix(0));
    let mut world = world;
    let link = world.devices[0].room.invite(InviteOptions::lasting(MINUTE), now).unwrap();
    let guest = identity(1);
    let late = UnixTime::from_secs(unix.as_secs() + 120);
    assert!(Room::join(&guest, link.copy(), seed(1), now, late).is_err(), "it has expired by then");
    let room = Room::join(&guest, link.copy(), seed(1), now, unix).unwrap();
    assert_eq!(room.id(), guest.id());
    let text = format!("{:#}", guest.id());
    assert_eq!(text.parse(), Ok(guest.id()), "a fingerprint parses back");
    assert_eq!(text.replace(' ', "").to_uppercase().parse(), Ok(guest.id()));
    for wrong in [&text[1..], "", &format!("{text}0"), &text.replace('a', "g")] {
        assert!(wrong.parse::<MemberId>().is_err() || !text.contains('a'), "{wrong}");
    }
}
