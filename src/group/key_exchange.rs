//! How a room agrees on its keys: the MLS cipher suites of this library (RFC 9420 section 17.1,
//! SPEC section 6.4).

/// Which MLS cipher suite a room runs: how members agree on the keys from which all others derive.
///
/// The suite is fixed for the room's life, and stands in every invite. Members sign with Ed25519 in
/// both suites. The cipher for packets is [`Suite`](crate::Suite).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyExchange {
    /// X25519: MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, 0x0001.
    #[default]
    X25519,
    /// ML-KEM-768 and X25519 together: MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519, 0x004F.
    ///
    /// For rooms whose traffic somebody may store until there are quantum computers: stored traffic
    /// stays secret as long as one of the two algorithms holds. The number is provisional
    /// (draft-ietf-mls-pq-ciphersuites), and knocks, welcomes and commits are kilobytes larger.
    MlKem768X25519,
}

impl KeyExchange {
    /// The number in the IANA registry of MLS cipher suites, or the draft's.
    pub const fn id(self) -> u16 {
        match self {
            Self::X25519 => 0x0001,
            Self::MlKem768X25519 => 0x004F,
        }
    }

    /// How many members a room may have. A newcomer's welcome, which describes all of them and the
    /// longest law, then fits into one message of the control lane.
    pub const fn max_members(self) -> usize {
        match self {
            Self::X25519 => 1_000,
            Self::MlKem768X25519 => 800,
        }
    }

    /// The cipher suite with this number, if it is one of the two.
    pub const fn from_id(id: u16) -> Option<Self> {
        match id {
            0x0001 => Some(Self::X25519),
            0x004F => Some(Self::MlKem768X25519),
            _ => None,
        }
    }
}
