//! A key goes to one sealer, and is gone then: two sealers with one key would repeat nonces.

use sottovoce::{Sealer, media::SealRekey};

fn twice(one: &mut Sealer, other: &mut Sealer, key: SealRekey) {
    let _ = one.install(key);
    let _ = other.install(key);
}

fn main() {}
