//! Three people in one room, each with control in tokio and audio on a thread of its own.
//!
//! Ada, Ben and Cem talk through the reference relay for two seconds; the last line says what each
//! has heard. Their calls stay connected by themselves (`docs/CONNECTION.md`).
//!
//! cargo run --release --example tokio

use std::{
    collections::BTreeMap,
    error::Error,
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant, SystemTime},
};

use sottovoce::{
    MemberId, Stamp,
    driver::{
        MediaHandle,
        policy::{Call, CallNext, Connector, State},
    },
    group::{Identity, Name, Role},
    media::Level,
    relay::{Relay, RelayOptions},
    room::{Event, Invite, InviteOptions, RoomOptions},
    transport::{RelayName, tcp_udp::TcpUdpClient},
};
use tokio::time::sleep;

const PEOPLE: usize = 3;
const TALK: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(20);

type Heard = BTreeMap<MemberId, u32>;
type Failed = Box<dyn Error + Send + Sync>;

/// The audio thread: what the others said, and a packet of one's own, at each tick. A real one has
/// a microphone, an encoder, a decoder and a loudspeaker here.
fn audio(mut media: MediaHandle, hung_up: &Receiver<()>) -> Heard {
    let mut heard = Heard::new();
    let mut tick = Instant::now();
    while matches!(hung_up.recv_timeout(tick - Instant::now().min(tick)), Err(RecvTimeoutError::Timeout)) {
        media.hear(Instant::now(), |packet| *heard.entry(packet.member).or_default() += 1);
        let silence = [0xfc, 0xff, 0xfe];
        let stamp =
            Stamp { captured: SystemTime::now().into(), level: Level::new(40, true), ..Stamp::default() };
        // The error says why we are silent: at first, because we are not in yet.
        let _ = media.speak(&silence, stamp);
        tick += TICK;
    }
    heard
}

/// The control task: answers what happens in the room, until all have talked for a while.
async fn control<C: Connector>(call: Call<C>) -> Result<Heard, Failed> {
    let (mut call, media) = call.split();
    let (hang_up, hung_up) = channel();
    let audio = thread::spawn(move || audio(media, &hung_up));
    let mut over = Box::pin(sleep(Duration::from_secs(60)));
    let mut together = false;
    loop {
        let until = call.now() + Duration::from_secs(3_600);
        tokio::select! {
            next = call.next(until) => match next {
                CallNext::Event(Event::Knocked { knock, name, .. }) => {
                    println!("{name} knocks, come in");
                    call.admit(knock)?;
                }
                CallNext::State(State::Out { .. }) => break,
                CallNext::State(state) => println!("{state}"),
                _ => {}
            },
            () = &mut over => break,
        }
        if !together && call.room().roster().len() == PEOPLE {
            together = true;
            over = Box::pin(sleep(TALK));
        }
    }
    drop(hang_up);
    audio.join().map_err(|_| "the audio thread panicked".into())
}

/// How to reach whichever relay of the room.
fn connector() -> impl Connector<Transport = TcpUdpClient> {
    |relay: &RelayName| Some(TcpUdpClient::new(relay.clone()))
}

async fn guest(name: &str, invite: Invite) -> Result<Heard, Failed> {
    let identity = Identity::generate(Name::new(name)?)?;
    control(Call::join(connector(), identity, invite)?).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let relay = Relay::start(([127, 0, 0, 1], 0).into(), RelayOptions::default())?;
    let mut options = RoomOptions::new(Name::new("Evening room")?, [relay.name()]);
    options.default_role = Role::Speaker;
    let identity = Identity::generate(Name::new("Ada")?)?;
    let mut ada = Call::create(connector(), identity, options)?;
    let invite = ada.invite(InviteOptions::default())?;

    let people = ["Ada", "Ben", "Cem"];
    let (ben, cem) = (guest(people[1], invite.copy()), guest(people[2], invite));
    // All three on one thread, and none of them holds up another.
    let (ada, ben, cem) = tokio::try_join!(control(ada), ben, cem)?;
    let heard: Vec<_> = people
        .iter()
        .zip([ada, ben, cem])
        .map(|(name, heard)| {
            format!("{name} heard {} people, {} packets", heard.len(), heard.values().sum::<u32>())
        })
        .collect();
    println!("{}", heard.join("; "));
    Ok(())
}
