//! Reading what MLS carries for us: leaves, the room's state, and what a staged commit would change.

use std::time::{Duration, UNIX_EPOCH};

use openmls::prelude::{BasicCredential, Credential as MlsCredential};
use openmls::prelude::{
    Capabilities, Ciphersuite, CredentialType, CredentialWithKey, Extension, ExtensionType, Extensions,
    GroupContext, KeyPackage, LeafNode, LeafNodeIndex, Lifetime, Proposal, ProposalType, ProtocolVersion,
    RequiredCapabilitiesExtension, Sender, SignaturePublicKey, StagedCommit, UnknownExtension,
};

use super::Failure;
use crate::{
    group::{
        identity::{Credential, CredentialError},
        invite::UnixTime,
        policy::{Change, Violation},
        signing::SigningKey,
        state::RoomState,
    },
    id::Leaf,
};

/// What a commit of another member would do, with every credential in it verified.
pub(super) fn change(staged: &StagedCommit, committer: Option<Leaf>, group_id: &[u8]) -> Change {
    let suite = staged.group_context().ciphersuite();
    change_of(staged, committer, |leaf| read_leaf(leaf, suite, group_id))
}

/// The same of a commit of ours: it adds who was vetted, under credentials that were verified then, and renews our own leaf.
pub(super) fn own_change(staged: &StagedCommit, own: Leaf) -> Change {
    let suite = staged.group_context().ciphersuite();
    change_of(staged, Some(own), |leaf| {
        check_form(leaf, suite)?;
        Credential::decode(leaf.credential().serialized_content())
            .map_err(|_| Violation::Credential(CredentialError::Malformed))
    })
}

fn change_of(
    staged: &StagedCommit,
    committer: Option<Leaf>,
    read: impl Fn(&LeafNode) -> Result<Credential, Violation>,
) -> Change {
    let mut change = Change { committer, ..Change::default() };
    let author = committer.map(|leaf| Sender::Member(LeafNodeIndex::new(leaf.0)));
    for queued in staged.queued_proposals() {
        let outcome = if Some(queued.sender()) == author.as_ref() {
            read_proposal(queued.proposal(), &read, &mut change)
        } else {
            Err(Violation::ForeignProposal)
        };
        note(&mut change, outcome);
    }
    if let Some(leaf) = staged.update_path_leaf_node() {
        let outcome = read(leaf).map(|credential| change.path = Some(credential.member()));
        note(&mut change, outcome);
    }
    change
}

/// The identity behind a leaf, if it vouches for the leaf in this group, and the leaf is in our form.
pub(super) fn read_leaf(
    leaf: &LeafNode,
    suite: Ciphersuite,
    group_id: &[u8],
) -> Result<Credential, Violation> {
    check_form(leaf, suite)?;
    read_credential(leaf.credential(), leaf.signature_key().as_slice(), group_id)
        .map_err(Violation::Credential)
}

/// Whether a leaf is in our form.
fn check_form(leaf: &LeafNode, suite: Ciphersuite) -> Result<(), Violation> {
    if leaf.extensions().iter().next().is_some() || *leaf.capabilities() != capabilities(suite) {
        return Err(Violation::ForeignExtension);
    }
    Ok(())
}

pub(super) fn read_credential(
    credential: &MlsCredential,
    leaf_key: &[u8],
    group_id: &[u8],
) -> Result<Credential, CredentialError> {
    if credential.credential_type() != CredentialType::Basic {
        return Err(CredentialError::Malformed);
    }
    Credential::verify(credential.serialized_content(), group_id, leaf_key)
}

/// The room's state, if the context has exactly our two extensions.
pub(super) fn read_state(extensions: &Extensions<GroupContext>) -> Result<RoomState, Violation> {
    let mut state = None;
    let mut required = false;
    for extension in extensions.iter() {
        match extension {
            Extension::RequiredCapabilities(these) if *these == required_capabilities() => required = true,
            Extension::Unknown(STATE_EXTENSION, UnknownExtension(bytes)) => {
                state = Some(RoomState::decode(bytes).map_err(|_| Violation::MalformedState)?);
            }
            _ => return Err(Violation::ForeignExtension),
        }
    }
    state.filter(|_| required).ok_or(Violation::ForeignExtension)
}

