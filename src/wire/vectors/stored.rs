//! `tests/vectors/membership.txt`: what is stored of a room.

use crate::{keys::vectors::cases, room::Membership};

const FILE: &str = "membership.txt";

#[test]
fn memberships() {
    for case in cases(FILE, "membership", 3) {
        let what = case.text("what");
        let membership = Membership::from_bytes(&case.bytes("bytes")).unwrap_or_else(|_| panic!("{what}"));
        let relays = membership.relays();
        let relays: Vec<_> = relays.iter().map(|name| name.as_str()).collect();
        assert_eq!(relays.join(","), case.text("relays"));
        assert_eq!(membership.as_bytes(), case.bytes("bytes"));
    }
}

#[test]
fn damaged_memberships_are_refused() {
    for case in cases(FILE, "refused", 16) {
        assert!(Membership::from_bytes(&case.bytes("bytes")).is_err(), "{}", case.text("why"));
    }
}
