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
//! it can be interrupted, and goes on with `talk back --keep DIR`. A relay or a network that is
//! gone for a while ends nothing (`docs/CONNECTION.md`). `--help` lists the rest.

mod args;
mod ends;
mod kept;
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
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};
use sottovoce::{
    SealError, codec,
    driver::{
        SpeakError,
        policy::{Call, CallNext, Connector, State},
    },
    group::{Name, Role},
    room::{Event, InviteOptions, Room, RoomOptions},
    transport::{RelayName, block_on, tcp_udp::TcpUdpClient},
    voice::{Frame, Receiver, ReceiverOptions, Sender, SenderOptions},
};
use sottovoce_examples::{resample, wav};
use typed::Typed;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
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
    let mut call = match &args.part {
        Part::Host(relay) => {
            let mut options = RoomOptions::new(Name::new("Talk")?, [relay.clone()]);
            options.default_role = Role::Speaker;
            let mut call = Call::create(client, identity, options)?;
            println!("{}", call.invite(InviteOptions::default())?);
            call
        }
        Part::Join(invite) => Call::join(client, identity, invite.parse()?)?,
        Part::Back => {
            let membership = kept.membership()?.ok_or("there is no room to go back to")?;
            Call::resume(client, identity, &membership)?
        }
    };
    kept.keep(call.room())?;

    let mut mouth = Mouth::open(args.play.as_deref())?;
    let mut ear = Ear::open(args.record.as_deref())?;
    let mut speaker = None;
    let mut typed = Typed::read();
    let mut lost = Lost::default();
    let mut listening = ReceiverOptions::default();
    (listening.rate, listening.channels) = ear.format();
    let mut listener = Receiver::new(listening, call.now())?;

    // A signal ends it as everything else does; a second one at once.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    let began = call.now();
    let mut reported = began;
    let mut pcm = vec![0.0; 9_600];
    // An error ends the talk, and then still the recording.
    let mut run = || -> Result<(), Box<dyn Error>> {
        while args.seconds.is_none_or(|seconds| call.now() < began + Duration::from_secs(seconds)) {
            if stop.load(Ordering::Relaxed) {
                println!("interrupted");
                break;
            }
            let now = call.now();
            #[cfg(feature = "devices")]
            {
                if mouth.check()? {
                    speaker = None;
                }
                ear.check(&mut listener, now)?;
            }
            if !typed.obey(call.room_mut(), now) {
                break;
            }
            if speaker.is_none() {
                speaker = sender(call.room(), mouth.format())?;
                set_live(&call, &mut speaker);
            }
            let taken = mouth.read(&mut pcm, now);
            if let Some(speaker) = &mut speaker {
                speaker.capture(pcm.get(..taken).unwrap_or_default())?;
                while let Some(packet) = speaker.next_packet(now) {
                    // Silent for now, what is said is lost, as on any network; but not without a
                    // word.
                    lost.note(call.speak(packet.opus, packet.stamp));
                }
            }
            ear.feed(&mut listener, now)?;
            if now >= reported + Duration::from_secs(2) {
                reported = now;
                if let Some(speaker) = &mut speaker {
                    speaker.report(listener.loss());
                    speaker.handle_report(listener.reported_loss(), now);
                }
                show(&call, &listener);
            }
            let tick = speaker.as_ref().and_then(Sender::poll_timeout).unwrap_or(now + PACE);
            match block_on(call.next(tick.min(now + PACE))) {
                CallNext::Packet(heard) => {
                    if let Ok(packet) = Frame::try_from(&heard) {
                        // More talk than there are places: the loudest are heard.
                        let _ = listener.hear(packet, call.now());
                    }
                }
                CallNext::Event(event) => {
                    kept.keep(call.room())?;
                    handle(&mut call, &mut speaker, event)?;
                }
                CallNext::State(state) => {
                    println!("{state}");
                    if matches!(state, State::Out { .. }) {
                        break;
                    }
                }
                CallNext::Idle => {}
            }
        }
        Ok(())
    };
    let ended = run();
    ear.finish()?;
    ended?;
    let totals = listener.totals();
    println!("heard {} packets, {} of them lost; sent {}", totals.expected, totals.lost, lost.sent);
    match args.part {
        _ if kept.is_some() => {}
        Part::Host(_) => call.room_mut().close()?,
        // Somebody who was never in has nothing to leave.
        Part::Join(_) | Part::Back => drop(call.room_mut().leave()),
    }
    block_on(call.close());
    Ok(())
}

