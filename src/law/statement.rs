//! The form that every statement has, and the one place where a signature is checked
//! (`spec/law.md`, L5 and L6).
//!
//! ```text
//! content | signature [64]        signed: label | group_id | content
//!                                 id:     SHA-256(label " id" | group_id | content)
//! ```

use std::{fmt, sync::Arc};

use crate::keys::ed25519::{self, BadSignature};
use crate::{
    defence,
    group::{
        Identity,
        codec::{Malformed, Reader, Writer},
    },
    hex,
    id::IdentityKey,
    keys::derive::sha256,
};

use super::{standing::Standing, table::Table, terms::GroupId};

/// What can be signed as a statement.
pub(crate) trait Content: Sized {
    /// The label in front of what is signed.
    const SIGNED_AS: &'static [u8];
    /// The label in front of what the id hashes.
    const NAMED_AS: &'static [u8];

    /// Whose signature makes the statement genuine.
    fn signer(&self) -> &IdentityKey;
    /// Appends what is signed.
    fn write(&self, to: Writer) -> Writer;
    /// Reads what [`Content::write`] wrote, strictly.
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed>;
}

/// A statement in its right form, whose signature nobody has checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed<T> {
    pub(super) content: T,
    signature: [u8; 64],
}

impl<T: Content> Signed<T> {
    /// What the statement claims to say. Nothing may follow from it before [`Signed::verify`].
    pub(crate) fn claimed(&self) -> &T {
        &self.content
    }

    /// The id that the statement has in this room, genuine or not.
    pub(crate) fn id(&self, group_id: &GroupId) -> StatementId {
        StatementId(sha256(&[T::NAMED_AS, &group_id.0, &content_bytes(&self.content)]))
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`BadSignature`] if the claimed signer did not sign this in this room.
    pub(crate) fn verify(self, group_id: &GroupId) -> Result<Genuine<T>, BadSignature> {
        let signed = signed_bytes(&self.content, group_id);
        let checked = ed25519::verify(self.content.signer().as_bytes(), &signed, &self.signature);
        if defence::checks(T::SIGNED_AS) {
            checked?;
        }
        let id = self.id(group_id);
        Ok(Genuine(Arc::new((id, self))))
    }

    pub(super) fn write(&self, to: Writer) -> Writer {
        self.content.write(to).bytes(&self.signature)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { content: T::read(reader)?, signature: reader.array()? })
    }
}

/// A statement whose signature was checked: only [`Signed::verify`] and signing make one.
///
/// A clone is a pointer to the same statement.
#[derive(Clone, Debug)]
pub(crate) struct Genuine<T>(Arc<(StatementId, Signed<T>)>);

impl<T: Content> Genuine<T> {
    /// Signs `content`. The identity has to be its signer.
    pub(crate) fn sign(content: T, identity: &Identity, group_id: &GroupId) -> Self {
        debug_assert_eq!(content.signer().as_bytes(), identity.public(), "nobody signs for others");
        let signature = identity.sign(&signed_bytes(&content, group_id));
        let signed = Signed { content, signature };
        Self(Arc::new((signed.id(group_id), signed)))
    }

    /// Covers everything but the signature.
    pub(crate) fn id(&self) -> StatementId {
        self.0.0
    }

    /// What the signer says.
    pub(crate) fn content(&self) -> &T {
        &self.0.1.content
    }

    /// The signature: nobody but the signer knows it before it is shown.
    pub(crate) fn signature(&self) -> &[u8; 64] {
        &self.0.1.signature
    }

    /// The statement as it is shown to others.
    pub(crate) fn signed(&self) -> &Signed<T> {
        &self.0.1
    }
}

impl Genuine<Table> {
    /// The same statement without the rest, as an earlier hand-over is kept.
    pub(super) fn without_rest(&self) -> Self {
        if self.content().rest().is_none() {
            return self.clone();
        }
        let signed = Signed { content: self.content().without_rest(), signature: self.signed().signature };
        Self(Arc::new((self.id(), signed)))
    }
}

