//! `tests/vectors/room.txt`, derived a second time by `tests/vectors/room.py` from SPEC sections 6 to 8.

use super::{
    Identity, Invite, Name, PairCode, RoomCode,
    announcement::Announcement,
    chain::{Certificate, HandOver},
    envelope::{Inbox, LaneKey},
    invite::UnixTime,
    message::{Beat, Broken, Heartbeat, Message, Plea, RefuseReason, Refused, branch},
    mls::{JoinSecret, Purpose, knock_aad, petition_aad},
    order::Order,
    state::RoomState,
    vouch::{Lost, Vouch},
};
use crate::{
    Authenticity, Epoch, Leaf, Suite,
    group::Role,
    id::MemberId,
    keys::{
        secret::Secret,
        vectors::{Case, cases},
    },
};

fn identity(case: &Case) -> Identity {
    Identity::from_seed(case.array("seed"), Name::new("any").unwrap())
}

fn member(case: &Case, name: &str) -> MemberId {
    MemberId::from_bytes(case.array(name))
}

#[test]
fn identities_and_credentials() {
    for case in cases("room.txt", "identity", 2) {
        assert_eq!(identity(&case).public().to_vec(), case.bytes("public"));
        assert_eq!(identity(&case).id(), member(&case, "id"));
    }
    for case in cases("room.txt", "credential", 1) {
        let name = String::from_utf8(case.bytes("name")).unwrap();
        let identity = Identity::from_seed(case.array("seed"), Name::new(&name).unwrap());
        let credential = identity.credential(&case.bytes("group_id"), &case.array("leaf_key"));
        assert_eq!(credential.encode(), case.bytes("credential"));
    }
}

#[test]
fn invites_and_lanes() {
    for case in cases("room.txt", "invite", 2) {
        let invite: Invite = case.text("link").parse().unwrap();
        assert_eq!(invite.to_string(), case.text("link"));
        assert_eq!(invite.to_qr(), case.text("qr"));
        assert_eq!(case.text("qr").parse::<Invite>().unwrap().to_string(), case.text("link"));
        assert_eq!(invite.id.0, case.array("invite"));
        assert_eq!(invite.lane.bytes(), case.bytes("lane_key"));
        assert_eq!(invite.join_key.0, case.array("join_key"));
        assert_eq!(invite.group_id, case.array("group_id"));
        assert_eq!(u64::from(invite.key_exchange().id()), case.number("cipher_suite"));
        assert_eq!(invite.host(), member(&case, "host"));
        assert_eq!(invite.expires(), UnixTime(case.number("expires")));
        assert_eq!(u64::from(invite.uses), case.number("uses"));
        assert_eq!(invite.relays()[0].as_str().as_bytes(), case.bytes("relay0"));
    }
    for case in cases("room.txt", "lane", 1) {
        assert_eq!(LaneKey::new(&case.array("lane_key")).handle(), case.array("handle"));
    }
    for case in cases("room.txt", "envelope", 3) {
        let opened =
            Inbox::default().receive(&LaneKey::new(&case.array("lane_key")), &case.bytes("envelope"));
        assert_eq!(opened, Ok(Some(case.bytes("message"))));
    }
}

#[test]
fn knocks() {
    for case in cases("room.txt", "knock", 1) {
        let secret = JoinSecret::derive(&Secret::wrap(case.bytes("ikm"))).unwrap();
        assert_eq!(secret.public().0, case.array("join_key"));
        let Ok(Message::Knock(knock)) = Message::decode(&case.bytes("message")) else {
            panic!("not a knock")
        };
        let aad = knock_aad(&case.bytes("group_id"), &case.array("invite"), &case.array("reference"));
        assert_eq!(
            secret.open(Purpose::Knock, &knock.kem_output, &knock.sealed, &aad),
            Some(case.bytes("key_package"))
        );
        assert_eq!(Message::Knock(knock).encode(), case.bytes("message"));
    }
}

