//! The sealed packet stands in the caller's buffer: the next one cannot be captured over it.

use sottovoce::{SealError, Sealer, Stamp};

fn send(sealer: &mut Sealer, buffer: &mut [u8; 300], wire: fn(&[u8])) -> Result<(), SealError> {
    let sealed = sealer.seal(buffer, 100, Stamp::default())?;
    buffer[16] = 0x78;
    wire(sealed);
    Ok(())
}

fn main() {}
