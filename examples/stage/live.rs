//! The story: a stage opens, an audience grows, one of it comes up, one is banned, a crowd comes
//! late, and the host closes.

use std::error::Error;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sottovoce::MemberId;
use sottovoce::codec::SAMPLE_RATE;
use sottovoce::group::{Identity, Name};
use sottovoce::relay::{Limits, Relay, RelayOptions, log};
use sottovoce::room::RoomOptions;
use sottovoce::stage::StageEvent;
use sottovoce::transport::RelayName;
use sottovoce::transport::tcp_udp::TcpUdpClient;
use sottovoce_examples::room::out::Dir;
use sottovoce_examples::{resample, wav};

use crate::args::Options;
use crate::cast::{Entry, MODERATOR, News, Order, Player, Shown};
use crate::cpu::Threads;
use crate::hear::{Ask, Ear, Heard};
use crate::report::{Cost, Report, ms};
use crate::{page, picture};

pub const ROOM_NAME: &str = "The lecture hall of the harbour choir";
pub const LOG: &str = "relay.log";
/// Places among those who listen.
const GUEST: usize = 1;
pub const REBEL: usize = 2;

/// What happened.
pub struct Told {
    pub started: Instant,
    pub stage: Vec<Shown>,
    pub guest: MemberId,
    pub ears: Vec<Heard>,
    pub regulars: usize,
    pub raised: (Instant, Instant),
    pub let_up: Instant,
    pub banned: Instant,
    pub came_after_ban: u64,
    pub closed: Instant,
    pub told: usize,
    pub codes: usize,
    pub page_people: u32,
    pub growth: Vec<Cost>,
    pub audience: Vec<(f64, usize, usize)>,
    pub members: usize,
    pub counts: sottovoce::relay::Counts,
}

/// What is said, as samples.
///
/// # Errors
/// The file cannot be read, or has less than a second.
pub fn speech(options: &Options) -> Result<Vec<i16>, Box<dyn Error>> {
    let recording = wav::read(&options.input, Duration::from_secs(60))?;
    let speech = resample::pcm16(&resample::to_48k(&recording.samples, recording.rate));
    if speech.len() < SAMPLE_RATE as usize {
        return Err("the speech is shorter than a second".into());
    }
    Ok(speech)
}

/// Runs the story, and leaves its page.
///
/// # Errors
/// Whatever kept it from being told to its end.
pub fn run(options: &Options) -> Result<Report, Box<dyn Error>> {
    let dir = Dir::create(&options.out)?;
    let speech = speech(options)?;
    let told = Story::open(options, &speech, &dir)?.tell(options)?;
    let report = picture::examine(&told, &speech, &dir)?;
    let page = dir.write("index.html", page::render(&report).as_bytes())?;
    let object = report.json();
    dir.write("report.json", object.to_string().as_bytes())?;
    if options.json {
        println!("{object}");
    } else {
        print!("\n{}\npictures: {}\n", report.table(), page.display());
    }
    Ok(report)
}

struct Story {
    relay: Relay,
    name: RelayName,
    host: Player,
    moderator: Player,
    speaker: Player,
    link: String,
    /// What the guest says: the speech, from another place on.
    track: Arc<[i16]>,
    ears: Vec<Ear>,
    stop: Arc<AtomicBool>,
    started: Instant,
    sampled: Instant,
    opened: Vec<u32>,
    audience: Vec<(f64, usize, usize)>,
    members: usize,
    growth: Vec<Cost>,
}

