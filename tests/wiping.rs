//! What is over is gone from the memory of the process: base keys, packet keys, speaker keys (SPEC
//! section 9).
//!
//! The test reads all of its own writable memory and searches it for the secrets of one epoch,
//! which `tests/vectors/wiping.txt` lists in every form that they may lie in: keys, and the hash
//! states that HMAC keeps of them. It holds them masked, so that it does not find itself. A search
//! for what must still be there comes with every search for what must not, so that the test can
//! fail.
#![cfg(target_os = "linux")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    hint::black_box,
    ops::Range,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

use sottovoce::{
    Authenticity, Epoch, EpochSecret, EpochStart, Leaf, MemberId, Opener, PacketSize, Rekey, Schedule,
    Sealer, Speaker, Stamp, Suite,
    media::{HEADROOM, ScheduleError, TAILROOM},
};

/// One test, and so one thread that holds secrets.
#[test]
fn secrets_are_gone_from_memory_when_they_are_over() {
    for suite in [Suite::Aes128Gcm, Suite::Aes256Gcm] {
        let mut memory = Memory::new(suite);
        let case = Case::read(suite);
        for authenticity in [Authenticity::Group, Authenticity::Signed] {
            // In a small room the schedule makes all keys of a step; in a large one the opener
            // does, when needed.
            one_epoch(&mut memory, &case, authenticity, &[0, 1, 5]);
            one_epoch(&mut memory, &case, authenticity, &(0..140).collect::<Vec<_>>());
        }
        a_refused_start(&mut memory, &case);
    }
}

/// A start that is refused wipes what it was given, too.
fn a_refused_start(memory: &mut Memory, case: &Case) {
    let secret = case.epoch_secret();
    memory.search();
    memory.has(&["epoch_secret"]);
    assert!(deep(|| start(case, secret, b"", Authenticity::Signed, &[0, 1, 5], Instant::now())).is_err());
    deep(scrub);
    memory.search();
    memory.lacks("the start was refused", |_| true);
}

fn one_epoch(memory: &mut Memory, case: &Case, authenticity: Authenticity, leaves: &[u32]) {
    let (signs, small) = (authenticity == Authenticity::Signed, leaves.len() <= 128);
    let began = Instant::now();

    let secret = case.epoch_secret();
    memory.search();
    memory.has(&["epoch_secret"]);
    let mut schedule = deep(|| start(case, secret, b"vectors", authenticity, leaves, began)).unwrap();
    deep(scrub);
    memory.search();
    memory.has(&["base_key_step2", "key_step0_leaf1", "salt_number_step1_leaf1"]);
    memory.has(if signs { &["scalar", "prefix"] } else { &[] });
    memory.has(if small { &["key_step0_leaf0", "content_key_step1_leaf5"] } else { &[] });
    memory.has(&["prk_step0_inner", "prk_step0_outer", "prk_step1_inner", "prk_step1_outer"]);
    memory.lacks("the epoch has begun", |name| {
        let hash_state = name.ends_with("_inner") || name.ends_with("_outer");
        let lives_on = match name {
            "scalar" | "prefix" => signs,
            "base_key_step2" => true,
            _ if name.starts_with("prk_step0") || name.starts_with("prk_step1") => hash_state,
            // Our own packet keys, and in a small room everybody's; what salts a single packet
            // never.
            _ if name.starts_with("content_state") => false,
            _ if small && name.contains("_leaf") => name.contains("step0") || name.contains("step1"),
            _ => name.ends_with("step0_leaf1") || name.ends_with("step1_leaf1"),
        };
        !lives_on
    });

    let (mut sealer, mut opener) = (Sealer::new(), Opener::new());
    deep(|| schedule.handle_speaker(Leaf(0), case.other_public()).unwrap());
    deep(|| take(&mut schedule, &mut sealer, &mut opener));
    deep(|| open(&mut opener, case.frame_0()));
    deep(|| seal(&mut sealer));
    memory.search();
    memory.has(&["key_step0_leaf0", "salt_number_step0_leaf0", "content_key_step0_leaf0", "key_step0_leaf1"]);
    memory.lacks("a packet went each way", |name| name.starts_with("content_state") || name == "seed");

    // Step 1 begins: what step 0 sealed with is over, what it opened with lasts two seconds.
    deep(|| schedule.handle_timeout(began + Duration::from_secs(10)));
    deep(|| take(&mut schedule, &mut sealer, &mut opener));
    deep(|| seal(&mut sealer));
    memory.search();
    memory.has(&[
        "key_step0_leaf0",
        "prk_step0_inner",
        "key_step1_leaf1",
        "prk_step2_inner",
        "base_key_step3",
    ]);
    memory.lacks("step 1 has begun", |name| name.ends_with("step0_leaf1") || name == "base_key_step2");

    deep(|| schedule.handle_timeout(began + Duration::from_secs(12)));
    deep(|| take(&mut schedule, &mut sealer, &mut opener));
    deep(|| open(&mut opener, case.frame_1()));
    memory.search();
    memory.has(&["key_step1_leaf0", "prk_step1_inner"]);
    memory.lacks("step 0 is retired", |name| name.contains("step0"));

    deep(|| drop(opener));
    memory.search();
    memory.has(&["key_step1_leaf1", "key_step2_leaf1", "base_key_step3"]);
    memory.has(if signs { &["scalar", "prefix"] } else { &[] });
    memory.lacks("the opener is gone", |name| {
        name.contains("prk") || ["leaf0", "leaf5"].iter().any(|leaf| name.ends_with(leaf))
    });
    deep(|| drop(schedule));
    memory.search();
    memory.has(&["key_step1_leaf1", "salt_number_step1_leaf1"]);
    memory.has(if signs { &["scalar", "prefix"] } else { &[] });
    memory.lacks("the schedule is gone", |name| name.starts_with("base_key") || name.contains("step2"));
    deep(|| drop(sealer));
    memory.search();
    memory.lacks("nothing is left", |_| true);
}

