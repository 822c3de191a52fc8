//! What members say to one another on the control lane (SPEC section 8.4).
//!
//! ```text
//! envelope { Message }            a knock, a welcome, MLS, a refusal, a heartbeat
//! envelope { Mls { Announcement } }   in `announcement`: authenticated by MLS as from one leaf
//! ```

use super::{
    chain::{self, Certificate, HandOver},
    codec::{Malformed, Reader, Writer},
    envelope::MAX_MESSAGE,
    identity::fingerprint,
    order::Order,
    signing,
    state::MAX_ORDERS,
    vouch::{Lost, Vouch},
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
    Petition(Petition),
    /// A member asks others who keeps the room.
    Lost(Lost),
    /// A member says who keeps the room.
    Vouch(Vouch),
    /// A member shows what bans a keeper.
    Order(Order),
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

/// A member asks the keeper for something in a way that outlives epochs and branches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Petition {
    /// Tells petitions apart before anything is decrypted: the KeyPackageRef of what is sealed, or random.
    pub(crate) reference: [u8; 32],
    pub(crate) kem_output: Vec<u8>,
    /// A [`Plea`], sealed to the door key of the keeper's heartbeat.
    pub(crate) sealed: Vec<u8>,
}

/// What is inside a petition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plea {
    /// The sender lost the thread and wants its place again, under a new leaf. It brings the orders it knows, and says
    /// whose commit it could not process, if that is why.
    Return { key_package: Vec<u8>, orders: Vec<Order>, broken: Option<Broken> },
    /// The sender is gone: it could not say so in the present epoch.
    Leave { identity_key: [u8; 32], signature: [u8; 64] },
}

/// A commit that was signed and could not be processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Who signed it.
    pub(crate) by: MemberId,
    /// The epoch that it was to end.
    pub(crate) epoch: Epoch,
}

/// The answer to a knock that is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reference: [u8; 32],
    pub(crate) reason: RefuseReason,
    signer_key: [u8; 32],
    signature: [u8; 64],
    /// What makes a moderator believed.
    certificate: Option<Certificate>,
}

