//! Puts together what a capture shows, and judges it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt,
    time::Duration,
};

use sottovoce_examples::search::{self, Kind, Needle, Search};

use crate::{
    capture::{self, Capture, Said},
    layers::{self, Found, Lane, Sealed},
    random::{self, Measured},
};

/// What can be read in a capture.
#[derive(Debug)]
pub struct Report {
    /// The report as text, without the verdict.
    pub text: String,
    /// Why it is not "nothing but sealed packets". Empty if it is.
    pub readable: Vec<String>,
    /// Packets and messages that were judged, copies that a relay makes counted once.
    pub judged: usize,
}

/// Why there is no report.
#[derive(Debug)]
pub enum Error {
    /// The file cannot be taken apart.
    Capture(capture::Error),
    /// There are no bytes that could be judged, so nothing could be found either.
    NothingToJudge,
    /// A canary is so short that it would be found by chance.
    Canary(search::Error),
}

/// Audits the bytes of a capture or a log, and looks for `canaries` in it.
///
/// # Errors
/// [`Error`]; a file that cannot be judged is never judged clean.
pub fn audit(file: &[u8], canaries: &[String]) -> Result<Report, Error> {
    let capture = capture::read(file).map_err(Error::Capture)?;
    let mut lines = vec![format!(
        "{}: {} packets in {:.1} s, {} flows",
        capture.kind,
        capture.packets,
        capture.length.as_secs_f64(),
        capture.flows.len()
    )];
    lines.extend(capture.silent.iter().map(|to| format!("  connection without a word: {to}")));
    lines.extend(capture.others.iter().map(|(what, count)| format!("  not looked into: {count} x {what}")));
    // ARP and ICMP are the network's own; whatever else is not taken apart may hold anything.
    let others = capture.others.iter().filter(|(what, _)| !capture::IS_THE_NETWORKS.contains(&what.as_str()));
    let mut readable: Vec<String> =
        others.map(|(what, count)| format!("{count} x {what} were not looked into")).collect();
    let founds = take_apart(&capture);
    let mut every: Vec<(usize, &Sealed)> = Vec::new();
    for (number, (flow, found)) in capture.flows.iter().zip(&founds).enumerate() {
        lines.push(format!("\n{} > {}: {}", flow.from, flow.to, found.protocol));
        lines.extend(found.clear.iter().map(|line| format!("  in clear   {line}")));
        lines.extend(pattern(found));
        let measured = random::measure(found.sealed.iter().map(Sealed::body));
        if measured.bytes > 0 {
            lines.push(format!("  sealed     {}", describe(&measured)));
        }
        let wrong = found.readable.iter().chain(&measured.wrong);
        readable.extend(wrong.map(|what| format!("{} > {}: {what}", flow.from, flow.to)));
        every.extend(found.sealed.iter().map(|sealed| (number, sealed)));
    }
    // A copy leaves the relay after what it is a copy of has come.
    every.sort_by_key(|(_, sealed)| sealed.at);
    let unique = without_copies(&every);
    let bodies = unique.iter().map(|(_, sealed)| sealed.body());
    let all = random::measure(bodies);
    lines.push(format!("\nall flows, copies counted once: {} of {} pieces", unique.len(), every.len()));
    lines.push(format!("  sealed     {}", describe(&all)));
    readable.extend(all.wrong.iter().map(|what| format!("all flows together: {what}")));
    keys(&unique, &mut lines, &mut readable);
    let needles = look_for(canaries, file, &capture, &founds, &mut lines, &mut readable)?;
    if all.bytes == 0 && readable.is_empty() {
        return Err(Error::NothingToJudge);
    }
    lines.push(format!("  canaries   {needles} looked for, each in 16 forms"));
    // The same words about many flows are one reason.
    let mut said = HashSet::new();
    readable.retain(|reason| said.insert(reason.clone()));
    Ok(Report { text: lines.join("\n"), readable, judged: unique.len() })
}