#[test]
fn refusals_and_heartbeats() {
    let reasons = [
        RefuseReason::Declined,
        RefuseReason::Expired,
        RefuseReason::UsedUp,
        RefuseReason::Banned,
        RefuseReason::Present,
        RefuseReason::Full,
        RefuseReason::Unknown,
    ];
    for (case, reason) in cases("room.txt", "refused", 7).iter().zip(reasons) {
        let host = Identity::from_seed(case.array("host_seed"), Name::new("any").unwrap());
        let (signer, group_id) = (identity(case), case.bytes("group_id"));
        let certificate = Certificate::new(&host, &group_id, signer.id());
        let certificate = (case.number("certified") == 1).then_some(certificate);
        let refused = Refused::new(&signer, &group_id, case.array("reference"), reason, certificate);
        assert!(refused.is_from(host.id(), &group_id));
        assert_eq!(Message::Refused(refused).encode(), case.bytes("message"));
    }
    for case in cases("room.txt", "heartbeat", 1) {
        let branch = branch(&case.bytes("authenticator"));
        assert_eq!(branch, case.array("branch"));
        let epoch = Epoch(case.number("epoch"));
        let group_id = case.bytes("group_id");
        let beat = Beat {
            term: case.number("term"),
            epoch,
            branch,
            elapsed_ms: case.number("elapsed"),
            at_ms: case.number("at"),
            door_key: case.array("door_key"),
            chain: vec![HandOver::new(&identity(&case), &group_id, member(&case, "next"))],
        };
        let heartbeat = Heartbeat::new(&identity(&case), &group_id, beat);
        assert_eq!(Message::Heartbeat(heartbeat).encode(), case.bytes("message"));
    }
}

#[test]
fn petitions() {
    for case in cases("room.txt", "petition", 3) {
        let secret = JoinSecret::derive(&Secret::wrap(case.bytes("ikm"))).unwrap();
        let door_key = secret.public().0;
        assert_eq!(door_key, case.array("door_key"));
        let Ok(Message::Petition(petition)) = Message::decode(&case.bytes("message")) else {
            panic!("not a petition")
        };
        let group_id = case.bytes("group_id");
        let aad = petition_aad(&group_id, &door_key, &petition.reference);
        let plain = secret.open(Purpose::Petition, &petition.kem_output, &petition.sealed, &aad).unwrap();
        let signer = identity(&case);
        let expected = match case.number("kind") {
            kind @ (1 | 3) => {
                let order =
                    Order::new(&signer, &group_id, member(&case, "target"), case.number("serial"), true);
                let broken = (kind == 3)
                    .then(|| Broken { by: member(&case, "broken_by"), epoch: Epoch(case.number("epoch")) });
                Plea::Return { key_package: case.bytes("key_package"), orders: vec![order], broken }
            }
            _ => Plea::leave(&signer, &group_id, &door_key),
        };
        assert_eq!(Plea::decode(&plain), Ok(expected));
        assert_eq!(Message::Petition(petition).encode(), case.bytes("message"));
    }
}

/// Decodes the message of a case, unless a reader has to refuse it.
fn taken(case: &Case, expected: Message) {
    let decoded = Message::decode(&case.bytes("message"));
    if case.number("taken") == 1 {
        assert_eq!(decoded, Ok(expected));
    } else {
        assert!(decoded.is_err());
    }
}

