//! The thread of a connection: time, a socket, QUIC, MoQ and the room, each of which only does
//! something when it is polled.

use std::{
    collections::VecDeque,
    future::Future,
    net::SocketAddr,
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use moq_net::{Client, Driver, Error, kio::Park, origin};
use quinn_proto::{VarInt, crypto::rustls::HandshakeData};

use super::{
    Lane,
    clock::Clock,
    place::{Lanes, Place},
    publish::{self, Voice},
    room::{self, Others},
    session::{Link, Session, lock},
    streams::Codes,
    tls,
};
use crate::transport::{
    Part, TransportError,
    attempts::Claim,
    line::{End, Line},
    quic::{
        pipe::{Pipe, why},
        tls::Terms,
    },
    stats::Gauge,
};

/// What a connection is to be.
pub(super) struct Plan {
    pub(super) remote: SocketAddr,
    /// Without brackets, as certificates have it.
    pub(super) host: String,
    pub(super) terms: Terms,
    /// To be taken once the relay has answered.
    pub(super) claim: Claim,
    /// What the relay is asked for: a path, and a token after it.
    pub(super) path: String,
    pub(super) place: Place,
    pub(super) lane: Lane,
    pub(super) part: Part,
}

/// Where to tell whether there is a connection, and what it carries; taken when that is clear.
pub(super) type Told = mpsc::Sender<Result<Lanes, TransportError>>;

/// The part that is made on the caller's thread, so that it can say what is wrong.
pub(super) struct Prepared {
    pipe: Pipe,
    link: Arc<Mutex<Link>>,
    line: Arc<Line>,
    plan: Plan,
}

impl Prepared {
    /// Prepares to reach the relay, and sends nothing yet.
    pub(super) fn new(plan: Plan) -> Result<Self, TransportError> {
        let (pipe, connection) =
            Pipe::open(plan.remote, &plan.host, plan.terms.config.clone(), plan.terms.gate.clone())?;
        let link = Arc::new(Mutex::new(Link::new(connection, Instant::now())));
        let line = Arc::new(Line::new(pipe.waker()));
        Ok(Self { pipe, link, line, plan })
    }

    pub(super) fn line(&self) -> Arc<Line> {
        Arc::clone(&self.line)
    }

    /// Serves the connection until it has ended.
    pub(super) fn run(self, told: Told) {
        Worker::new(self, told).run();
    }
}

struct Worker {
    pipe: Pipe,
    link: Arc<Mutex<Link>>,
    line: Arc<Line>,
    plan: Plan,
    told: Option<Told>,
    clock: Rc<Clock>,
    again: Arc<Again>,
    waker: Waker,
    joined: Option<Joined>,
    packets: VecDeque<Bytes>,
    /// When to look again whether a connection that has said everything can end.
    leave_at: Option<Instant>,
    gauge: Gauge,
    measured: Instant,
}

/// What there is once the handshake is done.
struct Joined {
    lanes: Lanes,
    session: moq_net::Session,
    driver: (Driver<Session>, Park),
    /// Of what we say, and of what we hear.
    origins: Vec<(origin::Driver, Park)>,
    /// None if this member only hears.
    voice: Option<Voice>,
    /// None if this member only says.
    others: Option<(Others, Park)>,
    /// Some drivers want to be polled again by then.
    due: Option<Instant>,
    /// Since when the application has said everything.
    finished: Option<Instant>,
    leaving: Option<Leaving>,
}

/// Ends when the session has.
type Leaving = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

/// Notes that something is to be polled again.
struct Again(AtomicBool);

impl Wake for Again {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Worker {
    fn new(prepared: Prepared, told: Told) -> Self {
        let Prepared { pipe, link, line, plan } = prepared;
        let again = Arc::new(Again(AtomicBool::new(false)));
        Self {
            pipe,
            link,
            line,
            plan,
            told: Some(told),
            clock: Rc::new(Clock::new(Instant::now())),
            waker: Waker::from(Arc::clone(&again)),
            again,
            joined: None,
            packets: VecDeque::new(),
            leave_at: None,
            gauge: Gauge::default(),
            measured: Instant::now(),
        }
    }

    fn run(mut self) {
        let why = loop {
            let now = Instant::now();
            lock(&self.link).now = now;
            self.clock.advance(now);
            let lost = self.handle_events(now);
            self.measure(now);
            let over = lost.or_else(|| self.turn(now).err());
            self.pipe.flush(&mut lock(&self.link).connection, now);
            if let Some(over) = over {
                break over;
            }
            let until = self.poll_timeout().unwrap_or(now + TICK).min(now + TICK);
            self.pipe.wait(until);
            if self.pipe.receive(&mut lock(&self.link).connection) {
                self.line.note_heard(Instant::now());
            }
        };
        let now = Instant::now();
        let mut link = lock(&self.link);
        if !link.connection.is_closed() {
            link.connection.close(now, DONE, Bytes::new());
        }
        drop(link);
        self.pipe.flush(&mut lock(&self.link).connection, now);
        // Whoever asked may have given up in the meantime.
        let _ = self.told.take().map(|told| told.send(Err(why)));
        self.line.hang_up();
    }

    /// Notes once a second how the way is, which is that of both lanes.
    fn measure(&mut self, now: Instant) {
        if self.told.is_some() || now < self.measured + TICK {
            return;
        }
        self.measured = now;
        let link = lock(&self.link);
        self.gauge.note(link.connection.rtt());
        let path = link.connection.stats().path;
        self.gauge.count(path.sent_packets, path.lost_packets);
        self.line.measured(self.gauge, self.gauge);
    }

    /// Gives the reason if the connection is lost.
    fn handle_events(&mut self, now: Instant) -> Option<TransportError> {
        let mut link = lock(&self.link);
        if link.connection.poll_timeout().is_some_and(|due| due <= now) {
            link.connection.handle_timeout(now);
        }
        let lost = link.handle_events()?;
        Some(match self.told {
            Some(_) => why(&lost, self.plan.terms.rejected.load(Ordering::Relaxed)),
            None => TransportError::Closed,
        })
    }

    /// Does all that is to be done now. Fails when the connection is to end.
    fn turn(&mut self, now: Instant) -> Result<(), TransportError> {
        if self.joined.is_none() && !lock(&self.link).connection.is_handshaking() {
            if !self.plan.claim.take() {
                return Err(TransportError::Unreachable);
            }
            self.joined = Some(self.join(now)?);
        }
        if self.told.is_some() && self.joined.is_some() && lock(&self.link).greeted {
            // Whoever asked may have given up in the meantime.
            let lanes = self.joined.as_ref().map_or(Lanes::MediaOnly, |joined| joined.lanes);
            let _ = self.told.take().map(|told| told.send(Ok(lanes)));
        }
        let end = self.line.how_to_end();
        if end == End::GiveUp {
            return Err(TransportError::Closed);
        }
        let Some(joined) = &mut self.joined else { return Ok(()) };
        if self.told.is_none() && joined.leaving.is_none() {
            let datagrams = self.plan.lane == Lane::Datagrams && datagrams_fit(&self.link);
            let said = joined.say(&self.line, &mut self.packets, datagrams, now);
            if said? && end == End::Finish {
                let since = *joined.finished.get_or_insert(now);
                // What has arrived at a relay is not yet read there, and is lost with the
                // connection; and a track that is ended at once leaves groups behind.
                let wait = match &joined.voice {
                    None => Duration::ZERO,
                    Some(voice) if voice.is_heard() => ON_ITS_WAY,
                    Some(_) => UNHEARD,
                };
                self.leave_at = Some((since + wait).max(now + LOOK_AGAIN));
                if now >= since + wait && lock(&self.link).has_arrived() {
                    joined.voice.iter().for_each(Voice::finish);
                    joined.leaving = Some(Box::pin(joined.session.clone().close()));
                    self.leave_at = None;
                }
            }
        }
        for _ in 0..ROUNDS {
            self.again.0.store(false, Ordering::Relaxed);
            joined.poll(now, &mut Context::from_waker(&self.waker))?;
            if !self.again.0.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Begins to speak MoQ.
    fn join(&self, now: Instant) -> Result<Joined, TransportError> {
        let protocol = {
            let link = lock(&self.link);
            let data = link.connection.crypto_session().handshake_data();
            let data = data.and_then(|data| data.downcast::<HandshakeData>().ok());
            data.and_then(|data| data.protocol).and_then(|protocol| String::from_utf8(protocol).ok())
        };
        let protocol = protocol.ok_or(TransportError::Refused)?;
        let (place, part) = (&self.plan.place, self.plan.part);
        let (mut origins, mut ears, mut voice) = (Vec::new(), None, None);
        // What is not given here is what the SETUP says that this member does not do.
        let mut client = Client::new().with_versions(tls::versions()).with_path(self.plan.path.as_str());
        if part != Part::Hears {
            let (mouth, driver) = publish::mouth();
            client = client.with_publisher(&mouth);
            origins.push((driver, Park::default()));
            voice = Some(Voice::new(&mouth, place, now));
        }
        if part != Part::Says {
            let (all, driver) = room::ears();
            let ours = room::of_room(&all, place).ok_or(TransportError::Refused)?;
            client = client.with_subscriber(ours.clone());
            origins.push((driver, Park::default()));
            ears = Some(ours);
        }
        let lanes = if tls::is_lite(&protocol) { Lanes::Both } else { Lanes::MediaOnly };
        let codes = if lanes == Lanes::Both { Codes::Plain } else { Codes::WebTransport };
        let session = Session::new(Arc::clone(&self.link), &protocol, codes);
        // With the protocols that are offered nothing has to be exchanged before the driver runs.
        let connected = pin!(client.connect(now, session)).poll(&mut Context::from_waker(&self.waker));
        let Poll::Ready(Ok((session, driver))) = connected else { return Err(TransportError::Refused) };
        let (line, clock) = (&self.line, &self.clock);
        let others = ears.map(|ears| Others::new(&ears, place, lanes, Arc::clone(line), Rc::clone(clock)));
        Ok(Joined {
            lanes,
            session,
            driver: (driver, Park::default()),
            origins,
            voice,
            others: others.map(|others| (others, Park::default())),
            due: Some(now),
            finished: None,
            leaving: None,
        })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.again.0.load(Ordering::Relaxed) {
            return Some(Instant::now());
        }
        let due = self.joined.as_ref().and_then(|joined| joined.due);
        let voice = self.joined.as_ref().and_then(|joined| joined.voice.as_ref());
        let says = voice.map(Voice::ready_at).filter(|at| *at > self.clock.now());
        let link = lock(&self.link).connection.poll_timeout();
        [due, says, link, self.clock.next(), self.leave_at].into_iter().flatten().min()
    }
}

impl Joined {
    /// Sends what is to be sent. True if that was all.
    fn say(
        &mut self,
        line: &Line,
        packets: &mut VecDeque<Bytes>,
        datagrams: bool,
        now: Instant,
    ) -> Result<bool, TransportError> {
        line.take_media(packets);
        let Some(voice) = &mut self.voice else {
            packets.clear();
            while line.next_control().is_some() {}
            return Ok(true);
        };
        for packet in packets.drain(..) {
            voice.speak(packet, datagrams, now).map_err(|_| TransportError::Closed)?;
        }
        voice.rest(now);
        while voice.ready_at() <= now {
            let Some(message) = line.next_control() else { return Ok(true) };
            voice.say(&message, now).map_err(|_| TransportError::Closed)?;
        }
        Ok(false)
    }

    fn poll(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<(), TransportError> {
        let over = |_: Error| TransportError::Closed;
        if let Some((others, park)) = &mut self.others {
            others.poll(park.hold(cx)).map_err(|_| TransportError::Closed)?;
        }
        let mut due: Option<Instant> = None;
        let mut wanted = |at: Option<Instant>| due = due.into_iter().chain(at).min();
        for (driver, park) in &mut self.origins {
            wanted(driver.poll(now, park.hold(cx)).map_err(over)?);
        }
        let (driver, park) = &mut self.driver;
        wanted(driver.poll(now, park.hold(cx)).map_err(over)?);
        self.due = due;
        let left = self.leaving.as_mut().is_some_and(|leaving| leaving.as_mut().poll(cx).is_ready());
        if left { Err(TransportError::Closed) } else { Ok(()) }
    }
}

/// Whether the largest packet can go in a datagram, with what MoQ puts before it.
fn datagrams_fit(link: &Mutex<Link>) -> bool {
    let most = lock(link).connection.datagrams().max_size();
    most.is_some_and(|most| most >= crate::transport::MAX_MEDIA + DATAGRAM_HEADER)
}

/// The error code of a connection that ends because all is said.
const DONE: VarInt = VarInt::from_u32(0);
/// How long the thread may take to notice what it was not woken for.
const TICK: Duration = Duration::from_secs(1);
/// How often everything is polled in one turn before the socket has its own.
const ROUNDS: usize = 64;
/// How long what was said last is given to be read by the relay, and somebody to subscribe to it.
const ON_ITS_WAY: Duration = Duration::from_millis(250);
const UNHEARD: Duration = Duration::from_millis(500);
/// How often it is looked whether all has arrived.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// The most that MoQ puts before a packet in a datagram.
const DATAGRAM_HEADER: usize = 48;
