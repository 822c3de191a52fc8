//! Who speaks for the host: how the room passed from the host of an invite to the present one, and whom hosts made
//! moderators, each signed, so that somebody who comes in can follow it (SPEC section 7.2).

use super::{
    codec::{Malformed, Reader, Writer},
    identity::{Identity, fingerprint},
    signing,
};
use crate::id::MemberId;

/// A host makes somebody else the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandOver {
    pub(crate) from_key: [u8; 32],
    pub(crate) to: MemberId,
    signature: [u8; 64],
}

/// A host says that somebody is a moderator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) host_key: [u8; 32],
    signature: [u8; 64],
}

impl HandOver {
    pub(crate) fn new(host: &Identity, group_id: &[u8], to: MemberId) -> Self {
        Self { from_key: *host.public(), to, signature: host.sign(&content(HAND_OVER, group_id, to)) }
    }

    pub(crate) fn from(&self) -> MemberId {
        fingerprint(&self.from_key)
    }

    pub(crate) fn is_genuine(&self, group_id: &[u8]) -> bool {
        let content = content(HAND_OVER, group_id, self.to);
        signing::verify(&self.from_key, &content, &self.signature).is_ok()
    }

    pub(crate) fn write(&self, out: Writer) -> Writer {
        out.bytes(&self.from_key).bytes(self.to.as_bytes()).bytes(&self.signature)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            from_key: reader.array()?,
            to: MemberId::from_bytes(reader.array()?),
            signature: reader.array()?,
        })
    }
}

impl Certificate {
    pub(crate) fn new(host: &Identity, group_id: &[u8], moderator: MemberId) -> Self {
        Self { host_key: *host.public(), signature: host.sign(&content(MODERATOR, group_id, moderator)) }
    }

    pub(crate) fn host(&self) -> MemberId {
        fingerprint(&self.host_key)
    }

    pub(crate) fn is_genuine(&self, group_id: &[u8], moderator: MemberId) -> bool {
        let content = content(MODERATOR, group_id, moderator);
        signing::verify(&self.host_key, &content, &self.signature).is_ok()
    }

    pub(crate) fn write(&self, out: Writer) -> Writer {
        out.bytes(&self.host_key).bytes(&self.signature)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { host_key: reader.array()?, signature: reader.array()? })
    }
}

fn content(label: &[u8], group_id: &[u8], member: MemberId) -> Vec<u8> {
    Writer::new().bytes(label).vec8(group_id).bytes(member.as_bytes()).finish()
}

const HAND_OVER: &[u8] = b"sottovoce 1 hand-over";
const MODERATOR: &[u8] = b"sottovoce 1 moderator";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Name;

    #[test]
    fn a_hand_over_is_no_certificate_and_neither_holds_for_another() {
        let host = Identity::from_seed([1; 32], Name::new("host").unwrap());
        let (next, other) = (MemberId::from_bytes([2; 32]), MemberId::from_bytes([3; 32]));
        let hand_over = HandOver::new(&host, b"group", next);
        assert!(hand_over.is_genuine(b"group") && !hand_over.is_genuine(b"other"));
        assert!(!HandOver { to: other, ..hand_over }.is_genuine(b"group"));
        let certificate = Certificate::new(&host, b"group", next);
        assert!(certificate.is_genuine(b"group", next) && !certificate.is_genuine(b"group", other));
        let swapped = Certificate { signature: hand_over.signature, ..certificate };
        assert!(!swapped.is_genuine(b"group", next));
    }
}
