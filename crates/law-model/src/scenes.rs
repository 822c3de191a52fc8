//! Scenes that chance comes by too seldom.

use crate::{
    acts::Act,
    insider::Strategy,
    room::{F, H, K, M, Ms, PEOPLE_OF_MENU, Phase, Room, V, X},
    rules::Rules,
};

/// Everybody of rank bans somebody and dies; then a member without rank keeps, says that it knows,
/// and removes nobody.
pub fn idle_keeper(rules: Rules) -> Room {
    let mut room = (1..).map(|seed| found(rules, seed)).find_map(|room| room).expect("there is no last seed");
    room.relay.hostile = false;
    room.insider.strategy = Strategy::Refuses;
    (room.insider.pure, room.insider.leads, room.insider.goes_on) = (true, 0, true);
    room.healing = true;
    room.sign(H, Act::Ban, X as u8);
    for who in [H, M] {
        (room.members[who].phase, room.members[who].at) = (Phase::Away, None);
    }
    let end: Ms = room.now + 90_000;
    while room.now < end && room.violations.is_empty() {
        room.step();
    }
    room
}

fn found(rules: Rules, seed: u64) -> Option<Room> {
    let mut room = Room::new(rules, seed, false);
    room.begin();
    let present = |who: usize| room.members[who].phase == Phase::Present;
    let honest = [H, M, F, V].iter().all(|who| !room.hostile[*who] && present(*who));
    let law = &room.members[H].law;
    let fits = honest
        && room.hostile[K]
        && room.hostile[X]
        && present(K)
        && present(X)
        && law.admits(X)
        && law.rank[F] == 0
        && room.people == PEOPLE_OF_MENU;
    fits.then_some(room)
}
