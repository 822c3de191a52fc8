//! The newcomer: finds doors, knocks at one after another, keeps receipts, and enters the room that
//! the receipts and the invite agree with (SPEC section 7, rules E4 to E10).

use std::time::{Duration, Instant};

use super::{
    chain::follow,
    error::{ControlError, WelcomeError},
    held::Held,
    knocking::{Knocking, Patience},
    outbox::Outbox,
    petition::{Petition, open_with},
    welcome::{Entered, Sought, check_newcomer, receipt_for},
};
use crate::{
    id::IdentityKey,
    law::{GroupId, Office},
    media::Sound,
    mls::{Entry, Failure, Purpose, SealingKey, SealingSecret},
    wire::{
        answer::{Answer, AnswerContent, Receipt, RefuseReason},
        door::{Door, door_name},
        invite::Invite,
        knock::{Knock, KnockContent},
        message::Message,
        signed::{Genuine, Signed},
        statements::Statements,
    },
};

/// A newcomer that has no place in the room yet.
pub(super) struct Joining {
    pub(super) invite: Invite,
    petition: Petition,
    doors: Vec<Known>,
    /// A one-use key for each door that was knocked at with this KeyPackage.
    asked: Vec<Asked>,
    /// The hosts and offices that follow those of the invite, by hand-overs that were shown.
    chain: Vec<(IdentityKey, Office)>,
    /// The greatest number of a badge that was shown, and its office.
    newest_no: Option<(Office, u64)>,
    knock_at: Instant,
    told_waiting: bool,
    /// The last refusal, and since when doors have refused us.
    refused: Option<(RefuseReason, Instant)>,
    patience: Patience,
    pub(super) held: Held,
}

/// A door whose badge and signature hold.
struct Known {
    shown: Signed<Door>,
    door: Genuine<Door>,
    seen_at: Instant,
    state: Answered,
    /// When we knocked there last.
    knocked_at: Option<Instant>,
}

/// What one door was given to answer with, and the receipt that came back: whoever is at one door
/// takes no place of the receipts of others.
struct Asked {
    answer_key: [u8; 32],
    one_use: SealingSecret,
    receipt: Option<Genuine<Receipt>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answered {
    No,
    /// Somebody has been asked there.
    Waits,
    Refused(RefuseReason),
}

/// The meaning of an answer to a knock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    Nothing,
    /// Our knock reached somebody, who has to decide.
    Waits,
}

impl Joining {
    pub(super) fn new(out: &mut Outbox, invite: Invite, now: Instant) -> Result<Self, Failure> {
        let petition = Self::petition(out, &invite, now)?;
        Ok(Self {
            invite,
            petition,
            doors: Vec::new(),
            asked: Vec::new(),
            chain: Vec::new(),
            newest_no: None,
            knock_at: now,
            told_waiting: false,
            refused: None,
            patience: Patience::begin(now),
            held: Held::default(),
        })
    }

    fn petition(out: &mut Outbox, invite: &Invite, now: Instant) -> Result<Petition, Failure> {
        let made_ms = out.clock.unix_ms(now);
        Petition::new(out, &invite.group_id, invite.key_exchange, made_ms, now)
    }

    /// The host and the office that doors have to be of: those of the invite, or of the hand-overs
    /// that follow them.
    fn anchor(&self) -> (IdentityKey, Office) {
        self.chain.last().copied().unwrap_or((self.invite.host, Office(self.invite.office)))
    }

    /// The least number that the newest table of that office has, as far as the host has said it to
    /// us.
    fn least_no(&self) -> u64 {
        let (_, office) = self.anchor();
        let invited = if office.0 == self.invite.office { self.invite.no } else { 0 };
        let shown = self.newest_no.filter(|(of, _)| *of == office).map_or(0, |(_, no)| no);
        invited.max(shown)
    }

    /// A heartbeat showed doors of people of rank.
    pub(super) fn hear_doors(&mut self, doors: &[Signed<Door>], now: Instant) {
        let (host, office) = self.anchor();
        for shown in doors {
            if let Some(known) = self.doors.iter_mut().find(|known| known.shown == *shown) {
                known.seen_at = now;
                continue;
            }
            let badge = shown.claimed().badge();
            let is_old = office.0 == self.invite.office && badge.no < self.invite.no;
            if badge.office != office.0 || is_old {
                continue;
            }
            let Ok(door) = shown.clone().verify(&self.invite.group_id, &host) else { continue };
            self.newest_no = Some((office, badge.no.max(self.least_no())));
            let answer_key = door.content().badge().answer_key;
            let before =
                self.doors.iter().position(|known| known.door.content().badge().answer_key == answer_key);
            let (state, knocked_at) = before
                .map(|at| self.doors.remove(at))
                .map_or((Answered::No, None), |known| (known.state, known.knocked_at));
            if self.doors.len() >= MAX_DOORS {
                // The least number goes first: somebody who lost the rank may have many badges, all
                // of them older.
                let no = |known: &Known| (known.door.content().badge().no, known.seen_at);
                let least = self.doors.iter().enumerate().min_by_key(|(_, known)| no(known));
                let Some((least, first)) = least.map(|(at, known)| (at, no(known))) else { continue };
                if badge.no < first.0 {
                    continue;
                }
                self.doors.remove(least);
            }
            if self.doors.is_empty() {
                self.knock_at = self.knock_at.min(now);
            }
            self.doors.push(Known { shown: shown.clone(), door, seen_at: now, state, knocked_at });
        }
    }