fn take_apart(capture: &Capture) -> Vec<Found> {
    // Where a relay listens: its members' datagrams are known by it.
    let relays: HashSet<&str> = capture
        .flows
        .iter()
        .filter_map(|flow| match &flow.said {
            Said::Stream(stream) if stream.bytes.starts_with(b"svrelay") => Some([&flow.from, &flow.to]),
            _ => None,
        })
        .flatten()
        .map(String::as_str)
        .collect();
    let port = |end: &str| matches!(end.rsplit(':').next(), Some("53" | "5353"));
    let apart = |flow: &capture::Flow| match &flow.said {
        Said::Stream(stream) => layers::stream(stream),
        Said::Datagrams(said) => {
            let of_a_relay = [&flow.from, &flow.to].iter().any(|end| relays.contains(end.as_str()));
            layers::datagrams(said, of_a_relay, port(&flow.from) || port(&flow.to))
        }
    };
    capture.flows.iter().map(apart).collect()
}

/// Sizes and spacing of what a flow carries.
fn pattern(found: &Found) -> Vec<String> {
    let mut lines = Vec::new();
    for (lane, name) in [(Lane::Media, "packets"), (Lane::Control, "messages"), (Lane::Other, "pieces")] {
        let of_lane: Vec<&Sealed> = found.sealed.iter().filter(|sealed| sealed.lane == lane).collect();
        if of_lane.is_empty() {
            continue;
        }
        let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
        of_lane.iter().for_each(|sealed| *sizes.entry(sealed.whole.len()).or_default() += 1);
        let listed: Vec<String> =
            sizes.iter().take(8).map(|(size, count)| format!("{count} x {size}")).collect();
        let more =
            if sizes.len() > 8 { format!(" and {} more sizes", sizes.len() - 8) } else { String::new() };
        lines.push(format!("  sizes      {name}: {}{more} bytes", listed.join(", ")));
        let mut gaps: Vec<Duration> =
            of_lane.windows(2).map(|pair| pair[1].at.saturating_sub(pair[0].at)).collect();
        gaps.sort();
        if let (Some(least), Some(most)) = (gaps.first(), gaps.last()) {
            let ms = |gap: &Duration| gap.as_secs_f64() * 1e3;
            let at = |share: usize| gaps.get(gaps.len() * share / 100).map_or(0.0, ms);
            lines.push(format!(
                "  spacing    {name}: {:.1} ms at least, {:.1} median, {:.1} p99, {:.1} at most",
                ms(least),
                at(50),
                at(99),
                ms(most)
            ));
        }
    }
    lines
}

fn describe(measured: &Measured) -> String {
    let Measured { bytes, entropy, band, chi, .. } = measured;
    match band {
        Some((low, high)) => format!(
            "{bytes} bytes, entropy {entropy:.4} bits per byte ({low:.4} to {high:.4} expected), chi-square {chi:+.1} sd"
        ),
        None => format!("{bytes} bytes, too few to test their values"),
    }
}

/// A relay sends each packet on as it is: what is the same to the byte is counted for the first
/// flow that has it.
fn without_copies<'a>(every: &[(usize, &'a Sealed)]) -> Vec<(usize, &'a Sealed)> {
    let mut first: HashSet<&[u8]> = HashSet::new();
    every
        .iter()
        .filter(|(_, sealed)| sealed.whole.is_empty() || first.insert(&sealed.whole))
        .copied()
        .collect()
}

