//! Reading what MLS carries for a room: leaves, the group context, and the changes of a staged
//! commit.

use openmls::{
    component::ComponentData,
    prelude::{
        AppDataDictionary, AppDataDictionaryExtension, AppDataUpdateOperation, AppDataUpdateProposal,
        BasicCredential, Capabilities, Ciphersuite, CredentialType, CredentialWithKey, Extension,
        ExtensionType, Extensions, GroupContext, KeyPackage, LeafNode, LeafNodeIndex, Lifetime, Proposal,
        ProposalType, ProtocolVersion, RequiredCapabilitiesExtension, Sender, SignaturePublicKey,
        StagedCommit,
    },
    treesync::LeafNodeSource,
};

use super::{Context, Credential, Failure, NewLeaf, Path, Violation};
use crate::{
    group::{CredentialError, signing::SigningKey},
    id::Leaf,
};

/// What a commit would change, with every leaf in it checked by itself.
pub(super) struct Change {
    pub(super) adds: Vec<NewLeaf>,
    /// Ascending.
    pub(super) removes: Vec<Leaf>,
    /// The leaf of the update path, and its signature key.
    pub(super) path: Option<(Credential, [u8; 32])>,
    /// The context after the commit.
    pub(super) context: Context,
}

/// Reads a staged commit of `by`, whose proposals it checks in their order, then the path, then the
/// context.
pub(super) fn change(staged: &StagedCommit, by: Leaf, group_id: &[u8; 32]) -> Result<Change, Violation> {
    let suite = staged.group_context().ciphersuite();
    let author = Sender::Member(LeafNodeIndex::new(by.0));
    let (mut adds, mut removes, mut updates) = (Vec::new(), Vec::new(), 0);
    for queued in staged.queued_proposals() {
        if queued.sender() != &author {
            return Err(Violation::ForeignProposal);
        }
        match queued.proposal() {
            Proposal::Add(add) => adds.push(read_key_package(add.key_package(), suite, group_id)?.into()),
            Proposal::Remove(remove) => removes.push(Leaf(remove.removed().u32())),
            Proposal::AppDataUpdate(update) => {
                updates += 1;
                read_update(update)?;
            }
            Proposal::ExternalInit(_) => return Err(Violation::External),
            // Named one by one, so that a new kind is a decision.
            Proposal::GroupContextExtensions(_)
            | Proposal::Update(_)
            | Proposal::PreSharedKey(_)
            | Proposal::ReInit(_)
            | Proposal::SelfRemove
            | Proposal::AppEphemeral(_)
            | Proposal::Custom(_) => return Err(Violation::ForeignProposal),
        }
    }
    removes.sort_unstable();
    if updates > 1 {
        return Err(Violation::MalformedContext);
    }
    let path = match staged.update_path_leaf_node() {
        Some(leaf) => Some(read_leaf(leaf, suite, group_id)?),
        None => None,
    };
    Ok(Change { adds, removes, path, context: read_context(staged.group_context().extensions())? })
}

/// The one update of the context among the AppDataUpdate proposals of a commit that is not staged
/// yet.
pub(super) fn one_update<'a>(
    mut updates: impl Iterator<Item = &'a AppDataUpdateProposal>,
) -> Result<ComponentData, Violation> {
    let update = updates.next().ok_or(Violation::MalformedContext)?;
    let context = read_update(update)?;
    match updates.next() {
        None => Ok(write_entry(&context)),
        Some(second) => {
            read_update(second)?;
            Err(Violation::MalformedContext)
        }
    }
}

/// The context that an AppDataUpdate proposal sets.
fn read_update(update: &AppDataUpdateProposal) -> Result<Context, Violation> {
    if update.component_id() != CONTEXT_COMPONENT {
        return Err(Violation::ForeignExtension);
    }
    match update.operation() {
        AppDataUpdateOperation::Update(bytes) => {
            Context::decode(bytes.as_slice()).map_err(|_| Violation::MalformedContext)
        }
        AppDataUpdateOperation::Remove => Err(Violation::MalformedContext),
    }
}

pub(super) fn write_update(context: &Context) -> AppDataUpdateProposal {
    AppDataUpdateProposal::update(CONTEXT_COMPONENT, context.encode())
}

pub(super) fn write_entry(context: &Context) -> ComponentData {
    ComponentData::from_parts(CONTEXT_COMPONENT, context.encode().into())
}

/// The room's context, if the group context has exactly the extensions of a room.
pub(super) fn read_context(extensions: &Extensions<GroupContext>) -> Result<Context, Violation> {
    let mut context = None;
    let mut required = false;
    for extension in extensions.iter() {
        match extension {
            Extension::RequiredCapabilities(these) if *these == required_capabilities() => required = true,
            // The order is part of the form: libraries move a dictionary that is not last.
            Extension::AppDataDictionary(these) if required => {
                let mut entries = these.dictionary().entries();
                let entry = entries.next().ok_or(Violation::MalformedContext)?;
                if entry.id() != CONTEXT_COMPONENT || entries.next().is_some() {
                    return Err(Violation::ForeignExtension);
                }
                context = Some(Context::decode(entry.data()).map_err(|_| Violation::MalformedContext)?);
            }
            _ => return Err(Violation::ForeignExtension),
        }
    }
    if !required {
        return Err(Violation::ForeignExtension);
    }
    context.ok_or(Violation::MalformedContext)
}