    /// Hand-overs that lead from the office of an old invite to the present one.
    pub(super) fn hear_chain(&mut self, statements: &Statements) {
        let (anchor, before) = ((self.invite.host, Office(self.invite.office)), self.chain.len());
        follow(&mut self.chain, anchor, statements, &GroupId(self.invite.group_id));
        if self.chain.len() > before {
            // Doors of the office before, and what they said, count no more.
            self.doors.clear();
            self.refused = None;
        }
    }

    /// An answer of a door.
    pub(super) fn hear_answer(&mut self, answer: &Answer, now: Instant) -> Result<News, ControlError> {
        let group_id = &self.invite.group_id;
        let reference = *self.petition.reference();
        if !self.petition.is_named_by(answer, now)? {
            return Ok(News::Nothing);
        }
        let mut asked = self.asked.iter_mut();
        let opened = asked.find_map(|asked| {
            let content = open_with(&asked.one_use, answer, group_id);
            content.map(|content| (content, asked))
        });
        let Some((content, asked)) = opened else { return Ok(News::Nothing) };
        let mut doors = self.doors.iter_mut();
        Ok(match content {
            AnswerContent::Receipt(receipt) => {
                if let Some(receipt) = receipt_for(receipt, &reference, group_id) {
                    asked.receipt = Some(receipt);
                }
                News::Nothing
            }
            AnswerContent::Waiting(waiting) => {
                let said = |known: &&mut Known| {
                    let key = known.door.content().badge().answer_key;
                    waiting
                        .clone()
                        .verify(group_id, &key)
                        .is_ok_and(|said| said.content().reference == reference)
                };
                let Some(known) = doors.find(said) else { return Ok(News::Nothing) };
                known.state = Answered::Waits;
                if std::mem::replace(&mut self.told_waiting, true) { News::Nothing } else { News::Waits }
            }
            AnswerContent::Refused(refused) => {
                let said = |known: &&mut Known| {
                    let key = known.door.content().badge().answer_key;
                    refused
                        .clone()
                        .verify(group_id, &key)
                        .is_ok_and(|said| said.content().reference == reference)
                };
                let reason = refused.claimed().reason;
                let Some(known) = doors.find(said) else { return Ok(News::Nothing) };
                known.state = Answered::Refused(reason);
                self.refused = Some((reason, self.refused.map_or(now, |(_, since)| since)));
                News::Nothing
            }
            AnswerContent::Shown(_) => News::Nothing,
        })
    }

    /// We are connected again: what was said before may be lost.
    pub(super) fn knock_now(&mut self, now: Instant) {
        self.knock_at = self.knock_at.min(now);
    }

    /// Knocks, if it is time to.
    pub(super) fn handle_timeout(&mut self, out: &mut Outbox, now: Instant) -> Result<(), Failure> {
        self.doors.retain(|known| known.seen_at + DOOR_HOLDS > now);
        if let Some(event) = self.patience.note(self.stands(), now) {
            out.tell(event);
        }
        if now < self.knock_at {
            return Ok(());
        }
        self.knock_at = out.again(now);
        if self.petition.is_old(now) {
            self.petition = Self::petition(out, &self.invite, now)?;
            self.asked.clear();
            for known in &mut self.doors {
                known.knocked_at = None;
                if known.state == Answered::Waits {
                    known.state = Answered::No;
                }
            }
        }
        let Some(known) = Self::next_door(&mut self.doors) else {
            return out.send(&Message::Call).map_err(|_| Failure::of("a call is too long"));
        };
        known.knocked_at = Some(now);
        let answer_key = known.door.content().badge().answer_key;
        let hpke = known.door.content().hpke().to_vec();
        let one_use = self.one_use_for(out, answer_key)?;
        let content = KnockContent {
            invite: self.invite.id,
            expires: self.invite.expires,
            uses: self.invite.uses,
            one_use,
            key_package: self.petition.applicant.key_package().to_vec(),
        };
        let reference = *self.petition.reference();
        let aad = Knock::aad(&self.invite.group_id, &answer_key, &reference);
        let Some(key) = SealingKey::from_bytes(self.invite.key_exchange, &hpke) else { return Ok(()) };
        let sealed = key.seal(Purpose::Knock, &content.encode(), &aad)?;
        let knock =
            Knock { door: door_name(&answer_key), reference, kem: sealed.kem_output, sealed: sealed.sealed };
        self.petition.sent += 1;
        out.send(&Message::Knock(knock)).map_err(|_| Failure::of("a knock is too long"))
    }

