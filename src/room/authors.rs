//! The member whose statement gives a person its standing in a law.

use crate::{
    id::{IdentityKey, MemberId},
    law::{GenuineStatement, Law, LiveSet, Rank, RoleWord, StatementId, Tag, Word, statement::Content as _},
};

/// Whether a law bans the holder of a key.
pub(super) fn is_banned(law: &Law, key: &IdentityKey) -> bool {
    law.rank_of(key) == Rank::None && law.standing_of(&law.tag(key)).banned
}

/// Whether words put somebody out, which may have been taken back since: the host's table may say
/// something else.
pub(super) fn is_out_by_words(law: &Law, key: &IdentityKey) -> bool {
    let words = law.words(&law.tag(key)).iter();
    words.map(|word| word.content().word).any(|word| matches!(word, Word::Ban | Word::Role(RoleWord::OUT)))
}

/// The identity whose word puts somebody out, if standings say so.
pub(super) fn issuer_of(law: &Law, key: &IdentityKey) -> Option<MemberId> {
    let tag = law.tag(key);
    let word = law.bans(&tag).first().or_else(|| law.words(&tag).first());
    Some(word.map_or_else(|| law.host().id(), |word| word.content().issuer.id()))
}

/// The identity whose word or table gives somebody the role and the mute that it did not have
/// `then`.
pub(super) fn role_by(then: &Law, now: &LiveSet, key: &IdentityKey) -> MemberId {
    let law = now.law();
    // Rank is of tables alone; words about who has rank wait.
    let by_table = law.rank_of(key) != Rank::None || then.rank_of(key) != Rank::None;
    let word = if by_table { None } else { law.role_word(&law.tag(key)) };
    word.map_or_else(|| table_by(now), |word| word.content().issuer.id())
}

/// The identity that locked the doors, or unlocked them.
pub(super) fn locked_by(now: &LiveSet) -> MemberId {
    let law = now.law();
    let word = if law.is_locked() {
        law.bans(&Tag::LOCK).first()
    } else {
        let unbans = law.words(&Tag::LOCK).iter().filter(|word| word.content().word == Word::Unban);
        unbans.max_by_key(|word| word.content().n)
    };
    word.map_or_else(|| table_by(now), |word| word.content().issuer.id())
}

/// The identity that made the present host the host.
pub(super) fn handed_over_by(now: &LiveSet) -> MemberId {
    let law = now.law();
    law.chain().last().and_then(|id| signer_of(now, &id)).unwrap_or_else(|| law.host().id())
}

fn table_by(now: &LiveSet) -> MemberId {
    let law = now.law();
    law.table_id().and_then(|id| signer_of(now, &id)).unwrap_or_else(|| law.host().id())
}

fn signer_of(set: &LiveSet, id: &StatementId) -> Option<MemberId> {
    match set.get(id)? {
        GenuineStatement::Table(table) => Some(table.content().signer().id()),
        GenuineStatement::Standing(standing) => Some(standing.content().issuer.id()),
    }
}
