//! Two terminals talk: microphone, seal, relay, seal, loudspeaker.
//!
//! ```text
//! cargo run --release --bin sottovoce-relay                                      a relay, on 127.0.0.1:4433
//! cargo run --release --example talk --features devices -- host 127.0.0.1:4433   prints an invite
//! cargo run --release --example talk --features devices -- join INVITE
//! ```
//!
//! Where there is no microphone or no loudspeaker, or without the feature `devices`, a WAV file
//! stands in: `--play FILE` is said instead, `--record FILE` keeps what is heard. With `--keep DIR`
//! it can be interrupted, and goes on with `talk back --keep DIR`. A relay, a network or a device
//! that is gone for a while ends nothing (`docs/CONNECTION.md`), and a signal ends everything
//! cleanly. `host --music` makes a room for music in stereo. In a terminal it shows who is there
//! and talks; `--plain`, or a pipe, has lines.
//! `--features processing` takes echo and noise out. `--help` lists the rest.

mod args;
mod ends;
mod kept;
mod said;
mod screen;
mod status;
mod typed;

use std::{
    error::Error,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use args::{Args, Part};
use ends::{Ear, Mouth};
use kept::Kept;
use said::Lost;
use screen::{Input, Screen};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};
use sottovoce::{
    driver::policy::{Call, CallNext, Connector, State},
    group::{Name, Role},
    room::{Event, InviteOptions, Room, RoomOptions},
    transport::{RelayName, block_on, tcp_udp::TcpUdpClient},
    voice::{Frame, Receiver, ReceiverOptions, Sender, Totals},
};
use sottovoce_examples::{resample, wav};
use typed::{Desk, Typed};

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args_os().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => {
            print!("{}{}", args::USAGE, typed::COMMANDS);
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("talk: {why}\n\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    match talk(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("talk: {why}");
            ExitCode::FAILURE
        }
    }
}

fn talk(args: &Args) -> Result<(), Box<dyn Error>> {
    let mut kept = Kept::open(args.keep.as_deref())?;
    let identity = kept.identity(&args.name)?;
    // Which relay of the room, and when again, is for the call to say.
    let client = |relay: &RelayName| Some(TcpUdpClient::new(relay.clone()));
    let mut invite = None;
    let call = match &args.part {
        Part::Host(relay) => {
            let mut options = RoomOptions::new(Name::new("Talk")?, [relay.clone()]);
            options.default_role = Role::Speaker;
            options.sound = args.sound;
            let mut call = Call::create(client, identity, options)?;
            let made = call.invite(InviteOptions::default())?.to_string();
            println!("{made}");
            invite = Some(made);
            call
        }
        Part::Join(invite) => Call::join(client, identity, invite.parse()?)?,
        Part::Back => {
            let membership = kept.membership()?.ok_or("there is no room to go back to")?;
            Call::resume(client, identity, &membership)?
        }
    };
    kept.keep(call.room())?;

    let sides = call.room().sound().unwrap_or_default().channels();
    let mouth = Mouth::open(args.play.as_deref(), sides)?;
    let ear = Ear::open(args.record.as_deref(), sides)?;
    let listener = Receiver::new(heard_by(call.room(), &ear), call.now())?;
    // A signal ends it as everything else does, a terminal that is gone too; a second one at once.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    let (screen, inputs) = Screen::open(args.plain)?;
    if let Some(invite) = invite.as_deref().filter(|_| screen.is_full()) {
        screen.say(&format!("Whoever has this invite may come in:\n{invite}"));
    }
    let (began, until) = (call.now(), args.seconds.map(|seconds| call.now() + Duration::from_secs(seconds)));
    let mut talk = Talk {
        call,
        kept,
        mouth,
        ear,
        listener,
        speaker: None,
        microphone: true,
        typed: Typed::default(),
        invite,
        screen,
        lost: Lost::default(),
        reported: began,
        shown: began,
        pcm: vec![0.0; 19_200],
    };
    let mut ended = Ok(true);
    while matches!(ended, Ok(true)) && until.is_none_or(|until| talk.call.now() < until) {
        if stop.load(Ordering::Relaxed) {
            talk.screen.say("interrupted");
            break;
        }
        ended = talk.go_on(&inputs);
    }
    // An error ends the talk, and then still the recording; and the terminal is given back.
    talk.screen.close();
    talk.ear.finish()?;
    ended?;
    let Totals { expected, lost, .. } = talk.listener.totals();
    talk.screen.say(&format!("heard {expected} packets, {lost} of them lost; sent {}", talk.lost.sent));
    let mut call = talk.call;
    match args.part {
        _ if talk.kept.is_some() => {}
        Part::Host(_) => call.room_mut().close()?,
        // Somebody who was never in has nothing to leave.
        Part::Join(_) | Part::Back => drop(call.room_mut().leave()),
    }
    block_on(call.close());
    Ok(())
}

