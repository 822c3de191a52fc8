//! Losing the connection and coming back.
//!
//! | what happened | what the application does |
//! | --- | --- |
//! | [`Session::next`] is an error | [`Session::reconnect`], perhaps after a pause, and go on; what was to be sent still is |
//! | the device slept, or its network changed | nothing: the room asks for what it missed and, if its place is gone, for a new one; [`Event::Returned`] says when |
//! | the app was restarted | [`Session::resume`] with what it [stored](super::storage) |
//! | [`Event::Over`] | the room is over for this member: tell the user why |
//!
//! A [member](super::glossary#member) that hears nothing of the room for a while sends nothing:
//! else somebody who holds a [relay](super::glossary#relay) could keep a banned member listening to
//! people who do not know of the [ban](super::glossary#ban). [`Session::why_unheard`] and
//! [`Session::why_deaf`] have the reason, a line for each.
//!
//! Rooms outlive their host: moderators go on admitting, and a [keeper](super::glossary#keeper)
//! that is gone is replaced. When everybody with [rank](super::glossary#rank) has been gone for
//! [`Room::unattended`], members fall silent unless their user agrees to go on.
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
