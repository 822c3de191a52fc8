//! Tries whether an adapter keeps to SPEC section 8.1: for whoever writes one.
//!
//! ```text
//! factory of members > lanes: delivery, order, sizes, back-pressure, cancellation, close, reconnect
//!                    > room:  the same members through a hostile middle, which drops, alters, replays
//!                    > report: one line a check, passed or why not
//! ```
//!
//! ```
//! use sottovoce::{conformance::{self, KitOptions}, transport::loopback::Hub};
//! let hub = Hub::new("loopback".parse()?);
//! let report = conformance::lanes(move || hub.client(), &KitOptions::new(["loopback".parse()?]));
//! assert!(report.passed(), "{report}");
//! # Ok::<(), sottovoce::transport::InvalidRelayName>(())
//! ```
//!
//! It runs on real time and on threads of its own, and drives futures with
//! [`block_on`](crate::transport::block_on): an adapter that needs a runtime has to be made inside
//! one that goes on by itself. Nothing here panics, and an adapter that hangs or panics fails the
//! check that it did so in.

mod hostile;
mod lanes;
mod room;
mod waiting;

use std::{
    fmt,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::transport::{RelayName, RoomHandle, Transport};
pub use hostile::{Attack, Hostile, Middle};

/// What the checks need to know about an adapter.
#[derive(Clone, Debug)]
pub struct KitOptions {
    /// The relays that its members may contact: an allow-list.
    pub allowed: Vec<RelayName>,
    /// Makes the hostile middle do the same again, as far as the adapter's timing lets it.
    pub seed: u64,
    /// How long something that has to come may take.
    pub patience: Duration,
    /// How long one check may take, after which it has failed.
    pub limit: Duration,
    /// Ends the relay's side of all connections. Without it nobody tries whether members notice
    /// that, and the report says so.
    pub cut: Option<Cut>,
}

/// Ends the relay's side of all connections, as a relay that is restarted does: members are told
/// nothing else, and can connect again.
#[derive(Clone)]
pub struct Cut(Arc<dyn Fn() + Send + Sync>);

impl Cut {
    /// Cuts connections by calling this.
    pub fn new(cut: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(cut))
    }
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cut(..)")
    }
}

impl KitOptions {
    /// Options for members that may contact these relays: seed 1, 10 s of patience, 90 s for one
    /// check, and no way to cut connections.
    pub fn new(allowed: impl IntoIterator<Item = RelayName>) -> Self {
        Self {
            allowed: allowed.into_iter().collect(),
            seed: 1,
            patience: Duration::from_secs(10),
            limit: Duration::from_secs(90),
            cut: None,
        }
    }
}

/// What came of the checks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KitReport {
    /// Each check, in the order in which they ran.
    pub checks: Vec<Check>,
    /// The seed of the hostile middle.
    pub seed: u64,
    /// Names of checks that were not made, because [`KitOptions::cut`] was not given.
    pub untried: Vec<&'static str>,
}

/// What came of one check.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Check {
    /// What it is called.
    pub name: &'static str,
    /// What it holds the adapter to.
    pub promise: &'static str,
    /// Why it failed, if it did.
    pub result: Result<(), String>,
    /// How long it took.
    pub took: Duration,
}

/// All checks: those of [`lanes`](fn@lanes), then those of [`room`](fn@room).
pub fn run<T: Transport + 'static>(
    members: impl Fn() -> T + Send + Sync + 'static,
    options: &KitOptions,
) -> KitReport {
    let members = Arc::new(members);
    let (first, second) = (Arc::clone(&members), members);
    let mut report = lanes(move || first(), options);
    report.checks.extend(room(move || second(), options).checks);
    report
}

/// The checks of the two lanes, with members that `members` makes, not yet connected, all of one
/// relay.
pub fn lanes<T: Transport + 'static>(
    members: impl Fn() -> T + Send + Sync + 'static,
    options: &KitOptions,
) -> KitReport {
    let kit = Kit::new(members, options);
    let (with_cut, untried) = match options.cut {
        Some(_) => (vec![lanes::lost()], Vec::new()),
        None => (Vec::new(), vec![lanes::LOST]),
    };
    let all = lanes::all().into_iter().chain(with_cut);
    let checks = all.map(|(name, promise, check)| kit.check(name, promise, check)).collect();
    KitReport { checks, seed: options.seed, untried }
}

/// The room scenario: a host who speaks, a guest who speaks, and one who is banned in the end, each
/// behind a [`Hostile`] middle that tries one attack after the other. Whatever it does, nothing is
/// opened that was not sealed, nor twice; and when it stops, the room goes on.
pub fn room<T: Transport + 'static>(
    members: impl Fn() -> T + Send + Sync + 'static,
    options: &KitOptions,
) -> KitReport {
    let kit = Kit::new(members, options);
    let checks = room::all().into_iter().map(|(name, promise, check)| kit.check(name, promise, check));
    KitReport { checks: checks.collect(), seed: options.seed, untried: Vec::new() }
}

/// What a check is given.
struct Stage<T> {
    members: Arc<dyn Fn() -> T + Send + Sync>,
    options: KitOptions,
    /// A room that no other check uses.
    room: RoomHandle,
}

/// Why a check failed, in words.
type Outcome = Result<(), String>;

/// Name, promise, and what tries it.
type Listed<T> = (&'static str, &'static str, fn(&Stage<T>) -> Outcome);

struct Kit<T> {
    members: Arc<dyn Fn() -> T + Send + Sync>,
    options: KitOptions,
}

impl<T: Transport + 'static> Kit<T> {
    fn new(members: impl Fn() -> T + Send + Sync + 'static, options: &KitOptions) -> Self {
        Self { members: Arc::new(members), options: options.clone() }
    }

    /// Runs one check on a thread of its own, so that neither a panic nor a hang ends the others.
    fn check(&self, name: &'static str, promise: &'static str, check: fn(&Stage<T>) -> Outcome) -> Check {
        let start = Instant::now();
        let stage = Stage {
            members: Arc::clone(&self.members),
            options: self.options.clone(),
            room: RoomHandle::from_bytes(rand::random()),
        };
        let (tell, told) = mpsc::channel();
        let thread = thread::Builder::new().name(format!("check {name}")).spawn(move || {
            // Nobody listens any more once the time was up.
            let _ = tell.send(check(&stage));
        });
        let result = match thread {
            Err(error) => Err(format!("no thread for it: {error}")),
            Ok(_) => told.recv_timeout(self.options.limit).unwrap_or_else(|error| match error {
                mpsc::RecvTimeoutError::Timeout => Err(format!("not done after {:?}", self.options.limit)),
                mpsc::RecvTimeoutError::Disconnected => Err("it panicked".to_owned()),
            }),
        };
        Check { name, promise, result, took: start.elapsed() }
    }
}

impl KitReport {
    /// Whether every check has passed.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.result.is_ok())
    }

    /// The checks that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.result.is_err())
    }
}

/// A table in Markdown: check, promise, passed or why not.
impl fmt::Display for KitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| check (seed {}) | promise | result |\n| --- | --- | --- |", self.seed)?;
        for Check { name, promise, result, took } in &self.checks {
            match result {
                Ok(()) => writeln!(f, "| {name} | {promise} | passed, {:.1} s |", took.as_secs_f64())?,
                Err(why) => writeln!(f, "| {name} | {promise} | **failed**: {why} |")?,
            }
        }
        for name in &self.untried {
            writeln!(f, "| {name} | | not tried: there is no way to cut connections |")?;
        }
        Ok(())
    }
}