impl Story {
    /// Opens a relay and a stage of three.
    fn open(options: &Options, speech: &[i16], dir: &Dir) -> Result<Self, Box<dyn Error>> {
        // A lane is a room to the relay, and each listener has one of its own.
        let places = options.audience + 64;
        let limits = Limits {
            connections: places * 8,
            members: places * 2,
            rooms: places * 4,
            pending: 1_024,
            ..Limits::default()
        };
        let log = Some(log::Writer::new(File::create(dir.file(LOG))?)?);
        let relay =
            Relay::start(([127, 0, 0, 1], 0).into(), RelayOptions { limits, log, ..Default::default() })?;
        let name = relay.name();
        let track: Arc<[i16]> = speech.into();
        let (_, rest) = speech.split_at(speech.len() / 3);
        let guest: Arc<[i16]> = rest.into();
        let player = |who: &str, entry| {
            let identity = Identity::generate(Name::new(who)?)?;
            Player::new(who, identity, name.clone(), entry, Arc::clone(&track), client)
        };
        let room = RoomOptions::new(Name::new(ROOM_NAME)?, [name.clone()]);
        let host = player("Adelheid", Entry::Opens(room))?;
        let links =
            |news| if let News::Links(stage, audience) = news { Some((stage, audience)) } else { None };
        let (stage, link) = host.wait(links)?;
        let moderator = player(MODERATOR, Entry::Joins(Box::new(stage.parse()?)))?;
        let speaker = player("Benedict", Entry::Joins(Box::new(stage.parse()?)))?;
        for joins in [&host, &moderator, &speaker] {
            joins.wait(|news| matches!(news, News::In).then_some(()))?;
        }
        // The moderator lets in as well once it is known to be one: hall, foyer, doors, its own.
        let until = Instant::now() + Duration::from_secs(20);
        while moderator.lanes.load(Ordering::Relaxed) < 4 {
            if Instant::now() > until {
                return Err("the moderator has no door".into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        speaker.speaks.store(true, Ordering::Relaxed);
        let now = Instant::now();
        Ok(Self {
            relay,
            name,
            host,
            moderator,
            speaker,
            link,
            track: guest,
            ears: Vec::new(),
            stop: Arc::default(),
            started: now,
            sampled: now,
            opened: Vec::new(),
            audience: Vec::new(),
            members: 0,
            growth: Vec::new(),
        })
    }

    fn tell(mut self, options: &Options) -> Result<Told, Box<dyn Error>> {
        let quiet = options.json;
        let say = |what: &str| {
            if !quiet {
                println!("{what}");
            }
        };
        let regulars = options.audience * 3 / 4;
        for size in [regulars / 6, regulars / 3, regulars * 2 / 3, regulars] {
            say(&format!("{size} listen ..."));
            self.grow_to(size.max(REBEL + 2), Duration::from_millis(20))?;
            self.measure(options.step);
        }
        say("one raises its hand, and comes up ...");
        let (raised, seen, let_up, guest) = self.let_up(options)?;
        say("one is banned ...");
        let (banned, before) = self.ban()?;
        self.pass(Duration::from_secs(4));
        let rebel = &self.ears[REBEL].lines.packets;
        let came_after_ban = rebel.load(Ordering::Relaxed) - before;
        say("a crowd comes late ...");
        self.grow_to(options.audience, Duration::ZERO)?;
        self.measure(options.step);
        let page_people = self.page()?;
        // A turn passes within a moment.
        let mut codes = self.codes();
        for _ in 0..4 {
            self.pass(Duration::from_millis(600));
            codes = codes.min(self.codes());
        }
        self.speaker.speaks.store(false, Ordering::Relaxed);
        say("the host closes ...");
        self.host.orders.send(Order::Close)?;
        let closed = Instant::now();
        let until = closed + Duration::from_secs(20);
        // All but the guest and who is stubborn.
        let present = self.ears.len() - 2;
        let told = |ears: &[Ear]| {
            let others = ears.iter().enumerate().filter(|(number, _)| ![GUEST, REBEL].contains(number));
            others.filter(|(_, ear)| ear.is_over() || ear.unattended.load(Ordering::Relaxed)).count()
        };
        while told(&self.ears) < present && Instant::now() < until {
            self.pass(Duration::from_millis(250));
        }
        let (told, counts, started) = (told(&self.ears), self.relay.counts(), self.started);
        self.end(
            Told {
                started,
                stage: Vec::new(),
                guest: guest.id,
                ears: Vec::new(),
                regulars,
                raised: (raised, seen),
                let_up,
                banned,
                came_after_ban,
                closed,
                told,
                codes,
                page_people,
                growth: Vec::new(),
                audience: Vec::new(),
                members: 0,
                counts,
            },
            guest,
        )
    }

    /// Ends everybody's part and collects what they have to show.
    fn end(self, mut told: Told, guest: Player) -> Result<Told, Box<dyn Error>> {
        self.stop.store(true, Ordering::Relaxed);
        for ear in self.ears {
            told.ears.push(ear.end()?);
        }
        for player in [self.speaker, guest, self.moderator, self.host] {
            told.stage.push(player.end()?);
        }
        told.counts = self.relay.stop()?;
        (told.growth, told.audience, told.members) = (self.growth, self.audience, self.members);
        Ok(told)
    }

    /// More come, one after the other, and all of them hear.
    fn grow_to(&mut self, size: usize, pause: Duration) -> Result<(), Box<dyn Error>> {
        while self.ears.len() < size {
            let number = self.ears.len();
            let name =
                NAMES.get(number).map_or_else(|| format!("Listener {number}"), |name| (*name).to_owned());
            let identity = Identity::generate(Name::new(&name)?)?;
            let ear = Ear::new(name, identity, self.name.clone(), &self.link, &self.stop)?;
            self.ears.push(ear);
            if !pause.is_zero() {
                self.pass(pause);
            }
        }
        let until = Instant::now() + Duration::from_secs(30);
        while let Some(deaf) = self.ears.iter().position(|ear| !ear.has_heard() && !ear.is_over()) {
            if Instant::now() > until {
                return Err(format!("listener {deaf} of {size} hears nothing").into());
            }
            self.pass(Duration::from_millis(20));
        }
        Ok(())
    }

    /// What everybody costs while nothing happens.
    fn measure(&mut self, step: Duration) {
        self.pass(Duration::from_secs(1));
        let present = |ear: &&Ear| !ear.is_over();
        let control = |ears: &[Ear]| -> u64 {
            ears.iter().filter(present).map(|ear| ear.lines.control.load(Ordering::Relaxed)).sum()
        };
        let opened = |ears: &[Ear]| -> u64 {
            ears.iter().filter(present).map(|ear| u64::from(ear.opened.load(Ordering::Relaxed))).sum()
        };
        let (before, since) = (Threads::now(), Instant::now());
        let (control_before, opened_before) = (control(&self.ears), opened(&self.ears));
        self.pass(step);
        let (after, seconds) = (Threads::now(), since.elapsed().as_secs_f64());
        let listeners = self.ears.iter().filter(present).count();
        let each = |used: Duration| ms(used) / seconds / listeners as f64;
        self.growth.push(Cost {
            listeners,
            session_ms_s: each(after.since(&before, &["listener"])),
            sockets_ms_s: each(after.since(&before, &["relay conn"])),
            relay_ms_s: each(
                after.since(&before, &["relay member", "relay writer", "relay media", "relay door"]),
            ),
            stage_ms_s: ms(after.since(&before, &["stage"])) / seconds,
            control_kbit_s: (control(&self.ears).saturating_sub(control_before)) as f64 * 8.0
                / 1_000.0
                / seconds
                / listeners as f64,
            opened_s: opened(&self.ears).saturating_sub(opened_before) as f64 / seconds / listeners as f64,
            threads: after.len(),
        });
    }

    /// One raises its hand; it is let up, and speaks for a while.
    fn let_up(&mut self, options: &Options) -> Result<(Instant, Instant, Instant, Player), Box<dyn Error>> {
        let guest = &self.ears[GUEST];
        let (id, raised) = (guest.id, Instant::now());
        guest.asks.send(Ask::Hand)?;
        let hand = |news| match news {
            News::Audience(at, StageEvent::Hand { member, up: true }) if member == id => Some(Ok(at)),
            News::LetUp(_, Err(error)) => Some(Err(error)),
            _ => None,
        };
        let seen = self.either(hand)??;
        let up = self.either(|news| if let News::LetUp(at, up) = news { Some((at, up)) } else { None })?;
        up.1?;
        let until = Instant::now() + Duration::from_secs(10);
        while !self.ears[GUEST].is_over() {
            if Instant::now() > until {
                return Err("the invite to the stage did not come".into());
            }
            self.pass(Duration::from_millis(20));
        }
        let up_now = self.ears[GUEST].up.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (invite, identity) = up_now.ok_or("the guest was not let up")?;
        let track = Arc::clone(&self.track);
        let name = self.name.clone();
        let guest = Player::new(NAMES[GUEST], identity, name, Entry::Joins(Box::new(invite)), track, client)?;
        guest.wait(|news| matches!(news, News::In).then_some(()))?;
        self.speaker.speaks.store(false, Ordering::Relaxed);
        guest.speaks.store(true, Ordering::Relaxed);
        self.pass(options.step.max(Duration::from_secs(4)) + Duration::from_secs(2));
        guest.speaks.store(false, Ordering::Relaxed);
        self.speaker.speaks.store(true, Ordering::Relaxed);
        self.pass(Duration::from_secs(1));
        Ok((raised, seen, up.0, guest))
    }

    /// One does not want to hear that it is banned, and tries its keys on what comes.
    fn ban(&mut self) -> Result<(Instant, u64), Box<dyn Error>> {
        let rebel = &self.ears[REBEL];
        rebel.lines.stubborn.store(true, Ordering::Relaxed);
        let before = rebel.lines.packets.load(Ordering::Relaxed);
        self.host.orders.send(Order::Ban(rebel.id))?;
        let banned = self.host.wait(|news| if let News::Banned(at) = news { Some(at) } else { None })?;
        Ok((banned, before))
    }

    /// One asks who else listens, until a beat has signed a page as it is: within ten seconds.
    fn page(&mut self) -> Result<u32, Box<dyn Error>> {
        let mut people = 0;
        for _ in 0..12 {
            self.ears.first().ok_or("nobody listens")?.asks.send(Ask::Page(0))?;
            self.pass(Duration::from_secs(1));
            people = self.ears.first().map_or(0, |ear| ear.page.load(Ordering::Relaxed));
            if people > 0 {
                break;
            }
        }
        Ok(people)
    }

    /// Different codes that are read now.
    fn codes(&self) -> usize {
        let rebel = self.ears[REBEL].id;
        let present = self.ears.iter().filter(|ear| !ear.is_over() && ear.id != rebel);
        let codes = present.filter_map(|ear| ear.code.lock().unwrap_or_else(PoisonError::into_inner).clone());
        codes.collect::<std::collections::BTreeSet<_>>().len()
    }

    /// A piece of news of whoever lets in.
    fn either<T>(&mut self, wanted: impl Fn(News) -> Option<T>) -> Result<T, Box<dyn Error>> {
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until {
            for porter in [&self.host, &self.moderator] {
                match porter.news.recv_timeout(Duration::from_millis(5)) {
                    Ok(News::Failed(error)) => return Err(error.into()),
                    Ok(news) => {
                        if let Some(found) = wanted(news) {
                            return Ok(found);
                        }
                    }
                    Err(_) => {}
                }
            }
            self.sample();
        }
        Err("the stage does not go on".into())
    }

    fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            self.sample();
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    /// Notes four times a second who is there and who hears.
    fn sample(&mut self) {
        let now = Instant::now();
        if now < self.sampled {
            return;
        }
        self.sampled += Duration::from_millis(250);
        self.opened.resize(self.ears.len(), 0);
        let mut hearing = 0;
        for (ear, before) in self.ears.iter().zip(&mut self.opened) {
            let opened = ear.opened.load(Ordering::Relaxed);
            hearing += usize::from(opened > *before);
            *before = opened;
        }
        let seated = self.host.audience.load(Ordering::Relaxed);
        self.audience.push(((now - self.started).as_secs_f64(), seated, hearing));
        let metrics = self.relay.metrics();
        let members = metrics.lines().find_map(|line| line.strip_prefix("sottovoce_relay_members "));
        self.members = members.and_then(|members| members.parse().ok()).unwrap_or(0).max(self.members);
    }
}

fn client(relay: &RelayName) -> Option<TcpUdpClient> {
    Some(TcpUdpClient::new(relay.clone()))
}

const NAMES: [&str; 4] = ["Clementine", "Ferdinand", "Mallory", "Valentina"];
