//! Which commits are permitted: pure rules over a proposed change, the roster and the room's state
//! (SPEC section 7.4).
//!
//! Every member runs them on every commit before merging it, the committer on its own. A [`Permit`] is
//! the proof, and merging takes one.

use std::fmt;

use super::{
    Member,
    identity::CredentialError,
    state::{Role, RoomState},
};
use crate::id::{Leaf, MemberId};

/// What a commit would do, as far as rights are concerned.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    /// The member that made it; `None` for somebody outside the group.
    pub(crate) committer: Option<Leaf>,
    /// Identities that it adds, their credentials already verified.
    pub(crate) adds: Vec<MemberId>,
    /// Leaves that it removes.
    pub(crate) removes: Vec<Leaf>,
    /// The identity in the committer's new leaf, if there is an update path.
    pub(crate) path: Option<MemberId>,
    /// The state of the room afterwards, if it is replaced.
    pub(crate) state: Option<RoomState>,
    /// The first thing in it that no commit may have.
    pub(crate) foreign: Option<Violation>,
}

/// Proof that a change was checked. Only [`check`] makes one.
pub(crate) struct Permit(());

/// Something that one member asks for, on its own account or through the keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Assign(MemberId, Role),
    Remove(MemberId),
    Ban(MemberId),
}

/// Why a commit is not merged, or a command is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// The commit comes from outside the group, or brings something in by an external commit.
    ExternalCommit,
    /// It holds a kind of proposal that rooms do not use: PSK, ReInit, Update, SelfRemove, custom or other.
    ForeignProposal,
    /// It sets a group context extension other than the room's state and the required capabilities.
    ForeignExtension,
    /// The room's state is malformed, or a member's role is not one that can be given.
    MalformedState,
    /// It changes what is fixed when a room is made: name, host, default role, suite, authenticity, packet size.
    FixedTerms,
    /// A leaf has a credential that is not believed.
    Credential(CredentialError),
    /// A new leaf is valid for longer than a leaf may be.
    Lifetime,
    /// The committer's new leaf belongs to another identity.
    Succession,
    /// The committer's role does not permit this kind of change to anybody.
    NoRight,
    /// The committer's role does not permit it to this member.
    Rank,
    /// It removes or bans the host.
    Host,
    /// It removes a leaf that nobody has.
    UnknownLeaf,
    /// It names somebody who is not in the room.
    UnknownMember,
    /// It adds an identity that is in the room already.
    Duplicate,
    /// It adds a banned identity, or bans a member without removing it.
    Banned,
    /// It would make the room larger than 1,000 members.
    TooMany,
    /// The committer is not the keeper, who alone puts commits in order.
    NotKeeper,
    /// It announces a speaker key that its leaf does not vouch for, that anybody could sign with, whose private
    /// half is to be published too soon, or that is another than the one it announced before.
    SpeakerKey,
    /// It announces a speaker key at a time that our clock does not confirm: one of the two is wrong.
    Clock,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ExternalCommit => "a commit from outside the group",
            Self::ForeignProposal => "a kind of proposal that rooms do not use",
            Self::ForeignExtension => "a group context extension that rooms do not use",
            Self::MalformedState => "a malformed room state",
            Self::FixedTerms => "a change of what is fixed when a room is made",
            Self::Credential(_) => "a credential that is not believed",
            Self::Lifetime => "a leaf that is valid for too long",
            Self::Succession => "a leaf that passes to another identity",
            Self::NoRight => "the role does not permit this",
            Self::Rank => "the role does not permit this to that member",
            Self::Host => "the host cannot be removed or banned",
            Self::UnknownLeaf => "removes a leaf that nobody has",
            Self::UnknownMember => "nobody with this identity is in the room",
            Self::Duplicate => "the identity is in the room already",
            Self::Banned => "the identity is banned",
            Self::TooMany => "the room would have more than 1,000 members",
            Self::NotKeeper => "only the keeper commits",
            Self::SpeakerKey => "a speaker key that would prove nothing",
            Self::Clock => "a speaker key announced at another time than now",
        })
    }
}

impl std::error::Error for Violation {}

/// Checks a change against the room before it; the order of the rules is that of SPEC section 7.4.
pub(crate) fn check(change: &Change, roster: &[Member], state: &RoomState) -> Result<Permit, Violation> {
    let committer = change.committer.ok_or(Violation::ExternalCommit)?;
    let committer = member_at(roster, committer).ok_or(Violation::ExternalCommit)?;
    if let Some(foreign) = change.foreign {
        return Err(foreign);
    }
    if change.path.is_some_and(|identity| identity != committer.id) {
        return Err(Violation::Succession);
    }
    for &leaf in &change.removes {
        let target = member_at(roster, leaf).ok_or(Violation::UnknownLeaf)?;
        outranks(committer.role, target.role)?;
    }
    let next = change.state.as_ref().unwrap_or(state);
    if !change.adds.is_empty() && !committer.role.may_admit() {
        return Err(Violation::NoRight);
    }
    let mut members: Vec<MemberId> = roster
        .iter()
        .filter(|member| !change.removes.contains(&member.leaf))
        .map(|member| member.id)
        .collect();
    for &added in &change.adds {
        if next.is_banned(added) {
            return Err(Violation::Banned);
        }
        if members.contains(&added) {
            return Err(Violation::Duplicate);
        }
        members.push(added);
    }
    if members.len() > MAX_MEMBERS {
        return Err(Violation::TooMany);
    }
    if let Some(next) = &change.state {
        check_state(committer.role, state, next)?;
    }
    if members.iter().any(|member| next.is_banned(*member)) {
        return Err(Violation::Banned);
    }
    if committer.id != state.terms.host {
        return Err(Violation::NotKeeper);
    }
    Ok(Permit(()))
}

