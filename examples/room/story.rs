//! The story: who comes, who speaks when, who is banned half way, who comes late.
//!
//! ```text
//! host ── invite ─> guests knock ─> speech starts ── half way: ban ── two thirds: latecomer ── end
//! ```

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sottovoce::codec::SAMPLE_RATE;
use sottovoce::group::{Name, Role};
use sottovoce::relay::{Relay, RelayOptions, log};
use sottovoce::report::ModerationKey;
use sottovoce::room::RoomOptions;
use sottovoce::transport::{Percent, RelayName};
use sottovoce::{Epoch, MemberId};

use crate::control::send_in_clear;
use crate::report;
use sottovoce_examples::room::args::Options;
use sottovoce_examples::room::member::{self, FRAME, News, Order, Outcome, Person};
use sottovoce_examples::room::out::Dir;

/// What the room is called, and nobody outside may read.
pub const ROOM_NAME: &str = "The evening room of the harbour choir";
/// What the relay saw of the room.
pub const SEALED_LOG: &str = "relay.log";
/// What the relay saw of the control run.
pub const CONTROL_LOG: &str = "relay-control.log";

/// Places in the cast.
const HOST: usize = 0;
const SPEAKER: usize = 1;
/// A listener that is there from the start to the end.
pub const LISTENER: usize = 2;
/// The one that is banned.
pub const REBEL: usize = 3;

/// What happened.
pub struct Told {
    /// Everybody, in the order in which they came, and what they have to show.
    pub cast: Vec<(Person, Outcome)>,
    /// When the speech started, by our clock.
    pub started: Instant,
    /// The same, by the clock of the relay's log.
    pub starts_at: Duration,
    /// When the control run's speech started, by the clock of its relay's log.
    pub control_starts_at: Duration,
    /// When the host banned the rebel.
    pub banned_at: Instant,
    /// The first epoch without it.
    pub banned_from: Epoch,
    /// What a listener reported of the speaker, and whose that is.
    pub report: (MemberId, Vec<u8>),
    /// The Opus packets of the control run.
    pub control_packets: Vec<Vec<u8>>,
}

impl Told {
    /// From the ban until the last speaker had changed keys, or, if that was later, until the last
    /// packet that still opened for the banned member.
    pub fn deaf(&self) -> Option<Duration> {
        let speakers = self.cast.iter().filter(|(_, outcome)| !outcome.spoken.is_empty());
        let switched: Option<Vec<_>> =
            speakers.map(|(_, outcome)| outcome.entered.get(&self.banned_from).copied()).collect();
        let (_, rebel) = self.cast.get(REBEL)?;
        let last = rebel.heard.iter().map(|got| got.at).max();
        let end = switched?.into_iter().chain(last).max()?;
        Some(end.saturating_duration_since(self.banned_at))
    }

    /// Packets that reached the banned member after the ban.
    pub fn received_after_ban(&self, rebel: &Outcome) -> u64 {
        let before = rebel.heard.iter().filter(|got| got.at < self.banned_at).count() as u64;
        rebel.received.saturating_sub(before)
    }

    /// The members as the report shows them.
    pub fn members(&self) -> Vec<report::Member> {
        let member = |(place, (person, outcome)): (usize, &(Person, Outcome))| report::Member {
            name: person.name.to_string(),
            role: role_name(person.role).to_owned(),
            received: outcome.received,
            opened: outcome.opened,
            refused: outcome.refused.clone(),
            join: outcome.join,
            deaf: if place == REBEL { self.deaf() } else { None },
        };
        self.cast.iter().enumerate().map(member).collect()
    }
}

