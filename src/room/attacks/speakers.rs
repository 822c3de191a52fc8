//! Speakers who want to be heard and not held to it, and keys whose time is over.

use super::*;
use crate::{
    Opener, Refusal, Rekey, Sealer, Stamp,
    group::{
        announce::{Place, SpeakerKey},
        message::MAX_SPENT,
        signing::SigningKey,
    },
    media::{HEADROOM, TAILROOM},
    report::{Excerpt, Keep, ModerationSecret, Recorder, Rejected},
};

const MINUTE: Duration = Duration::from_secs(60);

impl Party {
    /// An announcement of `public` by the leaf of `from`, as it likes.
    fn announcement(&mut self, from: usize, public: [u8; 32], ahead: i64, holds: u32) -> SpeakerKey {
        let unix = self.unix_now();
        let group = self.group(from);
        let place = group.place_of(group.own_leaf());
        let announced = UnixTime(unix.0.saturating_add_signed(ahead));
        SpeakerKey::new(public, announced, holds, &place, |text| group.sign_as_leaf(text))
    }

    fn unix_now(&self) -> UnixTime {
        self.rooms[HOST].core.clock.unix(self.now)
    }

    /// What the others say to an announcement, if they all say the same.
    fn announce(&mut self, from: usize, key: SpeakerKey) -> Result<(), ControlError> {
        let message = self.group(from).seal(&Announcement::SpeakerKey(key).encode()).unwrap();
        let answers = self.tell(from, Message::Mls(message));
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        answers[0]
    }

    /// Begins an epoch in which nobody has heard the speaker announce its key.
    fn speaker_is_unannounced(&mut self) {
        let now = self.now;
        let stranger = MemberId::from_bytes(self.rooms[HOST].core.random());
        self.rooms[HOST].ban(stranger, now).unwrap();
        let commits: Vec<Bytes> = std::iter::from_fn(|| self.rooms[HOST].poll_transmit()).collect();
        for room in &mut self.rooms[1..] {
            for message in &commits {
                let _ = room.handle_control(message, now);
            }
        }
        while self.rooms[SPEAKER].poll_transmit().is_some() {}
        self.deliver();
        self.settle();
    }

    fn refuses_key(&mut self, key: SpeakerKey, violation: Violation) {
        let by = Some(self.rooms[SPEAKER].id());
        assert_eq!(self.announce(SPEAKER, key), Err(ControlError::NotPermitted { by, violation }));
        for n in [HOST, MODERATOR, LISTENER] {
            assert_eq!(self.rooms[n].poll_event(), Some(Event::Violation { by, violation }));
            assert!(self.rooms[n].poll_rekey().is_none(), "{n} opens packets under it");
        }
    }
}

#[test]
fn a_listener_has_no_voice_so_nobody_takes_a_speaker_key_of_it() {
    let mut party = Party::new();
    let by = Some(party.rooms[LISTENER].id());
    let key = party.announcement(LISTENER, [7; 32], 0, 0);
    let refused = ControlError::NotPermitted { by, violation: Violation::NoRight };
    assert_eq!(party.announce(LISTENER, key), Err(refused));
    party.settle();
    party.goes_on();
}

#[test]
fn a_key_that_could_not_be_reported_is_not_heard() {
    let mut party = Party::new();
    party.speaker_is_unannounced();
    let public = *SigningKey::from_seed([50; 32]).public();
    let good = party.announcement(SPEAKER, public, 0, 1_800);

    // Not signed, signed by another key of its own, signed for another place.
    party.refuses_key(SpeakerKey { signature: [0; 64], ..good }, Violation::SpeakerKey);
    let other = SigningKey::from_seed([51; 32]);
    let group = party.group(SPEAKER);
    let place = group.place_of(group.own_leaf());
    let by_other = SpeakerKey::new(public, good.announced, 1_800, &place, |text| other.sign(text));
    let elsewhere = Place { epoch: Epoch(place.epoch.0 + 1), ..place };
    let for_later =
        SpeakerKey::new(public, good.announced, 1_800, &elsewhere, |text| group.sign_as_leaf(text));
    party.refuses_key(by_other, Violation::SpeakerKey);
    party.refuses_key(for_later, Violation::SpeakerKey);

    // A key that anybody signs with, a promise that is too short, a time that makes every report late or early.
    let weak = party.announcement(SPEAKER, [0; 32], 0, 1_800);
    party.refuses_key(weak, Violation::SpeakerKey);
    for holds in [1, 1_799] {
        let short = party.announcement(SPEAKER, public, 0, holds);
        party.refuses_key(short, Violation::SpeakerKey);
    }
    for ahead in [-301, 301, -100_000, 100_000] {
        let wrong = party.announcement(SPEAKER, public, ahead, 1_800);
        party.refuses_key(wrong, Violation::Clock);
    }

    // None of that kept the good one out; another beside it stays out.
    assert_eq!(party.announce(SPEAKER, good), Ok(()));
    for n in [HOST, MODERATOR, LISTENER] {
        let rekey = party.rooms[n].poll_rekey().unwrap();
        assert!(format!("{rekey:?}").contains("Speaker(leaf"), "{rekey:?}");
    }
    let second = party.announcement(SPEAKER, *other.public(), 0, 1_800);
    party.refuses_key(second, Violation::SpeakerKey);
    party.goes_on();
}

