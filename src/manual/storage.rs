//! Storage: what outlives the process.
//!
//! A [`Store`] keeps the [identity](super::glossary#identity) and, for each room, a [`Membership`]:
//! what it takes to come back, the [statements](super::glossary#statement) of the room among it. No
//! media key, counter or MLS state is ever in it. So a stolen copy opens no
//! [packet](super::glossary#packet) that was recorded, and a device that was restored from a backup
//! cannot use a key twice: a room that is resumed takes a new leaf and new keys.
//!
//! [`FileStore`] seals its files with a key of yours, which belongs in the system's keychain.
//! Implement four methods for a storage of your own. Call [`Store::keep`] after every event; it
//! writes if something changed, and forgets a room that is over. Where writing is slow, a
//! [`Snapshot`] takes it to another thread.
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
