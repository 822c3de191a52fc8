//! A stage on a cluster of three real `moq-relay` nodes, of which one is killed: how soon its
//! listeners have sound again at another one, and what nodes and listeners cost.

use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sottovoce::MemberId;
use sottovoce::group::{Identity, Name};
use sottovoce::room::RoomOptions;
use sottovoce::transport::moq::MoqClient;
use sottovoce::transport::{RelayName, RoomHandle, Transport, block_on};
use sottovoce_testkit::moq::{Kind, Moq, Setup};

use crate::args::Options;
use crate::cast::{Entry, MODERATOR, News, Player, Shown, Spoken};
use crate::cpu::{self, Threads};
use crate::hear::{Ear, Heard};
use crate::live;
use crate::picture::{Frame, frame};
use crate::table::{Costs, Outcome, Row};

/// Measures with so many listeners, and prints a table or one JSON object. Says whether every
/// promise was kept.
///
/// # Errors
/// Whatever kept the stage from being there.
pub fn run(options: &Options, listeners: usize, kill: usize) -> Result<bool, Box<dyn Error>> {
    let speech: Arc<[i16]> = live::speech(options)?.into();
    let everybody = everybody_to_everybody(listeners.min(EVERYBODY))?;
    let mut cluster = Cluster::open(&speech)?;
    let costs = cluster.grow(options, listeners)?;
    let (outcome, kept) = cluster.kill(kill)?.told(costs, everybody);
    if options.json {
        println!("{}", outcome.json());
    } else {
        print!("{}", outcome.table());
    }
    Ok(kept)
}

fn client(relay: &RelayName) -> Option<MoqClient> {
    MoqClient::new(relay.clone()).ok()
}

/// Three nodes: two that know the first.
fn nodes() -> Result<[Option<Moq>; 3], Box<dyn Error>> {
    let none = "no moq-relay is built: scripts/relays.d/moq-relay build";
    let first = Moq::start_with(Kind::Lite, &Setup { metrics: true, ..Setup::default() }).ok_or(none)?;
    let follow = || {
        let peers = [(&first, 1)];
        Moq::start_with(Kind::Lite, &Setup { peers: &peers, metrics: true, ..Setup::default() })
    };
    let (second, third) = (follow(), follow());
    Ok([Some(first), second, third])
}

/// Subscriptions that a node serves.
fn subscriptions(node: &Option<Moq>) -> u64 {
    let count = |what| {
        let name = format!("moq_relay_subscriptions_{what}_total");
        node.as_ref().and_then(|node| node.counted(&name, "publisher")).unwrap_or_default()
    };
    count("opened").saturating_sub(count("closed"))
}

/// What it was like when everybody subscribed to everybody, and what it is like in a room where all
/// speak: members that are both and say something on both lanes. So many of them, and the
/// subscriptions at each node.
fn everybody_to_everybody(members: usize) -> Result<(usize, [u64; 3]), Box<dyn Error>> {
    eprintln!("{members} members subscribe to one another ...");
    let nodes = nodes()?;
    let mut all = Vec::new();
    for (_, node) in (0..members).zip(nodes.iter().flatten().cycle()) {
        let mut member = MoqClient::new(node.name())?;
        block_on(member.connect(RoomHandle::from_bytes([9; 16])))?;
        member.send_media(b"\xb9here")?;
        block_on(member.send_control("here".into()))?;
        all.push(member);
    }
    let (mut counted, mut steady) = ([0; 3], 0);
    while steady < 3 {
        thread::sleep(Duration::from_secs(1));
        let now = [0, 1, 2].map(|place: usize| nodes.get(place).map_or(0, subscriptions));
        steady = if now == counted { steady + 1 } else { 0 };
        counted = now;
    }
    Ok((members, counted))
}

struct Cluster {
    nodes: [Option<Moq>; 3],
    names: Vec<RelayName>,
    host: Player,
    /// Those who speak, in turns.
    speakers: [Player; 2],
    /// The next one, and when.
    turn: (usize, Instant),
    link: String,
    ears: Vec<Ear>,
    stop: Arc<AtomicBool>,
}

