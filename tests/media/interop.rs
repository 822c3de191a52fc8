//! Crate `sframe`, an implementation of RFC 9605 by other people, opens what we seal and seals what
//! we open.
//!
//! It is given what RFC 9605 asks for, a base key and a KID, which the test works out by itself.
//! (The ratchet of `sframe` 2.1 is not used: its label is not the RFC's.)

use sframe::{
    CipherSuite,
    frame::{EncryptedFrameView, MediaFrame, MonotonicCounter},
    key::{DecryptionKey, EncryptionKey},
};
use sottovoce::{Authenticity, Leaf, OpenError, Suite};
use sottovoce_testkit::stage::{Profile, Stage, opus};

fn theirs(suite: Suite) -> CipherSuite {
    match suite {
        Suite::Aes128Gcm => CipherSuite::AesGcm128Sha256,
        Suite::Aes256Gcm => CipherSuite::AesGcm256Sha512,
    }
}

#[test]
fn what_we_seal_opens_there_into_the_same_opus_packet() {
    for profile in Profile::all() {
        for size in [96, 160, 1_000] {
            let mut stage = Stage::of(3, Profile { size, ..profile });
            for step in 0..3 {
                let base_key = stage.insider().base_key(step);
                for leaf in 0..2 {
                    let kid = stage.insider().kid(Leaf(leaf), step);
                    let key = DecryptionKey::derive_from(theirs(profile.suite), kid, &base_key).unwrap();
                    for said in [b"hello".as_slice(), b"", &[0xff; 10]] {
                        let frame = stage.say(leaf, &opus::packet(said));
                        let opened = EncryptedFrameView::try_new(&frame).unwrap().decrypt(&key).unwrap();
                        assert_eq!(opus::frames(opened.payload()), Some(vec![said.to_vec()]));
                        assert_eq!(opened.payload(), stage.hear(2, &frame).unwrap().packet);
                        // And with the wrong KID's key it does not.
                        let wrong =
                            DecryptionKey::derive_from(theirs(profile.suite), kid ^ 4, &base_key).unwrap();
                        assert!(EncryptedFrameView::try_new(&frame).unwrap().decrypt(&wrong).is_err());
                    }
                }
                stage.pass(std::time::Duration::from_secs(10));
            }
        }
    }
}

#[test]
fn what_is_sealed_there_opens_here_from_counter_256_on() {
    for profile in Profile::all() {
        let mut stage = Stage::of(2, profile);
        let insider = stage.insider();
        let kid = insider.kid(Leaf(0), 0);
        let key = EncryptionKey::derive_from(theirs(profile.suite), kid, insider.base_key(0)).unwrap();
        // Their counters start anywhere; a key of this library uses 256 to 65,535.
        for start in [0, 20, 250, 0x1234, 65_530] {
            let mut counter = MonotonicCounter::with_start_value(start, u64::MAX);
            for number in start..start + 10 {
                let said = opus::packet(&number.to_be_bytes());
                let body = opus::untailed(&number.to_be_bytes(), usize::from(profile.size));
                let signed =
                    insider.signed(&stage.seed(Leaf(0)), Leaf(0), &insider.keys(Leaf(0), 0), number, &body);
                let plaintext = match profile.authenticity {
                    Authenticity::Group => said,
                    Authenticity::Signed => signed,
                };
                let frame = MediaFrame::try_new(&mut counter, &plaintext).unwrap().encrypt(&key).unwrap();
                let frame = frame.sframe_cipher_text();
                if !(256..=65_535).contains(&number) {
                    assert_eq!(stage.hear(1, frame), Err(OpenError::Malformed), "CTR {number}");
                    continue;
                }
                let heard = stage.hear(1, frame).unwrap();
                assert_eq!((heard.counter.0, heard.leaf, heard.packet), (number, Leaf(0), plaintext));
                assert_eq!(stage.hear(1, frame), Err(OpenError::Replayed));
            }
        }
    }
}
