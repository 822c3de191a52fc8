//! The packets that are missing from a report, as far as its signatures show (SPEC section 12.5).

use std::time::Duration;

use super::verify::ReportedPacket;
use crate::{id::CaptureTime, media::header::FIRST_COUNTER};

/// A place where packets are missing from a report, or may be missing.
///
/// Each packet's number is signed, so nobody can leave a packet out unnoticed within one step (ten
/// seconds of an epoch). When the key changes, the numbers start again at 256, and only the
/// speaker's clock shows whether its last packets under the old key are all here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// How much audio of the report is before it.
    pub after: Duration,
    /// How many packets the speaker certainly sealed that are not here.
    pub packets: u32,
    /// How much audio they hold, if they are as long as the packet before them.
    pub missing: Duration,
    /// Milliseconds by which the speaker's clock moved further than the audio did, missing packets
    /// included.
    pub clock_ms: i64,
    /// Whether the key changed here, so that more may be missing than `packets`.
    pub key_changed: bool,
}

/// The gaps between neighbours.
pub(super) fn between<'a>(packets: impl Iterator<Item = ReportedPacket<'a>>) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut audio = Duration::ZERO;
    let mut last: Option<ReportedPacket<'_>> = None;
    for packet in packets {
        if let Some(last) = &last {
            gaps.extend(gap(last, &packet, audio));
        }
        audio += packet.duration;
        last = Some(packet);
    }
    gaps
}

fn gap(last: &ReportedPacket<'_>, next: &ReportedPacket<'_>, after: Duration) -> Option<Gap> {
    // Two branches of a room can share the number of an epoch, so the part counts.
    let key_changed = (last.part, last.place.step) != (next.part, next.place.step);
    let first = if key_changed { FIRST_COUNTER } else { last.place.counter.0.saturating_add(1) };
    let packets = u32::try_from(next.place.counter.0.saturating_sub(first)).unwrap_or(u32::MAX);
    let missing = last.duration.saturating_mul(packets);
    let audio = i64::try_from((last.duration + missing).as_millis()).unwrap_or(i64::MAX);
    let clock_ms = between_captures(last.stamp.captured, next.stamp.captured).saturating_sub(audio);
    // Under one key a pause of the speaker is no loss; at a change of key a pause may hide lost
    // packets.
    let tolerated =
        if key_changed { i64::try_from(last.duration.as_millis()).unwrap_or(0) - 1 } else { PAUSE_MS };
    let shown = packets > 0 || clock_ms.saturating_abs() > tolerated;
    shown.then_some(Gap { after, packets, missing, clock_ms, key_changed })
}

/// Capture times have 48 bits, so their difference fits.
fn between_captures(from: CaptureTime, to: CaptureTime) -> i64 {
    let millis = |time: CaptureTime| i64::try_from(time.0).unwrap_or(i64::MAX);
    millis(to).saturating_sub(millis(from))
}

/// By how much the speaker's clock may differ from its audio under one key before a gap is
/// reported: a second, the unit of the coarsest clocks.
const PAUSE_MS: i64 = 1_000;
