//! Storms with insiders: some of the members are hostile, work together, and have the relay on
//! their side.
//!
//! ```text
//! all are in > a friend of the insiders is banned > scene > scene ... > calm: the relay behaves, the insiders do not
//! ```
//!
//! The [`Guard`] looks at every honest member after every step. At the end of each storm everybody
//! who was not put out has to be back and heard within [`HEALS_WITHIN`], while the insiders go on.
#![allow(dead_code, reason = "each program uses its own part")]

use std::{
    cell::RefCell,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use sottovoce::{
    Authenticity, Seed,
    group::{Name, Role},
    room::{Admission, Membership, Room, Status, Unattended},
    testkit::Loot,
};

use crate::{
    alloc::live_bytes,
    devices::Trouble,
    guard::{Book, Guard, Most},
    net::{Lane, Net, Peer, options},
    scenes::Scene,
};

/// What came of a storm with insiders.
#[derive(Default)]
pub struct Report {
    pub violations: Vec<String>,
    pub lasted: Duration,
    /// How long after the calm began everybody honest was heard by everybody honest.
    pub healed: Option<Duration>,
    pub opened: u64,
    pub tricks: u64,
    pub scenes: Vec<Scene>,
    pub most: Most,
    pub heaviest: i64,
    /// Packets that honest members sent, and that they did not, after the storm.
    pub sent: u64,
    pub silent: u64,
}

/// What a storm is like.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    pub members: usize,
    pub insiders: usize,
    pub minutes: u64,
    /// Nothing but this scene.
    pub only: Option<Scene>,
}

/// Runs one storm. What breaks a rule is in the report, and nothing panics.
pub fn gang_storm(plan: Plan) -> Report {
    let mut net = Net::new(plan.seed);
    let mut report = Report::default();
    let began = net.now;
    let mut book = Book::default();
    (book.unattended, book.insiders) = (UNATTENDED, plan.insiders);
    book.is_traced = std::env::var("TRACE").is_ok();
    let book = Rc::new(RefCell::new(book));
    let told = catch_unwind(AssertUnwindSafe(|| {
        let mut gang = Gang::new(&mut net, plan, Rc::clone(&book));
        gang.rage(&mut report);
        gang.calm(&mut report);
    }));
    if let Err(panic) = told {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        report.violations.push(text.unwrap_or_else(|| "a panic without words".to_owned()));
    }
    net.watcher = None;
    report.lasted = net.now - began;
    report.opened = net.devices.iter().map(|device| device.opened).sum();
    report.violations.append(&mut net.watch.violations);
    let mut book = book.borrow_mut();
    report.most = book.most;
    report.violations.append(&mut book.violations);
    for (peer, device) in net.devices.drain(..).enumerate() {
        let before = live_bytes();
        let insider = device.is_insider;
        drop(device.room);
        let weight = before - live_bytes();
        if insider {
            continue;
        }
        report.heaviest = report.heaviest.max(weight);
        if weight > HEAVIEST {
            report.violations.push(format!("the room of peer {peer} holds {weight} bytes"));
        }
    }
    report
}

/// A room with its insiders.
pub struct Gang<'a> {
    pub net: &'a mut Net,
    pub rng: StdRng,
    pub plan: Plan,
    pub book: Rc<RefCell<Book>>,
    pub loot: Loot,
    /// Everybody honest who belongs in the room; the first is the host.
    pub honest: Vec<Peer>,
    pub insiders: Vec<Peer>,
    pub host: Peer,
    pub off: BTreeMap<Peer, Membership>,
    pub old: BTreeMap<Peer, Membership>,
    pub link: String,
    guests: u32,
    read: usize,
    pub tricks: u64,
    /// How often an insider has set out to keep.
    pub kept: u64,
    /// The kind of flood that is played, and how many there were.
    pub flood: Option<u64>,
    pub floods: u64,
    /// How many people the host has banned who never came.
    pub strangers: u8,
    /// Until when messages of a slower relay arrive.
    pub slow_until: Instant,
    /// What each had sent when it fell silent, when that was, and whether it asks for its place.
    pub silent_since: BTreeMap<Peer, (u64, Instant, bool)>,
}