impl Cluster {
    /// Starts three nodes, and a stage at the first of them: a host, and two that speak, of whom
    /// one is a porter as the host is.
    fn open(speech: &Arc<[i16]>) -> Result<Self, Box<dyn Error>> {
        let nodes = nodes()?;
        let names: Vec<RelayName> = nodes.iter().flatten().map(Moq::name).collect();
        let first = names.first().ok_or("no node")?.clone();
        let player = |who: &str, entry| {
            let identity = Identity::generate(Name::new(who)?)?;
            Player::new(who, identity, first.clone(), entry, Arc::clone(speech), client)
        };
        let room = RoomOptions::new(Name::new(live::ROOM_NAME)?, names.clone());
        let host = player("Adelheid", Entry::Opens(room))?;
        let links =
            |news| if let News::Links(stage, audience) = news { Some((stage, audience)) } else { None };
        let (stage, link) = host.wait(links)?;
        let speakers = [
            player(MODERATOR, Entry::Joins(Box::new(stage.parse()?)))?,
            player("Benedict", Entry::Joins(Box::new(stage.parse()?)))?,
        ];
        for joins in [&host].into_iter().chain(&speakers) {
            joins.wait(|news| matches!(news, News::In).then_some(()))?;
        }
        let until = Instant::now() + Duration::from_secs(20);
        while speakers[0].lanes.load(Ordering::Relaxed) < 4 {
            if Instant::now() > until {
                return Err("the moderator has no door".into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        let (turn, stop) = ((0, Instant::now()), Arc::default());
        Ok(Self { nodes, names, host, speakers, turn, link, ears: Vec::new(), stop })
    }

    /// Lets time pass; the two speak in turns.
    fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            let now = Instant::now();
            if now >= self.turn.1 {
                for (place, speaker) in self.speakers.iter().enumerate() {
                    speaker.speaks.store(place == self.turn.0 % 2, Ordering::Relaxed);
                }
                self.turn = (self.turn.0 + 1, now + TURN);
            }
            let left = until.saturating_duration_since(now);
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(Duration::from_millis(20)));
        }
    }

    /// Has them come, evenly at the nodes, and measures what they cost.
    fn grow(&mut self, options: &Options, listeners: usize) -> Result<Costs, Box<dyn Error>> {
        eprintln!("{listeners} come ...");
        for number in 0..listeners {
            let name = format!("Listener {number}");
            let identity = Identity::generate(Name::new(&name)?)?;
            let relay = self.names.get(number % 3).ok_or("no such node")?.clone();
            let (link, stop) = (self.link.clone(), Arc::clone(&self.stop));
            let ear = Ear::with(name, identity, relay, &link, &stop, client, Arc::default())?;
            self.ears.push(ear);
            self.pass(Duration::from_millis(30));
            // A machine that is busy lets them in as it can.
            self.wait(AT_ONCE)?;
        }
        self.wait(0)?;
        self.pass(Duration::from_secs(5));
        eprintln!("all hear; measuring for {:?} ...", options.step);
        let opened =
            |ears: &[Ear]| ears.iter().map(|ear| u64::from(ear.opened.load(Ordering::Relaxed))).sum::<u64>();
        let used = |nodes: &[Option<Moq>; 3]| {
            [0, 1, 2].map(|place: usize| {
                let node = nodes.get(place).and_then(Option::as_ref);
                node.map_or(Duration::ZERO, |node| cpu::of_process(node.pid()))
            })
        };
        let (threads, before, heard) = (Threads::now(), used(&self.nodes), opened(&self.ears));
        let since = Instant::now();
        self.pass(options.step);
        let seconds = since.elapsed().as_secs_f64();
        let (now, after) = (Threads::now(), used(&self.nodes));
        let percent = |used: Duration| used.as_secs_f64() / seconds * 100.0;
        Ok(Costs {
            listeners,
            opened_s: (opened(&self.ears) - heard) as f64 / seconds / listeners as f64,
            nodes: [0, 1, 2].map(|place: usize| {
                let of = |all: &[Duration; 3]| all.get(place).copied().unwrap_or_default();
                percent(of(&after).saturating_sub(of(&before)))
            }),
            sessions: percent(now.since(&threads, &["listener"])),
            connections: percent(now.since(&threads, &["moq connection"])),
            stage: percent(now.since(&threads, &["stage"])),
            threads: now.len(),
            subscriptions: [0, 1, 2].map(|place: usize| self.nodes.get(place).map_or(0, subscriptions)),
        })
    }

