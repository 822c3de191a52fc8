//! From packets to sound, twice: as they came out of the seal, and as they were before they went
//! in.

use std::collections::HashMap;

use sottovoce::codec::{Decoder, MAX_SAMPLES};
use sottovoce::media::OpusPacket;

use super::member::{FRAME, Got, Outcome, Place, Spoken};

/// What one member heard of everybody, and whether it is what was said.
pub struct Hearing {
    /// All speakers mixed, from the start of the speech.
    pub mix: Vec<i16>,
    /// Packets whose sound was compared.
    pub compared: u64,
    /// Packets whose sound, or whose decoder's state, differed.
    pub different: u64,
}

/// Decodes what `listener` opened, and beside it the same packets as they were before they were
/// sealed.
///
/// Both decoders conceal the same packets, namely those that did not come, so every difference is
/// the seal's.
pub fn listen(listener: &Outcome, speakers: &[&Outcome], samples: usize) -> Result<Hearing, String> {
    let mut mix = vec![0i32; samples];
    let mut hearing = Hearing { mix: Vec::new(), compared: 0, different: 0 };
    for speaker in speakers.iter().filter(|speaker| speaker.id != listener.id) {
        let got: HashMap<Place, &Got> =
            listener.heard.iter().filter(|got| got.from == speaker.id).map(|got| (got.place, got)).collect();
        let of = |spoken: &Spoken| spoken.place.and_then(|place| got.get(&place)).copied();
        let Some(first) = speaker.spoken.iter().position(|spoken| of(spoken).is_some()) else { continue };
        let last = speaker.spoken.iter().rposition(|spoken| of(spoken).is_some()).unwrap_or(first);
        let (mut theirs, mut ours) = (Ear::new()?, Ear::new()?);
        for (index, spoken) in speaker.spoken.iter().enumerate().take(last + 1).skip(first) {
            let came = of(spoken);
            let heard = theirs.hear(came.map(|got| got.opus.as_slice()))?;
            let reference = ours.hear(came.map(|_| spoken.opus.as_slice()))?;
            hearing.compared += u64::from(came.is_some());
            hearing.different += u64::from(heard != reference || theirs.state()? != ours.state()?);
            let place = mix.get_mut(index * FRAME.samples()..).unwrap_or_default();
            place.iter_mut().zip(&heard).for_each(|(sum, sample)| *sum += i32::from(*sample));
        }
    }
    hearing.mix = mix.into_iter().map(|sum| sum.clamp(i16::MIN.into(), i16::MAX.into()) as i16).collect();
    Ok(hearing)
}

/// What somebody hears who takes bytes for Opus packets of 40 ms: silence where the decoder
/// refuses.
pub fn play(packets: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<Vec<i16>, String> {
    let mut ear = Ear::new()?;
    let mut sound = Vec::new();
    for packet in packets {
        let heard = ear.hear(Some(packet.as_ref())).unwrap_or_default();
        sound.extend(heard.iter().copied().chain(std::iter::repeat(0)).take(FRAME.samples()));
    }
    Ok(sound)
}

/// A decoder of one stream.
struct Ear(Decoder);

impl Ear {
    fn new() -> Result<Self, String> {
        Decoder::new().map(Self).map_err(|error| error.to_string())
    }

    /// Decodes a packet, or conceals one that did not come.
    fn hear(&mut self, packet: Option<&[u8]>) -> Result<Vec<i16>, String> {
        let mut pcm = vec![0; MAX_SAMPLES];
        let samples = match packet {
            Some(packet) => {
                let packet = OpusPacket::parse(packet).map_err(|error| error.to_string())?;
                self.0.decode(packet, &mut pcm).map_err(|error| error.to_string())?
            }
            None => {
                pcm.truncate(FRAME.samples());
                self.0.conceal(&mut pcm).map_err(|error| error.to_string())?
            }
        };
        pcm.truncate(samples);
        Ok(pcm)
    }

    fn state(&mut self) -> Result<u32, String> {
        self.0.final_range().map_err(|error| error.to_string())
    }
}
