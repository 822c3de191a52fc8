//! What a room draws from its seed is not in the memory of the process once it was used (SPEC
//! section 9).
//!
//! The test computes, from the seed, every key that the generators of a room have or had, holds
//! these masked, and searches all writable memory of the process for them. The present key must be
//! found, so the search can fail. It does the same for what they draw: a draw that becomes a key
//! lies in one place, which wipes it.
#![cfg(all(target_os = "linux", feature = "room"))]

use std::{
    collections::BTreeMap,
    fs::{self, File},
    hint::black_box,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant, SystemTime},
};

use ring::hmac;
use sottovoce::{
    Opener, Rekey, Sealer, Seed, Stamp,
    group::{Identity, Name, Role},
    media::{HEADROOM, TAILROOM},
    room::{Admission, InviteOptions, Membership, Room, RoomOptions, UnixTime},
};

const MASK: u8 = 0xa5;
const SECOND: Duration = Duration::from_secs(1);
/// Draws that are looked for: more than a room makes here.
const DRAWS: usize = 3_000;

/// Masked secrets by their first eight bytes, each with its name.
struct Needles {
    by_front: BTreeMap<[u8; 8], (String, [u8; 32])>,
    fronts: Vec<bool>,
}

impl Needles {
    fn new() -> Self {
        Self { by_front: BTreeMap::new(), fronts: vec![false; 1 << 16] }
    }

    fn add(&mut self, name: String, masked: [u8; 32]) {
        self.fronts[usize::from(u16::from_be_bytes([masked[0], masked[1]]))] = true;
        self.by_front.insert(*masked.first_chunk().unwrap(), (name, masked));
    }

    /// The names of the secrets that lie in memory, and how often.
    fn found(&self) -> BTreeMap<&str, usize> {
        const CHUNK: usize = 1 << 20;
        let file = File::open("/proc/self/mem").unwrap();
        let mut buffer = vec![0u8; CHUNK + 32];
        let own = buffer.as_ptr() as usize..buffer.as_ptr() as usize + buffer.len();
        let mut found = BTreeMap::new();
        for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
            let mut fields = line.split_whitespace();
            let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
            if !rights.starts_with("rw") {
                continue;
            }
            let (from, to) = range.split_once('-').unwrap();
            let [from, to] = [from, to].map(|text| usize::from_str_radix(text, 16).unwrap());
            for at in (from..to).step_by(CHUNK) {
                let length = (to - at).min(CHUNK + 32);
                let Ok(read) = file.read_at(&mut buffer[..length], at as u64) else { continue };
                for offset in 0..read.saturating_sub(31).min(CHUNK) {
                    let front = u16::from_be_bytes([buffer[offset] ^ MASK, buffer[offset + 1] ^ MASK]);
                    if !self.fronts[usize::from(front)] || own.contains(&(at + offset)) {
                        continue;
                    }
                    let window: [u8; 32] = std::array::from_fn(|i| buffer[offset + i] ^ MASK);
                    if let Some((name, masked)) = self.by_front.get(&window[..8])
                        && *masked == window
                    {
                        *found.entry(name.as_str()).or_default() += 1;
                    }
                }
                buffer.fill(0);
            }
        }
        found
    }
}

fn mac(key: &[u8; 32], text: &[u8]) -> [u8; 32] {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().try_into().unwrap()
}

/// Every key of the generator of this seed, and what its first four draws yield, all masked.
#[inline(never)]
fn generator(needles: &mut Needles, name: &str, masked: &[u8; 32]) -> [[u8; 32]; 4] {
    let mut key = unmasked(masked);
    let mut draws = [[0; 32]; 4];
    for number in 0..DRAWS {
        needles.add(format!("{name} key {number:04}"), unmasked(&key));
        if let Some(draw) = draws.get_mut(number) {
            *draw = unmasked(&mac(&key, &[b"sottovoce 1 draw".as_slice(), &[0; 8]].concat()));
        }
        key = mac(&key, b"sottovoce 1 key");
    }
    draws
}

