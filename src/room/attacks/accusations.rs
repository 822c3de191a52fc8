//! Members that say that they could not process the commit of another.

use super::*;
use crate::wire::show::Broken;

#[test]
fn who_accuses_a_member_of_one_renewal_again_and_again_does_not_keep_it_from_renewing() {
    let mut party = Party::new(3);
    let (victim, rebel) = (1, 2);
    party.rebel(rebel);
    let (id, by) = (party.id(victim), IdentityKey::from_bytes(*party.rooms[victim].out.identity.public()));
    let mut renewals = Vec::new();
    let mut before = party.epoch(0).unwrap().0;
    for second in 0..4_500u32 {
        party.pass(SECOND);
        let epoch = party.epoch(0).unwrap().0;
        renewals.extend((before..epoch).filter(|epoch| party.seat(0).renewed.contains(&(*epoch, id))));
        before = epoch;
        if let Some(first) = renewals.first()
            && second % 300 == 0
        {
            let broken = Some(Broken { by, epoch: Epoch(*first) });
            let mut reference = [7; 32];
            reference[..4].copy_from_slice(&second.to_be_bytes());
            let wish = Wish::Return { key_package: vec![0; 100], broken };
            let message = party.wish_of_host(&identity(rebel), reference, wish);
            party.send(rebel, &message);
        }
    }
    assert!(renewals.len() >= 4, "{} renewals in 75 minutes", renewals.len());
}