pub(super) fn write_state(state: &RoomState) -> Result<Extensions<GroupContext>, Failure> {
    Extensions::from_vec(vec![
        Extension::RequiredCapabilities(required_capabilities()),
        Extension::Unknown(STATE_EXTENSION, UnknownExtension(state.encode())),
    ])
    .map_err(Failure::of)
}

/// What every leaf of a room supports: no more, no less.
pub(super) fn capabilities(suite: Ciphersuite) -> Capabilities {
    Capabilities::new(
        Some(&[ProtocolVersion::Mls10]),
        Some(&[suite]),
        Some(&[ExtensionType::Unknown(STATE_EXTENSION)]),
        Some(&[] as &[ProposalType]),
        Some(&[CredentialType::Basic]),
    )
}

/// Whether a new leaf is valid now, and not for too long.
pub(super) fn check_lifetime(key_package: &KeyPackage, now: UnixTime) -> Result<(), Violation> {
    let lifetime = key_package.life_time();
    let now = UNIX_EPOCH.checked_add(Duration::from_secs(now.0)).ok_or(Violation::Lifetime)?;
    let valid = lifetime.has_acceptable_range() && lifetime.validate_with_time(now).is_ok();
    if valid { Ok(()) } else { Err(Violation::Lifetime) }
}

/// A day of tolerance for clocks, four weeks to be let in.
pub(super) fn lifetime(now: UnixTime) -> Lifetime {
    Lifetime::init(now.0.saturating_sub(DAY), now.0.saturating_add(28 * DAY))
}

/// When somebody made a KeyPackage of [`lifetime`].
pub(super) fn made(key_package: &KeyPackage) -> UnixTime {
    UnixTime(key_package.life_time().not_before().saturating_add(DAY))
}

pub(super) fn credential_with_key(credential: &Credential, leaf_key: &SigningKey) -> CredentialWithKey {
    CredentialWithKey {
        credential: BasicCredential::new(credential.encode()).into(),
        signature_key: SignaturePublicKey::from(leaf_key.public().as_slice()),
    }
}

fn read_proposal(
    proposal: &Proposal,
    read: impl Fn(&LeafNode) -> Result<Credential, Violation>,
    change: &mut Change,
) -> Result<(), Violation> {
    match proposal {
        Proposal::Add(add) => {
            let key_package = add.key_package();
            change.adds.push(read(key_package.leaf_node())?.member());
            change.made.push(made(key_package));
            if !key_package.life_time().has_acceptable_range() {
                return Err(Violation::Lifetime);
            }
        }
        Proposal::Remove(remove) => change.removes.push(Leaf(remove.removed().u32())),
        Proposal::GroupContextExtensions(extensions) => {
            change.state = Some(read_state(extensions.extensions())?)
        }
        Proposal::ExternalInit(_) => return Err(Violation::ExternalCommit),
        // Named one by one, so that a new kind is a decision.
        Proposal::Update(_)
        | Proposal::PreSharedKey(_)
        | Proposal::ReInit(_)
        | Proposal::AppDataUpdate(_)
        | Proposal::SelfRemove
        | Proposal::AppEphemeral(_)
        | Proposal::Custom(_) => return Err(Violation::ForeignProposal),
    }
    Ok(())
}

fn note(change: &mut Change, outcome: Result<(), Violation>) {
    if let Err(violation) = outcome {
        change.foreign.get_or_insert(violation);
    }
}

fn required_capabilities() -> RequiredCapabilitiesExtension {
    RequiredCapabilitiesExtension::new(
        &[ExtensionType::Unknown(STATE_EXTENSION)],
        &[],
        &[CredentialType::Basic],
    )
}

/// In seconds.
const DAY: u64 = 24 * 60 * 60;
/// The group context extension of SPEC section 7.2, in the range for private use.
const STATE_EXTENSION: u16 = 0xF50A;
