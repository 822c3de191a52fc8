//! What a run of the story measured, as plain values: the source of the table, the JSON object and
//! the page.

use std::time::Duration;

use serde_json::{Value, json};

/// Everything that one run has to say.
pub struct Report {
    pub seconds: f64,
    /// Who listened in the end, the late crowd among them.
    pub listeners: usize,
    pub said: usize,
    pub opened: u64,
    /// Packets that opened and are not, byte for byte, what somebody on the stage had sealed.
    pub different: u64,
    /// From coming to the first packet that opened, one by one, and in the late crowd.
    pub joins: (f64, f64),
    pub crowd: usize,
    pub crowd_joins: (f64, f64),
    /// From the hand to the stage, and from being let up to the first packet that the audience
    /// opened.
    pub hand_ms: f64,
    pub up_ms: Option<f64>,
    /// How many of those present then heard who was let up.
    pub heard_guest: (usize, usize),
    pub ban: Ban,
    /// The most that anybody else missed in a row, and how much it was of all.
    pub missed_ms_max: f64,
    pub missed_share: f64,
    /// Who was told at the end that it is over, or that the stage is gone.
    pub told: (usize, usize),
    /// Different codes that were read by those who listened at one time.
    pub codes: usize,
    pub page_people: u32,
    pub violations: u32,
    /// Messages from and to the audience that found no way out.
    pub dropped: u64,
    pub growth: Vec<Cost>,
    /// Time, who is seated, who has opened a packet just then.
    pub audience: Vec<(f64, usize, usize)>,
    pub relay: Relay,
    /// Of each packet that was said, whether the guest said it.
    pub by_guest: Vec<bool>,
    pub rows: Vec<Row>,
    pub sounds: Vec<Sound>,
}

/// The ban and its effect.
pub struct Ban {
    pub name: String,
    /// Until the last packet that opened; `None` if it went on hearing.
    pub deaf_ms: Option<f64>,
    /// Packets that came afterwards, and such that opened when it should have been deaf.
    pub came: u64,
    pub opened: u64,
}

/// What a listener costs while the audience has one size.
#[derive(Clone)]
pub struct Cost {
    pub listeners: usize,
    /// CPU each second: of its session with opening and signatures, and of its sockets.
    pub session_ms_s: f64,
    pub sockets_ms_s: f64,
    /// Of the relay, for each listener.
    pub relay_ms_s: f64,
    /// Of all on the stage together.
    pub stage_ms_s: f64,
    pub control_kbit_s: f64,
    pub opened_s: f64,
    pub threads: usize,
}

/// What the relay saw.
pub struct Relay {
    pub members: usize,
    pub connections: u64,
    pub packets: u64,
    pub copies: u64,
    pub control: u64,
    pub control_copies: u64,
    pub refused: u64,
    pub dropped: u64,
    /// Different sizes of sealed packets.
    pub sizes: Vec<usize>,
    pub control_sizes: Vec<(usize, usize)>,
    pub needles: usize,
    pub leaks: usize,
    /// Hits of the same search in what was said, unsealed.
    pub leaks_control: usize,
    pub bytes: u64,
}

/// A listener: for each packet that was said, whether it was there, and whether it opened.
pub struct Row {
    pub name: String,
    pub heard: Vec<Mark>,
}

/// What a listener made of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Absent,
    Heard,
    Missed,
    Banned,
}

/// What was to be heard at one place, mono at 48 kHz.
pub struct Sound {
    pub title: &'static str,
    pub caption: String,
    pub samples: Vec<i16>,
    /// Which part of the way from left to right is marked, and by what.
    pub mark: Option<(f64, &'static str)>,
}

impl Report {
    /// The promises that this run broke, a sentence each; empty when all of them held.
    pub fn broken(&self) -> Vec<String> {
        let Self { ban, relay, .. } = self;
        let (heard, present) = self.heard_guest;
        let verdicts = [
            (self.opened == 0, "Nobody heard anything.".to_owned()),
            (self.different > 0, format!("{} packets were not what was said.", self.different)),
            (relay.leaks > 0, format!("The relay saw {} secrets.", relay.leaks)),
            (relay.leaks_control == 0, "The search finds nothing, so it proves nothing.".to_owned()),
            (ban.deaf_ms.is_none_or(|ms| ms > 1_500.0), format!("{} heard on after the ban.", ban.name)),
            (ban.came == 0, format!("{} got no packets to try.", ban.name)),
            (heard < present, format!("{} of {present} did not hear who was let up.", present - heard)),
            (self.told.0 < self.told.1, format!("{:?} were told of the end.", self.told)),
            (self.violations > 0, format!("{} things did not agree with a signature.", self.violations)),
            (self.page_people == 0, "No page of the audience came.".to_owned()),
            (relay.refused > 0, format!("The relay turned {} connections away.", relay.refused)),
            (self.codes > 1, format!("There were {} codes.", self.codes)),
        ];
        verdicts.into_iter().filter(|(broken, _)| *broken).map(|(_, sentence)| sentence).collect()
    }

