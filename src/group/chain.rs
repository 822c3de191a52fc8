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

/// Writes a chain with its length.
pub(crate) fn write(chain: &[HandOver], out: Writer) -> Writer {
    chain.iter().fold(out.u8(chain.len() as u8), |out, hand_over| hand_over.write(out))
}

/// Reads a chain that is not too long.
pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Vec<HandOver>, Malformed> {
    let count = usize::from(reader.u8()?);
    if count > MAX_HAND_OVERS {
        return Err(Malformed);
    }
    (0..count).map(|_| HandOver::read(reader)).collect()
}

/// Whether a chain leads from `founder` to somebody by signatures that hold. What is in `known` is not checked again.
pub(crate) fn is_genuine(chain: &[HandOver], founder: MemberId, group_id: &[u8], known: &[HandOver]) -> bool {
    let mut host = founder;
    chain.iter().enumerate().all(|(at, hand_over)| {
        let holds =
            hand_over.from() == host && (known.get(at) == Some(hand_over) || hand_over.is_genuine(group_id));
        host = hand_over.to;
        holds
    })
}

/// The host of two branches that disagree: by the longer chain if one goes on from the other, since its host passed
/// the room on. A host that signs twice makes two; then that with the lesser name at the parting counts.
pub(crate) fn host_of(founder: MemberId, one: &[HandOver], other: &[HandOver]) -> MemberId {
    let parting = one.iter().zip(other).find(|(a, b)| a.to != b.to);
    let chain = match parting {
        Some((a, b)) if a.to < b.to => one,
        Some(_) => other,
        None if one.len() >= other.len() => one,
        None => other,
    };
    chain.last().map_or(founder, |last| last.to)
}

fn content(label: &[u8], group_id: &[u8], member: MemberId) -> Vec<u8> {
    Writer::new().bytes(label).vec8(group_id).bytes(member.as_bytes()).finish()
}

const HAND_OVER: &[u8] = b"sottovoce 1 hand-over";
const MODERATOR: &[u8] = b"sottovoce 1 moderator";

/// How often a room passes to another host.
pub(crate) const MAX_HAND_OVERS: usize = 8;

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

    #[test]
    fn two_branches_agree_about_the_host_whichever_they_are() {
        let host = |n: u8| Identity::from_seed([n; 32], Name::new("host").unwrap());
        let to = |from: u8, to: u8| HandOver::new(&host(from), b"group", host(to).id());
        let chains =
            [vec![], vec![to(1, 2)], vec![to(1, 3)], vec![to(1, 2), to(2, 4)], vec![to(1, 3), to(3, 4)]];
        let founder = host(1).id();
        assert!(chains.iter().all(|chain| is_genuine(chain, founder, b"group", &[])));
        for (one, other) in chains.iter().flat_map(|one| chains.iter().map(move |other| (one, other))) {
            assert_eq!(host_of(founder, one, other), host_of(founder, other, one));
        }
        assert_eq!(host_of(founder, &chains[0], &chains[1]), host(2).id());
        assert_eq!(host_of(founder, &chains[3], &chains[1]), host(4).id());
        let stolen = vec![to(1, 2), to(1, 3)];
        assert!(!is_genuine(&stolen, founder, b"group", &stolen), "whoever it passed to passes it on");
        assert!(!is_genuine(&chains[1], founder, b"other", &[]));
    }
}
