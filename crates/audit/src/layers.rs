//! What each protocol shows in clear, and which bytes it claims are sealed.

use std::{collections::BTreeSet, time::Duration};

use crate::{tcp::Stream, websocket};

/// What was found in one flow.
#[derive(Debug, Default)]
pub struct Found {
    /// What it is, by its first bytes.
    pub protocol: &'static str,
    /// What anybody on the way can read, a line each: nothing here is about what is said, or by
    /// whom.
    pub clear: Vec<String>,
    /// What should be readable to nobody.
    pub sealed: Vec<Sealed>,
    /// What is readable and should not be.
    pub readable: Vec<String>,
    /// What stands there under a mask that hides nothing, for searching.
    pub decoded: Vec<u8>,
}

/// Bytes that should look random.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// When they passed.
    pub at: Duration,
    /// A packet of the media lane, or a message of the control lane.
    pub lane: Lane,
    /// All bytes that were on the wire.
    pub whole: Vec<u8>,
    /// How many of them are a header in clear.
    pub header: usize,
    /// Key id and counter, of a packet.
    pub key: Option<(u64, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    Media,
    Control,
    /// Inside a transport that seals by itself, or nobody knows inside what.
    Other,
}

impl Sealed {
    /// The part that should look random.
    pub fn body(&self) -> &[u8] {
        self.whole.get(self.header..).unwrap_or_default()
    }
}

/// Takes the bytes of one direction of a TCP connection apart.
pub fn stream(stream: &Stream) -> Found {
    let bytes = &stream.bytes[..];
    let mut found = match bytes {
        [b's', b'v', b'r', b'e', b'l', b'a', b'y', version, rest @ ..] => {
            relay_stream(*version, rest, stream)
        }
        // A handshake, or an alert in place of one.
        [0x15 | 0x16, 0x03, ..] => tls(bytes),
        _ if websocket::is_start(bytes) => websocket::janus(bytes),
        _ if !stream.from_start => match resynchronise(bytes) {
            Some(place) => {
                let clear =
                    vec![format!("began before the capture; {place} bytes until the first whole message")];
                let mut found = Found { protocol: "relay, control lane", clear, ..Found::default() };
                found.sealed.push(other(Duration::ZERO, bytes.get(..place).unwrap_or_default()));
                frames(bytes, place, stream, &mut found);
                found
            }
            None => unknown([(Duration::ZERO, bytes)].into_iter()),
        },
        _ => unknown([(Duration::ZERO, bytes)].into_iter()),
    };
    if stream.beyond_a_hole() > 0 {
        let missing = format!("{} bytes stand behind a hole in the capture", stream.beyond_a_hole());
        found.readable.push(missing + ", and cannot be judged");
    }
    found
}

fn relay_stream(version: u8, rest: &[u8], stream: &Stream) -> Found {
    let mut found = Found { protocol: "relay, control lane", ..Found::default() };
    // A hello with handle, with a token or a part or without, a revocation, or an answer: they
    // differ in length, and an answer in its ninth byte, the status, after which a ticket comes if
    // it is 0.
    let whole_frames = |start: usize| follows_as_frames(&stream.bytes, start);
    let start = match (version, rest) {
        (1, [status @ 1..=6]) => {
            found.clear.push(format!("answer: status {status}"));
            stream.bytes.len()
        }
        (1, [0, ticket @ ..]) if ticket.len() >= 16 && (whole_frames(25) || !whole_frames(24)) => {
            found.clear.push("answer: status 0".to_owned());
            found.clear.push(format!("ticket: {}, random, of this connection", short(ticket)));
            25
        }
        (1, handle) if handle.len() >= 16 => {
            found.clear.push(format!("hello: handle of the room {}", short(handle)));
            24
        }
        (2, handle) if handle.len() >= 105 => {
            found.clear.push(format!("hello: handle of the room {}", short(handle)));
            token(&handle[16..], &mut found);
            113
        }
        (4, handle) if handle.len() >= 17 => {
            found.clear.push(format!("hello: handle of the room {}, part {}", short(handle), handle[16]));
            25
        }
        (3, order) if order.len() >= 88 => {
            token(order, &mut found);
            96
        }
        _ => {
            found.clear.push("a hello that is not whole".to_owned());
            return found;
        }
    };
    frames(&stream.bytes, start, stream, &mut found);
    found
}

