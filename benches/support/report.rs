//! The packet benchmark's results: table, JSON, and what must be true of them (README, "Speed").

use super::{
    contest::Track,
    moments::{FarAhead, Install, NewSender, UnknownKid},
    ours::Ours,
    output::{Json, json},
};

/// One line of the table. `None` where a figure does not apply.
#[derive(Clone, Default)]
pub struct Row {
    pub name: &'static str,
    /// Bytes of an Opus packet; at 1,000 of a signed packet.
    pub size: Option<usize>,
    pub seal_ns: Option<f64>,
    pub open_ns: Option<f64>,
    pub seal_ratio: Option<f64>,
    pub open_ratio: Option<f64>,
    pub seal_allocations: Option<f64>,
    pub open_allocations: Option<f64>,
    pub bytes: Option<f64>,
    /// Why there are no figures.
    pub note: Option<String>,
}

impl Row {
    /// A contestant's medians, and its ratios to what it is compared with.
    pub fn of(track: &Track, all: &[Track], size: usize) -> Self {
        let (seal_ratio, open_ratio) = track.ratios(all);
        Self {
            name: track.name,
            size: Some(size),
            seal_ns: track.seal.ns(),
            open_ns: track.open.ns(),
            seal_ratio,
            open_ratio,
            seal_allocations: track.seal.allocations(),
            open_allocations: track.open.allocations(),
            ..Self::default()
        }
    }

    /// What sealing and opening one packet allocates.
    fn allocations(&self) -> Option<f64> {
        match (self.seal_allocations, self.open_allocations) {
            (None, None) => None,
            (seal, open) => Some(seal.unwrap_or(0.0) + open.unwrap_or(0.0)),
        }
    }
}

/// The table, by name and then by size.
pub fn table(rows: &[Row]) -> String {
    let mut out = String::from(HEAD);
    let mut last = "";
    for row in rows {
        if row.name != last {
            out.push('\n');
        }
        let name = if row.name == last { "" } else { row.name };
        last = row.name;
        let cell = |value: Option<f64>, decimals: usize| {
            value.map_or("-".into(), |value| format!("{value:.decimals$}"))
        };
        let ratio =
            |value: Option<f64>| cell(value, if value.is_some_and(|value| value < 100.0) { 3 } else { 0 });
        let pair = match (row.seal_allocations, row.open_allocations) {
            (None, None) => "-".into(),
            (Some(seal), None) => cell(Some(seal), 0),
            (None, Some(open)) => cell(Some(open), 0),
            (Some(seal), Some(open)) => format!("{seal:.0}/{open:.0}"),
        };
        out += &format!(
            "{name:<26}{:>6}{:>10}{:>10}{:>8}{:>8}{pair:>7}",
            row.size.map_or("-".into(), |size| size.to_string()),
            cell(row.seal_ns, 1),
            cell(row.open_ns, 1),
            ratio(row.seal_ratio),
            ratio(row.open_ratio),
        );
        if let Some(bytes) = row.bytes {
            out += &format!("   {bytes:.0} bytes");
        }
        if let Some(note) = &row.note {
            out += &format!("   NO FIGURES: {note}");
        }
        out.push('\n');
    }
    out + FOOT
}

const HEAD: &str = "\
name                        size   seal ns   open ns  seal x  open x  alloc
";

const FOOT: &str = "
size: bytes of the Opus packet, which are the bytes under the AEAD; a signed packet has 75 more, and at 1000 it is
      the signed packet that has 1000 bytes, since none may be larger.
x:    median over the rounds of (this / what it is compared with, in the same round). Compared with
        sottovoce signed        ring AES-128-GCM + ring Ed25519 + SHA-256
        suite 0x0005            ring AES-256-GCM
        10 of 5000              sottovoce group, where one sender is heard of one loaded
        forged                  sottovoce group, opening a good packet
        all others              ring AES-128-GCM
alloc: allocations of sealing / opening one packet.
10 of 5000: ten speak of 5,000 loaded, in turn with some jitter, or in any order, which no processor can predict.
new sender: opening a sender's first packet of a step, less opening a later one: of 120 speakers, whose keys are made
      ahead on the control thread, and of 256, more than the 128 that have a slot. unknown KID, far-ahead step: what
      the refusal takes with 5,000 senders loaded; the unknown KID is looked for in two epochs. rekey install: taking
      the keys of one step, by sealer and opener. memory per idle sender: with three live steps.
";

