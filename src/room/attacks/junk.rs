//! What anybody with a link can send without end: it must not keep honest members out, whose knocks
//! and Returns come again and again in one phase of a second (SPEC section 7, rules D3, G5, R7).

use super::*;
use crate::{
    mls::Applicant,
    random::Generator,
    wire::{
        invite::InviteId,
        knock::{Knock, KnockContent},
    },
};

/// So much comes between two messages of a sender of 400 in a second.
const APART: Duration = Duration::from_micros(2_500);

/// Draws of one seed.
struct Dice(Generator);

impl Dice {
    fn new(seed: u8) -> Self {
        Self(Generator::new(Seed::from_bytes(&mut [seed; 32])))
    }

    /// A moment of one second.
    fn phase(&mut self) -> Duration {
        Duration::from_millis((u32::from_be_bytes(self.0.array()) % 1_000).into())
    }
}

impl Party {
    /// How long it takes until a room is present, while `junk` reaches the host 400 times in a
    /// second.
    fn until_present(&mut self, who: usize, mut junk: impl FnMut(&mut Self) -> Message) -> Duration {
        let began = self.now;
        while self.rooms[who].status() != Status::Present && self.now < began + 40 * SECOND {
            self.flood(APART * 4, &mut junk);
        }
        self.now - began
    }

    /// Lets time pass while `junk` reaches the host 400 times in a second.
    fn flood(&mut self, time: Duration, junk: &mut impl FnMut(&mut Self) -> Message) {
        let end = self.now + time;
        while self.now < end {
            let message = junk(self);
            let out = &mut self.rooms[0].out;
            for envelope in out.lane.seal(&message.encode(), &mut out.rng).unwrap() {
                let now = self.now;
                let _ = self.rooms[0].handle_control(&envelope, now);
            }
            self.deliver();
            self.pass(APART);
        }
    }

    fn door_of_host(&mut self) -> Signed<Door> {
        let memory = self.memory(0);
        memory.doors.as_ref().unwrap().door(&memory.store).unwrap()
    }
}

/// At least 19 of 20 within 5 s.
fn assert_soon(mut times: Vec<Duration>) {
    times.sort();
    let late = times.iter().filter(|time| **time > 5 * SECOND).count();
    assert!(late * 20 <= times.len(), "{times:?}");
}

#[test]
fn knocks_that_are_noise_do_not_keep_newcomers_out() {
    let (mut times, mut dice) = (Vec::new(), Dice::new(7));
    let mut party = Party::new(1);
    let door = party
        .door_of_host()
        .verify(&party.group_id().0, &IdentityKey::from_bytes(*identity(0).public()))
        .unwrap();
    let door = door_name(&door.content().badge().answer_key);
    let mut noise = |_: &mut Party| {
        let knock = Knock { door, reference: dice.0.array(), kem: vec![9; 32], sealed: vec![7; 512] };
        Message::Knock(knock)
    };
    let mut phases = Dice::new(8);
    for n in 2..14 {
        let phase = phases.phase();
        party.flood(SECOND / 4 + phase, &mut noise);
        let newcomer = party.knock(n);
        times.push(party.until_present(newcomer, &mut noise));
    }
    assert_soon(times);
}

#[test]
fn shows_that_are_noise_or_of_throwaway_identities_do_not_keep_returners_out() {
    let mut times = Vec::new();
    let mut party = Party::new(5);
    let noise = |party: &mut Party, dice: &mut Dice| {
        let seat = party.seat(0);
        let door = door_name(seat.keeper.as_ref().unwrap().door.public().as_bytes());
        Message::Show(Show { door, reference: dice.0.array(), kem: vec![9; 32], sealed: vec![7; 512] })
    };
    let mut dice = Dice::new(9);
    let mut n = 0_u32;
    // Of four one opens, and is signed by an identity that nobody admitted.
    let mut junk = |party: &mut Party| {
        n += 1;
        if !n.is_multiple_of(4) {
            return noise(party, &mut dice);
        }
        let stranger = Identity::from_seed(dice.0.array(), Name::new("stranger").unwrap());
        party.show_to_host(&stranger, dice.0.array())
    };
    let mut phases = Dice::new(10);
    for returner in [1, 2, 3, 4, 5, 1, 2, 3, 4, 5] {
        let phase = phases.phase();
        party.flood(SECOND / 4 + phase, &mut junk);
        party.restart(returner);
        times.push(party.until_present(returner, &mut junk));
    }
    assert_soon(times);
}

#[test]
fn knocks_of_throwaway_identities_are_answered_64_times_a_second() {
    let mut party = Party::with(0, Admission::Ask);
    let shown = party.door_of_host();
    let (group_id, ke) = (party.group_id().0, crate::group::KeyExchange::X25519);
    let door = shown.clone().verify(&group_id, &IdentityKey::from_bytes(*identity(0).public())).unwrap();
    let (answer_key, hpke) = (door.content().badge().answer_key, door.content().hpke().to_vec());
    let mut dice = Dice::new(11);
    let mut knock = |party: &Party| {
        let stranger = Identity::from_seed(dice.0.array(), Name::new("stranger").unwrap());
        let made_ms = party.rooms[0].out.clock.unix_ms(party.now);
        let applicant = Applicant::new(&stranger, &group_id, ke, made_ms, &mut dice.0).unwrap();
        let content = KnockContent {
            invite: InviteId(dice.0.array()),
            expires: UnixTime(party.unix.0 + 1_000),
            uses: 0,
            one_use: hpke.clone(),
            key_package: applicant.key_package().to_vec(),
        };
        let reference = *applicant.reference();
        let aad = Knock::aad(&group_id, &answer_key, &reference);
        let sealed = SealingKey::from_bytes(ke, &hpke).unwrap();
        let sealed = sealed.seal(Purpose::Knock, &content.encode(), &aad).unwrap();
        let door = door_name(&answer_key);
        Message::Knock(Knock { door, reference, kem: sealed.kem_output, sealed: sealed.sealed })
    };
    let before = party.log.len();
    party.flood(SECOND, &mut |party: &mut Party| knock(party));
    let answers = party.count(0, before, |message| matches!(message, Message::Answer(_)));
    assert_eq!(answers, 64);
}
