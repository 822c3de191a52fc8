//! Rooms round one table: every control message arrives at once, and every packet at everybody for
//! whom it is not lost.
//!
//! Each member has a recorder, and a decoder for what it plays.

use std::{
    collections::HashMap,
    sync::LazyLock,
    time::{Duration, Instant, SystemTime},
};

use sottovoce::{
    CaptureTime, MemberId, OpenError, Opener, PacketSize, Rekey, Sealer, Seed, Stamp,
    codec::{Decoder, Encoder, FrameLength, MAX_SAMPLES},
    group::{Identity, Name, Role},
    media::{HEADROOM, Level, TAILROOM},
    report::{Buffer, Excerpt, ExcerptError, ModerationKey, NotKept, Retention},
    room::{Admission, Event, InviteOptions, ReportError, Room, RoomOptions, UnixTime},
};

use crate::checkout;

/// When every table here begins: now, because MLS holds the lifetimes of leaves against the
/// system's clock.
pub static BEGAN: LazyLock<UnixTime> = LazyLock::new(|| UnixTime::from(SystemTime::now()));
pub const FRAME: Duration = Duration::from_millis(40);

pub struct Table {
    pub members: Vec<Seated>,
    pub now: Instant,
    began: Instant,
    captured_ms: u64,
}

pub struct Seated {
    pub room: Room,
    pub sealer: Sealer,
    pub opener: Opener,
    pub recorder: Option<Buffer>,
    pub events: Vec<Event>,
    /// What this member plays of each speaker: what it opened and kept, through a decoder of its
    /// own.
    pub played: HashMap<MemberId, Played>,
    pub refused: Vec<OpenError>,
    pub not_kept: Vec<NotKept>,
}

pub struct Played {
    decoder: Decoder,
    pub sound: Vec<i16>,
}

impl Table {
    /// Everybody in one room, the first as host, all of them speakers.
    pub fn of(names: &[&str]) -> Self {
        Self::with(names, Retention::default(), |_| {})
    }

    pub fn with(names: &[&str], keep: Retention, change: impl FnOnce(&mut RoomOptions)) -> Self {
        Self::seeded(100, names, keep, change)
    }

    /// The same seed, names and options make the same room, keys included.
    pub fn seeded(seed: u8, names: &[&str], keep: Retention, change: impl FnOnce(&mut RoomOptions)) -> Self {
        let now = Instant::now();
        let mut options = RoomOptions::new(Name::new("tea").unwrap(), ["relay.test:1".parse().unwrap()]);
        options.admission = Admission::Open;
        options.default_role = Role::Speaker;
        change(&mut options);
        let identity = |n: usize| Identity::from_seed([n as u8 + 1; 32], Name::new(names[n]).unwrap());
        let host =
            Room::create(identity(0), options, Seed::from_bytes(&mut [seed; 32]), now, *BEGAN).unwrap();
        let mut table = Self { members: vec![Seated::new(host)], now, began: now, captured_ms: 0 };
        let invite = table.members[0].room.invite(InviteOptions::default(), now).unwrap().to_string();
        for n in 1..names.len() {
            let invite = invite.parse().unwrap();
            let room =
                Room::join(identity(n), invite, Seed::from_bytes(&mut [seed + n as u8; 32]), now, *BEGAN)
                    .unwrap();
            table.members.push(Seated::new(room));
        }
        table.deliver();
        table.pass(Duration::from_secs(1));
        for member in &mut table.members {
            assert_eq!(member.room.roster().len(), names.len());
            member.recorder = member.room.recorder(keep, now);
        }
        table
    }

    pub fn id(&self, n: usize) -> MemberId {
        self.members[n].room.id()
    }