fn token(bytes: &[u8], found: &mut Found) {
    let expiry = bytes.get(16..24).and_then(|expiry| expiry.try_into().ok()).map(u64::from_be_bytes);
    found.clear.push(format!("token: serial {}, expiry {}", short(bytes), expiry.unwrap_or(0)));
}

/// Whether the rest is whole messages, but for the last.
fn follows_as_frames(bytes: &[u8], mut place: usize) -> bool {
    while let Some(length) = bytes.get(place..place + 2) {
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        if !ENVELOPES.contains(&length) {
            return false;
        }
        place += 2 + length;
    }
    true
}

fn resynchronise(bytes: &[u8]) -> Option<usize> {
    (0..bytes.len().min(ENVELOPES[4] + 2)).find(|place| {
        let enough = bytes.len() > place + 2;
        enough && follows_as_frames(bytes, *place) && bytes[*place..].len() > 1_026
    })
}

fn frames(bytes: &[u8], mut place: usize, stream: &Stream, found: &mut Found) {
    let mut sizes = BTreeSet::new();
    while let Some(length) = bytes.get(place..place + 2) {
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let Some(message) = bytes.get(place + 2..place + 2 + length) else { break };
        sizes.insert(length);
        let sealed = Sealed {
            at: stream.time(place),
            lane: Lane::Control,
            whole: message.to_vec(),
            header: 0,
            key: None,
        };
        found.sealed.push(sealed);
        place += 2 + length;
    }
    let odd: Vec<_> = sizes.iter().filter(|size| !ENVELOPES.contains(size)).collect();
    if !odd.is_empty() {
        found.readable.push(format!("control messages of {odd:?} bytes, which is no size of an envelope"));
    }
    if place < bytes.len() {
        // The capture ended within a message.
        found.sealed.push(other(stream.time(place), bytes.get(place + 2..).unwrap_or_default()));
    }
    if !sizes.is_empty() {
        found.clear.push(format!("length of each control message: {sizes:?}"));
    }
}

/// Takes all datagrams from one address to another apart.
pub fn datagrams(said: &[(Duration, Vec<u8>)], of_a_relay: bool, port_53: bool) -> Found {
    let any = |test: fn(&[u8]) -> bool| said.iter().any(|(_, bytes)| test(bytes));
    if of_a_relay || any(|bytes| bytes.starts_with(b"\xff\x00sv")) {
        relay_datagrams(said)
    } else if port_53 {
        let readable = vec!["DNS: the names that were looked up".to_owned()];
        Found { protocol: "DNS", readable, ..Found::default() }
    } else if any(is_dtls) || any(is_stun) && !any(is_rtp) {
        dtls(said)
    } else if any(is_quic_start) {
        quic(said)
    } else if said.iter().all(|(_, bytes)| ng_dictionary(bytes).is_some()) {
        ng(said)
    } else if is_rtp_flow(said) || said.iter().all(|(_, bytes)| is_rtp_padding(bytes)) {
        rtp(said)
    } else if said.iter().all(|(_, bytes)| sframe(bytes).is_some()) {
        relay_datagrams(said)
    } else {
        unknown(said.iter().map(|(at, bytes)| (*at, &bytes[..])))
    }
}