/// Somebody in a room, from microphone to loudspeaker.
struct Talk<C: Connector> {
    call: Call<C>,
    kept: Kept,
    mouth: Mouth,
    ear: Ear,
    listener: Receiver,
    /// Once the room is known.
    speaker: Option<Sender>,
    /// Whether our microphone is on.
    microphone: bool,
    typed: Typed,
    invite: Option<String>,
    screen: Screen,
    lost: Lost,
    /// When losses were reported last, and when the screen was.
    reported: Instant,
    shown: Instant,
    pcm: Vec<f32>,
}

impl<C: Connector> Talk<C> {
    /// Goes once around: what is typed, said, heard and told. `false` if the talk is over.
    fn go_on(&mut self, inputs: &Inputs) -> Result<bool, Box<dyn Error>> {
        let now = self.call.now();
        #[cfg(feature = "devices")]
        self.check_devices(now)?;
        while let Ok(input) = inputs.try_recv() {
            if !self.obey(input, now) {
                return Ok(false);
            }
        }
        self.speak(now)?;
        let speaker = &mut self.speaker;
        self.ear.feed(&mut self.listener, now, &mut |pcm| said::handle_played(speaker, pcm))?;
        self.report(now);
        let tick = self.speaker.as_ref().and_then(Sender::poll_timeout).unwrap_or(now + PACE);
        match block_on(self.call.next(tick.min(now + PACE))) {
            CallNext::Packet(heard) => {
                if let Ok(packet) = Frame::try_from(&heard) {
                    // More talk than there are places: the loudest are heard.
                    let _ = self.listener.hear(packet, self.call.now());
                }
            }
            CallNext::Event(event) => {
                self.kept.keep(self.call.room())?;
                self.handle(event)?;
            }
            CallNext::State(state) => {
                // Each attempt is a line, but not where the head of the screen shows it anyway.
                if !self.screen.is_full() || !matches!(state, State::Reconnecting { attempt: 1.., .. }) {
                    self.screen.say(&state.to_string());
                }
                return Ok(!matches!(state, State::Out { .. }));
            }
            CallNext::Idle => {}
        }
        Ok(true)
    }

    /// Goes on with another device where one is gone.
    #[cfg(feature = "devices")]
    fn check_devices(&mut self, now: Instant) -> Result<(), Box<dyn Error>> {
        let screen = &self.screen;
        let mut say = |text: &str| screen.say(text);
        if self.mouth.check(now, &mut say) {
            self.speaker = None;
        }
        if self.ear.check(now, &mut say) {
            let mut listener = Receiver::new(heard_by(self.call.room(), &self.ear), now)?;
            for (member, tuning) in self.listener.tunings() {
                listener.tune(member, tuning)?;
            }
            listener.set_deafened(self.listener.is_deafened());
            self.listener = listener;
            // It listens to the loudspeaker, too.
            self.speaker = None;
        }
        Ok(())
    }

    /// Does what somebody at the terminal wants. `false` if the talk is to end.
    fn obey(&mut self, input: Input, now: Instant) -> bool {
        match input {
            Input::Leave => return false,
            Input::Gone(why) => {
                self.screen.close();
                self.screen.say(&format!("the terminal is gone: {why}"));
                return false;
            }
            Input::Microphone => self.microphone = !self.microphone,
            Input::Line(line) => {
                let mut desk = Desk {
                    room: self.call.room_mut(),
                    listener: &mut self.listener,
                    microphone: &mut self.microphone,
                    invite: self.invite.as_deref(),
                    now,
                };
                match self.typed.obey(&mut desk, &line) {
                    Some(said) => self.screen.say(&said),
                    None => return false,
                }
            }
        }
        true
    }