/// Checks what one member asks for, before it is made into a change.
pub(crate) fn check_action(
    action: Action,
    asker: MemberId,
    roster: &[Member],
    state: &RoomState,
) -> Result<(), Violation> {
    if !roster.iter().any(|member| member.id == asker) {
        return Err(Violation::UnknownMember);
    }
    let rank = state.role(asker);
    let (Action::Assign(target, _) | Action::Remove(target) | Action::Ban(target)) = action;
    outranks(rank, state.role(target))?;
    // A ban may be for somebody who is not here yet.
    if !matches!(action, Action::Ban(_)) && !roster.iter().any(|member| member.id == target) {
        return Err(Violation::UnknownMember);
    }
    match action {
        Action::Assign(_, role) => outranks(rank, role),
        Action::Remove(_) | Action::Ban(_) => Ok(()),
    }
}

fn check_state(rank: Role, old: &RoomState, new: &RoomState) -> Result<(), Violation> {
    if old.terms != new.terms {
        return Err(Violation::FixedTerms);
    }
    for member in old.roles().chain(new.roles()) {
        let (before, after) = (old.role(member), new.role(member));
        if before != after {
            outranks(rank, before)?;
            outranks(rank, after)?;
        }
    }
    let added = new.bans().iter().filter(|member| !old.is_banned(**member));
    let lifted = old.bans().iter().filter(|member| !new.is_banned(**member));
    for member in added.chain(lifted) {
        outranks(rank, old.role(*member))?;
    }
    // A commit that replaces the state by itself is still an exercise of a right.
    if old == new || rank.may_admit() { Ok(()) } else { Err(Violation::NoRight) }
}

fn outranks(rank: Role, target: Role) -> Result<(), Violation> {
    if !rank.may_admit() {
        return Err(Violation::NoRight);
    }
    if target == Role::Host {
        return Err(Violation::Host);
    }
    if rank.outranks(target) { Ok(()) } else { Err(Violation::Rank) }
}

fn member_at(roster: &[Member], leaf: Leaf) -> Option<&Member> {
    roster.iter().find(|member| member.leaf == leaf)
}