    /// The time by everybody's clock.
    pub fn unix(&self) -> UnixTime {
        UnixTime::from_secs(BEGAN.as_secs() + (self.now - self.began).as_secs())
    }

    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) =
            self.members.iter().filter_map(|one| one.room.poll_timeout()).min().filter(|at| *at <= end)
        {
            self.now = self.now.max(at);
            let now = self.now;
            self.members.iter_mut().for_each(|member| member.room.handle_timeout(now));
            self.deliver();
        }
        self.now = end;
    }

    /// A commit, and so a new epoch for everybody.
    pub fn new_epoch(&mut self) {
        let (now, room) = (self.now, &mut self.members[0].room);
        let name = room.roster().iter().find(|member| member.is_self).unwrap().name.clone();
        room.rename(name, now).unwrap();
        self.deliver();
    }

    /// Gives every message and every key to whom it is for.
    pub fn deliver(&mut self) {
        let sent = |(from, member): (usize, &mut Seated)| Some((from, member.room.poll_transmit()?));
        while let Some((from, message)) = self.members.iter_mut().enumerate().find_map(sent) {
            for (_, other) in self.members.iter_mut().enumerate().filter(|(to, _)| *to != from) {
                let _ = other.room.handle_control(&message, self.now);
            }
        }
        for member in &mut self.members {
            member.events.extend(std::iter::from_fn(|| member.room.poll_event()));
            while let Some(rekey) = member.room.poll_rekey() {
                match rekey {
                    Rekey::Seal(rekey) => drop(member.sealer.install(rekey)),
                    Rekey::Open(rekey) => drop(member.opener.install(rekey)),
                }
            }
        }
    }

    /// Seals a packet of `from`, as its device does.
    pub fn seal(&mut self, from: usize, opus: &[u8]) -> Vec<u8> {
        let now_ms = BEGAN.as_secs() * 1_000 + (self.now - self.began).as_millis() as u64;
        self.captured_ms = now_ms.max(self.captured_ms + 1);
        let captured = CaptureTime::from_millis(self.captured_ms);
        let mut buffer = [0; HEADROOM + PacketSize::MAX as usize + TAILROOM];
        buffer[HEADROOM..HEADROOM + opus.len()].copy_from_slice(opus);
        let stamp = Stamp { captured, level: Level::from_byte(20), ..Stamp::default() };
        self.members[from].sealer.seal(&mut buffer, opus.len(), stamp).unwrap().to_vec()
    }

    /// Gives a packet to all others but those for whom it is lost.
    pub fn carry(&mut self, from: usize, packet: &[u8], lost_for: &[usize]) {
        let now = self.now;
        let others =
            self.members.iter_mut().enumerate().filter(|(to, _)| *to != from && !lost_for.contains(to));
        others.for_each(|(_, member)| member.hear(packet, now));
    }

    pub fn say(&mut self, from: usize, opus: &[u8], lost_for: &[usize]) {
        let packet = self.seal(from, opus);
        self.carry(from, &packet, lost_for);
    }

    /// Speaks a recording at 48 kHz in packets of 40 ms; `each` comes before the packet with that
    /// number.
    pub fn speak(&mut self, from: usize, pcm: &[i16], mut each: impl FnMut(&mut Self, usize) -> Vec<usize>) {
        let mut encoder = encoder();
        for (index, block) in pcm.chunks_exact(FrameLength::Ms40.samples()).enumerate() {
            let lost_for = each(self, index);
            let mut opus = vec![0; encoder.packet_len()];
            let len = encoder.encode(block, &mut opus).unwrap();
            self.say(from, &opus[..len], &lost_for);
            self.pass(FRAME);
        }
    }

    /// A report by `reporter` of what `speaker` said in the last `seconds`.
    pub fn report(
        &mut self,
        reporter: usize,
        speaker: usize,
        seconds: u64,
        to: &ModerationKey,
    ) -> Result<Vec<u8>, ReportError> {
        let (now, speaker) = (self.now, self.id(speaker));
        let excerpt = self.members[reporter].excerpt(speaker, now, seconds)?;
        self.members[reporter].room.report(&excerpt, to)
    }
}

impl Seated {
    fn new(room: Room) -> Self {
        Self {
            room,
            sealer: Sealer::new(),
            opener: Opener::new(),
            recorder: None,
            events: Vec::new(),
            played: HashMap::new(),
            refused: Vec::new(),
            not_kept: Vec::new(),
        }
    }

    /// Opens, keeps, and only then plays.
    pub fn hear(&mut self, packet: &[u8], now: Instant) {
        let mut packet = packet.to_vec();
        let opened = match self.opener.open(&mut packet) {
            Ok(opened) => opened,
            Err(why) => return self.refused.push(why),
        };
        if let Some(recorder) = &mut self.recorder
            && let Err(why) = recorder.record(&opened, now)
        {
            return self.not_kept.push(why);
        }
        let played = self
            .played
            .entry(opened.member)
            .or_insert_with(|| Played { decoder: Decoder::new().unwrap(), sound: Vec::new() });
        let mut pcm = [0; MAX_SAMPLES];
        if let Ok(samples) = played.decoder.decode(opened.packet, &mut pcm) {
            played.sound.extend_from_slice(&pcm[..samples]);
        }
    }

    /// What a player does when a packet has not come.
    pub fn conceal(&mut self, speaker: MemberId) {
        let played = self.played.get_mut(&speaker).unwrap();
        let mut pcm = [0; FrameLength::Ms40.samples()];
        played.decoder.conceal(&mut pcm).unwrap();
        played.sound.extend_from_slice(&pcm);
    }

    pub fn excerpt(&self, speaker: MemberId, now: Instant, seconds: u64) -> Result<Excerpt, ExcerptError> {
        let recorder = self.recorder.as_ref().unwrap();
        let mut excerpt = Excerpt::new(recorder);
        recorder.excerpt(speaker, now - Duration::from_secs(seconds)..now, &mut excerpt)?;
        Ok(excerpt)
    }
}

pub fn encoder() -> Encoder {
    Encoder::new(FrameLength::Ms40, PacketSize::default(), sottovoce::Authenticity::Signed).unwrap()
}

/// Eleven seconds of speech at 48 kHz, in the public domain.
pub fn speech() -> Vec<i16> {
    let path = checkout("examples/data/jfk.wav");
    let mut reader = hound::WavReader::open(path).unwrap();
    let spec = reader.spec();
    let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
    let mono: Vec<i16> = samples.chunks(spec.channels.into()).map(|frame| frame[0]).collect();
    // Each sample for as long as it lasts: what matters here is that it is speech, not how it
    // sounds.
    let times = sottovoce::codec::SAMPLE_RATE / spec.sample_rate;
    mono.into_iter().flat_map(|sample| std::iter::repeat_n(sample, times as usize)).collect()
}