/// Runs the room and the control run side by side, and waits for both.
pub fn tell(
    options: &Options,
    speech: &[i16],
    dir: &Dir,
    moderator: ModerationKey,
) -> Result<Told, Box<dyn Error>> {
    let people = cast(options, speech)?;
    let ids: Vec<MemberId> = people.iter().map(|person| person.identity().id()).collect();
    let announcements = announcements(&people, &ids);
    let loss = Percent::new(options.loss_percent)?;
    let (relay, log_began) = relay(dir, SEALED_LOG, loss, options.seed)?;
    let (open_relay, open_log_began) = relay_in_the_open(dir)?;
    let mut stage = Stage::open(&people, relay.name())?;

    let regulars = people.len() - 1;
    for place in 1..regulars {
        stage.enter(place)?;
    }
    let started = Instant::now() + Duration::from_millis(300);
    for place in 0..regulars {
        stage.order(place, Order::Start(started))?;
    }
    let control = {
        let (name, speech) = (open_relay.name(), speech.to_vec());
        thread::spawn(move || {
            send_in_clear(&name, &speech, started, &announcements).map_err(|error| error.to_string())
        })
    };

    let length = Duration::from_secs_f64(speech.len() as f64 / f64::from(SAMPLE_RATE));
    sleep_until(started + length / 2);
    stage.order(REBEL, Order::Rebel)?;
    stage.wait(|news| matches!(news, News::Rebelled).then_some(()))?;
    stage.order(HOST, Order::Ban(ids[REBEL]))?;
    let banned_at = stage.wait(|news| if let News::Banned(at) = news { Some(*at) } else { None })?;
    sleep_until(started + length * 2 / 3);
    stage.enter(regulars)?;
    stage.order(regulars, Order::Start(started))?;
    sleep_until(started + length + Duration::from_millis(300));
    stage.order(LISTENER, Order::Report(ids[SPEAKER], moderator))?;
    let report =
        stage.wait(|news| if let News::Reported(report) = news { Some(report.clone()) } else { None })?;

    let outcomes = stage.close()?;
    let control_packets = control.join().map_err(|_| "the control run panicked")??;
    relay.stop()?;
    open_relay.stop()?;
    let host = outcomes.get(HOST).ok_or("there is no host")?;
    let banned_from = host.entered.iter().find(|(_, at)| **at >= banned_at).map(|(epoch, _)| *epoch);
    Ok(Told {
        banned_from: banned_from.ok_or("the ban made no epoch")?,
        cast: people.into_iter().zip(outcomes).collect(),
        started,
        starts_at: started.saturating_duration_since(log_began),
        control_starts_at: started.saturating_duration_since(open_log_began),
        banned_at,
        report: (ids[SPEAKER], report?),
        control_packets,
    })
}

/// The threads of the members, and the channels to them.
struct Stage {
    people: Vec<Spot>,
    relay: RelayName,
    invite: String,
    news: Receiver<News>,
    tell: Sender<News>,
}

struct Spot {
    person: Person,
    orders: Sender<Order>,
    inbox: Option<Receiver<Order>>,
    thread: Option<JoinHandle<Result<Outcome, String>>>,
}

impl Stage {
    /// Makes the room.
    fn open(people: &[Person], relay: RelayName) -> Result<Self, Box<dyn Error>> {
        let roles: HashMap<MemberId, Role> = people.iter().map(|p| (p.identity().id(), p.role)).collect();
        let (tell, news) = channel();
        let spots = people.iter().map(|person| {
            let (orders, inbox) = channel();
            Spot { person: person.clone(), orders, inbox: Some(inbox), thread: None }
        });
        let mut stage = Self { people: spots.collect(), relay, invite: String::new(), news, tell };
        let options = RoomOptions::new(Name::new(ROOM_NAME)?, [stage.relay.clone()]);
        let (relay, tell) = (stage.relay.clone(), stage.tell.clone());
        stage
            .spawn(HOST, move |person, inbox| member::host(&person, &relay, options, &roles, inbox, &tell))?;
        stage.invite =
            stage.wait(|news| if let News::Invite(text) = news { Some(text.clone()) } else { None })?;
        Ok(stage)
    }

    /// Lets somebody knock, and waits until it is in.
    fn enter(&mut self, place: usize) -> Result<(), Box<dyn Error>> {
        let invite = self.invite.parse()?;
        let (relay, tell) = (self.relay.clone(), self.tell.clone());
        let part = if place == REBEL { member::rebel } else { member::guest };
        self.spawn(place, move |person, inbox| part(&person, &relay, invite, inbox, &tell))?;
        let id = self.people[place].person.identity().id();
        self.wait(|news| matches!(news, News::Joined(who) if *who == id).then_some(()))
    }

