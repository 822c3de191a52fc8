//! Relays and transports.
//!
//! A [relay](super::glossary#relay) carries two lanes:
//! [control messages](super::glossary#control-message), reliably and in order for each sender, and
//! [packets](super::glossary#packet), each of which is delivered at once or not at all. A client of
//! a relay is a [`Transport`]; there are clients for our own relay, rtpengine, Janus and moq-relay,
//! and `docs/` has a recipe for each. A [`Split`] sends the two lanes over two relays, so that your
//! own backend can carry control messages and a vendor the packets.
//!
//! The room names the relays that may be contacted, in its options and in every
//! [invite](super::glossary#invite). A session checks that its transport's relays are on that list
//! before the first byte leaves the device.
//!
//! For a relay of your own implement [`Transport`], and run the kit of checks on it (feature
//! `conformance`): the kit tests delivery, order, back-pressure and reconnecting, and then runs a
//! whole room through a relay that lies. A transport needs no cryptography.
//!
//! ```
//! # use sottovoce::{group::{Identity, Name}, room::RoomOptions, transport::block_on};
//! use sottovoce::{
//!     driver::{Session, SessionError},
//!     transport::{Split, loopback::Hub},
//! };
//!
//! # let ada = Identity::generate(Name::new("Ada")?)?;
//! let (backend, vendor) = (Hub::new("backend.example:1".parse()?), Hub::new("vendor.example:2".parse()?));
//! let both = ["backend.example:1".parse()?, "vendor.example:2".parse()?];
//! let options = RoomOptions::new(Name::new("Evening room")?, both);
//! let client = Split::new(backend.client(), vendor.client());
//! let session = block_on(Session::create(client, &ada, options.clone()))?;
//! assert_eq!(session.room().relays().len(), 2);
//!
//! let elsewhere = Hub::new("elsewhere.example:3".parse()?);
//! let refused = block_on(Session::create(elsewhere.client(), &ada, options)).err();
//! assert!(matches!(refused, Some(SessionError::RelayNotAllowed(_))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Split`]: crate::transport::Split
//! [`Transport`]: crate::transport::Transport
