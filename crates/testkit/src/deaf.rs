//! How long a banned member still hears: from the moderator's tap until the last speaker has
//! changed keys.

use std::time::{Duration, Instant};

use sottovoce::{
    group::Role,
    room::{Admission, RoomOptions, Status},
};

use crate::net::{Net, options};

/// The times of so many bans, in order, in rooms of 12 with 50 ms of network each way and `loss`
/// percent lost; and what must not be.
pub fn times(seed: u64, loss: u32, bans: usize) -> (Vec<Duration>, Vec<String>) {
    let mut times = Vec::new();
    let mut violations = Vec::new();
    let mut round = 0;
    while times.len() < bans && violations.is_empty() {
        round += 1;
        one_room(seed.wrapping_mul(1_000) + round, loss, bans, &mut times, &mut violations);
    }
    times.sort_unstable();
    (times, violations)
}

/// One room in which a moderator bans one listener after the other.
fn one_room(seed: u64, loss: u32, bans: usize, times: &mut Vec<Duration>, violations: &mut Vec<String>) {
    const MEMBERS: usize = 12;
    let mut net = Net::new(seed);
    net.pace = Duration::from_millis(40);
    let mut terms: RoomOptions = options("deaf");
    terms.admission = Admission::Open;
    terms.default_role = Role::Speaker;
    let host = net.create("host", terms);
    let invite = net.invite(host);
    let mut peers = vec![host];
    peers.extend((1..MEMBERS).map(|n| net.knock(&format!("member {n}"), &invite)));
    net.run_until("all are in", |net| peers.iter().all(|peer| net.room(*peer).roster().len() == MEMBERS));
    let moderator = peers[1];
    let id = net.id(moderator);
    let _ = net.with(host, |room, now| room.set_role(id, Role::Moderator, now));
    net.run_for(Duration::from_secs(1));
    let there = Duration::from_millis(45)..Duration::from_millis(55);
    (net.control.delay, net.media.delay) = (there.clone(), there);
    (net.control.loss, net.media.loss) = (loss, loss);
    let speakers = [peers[0], peers[1], peers[2], peers[3]];
    speakers.iter().for_each(|peer| net.speak(*peer, true));
    net.run_for(Duration::from_secs(3));
    for banned in peers.into_iter().skip(4) {
        if times.len() >= bans {
            break;
        }
        net.devices[banned.0].keeps_keys = true;
        let id = net.id(banned);
        let tap = net.now;
        if net.with(moderator, |room, now| room.ban(id, now)).is_err() {
            violations.push(format!("deaf, seed {seed}: the moderator may not ban"));
            return;
        }
        let mut last: Option<Instant> = None;
        while last.is_none() && net.now < tap + Duration::from_secs(30) {
            net.run_for(Duration::from_millis(1));
            let rid = |net: &Net| {
                speakers.iter().all(|peer| net.devices[peer.0].room.hears().all(|other| other != id))
            };
            last = rid(&net).then_some(net.now);
        }
        match last {
            Some(at) => times.push(at - tap),
            None => violations.push(format!("deaf, seed {seed}: not banned after 30 s")),
        }
        net.run_for(Duration::from_secs(2));
        let heard = net.devices[banned.0].heard.iter().filter(|(_, sealed)| Some(*sealed) > last).count();
        if heard > 0 {
            violations.push(format!("deaf, seed {seed}: the banned opened {heard} packets"));
        }
        if net.devices[banned.0].room.status() != Status::Over {
            violations.push(format!("deaf, seed {seed}: the banned does not know"));
        }
    }
    violations.append(&mut net.watch.violations);
}

/// The time below which so many of 100 are; of none, zero.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(at).copied().unwrap_or_default()
}
