//! The parts of a relay's name that several adapters share: `host:port`, and a path after it.

/// The host of `host:port`, without the brackets of an IPv6 address. `None` if it is not written in
/// the one way that counts.
pub(super) fn host(host_and_port: &str) -> Option<&str> {
    let (host, port) = host_and_port.rsplit_once(':')?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    // A colon is part of an address in brackets, and of nothing else.
    let host = bracketed.unwrap_or(host);
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    let plain = !host.is_empty() && host.bytes().all(letter) && bracketed.is_some() == host.contains(':');
    let canonical = port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port);
    (plain && canonical).then_some(host)
}

/// What stands before the first slash, and the path that begins there, empty if there is none.
/// `None` if there is a slash but no path.
#[cfg(any(feature = "moq", feature = "janus"))]
pub(super) fn split_path(rest: &str) -> Option<(&str, &str)> {
    let Some(slash) = rest.find('/') else { return Some((rest, "")) };
    let (before, path) = rest.split_at(slash);
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    // A slash and nothing else would be a second name for the same place.
    (path.len() > 1 && path.bytes().all(word)).then_some((before, path))
}
