//! Those on the stage, each on a thread of its own.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sottovoce::codec::Encoder;
use sottovoce::driver::{Next, Session};
use sottovoce::group::{Identity, Role};
use sottovoce::room::{Event, Invite, InviteOptions, RoomOptions};
use sottovoce::stage::StageEvent;
use sottovoce::transport::{RelayName, Transport, block_on};
use sottovoce::{Authenticity, MemberId, PacketSize, Stamp};

use sottovoce_examples::room::member::{FRAME, FRAME_TIME};

/// A packet that was sealed.
pub struct Spoken {
    pub at: Instant,
    pub opus: Vec<u8>,
}

/// What somebody on the stage is told to do.
pub enum Order {
    /// Ban a listener.
    Ban(MemberId),
    /// End the room.
    Close,
}

/// What happened on the stage.
pub enum News {
    /// It is entered.
    In,
    /// Links to the stage and to the audience.
    Links(String, String),
    Audience(Instant, StageEvent),
    LetUp(Instant, Result<(), String>),
    Banned(Instant),
    /// It cannot go on, and why.
    Failed(String),
}

/// What somebody on the stage has to show in the end.
pub struct Shown {
    pub name: String,
    pub id: MemberId,
    pub spoken: Vec<Spoken>,
    pub dropped: (u64, u64),
}

/// Somebody on the stage, from outside.
pub struct Player {
    pub id: MemberId,
    pub orders: Sender<Order>,
    pub news: Receiver<News>,
    /// It speaks while this is set.
    pub speaks: Arc<AtomicBool>,
    /// How many listen, as it knows.
    pub audience: Arc<AtomicUsize>,
    pub lanes: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Shown, String>>,
}

/// How somebody comes on the stage.
pub enum Entry {
    Opens(RoomOptions),
    Joins(Box<Invite>),
}

impl Player {
    /// Comes on the stage at `relay`, to which `client` connects.
    pub fn new<T: Transport + 'static>(
        name: &str,
        identity: Identity,
        relay: RelayName,
        entry: Entry,
        track: Arc<[i16]>,
        client: fn(&RelayName) -> Option<T>,
    ) -> Result<Self, Box<dyn Error>> {
        let (orders, inbox) = channel();
        let (tell, news) = channel();
        let (id, name) = (identity.id(), name.to_owned());
        let (speaks, stop) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (audience, lanes) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let own = (Arc::clone(&speaks), Arc::clone(&stop), Arc::clone(&audience), Arc::clone(&lanes));
        let failed = tell.clone();
        let thread = thread::Builder::new().name("stage".to_owned()).spawn(move || {
            let (speaks, stop, audience, lanes) = own;
            let enter = || -> Result<_, Box<dyn Error>> {
                let transport = client(&relay).ok_or("no transport for this relay")?;
                let opens = matches!(entry, Entry::Opens(_));
                let session = block_on(async {
                    match entry {
                        Entry::Opens(options) => Session::create(transport, identity, options).await,
                        Entry::Joins(invite) => Session::join(transport, identity, *invite).await,
                    }
                })?;
                // The one option that makes a stage room of a room.
                let mut session = session.with_hall(client)?;
                if opens {
                    let stage = session.invite(InviteOptions::default())?;
                    let mut audience = InviteOptions::default();
                    audience.role = Some(Role::Listener);
                    let audience = session.invite(audience)?;
                    tell.send(News::Links(stage.to_string(), audience.to_string()))?;
                }
                let encoder = Encoder::new(FRAME, PacketSize::default(), Authenticity::Signed)?;
                Ok(Playing {
                    session,
                    encoder,
                    track,
                    at: 0,
                    spoken: Vec::new(),
                    tell,
                    audience,
                    lanes,
                    promoted: None,
                })
            };
            let played = enter().and_then(|mut playing| {
                playing.play(&inbox, &speaks, &stop)?;
                Ok(playing)
            });
            match played {
                Ok(playing) => Ok(playing.end(name, id)),
                Err(error) => {
                    let said = format!("{name}: {error}");
                    // Who waits for news learns it from there, who does not learns it at the end.
                    let _ = failed.send(News::Failed(said.clone()));
                    Err(said)
                }
            }
        })?;
        Ok(Self { id, orders, news, speaks, audience, lanes, stop, thread })
    }

    /// Waits for a piece of news.
    pub fn wait<T>(&self, wanted: impl Fn(News) -> Option<T>) -> Result<T, Box<dyn Error>> {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let news = self.news.recv_timeout(left).map_err(|_| "the stage does not go on")?;
            if let News::Failed(error) = news {
                return Err(error.into());
            }
            if let Some(found) = wanted(news) {
                return Ok(found);
            }
        }
    }

    pub fn end(self) -> Result<Shown, Box<dyn Error>> {
        self.stop.store(true, Ordering::Relaxed);
        Ok(self.thread.join().map_err(|_| "somebody on the stage panicked")??)
    }
}

