//! What a MoQ relay is called: `moq:host:port/path#pin` (SPEC section 8.8).

use std::{error::Error, fmt};

use crate::transport::{RelayName, address, certificate::Pin};

/// What a name says: where the relay is, how it is known, and which part of it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address<'a> {
    /// With its port, as name look-ups take it.
    pub(super) host_and_port: &'a str,
    /// Without the brackets of an IPv6 address, as certificates have it.
    pub(super) host: &'a str,
    /// Below which path the relay keeps what is ours; empty if the name does not say.
    pub(super) path: &'a str,
    /// If there is none, a root of the Web PKI vouches for the host.
    pub(super) pin: Option<Pin>,
}

impl<'a> Address<'a> {
    pub(super) fn parse(name: &'a RelayName) -> Result<Self, InvalidMoqName> {
        let rest = name.as_str().strip_prefix(SCHEME).ok_or(InvalidMoqName::Scheme)?;
        let (rest, pin) = match rest.split_once('#') {
            Some((rest, pin)) => (rest, Some(Pin::parse(pin).ok_or(InvalidMoqName::Pin)?)),
            None => (rest, None),
        };
        let (host_and_port, path) = address::split_path(rest).ok_or(InvalidMoqName::Path)?;
        let host = address::host(host_and_port).ok_or(InvalidMoqName::HostAndPort)?;
        Ok(Self { host_and_port, host, path, pin })
    }
}

/// Why a name is not that of a MoQ relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidMoqName {
    /// It does not begin with `moq:`.
    Scheme,
    /// What follows is not `host:port`.
    HostAndPort,
    /// What follows that is no path, or an empty one.
    Path,
    /// What follows `#` is not the SHA-256 of a certificate in base64url.
    Pin,
}

impl fmt::Display for InvalidMoqName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "the name of the relay does not begin with moq:",
            Self::HostAndPort => "the name of the relay has no host:port",
            Self::Path => "the name of the relay has a path that is none",
            Self::Pin => "the name of the relay has a pin that is no SHA-256 in base64url",
        })
    }
}

impl Error for InvalidMoqName {}

const SCHEME: &str = "moq:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_where_a_relay_is_and_one_place_has_one_name() {
        use InvalidMoqName::{HostAndPort, Path, Pin as BadPin, Scheme};
        for (name, expected) in [
            ("moq:relay.example:443", Ok(("relay.example:443", ""))),
            ("moq:[::1]:4443", Ok(("[::1]:4443", ""))),
            ("moq:127.0.0.1:4443/audio/eu", Ok(("127.0.0.1:4443", "/audio/eu"))),
            ("relay.example:443", Err(Scheme)),
            ("MOQ:relay.example:443", Err(Scheme)),
            ("moq:relay.example", Err(HostAndPort)),
            ("moq::443", Err(HostAndPort)),
            ("moq:::1:443", Err(HostAndPort)),
            ("moq:relay.example:0443", Err(HostAndPort)),
            ("moq://relay.example:443", Err(Path)),
            ("moq:relay.example:443/", Err(Path)),
            ("moq:relay.example:443/a?jwt=b", Err(Path)),
            ("moq:relay.example:443#AAAA", Err(BadPin)),
        ] {
            let name = RelayName::new(name).unwrap();
            let parsed = Address::parse(&name).map(|address| (address.host_and_port, address.path));
            assert_eq!(parsed, expected, "{name}");
        }
        let pin = Pin::of(b"certificate");
        let name: RelayName = format!("moq:[::1]:4443/audio#{pin}").parse().unwrap();
        let address = Address::parse(&name).unwrap();
        assert_eq!((address.host, address.path, address.pin), ("::1", "/audio", Some(pin)));
    }
}