#[inline(never)]
fn unmasked(masked: &[u8; 32]) -> [u8; 32] {
    masked.map(|byte| byte ^ MASK)
}

#[inline(never)]
fn scrub() {
    black_box(&mut [0u8; 512 * 1024]);
}

fn identity(n: u8) -> Identity {
    Identity::from_seed([n; 32], Name::new("somebody").unwrap())
}

#[inline(never)]
fn knock(masked: &[u8; 32], invite: &str, now: Instant, unix: UnixTime) -> Room {
    let seed = Seed::from_bytes(&mut unmasked(masked));
    Room::join(identity(2), invite.parse().unwrap(), seed, now, unix).unwrap()
}

/// A room, its keys, and whatever opens and seals with them.
struct End {
    room: Room,
    sealer: Sealer,
    opener: Opener,
}

impl End {
    fn new(room: Room) -> Self {
        Self { room, sealer: Sealer::new(), opener: Opener::new() }
    }

    fn take(&mut self) {
        while let Some(rekey) = self.room.poll_rekey() {
            match rekey {
                Rekey::Seal(rekey) => drop(self.sealer.install(rekey)),
                Rekey::Open(rekey) => drop(self.opener.install(rekey)),
            }
        }
    }
}

/// Lets time pass for the two, and stores what the relay delivers to the device.
#[inline(never)]
fn pass(
    now: &mut Instant,
    host: &mut End,
    device: &mut End,
    stored: &mut Vec<(Instant, Option<Vec<u8>>)>,
    time: Duration,
) {
    let end = *now + time;
    loop {
        let mut moved = false;
        while let Some(message) = device.room.poll_transmit() {
            let _ = host.room.handle_control(&message, *now);
            moved = true;
        }
        while let Some(message) = host.room.poll_transmit() {
            let _ = device.room.handle_control(&message, *now);
            stored.push((*now, Some(message.to_vec())));
            moved = true;
        }
        host.take();
        device.take();
        if moved {
            continue;
        }
        let due = [host.room.poll_timeout(), device.room.poll_timeout()].into_iter().flatten().min();
        let Some(at) = due.filter(|at| *at <= end) else { break };
        *now = (*now).max(at);
        host.room.handle_timeout(*now);
        device.room.handle_timeout(*now);
        stored.push((*now, None));
    }
    *now = end;
}

/// Fails unless each generator that is present has left exactly one key, and not its first one, and
/// others none.
fn only_the_present_keys(found: &BTreeMap<&str, usize>, present: &[&str]) {
    for name in ["room", "group"] {
        let keys: Vec<_> = found.iter().filter(|(found, _)| found.starts_with(name)).collect();
        assert_eq!(keys.len(), usize::from(present.contains(&name)), "{name}: {keys:?}");
        if keys.is_empty() {
            continue;
        }
        assert!(!keys[0].0.ends_with("0000"), "the seed itself is there: {keys:?}");
        assert_eq!(*keys[0].1, 1, "{keys:?}");
    }
}