#[test]
fn those_who_are_lost_and_those_who_know() {
    for case in cases("room.txt", "lost", 4) {
        let asks = case.list("asks").into_iter().filter(|ask| !ask.is_empty());
        let asks = asks.map(|ask| MemberId::from_bytes(ask.try_into().unwrap()));
        let group_id = case.bytes("group_id");
        let lost = Lost::new(&identity(&case), &group_id, case.number("at"), asks.collect());
        assert!(lost.is_genuine(&group_id));
        let message = Message::Lost(lost);
        assert_eq!(message.encode(), case.bytes("message"));
        taken(&case, message);
    }
    for case in cases("room.txt", "vouch", 1) {
        let (group_id, keeper) = (case.bytes("group_id"), member(&case, "keeper"));
        let vouch = Vouch::new(&identity(&case), &group_id, keeper, case.number("at"));
        assert_eq!(Message::Vouch(vouch.clone()).encode(), case.bytes("message"));
        assert_eq!(Message::decode(&case.bytes("message")), Ok(Message::Vouch(vouch)));
    }
    for case in cases("room.txt", "shown", 3) {
        let bans = case.number("bans");
        let target = member(&case, "target");
        let order =
            Order::new(&identity(&case), &case.bytes("group_id"), target, case.number("serial"), bans == 1);
        if bans < 2 {
            assert_eq!(Message::Order(order).encode(), case.bytes("message"));
        }
        taken(&case, Message::Order(order));
    }
}

#[test]
fn echoes_and_missing_keys() {
    let both_ways = |case: &Case, announcement: Announcement| {
        assert_eq!(announcement.encode(), case.bytes("announcement"));
        assert_eq!(Announcement::decode(&case.bytes("announcement")), Ok(announcement));
    };
    for case in cases("room.txt", "echo", 1) {
        both_ways(&case, Announcement::Echo { heard_ms: case.number("heard"), at_ms: case.number("at") });
    }
    for case in cases("room.txt", "missing", 2) {
        let leaves = case.numbers("leaves").into_iter().map(|leaf| Leaf(leaf.try_into().unwrap()));
        both_ways(&case, Announcement::Missing(leaves.collect()));
    }
}

#[test]
fn states_and_codes() {
    for case in cases("room.txt", "state", 1) {
        let state = RoomState::decode(&case.bytes("state")).unwrap();
        assert_eq!(state.encode(), case.bytes("state"));
        let group_id = case.bytes("group_id");
        assert_eq!(state.verify(&group_id, None), Ok(()));
        assert_eq!(state.terms.name.as_str().as_bytes(), case.bytes("name"));
        let founder = identity(&case);
        let next = Identity::from_seed(case.array("next_seed"), Name::new("any").unwrap());
        assert_eq!((state.terms.founder, state.host()), (founder.id(), next.id()));
        assert_eq!(state.chain(), [HandOver::new(&founder, &group_id, next.id())]);
        assert_eq!((state.keeper, state.term), (member(&case, "keeper"), case.number("term")));
        assert_eq!(state.terms.default_role, Role::Listener);
        assert_eq!((state.terms.suite, state.terms.authenticity), (Suite::Aes256Gcm, Authenticity::Group));
        assert_eq!(u64::from(state.terms.packet_size.bytes()), case.number("packet_size"));
        assert_eq!(state.role(founder.id()), Role::Moderator);
        assert_eq!(state.role(member(&case, "id_speaker")), Role::Speaker);
        assert!(state.is_muted(member(&case, "id_speaker")) && state.muted().len() == 1);
        assert!(state.is_banned(member(&case, "banned")) && !state.is_banned(member(&case, "lifted")));
        let lifted = state.order(member(&case, "lifted")).unwrap();
        assert_eq!((lifted.issuer(), lifted.serial), (founder.id(), case.number("serial")));
    }
    for case in cases("room.txt", "room_code", 1) {
        let keys = ["key0", "key1", "key2"].map(|name| case.array(name));
        let code = RoomCode::new(&case.bytes("group_id"), &case.bytes("authenticator"), keys.into_iter());
        assert_eq!(code.to_string().replace(' ', "_"), case.text("code"));
    }
    for case in cases("room.txt", "pair_code", 2) {
        assert_eq!(
            PairCode::new(&case.array("key0"), &case.array("key1")).to_string().replace(' ', "_"),
            case.text("code")
        );
    }
}
