//! The one wrapper of secret bytes: wiped on drop, never printed, compared or copied (SPEC section
//! 9).

use std::hint::black_box;

use zeroize::Zeroize;

/// Secret bytes on the heap, so that moving the value leaves no copy behind.
///
/// No `Clone`, `Debug`, `PartialEq` or serialisation, by design.
pub(crate) struct Secret(Vec<u8>);

impl Secret {
    /// Takes bytes that somebody else allocated, on the line that receives them.
    pub(crate) fn wrap(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Makes `len` bytes and lets `fill` write them in place.
    pub(crate) fn filled(len: usize, fill: impl FnOnce(&mut [u8])) -> Self {
        let mut secret = Self(vec![0; len]);
        fill(&mut secret.0);
        secret
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same, to decrypt in place.
    #[cfg(feature = "room")]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The secret that exactly the members of an epoch share, and from which every media key derives.
///
/// A room takes it from the MLS exporter once an epoch; an application with an MLS group of its own
/// takes it from that group's exporter. Wiped on drop. SPEC section 4.1.
pub struct EpochSecret(pub(crate) Secret);

impl EpochSecret {
    /// Takes ownership of at least 32 secret bytes; they are wiped when this value is dropped.
    ///
    /// # Errors
    /// [`SecretTooShort`] below 32 bytes; the bytes are wiped then too.
    pub fn new(bytes: Vec<u8>) -> Result<Self, SecretTooShort> {
        let secret = Secret::wrap(bytes);
        if secret.bytes().len() < 32 {
            return Err(SecretTooShort);
        }
        Ok(Self(secret))
    }
}

/// An epoch secret must have 32 bytes at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretTooShort;

impl std::fmt::Display for SecretTooShort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an epoch secret must have at least 32 bytes")
    }
}

impl std::error::Error for SecretTooShort {}

/// Overwrites the part of the stack below the caller, where finished calls may have left key bytes.
///
/// Best effort in safe Rust: called at the end of everything that derives keys. `tests/wiping.rs`
/// searches the memory of the process to see that it works.
#[inline(never)]
pub(crate) fn scrub_stack<const DEPTH: usize>() {
    let mut below = [0u8; DEPTH];
    black_box(&mut below);
}

/// How deep the calls go that derive keys. Without optimisation their frames are larger.
pub(crate) const DEEP: usize = if cfg!(debug_assertions) { 32 * 1024 } else { 8 * 1024 };
