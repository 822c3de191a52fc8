//! Which commits are permitted: pure rules over a proposed change, the roster and the room's state
//! (SPEC section 7.4).
//!
//! Every member runs them on every commit before merging it, the committer on its own. A [`Permit`] is
//! the proof, and merging takes one.

use std::{collections::BTreeSet, fmt};

use super::{
    Member,
    identity::CredentialError,
    invite::UnixTime,
    order::Order,
    state::{MAX_LEAP, Role, RoomState},
};
use crate::id::{Leaf, MemberId};

/// What a commit would do, as far as rights are concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// The member that made it; `None` for somebody outside the group.
    pub(crate) committer: Option<Leaf>,
    /// Identities that it adds, their credentials already verified.
    pub(crate) adds: Vec<MemberId>,
    /// When their KeyPackages were made, by their clocks.
    pub(crate) made: Vec<UnixTime>,
    /// Leaves that it removes.
    pub(crate) removes: Vec<Leaf>,
    /// The identity in the committer's new leaf, if there is an update path.
    pub(crate) path: Option<MemberId>,
    /// The state of the room afterwards, if it is replaced.
    pub(crate) state: Option<RoomState>,
    /// The first thing in it that no commit may have.
    pub(crate) foreign: Option<Violation>,
}

/// The room that a change is held against.
#[derive(Clone, Copy)]
pub(crate) struct Before<'a> {
    pub(crate) group_id: &'a [u8],
    pub(crate) roster: &'a [Member],
    pub(crate) state: &'a RoomState,
    /// Who said that it leaves.
    pub(crate) leaving: &'a BTreeSet<MemberId>,
    /// Orders whose signatures were checked in this epoch, or made.
    pub(crate) believed: &'a [Order],
}

/// Proof that a change was checked. Only [`check`] makes one.
pub(crate) struct Permit(());

/// By what a permitted commit takes its place in the order of commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The keeper made it: it counts at once.
    Keeper,
    /// It counts if the keeper says so.
    Named,
    /// Its committer makes itself the keeper: it counts if the one before is silent, outranked, or agrees.
    Takeover,
}

/// Something that one member asks for, on its own account or through the keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Assign(MemberId, Role),
    Remove(MemberId),
    /// Bans, or lifts a ban.
    Order(Order),
    Mute(MemberId, bool),
    /// The asker wants its turn to commit, to renew its leaf.
    Renew,
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
    /// It changes what is fixed when a room is made: name, founder, default role, suite, authenticity, packet size.
    FixedTerms,
    /// A leaf has a credential that is not believed.
    Credential(CredentialError),
    /// A new leaf is valid for longer than a leaf may be.
    Lifetime,
    /// The committer's new leaf belongs to another identity.
    Succession,
    /// It is signed by a member, and MLS cannot process it: its update path is wrong for us, or for everybody.
    BrokenCommit,
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
    /// The committer is not the keeper, who alone puts commits in order, and was not named by it.
    NotKeeper,
    /// It makes another member the keeper than a commit of this member may, or not in a later term.
    Keeping,
    /// It makes another member the host, and is not from the host, or not signed by it.
    HandOver,
    /// It makes a moderator for whom no host of the room signed.
    Certificate,
    /// It bans or lets in again without a newer order by somebody who may do that.
    Order,
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
            Self::BrokenCommit => "a commit that cannot be processed",
            Self::NoRight => "the role does not permit this",
            Self::Rank => "the role does not permit this to that member",
            Self::Host => "the host cannot be removed or banned",
            Self::UnknownLeaf => "removes a leaf that nobody has",
            Self::UnknownMember => "nobody with this identity is in the room",
            Self::Duplicate => "the identity is in the room already",
            Self::Banned => "the identity is banned",
            Self::TooMany => "the room would have more than 1,000 members",
            Self::NotKeeper => "only the keeper commits, and whom it names",
            Self::Keeping => "a change of keeper that this member may not make",
            Self::HandOver => "a change of host that the host did not sign",
            Self::Certificate => "a moderator for whom no host signed",
            Self::Order => "a ban that nobody ordered who may",
            Self::SpeakerKey => "a speaker key that would prove nothing",
            Self::Clock => "a speaker key announced at another time than now",
        })
    }
}

impl std::error::Error for Violation {}

