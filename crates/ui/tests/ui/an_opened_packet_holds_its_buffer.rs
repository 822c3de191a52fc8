//! The packet that was opened stands in the frame's buffer: receiving into it again must wait.

use sottovoce::{Opener, OpenError};

fn play(opener: &mut Opener, frame: &mut [u8; 1_100]) -> Result<u8, OpenError> {
    let opened = opener.open(frame)?;
    frame[0] = 0;
    Ok(opened.packet.as_bytes()[0])
}

fn main() {}