/// The keeper's proof of life, readable across a fork, and its word for the branch of the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heartbeat {
    pub(crate) keeper_key: [u8; 32],
    pub(crate) term: u64,
    pub(crate) epoch: Epoch,
    /// SHA-256 of the epoch authenticator under a label: equal in one branch, different in two.
    pub(crate) branch: [u8; 32],
    /// The keeper's step clock in milliseconds.
    pub(crate) elapsed_ms: u64,
    /// When it was made, by the keeper's clock, in milliseconds since 1970: grows from one to the next.
    pub(crate) at_ms: u64,
    /// What petitions to this keeper are sealed to.
    pub(crate) door_key: [u8; 32],
    /// How the room passed to its present host: another branch may not know.
    pub(crate) chain: Vec<HandOver>,
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
    /// The keeper knows nobody with this identity: knock with an invite.
    Unknown,
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
                .bytes(&refused.signer_key)
                .bytes(&refused.signature)
                .u8(refused.certificate.is_some().into())
                .optional(refused.certificate.as_ref(), |out, certificate| certificate.write(out)),
            Self::Heartbeat(heartbeat) => heartbeat.write(out.u8(5)).bytes(&heartbeat.signature),
            Self::Petition(petition) => {
                out.u8(6).bytes(&petition.reference).vec16(&petition.kem_output).vec32(&petition.sealed)
            }
            Self::Lost(lost) => lost.write(out.u8(7)),
            Self::Vouch(vouch) => vouch.write(out.u8(8)),
            Self::Order(order) => order.write(out.u8(9)),
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
                signer_key: reader.array()?,
                signature: reader.array()?,
                certificate: reader.flag()?.then(|| Certificate::read(&mut reader)).transpose()?,
            }),
            5 => Self::Heartbeat(Heartbeat {
                keeper_key: reader.array()?,
                term: reader.u64()?,
                epoch: Epoch(reader.u64()?),
                branch: reader.array()?,
                elapsed_ms: reader.u64()?,
                at_ms: reader.u64()?,
                door_key: reader.array()?,
                chain: chain::read(&mut reader)?,
                signature: reader.array()?,
            }),
            6 => Self::Petition(Petition {
                reference: reader.array()?,
                kem_output: reader.vec16(MAX_KEM_OUTPUT)?.to_vec(),
                sealed: reader.vec32(MAX_PETITION)?.to_vec(),
            }),
            7 => Self::Lost(Lost::read(&mut reader)?),
            8 => Self::Vouch(Vouch::read(&mut reader)?),
            9 => Self::Order(Order::read(&mut reader)?),
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
    pub(crate) fn new(
        signer: &Identity,
        group_id: &[u8],
        reference: [u8; 32],
        reason: RefuseReason,
        certificate: Option<Certificate>,
    ) -> Self {
        let signature = signer.sign(&Self::content(group_id, &reference, reason));
        Self { reference, reason, signer_key: *signer.public(), signature, certificate }
    }

    /// Whether the identity with fingerprint `host` said so, or somebody for whom it signed as moderator.
    pub(crate) fn is_from(&self, host: MemberId, group_id: &[u8]) -> bool {
        let signer = fingerprint(&self.signer_key);
        let certified = |certificate: &Certificate| {
            certificate.host() == host && certificate.is_genuine(group_id, signer)
        };
        let content = Self::content(group_id, &self.reference, self.reason);
        (signer == host || self.certificate.as_ref().is_some_and(certified))
            && signing::verify(&self.signer_key, &content, &self.signature).is_ok()
    }

    fn content(group_id: &[u8], reference: &[u8; 32], reason: RefuseReason) -> Vec<u8> {
        Writer::new().bytes(b"sottovoce 1 refused").vec8(group_id).bytes(reference).u8(reason.code()).finish()
    }
}

/// What a heartbeat says, before it is signed.
pub(crate) struct Beat {
    pub(crate) term: u64,
    pub(crate) epoch: Epoch,
    pub(crate) branch: [u8; 32],
    pub(crate) elapsed_ms: u64,
    pub(crate) at_ms: u64,
    pub(crate) door_key: [u8; 32],
    pub(crate) chain: Vec<HandOver>,
}

impl Heartbeat {
    pub(crate) fn new(keeper: &Identity, group_id: &[u8], beat: Beat) -> Self {
        let Beat { term, epoch, branch, elapsed_ms, at_ms, door_key, chain } = beat;
        let (keeper_key, signature) = (*keeper.public(), [0; 64]);
        let mut heartbeat =
            Self { keeper_key, term, epoch, branch, elapsed_ms, at_ms, door_key, chain, signature };
        heartbeat.signature = keeper.sign(&heartbeat.content(group_id));
        heartbeat
    }

    /// Who says so, if the signature holds.
    pub(crate) fn keeper(&self) -> MemberId {
        fingerprint(&self.keeper_key)
    }

    /// Whether the identity that it names said so.
    pub(crate) fn is_genuine(&self, group_id: &[u8]) -> bool {
        signing::verify(&self.keeper_key, &self.content(group_id), &self.signature).is_ok()
    }

    fn content(&self, group_id: &[u8]) -> Vec<u8> {
        self.write(Writer::new().bytes(b"sottovoce 1 heartbeat").vec8(group_id)).finish()
    }

    fn write(&self, out: Writer) -> Writer {
        let out = out
            .bytes(&self.keeper_key)
            .u64(self.term)
            .u64(self.epoch.0)
            .bytes(&self.branch)
            .u64(self.elapsed_ms)
            .u64(self.at_ms)
            .bytes(&self.door_key);
        chain::write(&self.chain, out)
    }
}

