//! The keeper, withholding and forks as a model, looked at in every state that a relay can bring
//! about: `crates/room-model`.

use room_model::{BANNED, Rules, STOPS, look_at_all, way_to_break};

#[test]
fn the_rules_hold_whatever_the_relay_delivers() {
    let (states, steps) = look_at_all();
    println!("{states} states, {steps} steps");
    assert!(states > 1_000_000, "nothing was looked at");
}

#[test]
fn without_heartbeats_a_relay_keeps_a_member_sending_to_the_banned() {
    println!("{}", way_to_break(Rules::NoHeartbeats, STOPS).expect("the check can fail"));
}

#[test]
fn were_commits_proof_of_life_a_relay_could_hold_them_back() {
    println!("{}", way_to_break(Rules::CommitsProve, STOPS).expect("the check can fail"));
}

#[test]
fn without_orders_a_relay_could_lead_a_member_into_a_branch_without_the_ban() {
    println!("{}", way_to_break(Rules::NoOrders, BANNED).expect("the check can fail"));
}
