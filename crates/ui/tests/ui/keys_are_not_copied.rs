//! Neither keys nor what holds them can be copied.

use sottovoce::{EpochSecret, Opener, Schedule, Sealer, media::SealRekey};

fn copy(sealer: &Sealer, opener: &Opener, schedule: &Schedule, key: &SealRekey, secret: &EpochSecret) {
    <Sealer as Clone>::clone(sealer);
    <Opener as Clone>::clone(opener);
    <Schedule as Clone>::clone(schedule);
    <SealRekey as Clone>::clone(key);
    <EpochSecret as Clone>::clone(secret);
}

fn main() {}
