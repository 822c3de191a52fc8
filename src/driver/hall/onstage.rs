//! The hall of a session: the part of somebody on the stage.

use std::{
    collections::VecDeque,
    error::Error,
    fmt,
    num::NonZeroU16,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::lanes::{Came, Lanes, Wanted};
use crate::{
    Seed,
    driver::{Session, SessionError, media::Plane, policy::Connector},
    group::Role,
    id::MemberId,
    media::Rekey,
    room::{CommandError, Ending, Event, InviteOptions, KnockId, Room},
    stage::{AudienceError, HallError, HallLane, Stage},
    transport::{Inbound, LocalTransport, Part, RelayName},
};

/// The hall of a session, before and after the room is entered.
pub(in crate::driver) struct Hall {
    stage: Option<Stage>,
    /// Of the stage that is to come.
    seed: Option<Seed>,
    lanes: Lanes,
    /// Why there is no stage.
    error: Option<HallError>,
    /// Whom we let up, and admit when it knocks.
    called: VecDeque<MemberId>,
    refused: u64,
}

impl Hall {
    fn new(connector: impl Connector + 'static, relays: Vec<RelayName>, seed: Seed) -> Self {
        Self {
            stage: None,
            seed: Some(seed),
            lanes: Lanes::new(connector, relays),
            error: None,
            called: VecDeque::new(),
            refused: 0,
        }
    }

    /// Does what is due. The room's changes of keys come out as those of the hall.
    pub(in crate::driver) fn tick(&mut self, room: &mut Room, now: Instant, mut install: impl FnMut(Rekey)) {
        if self.stage.is_none()
            && room.hall_facts(now).is_some()
            && let Some(seed) = self.seed.take()
        {
            match Stage::new(room, seed, now) {
                Ok(stage) => self.stage = Some(stage),
                Err(error) => self.error = Some(error),
            }
        }
        let Some(stage) = &mut self.stage else { return };
        if stage.poll_timeout().is_some_and(|at| at <= now) {
            stage.handle_timeout(now);
        }
        stage.follow(room, now);
        while let Some(rekey) = stage.poll_rekey() {
            install(rekey);
        }
        let want = |lane, part| Wanted { lane, handle: stage.handle(lane), part };
        let mut wanted = vec![want(HallLane::Hall, Part::Both)];
        if let Some(porter) = stage.porter() {
            wanted.push(want(HallLane::Foyer, Part::Says));
            wanted.extend(stage.lanes().map(|lane| want(lane, Part::Hears)));
            // A turn must not wait for its cell to be connected.
            let cells = (0..stage.pages()).map(|cell| HallLane::Cell { porter, cell });
            wanted.extend(cells.map(|lane| want(lane, Part::Says)));
        }
        self.lanes.want(wanted, now);
        while let Some((lane, message)) = stage.poll_transmit() {
            self.lanes.send(lane, stage.handle(lane), message, now);
        }
    }

    /// When [`tick`](Self::tick) wants to be called next.
    pub(in crate::driver) fn poll_timeout(&self) -> Option<Instant> {
        let stage = self.stage.as_ref().and_then(Stage::poll_timeout);
        [stage, self.lanes.poll_timeout()].into_iter().flatten().min()
    }

    /// Ready when there is something to do: with a packet, if one came.
    pub(in crate::driver) fn poll(&mut self, now: Instant, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.lanes.poll_came(now, context).map(|came| match came {
            Came::Inbound(HallLane::Hall, Inbound::Media(packet)) => Some(packet),
            Came::Inbound(HallLane::Doors | HallLane::Porter(_), Inbound::Control(message)) => {
                let taken = self.stage.as_mut().map(|stage| stage.handle_control(&message, now));
                self.refused += u64::from(!matches!(taken, Some(Ok(()))));
                None
            }
            // What other porters say to the audience.
            Came::Inbound(..) | Came::Tried(_) | Came::Lost(..) | Came::Open => None,
        })
    }

    /// Whether packets go to the hall and not to the room.
    pub(in crate::driver) fn carries(&self) -> bool {
        self.stage.is_some()
    }

    pub(in crate::driver) fn send_media(&self, packet: &[u8]) {
        self.lanes.send_media(packet);
    }

    pub(in crate::driver) fn poll_event(&mut self) -> Option<Event> {
        self.stage.as_mut()?.poll_event().map(Event::Hall)
    }

    /// The knock of somebody that we let up, which is not asked about.
    pub(in crate::driver) fn expected(&mut self, event: &Event) -> Option<KnockId> {
        let Event::Knocked { knock, member, .. } = event else { return None };
        let place = self.called.iter().position(|called| called == member)?;
        self.called.remove(place);
        Some(*knock)
    }

    /// The room may be over for us; nobody beats any more then. If it is closed, whoever listens is
    /// told.
    pub(in crate::driver) fn note(&mut self, event: &Event, now: Instant) {
        let Event::Over(ending) = event else { return };
        if let Some(mut stage) = self.stage.take()
            && *ending == Ending::Closed
        {
            stage.close();
            while let Some((lane, message)) = stage.poll_transmit() {
                self.lanes.send(lane, stage.handle(lane), message, now);
            }
        }
        self.lanes.want([], now);
    }

    /// Ends the lanes after what is to be sent has left.
    pub(in crate::driver) fn end(&mut self) {
        self.stage = None;
        self.lanes.end();
    }

    /// Ready when they have ended, or it is too late.
    pub(in crate::driver) fn poll_end(
        &mut self,
        until: Instant,
        now: Instant,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        while !self.lanes.is_over() {
            match self.lanes.poll(until, now, context) {
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    /// The room is carried by this relay now.
    pub(in crate::driver) fn move_to(&mut self, relay: &RelayName, now: Instant) {
        self.lanes.move_to(Some(relay), now);
    }
}

impl<T: LocalTransport, M: Plane> Session<T, M> {
    /// Makes the room of this session a stage room: from the moment that it is entered its members
    /// speak to an audience, and host and moderators let listeners in
    /// ([`Listening`](super::Listening)). `connector` makes the transports of the hall's lanes, at
    /// the relay that carries the room.
    ///
    /// Every member on the stage has to have a hall, or it neither hears nor is heard; a room
    /// without signed packets cannot ([`hall_error`](Self::hall_error)). Nothing of a hall is kept
    /// for reports.
    ///
    /// # Errors
    /// [`SessionError::Randomness`].
    pub fn with_hall(mut self, connector: impl Connector + 'static) -> Result<Self, SessionError> {
        let mut hall = Hall::new(connector, self.room.relays().to_vec(), Seed::generate()?);
        if let Some(relay) = self.transport.relays().first() {
            hall.move_to(relay, self.transport.now());
        }
        self.hall = Some(Box::new(hall));
        Ok(self)
    }

    /// The hall, once the room is entered: audience, pages, hands, code.
    pub fn stage(&self) -> Option<&Stage> {
        self.hall.as_ref()?.stage.as_ref()
    }

    /// The hall, to ask for pages. [`next`](Session::next) does the polling.
    pub fn stage_mut(&mut self) -> Option<&mut Stage> {
        self.hall.as_mut()?.stage.as_mut()
    }

    /// Why the room has no hall though it was asked for.
    pub fn hall_error(&self) -> Option<HallError> {
        self.hall.as_ref()?.error
    }

    /// Messages of the audience that did nothing, and messages to it that found no way out.
    pub fn hall_dropped(&self) -> (u64, u64) {
        self.hall.as_ref().map_or((0, 0), |hall| (hall.refused, hall.lanes.dropped()))
    }

    /// How many lanes of the hall are connected or being connected.
    pub fn hall_connections(&self) -> usize {
        self.hall.as_ref().map_or(0, |hall| hall.lanes.len())
    }

    /// Removes a listener, whoever it listens by: it is deaf after half a second, and stays out
    /// until it is let into the room. [`Room::ban`] keeps it out for good.
    ///
    /// # Errors
    /// As [`Room::ban`].
    pub fn remove_listener(&mut self, member: MemberId) -> Result<(), CommandError> {
        let now = self.transport.now();
        self.room.remove_from_hall(member, now)
    }

    /// Lets a listener of ours come up and speak: it is sent an invite for itself alone, and
    /// admitted when it knocks within ten minutes.
    ///
    /// # Errors
    /// [`LetUpError`].
    pub fn let_up(&mut self, member: MemberId) -> Result<(), LetUpError> {
        let now = self.transport.now();
        let hall = self.hall.as_mut().ok_or(LetUpError::NoHall)?;
        let stage = hall.stage.as_mut().ok_or(LetUpError::NoHall)?;
        let mut options = InviteOptions::lasting(UP_LASTS).for_at_most(NonZeroU16::MIN);
        options.role = Some(Role::Speaker);
        let invite = self.room.invite(options, now).map_err(LetUpError::Invite)?;
        if let Err(error) = stage.let_up(member, &invite) {
            // Nobody has it.
            let _ = self.room.revoke_invite(invite.id, now);
            return Err(LetUpError::Audience(error));
        }
        if hall.called.len() >= MAX_CALLED {
            hall.called.pop_front();
        }
        hall.called.push_back(member);
        Ok(())
    }
}

/// Why nobody was let up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LetUpError {
    /// The session has no hall, or the room is not entered.
    NoHall,
    /// There is no invite.
    Invite(CommandError),
    /// It does not listen by us.
    Audience(AudienceError),
}

impl fmt::Display for LetUpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHall => f.write_str("there is no hall"),
            Self::Invite(error) => error.fmt(f),
            Self::Audience(error) => error.fmt(f),
        }
    }
}

impl Error for LetUpError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NoHall => None,
            Self::Invite(error) => Some(error),
            Self::Audience(error) => Some(error),
        }
    }
}

impl fmt::Debug for Hall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hall").field("stage", &self.stage).finish_non_exhaustive()
    }
}

/// How long somebody may take to come up.
const UP_LASTS: Duration = Duration::from_secs(600);
const MAX_CALLED: usize = 64;