pub(super) fn write_context(context: &Context) -> Result<Extensions<GroupContext>, Failure> {
    let mut dictionary = AppDataDictionary::new();
    dictionary.insert(CONTEXT_COMPONENT, context.encode());
    Extensions::from_vec(vec![
        Extension::RequiredCapabilities(required_capabilities()),
        Extension::AppDataDictionary(AppDataDictionaryExtension::new(dictionary)),
    ])
    .map_err(Failure::of)
}

/// The credential and the signature key of a leaf, if the leaf is in the form of a room and its
/// credential holds.
pub(super) fn read_leaf(
    leaf: &LeafNode,
    suite: Ciphersuite,
    group_id: &[u8; 32],
) -> Result<(Credential, [u8; 32]), Violation> {
    const MALFORMED: Violation = Violation::Credential(CredentialError::Malformed);
    let plain = leaf.extensions().iter().next().is_none();
    if !plain || *leaf.capabilities() != capabilities(suite) {
        return Err(Violation::ForeignExtension);
    }
    if leaf.credential().credential_type() != CredentialType::Basic {
        return Err(MALFORMED);
    }
    let leaf_key: [u8; 32] = leaf.signature_key().as_slice().try_into().map_err(|_| MALFORMED)?;
    let credential = Credential::verify(leaf.credential().serialized_content(), group_id, &leaf_key)
        .map_err(Violation::Credential)?;
    match leaf.leaf_node_source() {
        LeafNodeSource::KeyPackage(these) if *these != lifetime(credential.made_ms) => {
            Err(Violation::Lifetime)
        }
        LeafNodeSource::Update => Err(Violation::ForeignProposal),
        LeafNodeSource::KeyPackage(_) | LeafNodeSource::Commit(_) => Ok((credential, leaf_key)),
    }
}

/// The credential in a KeyPackage, if the KeyPackage and its leaf are in the form of a room.
pub(super) fn read_key_package(
    key_package: &KeyPackage,
    suite: Ciphersuite,
    group_id: &[u8; 32],
) -> Result<Credential, Violation> {
    let plain = key_package.extensions().iter().next().is_none();
    if key_package.ciphersuite() != suite || key_package.last_resort() || !plain {
        return Err(Violation::ForeignExtension);
    }
    read_leaf(key_package.leaf_node(), suite, group_id).map(|(credential, _)| credential)
}

/// What every leaf of a room supports: no more, no less.
pub(super) fn capabilities(suite: Ciphersuite) -> Capabilities {
    Capabilities::new(
        Some(&[ProtocolVersion::Mls10]),
        Some(&[suite]),
        Some(&[ExtensionType::AppDataDictionary]),
        Some(&[ProposalType::AppDataUpdate]),
        Some(&[CredentialType::Basic]),
    )
}

fn required_capabilities() -> RequiredCapabilitiesExtension {
    RequiredCapabilitiesExtension::new(
        &[ExtensionType::AppDataDictionary],
        &[ProposalType::AppDataUpdate],
        &[CredentialType::Basic],
    )
}

/// The lifetime of a new leaf: 42 days before and after the time that its credential says.
///
/// How old a leaf may be that is added is for the law, by the time in the credential. The lifetime
/// is as wide as MLS libraries take it, so that a wrong clock locks nobody out.
pub(super) fn lifetime(made_ms: u64) -> Lifetime {
    let made = made_ms / 1000;
    Lifetime::init(made.saturating_sub(42 * DAY), made.saturating_add(42 * DAY))
}

pub(super) fn credential_with_key(credential: &Credential, leaf_key: &SigningKey) -> CredentialWithKey {
    CredentialWithKey {
        credential: BasicCredential::new(credential.encode()).into(),
        signature_key: SignaturePublicKey::from(leaf_key.public().as_slice()),
    }
}

impl From<Credential> for NewLeaf {
    fn from(credential: Credential) -> Self {
        let id = credential.id();
        Self { key: credential.key, id, name: credential.name, made_ms: credential.made_ms }
    }
}

impl From<Credential> for Path {
    fn from(credential: Credential) -> Self {
        Self { made_ms: credential.made_ms, name: credential.name }
    }
}

/// In seconds.
const DAY: u64 = 24 * 60 * 60;
/// The component of the room's context in the AppDataDictionary, in the range for private use.
pub(super) const CONTEXT_COMPONENT: u16 = 0xF50B;
