//! Old words that nobody took back, and what a host signs without knowing whom they are about
//! (`spec/law.md`, L32 and L34).

use super::{
    Act, Entry, InviteState, Rest, Role, RoleWord, Tag,
    world::{FOUNDER, World, entry, made_up},
};

const M: usize = 1;
const N: usize = 2;
const MEMBER: usize = 3;

#[test]
fn l32_an_invite_that_one_moderator_used_up_stays_so_when_that_moderator_is_demoted() {
    for used in [true, false] {
        let mut world = World::with_moderators(5);
        let mut nobodys = made_up(2);
        let (invite, newcomer) = (nobodys.next().unwrap(), nobodys.next().unwrap());
        world.act(N, Act::MakeInvite { invite, role: Role::Speaker }).unwrap();
        world.show_all();
        let act = match used {
            true => Act::Admit { who: newcomer, role: Role::Speaker, used_up: Some(invite) },
            false => Act::RevokeInvite { invite },
        };
        world.act(M, act).unwrap();
        world.show_all();
        assert_eq!(world.law(MEMBER).invite(&invite), Some(InviteState::Revoked));
        world.act(FOUNDER, Act::Demote { who: world.people[M].key, keep: vec![], banned: false }).unwrap();
        world.show_all();
        assert_eq!(world.law(MEMBER).invite(&invite), Some(InviteState::Revoked), "it lets in again");
    }
}

#[test]
fn l32_who_becomes_host_does_not_lift_its_own_bans_by_that() {
    let mut world = World::with_moderators(5);
    // Somebody whom the host has never seen, because it was away.
    let stranger = made_up(1).next().unwrap();
    world.act(M, Act::Ban { who: stranger }).unwrap();
    world.show_all();
    assert!(world.law(MEMBER).standing_of(&stranger).banned);
    world.act(FOUNDER, Act::HandOver { to: world.people[M].key }).unwrap();
    world.show_all();
    assert!(world.law(MEMBER).standing_of(&stranger).banned);
}

#[test]
fn l34_a_table_that_leaves_somebody_out_lifts_no_ban_that_it_does_not_list() {
    let mut world = World::with_moderators(5);
    let law = world.law(FOUNDER);
    let rest = law.rest();
    let room = 4_096 - rest.entries().len();
    let mut entries: Vec<Entry> = rest.entries().to_vec();
    entries.extend(made_up(4_096).take(room).map(|tag| entry(tag, RoleWord::OUT, 7)));
    let full = Rest::new(3, rest.moderators().to_vec(), entries).unwrap();
    let table =
        world.table(FOUNDER, law.office(), law.table_no().unwrap() + 1, world.people[FOUNDER].key, full);
    let _ = world.show(FOUNDER, vec![table]);
    world.show_all();
    let stranger = Tag([0xdd; 16]);
    world.act(M, Act::Ban { who: stranger }).unwrap();
    world.show_all();
    assert!(world.law(MEMBER).standing_of(&stranger).banned);
    let who = Tag([0xcc; 16]);
    world.act(FOUNDER, Act::Admit { who, role: Role::Listener, used_up: None }).unwrap();
    world.act(FOUNDER, Act::TakeIn).unwrap();
    world.show_all();
    assert!(world.law(MEMBER).rest().floor() > 3, "somebody was left out");
    assert!(world.law(MEMBER).standing_of(&stranger).banned);
}