    fn spawn(
        &mut self,
        place: usize,
        part: impl FnOnce(Person, &Receiver<Order>) -> Result<Outcome, Box<dyn Error>> + Send + 'static,
    ) -> Result<(), Box<dyn Error>> {
        let spot = &mut self.people[place];
        let inbox = spot.inbox.take().ok_or("somebody came twice")?;
        let (person, tell) = (spot.person.clone(), self.tell.clone());
        spot.thread = Some(thread::spawn(move || {
            let name = person.name.to_string();
            part(person, &inbox).map_err(|error| {
                let said = format!("{name}: {error}");
                // Who waits for news learns it from there, who does not learns it at the end.
                let _ = tell.send(News::Failed(said.clone()));
                said
            })
        }));
        Ok(())
    }

    fn order(&self, place: usize, order: Order) -> Result<(), Box<dyn Error>> {
        Ok(self.people[place].orders.send(order)?)
    }

    /// Waits for a piece of news, ten seconds at most.
    fn wait<T>(&self, wanted: impl Fn(&News) -> Option<T>) -> Result<T, Box<dyn Error>> {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            match self.news.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(News::Failed(error)) => return Err(error.into()),
                Ok(news) => {
                    if let Some(found) = wanted(&news) {
                        return Ok(found);
                    }
                }
                Err(_) => return Err("the room does not go on: no answer for ten seconds".into()),
            }
        }
    }

    /// Ends everybody's part, the host's last, and collects what they have to show.
    fn close(self) -> Result<Vec<Outcome>, Box<dyn Error>> {
        let mut outcomes = Vec::new();
        for spot in self.people.into_iter().rev() {
            spot.orders.send(Order::Stop).ok();
            let thread = spot.thread.ok_or("somebody never came")?;
            outcomes.push(thread.join().map_err(|_| "a member panicked")??);
        }
        outcomes.reverse();
        Ok(outcomes)
    }
}

/// Who takes part. Host and speaker take turns of four seconds, and send silence while the other
/// speaks.
fn cast(options: &Options, speech: &[i16]) -> Result<Vec<Person>, Box<dyn Error>> {
    let late = options.members - 1;
    let turns = |turn: usize| {
        let mut track = speech.to_vec();
        for (index, block) in track.chunks_mut(TURN_FRAMES * FRAME.samples()).enumerate() {
            if index % 2 != turn {
                block.fill(0);
            }
        }
        track
    };
    (0..options.members)
        .map(|place| {
            let name = match place {
                _ if place == late => "Dorothea".to_owned(),
                place => {
                    NAMES.get(place).map_or_else(|| format!("Listener {place}"), |name| (*name).to_owned())
                }
            };
            let (role, track) = match place {
                HOST => (Role::Host, turns(0)),
                SPEAKER => (Role::Speaker, turns(1)),
                _ => (Role::Listener, Vec::new()),
            };
            Ok(Person { name: Name::new(&name)?, seed: rand::random(), role, track })
        })
        .collect()
}

/// What the app of the control run tells its vendor about people and room.
fn announcements(people: &[Person], ids: &[MemberId]) -> Vec<String> {
    let hex = |id: &MemberId| id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let lines = people.iter().zip(ids).map(|(person, id)| {
        format!(r#"{{"room":"{ROOM_NAME}","user":"{}","name":"{}"}}"#, hex(id), person.name)
    });
    lines.collect()
}

fn relay(dir: &Dir, log: &str, loss: Percent, seed: u64) -> Result<(Relay, Instant), Box<dyn Error>> {
    let path = dir.file(log);
    let file = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let began = Instant::now();
    let options =
        RelayOptions { media_loss: loss, seed, log: Some(log::Writer::new(file)?), ..Default::default() };
    Ok((Relay::start(([127, 0, 0, 1], 0).into(), options)?, began))
}

fn relay_in_the_open(dir: &Dir) -> Result<(Relay, Instant), Box<dyn Error>> {
    relay(dir, CONTROL_LOG, Percent::ZERO, 0)
}

fn sleep_until(at: Instant) {
    thread::sleep(at.saturating_duration_since(Instant::now()));
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Host => "host",
        Role::Moderator => "moderator",
        Role::Speaker => "speaker",
        Role::Listener => "listener",
        _ => "recorder",
    }
}

const NAMES: [&str; 8] =
    ["Rosalind", "Benedict", "Clementine", "Mallory", "Leopold", "Valentina", "Ferdinand", "Harriet"];
const TURN_FRAMES: usize = 100;