fn relay_datagrams(said: &[(Duration, Vec<u8>)]) -> Found {
    let mut found = Found { protocol: "relay, media lane", ..Found::default() };
    let mut kinds = [0usize; 4];
    let mut bare = 0usize;
    for (at, bytes) in said {
        match &bytes[..] {
            [0xff, 0x00, b's', b'v', 1, kind @ 1..=3, ..] if matches!(bytes.len(), 22 | 38) => {
                kinds[usize::from(*kind)] += 1;
            }
            _ => match sframe(bytes) {
                Some((header, kid, counter)) => {
                    let key = Some((kid, counter));
                    found.sealed.push(Sealed {
                        at: *at,
                        lane: Lane::Media,
                        whole: bytes.clone(),
                        header,
                        key,
                    });
                }
                None => {
                    bare += 1;
                    found.sealed.push(other(*at, bytes));
                }
            },
        }
    }
    for (name, count) in [("bind", kinds[1]), ("challenge", kinds[2]), ("bound", kinds[3])] {
        if count > 0 {
            found.clear.push(format!(
                "{name}: {count}, with ticket{}",
                if name == "bound" { "" } else { " and cookie" }
            ));
        }
    }
    if found.sealed.iter().any(|sealed| sealed.key.is_some()) {
        found.clear.push("SFrame header: configuration b9, KID, CTR".to_owned());
    }
    if bare > 0 {
        found.readable.push(format!("{bare} packets without an SFrame header: not sealed by this library"));
    }
    found
}

/// Length, KID and CTR of the header of a packet that this library seals (SPEC section 3.2): one
/// form of those that RFC 9605 has, since in any of them a good part of all plain Opus packets
/// would pass for sealed.
pub fn sframe(bytes: &[u8]) -> Option<(usize, u64, u64)> {
    let ([0xb9, a, b, c, d, high, low], rest) = bytes.split_first_chunk()? else { return None };
    let (kid, counter) = (u32::from_be_bytes([*a, *b, *c, *d]), u16::from_be_bytes([*high, *low]));
    // A packet of 16 bytes at least, and the tag.
    let ours = kid >> 31 == 1 && counter >= 256 && rest.len() >= 32;
    ours.then_some((7, kid.into(), counter.into()))
}

// ---- what other relays speak
// ----------------------------------------------------------------------------

fn is_stun(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first >> 6 == 0) && bytes.get(4..8) == Some(&[0x21, 0x12, 0xa4, 0x42])
}

fn is_dtls(bytes: &[u8]) -> bool {
    matches!(bytes, [20..=26, 0xfe, 0xfd | 0xff, ..])
}

fn is_rtp(bytes: &[u8]) -> bool {
    bytes.len() >= 12 && bytes[0] >> 6 == 2
}

/// Four bytes of padding and nothing else, which keeps a way open.
fn is_rtp_padding(bytes: &[u8]) -> bool {
    is_rtp(bytes) && bytes[0] == 0xa0 && bytes.get(12..) == Some(&[0, 0, 0, 4])
}

/// A long header of version 1 or 2 with connection ids of a length that there is. A relay's first
/// is a Retry, which is short. The second bit says nothing (RFC 9287).
fn is_quic_start(bytes: &[u8]) -> bool {
    let Some(([first, version @ .., ids], rest)) = bytes.split_first_chunk::<6>() else { return false };
    let known = matches!(version, [0, 0, 0, 1] | [0x6b, 0x33, 0x43, 0xcf]);
    first & 0x80 != 0 && known && *ids <= 20 && rest.len() > usize::from(*ids) + 16
}

/// RTP looks like many things; only a flow with one SSRC, whose sequence numbers count, is taken
/// for it.
fn is_rtp_flow(said: &[(Duration, Vec<u8>)]) -> bool {
    let packets: Vec<&[u8]> =
        said.iter().map(|(_, bytes)| &bytes[..]).filter(|bytes| is_rtp(bytes)).collect();
    let number = |bytes: &[u8]| u16::from_be_bytes([bytes[2], bytes[3]]);
    let counted =
        packets.windows(2).filter(|pair| number(pair[1]).wrapping_sub(number(pair[0])) <= 8).count();
    let sources: BTreeSet<&[u8]> = packets.iter().map(|bytes| &bytes[8..12]).collect();
    packets.len() * 10 > said.len() * 9
        && sources.len() <= 4
        && counted * 10 > packets.len().saturating_sub(1) * 9
}

