//! The known-answer vectors of headers, padding and whole packets, in `tests/vectors`.

use super::{
    header::Header,
    opus::{OpusPacket, Shape},
    seal::HEADROOM,
};
use crate::{
    id::{Counter, Epoch, KeyId, Leaf},
    keys::{
        ed25519::verify,
        speaker::{Signer, epoch_context, frame_message},
        vectors::cases,
    },
};

fn check_headers(file: &str, count: usize) {
    for case in cases(file, "header", count) {
        let header = Header { kid: KeyId(case.number("kid")), counter: Counter(case.number("ctr")) };
        let encoded = case.bytes("encoded");
        assert_eq!(header.to_vec(), encoded);
        // Whatever follows is not read.
        for tail in [[].as_slice(), &[0], &[0xff; 40]] {
            let frame = [&encoded, tail].concat();
            assert_eq!(Header::parse(&frame), Ok((header, encoded.len())));
        }
        for length in 0..encoded.len() {
            assert!(Header::parse(&encoded[..length]).is_err(), "{encoded:02x?} cut to {length}");
        }
        if (0x8000_0000..=0xffff_ffff).contains(&header.kid.0) && (0x100..=0xffff).contains(&header.counter.0)
        {
            let mut ours = [0; 7];
            header.write_ours(&mut ours);
            assert_eq!(ours.as_slice(), encoded);
        }
    }
}

#[test]
fn rfc_9605_headers() {
    check_headers("rfc9605.txt", 289);
}

#[test]
fn headers() {
    check_headers("header.txt", 441);
    for case in cases("header.txt", "refused", 41) {
        let encoded = case.bytes("encoded");
        assert!(Header::parse(&encoded).is_err(), "{encoded:02x?}");
    }
}

#[test]
fn padding() {
    for case in cases("padding.txt", "padding", 111) {
        let (packet, size) = (case.bytes("packet"), case.number("size") as usize);
        let shape = Shape::parse(&packet).unwrap();
        let growth = shape.growth(size - packet.len());
        let mut buffer = vec![0xee; HEADROOM];
        buffer.extend(&packet);
        let end = buffer.len();
        buffer.resize(HEADROOM + size, 0xee);
        let start = shape.grow(&mut buffer, HEADROOM, end, growth, case.number("fill") as u8).unwrap();
        assert_eq!(buffer[start..start + size], case.bytes("padded"));
    }
    for case in cases("padding.txt", "refused", 22) {
        let packet = case.bytes("packet");
        assert!(OpusPacket::parse(&packet).is_err(), "{packet:02x?}");
    }
}

#[test]
fn signatures() {
    let packets = cases("signature.txt", "packet", 12);
    let signed: Vec<_> = packets.iter().filter(|case| case.number("signed") == 1).collect();
    assert_eq!(signed.len(), 6);
    for case in signed {
        let (epoch, leaf) = (Epoch(case.number("epoch")), Leaf(case.number("leaf") as u32));
        let (group_id, authenticator) = (case.bytes("group_id"), case.bytes("authenticator"));
        assert_eq!(epoch_context(&group_id, epoch, &authenticator), case.array("context"));
        let signer = Signer::new(&case.array("seed"), &group_id, epoch, &authenticator, leaf);
        assert_eq!(signer.public, case.array("public"));
        assert_eq!(signer.context, case.array("speaker_context"));
        let (kid, counter) = (KeyId(case.number("kid")), Counter(case.number("ctr")));
        let message = frame_message(&signer.context, case.step(), kid, counter, &case.array("content"));
        assert_eq!(message.as_slice(), case.bytes("message"));
        let signature = case.bytes("signature");
        assert_eq!(signer.sign(&message).as_slice(), signature);
        verify(&signer.public, &message, signature.first_chunk().unwrap()).unwrap();
        let plaintext = case.bytes("plaintext");
        assert!(plaintext.ends_with(&signature) && OpusPacket::parse(&plaintext).is_ok());
    }
}
