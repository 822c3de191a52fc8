//! davey 0.2 as a contestant of `cargo bench --bench packet`, behind the protocol of
//! benches/peers/README.md.
//!
//! Two sessions of a group of two, made the way a voice gateway makes one: it proposes to add the
//! second member, the first commits, the second takes the welcome. Then batches on request.

use std::{
    error::Error,
    io::{self, BufRead, Write},
    num::NonZeroU16,
};

use davey::{Codec, DaveSession, MediaType, ProposalsOperationType};
use openmls::prelude::{
    BasicCredential, Ciphersuite, ExternalProposal, ExternalSender, GroupEpoch, GroupId, KeyPackageIn,
    OpenMlsProvider, ProtocolVersion, SenderExtensionIndex, VLBytes,
    tls_codec::{DeserializeBytes, Serialize},
};
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;
use sottovoce_measure::{
    alloc::Counting,
    batch::{Sample, WARM, time},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CHANNEL: u64 = 0x5eed_0001;
const SENDER: u64 = 0x5eed_0002;
const RECEIVER: u64 = 0x5eed_0003;

type Failed = Box<dyn Error>;

fn main() -> Result<(), Failed> {
    let mut call = Call::new()?;
    let mut out = io::stdout().lock();
    writeln!(out, "peer davey 0.2.0")?;
    out.flush()?;
    for line in io::stdin().lock().lines() {
        match answer(&mut call, &line?) {
            Ok(sample) => writeln!(out, "{} {}", sample.elapsed.as_nanos(), sample.allocations)?,
            Err(reason) => writeln!(out, "error {reason}")?,
        }
        out.flush()?;
    }
    Ok(())
}

fn answer(call: &mut Call, line: &str) -> Result<Sample, Failed> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [verb, size, count] = words[..] else { return Err("three words make a request".into()) };
    let (size, count) = (size.parse()?, count.parse::<usize>()?);
    if size == 0 || count == 0 {
        return Err("size and count are at least 1".into());
    }
    let sample = match verb {
        "seal" => call.seal(size, count)?,
        "open" => call.open(size, count)?,
        _ => return Err("a request seals or opens".into()),
    };
    if sample.count == count as u64 { Ok(sample) } else { Err("another number of packets was timed".into()) }
}

/// Both ends of a call.
struct Call {
    sender: DaveSession,
    receiver: DaveSession,
    random: u64,
}

impl Call {
    fn new() -> Result<Self, Failed> {
        let gateway = Gateway::new()?;
        let mut sender = gateway.admit(SENDER)?;
        let mut receiver = gateway.admit(RECEIVER)?;

        let proposal = gateway.propose(&receiver.create_key_package()?)?;
        let members = [SENDER, RECEIVER];
        let commit = sender
            .process_proposals(ProposalsOperationType::APPEND, &proposal, Some(&members))?
            .ok_or("no commit")?;
        sender.process_commit(&commit.commit)?;
        receiver.process_welcome(&commit.welcome.ok_or("no welcome")?, Some(&members))?;
        sender.prepare_transition(0, 1)?;
        receiver.prepare_transition(0, 1)?;
        Ok(Self { sender, receiver, random: 0x9e37_79b9_7f4a_7c15 })
    }

    /// Times sealing; the receiver then opens everything, untimed, so that its window follows.
    fn seal(&mut self, size: usize, count: usize) -> Result<Sample, Failed> {
        let mut items = self.items(size, count);
        let sender = &mut self.sender;
        let sample = time(items.iter_mut(), |item| {
            sender.encrypt_into(MediaType::AUDIO, Codec::OPUS, &item.plain, &mut item.sealed).is_ok()
        });
        let mut opened = vec![0; size + 256];
        for item in &items {
            let len = self.receiver.decrypt_into(SENDER, MediaType::AUDIO, &item.sealed, &mut opened)?;
            if opened.get(..len) != Some(&item.plain) || item.sealed.len() <= size {
                return Err("what opened is not what was sealed".into());
            }
        }
        Ok(sample)
    }

    /// Seals untimed, then times opening.
    fn open(&mut self, size: usize, count: usize) -> Result<Sample, Failed> {
        let mut items = self.items(size, count);
        for item in &mut items {
            self.sender.encrypt_into(MediaType::AUDIO, Codec::OPUS, &item.plain, &mut item.sealed)?;
        }
        let (receiver, mut opened) = (&mut self.receiver, vec![0; size + 256]);
        Ok(time(items.iter(), |item| {
            let len = receiver.decrypt_into(SENDER, MediaType::AUDIO, &item.sealed, &mut opened);
            len.is_ok_and(|len| len == size)
        }))
    }

    /// Packets with a TOC byte and random audio, and buffers that are large enough and touched.
    fn items(&mut self, size: usize, count: usize) -> Vec<Item> {
        let mut next = || {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            self.random as u8
        };
        (0..WARM + count)
            .map(|_| {
                let mut plain: Vec<u8> = (0..size).map(|_| next()).collect();
                plain[0] = 0x80;
                let mut sealed = vec![1; size + 256];
                sealed.clear();
                Item { plain, sealed }
            })
            .collect()
    }
}

struct Item {
    plain: Vec<u8>,
    sealed: Vec<u8>,
}

/// The external sender of a DAVE group: proposes members, and is none.
struct Gateway {
    signer: SignatureKeyPair,
    sender: ExternalSender,
}

impl Gateway {
    fn new() -> Result<Self, Failed> {
        let suite = Ciphersuite::MLS_128_DHKEMP256_AES128GCM_SHA256_P256;
        let signer = SignatureKeyPair::new(suite.signature_algorithm())?;
        let credential = BasicCredential::new(b"gateway".to_vec());
        let sender = ExternalSender::new(signer.public().into(), credential.into());
        Ok(Self { signer, sender })
    }

    fn admit(&self, user: u64) -> Result<DaveSession, Failed> {
        let version = NonZeroU16::new(1).ok_or("version 0")?;
        let mut session = DaveSession::new(version, user, CHANNEL, None)?;
        session.set_external_sender(&self.sender.tls_serialize_detached()?)?;
        Ok(session)
    }

    /// The proposal to add the owner of a key package to the group's first epoch.
    fn propose(&self, key_package: &[u8]) -> Result<Vec<u8>, Failed> {
        let provider = OpenMlsRustCrypto::default();
        let key_package = KeyPackageIn::tls_deserialize_exact_bytes(key_package)?
            .validate(provider.crypto(), ProtocolVersion::Mls10)?;
        let proposal = ExternalProposal::new_add::<OpenMlsRustCrypto>(
            key_package,
            GroupId::from_slice(&CHANNEL.to_be_bytes()),
            GroupEpoch::from(0),
            &self.signer,
            SenderExtensionIndex::new(0),
        )?;
        Ok(VLBytes::new(proposal.tls_serialize_detached()?).tls_serialize_detached()?)
    }
}