/// Two statements are one if their ids are: signing again makes no twin.
impl<T: Content> PartialEq for Genuine<T> {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl<T: Content> Eq for Genuine<T> {}

/// A statement of either kind, as it is shown: nobody has checked its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    /// What the host says about everybody.
    Table(Signed<Table>),
    /// What somebody of rank says about one tag.
    Standing(Signed<Standing>),
}

impl Statement {
    /// The id that the statement has in this room, genuine or not.
    pub(crate) fn id(&self, group_id: &GroupId) -> StatementId {
        match self {
            Self::Table(table) => table.id(group_id),
            Self::Standing(standing) => standing.id(group_id),
        }
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`BadSignature`] if the claimed signer did not sign this in this room.
    pub(crate) fn verify(self, group_id: &GroupId) -> Result<GenuineStatement, BadSignature> {
        Ok(match self {
            Self::Table(table) => GenuineStatement::Table(table.verify(group_id)?),
            Self::Standing(standing) => GenuineStatement::Standing(standing.verify(group_id)?),
        })
    }

    /// The bytes of L10.
    pub(crate) fn encode(&self) -> Vec<u8> {
        self.write(Writer::new()).finish()
    }

    /// Reads one statement that fills `bytes`.
    ///
    /// # Errors
    /// [`Malformed`] for any byte that is not in the form of L10, a rest that is not the table's
    /// included.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let statement = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(statement)
    }

    pub(crate) fn write(&self, to: Writer) -> Writer {
        match self {
            Self::Standing(standing) => standing.write(to.u8(STANDING)),
            Self::Table(table) => match table.content.rest() {
                Some(rest) => rest.write(table.write(to.u8(TABLE_WITH_REST))),
                None => table.write(to.u8(TABLE)),
            },
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let kind = reader.u8()?;
        match kind {
            STANDING => Ok(Self::Standing(Signed::read(reader)?)),
            TABLE => Ok(Self::Table(Signed::read(reader)?)),
            TABLE_WITH_REST => {
                let mut table = Signed::<Table>::read(reader)?;
                table.content.read_rest(reader)?;
                Ok(Self::Table(table))
            }
            _ => Err(Malformed),
        }
    }
}

/// A statement of either kind whose signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GenuineStatement {
    /// What the host says about everybody.
    Table(Genuine<Table>),
    /// What somebody of rank says about one tag.
    Standing(Genuine<Standing>),
}

impl GenuineStatement {
    /// Covers everything but the signature.
    pub(crate) fn id(&self) -> StatementId {
        match self {
            Self::Table(table) => table.id(),
            Self::Standing(standing) => standing.id(),
        }
    }

    /// A table without its rest, as strangers may see it.
    pub(crate) fn without_rest(&self) -> Option<Self> {
        match self {
            Self::Table(table) => Some(Self::Table(table.without_rest())),
            Self::Standing(_) => None,
        }
    }

    /// The statement as it is shown to others.
    pub(crate) fn statement(&self) -> Statement {
        match self {
            Self::Table(table) => Statement::Table(table.signed().clone()),
            Self::Standing(standing) => Statement::Standing(standing.signed().clone()),
        }
    }
}

/// Which statement: a hash of its content in its room, without the signature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StatementId(pub(crate) [u8; 32]);

impl fmt::Debug for StatementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::short(f, "StatementId", &self.0)
    }
}

fn content_bytes<T: Content>(content: &T) -> Vec<u8> {
    content.write(Writer::new()).finish()
}

fn signed_bytes<T: Content>(content: &T, group_id: &GroupId) -> Vec<u8> {
    content.write(Writer::new().bytes(T::SIGNED_AS).bytes(&group_id.0)).finish()
}

const STANDING: u8 = 0;
const TABLE: u8 = 1;
const TABLE_WITH_REST: u8 = 2;
