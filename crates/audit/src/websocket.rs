//! One direction of a WebSocket in clear, and what Janus and its clients say on it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::layers::Found;

/// Whether a TCP stream begins one, from either side.
pub fn is_start(bytes: &[u8]) -> bool {
    let [head, _] = halves(bytes);
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    (text.starts_with("get ") || text.starts_with("http/1.1 101 ")) && text.contains("\r\nupgrade: websocket")
}

/// Takes one apart that carries Janus' JSON; whatever else it carries is readable.
pub fn janus(bytes: &[u8]) -> Found {
    let mut found = Found { protocol: "Janus, signalling", ..Found::default() };
    let [head, mut rest] = halves(bytes);
    found.decoded.extend_from_slice(head);
    let (mut verbs, mut rooms, mut names) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut descriptions, mut pins, mut odd) = (0, 0, 0);
    while let Some((kind, payload, after)) = frame(rest) {
        rest = after;
        found.decoded.extend_from_slice(&payload);
        // Closing, ping and pong have no meaning of their own.
        if kind >= 8 {
            continue;
        }
        let Ok(message) = serde_json::from_slice::<Value>(&payload) else {
            odd += 1;
            continue;
        };
        let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        verbs.insert(
            message
                .get("body")
                .and_then(|body| body.get("request"))
                .map_or_else(|| word(message.get("janus").unwrap_or(&Value::Null)), word),
        );
        walk(&message, &mut |key, value| match (key, value) {
            ("room", Value::Number(number)) => drop(rooms.insert(number.to_string())),
            ("pin" | "secret", Value::String(_)) => pins += 1,
            ("sdp", _) => descriptions += 1,
            ("display" | "description" | "opaque_id", Value::String(name)) if !is_none(name) => {
                names.insert(name.clone());
            }
            _ => {}
        });
    }
    found.clear.push(format!("messages: {}", Vec::from_iter(verbs).join(", ")));
    if descriptions > 0 {
        found.clear.push(format!(
            "{descriptions} SDP, with fingerprints of certificates, users of the ICE session and addresses"
        ));
    }
    if !rooms.is_empty() {
        found.clear.push(format!("pseudonym of the room: {}", Vec::from_iter(rooms).join(", ")));
    }
    if pins > 0 {
        found.clear.push(format!("{pins} times its pin or secret: who reads that can come in"));
    }
    if !names.is_empty() {
        found.readable.push(format!("names: {}", Vec::from_iter(names).join(", ")));
    }
    if odd > 0 || !rest.is_empty() {
        found
            .readable
            .push(format!("{odd} messages that are no JSON, {} bytes that are no frame", rest.len()));
    }
    found
}

/// Janus calls a room without a name after its number.
fn is_none(name: &str) -> bool {
    name.is_empty() || name.strip_prefix("Room ").is_some_and(|rest| rest.parse::<u64>().is_ok())
}

/// Calls `look` for everything that has a key.
fn walk(value: &Value, look: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            look(key, value);
            walk(value, look);
        }),
        Value::Array(values) => values.iter().for_each(|value| walk(value, look)),
        _ => {}
    }
}

/// HTTP, and what follows it.
fn halves(bytes: &[u8]) -> [&[u8]; 2] {
    let end = bytes.windows(4).take(4_096).position(|four| four == b"\r\n\r\n");
    let (head, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 4));
    [head, rest]
}

/// Kind and unmasked payload of the first frame, and what follows it (RFC 6455 section 5.2).
fn frame(bytes: &[u8]) -> Option<(u8, Vec<u8>, &[u8])> {
    let ([first, second], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match second & 0x7f {
        126 => {
            rest.split_first_chunk().map(|(length, rest)| (u64::from(u16::from_be_bytes(*length)), rest))?
        }
        127 => rest.split_first_chunk().map(|(length, rest)| (u64::from_be_bytes(*length), rest))?,
        length => (u64::from(length), rest),
    };
    let (mask, rest) = match second & 0x80 {
        0 => ([0; 4], rest),
        _ => rest.split_first_chunk().map(|(mask, rest)| (*mask, rest))?,
    };
    let (payload, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Some((first & 0x0f, payload, rest))
}
