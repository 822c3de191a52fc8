//! How a session begins: it creates a room, joins one by an invite, or resumes one after a restart.
//!
//! Seed and time come from the operating system, or from the caller. [`Room`] always takes them as
//! arguments.

use std::{borrow::Borrow, time::SystemTime};

use super::{Session, clocks::Clocks, error::SessionError};
use crate::{
    Seed,
    group::Identity,
    room::{Invite, Membership, Room, RoomOptions, UnixTime},
    transport::{LocalTransport, RelayName},
};

impl<T: LocalTransport> Session<T> {
    /// Makes a room and connects to it.
    ///
    /// Randomness comes from the operating system, the time of day from the transport
    /// ([`LocalTransport::wall`]). An identity that is borrowed can be used for another attempt
    /// when this one fails.
    ///
    /// # Errors
    /// [`SessionError::RelayNotAllowed`] before any relay is contacted; see [`SessionError`] for
    /// the rest.
    pub async fn create(
        transport: T,
        identity: impl Borrow<Identity>,
        options: RoomOptions,
    ) -> Result<Self, SessionError> {
        let unix = time_of_day(&transport);
        Self::create_with(transport, identity, options, Seed::generate()?, unix).await
    }

    /// Connects to a room and knocks. [`next`](Self::next) returns the answer as an event.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn join(
        transport: T,
        identity: impl Borrow<Identity>,
        invite: Invite,
    ) -> Result<Self, SessionError> {
        let unix = time_of_day(&transport);
        Self::join_with(transport, identity, invite, Seed::generate()?, unix).await
    }

    /// Connects to a room that this member was in before a restart, and returns to it:
    /// [`Event::Returned`](crate::room::Event::Returned) says when.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn resume(
        transport: T,
        identity: impl Borrow<Identity>,
        membership: &Membership,
    ) -> Result<Self, SessionError> {
        let unix = time_of_day(&transport);
        Self::resume_with(transport, identity, membership, Seed::generate()?, unix).await
    }

    /// [`create`](Self::create) with randomness and time from the caller: `seed` has to be fresh
    /// ([`Seed::generate`]), `unix` is the present time.
    ///
    /// # Errors
    /// As [`create`](Self::create), without [`SessionError::Randomness`].
    pub async fn create_with(
        mut transport: T,
        identity: impl Borrow<Identity>,
        options: RoomOptions,
        seed: Seed,
        unix: UnixTime,
    ) -> Result<Self, SessionError> {
        check_relays(&transport, &options.relays)?;
        let clocks = Clocks::of(&transport, unix);
        let room = Room::create(identity, options, seed, clocks.now, unix)?;
        transport.connect(room.handle()).await?;
        Ok(Self::new(transport, room, clocks))
    }

    /// [`join`](Self::join) with randomness and time from the caller.
    ///
    /// # Errors
    /// As [`create_with`](Self::create_with).
    pub async fn join_with(
        mut transport: T,
        identity: impl Borrow<Identity>,
        invite: Invite,
        seed: Seed,
        unix: UnixTime,
    ) -> Result<Self, SessionError> {
        // Everything that can be checked here is checked before anybody is contacted.
        check_relays(&transport, invite.relays())?;
        let clocks = Clocks::of(&transport, unix);
        let room = Room::join(identity, invite, seed, clocks.now, unix)?;
        transport.connect(room.handle()).await?;
        Ok(Self::new(transport, room, clocks))
    }

    /// [`resume`](Self::resume) with randomness and time from the caller.
    ///
    /// # Errors
    /// As [`create_with`](Self::create_with).
    pub async fn resume_with(
        mut transport: T,
        identity: impl Borrow<Identity>,
        membership: &Membership,
        seed: Seed,
        unix: UnixTime,
    ) -> Result<Self, SessionError> {
        let clocks = Clocks::of(&transport, unix);
        let room = Room::resume(identity, membership, seed, clocks.now, unix)?;
        check_relays(&transport, room.relays())?;
        transport.connect(room.handle()).await?;
        Ok(Self::new(transport, room, clocks))
    }
}

/// The time of day by the transport. A transport on simulated time has none; the system's time is
/// good enough there.
fn time_of_day(transport: &impl LocalTransport) -> UnixTime {
    transport.wall().unwrap_or_else(SystemTime::now).into()
}

fn check_relays(transport: &impl LocalTransport, allowed: &[RelayName]) -> Result<(), SessionError> {
    match transport.relays().into_iter().find(|relay| !allowed.contains(relay)) {
        Some(relay) => Err(SessionError::RelayNotAllowed(relay.clone())),
        None => Ok(()),
    }
}
