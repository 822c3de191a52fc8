//! What we say: who makes packets of it, and what became of them.

use std::error::Error;

use sottovoce::{
    SealError,
    driver::SpeakError,
    room::Room,
    voice::{Sender, SenderOptions},
};

/// A sender of packets of the room's size, once the room is known.
///
/// # Errors
/// If no speech fits them.
pub fn sender(
    room: &Room,
    (rate, channels): (u32, u16),
    #[cfg_attr(not(feature = "processing"), expect(unused_variables))] played: (u32, u16),
) -> Result<Option<Sender>, Box<dyn Error>> {
    let Some(mut options) = SenderOptions::of_room(room) else { return Ok(None) };
    (options.rate, options.channels) = (rate, channels);
    #[cfg_attr(not(feature = "processing"), expect(unused_mut))]
    let mut sender = Sender::new(options)?;
    #[cfg(feature = "processing")]
    {
        let mut options = sottovoce::voice::ProcessingOptions::default();
        (options.rate, options.channels) = played;
        sender.process(Some(sottovoce::voice::Processing::new(options)?));
    }
    Ok(Some(sender))
}

/// What we hear comes back through the microphone, and is taken out there.
#[cfg(feature = "processing")]
pub fn handle_played(speaker: &mut Option<Sender>, pcm: &[f32]) {
    // What is rendered is whole frames of the loudspeaker.
    speaker.iter_mut().for_each(|speaker| speaker.handle_played(pcm).unwrap_or_default());
}

/// Without the feature `processing` nothing takes it out.
#[cfg(not(feature = "processing"))]
pub fn handle_played(_: &mut Option<Sender>, _: &[f32]) {}

/// What became of the packets that were to be sent.
#[derive(Default)]
pub struct Lost {
    pub sent: u64,
    why: Option<String>,
}

impl Lost {
    /// Returns why nothing is sent when that changes. Of silence by the room's rules its events
    /// tell.
    pub fn note(&mut self, spoken: Result<(), SpeakError>) -> Option<String> {
        let why = match spoken {
            Ok(()) => {
                self.sent += 1;
                None
            }
            Err(SpeakError::Seal(SealError::Silent(_))) => return None,
            Err(why) => Some(why.to_string()),
        };
        if why == self.why {
            return None;
        }
        self.why = why;
        self.why.as_ref().map(|why| format!("not sent: {why}"))
    }
}