/// Checks a change against the room before it; the order of the rules is that of SPEC section 7.4.
pub(crate) fn check(change: &Change, before: &Before<'_>) -> Result<(Permit, Standing), Violation> {
    let Before { roster, state, .. } = *before;
    let committer = change.committer.ok_or(Violation::ExternalCommit)?;
    let committer = member_at(roster, committer).ok_or(Violation::ExternalCommit)?;
    if let Some(foreign) = change.foreign {
        return Err(foreign);
    }
    if change.path.is_some_and(|identity| identity != committer.id) {
        return Err(Violation::Succession);
    }
    let next = change.state.as_ref().unwrap_or(state);
    let standing = standing(committer.id, state, next)?;
    // Whom the keeper names acts with the keeper's right: without its word the commit never counts.
    let right = match standing {
        Standing::Named => state.role(state.keeper),
        Standing::Keeper | Standing::Takeover => committer.role,
    };
    for &leaf in &change.removes {
        let target = member_at(roster, leaf).ok_or(Violation::UnknownLeaf)?;
        let returns = change.adds.contains(&target.id) && standing == Standing::Keeper;
        if !returns && !next.is_banned(target.id) && !before.leaving.contains(&target.id) {
            outranks(right, target.role)?;
        }
    }
    let gone = |member: &&Member| change.removes.contains(&member.leaf);
    let newcomer = |added: &MemberId| !roster.iter().filter(gone).any(|member| member.id == *added);
    if !change.adds.is_empty() && (standing != Standing::Keeper || change.adds.iter().any(newcomer)) {
        if !right.may_admit() {
            return Err(Violation::NoRight);
        }
        if standing != Standing::Keeper {
            return Err(Violation::NotKeeper);
        }
    }
    let mut members: Vec<MemberId> =
        roster.iter().filter(|member| !gone(member)).map(|member| member.id).collect();
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
    if change.state.is_some() {
        check_state(right, committer.id, standing, before, next)?;
    }
    if members.iter().any(|member| next.is_banned(*member)) {
        return Err(Violation::Banned);
    }
    if !members.contains(&next.keeper) {
        return Err(Violation::Keeping);
    }
    if next.host() != state.host() && !members.contains(&next.host()) {
        return Err(Violation::HandOver);
    }
    Ok((Permit(()), standing))
}

/// Checks what another member asks for, before it is made into a change.
pub(crate) fn check_action(action: Action, asker: MemberId, before: &Before<'_>) -> Result<(), Violation> {
    check_right(action, asker, before)?;
    match action {
        Action::Order(order) if !order.is_genuine(before.group_id) => Err(Violation::Order),
        _ => Ok(()),
    }
}

/// The same, but for the signature of an order: for what we ask for ourselves, which we have just signed.
pub(crate) fn check_right(action: Action, asker: MemberId, before: &Before<'_>) -> Result<(), Violation> {
    let Before { roster, state, .. } = *before;
    let here = |member| roster.iter().any(|other| other.id == member);
    if !here(asker) {
        return Err(Violation::UnknownMember);
    }
    let rank = state.role(asker);
    let target = match action {
        Action::Renew => return Ok(()),
        Action::Order(order) => order.target,
        Action::Assign(target, _) | Action::Remove(target) | Action::Mute(target, _) => target,
    };
    outranks(rank, state.role(target))?;
    match action {
        // A ban may be for somebody who is not here yet.
        Action::Order(order) if order.issuer() == asker => Ok(()),
        Action::Order(_) => Err(Violation::Order),
        _ if !here(target) => Err(Violation::UnknownMember),
        Action::Assign(_, role) => outranks(rank, role),
        Action::Remove(_) | Action::Mute(..) | Action::Renew => Ok(()),
    }
}

/// Whether an order that somebody brings from elsewhere counts here.
pub(crate) fn check_order(order: &Order, before: &Before<'_>) -> Result<(), Violation> {
    if !counts(order, before.state) || !order.is_genuine(before.group_id) {
        return Err(Violation::Order);
    }
    Ok(())
}

/// Whether an order is news, of somebody of rank. Whether its issuer said so is another question.
fn counts(order: &Order, state: &RoomState) -> bool {
    let newer = state.order(order.target).is_none_or(|known| known.serial < order.serial);
    newer && outranks(state.role(order.issuer()), state.role(order.target)).is_ok()
}

fn standing(committer: MemberId, old: &RoomState, new: &RoomState) -> Result<Standing, Violation> {
    let by_keeper = committer == old.keeper;
    if new.keeper == old.keeper && new.term == old.term {
        return Ok(if by_keeper { Standing::Keeper } else { Standing::Named });
    }
    let later = new.term > old.term && new.term - old.term <= MAX_LEAP;
    match (later, by_keeper) {
        (true, true) => Ok(Standing::Keeper),
        (true, false) if new.keeper == committer => Ok(Standing::Takeover),
        _ => Err(Violation::Keeping),
    }
}