#[test]
fn a_seized_device_does_not_open_what_was_sealed_ten_minutes_before() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let unix = UnixTime::from(SystemTime::now());
    let began = Instant::now();
    let mut now = began;
    let mut options = RoomOptions::new(Name::new("room").unwrap(), ["relay.test:1".parse().unwrap()]);
    options.admission = Admission::Open;
    options.default_role = Role::Speaker;
    let mut host =
        End::new(Room::create(identity(1), options, Seed::generate().unwrap(), now, unix).unwrap());
    let invite = host.room.invite(InviteOptions::default(), now).unwrap().to_string();

    // The seed is this under the mask: nothing but the calls below ever has it as it is.
    let masked: [u8; 32] = rand::random();
    let mut needles = Needles::new();
    // The fourth draw is the seed of what the KeyPackage is made with.
    let [.., of_group] = generator(&mut needles, "room", &masked);
    generator(&mut needles, "group", &of_group);
    scrub();
    assert_eq!(needles.found(), BTreeMap::new(), "the test hides its own copies");

    let mut device = End::new(knock(&masked, &invite, now, unix));
    scrub();
    only_the_present_keys(&needles.found(), &["room", "group"]);
    let mut stored = Vec::new();
    pass(&mut now, &mut host, &mut device, &mut stored, 2 * SECOND);
    let mut buffer = [0x78; HEADROOM + 240 + TAILROOM];
    let packet = host.sealer.seal(&mut buffer, 20, Stamp::default()).unwrap().to_vec();
    assert!(device.opener.open(&mut packet.clone()).is_ok());

    // Ten minutes and some epochs later.
    for n in 0..5 {
        pass(&mut now, &mut host, &mut device, &mut stored, 120 * SECOND);
        host.room.rename(Name::new(&format!("host {n}")).unwrap(), now).unwrap();
        pass(&mut now, &mut host, &mut device, &mut stored, SECOND);
    }
    assert_eq!(host.room.epoch(), device.room.epoch());
    assert!(device.opener.open(&mut packet.clone()).is_err(), "the keys of the packet are gone");
    scrub();
    // What made the KeyPackage is gone; the group has a generator of its own.
    only_the_present_keys(&needles.found(), &["room"]);

    // The seed would give all of it away: whoever had it plays the stored messages to a room of its
    // own.
    let mut again = End::new(knock(&masked, &invite, began, unix));
    let opens = stored.iter().any(|(at, message)| {
        // The same draws take the same times: `None` is where the device looked at its clock.
        match message {
            Some(message) => drop(again.room.handle_control(message, *at)),
            None => again.room.handle_timeout(*at),
        }
        while again.room.poll_transmit().is_some() {}
        again.take();
        again.opener.open(&mut packet.clone()).is_ok()
    });
    assert!(opens, "the search looks for what matters");
    drop(again);

    // Fresh entropy takes even the present keys out of what the seed leads to.
    device.room.stir(Seed::generate().unwrap());
    scrub();
    assert_eq!(needles.found(), BTreeMap::new());
    // And a room that was never stirred leaves nothing when it is dropped.
    let short_lived = knock(&masked, &invite, now, unix);
    scrub();
    assert!(!needles.found().is_empty());
    drop(short_lived);
    scrub();
    assert_eq!(needles.found(), BTreeMap::new());
    drop(device);
}

/// A thread whose stack lies as its last job left it while others look at it.
struct Aside {
    jobs: mpsc::Sender<Job>,
    done: mpsc::Receiver<()>,
}

type Job = Box<dyn FnOnce() + Send>;

impl Aside {
    fn new() -> Self {
        let ((jobs, to_do), (did, done)) = (mpsc::channel::<Job>(), mpsc::channel());
        thread::spawn(move || {
            for job in to_do {
                job();
                did.send(()).unwrap();
            }
        });
        Self { jobs, done }
    }

    fn run(&self, job: impl FnOnce() + Send + 'static) {
        self.jobs.send(Box::new(job)).unwrap();
        self.done.recv().unwrap();
    }
}

/// Every draw of the generator of this seed, masked.
#[inline(never)]
fn draws(needles: &mut Needles, masked: &[u8; 32]) {
    let mut key = unmasked(masked);
    for number in 0..DRAWS {
        let draw = mac(&key, &[b"sottovoce 1 draw".as_slice(), &[0; 8]].concat());
        needles.add(format!("draw {number:04}"), unmasked(&draw));
        key = mac(&key, b"sottovoce 1 key");
    }
}

/// How often each draw lies in memory that is a secret of a room. The salts of envelopes, `sent`
/// masked, are none.
fn secret_draws<'a>(needles: &'a Needles, sent: &[Vec<u8>]) -> Vec<(&'a str, usize)> {
    let masked = |name: &str| needles.by_front.values().find(|(other, _)| other == name).unwrap().1;
    let was_sent = |name: &str| sent.iter().any(|message| message.starts_with(&masked(name)));
    needles.found().into_iter().filter(|(name, _)| *name != SALT && !was_sent(name)).collect()
}