impl<'a> Gang<'a> {
    /// A room in which everybody is; a friend of the insiders was in it and is banned.
    fn new(net: &'a mut Net, plan: Plan, book: Rc<RefCell<Book>>) -> Self {
        let mut rng = StdRng::seed_from_u64(net.seed ^ 0x1257);
        net.pace = Duration::from_millis(1_000);
        net.forks = true;
        let mut options = options("storm");
        options.admission = Admission::Open;
        options.default_role = Role::Speaker;
        let many = plan.only == Some(Scene::Of(Trouble::LargeCrowd));
        if many || plan.only.is_none() && !net.seed.is_multiple_of(3) {
            // Half of a storm's time would go into the signatures of packets, and of a crowd's
            // nearly all into those of announcements: of everybody in each epoch, for everybody.
            options.authenticity = Authenticity::Group;
        }
        options.unattended = Unattended::new(UNATTENDED.as_secs() as u16).expect("60 s or more");
        let host = net.create("host", options);
        let link = net.invite(host);
        let mut peers = vec![host];
        peers.extend((1..plan.members).map(|n| net.knock(&format!("member {n}"), &link)));
        let friend = net.knock("friend", &link);
        let all: Vec<Peer> = peers.iter().copied().chain([friend]).collect();
        net.run_until("all are in", |net| all.iter().all(|peer| net.room(*peer).roster().len() == all.len()));
        for moderator in peers.iter().skip(1).take(2) {
            let id = net.id(*moderator);
            net.with(host, |room, now| room.set_role(id, Role::Moderator, now)).expect("the host may");
        }
        net.run_for(2 * SECOND);
        for moderator in peers.iter().skip(1).take(2) {
            // Nobody sits at its door and admits.
            net.with(*moderator, |room, _| room.set_admission(Admission::Open)).expect("it has rank");
        }
        book.borrow_mut().ranked.extend(peers.iter().take(3).map(|peer| net.id(*peer)));
        let mut insiders: Vec<Peer> = peers.iter().rev().take(plan.insiders).copied().collect();
        if !insiders.is_empty() && rng.random_range(0..3) == 0 {
            // One of them has rank.
            insiders[0] = peers[2];
            book.borrow_mut().ranked_insiders.insert(net.id(peers[2]));
        }
        let mut loot = Loot::default();
        for insider in insiders.iter().chain([&friend]) {
            net.devices[insider.0].is_insider = true;
            net.devices[insider.0].keeps_keys = true;
        }
        all.iter().for_each(|peer| net.speak(*peer, true));
        loot.befriend(net.identity_of(friend));
        net.watcher = Some(Box::new(Guard(Rc::clone(&book))));
        let honest = peers.iter().copied().filter(|peer| !insiders.contains(peer)).collect();
        let slow_until = net.now;
        let mut gang = Self {
            net,
            rng,
            plan,
            book,
            loot,
            honest,
            insiders,
            host,
            off: BTreeMap::new(),
            old: BTreeMap::new(),
            link,
            guests: 0,
            read: 0,
            tricks: 0,
            kept: 0,
            flood: None,
            floods: 0,
            strangers: 0,
            slow_until,
            silent_since: BTreeMap::new(),
        };
        gang.each_insider(|insider| drop(insider.call()));
        gang.net.run_for(SECOND);
        gang.put_out(host, friend, true);
        gang.net.run_for(3 * SECOND);
        gang
    }

    fn rage(&mut self, report: &mut Report) {
        let end = self.net.now + Duration::from_secs(60 * self.plan.minutes);
        while self.net.now < end {
            let scene = self.plan.only.unwrap_or_else(|| Scene::any(&mut self.rng));
            report.scenes.push(scene);
            if self.book.borrow().is_traced {
                eprintln!("{:.2?} {scene:?}, insiders {:?}", self.net.since_begin(), self.insiders);
            }
            self.play(scene);
            self.recover();
            report.tricks = self.tricks;
        }
    }

    /// One slice of time, in which honest members live on and insiders listen.
    pub fn pass(&mut self, time: Duration) {
        self.net.run_for(time);
        self.listen();
        self.look_for_the_silenced();
        if self.rng.random_range(0..40) == 0 {
            self.live();
        }
        self.tidy();
    }

    /// What insiders hear they keep.
    fn listen(&mut self) {
        let from = self.read.min(self.net.relay_log.len());
        let heard: Vec<_> = self.net.relay_log[from..].to_vec();
        self.read = self.net.relay_log.len();
        let Some(first) = self.insiders.first().copied() else { return };
        let now = self.net.now;
        let room = &mut self.net.devices[first.0].room;
        let mut insider = sottovoce::testkit::Insider::of(room, &mut self.loot, now);
        for envelope in heard {
            let _ = insider.overhear(&envelope);
        }
    }

    /// Something that honest people do.
    fn live(&mut self) {
        let any = *self.honest.choose(&mut self.rng).expect("somebody is honest");
        if self.net.is_off(any) || self.net.is_asleep(any) {
            return;
        }
        match self.rng.random_range(0..6) {
            0 => {
                let name = Name::new(&format!("renamed {}", self.rng.random_range(0..99))).expect("a name");
                let _ = self.net.with(any, |room, now| room.rename(name, now));
            }
            1 => {
                let other = *self.honest.choose(&mut self.rng).expect("somebody is honest");
                let (id, muted) = (self.net.id(other), self.rng.random_bool(0.3));
                let _ = self.net.with(any, |room, now| room.set_muted(id, muted, now));
            }
            2 if self.honest.len() + self.insiders.len() < self.plan.members + 3 => {
                let guest = self.guest();
                self.honest.push(guest);
            }
            3 => {
                if let Some(membership) = self.net.room(any).membership() {
                    self.old.insert(any, membership);
                }
            }
            _ => {}
        }
    }

