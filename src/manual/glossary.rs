//! The terms of this manual. SPEC.md section 1.2 has those of the protocol.
//!
//! ```
//! # use sottovoce::{Leaf, MemberId};
//! // Two terms that are easily confused have two types.
//! let (member, leaf) = (MemberId::from_bytes([1; 32]), Leaf(1));
//! # let _ = (member, leaf);
//! ```
//!
//! ## Ban
//! A signed statement that an identity may not be in the room. Members stop opening packets of the
//! banned member at once, and the banned member does not know the secret of the next epoch.
//!
//! ## Capture time
//! When the audio of a packet was recorded, by its speaker's clock.
//!
//! ## Code
//! Thirty digits that are the same for all members of a room in the same epoch. If two members read
//! the same code to each other, they are in the same room, and nobody sits between them.
//!
//! ## Control message
//! Every message that is not a packet of audio: commits, statements, knocks, heartbeats. Control
//! messages are sealed, and padded to one of a few sizes.
//!
//! ## Epoch
//! The time between two changes of a room's MLS group. All members of an epoch share a secret, from
//! which media keys are derived. The media keys also change every ten seconds within an epoch.
//!
//! ## Fingerprint
//! The hash of an identity's public key, which identifies a member ([`MemberId`](crate::MemberId)).
//!
//! ## Handle
//! Sixteen random-looking bytes that name a room to relays.
//!
//! ## Host
//! The one member of highest rank: the member that created the room, or to which the room was
//! handed over.
//!
//! ## Identity
//! A person's long-term key pair and name, the same in every room.
//!
//! ## Invite
//! A secret text, as a link or QR code. It names the room's host, the relays and an expiry; anybody
//! who has it may knock.
//!
//! ## Keeper
//! The member that currently makes the group's commits, and so puts its changes in order. A rule
//! chooses the keeper, another member can replace it at any time, and it cannot grant any right.
//!
//! ## Knock
//! A newcomer's request to come in, sealed to members with rank.
//!
//! ## Member
//! An identity that signed statements admit to the room and that has a leaf in the MLS tree.
//!
//! ## Packet
//! One Opus packet, padded, signed and sealed. All packets of a room have the same size.
//!
//! ## Rank
//! The right to admit, mute, remove and ban. The host and the moderators have rank.
//!
//! ## Relay
//! A server that copies sealed bytes from one member to the others. Nobody has to trust it.
//!
//! ## Report
//! A file that proves to a moderator of the app, and to nobody else, what a member's device sent.
//!
//! ## Role
//! What a member may do: host, moderator, speaker, listener or recorder.
//!
//! ## Statement
//! A decision that a member with rank has signed: that somebody is admitted, has a role, is muted
//! or is banned. From the same statements all members compute the same law: the set of rights that
//! hold in the room.
