//! `serde` for what has a text: each stands in JSON as its text, and is checked when it is read.
//!
//! All other types derive it. Nothing that holds a secret has it: no identity, no membership, and
//! no invite, whose text is a secret that is to be handed over on purpose.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

macro_rules! as_text {
    ($($type:ty: $text:literal;)*) => {
        $(
            impl Serialize for $type {
                fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                    to.collect_str(&format_args!($text, self))
                }
            }

            impl<'de> Deserialize<'de> for $type {
                fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                    Cow::<str>::deserialize(from)?.parse().map_err(Error::custom)
                }
            }
        )*
    };
}

as_text! {
    crate::id::MemberId: "{:#}";
    crate::lane::RelayName: "{}";
}

#[cfg(feature = "room")]
as_text! {
    crate::group::Name: "{}";
    crate::room::InviteId: "{}";
}

/// By its number on the wire.
#[cfg(feature = "room")]
impl Serialize for crate::room::MessageKind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u16(self.wire())
    }
}

#[cfg(feature = "room")]
impl<'de> Deserialize<'de> for crate::room::MessageKind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let kind = u16::deserialize(from)?;
        Self::of_wire(kind).ok_or_else(|| D::Error::custom(NoKind))
    }
}

#[cfg(feature = "room")]
struct NoKind;

#[cfg(feature = "room")]
impl fmt::Display for NoKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no kind of message has this number")
    }
}

/// A map from each reason that has occurred to its count.
impl Serialize for crate::media::OpenStats {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let refused: Vec<_> = self.refusals().collect();
        let mut stats = to.serialize_struct("OpenStats", 2)?;
        stats.serialize_field("opened", &self.opened())?;
        stats.serialize_field("refused", &refused)?;
        stats.end()
    }
}

#[cfg(all(test, feature = "room"))]
mod tests {
    use super::*;
    use crate::{
        group::{Name, Role},
        id::{Epoch, MemberId},
        lane::RelayName,
        media::{OpenError, OpenStats, SilenceReason},
        room::{
            AppMessage, Audience, Ending, Event, InviteId, KnockId, MessageKind, RefuseReason, Violation,
        },
    };

    fn comes_back<T: Serialize + for<'de> Deserialize<'de> + PartialEq + fmt::Debug>(value: T, json: &str) {
        assert_eq!(serde_json::to_string(&value).unwrap(), json);
        assert_eq!(serde_json::from_str::<T>(json).unwrap(), value);
    }

    #[test]
    fn ids_and_names_are_their_texts_and_numbers_are_numbers() {
        let member = MemberId::from_bytes([0xab; 32]);
        let text = format!("\"{}\"", ["abab"; 16].join(" "));
        comes_back(member, &text);
        comes_back(Epoch(7), "7");
        comes_back(KnockId::from_number(9), "9");
        comes_back(InviteId([0x0f; 16]), "\"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f\"");
        comes_back(Name::new("Zoë").unwrap(), "\"Zoë\"");
        comes_back(RelayName::new("relay.test:1").unwrap(), "\"relay.test:1\"");
        comes_back(MessageKind::TEXT, "1");
    }

    #[test]
    fn what_could_not_be_made_is_not_read() {
        for json in ["\"\"", "\" a\"", "\"a\\u202eb\""] {
            assert!(serde_json::from_str::<Name>(json).is_err(), "{json}");
        }
        for json in ["0", "77", "65536", "-1"] {
            assert!(serde_json::from_str::<MessageKind>(json).is_err(), "{json}");
        }
        assert!(serde_json::from_str::<MemberId>("\"ab\"").is_err());
        assert!(serde_json::from_str::<RelayName>("\"a b\"").is_err());
        assert!(serde_json::from_str::<InviteId>("\"0F\"").is_err());
    }

    #[test]
    fn events_come_back_the_same() {
        let member = MemberId::from_bytes([1; 32]);
        let message = AppMessage {
            from: member,
            audience: Audience::Role(Role::Moderator),
            kind: MessageKind::TEXT,
            body: b"hello".to_vec(),
            number: 3,
            missed: 1,
        };
        for event in [
            Event::Joined { epoch: Epoch(3) },
            Event::Message(message),
            Event::Hand { member, raised: true, by: None },
            Event::Silent { reason: SilenceReason::NobodyHears },
            Event::Violation { by: Some(member), violation: Violation::NoRight },
            Event::Over(Ending::Refused(RefuseReason::Locked)),
            Event::Slept { lasted: std::time::Duration::from_millis(2_500) },
        ] {
            let json = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event, "{json}");
        }
    }

    #[test]
    fn counts_are_by_reason() {
        let mut stats = OpenStats::default();
        stats.note_opened();
        stats.note_refused(OpenError::Forged);
        assert_eq!(serde_json::to_string(&stats).unwrap(), r#"{"opened":1,"refused":[["Forged",1]]}"#);
    }
}
