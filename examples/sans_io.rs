//! The loop by hand: no runtime, no socket, no clock but the one that is passed in.
//!
//! Two rooms, two sealers, two openers, and between them a relay that is a `Vec` of bytes. An
//! application that has an event loop of its own does what `Peer` does here, wherever its bytes
//! really go.
//!
//! cargo run --release --example sans_io

use std::{
    error::Error,
    time::{Duration, Instant},
};

use bytes::Bytes;
use sottovoce::{
    Opener, Rekey, Sealer, Seed, Stamp,
    group::{Identity, Name, Role},
    media::{HEADROOM, OpusPacket, TAILROOM},
    room::{Event, InviteOptions, Room, RoomOptions, UnixTime},
    transport::RelayName,
};

/// One member: the room on the control thread, sealer and opener on the audio thread. Here both are
/// one.
struct Peer {
    room: Room,
    sealer: Sealer,
    opener: Opener,
}

impl Peer {
    fn new(room: Room) -> Self {
        Self { room, sealer: Sealer::new(), opener: Opener::new() }
    }

    /// What a relay delivered, and the time.
    fn take(&mut self, from_relay: &mut Vec<Bytes>, now: Instant) {
        for message in from_relay.drain(..) {
            // A message that does nothing is no reason to stop: a hostile relay sends many.
            if let Err(error) = self.room.handle_control(&message, now) {
                eprintln!("ignored: {error}");
            }
        }
        self.room.handle_timeout(now);
    }

    /// After everything that happens to a room: poll until there is nothing more.
    fn poll(&mut self, to_relay: &mut Vec<Bytes>) -> Result<Vec<Event>, Box<dyn Error>> {
        while let Some(rekey) = self.room.poll_rekey() {
            // With two threads these values cross a channel, and what comes back is dropped over
            // here.
            match rekey {
                Rekey::Seal(rekey) => drop(self.sealer.install(rekey)?),
                Rekey::Open(rekey) => drop(self.opener.install(rekey)),
            }
        }
        to_relay.extend(std::iter::from_fn(|| self.room.poll_transmit()));
        Ok(std::iter::from_fn(|| self.room.poll_event()).collect())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut now = Instant::now();
    let unix = UnixTime::from(std::time::SystemTime::now());
    let relay: RelayName = "relay.example:4433".parse()?;

    let host = Identity::from_seed(rand::random(), Name::new("Ada")?);
    let mut options = RoomOptions::new(Name::new("Evening room")?, [relay]);
    options.default_role = Role::Speaker;
    let mut ada = Peer::new(Room::create(host, options, Seed::generate()?, now, unix)?);
    let invite = ada.room.invite(InviteOptions::default(), now)?;

    let guest = Identity::from_seed(rand::random(), Name::new("Ben")?);
    let mut ben = Peer::new(Room::join(guest, invite, Seed::generate()?, now, unix)?);

    // The control lane: whatever one side has to send, the other takes, until Ben is in.
    let (mut from_ada, mut from_ben) = (Vec::new(), Vec::new());
    while ben.room.roster().len() < 2 {
        for event in ada.poll(&mut from_ada)? {
            if let Event::Knocked { knock, name, .. } = event {
                println!("{name} knocks");
                ada.room.admit(knock, now)?;
            }
        }
        ben.poll(&mut from_ben)?;
        now += Duration::from_millis(50);
        ben.take(&mut from_ada, now);
        ada.take(&mut from_ben, now);
    }
    // Once more, for Ada's speaker key to reach Ben.
    ada.poll(&mut from_ada)?;
    ben.take(&mut from_ada, now);
    ben.poll(&mut from_ben)?;

    let names: Vec<_> = ben.room.roster().iter().map(|member| member.name.as_str()).collect();
    println!("in the room: {}", names.join(", "));
    println!("both read the code {}", ben.room.code().ok_or("no code outside a room")?);

    // The media lane: an Opus packet in a buffer with room around it, sealed in place.
    let opus = [0xfc, 0xff, 0xfe];
    let mut buffer = [0; HEADROOM + 240 + TAILROOM];
    buffer[HEADROOM..HEADROOM + opus.len()].copy_from_slice(&opus);
    let stamp = Stamp { captured: std::time::SystemTime::now().into(), ..Stamp::default() };
    let sealed = ada.sealer.seal(&mut buffer, opus.len(), stamp)?;
    println!("sealed into {} bytes", sealed.len());

    let opened = ben.opener.open(sealed)?;
    println!(
        "{} bytes of Opus from leaf {}, {:?}",
        opened.packet.as_bytes().len(),
        opened.leaf.0,
        opened.proof
    );
    assert_eq!(opened.member, ada.room.id());
    assert!(OpusPacket::parse(opened.packet.as_bytes()).is_ok());
    Ok(())
}
