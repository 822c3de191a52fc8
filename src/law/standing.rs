//! One word of somebody of rank about one person, invite or the lock (`spec/law.md`, L8 and L9).

use crate::{
    group::codec::{Malformed, Reader, Writer},
    id::IdentityKey,
};

use super::{statement::Content, table::Term, terms::Tag};

/// What an issuer says about one tag, in one register, under one term: the content of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Who says it.
    pub(crate) issuer: IdentityKey,
    /// The issuer's term: it ends with the issuer's office.
    pub(crate) term: Term,
    /// About whom or what.
    pub(crate) about: Tag,
    /// What is said.
    pub(crate) word: Word,
    /// Of two words the greater number counts.
    pub(crate) n: u32,
}

impl Content for Standing {
    const SIGNED_AS: &'static [u8] = b"sottovoce 2 standing";
    const NAMED_AS: &'static [u8] = b"sottovoce 2 standing id";

    fn signer(&self) -> &IdentityKey {
        &self.issuer
    }

    fn write(&self, to: Writer) -> Writer {
        to.bytes(self.issuer.as_bytes())
            .bytes(&self.term.0)
            .bytes(&self.about.0)
            .u8(self.word.id())
            .u32(self.n)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            issuer: IdentityKey::from_bytes(reader.array()?),
            term: Term(reader.array()?),
            about: Tag(reader.array()?),
            word: Word::from_id(reader.u8()?).ok_or(Malformed)?,
            n: reader.u32()?,
        })
    }
}

/// What a standing says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Word {
    /// In the role register: the role from now on.
    Role(RoleWord),
    /// In the ban register: the issuer takes its Ban back; the host lifts everybody's.
    Unban,
    /// In the ban register: out, whatever the role.
    Ban,
}

impl Word {
    /// Which of a person's two registers the word stands in.
    pub(crate) const fn register(self) -> Register {
        match self {
            Self::Role(_) => Register::Role,
            Self::Unban | Self::Ban => Register::Ban,
        }
    }

    /// The byte of L9.
    pub(crate) const fn id(self) -> u8 {
        match self {
            Self::Role(role) => role.id(),
            Self::Unban => UNBAN,
            Self::Ban => BAN,
        }
    }

    pub(crate) const fn from_id(id: u8) -> Option<Self> {
        match id {
            UNBAN => Some(Self::Unban),
            BAN => Some(Self::Ban),
            _ => match RoleWord::from_id(id) {
                Some(role) => Some(Self::Role(role)),
                None => None,
            },
        }
    }

    /// Greater is stricter, within one register (L11).
    pub(super) const fn strictness(self) -> u8 {
        match self {
            Self::Role(role) => role.strictness(),
            Self::Unban => 0,
            Self::Ban => 1,
        }
    }
}

/// A person has two numbered registers; words of one never answer words of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Register {
    /// Who is admitted as what.
    Role,
    /// Who is banned.
    Ban,
}

/// A role and whether its holder is muted; nobody who is out is muted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RoleWord {
    role: Role,
    muted: bool,
}

impl RoleWord {
    /// Not admitted.
    pub(crate) const OUT: Self = Self { role: Role::Out, muted: false };
    /// Whoever loses an office.
    pub(crate) const LISTENER: Self = Self { role: Role::Listener, muted: false };

    /// A role, muted or not. Muting somebody who is out says nothing and is left out.
    pub(crate) const fn new(role: Role, muted: bool) -> Self {
        Self { role, muted: muted && !matches!(role, Role::Out) }
    }

    /// The role.
    pub(crate) const fn role(self) -> Role {
        self.role
    }

    /// Whether nobody hears the holder.
    pub(crate) const fn is_muted(self) -> bool {
        self.muted
    }

    /// The byte of L9.
    pub(crate) const fn id(self) -> u8 {
        if self.muted { self.role.id() | MUTED } else { self.role.id() }
    }

    pub(crate) const fn from_id(id: u8) -> Option<Self> {
        match (Role::from_id(id & !MUTED), id & MUTED != 0) {
            (Some(Role::Out), true) | (None, _) => None,
            (Some(role), muted) => Some(Self { role, muted }),
        }
    }

    const fn strictness(self) -> u8 {
        let role = match self.role {
            Role::Out => 6,
            Role::Recorder => 4,
            Role::Listener => 2,
            Role::Speaker => 0,
        };
        if self.muted { role + 1 } else { role }
    }
}

/// What the law lets somebody do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Role {
    /// Not admitted.
    Out,
    /// Hears and records, shown as a recorder, never heard.
    Recorder,
    /// Hears.
    Listener,
    /// Hears and speaks.
    Speaker,
}

impl Role {
    /// The byte of L9.
    pub(crate) const fn id(self) -> u8 {
        match self {
            Self::Out => 0,
            Self::Recorder => 1,
            Self::Listener => 2,
            Self::Speaker => 3,
        }
    }

    pub(crate) const fn from_id(id: u8) -> Option<Self> {
        match id {
            0 => Some(Self::Out),
            1 => Some(Self::Recorder),
            2 => Some(Self::Listener),
            3 => Some(Self::Speaker),
            _ => None,
        }
    }
}

const MUTED: u8 = 0x10;
const UNBAN: u8 = 0x80;
const BAN: u8 = 0x81;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l9_nine_bytes_are_words_and_all_others_are_refused() {
        let words: Vec<u8> = (0..=u8::MAX).filter(|id| Word::from_id(*id).is_some()).collect();
        assert_eq!(words, [0, 1, 2, 3, 0x11, 0x12, 0x13, 0x80, 0x81]);
        for id in words {
            assert_eq!(Word::from_id(id).unwrap().id(), id);
        }
    }

    #[test]
    fn l11_out_is_strictest_and_muted_is_stricter_than_not() {
        let mut ids = [0, 1, 2, 3, 0x11, 0x12, 0x13];
        ids.sort_by_key(|id| std::cmp::Reverse(Word::from_id(*id).unwrap().strictness()));
        assert_eq!(ids, [0, 0x11, 1, 0x12, 2, 0x13, 3]);
        assert!(Word::Ban.strictness() > Word::Unban.strictness());
    }
}
