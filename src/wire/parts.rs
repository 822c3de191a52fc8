//! The hash tree over the parts of a long message, so that every fragment proves by itself to which
//! message it belongs (`spec/control.md`, section 14.1).
//!
//! ```text
//!         id = H(nonce, length, root)
//!               root
//!              /    \         a node is the hash of the two below it;
//!            n       n        one without a neighbour moves up as it is
//!           / \     / \
//!          p0  p1  p2  p3     H(nonce, part)
//! ```
//!
//! Only the sender that cut a message can make a fragment with its id, so nobody spoils the message
//! of another.

use crate::{
    group::codec::{Malformed, Reader},
    keys::derive::sha256,
};

/// Names a message that is cut into parts: says its nonce, its length and each of its bytes.
pub(super) type Id = [u8; 32];

type Hash = [u8; 32];

/// The tree of one message, for the sender that cuts it.
pub(super) struct Tree {
    /// The hashes of the parts first, the root last.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// Hashes all parts of a message.
    pub(super) fn new<'a>(nonce: &[u8; 16], parts: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut levels = vec![parts.map(|part| leaf(nonce, part)).collect::<Vec<_>>()];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            let above = level.chunks(2).map(|pair| match pair {
                [left, right] => node(left, right),
                [single, ..] => *single,
                [] => [0; 32],
            });
            let above = above.collect();
            levels.push(above);
        }
        Self { levels }
    }

    /// The neighbours on the way from a part to the root, the lowest first.
    pub(super) fn path(&self, index: usize) -> impl Iterator<Item = &Hash> {
        let levels = self.levels.iter().enumerate();
        levels.filter_map(move |(height, level)| level.get((index >> height) ^ 1))
    }
}

/// The way from a part to the root, as a fragment carries it.
pub(super) struct Path {
    index: usize,
    /// The neighbour at each height; `None` where there is none.
    neighbours: Vec<Option<Hash>>,
}

impl Path {
    /// Reads the path of the part at `index` of `count`.
    pub(super) fn read(reader: &mut Reader<'_>, index: usize, count: usize) -> Result<Self, Malformed> {
        let (mut at, mut width, mut neighbours) = (index, count, Vec::new());
        while width > 1 {
            neighbours.push(if at ^ 1 < width { Some(reader.array()?) } else { None });
            (at, width) = (at / 2, width.div_ceil(2));
        }
        Ok(Self { index, neighbours })
    }

    /// The id of the message that the part belongs to. Every path leads to some id; a forged one
    /// leads to an id that no other message has.
    pub(super) fn id(&self, nonce: &[u8; 16], length: u32, part: &[u8]) -> Id {
        let mut hash = leaf(nonce, part);
        for (height, neighbour) in self.neighbours.iter().enumerate() {
            if let Some(neighbour) = neighbour {
                let is_left = (self.index >> height).is_multiple_of(2);
                hash = if is_left { node(&hash, neighbour) } else { node(neighbour, &hash) };
            }
        }
        sha256(&[b"sottovoce 2 message", nonce, &length.to_be_bytes(), &hash])
    }
}

fn leaf(nonce: &[u8; 16], part: &[u8]) -> Hash {
    sha256(&[b"sottovoce 2 part", nonce, part])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    sha256(&[b"sottovoce 2 node", left, right])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::codec::Writer;

    const NONCE: [u8; 16] = [7; 16];

    fn path(tree: &Tree, index: usize, count: usize) -> Path {
        let bytes = tree.path(index).fold(Writer::new(), |out, hash| out.bytes(hash)).finish();
        let mut reader = Reader::new(&bytes);
        let path = Path::read(&mut reader, index, count).unwrap();
        reader.finish().unwrap();
        path
    }

    #[test]
    fn every_part_leads_to_the_id_of_its_message_and_no_other_part_does() {
        for count in 2..=40 {
            let parts: Vec<Vec<u8>> = (0..count).map(|n| vec![n as u8; 3]).collect();
            let tree = Tree::new(&NONCE, parts.iter().map(Vec::as_slice));
            let id = path(&tree, 0, count).id(&NONCE, 9, &parts[0]);
            for (index, part) in parts.iter().enumerate() {
                let path = path(&tree, index, count);
                assert_eq!(path.id(&NONCE, 9, part), id, "part {index} of {count}");
                assert_ne!(path.id(&NONCE, 9, b"forged"), id, "a forged part");
                assert_ne!(path.id(&NONCE, 9, &parts[(index + 1) % count]), id, "a part in a wrong place");
                assert_ne!(path.id(&NONCE, 8, part), id, "another length");
                assert_ne!(path.id(&[8; 16], 9, part), id, "another nonce");
            }
        }
    }

    #[test]
    fn a_node_of_the_tree_is_no_part() {
        let tree = Tree::new(&NONCE, [&b"a"[..], b"b", b"c", b"d"].into_iter());
        let id = path(&tree, 0, 4).id(&NONCE, 9, b"a");
        let [left, right] = [[&b"a"[..], b"b"], [b"c", b"d"]].map(|pair| pair.map(|part| leaf(&NONCE, part)));
        let half = [left.concat(), right.concat()];
        let short = Path { index: 0, neighbours: vec![Some(node(&right[0], &right[1]))] };
        assert_ne!(short.id(&NONCE, 9, &half[0]), id);
    }
}
