//! Somebody in the audience, on a thread of its own.

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sottovoce::MemberId;
use sottovoce::driver::hall::{Listening, ListeningNext};
use sottovoce::driver::policy::Connector;
use sottovoce::group::Identity;
use sottovoce::room::Invite;
use sottovoce::stage::ListenerEvent;
use sottovoce::transport::{RelayName, block_on};

use crate::stubborn::{Counted, Lines};

/// A packet that opened.
pub struct Got {
    pub at: Instant,
    pub from: MemberId,
    pub opus: Bytes,
}

/// What a listener has to show in the end.
pub struct Heard {
    pub name: String,
    pub id: MemberId,
    pub joined: Instant,
    pub got: Vec<Got>,
    /// What the application was told last of why there is silence, when it was over.
    pub end: String,
    pub violations: u32,
    /// Control messages that did nothing, and such that found no way out.
    pub dropped: (u64, u64),
    /// Where it was in the end.
    pub relay: Option<RelayName>,
}

/// What a listener is asked to do.
pub enum Ask {
    Hand,
    Page(u32),
}

/// A listener from outside.
pub struct Ear {
    pub id: MemberId,
    pub asks: Sender<Ask>,
    pub lines: Arc<Lines>,
    /// Packets that opened so far.
    pub opened: Arc<AtomicU32>,
    /// How many people the page had that was asked for.
    pub page: Arc<AtomicU32>,
    pub code: Arc<Mutex<Option<String>>>,
    /// It was told that the stage is gone.
    pub unattended: Arc<AtomicBool>,
    /// Once it is let up: by what, and who it is.
    pub up: Arc<Mutex<Option<(Invite, Identity)>>>,
    thread: JoinHandle<Result<Heard, String>>,
}

impl Ear {
    /// Comes in with `link` at the reference relay of that name, and listens until `stop`, or until
    /// it is let up.
    pub fn new(
        name: String,
        identity: Identity,
        relay: RelayName,
        link: &str,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, Box<dyn Error>> {
        let lines = Arc::<Lines>::default();
        let (counted, only) = (Arc::clone(&lines), relay.clone());
        let connector =
            move |name: &RelayName| (*name == only).then(|| Counted::new(name.clone(), Arc::clone(&counted)));
        Self::with(name, identity, relay, link, stop, connector, lines)
    }

    /// The same by other transports, first at `relay`. Nothing is counted in `lines` but by them.
    pub fn with(
        name: String,
        identity: Identity,
        relay: RelayName,
        link: &str,
        stop: &Arc<AtomicBool>,
        connector: impl Connector + 'static,
        lines: Arc<Lines>,
    ) -> Result<Self, Box<dyn Error>> {
        let (asks, inbox) = channel();
        let (opened, page) = (Arc::default(), Arc::default());
        let (id, invite) = (identity.id(), link.parse::<Invite>()?);
        let code: Arc<Mutex<Option<String>>> = Arc::default();
        let up: Arc<Mutex<Option<(Invite, Identity)>>> = Arc::default();
        let unattended: Arc<AtomicBool> = Arc::default();
        let theirs = Theirs {
            name,
            identity,
            opened: Arc::clone(&opened),
            page: Arc::clone(&page),
            code: Arc::clone(&code),
            up: Arc::clone(&up),
            unattended: Arc::clone(&unattended),
            stop: Arc::clone(stop),
        };
        let thread = thread::Builder::new().name("listener".to_owned()).stack_size(STACK);
        let thread = thread.spawn(move || theirs.listen(&relay, connector, invite, &inbox))?;
        Ok(Self { id, asks, lines, opened, page, code, unattended, up, thread })
    }

    pub fn has_heard(&self) -> bool {
        self.opened.load(Ordering::Relaxed) > 0
    }

    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    pub fn end(self) -> Result<Heard, Box<dyn Error>> {
        Ok(self.thread.join().map_err(|_| "a listener panicked")??)
    }
}

struct Theirs {
    name: String,
    identity: Identity,
    opened: Arc<AtomicU32>,
    page: Arc<AtomicU32>,
    code: Arc<Mutex<Option<String>>>,
    up: Arc<Mutex<Option<(Invite, Identity)>>>,
    unattended: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Theirs {
    fn listen(
        self,
        relay: &RelayName,
        connector: impl Connector + 'static,
        invite: Invite,
        asks: &Receiver<Ask>,
    ) -> Result<Heard, String> {
        let mut audience =
            Listening::join(connector, &self.identity, invite).map_err(|error| error.to_string())?;
        audience.go_to(relay);
        let mut heard = Heard {
            name: self.name,
            id: self.identity.id(),
            joined: audience.now(),
            got: Vec::new(),
            end: String::new(),
            violations: 0,
            dropped: (0, 0),
            relay: None,
        };
        while !self.stop.load(Ordering::Relaxed) {
            match asks.try_recv() {
                Ok(Ask::Hand) => audience.set_hand(true).map_err(|error| error.to_string())?,
                Ok(Ask::Page(number)) => audience.ask_page(number).map_err(|error| error.to_string())?,
                Err(_) => {}
            }
            let until = audience.now() + PATIENCE;
            match block_on(audience.next(until)) {
                ListeningNext::Packet(packet) => {
                    heard.got.push(Got { at: audience.now(), from: packet.member, opus: packet.packet });
                    // Twice a second.
                    if self.opened.fetch_add(1, Ordering::Relaxed).is_multiple_of(12) {
                        let code = audience.code().map(|code| code.to_string());
                        *self.code.lock().unwrap_or_else(PoisonError::into_inner) = code;
                    }
                }
                ListeningNext::Event(ListenerEvent::Up(invite)) => {
                    heard.end = "let up".to_owned();
                    block_on(audience.leave());
                    *self.up.lock().unwrap_or_else(PoisonError::into_inner) = Some((*invite, self.identity));
                    return Ok(heard);
                }
                ListeningNext::Event(ListenerEvent::Page { people, .. }) => {
                    self.page.store(people.len() as u32, Ordering::Relaxed);
                }
                ListeningNext::Event(ListenerEvent::Over(over)) => {
                    heard.end = format!("{over:?}");
                    break;
                }
                ListeningNext::Event(ListenerEvent::Unattended) => {
                    self.unattended.store(true, Ordering::Relaxed);
                }
                ListeningNext::Event(_) | ListeningNext::Idle => {}
            }
        }
        if heard.end.is_empty() {
            heard.end = audience.silence().map_or("it hears".to_owned(), |silence| silence.to_string());
        }
        heard.violations = audience.listener().violations();
        heard.dropped = audience.dropped();
        heard.relay = audience.relay().cloned();
        block_on(audience.leave());
        Ok(heard)
    }
}

/// Threads here are many and hold little.
const STACK: usize = 512 * 1024;
/// How often somebody looks up to whom nothing is said.
const PATIENCE: Duration = Duration::from_millis(250);