    /// The public half of the one-use key for the door with this answer key, which is made if there
    /// is none.
    fn one_use_for(&mut self, out: &mut Outbox, answer_key: [u8; 32]) -> Result<Vec<u8>, Failure> {
        if let Some(asked) = self.asked.iter().find(|asked| asked.answer_key == answer_key) {
            return Ok(asked.one_use.public().as_bytes().to_vec());
        }
        if self.asked.len() >= MAX_DOORS {
            // As many doors are known, this one among them: some door that was asked is forgotten.
            let is_known = |asked: &Asked| {
                let mut doors = self.doors.iter();
                doors.any(|known| known.door.content().badge().answer_key == asked.answer_key)
            };
            let gone = self.asked.iter().position(|asked| !is_known(asked)).unwrap_or(0);
            self.asked.remove(gone);
        }
        let one_use = SealingSecret::derive(self.invite.key_exchange, &out.rng.seed())?;
        let public = one_use.public().as_bytes().to_vec();
        self.asked.push(Asked { answer_key, one_use, receipt: None });
        Ok(public)
    }

    /// The door to knock at: the one whose last knock is the longest ago, of several the one with
    /// the greatest number.
    ///
    /// Every door is asked in turn, also while somebody decides at another: any of them admits.
    fn next_door(doors: &mut [Known]) -> Option<&mut Known> {
        let usable = |known: &&mut Known| !matches!(known.state, Answered::Refused(_));
        let turn =
            |known: &&mut Known| (known.knocked_at, std::cmp::Reverse(known.door.content().badge().no));
        doors.iter_mut().filter(usable).min_by_key(turn)
    }

    /// Why we are not let in: every door with the newest badge has refused us, and no other has
    /// come for ten seconds.
    ///
    /// Somebody who lost the rank may show its old door and refuse: that ends nothing while another
    /// door may come.
    pub(super) fn is_refused(&self, now: Instant) -> Option<RefuseReason> {
        let (reason, since) = self.refused?;
        let is_refused = |known: &&Known| matches!(known.state, Answered::Refused(_));
        let is_newest = |known: &&Known| known.door.content().badge().no >= self.least_no();
        let newest = self.doors.iter().filter(is_newest);
        let all = newest.clone().count() > 0 && newest.clone().all(|known| is_refused(&known));
        (all && since + OTHERS_COME <= now).then_some(reason)
    }

    /// Whether anybody answers (E11).
    pub(super) fn knocking(&self, now: Instant) -> Knocking {
        self.patience.at(now)
    }

    fn stands(&self) -> Knocking {
        let mut states = self.doors.iter().map(|known| known.state);
        if states.clone().any(|state| state == Answered::Waits) {
            return Knocking::Decides;
        }
        match states.next() {
            None => Knocking::NoDoor,
            Some(Answered::Refused(reason)) if states.all(|state| state != Answered::No) => {
                Knocking::Refused(self.refused.map_or(reason, |(last, _)| last))
            }
            Some(_) => Knocking::NoAnswer,
        }
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        self.knock_at
    }

    /// What the invite says of the room's packets.
    pub(super) fn sound(&self) -> Sound {
        self.invite.sound
    }

    /// Checks a Welcome (E6 to E10). Nothing changes if it does not hold.
    pub(super) fn check(&self, welcome: &[u8], own: IdentityKey) -> Result<(Entry, Entered), WelcomeError> {
        let entry = self.petition.applicant.open(welcome)?;
        let (_, office) = self.anchor();
        let sought = Sought {
            group_id: &self.invite.group_id,
            sound: self.invite.sound,
            office,
            least_no: self.least_no(),
        };
        let receipts = self.asked.iter().filter_map(|asked| asked.receipt.as_ref()).map(Genuine::content);
        let entered = check_newcomer(&entry, &sought, receipts, own)?;
        Ok((entry, entered))
    }

    pub(super) fn into_petition(self: Box<Self>) -> (Petition, Held, Invite) {
        (self.petition, self.held, self.invite)
    }
}

const MAX_DOORS: usize = 8;
/// Another door may show itself so long after the first refusal.
const OTHERS_COME: Duration = Duration::from_secs(10);
/// A door that no heartbeat has shown for so long is forgotten.
const DOOR_HOLDS: Duration = Duration::from_secs(20);
