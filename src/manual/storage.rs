//! Storage: data that an application keeps between two runs.
//!
//! A [`Store`] keeps the [identity](super::glossary#identity) and, for each room, a [`Membership`]:
//! the data that a member needs to come back, including the room's
//! [statements](super::glossary#statement). A membership never holds a media key, counter or MLS
//! state. So a stolen copy decrypts no recorded [packet](super::glossary#packet), and a device that
//! was restored from a backup cannot use a key twice: a member that resumes a room gets a new leaf
//! in the MLS tree and new keys.
//!
//! [`FileStore`] seals its files with a key of yours, which belongs in the system's keychain. For a
//! storage of your own implement four methods. Call [`Store::keep`] after every event; it writes if
//! something changed, and deletes the record of a room that is over. Where writing is slow, a
//! [`Snapshot`] moves it to another thread.
//!
//! ```
//! # use sottovoce::{group::Name, room::RoomOptions, transport::{block_on, loopback::Hub}};
//! use sottovoce::{
//!     driver::Session,
//!     group::Identity,
//!     store::{MemoryStore, Store},
//! };
//!
//! # let hub = Hub::new("loopback".parse()?);
//! # let options = RoomOptions::new(Name::new("Evening room")?, ["loopback".parse()?]);
//! let mut store = MemoryStore::default();
//! let ada = Identity::generate(Name::new("Ada")?)?;
//! store.put_identity(&ada)?;
//! let session = block_on(Session::create(hub.client(), ada, options))?;
//! store.keep(session.room())?;
//! drop(session);
//!
//! // After a restart:
//! let identity = store.identity()?.ok_or("nobody is stored")?;
//! for room in store.rooms()? {
//!     if let Some(membership) = store.membership(room)? {
//!         let session = block_on(Session::resume(hub.client(), &identity, &membership))?;
//!         assert_eq!(session.room().handle(), room);
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`FileStore`]: crate::store::FileStore
//! [`Membership`]: crate::room::Membership
//! [`Snapshot`]: crate::store::Snapshot
//! [`Store`]: crate::store::Store
//! [`Store::keep`]: crate::store::Store::keep
