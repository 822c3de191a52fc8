//! The SFrame cipher suites of this library (RFC 9605 section 4.5, SPEC section 3.1).

/// Which AEAD and hash seal the packets of a room.
///
/// Both keep the whole 16-byte tag. The suites with AES-CTR and short tags are left out on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Suite {
    /// AES_128_GCM_SHA256_128, 0x0004.
    #[default]
    Aes128Gcm,
    /// AES_256_GCM_SHA512_128, 0x0005.
    Aes256Gcm,
}

impl Suite {
    /// The number in the IANA registry of SFrame cipher suites.
    pub const fn id(self) -> u16 {
        match self {
            Self::Aes128Gcm => 0x0004,
            Self::Aes256Gcm => 0x0005,
        }
    }

    /// The suite with this number, if it is one of the two.
    pub const fn from_id(id: u16) -> Option<Self> {
        match id {
            0x0004 => Some(Self::Aes128Gcm),
            0x0005 => Some(Self::Aes256Gcm),
            _ => None,
        }
    }

    /// Nk: bytes of an AEAD key.
    pub(crate) const fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm => 32,
        }
    }

    /// Nh: bytes of a hash, and of a base key made by the ratchet (RFC 9605 section 5.1).
    pub(crate) const fn hash_len(self) -> usize {
        match self {
            Self::Aes128Gcm => 32,
            Self::Aes256Gcm => 64,
        }
    }
}

/// Nn: bytes of a nonce.
pub(crate) const NONCE_LEN: usize = 12;
/// Nt: bytes of a tag.
pub(crate) const TAG_LEN: usize = 16;
