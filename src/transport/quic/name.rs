//! What a relay that is reached by QUIC is called: `quic:host:port#pin` (SPEC section 8.2.8).

use std::{error::Error, fmt};

use crate::transport::{RelayName, address, certificate::Pin};

impl Pin {
    /// The name of the relay that has this certificate and is reached at `host:port` over QUIC.
    ///
    /// # Errors
    /// [`InvalidQuicName`] says what is wrong with `host_and_port`.
    pub fn name(&self, host_and_port: &str) -> Result<RelayName, InvalidQuicName> {
        let name = RelayName::new(&format!("{SCHEME}{host_and_port}#{self}"));
        let name = name.map_err(|_| InvalidQuicName::HostAndPort)?;
        Address::parse(&name)?;
        Ok(name)
    }
}

/// What a name says: where the relay is, and how it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address<'a> {
    /// With its port, as name look-ups take it.
    pub(super) host_and_port: &'a str,
    /// Without the brackets of an IPv6 address, as certificates have it.
    pub(super) host: &'a str,
    /// If there is none, a root of the Web PKI vouches for the host.
    pub(super) pin: Option<Pin>,
}

impl<'a> Address<'a> {
    pub(super) fn parse(name: &'a RelayName) -> Result<Self, InvalidQuicName> {
        let rest = name.as_str().strip_prefix(SCHEME).ok_or(InvalidQuicName::Scheme)?;
        let (host_and_port, pin) = match rest.split_once('#') {
            Some((host_and_port, pin)) => (host_and_port, Some(Pin::parse(pin).ok_or(InvalidQuicName::Pin)?)),
            None => (rest, None),
        };
        let host = address::host(host_and_port).ok_or(InvalidQuicName::HostAndPort)?;
        Ok(Self { host_and_port, host, pin })
    }
}

/// Why a name is not that of a relay reached by QUIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidQuicName {
    /// It does not begin with `quic:`.
    Scheme,
    /// What follows is not `host:port`, or too long for a name.
    HostAndPort,
    /// What follows `#` is not the SHA-256 of a certificate in base64url.
    Pin,
}

impl fmt::Display for InvalidQuicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "the name of the relay does not begin with quic:",
            Self::HostAndPort => "the name of the relay has no host:port",
            Self::Pin => "the name of the relay has a pin that is no SHA-256 in base64url",
        })
    }
}

impl Error for InvalidQuicName {}

const SCHEME: &str = "quic:";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str) -> Result<(String, Option<Pin>), InvalidQuicName> {
        let name = RelayName::new(name).unwrap();
        Address::parse(&name).map(|address| (address.host.to_owned(), address.pin))
    }

    #[test]
    fn names_say_where_a_relay_is_and_how_it_is_known() {
        let pin = Pin::of(b"certificate");
        assert_eq!(parsed("quic:relay.example:443"), Ok(("relay.example".into(), None)));
        assert_eq!(parsed("quic:[::1]:443"), Ok(("::1".into(), None)));
        let name = pin.name("127.0.0.1:4434").unwrap();
        assert_eq!(name.as_str().len(), "quic:127.0.0.1:4434#".len() + 43);
        assert_eq!(parsed(name.as_str()), Ok(("127.0.0.1".into(), Some(pin))));
    }

    #[test]
    fn other_forms_of_a_name_are_refused_so_that_one_relay_has_one_name() {
        use InvalidQuicName::{HostAndPort, Pin as BadPin, Scheme};
        for (name, why) in [
            ("relay.example:443", Scheme),
            ("QUIC:relay.example:443", Scheme),
            ("quic:relay.example", HostAndPort),
            ("quic::443", HostAndPort),
            ("quic:[]:443", HostAndPort),
            ("quic:::1:443", HostAndPort),
            ("quic:[relay]:443", HostAndPort),
            ("quic:[[::1]]:443", HostAndPort),
            ("quic://relay.example:443", HostAndPort),
            ("quic:relay.example:0", HostAndPort),
            ("quic:relay.example:0443", HostAndPort),
            ("quic:relay.example:+443", HostAndPort),
            ("quic:relay.example:65536", HostAndPort),
            ("quic:relay.example:443#", BadPin),
            ("quic:relay.example:443#AAAA", BadPin),
            ("quic:relay.example:443#AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB", BadPin),
            ("quic:relay.example:443#AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", BadPin),
        ] {
            assert_eq!(parsed(name), Err(why), "{name}");
        }
        let too_long = "h".repeat(128);
        assert_eq!(Pin::of(b"").name(&format!("{too_long}:1")), Err(HostAndPort));
        assert_eq!(Pin::of(b"").name("no port"), Err(HostAndPort));
    }
}
