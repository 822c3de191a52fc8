//! Where messages of a hall go (`spec/stage.md`, section 4).

use crate::{
    keys::{derive::hkdf_sha256, secret::Secret},
    transport::RoomHandle,
    wire::envelope::LaneKey,
};

/// A lane of a hall. Relays know each by a handle that says nothing.
///
/// | lane | who sends | who receives |
/// | --- | --- | --- |
/// | doors | who comes in | porters |
/// | porter | the audience, and who comes in | that porter |
/// | foyer | porters | who comes in |
/// | hall | porters | the audience |
/// | cell | its porter | up to 32 listeners |
/// | own | porters | one listener |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HallLane {
    /// From those who come in to all porters.
    Doors,
    /// From the audience, and those who come in, to the porter whose door has this name.
    Porter([u8; 16]),
    /// From porters to those who come in.
    Foyer,
    /// From porters to the whole audience.
    Hall,
    /// From one porter to one of its cells.
    Cell {
        /// The name of the porter's door.
        porter: [u8; 16],
        /// The number of the cell.
        cell: u32,
    },
    /// To one listener, which chose the number.
    Own([u8; 16]),
}

/// The key of a hall's lanes. Wiped on drop.
pub(super) struct HallKey(pub(super) Secret);

impl HallKey {
    pub(super) fn of(lane: &LaneKey) -> Self {
        let label: [&[u8]; 1] = [b"sottovoce 2 hall lane"];
        Self(Secret::filled(32, |out| hkdf_sha256(&[], lane.bytes(), &label, out)))
    }

    /// What relays call a lane.
    pub(super) fn handle(&self, lane: HallLane) -> RoomHandle {
        let place: Vec<u8> = match lane {
            HallLane::Doors => vec![0],
            HallLane::Foyer => vec![1],
            HallLane::Hall => vec![2],
            HallLane::Cell { porter, cell } => [&[3][..], &porter, &cell.to_be_bytes()].concat(),
            HallLane::Own(number) => [&[4][..], &number].concat(),
            HallLane::Porter(door) => [&[5][..], &door].concat(),
        };
        let mut handle = [0; 16];
        hkdf_sha256(&[], self.0.bytes(), &[b"sottovoce 2 hall handle", &place], &mut handle);
        RoomHandle::from_bytes(handle)
    }
}
