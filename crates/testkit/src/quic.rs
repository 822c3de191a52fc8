//! A relay that listens for QUIC with a certificate of its own.

use sottovoce::relay::{
    Relay, RelayOptions,
    quic::{Certificate, Listen},
};

/// A certificate that nobody vouches for, new each time.
pub fn certificate(host: &str) -> Certificate {
    let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
    Certificate::from_pem(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap()
}

/// A relay on this machine, by TCP, UDP and QUIC.
pub fn relay(options: RelayOptions) -> Relay {
    let here = ([127, 0, 0, 1], 0).into();
    let quic = Some(Listen { address: here, certificate: certificate("relay.example") });
    Relay::start(here, RelayOptions { quic, ..options }).unwrap()
}
