//! Bans as signed statements: whoever has seen one can prove it to members of another branch, so that a ban
//! survives a fork, and whoever commits it needs no rank of its own (SPEC section 7.3).

use super::{
    codec::{Malformed, Reader, Writer},
    identity::{Identity, fingerprint},
    signing,
};
use crate::id::MemberId;

/// Somebody is kept out, or let in again, says the holder of an identity key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) target: MemberId,
    /// Grows from one order about somebody to the next; the greater one holds.
    pub(crate) serial: u64,
    /// Whether it keeps out; else it lifts a ban.
    pub(crate) bans: bool,
    pub(crate) issuer_key: [u8; 32],
    signature: [u8; 64],
}

impl Order {
    pub(crate) fn new(issuer: &Identity, group_id: &[u8], target: MemberId, serial: u64, bans: bool) -> Self {
        let mut order = Self { target, serial, bans, issuer_key: *issuer.public(), signature: [0; 64] };
        order.signature = issuer.sign(&order.content(group_id));
        order
    }

    pub(crate) fn issuer(&self) -> MemberId {
        fingerprint(&self.issuer_key)
    }

    /// Whether its issuer said so, in this group. What the issuer may say is for the policy.
    pub(crate) fn is_genuine(&self, group_id: &[u8]) -> bool {
        signing::verify(&self.issuer_key, &self.content(group_id), &self.signature).is_ok()
    }

    pub(crate) fn write(&self, out: Writer) -> Writer {
        out.bytes(self.target.as_bytes())
            .u64(self.serial)
            .u8(self.bans.into())
            .bytes(&self.issuer_key)
            .bytes(&self.signature)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            target: MemberId::from_bytes(reader.array()?),
            serial: reader.u64()?,
            bans: reader.flag()?,
            issuer_key: reader.array()?,
            signature: reader.array()?,
        })
    }

    fn content(&self, group_id: &[u8]) -> Vec<u8> {
        Writer::new()
            .bytes(b"sottovoce 1 order")
            .vec8(group_id)
            .bytes(self.target.as_bytes())
            .u64(self.serial)
            .u8(self.bans.into())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Name;

    #[test]
    fn an_order_is_its_issuers_word_about_one_identity_in_one_room() {
        let host = Identity::from_seed([1; 32], Name::new("host").unwrap());
        let other = Identity::from_seed([2; 32], Name::new("other").unwrap());
        let order = Order::new(&host, b"group", other.id(), 7, true);
        assert!(order.is_genuine(b"group") && !order.is_genuine(b"other"));
        assert_eq!(order.issuer(), host.id());
        let altered = [
            Order { target: host.id(), ..order },
            Order { serial: 8, ..order },
            Order { bans: false, ..order },
            Order { issuer_key: *other.public(), ..order },
        ];
        assert!(altered.iter().all(|order| !order.is_genuine(b"group")));
    }
}
