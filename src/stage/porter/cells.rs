//! The cells of one porter: who listens by it, and under which chains (`spec/stage.md`, H7 and
//! H10).
//!
//! ```text
//! cell   chain of the cell, known to its 32 listeners         slot 0..31: chain of one listener
//! turn   nobody has left: R sealed under the chain            somebody has: a fresh chain, sealed
//!                                                             to each slot that stays
//! ```

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::CryptoRng;

use crate::{
    defence::{Defence, holds},
    group::Name,
    id::{IdentityKey, MemberId},
    keys::secret::Secret,
    law::Tag,
    stage::{
        chain::Chain,
        envelope::{self, Use},
        wire::{Bundle, MAX_PAGES, MAX_SLOTS, Message, Page, Turn},
    },
};

/// All cells of a porter.
#[derive(Default)]
pub(super) struct Cells {
    cells: Vec<Cell>,
    people: BTreeMap<Tag, Place>,
}

/// A place in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) cell: u32,
    pub(super) slot: u8,
}

struct Cell {
    chain: Chain,
    seats: [Option<Box<Seat>>; MAX_SLOTS],
    /// Slots whose listener has gone and knows the chain still: a bit each.
    gone: u32,
    /// Somebody has a fresh chain of its own since this one was made.
    healed: bool,
    fresh_at: Instant,
    page: Option<[u8; 32]>,
}

/// Somebody who listens.
pub(super) struct Seat {
    pub(super) key: IdentityKey,
    pub(super) tag: Tag,
    pub(super) name: Name,
    pub(super) pair: Chain,
    /// Where it is answered.
    pub(super) reply_to: [u8; 16],
    /// When its knock was made, by its clock.
    pub(super) made_ms: u64,
    /// The number of the last thing that it said.
    pub(super) count: u32,
    /// Its hand is up since.
    pub(super) hand: Option<Instant>,
    pub(super) came_at: Instant,
    pub(super) heard_at: Instant,
    /// When it was last answered something that is dear.
    pub(super) served_at: Option<Instant>,
}

impl Seat {
    pub(super) fn member(&self) -> MemberId {
        self.key.id()
    }
}

impl Cells {
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.people.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.cells.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn seat(&self, place: Place) -> Option<&Seat> {
        self.cells.get(place.cell as usize)?.seats.get(usize::from(place.slot))?.as_deref()
    }

    pub(super) fn seat_mut(&mut self, place: Place) -> Option<&mut Seat> {
        self.cells.get_mut(place.cell as usize)?.seats.get_mut(usize::from(place.slot))?.as_deref_mut()
    }

    pub(super) fn place_of(&self, tag: &Tag) -> Option<Place> {
        self.people.get(tag).copied()
    }

    pub(super) fn seats(&self) -> impl Iterator<Item = (Place, &Seat)> {
        self.people.values().filter_map(|place| Some((*place, self.seat(*place)?)))
    }