impl Plea {
    /// A plea to be removed, to the keeper with this door key.
    pub(crate) fn leave(identity: &Identity, group_id: &[u8], door_key: &[u8; 32]) -> Self {
        let signature = identity.sign(&leave_content(group_id, door_key));
        Self::Leave { identity_key: *identity.public(), signature }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let out = Writer::new();
        match self {
            Self::Return { key_package, orders, broken } => {
                let out = match broken {
                    None => out.u8(1),
                    Some(Broken { by, epoch }) => out.u8(3).bytes(by.as_bytes()).u64(epoch.0),
                };
                let out = out.vec32(key_package).u16(orders.len() as u16);
                orders.iter().fold(out, |out, order| order.write(out))
            }
            Self::Leave { identity_key, signature } => out.u8(2).bytes(identity_key).bytes(signature),
        }
        .finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let plea = match reader.u8()? {
            kind @ (1 | 3) => {
                let broken = match kind {
                    1 => None,
                    _ => {
                        let by = MemberId::from_bytes(reader.array()?);
                        Some(Broken { by, epoch: Epoch(reader.u64()?) })
                    }
                };
                let key_package = reader.vec32(MAX_KEY_PACKAGE)?.to_vec();
                let count = usize::from(reader.u16()?);
                if count > MAX_ORDERS {
                    return Err(Malformed);
                }
                let orders = (0..count).map(|_| Order::read(&mut reader)).collect::<Result<_, _>>()?;
                Self::Return { key_package, orders, broken }
            }
            2 => Self::Leave { identity_key: reader.array()?, signature: reader.array()? },
            _ => return Err(Malformed),
        };
        reader.finish()?;
        Ok(plea)
    }
}

/// What somebody who leaves signs for the keeper with this door key.
pub(crate) fn leave_content(group_id: &[u8], door_key: &[u8; 32]) -> Vec<u8> {
    Writer::new().bytes(b"sottovoce 1 leave").vec8(group_id).bytes(door_key).finish()
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
            Self::Unknown => 6,
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
            6 => Self::Unknown,
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
            Self::Unknown => "the keeper knows nobody with this identity",
        })
    }
}

