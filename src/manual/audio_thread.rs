//! Audio on a thread of its own.
//!
//! An audio thread must not wait, allocate or free. [`Session::split`] gives it a [`MediaHandle`]:
//! the sealer, the opener, and bounded queues to the session, which hold
//! [packets](super::glossary#packet) as values. The session stays where the app's control code
//! runs, on any async runtime or on none. The app has to await [`Session::next`] all the time,
//! since packets leave only meanwhile.
//!
//! Call [`MediaHandle::hear`] on every tick: it takes new keys, then hands out what arrived. A key
//! changes every ten seconds and with every [epoch](super::glossary#epoch); taking it costs a
//! pointer swap. [`MediaHandle::speak`] seals one packet with its
//! [capture time](super::glossary#capture-time); its error says why the member is silent; the
//! thread should go on. The module `voice` has the rest of the audio path: resampler, jitter buffer
//! and mixer; it makes a packet on every tick, whether somebody speaks or not.
//!
//! ```
//! # use sottovoce::{group::{Identity, Name}, room::RoomOptions, transport::{block_on, loopback::Hub}};
//! use std::{thread, time::{Duration, Instant}};
//!
//! use sottovoce::{Stamp, driver::Session};
//!
//! const TICK: Duration = Duration::from_millis(20);
//! # let hub = Hub::new("loopback".parse()?);
//! # let options = RoomOptions::new(Name::new("Evening room")?, ["loopback".parse()?]);
//! # let ada = Identity::generate(Name::new("Ada")?)?;
//! let (mut session, mut media) = block_on(Session::create(hub.client(), ada, options))?.split();
//! let audio = thread::spawn(move || {
//!     for _ in 0..5 {
//!         media.hear(Instant::now(), |opened| println!("{} bytes", opened.packet.as_bytes().len()));
//!         if let Err(silent) = media.speak(&[0xfc, 0xff, 0xfe], Stamp::default()) {
//!             println!("silent: {silent}");
//!         }
//!         thread::sleep(TICK);
//!     }
//! });
//! while !audio.is_finished() {
//!     block_on(session.next(session.now() + TICK))?;
//! }
//! audio.join().map_err(|_| "the audio thread panicked")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`MediaHandle`]: crate::driver::MediaHandle
//! [`MediaHandle::hear`]: crate::driver::MediaHandle::hear
//! [`MediaHandle::speak`]: crate::driver::MediaHandle::speak
//! [`Session::next`]: crate::driver::Session::next
//! [`Session::split`]: crate::driver::Session::split
