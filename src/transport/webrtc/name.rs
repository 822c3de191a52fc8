//! What a Janus is called: `janus:host:port` (SPEC section 8.9).

use std::{error::Error, fmt};

use crate::transport::RelayName;

/// What a name says: where the WebSocket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address<'a> {
    /// With its port, as name look-ups take it.
    pub(super) host_and_port: &'a str,
    /// What is asked for there, `/` if the name does not say.
    pub(super) path: &'a str,
}

impl<'a> Address<'a> {
    pub(super) fn parse(name: &'a RelayName) -> Result<Self, InvalidJanusName> {
        let rest = name.as_str().strip_prefix(SCHEME).ok_or(InvalidJanusName::Scheme)?;
        let (host_and_port, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, "/"),
        };
        // A slash and nothing else would be a second name for the same place.
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        if rest.contains('/') && (path.len() < 2 || !path.bytes().all(word)) {
            return Err(InvalidJanusName::Path);
        }
        let (host, port) = host_and_port.rsplit_once(':').ok_or(InvalidJanusName::HostAndPort)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        // A colon is part of an address in brackets, and of nothing else.
        let host = bracketed.unwrap_or(host);
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:%".contains(&byte);
        let plain = !host.is_empty() && host.bytes().all(letter) && bracketed.is_some() == host.contains(':');
        let canonical = port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port);
        match plain && canonical {
            true => Ok(Self { host_and_port, path }),
            false => Err(InvalidJanusName::HostAndPort),
        }
    }
}

/// Why a name is not that of a Janus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidJanusName {
    /// It does not begin with `janus:`.
    Scheme,
    /// What follows is not `host:port`.
    HostAndPort,
    /// What follows that is no path, or an empty one.
    Path,
}

impl fmt::Display for InvalidJanusName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "the name of the relay does not begin with janus:",
            Self::HostAndPort => "the name of the relay has no host:port",
            Self::Path => "the name of the relay has a path that is none",
        })
    }
}

impl Error for InvalidJanusName {}

const SCHEME: &str = "janus:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_where_the_websocket_is_and_one_place_has_one_name() {
        use InvalidJanusName::{HostAndPort, Path, Scheme};
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
        ] {
            let name = RelayName::new(name).unwrap();
            let parsed = Address::parse(&name).map(|address| (address.host_and_port, address.path));
            assert_eq!(parsed, expected, "{name}");
        }
    }
}