/// X25519 makes 32 bytes.
pub(super) const MAX_KEM_OUTPUT: usize = 2048;
/// A KeyPackage of a room has about 400 bytes, with the hybrid key exchange about 2,800.
const MAX_KEY_PACKAGE: usize = 8192;
/// A KeyPackage and every order that a room keeps.
const MAX_PETITION: usize = 64 * 1024;
/// Private halves in one message.
pub(crate) const MAX_SPENT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{Name, state::tests::ban};
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
            (any::<[u8; 32]>(), 0u8..7, any::<bool>()).prop_map(|(reference, reason, certified)| {
                let reason = RefuseReason::from_code(reason).unwrap();
                let certificate = certified.then(|| Certificate::new(&host(), b"group", host().id()));
                Message::Refused(Refused::new(&host(), b"group", reference, reason, certificate))
            }),
            (any::<u64>(), any::<[u8; 32]>(), any::<u64>()).prop_map(|(number, branch, elapsed)| {
                Message::Heartbeat(Heartbeat::new(&host(), b"group", beat(number, branch, elapsed)))
            }),
            (any::<[u8; 32]>(), bytes(100), bytes(600)).prop_map(|(reference, kem_output, sealed)| {
                Message::Petition(Petition { reference, kem_output, sealed })
            }),
            prop::collection::vec(any::<[u8; 32]>(), 1..=MAX_SPENT).prop_map(Message::Spent),
            (any::<u64>(), prop::collection::vec(any::<[u8; 32]>(), 1..=8)).prop_map(|(at_ms, asks)| {
                let asks = asks.into_iter().map(MemberId::from_bytes).collect();
                Message::Lost(Lost::new(&host(), b"group", at_ms, asks))
            }),
            any::<u8>().prop_map(|n| Message::Order(ban(1, n))),
            (any::<u64>(), any::<[u8; 32]>()).prop_map(|(at_ms, keeper)| {
                let keeper = MemberId::from_bytes(keeper);
                Message::Vouch(Vouch::new(&host(), b"group", keeper, at_ms))
            }),
        ]
    }

    fn beat(number: u64, branch: [u8; 32], elapsed_ms: u64) -> Beat {
        let (epoch, door_key) = (Epoch(number), [number as u8; 32]);
        let chain = vec![HandOver::new(&host(), b"group", host().id()); (number % 3) as usize];
        Beat { term: number ^ 1, epoch, branch, elapsed_ms, at_ms: !number, door_key, chain }
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
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0u8..20) {
            let _ = Message::decode(&[&[kind][..], &bytes].concat());
        }
    }

    #[test]
    fn pleas_round_trip_and_every_truncation_is_refused() {
        let orders = vec![ban(1, 2), ban(1, 3)];
        let broken = Some(Broken { by: host().id(), epoch: Epoch(7) });
        let pleas = [
            Plea::Return { key_package: vec![7; 40], orders: orders.clone(), broken: None },
            Plea::Return { key_package: vec![7; 40], orders, broken },
            Plea::leave(&host(), b"group", &[5; 32]),
        ];
        for plea in pleas {
            let bytes = plea.encode();
            assert_eq!(Plea::decode(&bytes), Ok(plea));
            for len in 0..bytes.len() {
                assert_eq!(Plea::decode(&bytes[..len]), Err(Malformed));
            }
        }
    }

    #[test]
    fn a_refusal_is_believed_from_the_host_or_its_moderator_about_its_own_knock_only() {
        let (host, other) = (host(), Identity::from_seed([2; 32], Name::new("other").unwrap()));
        let refuse =
            |signer, certificate| Refused::new(signer, b"group", [5; 32], RefuseReason::Full, certificate);
        let refused = refuse(&host, None);
        assert!(refused.is_from(host.id(), b"group"));
        assert!(!refused.is_from(other.id(), b"group"));
        assert!(!refused.is_from(host.id(), b"other"));
        let swapped = Refused { reason: RefuseReason::Banned, ..refused.clone() };
        assert!(!swapped.is_from(host.id(), b"group"));
        assert!(!refuse(&other, None).is_from(host.id(), b"group"));
        let certificate = Certificate::new(&host, b"group", other.id());
        assert!(refuse(&other, Some(certificate)).is_from(host.id(), b"group"));
        let own = Certificate::new(&other, b"group", other.id());
        assert!(!refuse(&other, Some(own)).is_from(host.id(), b"group"));
    }

    #[test]
    fn a_heartbeat_is_its_keepers_word_alone() {
        let (host, other) = (host(), Identity::from_seed([2; 32], Name::new("other").unwrap()));
        let heartbeat = Heartbeat::new(&host, b"group", beat(3, [6; 32], 5000));
        assert!(heartbeat.is_genuine(b"group") && !heartbeat.is_genuine(b"other"));
        assert_eq!(heartbeat.keeper(), host.id());
        let altered = [
            Heartbeat { keeper_key: *other.public(), ..heartbeat.clone() },
            Heartbeat { term: 9, ..heartbeat.clone() },
            Heartbeat { epoch: Epoch(4), ..heartbeat.clone() },
            Heartbeat { branch: [7; 32], ..heartbeat.clone() },
            Heartbeat { elapsed_ms: 5001, ..heartbeat.clone() },
            Heartbeat { at_ms: 1, ..heartbeat.clone() },
            Heartbeat { chain: vec![HandOver::new(&host, b"group", other.id())], ..heartbeat.clone() },
            Heartbeat { door_key: [1; 32], ..heartbeat },
        ];
        assert!(altered.iter().all(|heartbeat| !heartbeat.is_genuine(b"group")));
    }

    #[test]
    fn lengths_that_promise_too_much_are_refused() {
        let mut bytes = vec![2];
        bytes.extend_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(Message::decode(&bytes), Err(Malformed));
    }
}