/// Calls the library from far down the stack, where the search that follows does not overwrite what
/// it left.
#[inline(never)]
fn deep<T>(act: impl FnOnce() -> T) -> T {
    let above = black_box([0u8; 64 * 1024]);
    let out = act();
    black_box(&above);
    out
}

#[inline(never)]
fn start(
    case: &Case,
    secret: EpochSecret,
    group_id: &[u8],
    authenticity: Authenticity,
    leaves: &[u32],
    now: Instant,
) -> Result<Schedule, ScheduleError> {
    let member = MemberId::from_bytes([0x11; 32]);
    let speakers: Vec<_> = leaves.iter().map(|leaf| Speaker { leaf: Leaf(*leaf), member }).collect();
    let mut seed = case.seed();
    let start = EpochStart {
        secret,
        group_id,
        epoch: Epoch(7),
        authenticator: &std::array::from_fn::<u8, 32, _>(|i| 0x80 + i as u8),
        suite: case.suite,
        authenticity,
        packet_size: PacketSize::new(120).unwrap(),
        own_leaf: Leaf(1),
        speakers: &speakers,
        removed: &[],
        seed: &seed,
    };
    let schedule = Schedule::start(start, now);
    seed.fill(0);
    black_box(&seed);
    schedule
}

#[inline(never)]
fn take(schedule: &mut Schedule, sealer: &mut Sealer, opener: &mut Opener) {
    while let Some(rekey) = schedule.poll_rekey() {
        match rekey {
            Rekey::Seal(rekey) => drop(sealer.install(rekey).unwrap()),
            Rekey::Open(rekey) => drop(opener.install(rekey)),
        }
    }
}

#[inline(never)]
fn open(opener: &mut Opener, mut frame: Vec<u8>) {
    opener.open(&mut frame).unwrap();
}

#[inline(never)]
fn seal(sealer: &mut Sealer) {
    let mut buffer = [0; HEADROOM + 120 + TAILROOM];
    buffer[HEADROOM] = 0x78;
    sealer.seal(&mut buffer, 1, Stamp::default()).unwrap();
}

/// Overwrites the test's own part of the stack, where its copy of the seed was: the library's is
/// below that.
#[inline(never)]
fn scrub() {
    black_box(&mut [0u8; 1_024]);
}

/// The inputs of `tests/vectors/wiping.txt`, in hex until they are needed.
struct Case {
    suite: Suite,
    values: BTreeMap<String, String>,
}

impl Case {
    fn read(suite: Suite) -> Self {
        let text = vectors(suite);
        let pairs = text.lines().next().unwrap().split(' ').filter_map(|pair| pair.split_once('='));
        Self { suite, values: pairs.map(|(name, value)| (name.into(), value.into())).collect() }
    }

    fn epoch_secret(&self) -> EpochSecret {
        EpochSecret::new(bytes(&self.values["epoch_secret"], 0).collect()).unwrap()
    }

    fn seed(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        seed.iter_mut().zip(bytes(&self.values["seed"], 0)).for_each(|(to, from)| *to = from);
        seed
    }

    fn other_public(&self) -> [u8; 32] {
        bytes(&self.values["other_public"], 0).collect::<Vec<_>>().try_into().unwrap()
    }

    fn frame_0(&self) -> Vec<u8> {
        bytes(&self.values["frame_0"], 0).collect()
    }

    fn frame_1(&self) -> Vec<u8> {
        bytes(&self.values["frame_1"], 0).collect()
    }
}

