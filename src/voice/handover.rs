//! Between an audio device's callback and the media thread: a lock-free ring each way (SPEC section
//! 13.6).
//!
//! The callback's ends never allocate, lock or wait. What does not fit is dropped, what is missing
//! is silence, and both are counted.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use rtrb::{Consumer, Producer, RingBuffer};

/// The callback's end of the way from the microphone.
pub struct Capture {
    ring: Producer<f32>,
    dropped: Arc<AtomicU64>,
}

/// The media thread's end of the way from the microphone.
pub struct Captured {
    ring: Consumer<f32>,
    dropped: Arc<AtomicU64>,
}

/// The media thread's end of the way to the loudspeaker.
pub struct Played {
    ring: Producer<f32>,
    seen: Arc<Seen>,
}

/// The callback's end of the way to the loudspeaker.
pub struct Playback {
    ring: Consumer<f32>,
    seen: Arc<Seen>,
}

/// What a loudspeaker's callback saw.
#[derive(Default)]
struct Seen {
    /// Samples for which there was nothing.
    missing: AtomicU64,
    /// The most samples that were asked for at a time.
    block: AtomicUsize,
}

/// A way from a microphone's callback that holds `samples` samples, all channels counted.
pub fn capture(samples: usize) -> (Capture, Captured) {
    let (producer, consumer) = RingBuffer::new(samples);
    let dropped = Arc::new(AtomicU64::new(0));
    (Capture { ring: producer, dropped: Arc::clone(&dropped) }, Captured { ring: consumer, dropped })
}

/// A way to a loudspeaker's callback that holds `samples` samples, all channels counted.
pub fn playback(samples: usize) -> (Played, Playback) {
    let (producer, consumer) = RingBuffer::new(samples);
    let seen = Arc::new(Seen::default());
    (Played { ring: producer, seen: Arc::clone(&seen) }, Playback { ring: consumer, seen })
}

impl Capture {
    /// Hands over what the device recorded. For the device's callback.
    pub fn write(&mut self, pcm: &[f32]) {
        let (_, rest) = self.ring.push_partial_slice(pcm);
        self.dropped.fetch_add(rest.len() as u64, Ordering::Relaxed);
    }
}

impl Captured {
    /// Takes what has come into the front of `pcm`, and returns how many samples that is.
    pub fn read(&mut self, pcm: &mut [f32]) -> usize {
        let (taken, _) = self.ring.pop_partial_slice(pcm);
        taken.len()
    }

    /// Samples that found no room, because the media thread was late.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Played {
    /// Hands over as much as there is room for, and returns how many samples that is.
    pub fn write(&mut self, pcm: &[f32]) -> usize {
        let (written, _) = self.ring.push_partial_slice(pcm);
        written.len()
    }

    /// Samples that wait for the device: what is written now is heard that much later.
    pub fn waiting(&self) -> usize {
        self.ring.buffer().capacity() - self.ring.slots()
    }

    /// Samples for which the device found nothing.
    pub fn missing(&self) -> u64 {
        self.seen.missing.load(Ordering::Relaxed)
    }

    /// The most samples that the device took at a time, all channels counted; 0 before it took any.
    /// So many have to wait for it, or some are missing; and
    /// [`Receiver::set_lead`](super::Receiver::set_lead) wants to know.
    pub fn block(&self) -> usize {
        self.seen.block.load(Ordering::Relaxed)
    }
}

impl Playback {
    /// Notes that so many samples are taken at a time, for a callback that takes them in parts.
    #[cfg(feature = "devices")]
    pub(super) fn begin(&self, samples: usize) {
        self.seen.block.fetch_max(samples, Ordering::Relaxed);
    }

    /// Fills all of `pcm`, with silence where nothing is there. For the device's callback.
    pub fn fill(&mut self, pcm: &mut [f32]) {
        self.seen.block.fetch_max(pcm.len(), Ordering::Relaxed);
        let (_, rest) = self.ring.pop_partial_slice(pcm);
        rest.fill(0.0);
        self.seen.missing.fetch_add(rest.len() as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_dropped_and_what_is_missing_is_silence() {
        let (mut callback, mut media) = capture(4);
        callback.write(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        let mut pcm = [0.0; 8];
        assert_eq!((media.read(&mut pcm), media.dropped()), (4, 1));
        assert_eq!(pcm[..5], [1.0, 2.0, 3.0, 4.0, 0.0]);

        let (mut media, mut callback) = playback(4);
        assert_eq!(media.write(&[1.0, 2.0]), 2);
        assert_eq!(media.waiting(), 2);
        let mut pcm = [9.0; 3];
        callback.fill(&mut pcm);
        assert_eq!((pcm, media.missing(), media.waiting()), ([1.0, 2.0, 0.0], 1, 0));
    }
}