    pub fn json(&self) -> Value {
        let growth = self.growth.iter().map(|cost| {
            json!({
                "listeners": cost.listeners,
                "session_ms_s": cost.session_ms_s,
                "sockets_ms_s": cost.sockets_ms_s,
                "relay_ms_s": cost.relay_ms_s,
                "stage_ms_s": cost.stage_ms_s,
                "control_kbit_s": cost.control_kbit_s,
                "opened_s": cost.opened_s,
                "threads": cost.threads,
            })
        });
        json!({
            "seconds": self.seconds,
            "listeners": self.listeners,
            "said": self.said,
            "opened": self.opened,
            "different": self.different,
            "join_ms_p50": self.joins.0,
            "join_ms_p99": self.joins.1,
            "crowd": self.crowd,
            "crowd_join_ms_p50": self.crowd_joins.0,
            "crowd_join_ms_p99": self.crowd_joins.1,
            "hand_ms": self.hand_ms,
            "up_ms": self.up_ms,
            "heard_guest": self.heard_guest.0,
            "deaf_ms": self.ban.deaf_ms,
            "banned_came": self.ban.came,
            "banned_opened": self.ban.opened,
            "others_missed_ms_max": self.missed_ms_max,
            "others_missed_share": self.missed_share,
            "told": self.told.0,
            "to_tell": self.told.1,
            "codes": self.codes,
            "violations": self.violations,
            "dropped": self.dropped,
            "growth": growth.collect::<Vec<_>>(),
            "relay_refused": self.relay.refused,
            "relay_dropped": self.relay.dropped,
            "relay_members": self.relay.members,
            "relay_packets": self.relay.packets,
            "relay_copies": self.relay.copies,
            "leaks": self.relay.leaks,
            "leaks_control": self.relay.leaks_control,
            "broken": self.broken(),
        })
    }

    /// What a run prints when it ends.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "listeners  session ms/s  sockets ms/s  relay ms/s  control kbit/s  packets/s  threads\n",
        );
        for cost in &self.growth {
            text += &format!(
                "{:>9}  {:>12.2}  {:>12.2}  {:>10.2}  {:>14.2}  {:>9.1}  {:>7}\n",
                cost.listeners,
                cost.session_ms_s,
                cost.sockets_ms_s,
                cost.relay_ms_s,
                cost.control_kbit_s,
                cost.opened_s,
                cost.threads
            );
        }
        let ms = |value: Option<f64>| value.map_or("never".to_owned(), |ms| format!("{ms:.0} ms"));
        text.push('\n');
        for (name, value) in [
            ("said and heard", format!("{} packets, opened {} times", self.said, self.opened)),
            ("heard as it was said", if self.different == 0 { "yes".into() } else { "no".into() }),
            ("from coming to hearing", format!("{:.0} ms, p99 {:.0} ms", self.joins.0, self.joins.1)),
            (
                "the late crowd",
                format!(
                    "{} at once, {:.0} ms, p99 {:.0} ms",
                    self.crowd, self.crowd_joins.0, self.crowd_joins.1
                ),
            ),
            ("a hand", format!("seen after {:.0} ms", self.hand_ms)),
            (
                "let up",
                format!("heard after {} by {} of {}", ms(self.up_ms), self.heard_guest.0, self.heard_guest.1),
            ),
            (
                "banned",
                format!(
                    "{} deaf after {}; {} packets came after that, {} opened",
                    self.ban.name,
                    ms(self.ban.deaf_ms),
                    self.ban.came,
                    self.ban.opened
                ),
            ),
            (
                "missed by others",
                format!("{:.0} ms in a row at most, {:.3} %", self.missed_ms_max, self.missed_share * 100.0),
            ),
            ("told of the end", format!("{} of {}", self.told.0, self.told.1)),
            (
                "the relay",
                format!(
                    "{} members at most, {} packets in, {} out, {} messages in, {} out",
                    self.relay.members,
                    self.relay.packets,
                    self.relay.copies,
                    self.relay.control,
                    self.relay.control_copies
                ),
            ),
            (
                "canaries at the relay",
                format!(
                    "{} of {} in {} bytes; {} hits in what was said",
                    self.relay.leaks, self.relay.needles, self.relay.bytes, self.relay.leaks_control
                ),
            ),
        ] {
            text += &format!("{name:<24}{value}\n");
        }
        for sentence in self.broken() {
            text += &format!("BROKEN: {sentence}\n");
        }
        text
    }
}

pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