fn check_state(
    right: Role,
    committer: MemberId,
    standing: Standing,
    before: &Before<'_>,
    new: &RoomState,
) -> Result<(), Violation> {
    let old = before.state;
    if old.terms != new.terms {
        return Err(Violation::FixedTerms);
    }
    let handed_over = new.chain() != old.chain();
    if handed_over {
        let one_more = new.chain().strip_prefix(old.chain()).is_some_and(|rest| rest.len() == 1);
        if !one_more || committer != old.host() || standing == Standing::Named {
            return Err(Violation::HandOver);
        }
    }
    // With the signatures of all orders that are new.
    new.verify_but(before.group_id, Some(old), before.believed)?;
    if new.orders().iter().any(|order| old.order(order.target) != Some(order) && !counts(order, old)) {
        return Err(Violation::Order);
    }
    if old.orders().iter().any(|order| new.order(order.target).is_none()) {
        return Err(Violation::Order);
    }
    let banned = |member| new.is_banned(member) && !old.is_banned(member);
    for member in old.roles().chain(new.roles()) {
        let (from, to) = (old.role(member), new.role(member));
        let by_hand_over = handed_over && (member == old.host() || member == new.host());
        if from != to && !banned(member) && !by_hand_over {
            outranks(right, from)?;
            outranks(right, to)?;
        }
    }
    for &member in old.muted().iter().chain(new.muted()) {
        let by_hand_over = handed_over && member == new.host();
        if old.is_muted(member) != new.is_muted(member) && !banned(member) && !by_hand_over {
            outranks(right, old.role(member))?;
        }
    }
    // A commit that replaces the state by itself is still an exercise of a right.
    if old != new || right.may_admit() { Ok(()) } else { Err(Violation::NoRight) }
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
        chain::HandOver,
        identity::Name,
        state::tests::{GROUP, ban, certificate, id, identity, state},
    };

    const HOST: Leaf = Leaf(0);
    const MODERATOR: Leaf = Leaf(1);
    const SPEAKER: Leaf = Leaf(2);
    const LISTENER: Leaf = Leaf(3);

    fn room() -> (Vec<Member>, RoomState) {
        let state = state().with_role(id(2), Role::Moderator, certificate(2)).unwrap();
        let state = state.with_role(id(3), Role::Speaker, None).unwrap();
        let roster = (0..4u8)
            .map(|n| Member {
                id: id(n + 1),
                name: Name::new("somebody").unwrap(),
                role: state.role(id(n + 1)),
                muted: false,
                leaf: Leaf(n.into()),
                is_self: false,
                key: [0; 32],
            })
            .collect();
        (roster, state)
    }

    fn judge(
        keeper: u8,
        leaving: &[u8],
        committer: Leaf,
        change: impl FnOnce(&mut Change, &RoomState),
    ) -> Result<Standing, Violation> {
        let (roster, mut state) = room();
        state.keeper = id(keeper);
        let mut proposed = Change { committer: Some(committer), ..Change::default() };
        change(&mut proposed, &state);
        let leaving = leaving.iter().map(|n| id(*n)).collect();
        let before =
            Before { group_id: GROUP, roster: &roster, state: &state, leaving: &leaving, believed: &[] };
        check(&proposed, &before).map(|(_, standing)| standing)
    }

    fn verdict(committer: Leaf, change: impl FnOnce(&mut Change, &RoomState)) -> Result<Standing, Violation> {
        judge(1, &[], committer, change)
    }

    #[test]
    fn the_host_may_do_what_a_host_does() {
        let fine = Ok(Standing::Keeper);
        assert_eq!(verdict(HOST, |change, _| change.adds = vec![id(9)]), fine);
        assert_eq!(verdict(HOST, |change, _| change.removes = vec![MODERATOR, LISTENER]), fine);
        let ban_listener = |change: &mut Change, state: &RoomState| {
            change.removes = vec![LISTENER];
            change.state = Some(state.with_order(ban(1, 4)).unwrap());
        };
        assert_eq!(verdict(HOST, ban_listener), fine);
        let promote = |change: &mut Change, state: &RoomState| {
            change.state = Some(state.with_role(id(4), Role::Moderator, certificate(4)).unwrap());
        };
        assert_eq!(verdict(HOST, promote), fine);
        let uncertified = |change: &mut Change, state: &RoomState| {
            change.state = Some(state.with_role(id(4), Role::Moderator, certificate(3)).unwrap());
        };
        assert_eq!(verdict(HOST, uncertified), Err(Violation::Certificate));
    }

    #[test]
    fn who_is_not_the_keeper_waits_for_its_word() {
        let named = Ok(Standing::Named);
        assert_eq!(verdict(MODERATOR, |change, _| change.removes = vec![LISTENER]), named);
        assert_eq!(verdict(LISTENER, |change, _| change.removes = vec![SPEAKER]), named);
        assert_eq!(verdict(LISTENER, |change, _| change.path = Some(id(4))), named);
        assert_eq!(verdict(MODERATOR, |change, _| change.adds = vec![id(9)]), Err(Violation::NotKeeper));
        assert_eq!(verdict(Leaf(7), |_, _| ()), Err(Violation::ExternalCommit));
        assert_eq!(verdict(HOST, |change, _| change.committer = None), Err(Violation::ExternalCommit));
    }

    #[test]
    fn whoever_takes_over_does_so_for_itself_and_later() {
        let keeper = |keeper: u8, leap: u64| {
            move |change: &mut Change, state: &RoomState| {
                let mut next = state.clone();
                (next.keeper, next.term) = (id(keeper), state.term + leap);
                change.state = Some(next);
            }
        };
        assert_eq!(verdict(LISTENER, keeper(4, 1)), Ok(Standing::Takeover));
        assert_eq!(verdict(HOST, keeper(4, 1)), Ok(Standing::Keeper), "handed over");
        assert_eq!(verdict(LISTENER, keeper(3, 1)), Err(Violation::Keeping));
        assert_eq!(verdict(LISTENER, keeper(4, 0)), Err(Violation::Keeping));
        assert_eq!(verdict(LISTENER, keeper(4, MAX_LEAP + 1)), Err(Violation::Keeping));
        assert_eq!(verdict(HOST, keeper(9, 1)), Err(Violation::Keeping), "somebody who is not here");
        let and_more = |change: &mut Change, state: &RoomState| {
            keeper(4, 1)(change, state);
            change.removes = vec![SPEAKER];
        };
        assert_eq!(verdict(LISTENER, and_more), Err(Violation::NoRight));
    }

    #[test]
    fn a_keeper_without_rank_lets_come_back_and_go_and_nothing_else() {
        let keeper = |change| judge(4, &[3], LISTENER, change);
        let again = |change: &mut Change, _: &RoomState| {
            change.removes = vec![HOST];
            change.adds = vec![id(1)];
        };
        assert_eq!(keeper(again as fn(&mut Change, &RoomState)), Ok(Standing::Keeper));
        assert_eq!(keeper(|change, _| change.removes = vec![SPEAKER]), Ok(Standing::Keeper), "it leaves");
        assert_eq!(keeper(|change, _| change.removes = vec![MODERATOR]), Err(Violation::NoRight));
        assert_eq!(keeper(|change, _| change.adds = vec![id(9)]), Err(Violation::NoRight));
        let ordered = |change: &mut Change, state: &RoomState| {
            change.removes = vec![SPEAKER];
            change.state = Some(state.with_order(ban(2, 3)).unwrap());
        };
        assert_eq!(keeper(ordered), Ok(Standing::Keeper), "a moderator ordered it");
        let own_order = |change: &mut Change, state: &RoomState| {
            change.removes = vec![SPEAKER];
            change.state = Some(state.with_order(ban(4, 3)).unwrap());
        };
        assert_eq!(keeper(own_order), Err(Violation::Order));
    }

    #[test]
    fn ranks_hold_before_order_does() {
        let moderator = |change| judge(2, &[], MODERATOR, change);
        assert_eq!(verdict(LISTENER, |change, _| change.removes = vec![HOST]), Err(Violation::Host));
        assert_eq!(
            moderator((|change, _| change.removes = vec![HOST]) as fn(&mut Change, &RoomState)),
            Err(Violation::Host)
        );
        assert_eq!(
            moderator(|change, state| {
                change.state = Some(state.with_role(id(4), Role::Moderator, certificate(4)).unwrap());
            }),
            Err(Violation::Rank)
        );
        let low = |change: &mut Change, state: &RoomState| {
            change.state = Some(state.with_role(id(4), Role::Speaker, None).unwrap());
        };
        assert_eq!(judge(3, &[], SPEAKER, low), Err(Violation::NoRight));
        assert_eq!(judge(3, &[], LISTENER, low), Err(Violation::NoRight), "with the keeper's right");
        let mute = |member: u8| {
            move |change: &mut Change, state: &RoomState| {
                change.state = Some(state.with_muted(id(member), true).unwrap());
            }
        };
        assert_eq!(judge(2, &[], MODERATOR, mute(3)), Ok(Standing::Keeper));
        assert_eq!(judge(3, &[], SPEAKER, mute(4)), Err(Violation::NoRight));
    }

    #[test]
    fn bans_and_identities_hold() {
        let banned_newcomer = |change: &mut Change, state: &RoomState| {
            change.state = Some(state.with_order(ban(1, 9)).unwrap());
            change.adds = vec![id(9)];
        };
        assert_eq!(verdict(HOST, banned_newcomer), Err(Violation::Banned));
        let banned_stays = |change: &mut Change, state: &RoomState| {
            change.state = Some(state.with_order(ban(1, 4)).unwrap());
        };
        assert_eq!(verdict(HOST, banned_stays), Err(Violation::Banned));
        let of_the_host = |change: &mut Change, state: &RoomState| {
            change.state = Some(state.with_order(ban(2, 1)).unwrap());
        };
        assert_eq!(verdict(HOST, of_the_host), Err(Violation::Order));
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
        assert_eq!(verdict(HOST, again), Ok(Standing::Keeper));
    }

    #[test]
    fn only_the_host_hands_over_the_host() {
        let hand = |by: u8, to: u8| {
            move |change: &mut Change, state: &RoomState| {
                let hand_over = HandOver::new(&identity(by), GROUP, id(to));
                change.state = Some(state.with_host(hand_over, certificate(1)).unwrap());
            }
        };
        assert_eq!(verdict(HOST, hand(1, 3)), Ok(Standing::Keeper));
        assert_eq!(verdict(HOST, hand(1, 9)), Err(Violation::HandOver), "to somebody who is not here");
        assert_eq!(verdict(MODERATOR, hand(1, 2)), Err(Violation::HandOver));
        assert_eq!(judge(2, &[], MODERATOR, hand(2, 2)), Err(Violation::HandOver));
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
        assert_eq!(verdict(HOST, crowd(0)), Ok(Standing::Keeper));
        assert_eq!(verdict(HOST, crowd(1)), Err(Violation::TooMany));
    }

    #[test]
    fn actions_follow_the_same_ranks() {
        let (roster, state) = room();
        let leaving = BTreeSet::new();
        let before =
            Before { group_id: GROUP, roster: &roster, state: &state, leaving: &leaving, believed: &[] };
        let allowed = |asker, action| check_action(action, asker, &before);
        assert_eq!(allowed(id(2), Action::Remove(id(4))), Ok(()));
        assert_eq!(allowed(id(2), Action::Order(ban(2, 77))), Ok(()));
        assert_eq!(allowed(id(2), Action::Order(ban(1, 77))), Err(Violation::Order), "another's order");
        assert_eq!(allowed(id(2), Action::Remove(id(77))), Err(Violation::UnknownMember));
        assert_eq!(allowed(id(2), Action::Mute(id(3), true)), Ok(()));
        assert_eq!(allowed(id(3), Action::Mute(id(4), true)), Err(Violation::NoRight));
        assert_eq!(allowed(id(2), Action::Assign(id(4), Role::Speaker)), Ok(()));
        assert_eq!(allowed(id(2), Action::Assign(id(4), Role::Moderator)), Err(Violation::Rank));
        assert_eq!(allowed(id(2), Action::Order(ban(2, 1))), Err(Violation::Host));
        assert_eq!(allowed(id(1), Action::Assign(id(2), Role::Host)), Err(Violation::Host));
        assert_eq!(allowed(id(3), Action::Order(ban(3, 4))), Err(Violation::NoRight));
        assert_eq!(allowed(id(99), Action::Order(ban(99, 4))), Err(Violation::UnknownMember));
        assert_eq!(allowed(id(4), Action::Renew), Ok(()));
    }

    #[test]
    fn the_signature_of_an_order_is_checked_unless_it_was_already() {
        let (roster, state) = room();
        let leaving = BTreeSet::new();
        let elsewhere = Order::new(&identity(2), b"another group", id(77), 1, true);
        let change = Change {
            committer: Some(HOST),
            state: Some(state.with_order(elsewhere).unwrap()),
            ..Change::default()
        };
        let checked = |believed: &[Order]| {
            let before =
                Before { group_id: GROUP, roster: &roster, state: &state, leaving: &leaving, believed };
            check(&change, &before).map(|_| ())
        };
        assert_eq!(checked(&[]), Err(Violation::Order));
        assert_eq!(checked(&[ban(2, 77)]), Err(Violation::Order), "another order about the same");
        assert_eq!(checked(&[elsewhere]), Ok(()));
    }
}