/// Answers the room.
fn handle<C: Connector>(
    call: &mut Call<C>,
    speaker: &mut Option<Sender>,
    event: Event,
) -> Result<(), Box<dyn Error>> {
    match event {
        Event::Knocked { knock, name, .. } => {
            println!("{name} comes in");
            call.admit(knock)?;
        }
        Event::Changed { .. } | Event::Joined { .. } | Event::Returned { .. } => {
            // Both have the same code, or somebody is between them.
            if let Some(code) = call.room().code() {
                println!("{} in the room; code {code}", call.room().roster().len());
            }
            set_live(call, speaker);
        }
        Event::Silent { reason } => println!("not sending: {reason}"),
        Event::Audible => println!("sending again"),
        _ => {}
    }
    Ok(())
}

/// A sender of packets of the room's size, once the room is known.
///
/// # Errors
/// If no speech fits them.
fn sender(room: &Room, (rate, channels): (u32, u16)) -> Result<Option<Sender>, Box<dyn Error>> {
    let (Some(size), Some(authenticity)) = (room.packet_size(), room.authenticity()) else { return Ok(None) };
    let Some(frame) = codec::FrameLength::of_room(size, authenticity) else {
        return Err("the room's packets are too small for speech".into());
    };
    let mut options = SenderOptions::default();
    (options.frame, options.size, options.authenticity) = (frame, size, authenticity);
    (options.rate, options.channels) = (rate, channels);
    Ok(Some(Sender::new(options)?))
}

/// Packets leave while somebody else is there.
fn set_live<C: Connector>(call: &Call<C>, speaker: &mut Option<Sender>) {
    if let Some(speaker) = speaker {
        speaker.set_live(call.room().roster().len() > 1, call.now(), unix_ms());
    }
}

/// What became of the packets that were to be sent.
#[derive(Default)]
struct Lost {
    sent: u64,
    why: Option<String>,
}

impl Lost {
    /// Says why nothing is sent when that changes. Of silence by the room's rules its events tell.
    fn note(&mut self, spoken: Result<(), SpeakError>) {
        let why = match spoken {
            Ok(()) => {
                self.sent += 1;
                None
            }
            Err(SpeakError::Seal(SealError::Silent(_))) => return,
            Err(why) => Some(why.to_string()),
        };
        if why != self.why {
            why.iter().for_each(|why| println!("not sent: {why}"));
            self.why = why;
        }
    }
}

/// Who is heard, how loud, and how late.
fn show<C: Connector>(call: &Call<C>, listener: &Receiver) {
    for talker in listener.talkers() {
        let name = call.room().roster().iter().find(|member| member.id == talker.member);
        println!(
            "{:<12} {:>4} dB{}{}  waits {} ms  {} played, {} recovered, {} made up, {} late",
            name.map_or("gone", |member| member.name.as_str()),
            -i32::from(talker.level.below_overload()),
            if talker.level.is_voice() { " speaks" } else { "" },
            if talker.notes.muted { " muted" } else { "" },
            talker.waits.as_millis(),
            talker.stats.played,
            talker.stats.recovered,
            talker.stats.concealed,
            talker.stats.late,
        );
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// How long the loop waits at most.
const PACE: Duration = Duration::from_millis(5);

/// When `samples` of a stream of `rate` have passed.
fn after(began: Instant, samples: u64, rate: u32) -> Instant {
    began + Duration::from_nanos(samples * 1_000_000_000 / u64::from(rate))
}