/// What is drawn first: the salt in the terms of a room, which every member keeps and no key is
/// made of alone.
const SALT: &str = "draw 0000";

/// The rooms of this test live and die on a stack that nobody scrubs.
#[test]
fn what_a_room_draws_for_a_key_lies_in_one_place_that_is_wiped() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (began, unix) = (Instant::now(), UnixTime::from(SystemTime::now()));
    let masked: [u8; 32] = rand::random();
    let mut needles = Needles::new();
    draws(&mut needles, &masked);
    scrub();
    let aside = Aside::new();
    let kept: Arc<Mutex<Option<Room>>> = Arc::default();
    let sent: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    assert_eq!(secret_draws(&needles, &sent.lock().unwrap()), [], "the test hides its own copies");

    let (room, out) = (kept.clone(), sent.clone());
    aside.run(move || {
        let options = RoomOptions::new(Name::new("room").unwrap(), ["relay.test:1".parse().unwrap()]);
        let seed = Seed::from_bytes(&mut unmasked(&masked));
        let mut made = Room::create(identity(1), options, seed, began, unix).unwrap();
        while let Some(message) = made.poll_transmit() {
            out.lock().unwrap().push(message.iter().map(|byte| byte ^ MASK).collect());
        }
        *room.lock().unwrap() = Some(made);
    });
    let once = secret_draws(&needles, &sent.lock().unwrap());
    // The lane key, the seeds of the leaf's key and of the speaker key, and those of the door:
    // answer key and HPKE key.
    assert_eq!(counts(&once), [1; 5], "{once:?}");

    // What was stored and taken back holds some of it once more, and takes it along.
    let (stored, room) = (Arc::new(Mutex::new(None)), kept.clone());
    let store = stored.clone();
    aside.run(move || {
        let membership = room.lock().unwrap().as_ref().unwrap().membership().unwrap();
        *store.lock().unwrap() = Some(Membership::from_bytes(membership.as_bytes()).unwrap());
    });
    let twice = secret_draws(&needles, &sent.lock().unwrap());
    assert_eq!(counts(&twice), [1, 1, 2, 2, 2], "lane key and door are in the membership too: {twice:?}");
    aside.run(move || drop(stored.lock().unwrap().take()));
    assert_eq!(secret_draws(&needles, &sent.lock().unwrap()), once);

    aside.run(move || drop(kept.lock().unwrap().take()));
    assert_eq!(secret_draws(&needles, &sent.lock().unwrap()), []);
}

/// How often each lies there, the rarest first.
fn counts(found: &[(&str, usize)]) -> Vec<usize> {
    let mut counts: Vec<_> = found.iter().map(|(_, count)| *count).collect();
    counts.sort_unstable();
    counts
}

#[test]
fn what_a_newcomer_draws_for_one_answer_is_gone_once_the_key_is_made() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (began, unix) = (Instant::now(), UnixTime::from(SystemTime::now()));
    let options = RoomOptions::new(Name::new("room").unwrap(), ["relay.test:1".parse().unwrap()]);
    let mut host = Room::create(identity(1), options, Seed::generate().unwrap(), began, unix).unwrap();
    let invite = host.invite(InviteOptions::default(), began).unwrap().to_string();
    let masked: [u8; 32] = rand::random();
    let mut needles = Needles::new();
    draws(&mut needles, &masked);
    scrub();
    let (aside, kept): (_, Arc<Mutex<Option<Room>>>) = (Aside::new(), Arc::default());
    let room = kept.clone();
    aside.run(move || *room.lock().unwrap() = Some(knock(&masked, &invite, began, unix)));
    let found: Vec<_> = needles.found().into_iter().collect();
    assert_eq!(found, [("draw 0002", 1)], "the leaf's key is there, the one-use key's seed is not");
    let room = kept.clone();
    aside.run(move || drop(room.lock().unwrap().take()));
    assert_eq!(needles.found(), BTreeMap::new());
}

/// One test at a time holds secrets and searches.
static ALONE: Mutex<()> = Mutex::new(());
