//! The counts as Prometheus text: bytes, packets, members, rooms, refusals. Nothing about people,
//! and no label that a room or an address could be told by.

use std::fmt::Write;

use super::Counts;

/// The present state, in the text exposition format 0.0.4.
pub(super) fn text(counts: &Counts, members: usize, rooms: usize, log_failed: bool) -> String {
    let mut text = String::new();
    let refusals = counts.refusals;
    let gauges = [
        ("members", "Members connected now.", members as u64),
        ("rooms", "Rooms with at least one member now.", rooms as u64),
        ("log_failed", "Whether the log can no longer be written.", u64::from(log_failed)),
    ];
    let counters = [
        ("connections_total", "Members admitted.", counts.connections),
        ("cut_total", "Members cut off: slow, silent, or with a message that is too long.", counts.cut),
        ("revoked_total", "Members cut off because their token was revoked.", counts.revoked),
        ("control_messages_total", "Control messages taken from members.", counts.control),
        ("control_bytes_total", "Bytes of them.", counts.control_bytes),
        ("control_copies_total", "Copies of control messages handed to members.", counts.control_copies),
        ("control_copied_bytes_total", "Bytes of those.", counts.control_copied_bytes),
        ("media_packets_total", "Sealed packets taken from members.", counts.media),
        ("media_bytes_total", "Bytes of them.", counts.media_bytes),
        ("media_copies_total", "Copies of sealed packets sent to members.", counts.copies),
        ("media_copied_bytes_total", "Bytes of those.", counts.copied_bytes),
        ("log_records_lost_total", "Records that could not be written to the log.", counts.log_lost),
    ];
    let dropped = [
        ("unbound", counts.unbound),
        ("malformed", counts.malformed),
        ("over_rate", counts.over_rate),
        ("no_part", counts.no_part),
        ("on_purpose", counts.lost),
    ];
    let refused = [
        ("garbage", refusals.garbage),
        ("no_hello", refusals.no_hello),
        ("pending", refusals.pending),
        ("version", refusals.version),
        ("relay_full", refusals.relay_full),
        ("rooms_full", refusals.rooms_full),
        ("room_full", refusals.room_full),
        ("token", refusals.token),
    ];
    for (name, help, value) in gauges {
        family(&mut text, name, help, "gauge", &[("", value)]);
    }
    for (name, help, value) in counters {
        family(&mut text, name, help, "counter", &[("", value)]);
    }
    family(&mut text, "datagrams_dropped_total", "Datagrams dropped, by reason.", "counter", &dropped);
    family(&mut text, "refused_total", "Connections turned away, by reason.", "counter", &refused);
    text
}

fn family(text: &mut String, name: &str, help: &str, kind: &str, samples: &[(&str, u64)]) {
    let mut line = |line: std::fmt::Arguments<'_>| {
        // A String takes whatever it is given.
        let _ = text.write_fmt(line);
    };
    line(format_args!("# HELP sottovoce_relay_{name} {help}\n# TYPE sottovoce_relay_{name} {kind}\n"));
    for (reason, value) in samples {
        match *reason {
            "" => line(format_args!("sottovoce_relay_{name} {value}\n")),
            reason => line(format_args!("sottovoce_relay_{name}{{reason=\"{reason}\"}} {value}\n")),
        }
    }
}