/// The lines about one suite, the inputs first.
fn vectors(suite: Suite) -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/wiping.txt");
    let text = fs::read_to_string(file).unwrap();
    let mut parts =
        text.split("\nof ").skip(1).filter(|part| part.contains(&format!("suite={} ", suite.id())));
    parts.next().expect("a case").to_owned()
}

/// Bytes from hex, masked as they are made.
fn bytes(hex: &str, mask: u8) -> impl Iterator<Item = u8> + '_ {
    hex.as_bytes().chunks(2).map(move |pair| {
        let digit = |c: u8| char::from(c).to_digit(16).unwrap() as u8;
        (digit(pair[0]) << 4 | digit(pair[1])) ^ mask
    })
}

const MASK: u8 = 0xa5;

/// The process's memory, and the masked secrets to search it for.
struct Memory {
    file: File,
    /// By their first byte.
    needles: Vec<Vec<(String, Vec<u8>)>>,
    buffer: Vec<u8>,
    /// The names that the last search found, with the places.
    found: BTreeMap<String, Vec<String>>,
}

const CHUNK: usize = 1 << 20;
const LONGEST: usize = 64;
const ZEROS: [u8; 256] = [0; 256];

impl Memory {
    fn new(suite: Suite) -> Self {
        let mut needles: Vec<Vec<_>> = vec![Vec::new(); 256];
        for line in vectors(suite).lines().filter_map(|line| line.strip_prefix("secret name=")) {
            let (name, hex) = line.split_once(" bytes=").unwrap();
            // Without leading zeros, so that whatever is all zeros need not be looked at closely.
            let masked: Vec<u8> = bytes(hex, MASK).skip_while(|byte| *byte == MASK).collect();
            assert!((10..=LONGEST).contains(&masked.len()));
            needles[usize::from(masked[0] ^ MASK)].push((name.to_owned(), masked));
        }
        assert_eq!(needles.iter().map(Vec::len).sum::<usize>(), 132);
        let file = File::open("/proc/self/mem").unwrap();
        Self { file, needles, buffer: vec![0; CHUNK + LONGEST], found: BTreeMap::new() }
    }

    /// Reads everything that the process may write to, and notes which secrets are in it.
    fn search(&mut self) {
        self.found.clear();
        let own = self.buffer.as_ptr() as usize;
        let own = own..own + self.buffer.len();
        let here = &own as *const _ as usize;
        let mut searched = 0;
        for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
            let mut fields = line.split_whitespace();
            let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
            if !rights.starts_with("rw") {
                continue;
            }
            let what = fields.nth(3).unwrap_or("anonymous");
            let (from, to) = range.split_once('-').unwrap();
            let (from, to) =
                (usize::from_str_radix(from, 16).unwrap(), usize::from_str_radix(to, 16).unwrap());
            for at in (from..to).step_by(CHUNK) {
                let length = (to - at).min(CHUNK + LONGEST);
                let Ok(read) = self.file.read_at(&mut self.buffer[..length], at as u64) else { continue };
                searched += read;
                for block in (0..read.min(CHUNK)).step_by(ZEROS.len()) {
                    let end = (block + ZEROS.len()).min(read.min(CHUNK));
                    if self.buffer[block..end] != ZEROS[..end - block] && !own.contains(&(at + block)) {
                        self.search_block(block..end, read, |offset| {
                            format!(
                                "{what} {:#x}, {} below",
                                at + offset,
                                here as isize - (at + offset) as isize
                            )
                        });
                    }
                }
                self.buffer.fill(0);
                black_box(&mut self.buffer);
            }
        }
        assert!(searched > 100_000, "{searched} bytes");
    }

    /// Notes which secrets begin in these places of the buffer.
    fn search_block(&mut self, places: Range<usize>, end: usize, place: impl Fn(usize) -> String) {
        for offset in places {
            let window = &self.buffer[offset..end];
            for (name, masked) in &self.needles[usize::from(window[0])] {
                if masked.len() <= window.len() && masked.iter().zip(window).all(|(m, b)| *m == b ^ MASK) {
                    self.found.entry(name.clone()).or_default().push(place(offset));
                }
            }
        }
    }

    fn has(&self, names: &[&str]) {
        let missing: Vec<_> = names.iter().filter(|name| !self.found.contains_key(**name)).collect();
        assert!(missing.is_empty(), "the search should find {missing:?}; it found {:?}", self.found.keys());
    }

    /// Fails if a secret is found whose name the filter says yes to.
    fn lacks(&self, when: &str, over: impl Fn(&str) -> bool) {
        let names: BTreeSet<_> = self.needles.iter().flatten().map(|(name, _)| name.as_str()).collect();
        assert!(names.iter().any(|name| over(name)), "the filter matches a secret");
        let left: BTreeMap<_, _> = self.found.iter().filter(|(name, _)| over(name)).collect();
        assert!(left.is_empty(), "{when}, and memory still has {left:#?}");
    }
}
