//! What a Janus is called: `janus:host:port`, `janus+tls:host:port#pin` (SPEC section 8.9).

use std::{error::Error, fmt};

use crate::transport::{RelayName, address, certificate::Pin};

/// What a name says: where the WebSocket is, and how the relay is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address<'a> {
    /// With its port, as name look-ups take it.
    pub(super) host_and_port: &'a str,
    /// Without the brackets of an IPv6 address, as certificates have it.
    pub(super) host: &'a str,
    /// What is asked for there, `/` if the name does not say.
    pub(super) path: &'a str,
    pub(super) security: Security,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Security {
    /// The signalling is in clear.
    None,
    /// A root of the Web PKI vouches for the host.
    WebPki,
    Pinned(Pin),
}

impl<'a> Address<'a> {
    pub(super) fn parse(name: &'a RelayName) -> Result<Self, InvalidJanusName> {
        let name = name.as_str();
        let (rest, security) = match name.strip_prefix(OVER_TLS) {
            None => (name.strip_prefix(SCHEME).ok_or(InvalidJanusName::Scheme)?, Security::None),
            Some(rest) => match rest.split_once('#') {
                None => (rest, Security::WebPki),
                Some((rest, pin)) => (rest, Security::Pinned(Pin::parse(pin).ok_or(InvalidJanusName::Pin)?)),
            },
        };
        let (host_and_port, path) = address::split_path(rest).ok_or(InvalidJanusName::Path)?;
        let host = address::host(host_and_port).ok_or(InvalidJanusName::HostAndPort)?;
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { host_and_port, host, path, security })
    }
}

/// Why a name is not that of a Janus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidJanusName {
    /// It begins with neither `janus:` nor `janus+tls:`.
    Scheme,
    /// What follows is not `host:port`.
    HostAndPort,
    /// What follows that is no path, or an empty one.
    Path,
    /// What follows `#` is not the SHA-256 of a certificate in base64url.
    Pin,
}

impl fmt::Display for InvalidJanusName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "the name of the relay begins with neither janus: nor janus+tls:",
            Self::HostAndPort => "the name of the relay has no host:port",
            Self::Path => "the name of the relay has a path that is none",
            Self::Pin => "the name of the relay has a pin that is no SHA-256 in base64url",
        })
    }
}

impl Error for InvalidJanusName {}

const SCHEME: &str = "janus:";
const OVER_TLS: &str = "janus+tls:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_where_the_websocket_is_and_one_place_has_one_name() {
        use InvalidJanusName::{HostAndPort, Path, Pin as BadPin, Scheme};
        for (name, expected) in [
            ("janus:media.example:8188", Ok(("media.example:8188", "/"))),
            ("janus:[::1]:8188", Ok(("[::1]:8188", "/"))),
            ("janus:127.0.0.1:80/janus-ws", Ok(("127.0.0.1:80", "/janus-ws"))),
            ("media.example:8188", Err(Scheme)),
            ("JANUS:media.example:8188", Err(Scheme)),
            ("janus:media.example", Err(HostAndPort)),
            ("janus::8188", Err(HostAndPort)),
            ("janus:::1:8188", Err(HostAndPort)),
            ("janus:user@media.example:8188", Err(HostAndPort)),
            ("janus:media.example:0", Err(HostAndPort)),
            ("janus:media.example:08188", Err(HostAndPort)),
            ("janus:media.example:65536", Err(HostAndPort)),
            ("janus://media.example:8188", Err(Path)),
            ("janus:media.example:8188/", Err(Path)),
            ("janus:media.example:8188/a?b", Err(Path)),
            ("janus:media.example:8188/a#b", Err(Path)),
            ("janus+tls:media.example:443", Ok(("media.example:443", "/"))),
            ("janus+tls:[::1]:443/janus", Ok(("[::1]:443", "/janus"))),
            ("janus+tls:media.example:443#AAAA", Err(BadPin)),
            ("janus:media.example:8188#AAAA", Err(HostAndPort)),
        ] {
            let name = RelayName::new(name).unwrap();
            let parsed = Address::parse(&name).map(|address| (address.host_and_port, address.path));
            assert_eq!(parsed, expected, "{name}");
        }
        let pin = Pin::of(b"certificate");
        let name: RelayName = format!("janus+tls:[::1]:443/janus#{pin}").parse().unwrap();
        let address = Address::parse(&name).unwrap();
        assert_eq!((address.host, address.security), ("::1", Security::Pinned(pin)));
    }
}
