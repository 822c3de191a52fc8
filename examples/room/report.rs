//! What a run of the room measured, as plain values: the source of the table, the JSON object and
//! the page.

use std::collections::BTreeMap;
use std::time::Duration;

/// Everything that one run has to say.
#[derive(Debug, Clone)]
pub struct Report {
    /// The seed of the run.
    pub seed: u64,
    /// Seconds of speech.
    pub seconds: f64,
    /// The share of media packets that the relay dropped on purpose, in percent.
    pub loss_percent: f64,
    /// Media packets that were sealed and sent.
    pub packets_sent: u64,
    /// Bytes that the relay saw, and kept.
    pub relay_bytes: u64,
    /// Packets whose sound was compared, sample by sample, with that of the same Opus packets never
    /// sealed.
    pub compared: u64,
    /// Whether all of them were equal to the bit.
    pub bit_identical: bool,
    /// The two searches for secrets in what the relay saw.
    pub audit: Audit,
    /// The ban half way.
    pub ban: Ban,
    /// What a listener reported, as its moderator found it.
    pub filed: Filed,
    /// The members, in the order in which they came.
    pub members: Vec<Member>,
    /// What was to be heard at several places.
    pub sounds: Sounds,
    /// The media packets of the sealed run as the relay saw them.
    pub sealed: Vec<Seen>,
    /// The media packets of the control run (variable bit rate, DTX, not sealed) as the relay saw
    /// them.
    pub control: Vec<Seen>,
}

/// A member and what happened to it.
#[derive(Debug, Clone)]
pub struct Member {
    /// The name that it shows.
    pub name: String,
    /// Its role in the room.
    pub role: String,
    /// Media packets that reached it.
    pub received: u64,
    /// Media packets that it opened.
    pub opened: u64,
    /// Media packets that it refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// From the knock to the moment when it could open packets; for the host, to make the room.
    pub join: Duration,
    /// From the ban to the last packet that it opened or could have opened, if it was banned and
    /// fell deaf.
    pub deaf: Option<Duration>,
}

/// The search for canaries in what the relay saw, and in the control run where they have to be
/// found.
#[derive(Debug, Clone)]
pub struct Audit {
    /// How many canaries were looked for, each in every encoding.
    pub needles: usize,
    /// Hits in the sealed run.
    pub leaks: usize,
    /// Hits in the control run.
    pub leaks_control: usize,
    /// Hits that as many random bytes would give by chance.
    pub chance_hits: f64,
}

/// The ban and its effect.
#[derive(Debug, Clone)]
pub struct Ban {
    /// The name of the banned member.
    pub name: String,
    /// When the host banned it, counted from the start of the speech.
    pub at: Duration,
    /// From then to the moment after which nothing opened any more; `None` if that did not come.
    pub deaf: Option<Duration>,
    /// Packets that reached it after the ban.
    pub received_after: u64,
    /// Packets sealed after the ban that it opened all the same.
    pub opened_after: u64,
}

/// A report, and what it proves.
#[derive(Debug, Clone)]
pub struct Filed {
    /// The name of whom it is about.
    pub name: String,
    /// Packets that are proved to be that member's, or why none is.
    pub proved: Result<usize, String>,
    /// How much audio that is.
    pub audio: Duration,
}

/// Mono PCM at 48 kHz from each place where somebody listens. All begin with the speech.
#[derive(Debug, Clone)]
pub struct Sounds {
    /// The speech, before Opus.
    pub sent: Vec<i16>,
    /// What a listener heard.
    pub heard: Vec<i16>,
    /// The sealed payloads as the relay has them, taken for 16-bit samples.
    pub relay_as_pcm: Vec<i16>,
    /// The sealed payloads, given to an Opus decoder; silence where it refused.
    pub relay_as_opus: Vec<i16>,
    /// The payloads of the control run, given to the same decoder.
    pub control_as_opus: Vec<i16>,
    /// What the banned member heard.
    pub banned: Vec<i16>,
}

/// One media packet as the relay saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// When it came, counted from the start of the speech.
    pub at: Duration,
    /// Which connection it came from.
    pub from: u16,
    /// Its size in bytes.
    pub bytes: usize,
}

impl Report {
    /// The promises that this run broke, a sentence each; empty when all of them held.
    pub fn broken(&self) -> Vec<String> {
        let Report { audit, ban, filed, .. } = self;
        let verdicts = [
            (
                audit.leaks > 0,
                format!("The relay saw secrets: {} canaries were found in its capture.", audit.leaks),
            ),
            (
                audit.leaks_control == 0,
                "The search found nothing in the control run, so it proves nothing.".to_owned(),
            ),
            (self.compared == 0, "No packet was compared with its unsealed twin.".to_owned()),
            (
                !self.bit_identical,
                "A listener heard something else than the unsealed packets give.".to_owned(),
            ),
            (
                ban.opened_after > 0,
                format!("{} opened {} packets sealed after the ban.", ban.name, ban.opened_after),
            ),
            (ban.deaf.is_none(), format!("{} never fell deaf.", ban.name)),
            (
                filed.proved.is_err(),
                format!("The report of what {} said proves nothing: {:?}.", filed.name, filed.proved),
            ),
        ];
        verdicts.into_iter().filter(|(broken, _)| *broken).map(|(_, sentence)| sentence).collect()
    }
}

/// A duration in milliseconds.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