/// Members of one room. The tree hash of every commit is linear in this.
pub(crate) const MAX_MEMBERS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{
        identity::Name,
        state::tests::{id, state},
    };

    const HOST: Leaf = Leaf(0);
    const MODERATOR: Leaf = Leaf(1);
    const SPEAKER: Leaf = Leaf(2);
    const LISTENER: Leaf = Leaf(3);

    fn room() -> (Vec<Member>, RoomState) {
        let state =
            state().with_role(id(2), Role::Moderator).unwrap().with_role(id(3), Role::Speaker).unwrap();
        let roster = (0..4u8)
            .map(|n| Member {
                id: id(n + 1),
                name: Name::new("somebody").unwrap(),
                role: state.role(id(n + 1)),
                leaf: Leaf(n.into()),
                is_self: false,
                key: [0; 32],
            })
            .collect();
        (roster, state)
    }

    fn verdict(committer: Leaf, change: impl FnOnce(&mut Change, &RoomState)) -> Result<(), Violation> {
        let (roster, state) = room();
        let mut proposed = Change { committer: Some(committer), ..Change::default() };
        change(&mut proposed, &state);
        check(&proposed, &roster, &state).map(|Permit(())| ())
    }

    #[test]
    fn the_host_may_do_what_a_host_does() {
        assert_eq!(verdict(HOST, |change, _| change.adds = vec![id(9)]), Ok(()));
        assert_eq!(verdict(HOST, |change, _| change.removes = vec![MODERATOR, LISTENER]), Ok(()));
        let ban = |change: &mut Change, state: &RoomState| {
            change.removes = vec![LISTENER];
            change.state = Some(state.with_ban(id(4)).unwrap());
        };
        assert_eq!(verdict(HOST, ban), Ok(()));
        let promote = |change: &mut Change, state: &RoomState| {
            change.state = Some(state.with_role(id(4), Role::Moderator).unwrap());
        };
        assert_eq!(verdict(HOST, promote), Ok(()));
    }

    #[test]
    fn nobody_but_the_keeper_commits() {
        assert_eq!(
            verdict(MODERATOR, |change, _| change.removes = vec![LISTENER]),
            Err(Violation::NotKeeper)
        );
        assert_eq!(verdict(LISTENER, |change, _| change.path = Some(id(4))), Err(Violation::NotKeeper));
        assert_eq!(verdict(Leaf(7), |_, _| ()), Err(Violation::ExternalCommit));
        assert_eq!(verdict(HOST, |change, _| change.committer = None), Err(Violation::ExternalCommit));
    }

    #[test]
    fn ranks_hold_before_order_does() {
        assert_eq!(verdict(MODERATOR, |change, _| change.removes = vec![HOST]), Err(Violation::Host));
        assert_eq!(verdict(LISTENER, |change, _| change.adds = vec![id(9)]), Err(Violation::NoRight));
        assert_eq!(verdict(LISTENER, |change, _| change.removes = vec![SPEAKER]), Err(Violation::NoRight));
        let promote_self = |change: &mut Change, state: &RoomState| {
            change.state = Some(state.with_role(id(4), Role::Speaker).unwrap());
        };
        assert_eq!(verdict(LISTENER, promote_self), Err(Violation::NoRight));
        let second_moderator = |change: &mut Change, state: &RoomState| {
            change.state = Some(state.with_role(id(4), Role::Moderator).unwrap());
        };
        assert_eq!(verdict(MODERATOR, second_moderator), Err(Violation::Rank));
        let unban =
            |change: &mut Change, state: &RoomState| change.state = Some(state.with_ban(id(9)).unwrap());
        assert_eq!(verdict(SPEAKER, unban), Err(Violation::NoRight));
    }

    #[test]
    fn bans_and_identities_hold() {
        let banned_newcomer = |change: &mut Change, state: &RoomState| {
            change.state = Some(state.with_ban(id(9)).unwrap());
            change.adds = vec![id(9)];
        };
        assert_eq!(verdict(HOST, banned_newcomer), Err(Violation::Banned));
        let banned_stays =
            |change: &mut Change, state: &RoomState| change.state = Some(state.with_ban(id(4)).unwrap());
        assert_eq!(verdict(HOST, banned_stays), Err(Violation::Banned));
        assert_eq!(verdict(HOST, |change, _| change.adds = vec![id(3)]), Err(Violation::Duplicate));
        assert_eq!(verdict(HOST, |change, _| change.adds = vec![id(9), id(9)]), Err(Violation::Duplicate));
        assert_eq!(verdict(HOST, |change, _| change.path = Some(id(2))), Err(Violation::Succession));
        assert_eq!(verdict(HOST, |change, _| change.removes = vec![Leaf(9)]), Err(Violation::UnknownLeaf));
    }

    #[test]
    fn a_member_may_be_replaced_by_itself() {
        let again = |change: &mut Change, _: &RoomState| {
            change.removes = vec![LISTENER];
            change.adds = vec![id(4)];
        };
        assert_eq!(verdict(HOST, again), Ok(()));
    }

    #[test]
    fn terms_are_fixed_and_foreign_things_refused() {
        let rename = |change: &mut Change, state: &RoomState| {
            let mut terms = state.terms.clone();
            terms.name = Name::new("coffee").unwrap();
            change.state = Some(RoomState::new(terms));
        };
        assert_eq!(verdict(HOST, rename), Err(Violation::FixedTerms));
        assert_eq!(
            verdict(HOST, |change, _| change.foreign = Some(Violation::ForeignProposal)),
            Err(Violation::ForeignProposal)
        );
    }

    #[test]
    fn a_room_has_at_most_a_thousand_members() {
        let crowd = |extra: u16| {
            move |change: &mut Change, _: &RoomState| {
                change.adds = (0..996 + extra)
                    .map(|n| {
                        let mut bytes = [0xee; 32];
                        bytes[..2].copy_from_slice(&n.to_be_bytes());
                        MemberId::from_bytes(bytes)
                    })
                    .collect();
            }
        };
        assert_eq!(verdict(HOST, crowd(0)), Ok(()));
        assert_eq!(verdict(HOST, crowd(1)), Err(Violation::TooMany));
    }

    #[test]
    fn actions_follow_the_same_ranks() {
        let (roster, state) = room();
        let allowed = |asker, action| check_action(action, asker, &roster, &state);
        assert_eq!(allowed(id(2), Action::Remove(id(4))), Ok(()));
        assert_eq!(allowed(id(2), Action::Ban(id(77))), Ok(()));
        assert_eq!(allowed(id(2), Action::Remove(id(77))), Err(Violation::UnknownMember));
        assert_eq!(allowed(id(2), Action::Assign(id(4), Role::Speaker)), Ok(()));
        assert_eq!(allowed(id(2), Action::Assign(id(4), Role::Moderator)), Err(Violation::Rank));
        assert_eq!(allowed(id(2), Action::Ban(id(1))), Err(Violation::Host));
        assert_eq!(allowed(id(1), Action::Assign(id(2), Role::Host)), Err(Violation::Host));
        assert_eq!(allowed(id(3), Action::Ban(id(4))), Err(Violation::NoRight));
        assert_eq!(allowed(id(99), Action::Ban(id(4))), Err(Violation::UnknownMember));
    }
}
