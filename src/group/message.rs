//! What members say to one another on the control lane (SPEC section 8.4).
//!
//! ```text
//! envelope { Message }            a knock, a welcome, MLS, a refusal, a heartbeat
//! envelope { Mls { Announcement } }   authenticated by MLS as from one leaf
//! ```

use super::{
    announce::SpeakerKey,
    codec::{Malformed, Reader, Writer},
    envelope::MAX_MESSAGE,
    policy::Action,
    signing,
    state::Role,
};
use crate::{
    group::Identity,
    id::{Epoch, MemberId},
    keys::derive::sha256,
};

/// What is inside an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Knock(Knock),
    /// An MLS Welcome (RFC 9420 section 12.4.3.1), in the form of an MLSMessage.
    Welcome(Vec<u8>),
    /// An MLS PrivateMessage (RFC 9420 section 6.3), in the form of an MLSMessage.
    Mls(Vec<u8>),
    Refused(Refused),
    Heartbeat(Heartbeat),
    /// Private halves of speaker keys whose time is over (SPEC section 12.6).
    Spent(Vec<[u8; 32]>),
}

/// Somebody wants to come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Knock {
    pub(crate) invite: [u8; 16],
    /// The KeyPackageRef of what is sealed, so that repeats are known before anything is decrypted.
    pub(crate) reference: [u8; 32],
    /// The HPKE encapsulated key.
    pub(crate) kem_output: Vec<u8>,
    /// The KeyPackage, sealed to the join key of the invite.
    pub(crate) sealed: Vec<u8>,
}

/// The host's answer to a knock that is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reference: [u8; 32],
    pub(crate) reason: RefuseReason,
    host_key: [u8; 32],
    signature: [u8; 64],
}

/// The keeper's proof of life, readable across a fork.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heartbeat {
    pub(crate) epoch: Epoch,
    /// SHA-256 of the epoch authenticator under a label: equal in one branch, different in two.
    pub(crate) branch: [u8; 32],
    /// The keeper's step clock in milliseconds.
    pub(crate) elapsed_ms: u64,
    signature: [u8; 64],
}

/// Why the host did not let somebody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefuseReason {
    /// The host said no.
    Declined,
    /// The invite has expired.
    Expired,
    /// The invite has let in as many as it may.
    UsedUp,
    /// The identity is banned from the room.
    Banned,
    /// The identity is in the room already.
    Present,
    /// The room is full.
    Full,
}

impl Message {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let out = Writer::new();
        match self {
            Self::Knock(knock) => out
                .u8(1)
                .bytes(&knock.invite)
                .bytes(&knock.reference)
                .vec16(&knock.kem_output)
                .vec32(&knock.sealed),
            Self::Welcome(welcome) => out.u8(2).vec32(welcome),
            Self::Mls(message) => out.u8(3).vec32(message),
            Self::Refused(refused) => out
                .u8(4)
                .bytes(&refused.reference)
                .u8(refused.reason.code())
                .bytes(&refused.host_key)
                .bytes(&refused.signature),
            Self::Heartbeat(heartbeat) => out
                .u8(5)
                .u64(heartbeat.epoch.0)
                .bytes(&heartbeat.branch)
                .u64(heartbeat.elapsed_ms)
                .bytes(&heartbeat.signature),
            Self::Spent(seeds) => {
                let count = u8::try_from(seeds.len()).expect("at most MAX_SPENT are sent at once");
                seeds.iter().fold(out.u8(16).u8(count), |out, seed| out.bytes(seed))
            }
        }
        .finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let message = match reader.u8()? {
            1 => Self::Knock(Knock {
                invite: reader.array()?,
                reference: reader.array()?,
                kem_output: reader.vec16(MAX_KEM_OUTPUT)?.to_vec(),
                sealed: reader.vec32(MAX_KEY_PACKAGE)?.to_vec(),
            }),
            2 => Self::Welcome(reader.vec32(MAX_MESSAGE)?.to_vec()),
            3 => Self::Mls(reader.vec32(MAX_MESSAGE)?.to_vec()),
            4 => Self::Refused(Refused {
                reference: reader.array()?,
                reason: RefuseReason::from_code(reader.u8()?)?,
                host_key: reader.array()?,
                signature: reader.array()?,
            }),
            5 => Self::Heartbeat(Heartbeat {
                epoch: Epoch(reader.u64()?),
                branch: reader.array()?,
                elapsed_ms: reader.u64()?,
                signature: reader.array()?,
            }),
            16 => match usize::from(reader.u8()?) {
                count @ 1..=MAX_SPENT => {
                    Self::Spent((0..count).map(|_| reader.array()).collect::<Result<_, _>>()?)
                }
                _ => return Err(Malformed),
            },
            _ => return Err(Malformed),
        };
        reader.finish()?;
        Ok(message)
    }
}

