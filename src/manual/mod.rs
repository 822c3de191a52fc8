//! The manual explains what an application does, and why. It has eight short pages, each with an
//! example that `cargo test` runs, and a [`glossary`].
//!
//! 1. [A first room](first_room)
//! 2. [Who may do what](rights)
//! 3. [Losing the connection and coming back](returning)
//! 4. [Audio on a thread of its own](audio_thread)
//! 5. [Relays and transports](transports)
//! 6. [Storage](storage)
//! 7. [Reports](reports)
//! 8. [What the relay sees](relay_sees)
//!
//! Every application has the same loop: [`Session::next`] sends what is due, waits, and returns the
//! next event or packet. Cancelling its future loses nothing. An application without a session
//! polls a [`Room`] itself ([`room`](crate::room)).
//!
//! ```
//! use std::time::Duration;
//!
//! use sottovoce::{
//!     driver::{Next, Session},
//!     group::{Identity, Name},
//!     room::RoomOptions,
//!     transport::{block_on, loopback::Hub},
//! };
//!
//! let hub = Hub::new("loopback".parse()?);
//! let options = RoomOptions::new(Name::new("Tea")?, ["loopback".parse()?]);
//! let ada = Identity::generate(Name::new("Ada")?)?;
//! let mut session = block_on(Session::create(hub.client(), ada, options))?;
//! let end = session.now() + Duration::from_millis(100);
//! loop {
//!     match block_on(session.next(end))? {
//!         Next::Event(event) => println!("{event:?}"),          // tell the user
//!         Next::Packet(heard) => println!("{}", heard.member), // decode and play
//!         Next::Idle => break,                                 // the time is up
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Session::next`]: crate::driver::Session::next
//! [`Room`]: crate::room::Room

pub mod audio_thread;
pub mod first_room;
pub mod glossary;
pub mod relay_sees;
pub mod reports;
pub mod returning;
pub mod rights;
pub mod storage;
pub mod transports;