fn rtp(said: &[(Duration, Vec<u8>)]) -> Found {
    let mut found = Found { protocol: "RTP", ..Found::default() };
    let (mut sources, mut types, mut marked, mut extensions) = (BTreeSet::new(), BTreeSet::new(), 0, 0);
    let mut bare = 0usize;
    for (at, bytes) in said.iter().filter(|(_, bytes)| is_rtp(bytes)) {
        // RTCP stands where payload types 64 to 95 would be.
        let kind = bytes[1] & 0x7f;
        if (64..96).contains(&kind) {
            continue;
        }
        sources.insert(short(&bytes[8..12]));
        types.insert(kind);
        marked += usize::from(bytes[1] >> 7);
        let (header, extended) = rtp_header(bytes);
        extensions += usize::from(extended);
        let payload = bytes.get(header..).unwrap_or_default();
        if is_rtp_padding(bytes) {
            continue;
        }
        match sframe(payload) {
            Some((inner, kid, counter)) => found.sealed.push(Sealed {
                at: *at,
                lane: Lane::Media,
                whole: payload.to_vec(),
                header: inner,
                key: Some((kid, counter)),
            }),
            None => {
                bare += 1;
                found.sealed.push(other(*at, payload));
            }
        }
    }
    found.clear.push(format!("SSRC {sources:?}, payload type {types:?}, sequence numbers, time stamps"));
    found.clear.push(format!("marker bit on {marked} packets"));
    if bare > 0 {
        found.clear.push(format!("{bare} payloads without an SFrame header: SRTP, or not sealed at all"));
    }
    found.readable.extend(loud(extensions));
    found
}

/// How long the header of an RTP packet is, and whether something stands in its extension.
fn rtp_header(bytes: &[u8]) -> (usize, bool) {
    let fixed = 12 + 4 * usize::from(bytes[0] & 15);
    match bytes.get(fixed + 2..fixed + 4) {
        Some(words) if bytes[0] & 0x10 != 0 => {
            let words = usize::from(u16::from_be_bytes([words[0], words[1]]));
            (fixed + 4 + 4 * words, words > 0)
        }
        _ => (fixed, false),
    }
}

fn loud(extensions: usize) -> Option<String> {
    (extensions > 0)
        .then(|| format!("{extensions} header extensions, which may say how loud somebody speaks"))
}

/// What stands behind the cookie in a datagram of rtpengine's control protocol.
fn ng_dictionary(bytes: &[u8]) -> Option<&[u8]> {
    let cookie = bytes.iter().take(64).position(|byte| *byte == b' ')?;
    let dictionary = bytes.get(cookie + 1..)?;
    (dictionary.starts_with(b"d") && dictionary.ends_with(b"e")).then_some(dictionary)
}

/// Signalling in clear: all of it is words of the protocol, addresses, and names that must be
/// pseudonyms.
fn ng(said: &[(Duration, Vec<u8>)]) -> Found {
    let mut found = Found { protocol: "rtpengine, control", ..Found::default() };
    let (mut calls, mut tags) = (BTreeSet::new(), BTreeSet::new());
    let mut odd = 0;
    for dictionary in said.iter().filter_map(|(_, bytes)| ng_dictionary(bytes)) {
        let text = String::from_utf8_lossy(dictionary);
        let after =
            |key: &str| text.split(key).nth(1).map(|rest| rest.chars().skip_while(|c| c.is_ascii_digit()));
        let name =
            |key| after(key).map(|rest| rest.skip(1).take_while(char::is_ascii_hexdigit).collect::<String>());
        if let Some(call) = name("7:call-id") {
            odd += usize::from(call.len() < 32);
            calls.insert(call.chars().take(32).collect::<String>());
        }
        tags.extend(name("6:to-tag"));
    }
    found.clear.push(format!(
        "commands, addresses and ports of media, {} call-ids, {} tags",
        calls.len(),
        tags.len()
    ));
    if odd > 0 {
        found.readable.push(format!("{odd} questions about calls whose ids are no pseudonyms"));
    }
    found
}