/// The rows as a JSON array of objects, with the fields
///
/// - `name`, `size`: as in the table; `size` is null where a row is of no size;
/// - `seal_ns`, `open_ns`: medians, of one operation;
/// - `seal_ratio`, `open_ratio`: to what the table's foot says, `ring AES-128-GCM` for most;
/// - `allocations`: of sealing and opening one packet together;
/// - `bytes`: only of `memory per idle sender`; `note`: only where figures are missing, and why.
///
/// A figure that does not apply is null.
pub fn to_json(rows: &[Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let mut fields = vec![
                ("name", Json::Text(row.name.into())),
                ("size", Json::number(row.size.map(|size| size as f64), 0)),
                ("seal_ns", Json::number(row.seal_ns, 1)),
                ("open_ns", Json::number(row.open_ns, 1)),
                ("seal_ratio", Json::number(row.seal_ratio, 3)),
                ("open_ratio", Json::number(row.open_ratio, 3)),
                ("allocations", Json::number(row.allocations(), 2)),
            ];
            if row.bytes.is_some() {
                fields.push(("bytes", Json::number(row.bytes, 1)));
            }
            if let Some(note) = &row.note {
                fields.push(("note", Json::Text(note.clone())));
            }
            fields
        })
        .collect();
    json(&rows)
}

/// What must be true of one name's rows, at every size.
struct Must {
    name: &'static str,
    what: &'static str,
    figure: fn(&Row) -> Option<f64>,
    at_most: f64,
}

const MUSTS: [Must; 13] = [
    Must { name: Ours::GROUP, what: "seal x", figure: |row| row.seal_ratio, at_most: 1.10 },
    Must { name: Ours::GROUP, what: "open x", figure: |row| row.open_ratio, at_most: 1.15 },
    Must { name: Ours::MANY, what: "open x", figure: |row| row.open_ratio, at_most: 1.10 },
    Must { name: Ours::GROUP, what: "allocations", figure: Row::allocations, at_most: 0.0 },
    Must { name: Ours::SIGNED, what: "allocations", figure: Row::allocations, at_most: 0.0 },
    Must { name: Ours::SIGNED, what: "seal x", figure: |row| row.seal_ratio, at_most: 1.05 },
    Must { name: Ours::SIGNED, what: "open x", figure: |row| row.open_ratio, at_most: 1.05 },
    Must { name: NewSender::NAME, what: "ns more", figure: |row| row.open_ns, at_most: 500.0 },
    Must { name: NewSender::CROWDED, what: "ns more", figure: |row| row.open_ns, at_most: 500.0 },
    Must { name: UnknownKid::NAME, what: "ns", figure: |row| row.open_ns, at_most: 60.0 },
    Must { name: FarAhead::NAME, what: "ns", figure: |row| row.open_ns, at_most: 60.0 },
    Must { name: Ours::FORGED, what: "open x", figure: |row| row.open_ratio, at_most: 1.20 },
    Must { name: MEMORY, what: "bytes", figure: |row| row.bytes, at_most: 200.0 },
];

pub const MEMORY: &str = "memory per idle sender";

/// What must be true, each with the worst figure and pass or FAIL.
pub fn verdicts(rows: &[Row]) -> String {
    let mut out = String::new();
    for must in &MUSTS {
        let figures = rows.iter().filter(|row| row.name == must.name);
        let worst = figures
            .filter_map(|row| Some(((must.figure)(row)?, row.size)))
            .max_by(|(a, _), (b, _)| a.total_cmp(b));
        let bound = format!("{}, {} <= {}", must.name, must.what, must.at_most);
        out += &match worst {
            Some((figure, size)) => {
                let verdict = if figure <= must.at_most { "pass" } else { "FAIL" };
                let place = size.map_or(String::new(), |size| format!("   at {size}"));
                format!("{verdict}  {bound:<42} worst {figure:.3}{place}\n")
            }
            None => format!("----  {bound:<42} not measured\n"),
        };
    }
    out
}

/// Whether anything of the library's own allocated while it was timed: the one figure that noise
/// cannot change.
pub fn allocated(rows: &[Row]) -> bool {
    const OWN: [&str; 11] = [
        Ours::GROUP,
        Ours::SIGNED,
        Ours::SUITE_5,
        Ours::MANY,
        Ours::MANY_SHUFFLED,
        Ours::FORGED,
        NewSender::NAME,
        NewSender::CROWDED,
        UnknownKid::NAME,
        FarAhead::NAME,
        Install::NAME,
    ];
    rows.iter().any(|row| OWN.contains(&row.name) && row.allocations().is_some_and(|count| count > 0.0))
}
