//! Nobody but the sealer says which counter a packet gets.

use sottovoce::Sealer;

fn rewind(sealer: &mut Sealer) {
    sealer.counter = 256;
}

fn main() {}