    /// Waits until at most so many of those who came hear nothing yet.
    fn wait(&mut self, deaf: usize) -> Result<(), Box<dyn Error>> {
        let until = Instant::now() + Duration::from_secs(60);
        while self.ears.iter().filter(|ear| !ear.has_heard()).count() > deaf {
            if Instant::now() > until {
                return Err(format!("more than {deaf} of {} hear nothing", self.ears.len()).into());
            }
            self.pass(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Kills a node, and waits until its listeners have had time to hear again.
    fn kill(mut self, number: usize) -> Result<Ended, Box<dyn Error>> {
        let node = number - 1;
        eprintln!("node {number} is killed ...");
        let killed = Instant::now();
        drop(self.nodes.get_mut(node).and_then(Option::take));
        self.pass(AFTER);
        let ended = Instant::now();
        let codes: std::collections::BTreeSet<_> = self
            .ears
            .iter()
            .filter_map(|ear| ear.code.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .collect();
        self.stop.store(true, Ordering::Relaxed);
        let mut ears = Vec::new();
        for ear in self.ears {
            ears.push(ear.end()?);
        }
        let mut stage = Vec::new();
        for player in self.speakers.into_iter().chain([self.host]) {
            stage.push(player.end()?);
        }
        Ok(Ended { names: self.names, node, killed, ended, ears, stage, codes: codes.len() })
    }
}

/// What everybody has to show.
struct Ended {
    names: Vec<RelayName>,
    node: usize,
    killed: Instant,
    ended: Instant,
    ears: Vec<Heard>,
    stage: Vec<Shown>,
    codes: usize,
}

impl Ended {
    fn told(self, costs: Costs, everybody: (usize, [u64; 3])) -> (Outcome, bool) {
        let Self { names, node, killed, ended, ears, stage, codes } = self;
        let said: Vec<(MemberId, &Spoken)> =
            stage.iter().flat_map(|shown| shown.spoken.iter().map(|spoken| (shown.id, spoken))).collect();
        // What is under way in the end is not missed.
        let late = ended - Duration::from_millis(500);
        let rows = [0, 1, 2].map(|place: usize| {
            let mut row = Row::default();
            for ear in ears.iter().skip(place).step_by(3) {
                let times: Vec<Instant> = ear.got.iter().map(|got| got.at).collect();
                let Some(first) = times.first().copied() else { continue };
                row.listeners += 1;
                row.heard += times.len() as u64;
                // Of packets that are the same, each counts once.
                let mut opened: HashMap<(MemberId, Option<Frame<'_>>), u32> = HashMap::new();
                for got in &ear.got {
                    *opened.entry((got.from, frame(&got.opus))).or_default() += 1;
                }
                for (who, spoken) in &said {
                    match opened.get_mut(&(*who, frame(&spoken.opus))).filter(|left| **left > 0) {
                        Some(left) => *left -= 1,
                        None if spoken.at > killed && spoken.at < late => row.missed += 1,
                        None if spoken.at > first && spoken.at <= killed => row.missed_before += 1,
                        None => {}
                    }
                }
                let around = times.iter().copied().filter(|at| *at + Duration::from_secs(1) > killed);
                let around: Vec<Instant> = around.chain([ended]).collect();
                let gap = around.windows(2).map(|pair| (pair[1] - pair[0], pair[1])).max();
                let (gap, back) = gap.unwrap_or((ended - killed, ended));
                row.gaps.push(gap);
                row.backs.push(back.saturating_duration_since(killed));
            }
            row.gaps.sort_unstable();
            row.backs.sort_unstable();
            row
        });
        let elsewhere = |ear: &&Heard| ear.relay.as_ref() != names.get(node);
        let moved = ears.iter().skip(node).step_by(3).filter(elsewhere).count();
        let violations = ears.iter().map(|ear| ear.violations).sum();
        let outcome = Outcome { costs, everybody, killed: node, rows, moved, violations, codes };
        let kept = outcome.kept();
        (outcome, kept)
    }
}

/// As many members as are made to subscribe to one another: at 300 it would be 179,400 times.
const EVERYBODY: usize = 60;
/// How many come at a time.
const AT_ONCE: usize = 8;
/// How long one speaks before the other one does.
const TURN: Duration = Duration::from_secs(5);
/// How long it goes on after the node is killed.
const AFTER: Duration = Duration::from_secs(12);
