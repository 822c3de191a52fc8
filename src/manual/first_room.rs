//! A first room: one member creates it and invites another, and each hears the other.
//!
//! A person is an [identity](super::glossary#identity); make one once and keep it
//! ([storage](super::storage)). The first [member](super::glossary#member) creates the room with
//! [`RoomOptions`] and becomes its [host](super::glossary#host). Options other than the admission
//! never change during the room's life, so that everybody can rely on them.
//!
//! An [invite](super::glossary#invite) reaches others outside the app, as a link or QR code. With
//! it a newcomer [knocks](super::glossary#knock). The host or a moderator admits the newcomer, or
//! the room lets everybody with an invite in ([`Admission::Open`]). After [`Event::Joined`] the
//! newcomer has the roster and the keys, and both sides have the same [code](super::glossary#code).
//! People who know each other's voices read the code aloud once, and then know that nobody sits
//! between them.
//!
//! Your encoder's Opus packets go to [`Session::speak`], at a constant bitrate without DTX, so that
//! the size of a [packet](super::glossary#packet) reveals nothing; [`codec`](crate::codec) encodes
//! that way.
//!
//! ```
//! use std::time::Duration;
//!
//! use sottovoce::{
//!     driver::{Next, Session},
//!     group::{Identity, Name, Role},
//!     room::{Event, InviteOptions, RoomOptions},
//!     transport::{block_on, loopback::Hub},
//! };
//!
//! let hub = Hub::new("loopback".parse()?);
//! let mut options = RoomOptions::new(Name::new("Evening room")?, ["loopback".parse()?]);
//! options.default_role = Role::Speaker;
//! let mut ada = block_on(Session::create(hub.client(), Identity::generate(Name::new("Ada")?)?, options))?;
//! let invite = ada.invite(InviteOptions::lasting(Duration::from_secs(3_600)))?;
//! println!("link: {invite}, QR code: {}", invite.to_qr());
//!
//! let link = invite.to_string().parse()?;
//! let mut ben = block_on(Session::join(hub.client(), Identity::generate(Name::new("Ben")?)?, link))?;
//! loop {
//!     let soon = ada.now() + Duration::from_millis(10);
//!     if let Next::Event(Event::Knocked { knock, name, .. }) = block_on(ada.next(soon))? {
//!         println!("{name} knocks");
//!         ada.admit(knock)?;
//!     }
//!     if let Next::Event(Event::Joined { .. }) = block_on(ben.next(soon))? {
//!         assert_eq!(ada.room().code(), ben.room().code());
//!         break;
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Admission::Open`]: crate::room::Admission::Open
//! [`Event::Joined`]: crate::room::Event::Joined
//! [`RoomOptions`]: crate::room::RoomOptions
//! [`Session::speak`]: crate::driver::Session::speak
