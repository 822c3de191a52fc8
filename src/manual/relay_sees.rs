//! What the relay sees.
//!
//! | a [relay](super::glossary#relay) sees | it does not see |
//! | --- | --- |
//! | network addresses, and which of them share a [handle](super::glossary#handle) | names, [fingerprints](super::glossary#fingerprint), roles, invites |
//! | when [packets](super::glossary#packet) pass, and how many | audio, pauses in speech, who speaks: packets have one size, and a member that is live sends one on every tick |
//! | that [control messages](super::glossary#control-message) pass, in a few sizes | which of them is a [ban](super::glossary#ban), a [knock](super::glossary#knock), a chat |
//!
//! A relay can drop, delay and repeat messages; members notice, and tell the application. A relay
//! can withhold messages from some members, and so split the room into branches. Members that hear
//! nobody fall silent after a while, and the branches become one again when their members meet. A
//! relay cannot decrypt or forge messages, nor add a member. `SECURITY.md` lists what an observer
//! learns from times and addresses.
//!
//! The reference relay can log everything that it receives, so that an auditor can search the log
//! ([`relay::log`](crate::relay::log)); `cargo run --release --example room` does so with a whole
//! room.
//!
//! ```
//! # #[cfg(feature = "net")] {
//! # use std::{fs::File, time::Duration};
//! # use sottovoce::{driver::Session, group::{Identity, Name}, room::RoomOptions, transport::block_on};
//! use sottovoce::relay::{Relay, RelayOptions, log};
//! # use sottovoce::transport::tcp_udp::TcpUdpClient;
//!
//! # let path = std::env::temp_dir().join(format!("seen-{}.log", std::process::id()));
//! let options = RelayOptions { log: Some(log::Writer::new(File::create(&path)?)?), ..RelayOptions::default() };
//! let relay = Relay::start(([127, 0, 0, 1], 0).into(), options)?;
//! let options = RoomOptions::new(Name::new("Evening room")?, [relay.name()]);
//! let ada = Identity::generate(Name::new("Ada Lovelace")?)?;
//! let mut session = block_on(Session::create(TcpUdpClient::new(relay.name()), ada, options))?;
//! # let until = session.now() + Duration::from_millis(200);
//! # while block_on(session.next(until))? != sottovoce::driver::Next::Idle {}
//! block_on(session.close())?;
//! relay.stop()?;
//! for record in log::Reader::new(File::open(&path)?)? {
//!     let bytes = record?.bytes;
//!     assert!(!bytes.windows(12).any(|part| part == b"Evening room" || part == b"Ada Lovelace"));
//! }
//! # std::fs::remove_file(path)?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
