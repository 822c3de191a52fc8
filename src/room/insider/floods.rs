//! Small messages of a hostile member that would make others do much.

use bytes::Bytes;

use super::Insider;
use crate::{
    group::{Identity, Name, codec::Writer},
    id::Leaf,
    mls::{Applicant, Purpose, SealingKey},
    wire::{
        door::{Door, door_name},
        invite::Invite,
        knock::{Knock, KnockContent},
        message::Message,
        saying::Saying,
        show::{Show, ShowContent, Wish},
        signed::Signed,
    },
};

impl Insider<'_> {
    /// Asks for a heartbeat.
    pub fn call(&mut self) -> Vec<Bytes> {
        self.send(&Message::Call)
    }

    /// Asks for one statement of the known law; `which` chooses. Everybody is answered apart.
    pub fn ask(&mut self, which: usize) -> Vec<Bytes> {
        let Some(memory) = self.room.memory() else { return Vec::new() };
        let known = memory.store.known().ids();
        let count = known.len().max(1);
        let ids = known.skip(which % count).take(1).map(|id| id.0).collect();
        self.say(&Saying::AskStatements { ids })
    }

    /// Says that it lacks everybody's speaker key.
    pub fn missing(&mut self) -> Vec<Bytes> {
        let leaves: Vec<Leaf> = self.room.roster().iter().map(|member| member.leaf).collect();
        self.say(&Saying::Missing(leaves))
    }

    /// Asks the host for the badge of another answer key.
    pub fn answer_key(&mut self) -> Vec<Bytes> {
        let answer_key = self.room.out.random();
        self.say(&Saying::AnswerKey { answer_key })
    }

    /// An MLS message of an epoch that is to come, of so many bytes.
    pub fn future_message(&mut self, size: usize) -> Vec<Bytes> {
        let own = self.room.seat().map(|seat| (seat.group.mls_id().to_vec(), seat.group.epoch().0));
        let Some((mls_id, epoch)) = own else { return Vec::new() };
        // MLSMessage, PrivateMessage (RFC 9420 section 6.3): application data of another epoch.
        let head = Writer::new().u16(1).u16(2).bytes(&[u8::try_from(mls_id.len()).unwrap_or_default()]);
        let head = head.bytes(&mls_id).u64(epoch + 7).u8(1).u8(0).u8(24).bytes(&[9; 24]);
        // A length of two bytes (RFC 9000 section 16).
        let size = size.min(0x3fff);
        let length = 0x4000 | u16::try_from(size).unwrap_or_default();
        let message = head.u16(length).bytes(&vec![7; size]).finish();
        self.send(&Message::Mls(message))
    }

    /// Asks the keeper for its place though it has one, with a KeyPackage that is so many
    /// milliseconds ahead.
    pub fn own_return(&mut self, ahead_ms: u64) -> Vec<Bytes> {
        let made_ms = self.room.out.stamp_ms(self.now).saturating_add(ahead_ms);
        let key_package = (|| {
            let terms = self.room.memory()?.store.known().terms().clone();
            let out = &mut self.room.out;
            let group_id = terms.group_id().0;
            // This member's own, or its room would think that another device has its place.
            out.petitions.note(made_ms);
            Applicant::new(&out.identity, &group_id, terms.key_exchange, made_ms, &mut out.rng).ok()
        })();
        let Some(applicant) = key_package else { return Vec::new() };
        let wish = Wish::Return { key_package: applicant.key_package().to_vec(), broken: None };
        self.show_to_keeper(wish, *applicant.reference())
    }

    /// Shows the keeper nothing, and wants everything shown.
    pub fn empty_show(&mut self) -> Vec<Bytes> {
        let reference = self.room.out.random();
        self.show_to_keeper(Wish::Nothing, reference)
    }

    fn show_to_keeper(&mut self, wish: Wish, reference: [u8; 32]) -> Vec<Bytes> {
        let key = self.own();
        let Some(one_use) = self.sealing_secret() else { return Vec::new() };
        let one_use = one_use.public().as_bytes().to_vec();
        let Ok((out, memory, seat)) = self.room.present() else { return Vec::new() };
        let Some(door_key) = seat.keeper_door.clone() else { return Vec::new() };
        let key_exchange = seat.group.key_exchange();
        let group_id = memory.store.known().group_id().0;
        let time_ms = out.clock.unix_ms(self.now);
        let content = ShowContent { key, one_use, time_ms, wish, statements: Default::default() };
        let signed = Signed::show(content, &out.identity, &group_id, &door_key, &reference);
        let aad = Show::aad(&group_id, &door_key, &reference);
        let Some(sealed) = SealingKey::from_bytes(key_exchange, &door_key)
            .and_then(|key| key.seal(Purpose::Show, &signed.encode(), &aad).ok())
        else {
            return Vec::new();
        };
        let door = door_name(&door_key);
        self.send(&Message::Show(Show { door, reference, kem: sealed.kem_output, sealed: sealed.sealed }))
    }

    /// A knock of an identity that nobody has seen, at the first door that this member knows.
    pub fn throwaway_knock(&mut self, invite: &Invite) -> Vec<Bytes> {
        let now = self.now;
        let Some(one_use) = self.sealing_secret() else { return Vec::new() };
        let one_use = one_use.public().as_bytes().to_vec();
        let Ok((out, _, seat)) = self.room.present() else { return Vec::new() };
        let Some(door) = seat.doors_heard.values().next().map(|door| door.claimed().clone()) else {
            return Vec::new();
        };
        let Ok(name) = Name::new("throwaway") else { return Vec::new() };
        let identity = Identity::from_seed(out.random(), name);
        let made_ms = out.clock.unix_ms(now);
        let applicant =
            Applicant::new(&identity, &invite.group_id, invite.key_exchange, made_ms, &mut out.rng);
        let Ok(applicant) = applicant else { return Vec::new() };
        self.knock(invite, &door, &applicant, one_use).unwrap_or_default()
    }

    fn knock(
        &mut self,
        invite: &Invite,
        door: &Door,
        applicant: &Applicant,
        one_use: Vec<u8>,
    ) -> Option<Vec<Bytes>> {
        let (answer_key, reference) = (door.badge().answer_key, *applicant.reference());
        let content = KnockContent {
            invite: invite.id,
            expires: invite.expires,
            uses: invite.uses,
            one_use,
            key_package: applicant.key_package().to_vec(),
        };
        let aad = Knock::aad(&invite.group_id, &answer_key, &reference);
        let key = SealingKey::from_bytes(invite.key_exchange, door.hpke())?;
        let sealed = key.seal(Purpose::Knock, &content.encode(), &aad).ok()?;
        let (door, kem) = (door_name(&answer_key), sealed.kem_output);
        Some(self.send(&Message::Knock(Knock { door, reference, kem, sealed: sealed.sealed })))
    }
}
