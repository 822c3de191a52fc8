//! Losing the connection and coming back.
//!
//! | what happened | what the application does |
//! | --- | --- |
//! | [`Session::next`] returns an error | it calls [`Session::reconnect`], perhaps after a pause, and goes on; messages that wait are sent then |
//! | the device slept, or its network changed | nothing: the room asks for what it missed and, if the member has lost its place in the group, for a new one; [`Event::Returned`] says when it has one |
//! | the app was restarted | it calls [`Session::resume`] with the membership that it [stored](super::storage) |
//! | [`Event::Over`] came: the room is over for this member | it tells the user why |
//!
//! A [member](super::glossary#member) that has heard nothing from the room for a while stops
//! sending. Otherwise a hostile [relay](super::glossary#relay) could hide a
//! [ban](super::glossary#ban) from some members, and the banned member could go on listening to
//! them. [`Session::why_unheard`] and [`Session::why_deaf`] give the reasons, one line for each.
//!
//! A room goes on without its host: moderators go on admitting people, and another member replaces
//! a [keeper](super::glossary#keeper) that is gone. When everybody with
//! [rank](super::glossary#rank) has been gone for [`Room::unattended`], members fall silent unless
//! their users agree to go on ([`Room::stay_unattended`](crate::room::Room::stay_unattended)).
//!
//! ```
//! # use std::time::Duration;
//! # use sottovoce::{group::{Identity, Name}, room::RoomOptions, transport::{block_on, loopback::Hub}};
//! use sottovoce::driver::{Next, Session};
//!
//! # let hub = Hub::new("loopback".parse()?);
//! # let options = RoomOptions::new(Name::new("Evening room")?, ["loopback".parse()?]);
//! # let ada = Identity::generate(Name::new("Ada")?)?;
//! let mut session = block_on(Session::create(hub.client(), ada, options))?;
//! hub.cut(); // every connection is lost
//! let mut lost = 0;
//! let until = session.now() + Duration::from_millis(100);
//! loop {
//!     match block_on(session.next(until)) {
//!         Ok(Next::Idle) => break,
//!         Ok(_) => {}
//!         Err(_) => {
//!             lost += 1;
//!             block_on(session.reconnect())?;
//!         }
//!     }
//! }
//! assert_eq!(lost, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Event::Over`]: crate::room::Event::Over
//! [`Event::Returned`]: crate::room::Event::Returned
//! [`Room::unattended`]: crate::room::Room::unattended
//! [`Session::next`]: crate::driver::Session::next
//! [`Session::reconnect`]: crate::driver::Session::reconnect
//! [`Session::resume`]: crate::driver::Session::resume
//! [`Session::why_deaf`]: crate::driver::Session::why_deaf
//! [`Session::why_unheard`]: crate::driver::Session::why_unheard
