//! QUIC and TLS as a member speaks them to a MoQ relay: who is believed, and what is agreed upon
//! (SPEC section 8.8).

use std::{sync::Arc, time::Duration};

use moq_net::Versions;
use quinn_proto::{
    ClientConfig, IdleTimeout, NoneTokenStore, TransportConfig, VarInt, crypto::rustls::QuicClientConfig,
};

use crate::transport::{
    certificate::{self, Pin},
    quic::{probe::Gate, tls::Terms},
};

/// The protocols that have datagrams, the best first.
pub(super) fn versions() -> Versions {
    const SPOKEN: [&str; 3] = ["moq-lite-06", "moq-lite-05", "moq-transport-18"];
    Versions::from(SPOKEN.iter().filter_map(|version| version.parse().ok()).collect::<Vec<_>>())
}

/// Whether that is one of those that let a member ask for what was said a moment ago.
pub(super) fn is_lite(protocol: &str) -> bool {
    protocol.starts_with("moq-lite-")
}

/// How a member speaks to a relay.
pub(super) fn client(pin: Option<Pin>) -> Option<Terms> {
    let (mut tls, rejected) = certificate::client(pin)?;
    tls.alpn_protocols = versions().alpns().into_iter().map(|alpn| alpn.as_bytes().to_vec()).collect();
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).ok()?));
    let gate = Gate::default();
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(WINDOW.into())
        .datagram_receive_buffer_size(Some(DATAGRAMS))
        .datagram_send_buffer_size(DATAGRAMS)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MS))))
        .keep_alive_interval(Some(KEEP_ALIVE))
        // 1,200 bytes are enough for a packet, and probing tells an observer nothing then.
        .mtu_discovery_config(None)
        .congestion_controller_factory(gate.factory())
        .allow_spin(false);
    config.transport_config(Arc::new(transport)).token_store(Arc::new(NoneTokenStore));
    Some(Terms { config, rejected, gate })
}

/// Streams of the relay's at a time: one for each message that is under way.
const STREAMS: u32 = 256;
const STREAM_WINDOW: u32 = 64 * 1024;
const WINDOW: u32 = 1024 * 1024;
const DATAGRAMS: usize = 128 * 1024;
const IDLE_MS: u32 = 10_000;
const KEEP_ALIVE: Duration = Duration::from_secs(3);