struct Playing<T> {
    session: Session<T>,
    encoder: Encoder,
    track: Arc<[i16]>,
    /// The next sample to say.
    at: usize,
    spoken: Vec<Spoken>,
    tell: Sender<News>,
    audience: Arc<AtomicUsize>,
    lanes: Arc<AtomicUsize>,
    /// Who becomes a moderator once it is in.
    promoted: Option<MemberId>,
}

impl<T: Transport> Playing<T> {
    fn play(
        &mut self,
        orders: &Receiver<Order>,
        speaks: &AtomicBool,
        stop: &AtomicBool,
    ) -> Result<(), Box<dyn Error>> {
        let (mut tick, mut is_in, mut is_over) = (Instant::now(), false, false);
        while !stop.load(Ordering::Relaxed) {
            match orders.try_recv() {
                Ok(Order::Ban(member)) => {
                    let now = self.session.now();
                    self.session.room_mut().ban(member, now)?;
                    self.tell.send(News::Banned(now))?;
                }
                Ok(Order::Close) => self.session.room_mut().close()?,
                Err(_) => {}
            }
            if let Some(stage) = self.session.stage() {
                self.audience.store(stage.audience() as usize, Ordering::Relaxed);
                self.lanes.store(self.session.hall_connections(), Ordering::Relaxed);
                if !std::mem::replace(&mut is_in, true) {
                    self.tell.send(News::In)?;
                }
            }
            if is_in && !is_over && speaks.load(Ordering::Relaxed) && tick <= Instant::now() {
                self.speak()?;
            }
            while tick <= Instant::now() {
                tick += FRAME_TIME;
            }
            loop {
                match block_on(self.session.next(tick))? {
                    Next::Event(Event::Over(_)) => is_over = true,
                    Next::Event(event) => self.take(event)?,
                    Next::Packet(_) => {}
                    Next::Idle => break,
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, event: Event) -> Result<(), Box<dyn Error>> {
        match event {
            Event::Knocked { knock, member, name } => {
                let now = self.session.now();
                self.session.room_mut().admit_as(knock, Role::Speaker, now)?;
                if name.as_str() == MODERATOR {
                    self.promoted = Some(member);
                }
            }
            Event::Changed { joined, .. } => {
                if let Some(member) = self.promoted.take_if(|member| joined.contains(member)) {
                    let now = self.session.now();
                    self.session.room_mut().set_role(member, Role::Moderator, now)?;
                }
            }
            Event::Hall(event) => {
                let now = self.session.now();
                if let StageEvent::Hand { member, up: true } = event {
                    // Whoever it listens by lets it up.
                    self.tell.send(News::Audience(now, event))?;
                    let up = self.session.let_up(member).map_err(|error| error.to_string());
                    self.tell.send(News::LetUp(self.session.now(), up))?;
                } else {
                    self.tell.send(News::Audience(now, event))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn speak(&mut self) -> Result<(), Box<dyn Error>> {
        let frame = self.track.get(self.at..self.at + FRAME.samples());
        let frame = match frame {
            Some(frame) => frame,
            None => {
                self.at = 0;
                self.track.get(..FRAME.samples()).ok_or("there is nothing to say")?
            }
        };
        self.at += FRAME.samples();
        let mut opus = vec![0; self.encoder.packet_len()];
        let length = self.encoder.encode(frame, &mut opus)?;
        opus.truncate(length);
        // Without a key nobody hears it, and it counts for nobody.
        let at = Instant::now();
        if self.session.speak(&opus, Stamp::default()).is_ok() {
            self.spoken.push(Spoken { at, opus });
        }
        Ok(())
    }

    fn end(self, name: String, id: MemberId) -> Shown {
        let dropped = self.session.hall_dropped();
        let _ = block_on(self.session.close());
        Shown { name, id, spoken: self.spoken, dropped }
    }
}

/// Whom the host makes a moderator when it comes.
pub const MODERATOR: &str = "Rosalind";