impl Refused {
    pub(crate) fn new(host: &Identity, group_id: &[u8], reference: [u8; 32], reason: RefuseReason) -> Self {
        let signature = host.sign(&Self::content(group_id, &reference, reason));
        Self { reference, reason, host_key: *host.public(), signature }
    }

    /// Whether the identity with fingerprint `host` said so.
    pub(crate) fn is_from(&self, host: MemberId, group_id: &[u8]) -> bool {
        let content = Self::content(group_id, &self.reference, self.reason);
        super::identity::fingerprint(&self.host_key) == host
            && signing::verify(&self.host_key, &content, &self.signature).is_ok()
    }

    fn content(group_id: &[u8], reference: &[u8; 32], reason: RefuseReason) -> Vec<u8> {
        Writer::new().bytes(b"sottovoce 1 refused").vec8(group_id).bytes(reference).u8(reason.code()).finish()
    }
}

impl Heartbeat {
    pub(crate) fn new(
        keeper: &Identity,
        group_id: &[u8],
        epoch: Epoch,
        branch: [u8; 32],
        elapsed_ms: u64,
    ) -> Self {
        let mut heartbeat = Self { epoch, branch, elapsed_ms, signature: [0; 64] };
        heartbeat.signature = keeper.sign(&heartbeat.content(group_id));
        heartbeat
    }

    /// Whether the identity with this key said so.
    pub(crate) fn is_from(&self, keeper: &[u8; 32], group_id: &[u8]) -> bool {
        signing::verify(keeper, &self.content(group_id), &self.signature).is_ok()
    }

    fn content(&self, group_id: &[u8]) -> Vec<u8> {
        Writer::new()
            .bytes(b"sottovoce 1 heartbeat")
            .vec8(group_id)
            .u64(self.epoch.0)
            .bytes(&self.branch)
            .u64(self.elapsed_ms)
            .finish()
    }
}

/// What a heartbeat says of its branch: equal authenticators make it equal, and it gives none away.
pub(crate) fn branch(authenticator: &[u8]) -> [u8; 32] {
    sha256(&[b"sottovoce 1 branch", authenticator])
}

impl RefuseReason {
    fn code(self) -> u8 {
        match self {
            Self::Declined => 0,
            Self::Expired => 1,
            Self::UsedUp => 2,
            Self::Banned => 3,
            Self::Present => 4,
            Self::Full => 5,
        }
    }

    fn from_code(code: u8) -> Result<Self, Malformed> {
        Ok(match code {
            0 => Self::Declined,
            1 => Self::Expired,
            2 => Self::UsedUp,
            3 => Self::Banned,
            4 => Self::Present,
            5 => Self::Full,
            _ => return Err(Malformed),
        })
    }
}

impl std::fmt::Display for RefuseReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Declined => "the host declined",
            Self::Expired => "the invite has expired",
            Self::UsedUp => "the invite is used up",
            Self::Banned => "the identity is banned from this room",
            Self::Present => "the identity is in the room already",
            Self::Full => "the room is full",
        })
    }
}

/// What a member says inside MLS, to everybody in the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announcement {
    /// The key of the sender's packet signatures in this epoch.
    SpeakerKey(SpeakerKey),
    /// The sender wants to be removed.
    Leave,
    /// The host ends the room.
    Close,
    /// The sender asks the keeper for something that its role permits.
    Ask(Action),
}

impl Announcement {
    pub(crate) fn encode(self) -> Vec<u8> {
        let out = Writer::new();
        match self {
            Self::SpeakerKey(key) => key.write(out.u8(1)),
            Self::Leave => out.u8(2),
            Self::Close => out.u8(3),
            Self::Ask(Action::Assign(member, role)) => {
                out.u8(4).u8(1).bytes(member.as_bytes()).u8(role.code())
            }
            Self::Ask(Action::Remove(member)) => out.u8(4).u8(2).bytes(member.as_bytes()),
            Self::Ask(Action::Ban(member)) => out.u8(4).u8(3).bytes(member.as_bytes()),
        }
        .finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let announcement = match reader.u8()? {
            1 => Self::SpeakerKey(SpeakerKey::read(&mut reader)?),
            2 => Self::Leave,
            3 => Self::Close,
            4 => {
                let kind = reader.u8()?;
                let member = MemberId::from_bytes(reader.array()?);
                Self::Ask(match kind {
                    1 => Action::Assign(member, Role::from_code(reader.u8()?)?),
                    2 => Action::Remove(member),
                    3 => Action::Ban(member),
                    _ => return Err(Malformed),
                })
            }
            _ => return Err(Malformed),
        };
        reader.finish()?;
        Ok(announcement)
    }
}

