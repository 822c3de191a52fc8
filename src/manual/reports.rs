//! Reports: abuse can be proved to a moderator, though nobody stores audio.
//!
//! Each device keeps the last minute of what it heard, in memory only
//! ([`Retention`](crate::report::Retention)). From that minute [`Session::report`] makes a
//! [report](super::glossary#report) about one [member](super::glossary#member): the packets as that
//! member signed them, sealed to the key of the app's moderators. Your app sends the file to the
//! moderators in any way. With their secret key they learn whose device sent the sound, when, and
//! whether packets are missing in between. A report that was made up or changed is rejected with a
//! reason.
//!
//! Half an hour after a speaker's [epoch](super::glossary#epoch) ends, the key that signed is
//! published, and from then on anybody could make such a report. So write down when each report
//! arrived: it proves something only if it came in time.
//!
//! ```
//! # use std::time::{Duration, SystemTime};
//! # use sottovoce::{Stamp, driver::{Next, Session}, group::{Identity, Name}, transport::{block_on, loopback::Hub}};
//! # use sottovoce::room::{Admission, InviteOptions, RoomOptions};
//! use sottovoce::report::ModerationSecret;
//!
//! let moderators = ModerationSecret::from_seed(rand::random())?; // the app ships `moderators.key()`
//! # let hub = Hub::new("loopback".parse()?);
//! # let mut options = RoomOptions::new(Name::new("Evening room")?, ["loopback".parse()?]);
//! # options.admission = Admission::Open;
//! # let mut ada = block_on(Session::create(hub.client(), Identity::generate(Name::new("Ada")?)?, options))?;
//! # let invite = ada.invite(InviteOptions::default())?;
//! # let mut ben = block_on(Session::join(hub.client(), Identity::generate(Name::new("Ben")?)?, invite))?;
//! # loop {
//! #     let soon = ada.now() + Duration::from_millis(10);
//! #     block_on(ada.next(soon))?;
//! #     if ada.room().roster().len() == 2 {
//! #         ada.speak(&[0xfc, 0xff, 0xfe], Stamp { captured: SystemTime::now().into(), ..Stamp::default() })?;
//! #     }
//! #     if let Next::Packet(_) = block_on(ben.next(soon))? { break }
//! # }
//! // Ben has heard Ada.
//! let file = ben.report(ada.room().id(), Duration::from_secs(30), &moderators.key())?;
//!
//! // At the moderators', with the time at which the file arrived:
//! let report = moderators.open(&file, SystemTime::now().into(), &[])?;
//! assert_eq!((report.member(), report.name().as_str()), (ada.room().id(), "Ada"));
//! assert!(report.packets().count() > 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Session::report`]: crate::driver::Session::report
