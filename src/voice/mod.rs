//! A voice endpoint: PCM in, PCM out, and between them packets that say nothing by size or time
//! (SPEC section 13).
//!
//! ```text
//! microphone > Capture ~ ring ~ Captured > Sender: 48 kHz > Opus > a packet on each tick > Sealer
//! Opener > Receiver: a jitter buffer and a decoder a speaker > mix of the loudest > limiter > Played ~ ring ~ Playback > loudspeaker
//! ```
//!
//! [`Sender`] and [`Receiver`] live on the media thread, beside sealer and opener. Like those they
//! take no lock and read no clock, and allocate nothing once they are made. The audio device's own
//! callback touches only the ends of a lock-free ring, [`Capture`] and [`Playback`].
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! use sottovoce::voice::{Receiver, ReceiverOptions, Sender, SenderOptions};
//!
//! let now = Instant::now();
//! let mut sender = Sender::new(SenderOptions::default())?;
//! sender.set_live(true, now, 1_800_000_000_000); // milliseconds since 1970
//! sender.capture(&[0.0; 4_800])?; // 100 ms of the microphone
//! let tick = sender.poll_timeout().ok_or("not live")?;
//! let packet = sender.next_packet(tick).ok_or("a packet leaves on every tick")?;
//! assert!(!packet.opus.is_empty()); // for `Session::speak`, with `packet.stamp`
//! assert_eq!(sender.poll_timeout(), Some(tick + Duration::from_millis(40)));
//!
//! let mut receiver = Receiver::new(ReceiverOptions::default(), now)?;
//! let mut loudspeaker = [1.0; 480];
//! receiver.render(now, &mut loudspeaker);
//! assert_eq!(loudspeaker, [0.0; 480]); // nobody has spoken
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod channels;
mod converter;
#[cfg(feature = "devices")]
pub mod devices;
mod handover;
mod jitter;
mod level;
mod limiter;
mod mix;
mod options;
#[cfg(feature = "processing")]
mod processing;
mod ranking;
mod receiver;
mod sender;
mod stream;
mod stretch;
mod talker;
mod tuning;

use std::fmt;

#[cfg(feature = "processing")]
pub use self::processing::{Noise, Processing, ProcessingOptions};
pub use self::{
    channels::Channels,
    handover::{Capture, Captured, Playback, Played, capture, playback},
    options::{ReceiverOptions, SenderOptions},
    receiver::{Frame, NotHeard, Receiver, Totals},
    sender::{Packet, Sender, SenderStats},
    talker::{StreamStats, Talker},
    tuning::{Tuning, TuningError},
};
use crate::codec::CodecError;

/// Why an endpoint could not be made, or did not take samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VoiceError {
    /// A rate below 8,000 or above 192,000 samples a second.
    Rate,
    /// No channel, or more than 32.
    Channels,
    /// The samples do not make whole frames of all channels. None was taken.
    Ragged,
    /// The codec: the room's packets are too small for this frame length, or libopus failed.
    Codec(CodecError),
}

impl fmt::Display for VoiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate => f.write_str("a sampling rate must lie between 8,000 and 192,000"),
            Self::Channels => f.write_str("a device must have 1 to 32 channels"),
            Self::Ragged => f.write_str("the samples do not make whole frames of all channels"),
            Self::Codec(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for VoiceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Codec(error) => Some(error),
            _ => None,
        }
    }
}

impl From<CodecError> for VoiceError {
    fn from(error: CodecError) -> Self {
        Self::Codec(error)
    }
}

/// Checks what a device says of itself.
fn check_format(rate: u32, channels: u16) -> Result<(), VoiceError> {
    if !(8_000..=192_000).contains(&rate) {
        return Err(VoiceError::Rate);
    }
    if channels == 0 || channels > MAX_CHANNELS {
        return Err(VoiceError::Channels);
    }
    Ok(())
}

/// Channels of a device.
const MAX_CHANNELS: u16 = 32;
/// Samples of 5 ms at 48 kHz: what is mixed at a time.
const BLOCK: usize = 240;