    /// Somebody new knocks.
    pub fn guest(&mut self) -> Peer {
        self.guests += 1;
        let guest = self.net.knock(&format!("guest {}", self.guests), &self.link);
        self.net.speak(guest, true);
        guest
    }

    /// Somebody of rank puts somebody out.
    pub fn put_out(&mut self, by: Peer, who: Peer, bans: bool) -> bool {
        let id = self.net.id(who);
        self.book.borrow_mut().put_out.insert(id);
        let done = self.net.with(by, |room, now| if bans { room.ban(id, now) } else { room.remove(id, now) });
        if done.is_ok() && bans && by == self.host {
            self.book.borrow_mut().banned_by_host.insert(id);
        }
        if done.is_ok() {
            if by == self.host {
                self.note_fallen();
            }
            self.honest.retain(|peer| *peer != who);
            self.insiders.retain(|peer| *peer != who);
            self.net.devices[who.0].keeps_keys = true;
        }
        done.is_ok()
    }

    pub fn switch_off(&mut self, peer: Peer) {
        if let Some(membership) = self.net.room(peer).membership() {
            self.off.insert(peer, membership);
            self.net.switch_off(peer);
        }
    }

    pub fn switch_on(&mut self, peer: Peer, membership: &Membership, clock_off: i64) {
        let identity = self.net.identity_of(peer);
        let (seed, now, unix) = (self.net.bytes(), self.net.now, self.net.unix_now());
        let unix = sottovoce::room::UnixTime::from_secs(unix.as_secs().saturating_add_signed(clock_off));
        let room = Room::resume(identity, membership, Seed::from_bytes(&mut { seed }), now, unix)
            .expect("what it stored is its own");
        self.book.borrow_mut().note_restart(peer, now);
        self.net.switch_on(peer, room);
    }

    /// The scene is over: the relay is honest again, and devices are on.
    pub fn recover(&mut self) {
        self.book.borrow_mut().relay.holds.clear();
        self.net.heal();
        // What was sent before is on its way still.
        self.slow_until = self.net.now + self.net.control.delay.end;
        (self.net.control, self.net.media) = (Lane::slow(BEST..WORST), Lane::slow(BEST..WORST));
        for insider in self.insiders.clone() {
            self.net.devices[insider.0].holds_its_tongue = false;
        }
        for (peer, membership) in std::mem::take(&mut self.off) {
            self.switch_on(peer, &membership, 0);
        }
        for peer in self.honest.clone() {
            self.net.wake(peer);
        }
        let pause = Duration::from_millis(self.rng.random_range(2_000..15_000));
        self.pass_slices(pause);
    }

    pub fn pass_slices(&mut self, time: Duration) {
        let end = self.net.now + time;
        while self.net.now < end {
            self.pass(SLICE);
        }
    }

    pub fn tidy(&mut self) {
        let old = self.net.relay_log.len().saturating_sub(4_000);
        self.net.relay_log.drain(..old);
        self.read -= old.min(self.read);
        let then = self.net.now - 20 * SECOND;
        for device in &mut self.net.devices {
            device.heard.retain(|(_, sealed)| *sealed >= then);
            let old = device.control_errors.len().saturating_sub(KEPT);
            device.control_errors.drain(..old);
            let old = device.events.len().saturating_sub(KEPT);
            device.events.drain(..old);
        }
        let gone = |peer: &Peer| self.net.devices[peer.0].room.status() == Status::Over;
        let over: Vec<Peer> = self.honest.iter().copied().filter(gone).collect();
        self.honest.retain(|peer| !over.contains(peer));
    }
}

/// Of a device so many of the newest events and errors are kept, to be told if it comes to that.
const KEPT: usize = 6;
pub const SECOND: Duration = Duration::from_secs(1);
/// How long insiders wait between two tricks.
pub const SLICE: Duration = Duration::from_millis(250);
/// The least and the most that a message takes in good weather.
pub const BEST: Duration = Duration::from_millis(20);
pub const WORST: Duration = Duration::from_millis(60);
/// Nobody sends so long after the last word of rank.
pub const UNATTENDED: Duration = Duration::from_secs(60);
/// What the room of one honest member may hold, in bytes, whatever was thrown at it.
pub const HEAVIEST: i64 = 4 << 20;
/// How long after the relay has come to behave every honest member must be heard by every other,
/// whatever insiders do.
pub const HEALS_WITHIN: Duration = Duration::from_secs(120);
