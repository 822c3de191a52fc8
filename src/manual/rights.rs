//! Who may do what, and why nobody can grant itself more.
//!
//! | [role](super::glossary#role) | is heard | admits, mutes, removes, bans | gives roles, closes the room |
//! | --- | --- | --- | --- |
//! | [host](super::glossary#host) | yes | yes | yes |
//! | moderator | yes | speakers, listeners, recorders | speaker, listener |
//! | speaker | yes | | |
//! | listener | | | |
//! | recorder, shown to everybody as one | | | |
//!
//! The host and the moderators have [rank](super::glossary#rank). Each of their decisions is a
//! [statement](super::glossary#statement) with their signature. Every
//! [member](super::glossary#member) computes the same rights from the same statements, and merges
//! no change of the MLS group that disagrees with them. So the [keeper](super::glossary#keeper),
//! which puts changes in order, decides nothing, and neither does a server.
//!
//! A [ban](super::glossary#ban) takes effect in two steps: at once, members that hear of it stop
//! opening packets of the banned member; and then comes the next [epoch](super::glossary#epoch),
//! whose secret the banned member does not get. The banned identity stays out with every invite.
//! [`Room::hand_over`] makes somebody else host.
//!
//! ```
//! # use std::time::Duration;
//! # use sottovoce::{driver::{Next, Session}, group::{Identity, Name}, transport::{block_on, loopback::Hub}};
//! # use sottovoce::room::{Admission, InviteOptions, RoomOptions};
//! use sottovoce::{group::Role, room::Event};
//! # let hub = Hub::new("loopback".parse()?);
//! # let mut options = RoomOptions::new(Name::new("Evening room")?, ["loopback".parse()?]);
//! # options.admission = Admission::Open;
//! # let mut ada = block_on(Session::create(hub.client(), Identity::generate(Name::new("Ada")?)?, options))?;
//! # let invite = ada.invite(InviteOptions::default())?;
//! # let mut ben = block_on(Session::join(hub.client(), Identity::generate(Name::new("Ben")?)?, invite))?;
//! # while ada.room().roster().len() < 2 || ben.room().roster().len() < 2 {
//! #     let soon = ada.now() + Duration::from_millis(10);
//! #     block_on(ada.next(soon))?;
//! #     block_on(ben.next(soon))?;
//! # }
//! // Ada is host, Ben a listener.
//! let (now, member) = (ada.now(), ben.room().id());
//! ada.room_mut().set_role(member, Role::Speaker, now)?;
//! ada.room_mut().ban(member, now)?;
//! // Ben may do neither, and is told so before anything is sent.
//! assert!(ben.room_mut().ban(ada.room().id(), now).is_err());
//! loop {
//!     let soon = ada.now() + Duration::from_millis(10);
//!     block_on(ada.next(soon))?;
//!     if let Next::Event(Event::Over(ending)) = block_on(ben.next(soon))? {
//!         println!("Ben: {ending:?}");
//!         break;
//!     }
//! }
//! assert!(ada.room().is_banned(member));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Room::hand_over`]: crate::room::Room::hand_over