    /// Sends what the microphone heard.
    fn speak(&mut self, now: Instant) -> Result<(), Box<dyn Error>> {
        if self.speaker.is_none() {
            self.speaker = said::sender(self.call.room(), self.mouth.format(), self.ear.format())?;
            self.set_live();
        }
        let taken = self.mouth.read(&mut self.pcm, now);
        let Some(speaker) = &mut self.speaker else { return Ok(()) };
        speaker.set_muted(!self.microphone);
        speaker.capture(self.pcm.get(..taken).unwrap_or_default())?;
        while let Some(packet) = speaker.next_packet(now) {
            // Silent for now, what is said is lost, as on any network; but not without a word.
            if let Some(why) = self.lost.note(self.call.speak(packet.opus, packet.stamp)) {
                self.screen.say(&why);
            }
        }
        Ok(())
    }

    /// Tells others what we lose, and the terminal who is heard.
    fn report(&mut self, now: Instant) {
        if now >= self.reported + Duration::from_secs(2) {
            self.reported = now;
            if let Some(speaker) = &mut self.speaker {
                speaker.report(self.listener.loss());
                speaker.handle_report(self.listener.reported_loss(), now);
            }
            if !self.screen.is_full() {
                status::print(self.call.room(), &self.listener);
            }
        }
        if now >= self.shown + Duration::from_millis(100) {
            self.shown = now;
            let level = self.speaker.as_ref().map(Sender::level);
            self.screen.show(|view| {
                (view.microphone, view.deafened) = (self.microphone, self.listener.is_deafened());
                status::fill(view, &self.call, &self.listener, level);
            });
        }
    }

    /// Answers the room.
    fn handle(&mut self, event: Event) -> Result<(), Box<dyn Error>> {
        let name = |room: &Room, id| {
            let member = room.roster().iter().find(|member| member.id == id);
            member.map_or("somebody".to_owned(), |member| member.name.to_string())
        };
        match event {
            Event::Knocked { knock, name, .. } => {
                self.screen.say(&format!("{name} comes in"));
                self.call.admit(knock)?;
            }
            Event::Changed { .. } | Event::Joined { .. } | Event::Returned { .. } => {
                // Both have the same code, or somebody is between them.
                if let Some(code) = self.call.room().code() {
                    self.screen.say(&format!("{} in the room; code {code}", self.call.room().roster().len()));
                }
                self.set_live();
            }
            Event::Silent { reason } => self.screen.say(&format!("not sending: {reason}")),
            Event::Audible => self.screen.say("sending again"),
            Event::Message(message) => {
                if let Some(text) = message.text() {
                    self.screen.say(&format!("{}: {text}", name(self.call.room(), message.from)));
                }
            }
            Event::Hand { member, raised, .. } => {
                let whose = name(self.call.room(), member);
                self.screen.say(&format!("{whose}'s hand is {}", if raised { "up" } else { "down" }));
            }
            _ => {}
        }
        Ok(())
    }

    /// Packets leave while somebody else is there.
    fn set_live(&mut self) {
        let (alone, now) = (self.call.room().roster().len() < 2, self.call.now());
        self.speaker.iter_mut().for_each(|speaker| speaker.set_live(!alone, now, unix_ms()));
    }
}

/// The sound of the room, in the format of whatever plays it.
fn heard_by(room: &Room, ear: &Ear) -> ReceiverOptions {
    let mut options = ReceiverOptions::of_room(room).unwrap_or_default();
    (options.rate, options.channels) = ear.format();
    options
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What somebody at the terminal wants.
type Inputs = std::sync::mpsc::Receiver<Input>;

/// How long the loop waits at most.
const PACE: Duration = Duration::from_millis(5);

/// When `samples` of a stream of `rate` have passed.
fn after(began: Instant, samples: u64, rate: u32) -> Instant {
    began + Duration::from_nanos(samples * 1_000_000_000 / u64::from(rate))
}
