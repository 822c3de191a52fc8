//! The checks of a Welcome before a newcomer or returner enters by it (SPEC section 7, rules E6 to
//! E8 and R4), and what a keeper writes into one.

use std::sync::Arc;

use super::{error::WelcomeError, shown, violation::Violation};
use crate::{
    defence::{Defence, holds},
    group::codec::{Malformed, Reader, Writer},
    id::IdentityKey,
    law::{self, Anchor, Law, LiveSet, Office, Pins, Rank, Store, Terms},
    media::Sound,
    mls::{Entry, EntryError},
    wire::{
        answer::Receipt,
        signed::{Genuine, Signed},
    },
};

/// Terms and law of the epoch that a Welcome leads to, if they are those of the room and of the
/// group's context.
pub(super) fn read_law(
    entry: &Entry,
    group_id: &[u8; 32],
    own: IdentityKey,
) -> Result<(Arc<Terms>, LiveSet), WelcomeError> {
    let malformed = |Malformed| WelcomeError::Join(EntryError::Malformed);
    let mut reader = Reader::new(&entry.law);
    let terms = reader.vec16(MAX_TERMS).and_then(Terms::decode).map_err(malformed)?;
    if terms.group_id().0 != *group_id {
        return Err(WelcomeError::Join(EntryError::OtherGroup));
    }
    let terms = Arc::new(terms);
    let shown = reader.rest();
    let mut left = law::set::decode(shown).map_err(malformed)?;
    let mut store = Store::new(terms.clone(), Anchor::Founder, own);
    let nothing = store.known().clone();
    while !left.is_empty() {
        let before = left.len();
        left = store.merge(left, &nothing).unlooked;
        if left.len() >= before {
            break;
        }
    }
    // The live set and no more, each once, in its order: what one reader passes over another
    // refuses.
    let exact = store.known().hash() == entry.context.law && store.known().encode() == shown;
    if !exact && holds(Defence::WelcomeLaw) {
        return Err(WelcomeError::Rule(Violation::Law));
    }
    Ok((terms, store.known().clone()))
}

/// What a Welcome tells newcomers of the law (`spec/control.md`): the terms, then the epoch's
/// statements.
pub(super) fn write_law(law: &LiveSet) -> Vec<u8> {
    Writer::new().vec16(&law.terms().encode()).bytes(&law.encode()).finish()
}

/// Whether the keeper of the epoch signed the Welcome (E6): whoever makes up a group can only keep
/// it itself.
pub(super) fn check_sender(entry: &Entry, law: &Law) -> Result<(), WelcomeError> {
    let keeps = law.tag(&entry.sender).0 == entry.context.keeper;
    if keeps { Ok(()) } else { Err(WelcomeError::Rule(Violation::Keeping)) }
}

/// Whether a law admits everybody in a tree (E8).
pub(super) fn check_tree(entry: &Entry, law: &Law) -> Result<(), WelcomeError> {
    let admitted = entry.roster.iter().all(|member| law.admits(&member.key));
    if admitted || !holds(Defence::WelcomeTree) {
        Ok(())
    } else {
        Err(WelcomeError::Rule(Violation::NotAdmitted))
    }
}

/// What a newcomer looks for: the room of its invite, the office to which the invite and the
/// hand-overs that were shown lead, and the least number of a table in that office.
pub(super) struct Sought<'a> {
    pub(super) group_id: &'a [u8; 32],
    /// What the invite says that packets hold.
    pub(super) sound: Sound,
    pub(super) office: Office,
    pub(super) least_no: u64,
}

/// A room to be entered, with all that the newcomer knows of its law.
pub(super) struct Entered {
    pub(super) epoch_law: LiveSet,
    pub(super) store: Store,
}

/// A receipt that counts for the KeyPackage with this reference (E4).
pub(super) fn receipt_for(
    receipt: Signed<Receipt>,
    reference: &[u8; 32],
    group_id: &[u8; 32],
) -> Option<Genuine<Receipt>> {
    receipt.verify(group_id).ok().filter(|receipt| receipt.content().reference == *reference)
}

/// Whether a newcomer may enter by a Welcome, with the receipts that came for its KeyPackage (E6 to
/// E8).
pub(super) fn check_newcomer<'a>(
    entry: &Entry,
    sought: &Sought<'_>,
    receipts: impl Iterator<Item = &'a Receipt>,
    own: IdentityKey,
) -> Result<Entered, WelcomeError> {
    let (terms, epoch_law) = read_law(entry, sought.group_id, own)?;
    if terms.sound != sought.sound {
        return Err(WelcomeError::Join(EntryError::OtherGroup));
    }
    let law = epoch_law.law();
    check_sender(entry, law)?;
    // A hand-over that was shown is in the chain, and a table that the host gave a badge after is
    // in force.
    if !Pins::of_office(sought.office, epoch_law.group_id()).is_contained_in(law) {
        return Err(WelcomeError::Rule(Violation::HandOver));
    }
    if law.office() == sought.office && law.table_no().unwrap_or(0) < sought.least_no {
        return Err(WelcomeError::Rule(Violation::Law));
    }
    if !holds(Defence::Receipt) {
        check_tree(entry, law)?;
        let mut store = Store::new(terms, Anchor::Founder, own);
        let _ = store.merge(Vec::new(), &epoch_law);
        return Ok(Entered { store, epoch_law });
    }
    let mut refused = WelcomeError::NoReceipt;
    for receipt in receipts {
        let Some(store) = joint(&terms, &epoch_law, receipt, own) else { continue };
        match check_tree(entry, law).and_then(|()| check_tree(entry, store.law())) {
            Ok(()) => return Ok(Entered { store, epoch_law }),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// What a newcomer knows once it believes a receipt: its standings and the epoch law, if the
/// receipt is of somebody of rank by both together, and of an office that the epoch's chain holds
/// (E7).
fn joint(terms: &Arc<Terms>, epoch_law: &LiveSet, receipt: &Receipt, own: IdentityKey) -> Option<Store> {
    let (law, office) = (epoch_law.law(), Office(receipt.office));
    if !Pins::of_office(office, epoch_law.group_id()).is_contained_in(law)
        || law.office() == office && law.table_no().unwrap_or(0) < receipt.no
    {
        return None;
    }
    let mut store = Store::new(terms.clone(), Anchor::Founder, own);
    let _ = store.merge(shown::decode(&receipt.standings), epoch_law);
    (store.law().rank_of(&receipt.key) > Rank::None).then_some(store)
}

const MAX_TERMS: usize = 512;
