//! Reading bencoded answers. They come from a relay, so nothing in them is believed to be
//! well-formed.

/// A value in an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(i64),
    Bytes(&'a [u8]),
    List(Vec<Value<'a>>),
    /// In the order in which it came; rtpengine does not sort.
    Dictionary(Vec<(&'a [u8], Value<'a>)>),
}

impl<'a> Value<'a> {
    /// What a dictionary has under that key.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Dictionary(pairs) = self else { return None };
        pairs.iter().find(|(known, _)| *known == key.as_bytes()).map(|(_, value)| value)
    }

    /// The first of a list.
    pub(super) fn first(&self) -> Option<&Self> {
        let Self::List(values) = self else { return None };
        values.first()
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        let Self::Bytes(bytes) = self else { return None };
        std::str::from_utf8(bytes).ok()
    }

    pub(super) fn number(&self) -> Option<i64> {
        let Self::Number(number) = self else { return None };
        Some(*number)
    }
}

/// One value that is all there is. `None` if it is anything else, or nested too deep.
pub(super) fn parse(bytes: &[u8]) -> Option<Value<'_>> {
    let (value, rest) = value(bytes, DEPTH)?;
    rest.is_empty().then_some(value)
}

fn value(bytes: &[u8], depth: usize) -> Option<(Value<'_>, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    match first {
        b'i' => {
            let (number, rest) = split(rest, b'e')?;
            Some((Value::Number(decimal(number)?), rest))
        }
        b'0'..=b'9' => string(bytes).map(|(bytes, rest)| (Value::Bytes(bytes), rest)),
        b'l' => {
            let (mut values, mut rest) = (Vec::new(), rest);
            loop {
                if let Some(rest) = rest.strip_prefix(b"e") {
                    return Some((Value::List(values), rest));
                }
                let (next, after) = value(rest, depth.checked_sub(1)?)?;
                values.push(next);
                rest = after;
            }
        }
        b'd' => {
            let (mut pairs, mut rest) = (Vec::new(), rest);
            loop {
                if let Some(rest) = rest.strip_prefix(b"e") {
                    return Some((Value::Dictionary(pairs), rest));
                }
                let (key, after) = string(rest)?;
                let (next, after) = value(after, depth.checked_sub(1)?)?;
                pairs.push((key, next));
                rest = after;
            }
        }
        _ => None,
    }
}

fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = split(bytes, b':')?;
    rest.split_at_checked(decimal(length)?.try_into().ok()?)
}

/// Before and after the first of these bytes.
fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = bytes.iter().take(LONGEST_NUMBER + 1).position(|byte| *byte == at)?;
    let (before, rest) = bytes.split_at_checked(place)?;
    Some((before, rest.get(1..)?))
}

fn decimal(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// How deep an answer may be nested.
const DEPTH: usize = 16;
/// Digits and sign of an i64.
const LONGEST_NUMBER: usize = 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_is_read_down_to_its_leaves() {
        let answer = parse(b"d4:tagsd1:pd6:mediasld7:streamsld4:porti4000eeeeeee6:result2:oke");
        let answer = answer.unwrap_or(Value::Number(0));
        assert_eq!(answer.get("result").and_then(Value::text), Some("ok"));
        let stream = answer
            .get("tags")
            .and_then(|tags| tags.get("p")?.get("medias")?.first()?.get("streams")?.first());
        assert_eq!(stream.and_then(|stream| stream.get("port")?.number()), Some(4_000));
        assert_eq!(answer.get("nothing"), None);
    }

    #[test]
    fn what_is_cut_off_nested_too_deep_or_lies_about_lengths_is_refused() {
        for bad in [
            &b""[..],
            b"i1",
            b"ie",
            b"i--1e",
            b"i99999999999999999999e",
            b"2:x",
            b"-1:x",
            b"99999999999999999999:x",
            b"li1e",
            b"d1:x",
            b"d1:xe",
            b"di1ei2ee",
            b"x",
            b"i1ei2e",
            b"4294967296:x",
        ] {
            assert_eq!(parse(bad), None, "{}", String::from_utf8_lossy(bad));
        }
        let nested = |depth: usize| [b"l".repeat(depth), b"e".repeat(depth)].concat();
        assert!(parse(&nested(DEPTH)).is_some());
        assert!(parse(&nested(DEPTH + 2)).is_none());
        assert!(parse(&b"l".repeat(60_000)).is_none());
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn random_words_of_the_language_never_panic(words in prop::collection::vec(
            prop::sample::select(vec!["d", "l", "e", "i", "1", ":", "3:abc", "i5e", "-"]), 0..60,
        )) {
            let _ = parse(words.concat().as_bytes());
        }
    }
}
