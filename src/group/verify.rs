//! Numbers that people compare to know that nobody stands between them (SPEC section 7.11).

use std::fmt;

use super::codec::Writer;
use crate::keys::derive::hkdf_sha256;

/// Thirty digits that are the same on every device of the room in one epoch.
///
/// Two devices show different digits if they are in different groups, epochs or branches, or see
/// different members. So read the digits aloud after the last member has joined. SPEC section 7.11.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomCode([u32; 6]);

impl RoomCode {
    /// Computes the digits from values that all members of one epoch share. `identities` are the
    /// identity keys of the roster.
    pub(crate) fn new(
        group_id: &[u8],
        authenticator: &[u8],
        identities: impl Iterator<Item = [u8; 32]>,
    ) -> Self {
        let mut identities: Vec<[u8; 32]> = identities.collect();
        identities.sort_unstable();
        let content = Writer::new().vec8(group_id).vec8(authenticator).bytes(&identities.concat()).finish();
        Self(digits(b"sottovoce 1 room code", &content))
    }

    /// From what all who hear one hall epoch share (`spec/stage.md`, H14).
    #[cfg(feature = "stage")]
    pub(crate) fn of_hall(group_id: &[u8; 32], authenticator: &[u8; 32]) -> Self {
        Self(digits(b"sottovoce 2 hall code", &[*group_id, *authenticator].concat()))
    }
}

/// Sixty digits that two people share for as long as both keep their identities.
///
/// Each half depends on one key alone, so finding another pair of keys with the same code means
/// finding a second preimage of a half, not a collision. SPEC section 7.11.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairCode([[u32; 6]; 2]);

impl PairCode {
    pub(crate) fn new(a: &[u8; 32], b: &[u8; 32]) -> Self {
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        Self([low, high].map(|key| digits(b"sottovoce 1 pair code", key)))
    }
}

impl fmt::Display for RoomCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_groups(f, self.0.iter())
    }
}

impl fmt::Display for PairCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_groups(f, self.0.iter().flatten())
    }
}

fn write_groups<'a>(f: &mut fmt::Formatter<'_>, groups: impl Iterator<Item = &'a u32>) -> fmt::Result {
    for (i, group) in groups.enumerate() {
        let space = if i > 0 { " " } else { "" };
        write!(f, "{space}{group:05}")?;
    }
    Ok(())
}

/// Six groups of five digits, each from five bytes: the bias of the remainder is below 2^-23.
fn digits(label: &[u8], content: &[u8]) -> [u32; 6] {
    let mut bytes = [0; 30];
    hkdf_sha256(&[], content, &[label], &mut bytes);
    let mut groups = [0; 6];
    for (group, bytes) in groups.iter_mut().zip(bytes.chunks(5)) {
        let number = bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        *group = (number % 100_000) as u32;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_code_says_group_epoch_and_members_in_any_order() {
        let code = |group: &[u8], authenticator: &[u8], members: &[[u8; 32]]| {
            RoomCode::new(group, authenticator, members.iter().copied())
        };
        let here = code(b"g", b"a", &[[1; 32], [2; 32]]);
        assert_eq!(here, code(b"g", b"a", &[[2; 32], [1; 32]]));
        assert_ne!(here, code(b"h", b"a", &[[1; 32], [2; 32]]));
        assert_ne!(here, code(b"g", b"b", &[[1; 32], [2; 32]]));
        assert_ne!(here, code(b"g", b"a", &[[1; 32]]));
    }

    #[test]
    fn a_pair_code_is_the_same_from_both_sides() {
        assert_eq!(PairCode::new(&[1; 32], &[2; 32]), PairCode::new(&[2; 32], &[1; 32]));
        assert_ne!(PairCode::new(&[1; 32], &[2; 32]), PairCode::new(&[1; 32], &[3; 32]));
    }

    #[test]
    fn codes_read_in_groups_of_five() {
        let text = RoomCode::new(b"g", b"a", [[1; 32]].into_iter()).to_string();
        assert_eq!(text.len(), 35);
        assert!(text.split(' ').all(|group| group.len() == 5 && group.bytes().all(|b| b.is_ascii_digit())));
        assert_eq!(PairCode::new(&[1; 32], &[2; 32]).to_string().split(' ').count(), 12);
    }
}
