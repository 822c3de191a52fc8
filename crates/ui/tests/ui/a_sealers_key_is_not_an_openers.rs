//! Keys to seal with cannot end up where packets are opened, nor the other way round.

use sottovoce::{Opener, Sealer, media::{OpenRekey, SealRekey}};

fn mixed_up(sealer: &mut Sealer, opener: &mut Opener, to_seal: SealRekey, to_open: OpenRekey) {
    let _ = opener.install(to_seal);
    let _ = sealer.install(to_open);
}

fn main() {}