/// The speaker's sealer and the listener's opener.
struct Line {
    sealer: Sealer,
    opener: Opener,
}

impl Line {
    fn hear(&mut self, party: &mut Party) -> Result<(), Refusal> {
        let mut nothing = party.rooms[LISTENER].recorder(Keep::NOTHING, party.now).unwrap();
        self.hear_into(party, &mut nothing)
    }

    fn hear_into(&mut self, party: &mut Party, recorder: &mut Recorder) -> Result<(), Refusal> {
        while let Some(rekey) = party.rooms[SPEAKER].poll_rekey() {
            if let Rekey::Seal(rekey) = rekey {
                drop(self.sealer.install(rekey).unwrap());
            }
        }
        while let Some(rekey) = party.rooms[LISTENER].poll_rekey() {
            if let Rekey::Open(rekey) = rekey {
                drop(self.opener.install(rekey));
            }
        }
        let mut buffer = [0x78; HEADROOM + 240 + TAILROOM];
        let frame = self.sealer.seal(&mut buffer, 20, Stamp::default()).unwrap();
        let opened = self.opener.open(frame)?;
        recorder.record(&opened, party.now).unwrap();
        Ok(())
    }
}

/// A party, and a line on which the listener hears the speaker.
fn line() -> (Party, Line) {
    let mut party = Party::new().without_renewals();
    party.goes_on();
    let mut line = Line { sealer: Sealer::new(), opener: Opener::new() };
    let now = party.now;
    // The keys of the present epoch were taken by `settle`: the next one begins here.
    let stranger = MemberId::from_bytes([200; 32]);
    party.rooms[HOST].ban(stranger, now).unwrap();
    party.deliver();
    assert_eq!(line.hear(&mut party), Ok(()));
    (party, line)
}

#[test]
fn a_speaker_is_heard_for_hours_because_it_announces_its_key_again() {
    let (mut party, mut line) = line();
    for _ in 0..40 {
        party.pass(5 * MINUTE);
        assert_eq!(line.hear(&mut party), Ok(()));
    }
}

#[test]
fn a_speaker_who_stops_announcing_is_heard_for_fifteen_minutes() {
    let (mut party, mut line) = line();
    let began = party.now;
    while party.now < began + 20 * MINUTE {
        // All that the speaker says on the control lane is lost.
        party.now += SECOND;
        let now = party.now;
        for room in &mut party.rooms {
            room.handle_timeout(now);
        }
        while party.rooms[SPEAKER].poll_transmit().is_some() {}
        party.deliver();
        let heard = line.hear(&mut party);
        let late = party.now - began >= 15 * MINUTE;
        assert_eq!(
            heard,
            if late { Err(Refusal::UnknownSpeaker) } else { Ok(()) },
            "{:?}",
            party.now - began
        );
    }
    // It comes back with the next announcement, under the same key.
    party.pass(5 * MINUTE);
    assert_eq!(line.hear(&mut party), Ok(()));
}

#[test]
fn an_old_announcement_again_gains_no_time() {
    let (mut party, mut line) = line();
    let public = {
        let Phase::Present(seat) = &party.rooms[SPEAKER].phase else { panic!("not in the room") };
        seat.schedule.speaker_key().unwrap()
    };
    let old = party.announcement(SPEAKER, public, 0, 1_800);
    let began = party.now;
    while party.now < began + 16 * MINUTE {
        party.now += SECOND;
        let now = party.now;
        for room in &mut party.rooms {
            room.handle_timeout(now);
        }
        while party.rooms[SPEAKER].poll_transmit().is_some() {}
        party.deliver();
        let _ = party.announce(SPEAKER, old);
    }
    assert_eq!(line.hear(&mut party), Err(Refusal::UnknownSpeaker));
}

fn published(party: &Party, n: usize) -> Vec<[u8; 32]> {
    party.rooms[n].published_keys().map(|key| *key.public().first_chunk().unwrap()).collect()
}

fn speaker_key(party: &Party, n: usize) -> [u8; 32] {
    let Phase::Present(seat) = &party.rooms[n].phase else { panic!("{n} is not in the room") };
    seat.schedule.speaker_key().unwrap()
}

#[test]
fn half_an_hour_after_an_epoch_everybody_has_its_speaker_keys() {
    let mut party = Party::new().without_renewals();
    party.rooms[MODERATOR].publish_speaker_keys(None);
    party.goes_on();
    let keys = [HOST, MODERATOR, SPEAKER].map(|n| speaker_key(&party, n));
    party.pass(45 * MINUTE);
    let count = |party: &Party, key: &[u8; 32]| (0..4).filter(|n| published(party, *n).contains(key)).count();
    assert_eq!(keys.map(|key| count(&party, &key)), [0; 3], "the epoch lasts");
    party.goes_on();
    party.pass(30 * MINUTE - SECOND);
    assert_eq!(keys.map(|key| count(&party, &key)), [0; 3], "too early");
    party.pass(SECOND);
    assert_eq!(
        keys.map(|key| count(&party, &key)),
        [4, 0, 4],
        "all but the moderator's, who keeps them for ever"
    );
}