    /// Gives a seat to somebody, in the first cell that has one free; who is there already keeps
    /// its own, and whoever has the chain of its device before loses it with the next turn.
    ///
    /// `None` if all cells are full.
    pub(super) fn put(
        &mut self,
        seat: Seat,
        step: u32,
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Option<(Place, &Secret)> {
        let place = match self.place_of(&seat.tag) {
            Some(place) => {
                // Another device may hold the chain of the cell.
                self.cells.get_mut(place.cell as usize)?.healed = true;
                place
            }
            None => self.vacant(step, now, rng)?,
        };
        self.people.insert(seat.tag, place);
        let cell = self.cells.get_mut(place.cell as usize)?;
        cell.page = None;
        *cell.seats.get_mut(usize::from(place.slot))? = Some(Box::new(seat));
        Some((place, cell.chain.key()))
    }

    fn vacant(&mut self, step: u32, now: Instant, rng: &mut impl CryptoRng) -> Option<Place> {
        // Who hears few bundles pays for few: small audiences have small cells.
        let slots = if self.people.len() < SMALL { SMALL_CELL } else { MAX_SLOTS };
        let free = |cell: &Cell| {
            let vacant = |slot: &usize| {
                cell.gone & (1 << slot) == 0 && cell.seats.get(*slot).is_some_and(Option::is_none)
            };
            (0..slots).find(vacant)
        };
        let found = self.cells.iter().enumerate().find_map(|(cell, it)| Some((cell, free(it)?)));
        let (cell, slot) = match found {
            Some(found) => found,
            None if self.cells.len() < MAX_PAGES => {
                let chain = Chain::new(step, drawn(rng));
                let seats = [const { None }; MAX_SLOTS];
                self.cells.push(Cell { chain, seats, gone: 0, healed: false, fresh_at: now, page: None });
                (self.cells.len() - 1, 0)
            }
            None => return None,
        };
        Some(Place { cell: u32::try_from(cell).ok()?, slot: u8::try_from(slot).ok()? })
    }

    /// Takes somebody out. Its cell gets a fresh chain with the next turn.
    pub(super) fn remove(&mut self, tag: &Tag) -> Option<Box<Seat>> {
        let place = self.people.remove(tag)?;
        let cell = self.cells.get_mut(place.cell as usize)?;
        cell.gone |= 1 << place.slot;
        cell.page = None;
        cell.seats.get_mut(usize::from(place.slot))?.take()
    }

    /// Whether somebody who has gone can still follow.
    pub(super) fn has_gone(&self) -> bool {
        self.cells.iter().any(|cell| cell.gone != 0)
    }

    /// Gives somebody's chain a fresh key.
    pub(super) fn heal(&mut self, place: Place, step: u32, fresh: Secret) {
        if let Some(seat) = self.seat_mut(place) {
            seat.pair.replace(step, fresh);
        }
        if let Some(cell) = self.cells.get_mut(place.cell as usize) {
            cell.healed = true;
        }
    }

    pub(super) fn advance(&mut self, step: u32) {
        self.chains().for_each(|chain| chain.advance(step));
    }

    pub(super) fn retire(&mut self) {
        self.chains().for_each(Chain::retire);
    }

    fn chains(&mut self) -> impl Iterator<Item = &mut Chain> {
        self.cells.iter_mut().flat_map(|cell| {
            let pairs = cell.seats.iter_mut().flatten().map(|seat| &mut seat.pair);
            std::iter::once(&mut cell.chain).chain(pairs)
        })
    }

    /// The present chain of a cell, for who comes in.
    pub(super) fn chain(&self, cell: u32) -> Option<&Chain> {
        self.cells.get(cell as usize).map(|cell| &cell.chain)
    }

    /// One message for each cell in which somebody listens: the turn, and a fresh chain where
    /// somebody has gone.
    pub(super) fn turn(
        &mut self,
        turn: &Turn,
        lane: &Secret,
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Vec<(u32, Bytes)> {
        let content = turn.encode();
        let cells = self.cells.iter_mut().zip(0u32..);
        let messages = cells.filter_map(|(cell, number)| {
            let sealed = cell.turn(&content, lane, now, rng)?;
            Some((number, sealed))
        });
        messages.collect()
    }

    /// A page of the roster with the hashes of all.
    pub(super) fn page(&mut self, number: u32) -> Option<Page> {
        let hashes = self.hashes();
        let cell = self.cells.get(number as usize)?;
        Some(Page { hashes, ..cell.page_of(number) })
    }

    /// The hash of the roster.
    pub(super) fn roster(&mut self) -> [u8; 32] {
        Page::roster(&self.hashes())
    }

    fn hashes(&mut self) -> Vec<[u8; 32]> {
        let cells = self.cells.iter_mut().zip(0u32..);
        let hash = |(cell, number): (&mut Cell, u32)| match cell.page {
            Some(hash) => hash,
            None => *cell.page.insert(cell.page_of(number).hash()),
        };
        cells.map(hash).collect()
    }
}

impl Cell {
    fn turn(
        &mut self,
        content: &Secret,
        lane: &Secret,
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Option<Bytes> {
        if self.seats.iter().all(Option::is_none) {
            // Nobody is left who follows this chain, nor will anybody.
            self.chain = Chain::new(self.chain.step(), drawn(rng));
            (self.gone, self.healed) = (0, false);
            return None;
        }
        let due = self.healed && now.saturating_duration_since(self.fresh_at) >= HEAL_EVERY;
        if (self.gone == 0 || !holds(Defence::HallChain)) && !due {
            return self.chain.seal(Use::Cell, content.bytes(), rng).ok();
        }
        let (step, fresh) = (self.chain.step(), drawn(rng));
        let seats = self.seats.iter().zip(0u8..);
        let pairs = seats.filter_map(|(seat, slot)| Some((slot, seat.as_ref()?.pair.key())));
        let sealed = envelope::seal_bare(&fresh, Use::Cell, content.bytes(), rng);
        let bundle = Bundle::seal(step, &fresh, pairs, sealed, rng);
        self.chain = Chain::new(step, fresh);
        (self.gone, self.healed, self.fresh_at) = (0, false, now);
        envelope::seal(lane, Use::Lane, &Message::Bundle(bundle).encode(), rng).ok()
    }

    fn page_of(&self, number: u32) -> Page {
        let seats = self.seats.iter().zip(0u8..);
        let people = seats.filter_map(|(seat, slot)| {
            let seat = seat.as_ref()?;
            Some((slot, seat.key, seat.name.clone()))
        });
        Page { number, people: people.collect(), hashes: Vec::new() }
    }
}

/// 32 fresh secret bytes.
pub(in crate::stage) fn drawn(rng: &mut impl CryptoRng) -> Secret {
    Secret::filled(32, |out| rng.fill_bytes(out))
}

/// A porter with fewer listeners than this fills so many slots of a cell.
const SMALL: usize = 1_000;
const SMALL_CELL: usize = 16;
/// How often a cell gets a fresh chain only because its listeners have fresh ones.
const HEAL_EVERY: Duration = Duration::from_secs(600);
