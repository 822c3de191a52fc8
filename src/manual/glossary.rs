//! The words of this manual. SPEC.md section 1.2 has those of the protocol.
//!
//! ```
//! # use sottovoce::{Leaf, MemberId};
//! // Two words that are easily mistaken for one another have two types.
//! let (member, leaf) = (MemberId::from_bytes([1; 32]), Leaf(1));
//! # let _ = (member, leaf);
//! ```
//!
//! ## Ban
//! A signed statement that an identity may not be in the room. Its packets are not opened any more,
//! and the next epoch has a secret that it does not know.
//!
//! ## Capture time
//! When the audio of a packet was recorded, by its speaker's clock.
//!
//! ## Code
//! Thirty digits that are the same on every device of a room in one epoch. Members who read the
//! same code to each other are in the same room, with nobody between them.
//!
//! ## Control message
//! Everything that is no packet: commits, statements, knocks, heartbeats. Sealed like packets, and
//! padded to one of a few sizes.
//!
//! ## Epoch
//! The time between two changes of a room's MLS group. All members of an epoch share a secret, from
//! which media keys are derived; every ten seconds these change too.
//!
//! ## Fingerprint
//! The hash of an identity's public key, [`MemberId`](crate::MemberId): who a member is.
//!
//! ## Handle
//! Sixteen random-looking bytes by which relays know a room.
//!
//! ## Host
//! The one member of highest rank: it made the room, or the room was handed over to it.
//!
//! ## Identity
//! A person's long-term key pair and name, the same in every room.
//!
//! ## Invite
//! A secret text, as a link or QR code. It names the room's host, the relays, an expiry; whoever
//! has it may knock.
//!
//! ## Keeper
//! The member that puts the group's changes in order at the moment. It is chosen by a rule, may be
//! replaced at any time, and grants nothing.
//!
//! ## Knock
//! A newcomer's request to come in, sealed to members with rank.
//!
//! ## Member
//! An identity that the room's law admits, with a leaf of the MLS tree.
//!
//! ## Packet
//! One Opus packet, padded, signed and sealed. All packets of a room have one size.
//!
//! ## Rank
//! The right to admit, mute, remove and ban: host and moderators have it.
//!
//! ## Relay
//! A server that copies sealed bytes from one member to the others. It is trusted with nothing.
//!
//! ## Report
//! A file that proves to a moderator of the app, and to nobody else, what a member said.
//!
//! ## Role
//! What a member may do: host, moderator, speaker, listener or recorder.
//!
//! ## Statement
//! What a member with rank signs: who is admitted, of which role, muted or banned. All members
//! compute the same law from the same statements.