fn dtls(said: &[(Duration, Vec<u8>)]) -> Found {
    let mut found = Found { protocol: "DTLS and STUN", ..Found::default() };
    let (mut handshakes, mut stun, mut records, mut extensions) = (0, 0, 0, 0);
    for (at, bytes) in said {
        if is_stun(bytes) {
            stun += 1;
        } else if matches!(bytes.first(), Some(22)) && is_dtls(bytes) && bytes.get(3..5) == Some(&[0, 0]) {
            handshakes += 1;
        } else if is_dtls(bytes) {
            records += 1;
            found.sealed.push(other(*at, bytes.get(13..).unwrap_or_default()));
        } else if is_rtp(bytes) {
            // RTCP stands where payload types 64 to 95 would be. It is numbered, before or behind
            // its tag.
            let (sealed, extended) = match (64..96).contains(&(bytes[1] & 0x7f)) {
                true => (8..bytes.len().saturating_sub(14).max(8), false),
                false => {
                    let (header, extended) = rtp_header(bytes);
                    (header..bytes.len(), extended)
                }
            };
            extensions += usize::from(extended);
            found.sealed.push(other(*at, bytes.get(sealed).unwrap_or_default()));
        }
    }
    found.clear.push(format!("STUN: {stun}, with user names of the ICE session and addresses"));
    found.clear.push(format!(
        "DTLS: {handshakes} handshake records (in DTLS 1.2 with certificates), {records} sealed ones"
    ));
    found.readable.extend(loud(extensions));
    found
}

fn quic(said: &[(Duration, Vec<u8>)]) -> Found {
    let mut found = Found { protocol: "QUIC", ..Found::default() };
    let long =
        said.iter().filter(|(_, bytes)| matches!(bytes.first(), Some(first) if first & 0x80 != 0)).count();
    for (at, bytes) in said {
        // Initial packets are sealed under keys that anybody can derive: the name of the server
        // stands in them.
        let header = if bytes.first().is_some_and(|first| first & 0x80 != 0) { bytes.len() } else { 21 };
        found.sealed.push(other(*at, bytes.get(header..).unwrap_or_default()));
    }
    found.clear.push(format!(
        "{long} long headers with version and connection ids; server name in the first of them"
    ));
    found.clear.push("short headers: connection id".to_owned());
    found
}

fn tls(bytes: &[u8]) -> Found {
    let mut found = Found { protocol: "TLS", ..Found::default() };
    let (mut rest, mut handshakes) = (bytes, 0);
    while let Some(([kind, _, _, high, low], after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (record, next) = after.split_at(length);
        match kind {
            23 => found.sealed.push(other(Duration::ZERO, record)),
            _ => handshakes += 1,
        }
        rest = next;
    }
    found.clear.push(format!("{handshakes} handshake records, the name of the server among them"));
    found
}

fn unknown<'a>(pieces: impl Iterator<Item = (Duration, &'a [u8])>) -> Found {
    let sealed: Vec<Sealed> = pieces.map(|(at, bytes)| other(at, bytes)).collect();
    let first = sealed.first().map_or_else(String::new, |first| short(&first.whole));
    let readable = vec![format!("a protocol that is not known here, beginning with {first}")];
    Found { protocol: "unknown", sealed, readable, ..Found::default() }
}

fn other(at: Duration, bytes: &[u8]) -> Sealed {
    Sealed { at, lane: Lane::Other, whole: bytes.to_vec(), header: 0, key: None }
}

/// The first 16 bytes in hex.
fn short(bytes: &[u8]) -> String {
    bytes.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The sizes of envelopes (SPEC section 8.3).
const ENVELOPES: [usize; 5] = [1_024, 2_048, 4_096, 8_192, 16_384];