/// What sizes, key ids and counters of all packets together give away.
fn keys(unique: &[(usize, &Sealed)], lines: &mut Vec<String>, readable: &mut Vec<String>) {
    let packets: Vec<(usize, &Sealed)> =
        unique.iter().filter(|(_, sealed)| sealed.lane == Lane::Media).copied().collect();
    let mut sizes: HashMap<usize, BTreeSet<usize>> = HashMap::new();
    let mut flows: HashMap<u64, BTreeSet<usize>> = HashMap::new();
    let mut life: HashMap<u64, (Duration, Duration)> = HashMap::new();
    let mut once: HashSet<(u64, u64)> = HashSet::new();
    let mut repeated = 0;
    for (flow, sealed) in &packets {
        sizes.entry(*flow).or_default().insert(sealed.whole.len());
        let Some((kid, counter)) = sealed.key else { continue };
        flows.entry(kid).or_default().insert(*flow);
        let (first, last) = life.entry(kid).or_insert((sealed.at, sealed.at));
        (*first, *last) = ((*first).min(sealed.at), (*last).max(sealed.at));
        repeated += usize::from(!once.insert((kid, counter)));
    }
    if let Some(most) = sizes.values().map(BTreeSet::len).max().filter(|most| *most > 1) {
        readable.push(format!("packets of one sender have {most} sizes, which follow what is said"));
    }
    if repeated > 0 {
        readable.push(format!(
            "{repeated} pairs of KID and CTR stand before different bytes: a nonce used twice"
        ));
    }
    let shared = flows.values().filter(|flows| flows.len() > 1).count();
    if shared > 0 {
        readable.push(format!("{shared} KIDs come from more than one sender"));
    }
    let longest = life.values().map(|(first, last)| *last - *first).max().unwrap_or_default();
    if longest > LONGEST_STEP {
        let seconds = longest.as_secs_f64();
        readable
            .push(format!("a KID was used for {seconds:.1} s, which links packets beyond a step of 10 s"));
    }
    if !packets.is_empty() {
        lines.push(format!(
            "  keys       {} packets, {} KIDs of {:.1} s at most, {repeated} pairs of KID and CTR repeated",
            packets.len(),
            flows.len(),
            longest.as_secs_f64()
        ));
    }
}

/// Searches the file as it is, and what was put together from it.
fn look_for(
    canaries: &[String],
    file: &[u8],
    capture: &Capture,
    founds: &[Found],
    lines: &mut Vec<String>,
    readable: &mut Vec<String>,
) -> Result<usize, Error> {
    let needles: Result<Vec<_>, _> = canaries.iter().map(|text| Needle::text(Kind::Canary, text)).collect();
    let needles = needles.map_err(Error::Canary)?;
    if needles.is_empty() {
        return Ok(0);
    }
    let search = Search::new(&needles).map_err(Error::Canary)?;
    let mut hits: BTreeMap<(usize, String), usize> = BTreeMap::new();
    let mut look = |bytes: &[u8]| {
        for hit in search.run(bytes).hits {
            *hits.entry((hit.needle, hit.encoding.to_string())).or_default() += 1;
        }
    };
    look(file);
    founds.iter().for_each(|found| look(&found.decoded));
    for flow in &capture.flows {
        match &flow.said {
            Said::Stream(stream) => look(&stream.everything()),
            // A text may be spread over packets.
            Said::Datagrams(said) => {
                look(&said.iter().flat_map(|(_, bytes)| bytes.clone()).collect::<Vec<u8>>())
            }
        }
    }
    for ((needle, encoding), count) in hits {
        let text = canaries.get(needle).map_or("", String::as_str);
        lines.push(format!("  found      {text:?} as {encoding}, {count} times"));
        readable.push(format!("the canary {text:?} stands there as {encoding}"));
    }
    Ok(needles.len())
}

impl Report {
    /// Whether there is nothing but sealed packets.
    pub fn is_clean(&self) -> bool {
        self.readable.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.text)?;
        if self.is_clean() {
            writeln!(f, "verdict: nothing but sealed packets ({} judged)", self.judged)?;
            return write!(
                f,
                "  still seen: addresses and ports, when and how much, how many connect, the handle of a room"
            );
        }
        write!(f, "verdict: something readable")?;
        self.readable.iter().try_for_each(|reason| write!(f, "\n  {reason}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capture(error) => error.fmt(f),
            Self::NothingToJudge => write!(f, "it has no payload that could be judged"),
            Self::Canary(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

/// A step of 10 s, the 2 s that clocks may differ, and room for a network.
const LONGEST_STEP: Duration = Duration::from_secs(20);