/// X25519 makes 32 bytes.
const MAX_KEM_OUTPUT: usize = 2048;
/// A KeyPackage of a room has about 400 bytes, with the hybrid key exchange about 2,800.
const MAX_KEY_PACKAGE: usize = 8192;
/// Private halves in one message.
pub(crate) const MAX_SPENT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Name;
    use proptest::prelude::*;

    fn host() -> Identity {
        Identity::from_seed([1; 32], Name::new("host").unwrap())
    }

    fn message() -> impl Strategy<Value = Message> {
        let bytes = |max: usize| prop::collection::vec(any::<u8>(), 0..max);
        prop_oneof![
            (any::<[u8; 16]>(), any::<[u8; 32]>(), bytes(100), bytes(600)).prop_map(
                |(invite, reference, kem_output, sealed)| {
                    Message::Knock(Knock { invite, reference, kem_output, sealed })
                }
            ),
            bytes(3000).prop_map(Message::Welcome),
            bytes(3000).prop_map(Message::Mls),
            (any::<[u8; 32]>(), 0u8..6).prop_map(|(reference, reason)| {
                let reason = RefuseReason::from_code(reason).unwrap();
                Message::Refused(Refused::new(&host(), b"group", reference, reason))
            }),
            (any::<u64>(), any::<[u8; 32]>(), any::<u64>()).prop_map(|(epoch, branch, elapsed)| {
                Message::Heartbeat(Heartbeat::new(&host(), b"group", Epoch(epoch), branch, elapsed))
            }),
            prop::collection::vec(any::<[u8; 32]>(), 1..=MAX_SPENT).prop_map(Message::Spent),
        ]
    }

    fn announcement() -> impl Strategy<Value = Announcement> {
        let member = || any::<[u8; 32]>().prop_map(MemberId::from_bytes);
        prop_oneof![
            (any::<[u8; 32]>(), any::<u64>(), any::<u32>(), any::<[u8; 32]>()).prop_map(
                |(public, announced, holds, half)| {
                    let mut signature = [0; 64];
                    signature[16..48].copy_from_slice(&half);
                    let announced = crate::group::invite::UnixTime(announced);
                    Announcement::SpeakerKey(SpeakerKey { public, announced, holds, signature })
                }
            ),
            Just(Announcement::Leave),
            Just(Announcement::Close),
            (member(), 0u8..5)
                .prop_map(|(id, role)| Announcement::Ask(Action::Assign(id, Role::from_code(role).unwrap()))),
            member().prop_map(|id| Announcement::Ask(Action::Remove(id))),
            member().prop_map(|id| Announcement::Ask(Action::Ban(id))),
        ]
    }

    proptest! {
        #[test]
        fn messages_round_trip_and_every_truncation_is_refused(message in message()) {
            let bytes = message.encode();
            prop_assert_eq!(Message::decode(&bytes), Ok(message));
            for len in 0..bytes.len() {
                prop_assert_eq!(Message::decode(&bytes[..len]), Err(Malformed));
            }
            prop_assert_eq!(Message::decode(&[&bytes[..], &[0]].concat()), Err(Malformed));
        }

        #[test]
        fn announcements_round_trip_and_every_truncation_is_refused(announcement in announcement()) {
            let bytes = announcement.encode();
            prop_assert_eq!(Announcement::decode(&bytes), Ok(announcement));
            for len in 0..bytes.len() {
                prop_assert_eq!(Announcement::decode(&bytes[..len]), Err(Malformed));
            }
            prop_assert_eq!(Announcement::decode(&[&bytes[..], &[0]].concat()), Err(Malformed));
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0u8..20) {
            let bytes = [&[kind][..], &bytes].concat();
            let _ = Message::decode(&bytes);
            let _ = Announcement::decode(&bytes);
        }
    }

    #[test]
    fn a_refusal_is_believed_from_the_host_about_its_own_knock_only() {
        let (host, other) = (host(), Identity::from_seed([2; 32], Name::new("other").unwrap()));
        let refused = Refused::new(&host, b"group", [5; 32], RefuseReason::Full);
        assert!(refused.is_from(host.id(), b"group"));
        assert!(!refused.is_from(other.id(), b"group"));
        assert!(!refused.is_from(host.id(), b"other"));
        let swapped = Refused { reason: RefuseReason::Banned, ..refused.clone() };
        assert!(!swapped.is_from(host.id(), b"group"));
        let forged = Refused::new(&other, b"group", [5; 32], RefuseReason::Full);
        assert!(!forged.is_from(host.id(), b"group"));
    }

    #[test]
    fn a_heartbeat_is_believed_from_the_keeper_only() {
        let (host, other) = (host(), Identity::from_seed([2; 32], Name::new("other").unwrap()));
        let heartbeat = Heartbeat::new(&host, b"group", Epoch(3), [6; 32], 5000);
        assert!(heartbeat.is_from(host.public(), b"group"));
        assert!(!heartbeat.is_from(other.public(), b"group"));
        let later = Heartbeat { elapsed_ms: 5001, ..heartbeat.clone() };
        assert!(!later.is_from(host.public(), b"group"));
    }

    #[test]
    fn lengths_that_promise_too_much_are_refused() {
        let mut bytes = vec![2];
        bytes.extend_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(Message::decode(&bytes), Err(Malformed));
    }
}
