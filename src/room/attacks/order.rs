//! The order of keepers, which nobody without rank can choose (SPEC section 6, rule K1): the cases
//! `order` of `tests/vectors/law.txt`.

use std::sync::Arc;

use super::*;
use crate::{
    keys::vectors::cases,
    law::{Anchor, LiveSet, Pins, Statement, Terms},
};

#[test]
fn keepers_come_in_the_order_of_the_vectors() {
    let terms = &cases("law.txt", "terms", 4)[0];
    let terms = Arc::new(Terms::decode(&terms.bytes("terms")).unwrap());
    for case in cases("law.txt", "order", 2) {
        let statements = case.list("statements");
        let genuine = statements
            .iter()
            .map(|bytes| Statement::decode(bytes).unwrap().verify(&terms.group_id()).unwrap());
        let set = LiveSet::new(terms.clone(), Anchor::Founder)
            .union(genuine, &Pins::of_office(crate::law::Office(terms.group_id().0), &terms.group_id()));
        let key = |bytes: Vec<u8>| IdentityKey::from_bytes(bytes.try_into().unwrap());
        let mut members: Vec<_> = case.list("members").into_iter().map(key).collect();
        members.sort_by_key(|member| Place::of(set.law(), member));
        let keys: Vec<_> = case.list("keys").into_iter().map(key).collect();
        assert_eq!(members, keys);
    }
}