#[test]
fn who_left_still_publishes_while_it_is_asked_to() {
    let mut party = Party::new();
    party.goes_on();
    let key = speaker_key(&party, SPEAKER);
    party.rooms[SPEAKER].leave().unwrap();
    party.deliver();
    party.pass(36 * MINUTE);
    assert!(published(&party, HOST).contains(&key));
    assert!(published(&party, LISTENER).contains(&key));
}

#[test]
fn nobody_takes_a_published_key_that_no_speaker_had() {
    let mut party = Party::new();
    let known = speaker_key(&party, SPEAKER);
    let spent = Message::Spent(vec![[3; 32]; MAX_SPENT]);
    let answers = party.tell(LISTENER, spent);
    assert!(answers.iter().all(|answer| *answer == Err(ControlError::Repeated)), "{answers:?}");
    assert!((0..4).all(|n| published(&party, n).is_empty()));
    assert!(!published(&party, HOST).contains(&known));
    party.goes_on();
}

/// What the listener's recorder keeps of the speaker, as a report that a moderator checks a second later.
fn verdict(party: &mut Party, recorder: &Recorder, began: Instant) -> Result<(), Rejected> {
    let mut excerpt = Excerpt::new(recorder);
    recorder.excerpt(party.ids()[SPEAKER], began..party.now + 10 * SECOND, &mut excerpt).unwrap();
    let secret = ModerationSecret::from_seed([42; 32]).unwrap();
    let file = party.rooms[LISTENER].report(&excerpt, &secret.key()).unwrap();
    let published: Vec<_> = party.rooms[LISTENER].published_keys().collect();
    secret.open(&file, party.unix_now(), &published).map(|_| ())
}

#[test]
fn a_speaker_who_publishes_its_key_early_is_silenced_and_takes_nothing_back() {
    let (mut party, mut line) = line();
    let began = party.now;
    let mut recorder = party.rooms[LISTENER].recorder(Keep::default(), began).unwrap();
    assert_eq!(line.hear_into(&mut party, &mut recorder), Ok(()));

    let public = speaker_key(&party, SPEAKER);
    let seed = party.rooms[SPEAKER].core.reports.expiry.own_seed().unwrap();
    let answers = party.tell(SPEAKER, Message::Spent(vec![seed]));
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(line.hear_into(&mut party, &mut recorder), Err(Refusal::UnknownSpeaker));
    assert_eq!(verdict(&mut party, &recorder, began), Ok(()), "what was heard before stands");

    // The same key announced again, now or in a later epoch, is refused. A new key is heard in the next epoch.
    party.settle();
    let again = party.announcement(SPEAKER, public, 1, 1_800);
    party.refuses_key(again, Violation::SpeakerKey);
    party.speaker_is_unannounced();
    let again = party.announcement(SPEAKER, public, 0, 1_800);
    party.refuses_key(again, Violation::SpeakerKey);
    let fresh = party.announcement(SPEAKER, *SigningKey::from_seed([10; 32]).public(), 0, 1_800);
    assert_eq!(party.announce(SPEAKER, fresh), Ok(()));
}

#[test]
fn a_key_that_was_to_be_kept_for_ever_silences_its_speaker_too_when_it_is_published() {
    let mut party = Party::new();
    party.speaker_is_unannounced();
    let seed = [50; 32];
    let key = party.announcement(SPEAKER, *SigningKey::from_seed(seed).public(), 0, 0);
    assert_eq!(party.announce(SPEAKER, key), Ok(()));
    party.settle();
    let answers = party.tell(SPEAKER, Message::Spent(vec![seed]));
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    for n in [HOST, MODERATOR, LISTENER] {
        let rekey = party.rooms[n].poll_rekey().unwrap();
        assert!(format!("{rekey:?}").contains("Withdraw(leaf"), "{rekey:?}");
        assert_eq!(party.rooms[n].published_keys().count(), 0);
    }
}

#[test]
fn the_promise_of_a_key_does_not_change_within_its_epoch() {
    let mut party = Party::new();
    party.speaker_is_unannounced();
    let public = *SigningKey::from_seed([50; 32]).public();
    let first = party.announcement(SPEAKER, public, 0, 1_800);
    assert_eq!(party.announce(SPEAKER, first), Ok(()));
    party.settle();
    for holds in [0, 1_801, u32::MAX] {
        let other = party.announcement(SPEAKER, public, 1, holds);
        party.refuses_key(other, Violation::SpeakerKey);
    }
    let same = party.announcement(SPEAKER, public, 1, 1_800);
    assert_eq!(party.announce(SPEAKER, same), Ok(()));
}
