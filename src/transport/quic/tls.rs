//! TLS and QUIC as the relay and its members speak it: who is believed, and nothing by which two
//! connections of one member could be told to be one's (SPEC section 8.2.8).

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use quinn_proto::{
    AckFrequencyConfig, ClientConfig, EndpointConfig, IdleTimeout, NoneTokenStore, ServerConfig,
    TransportConfig, ValidationTokenConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    Error,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::NoServerSessionStorage,
    version::TLS13,
};

use super::probe::Gate;
use crate::transport::certificate::{self, Pin};

/// How a member speaks to a relay, on one connection.
pub(in crate::transport) struct Terms {
    pub(in crate::transport) config: ClientConfig,
    /// Set when what answered had another certificate than the relay.
    pub(in crate::transport) rejected: Arc<AtomicBool>,
    pub(in crate::transport) gate: Gate,
}

/// How a member speaks to the reference relay.
pub(super) fn client(pin: Option<Pin>) -> Option<Terms> {
    let (mut tls, rejected) = certificate::client(pin)?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).ok()?));
    let gate = Gate::default();
    let mut transport = transport(&gate);
    transport.max_concurrent_bidi_streams(VarInt::from_u32(0));
    config.transport_config(Arc::new(transport)).token_store(Arc::new(NoneTokenStore));
    Some(Terms { config, rejected, gate })
}

/// How a relay with this certificate speaks to members.
pub(crate) fn server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    pending: usize,
) -> Result<ServerConfig, Error> {
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    tls.send_tls13_tickets = 0;
    let crypto = QuicServerConfig::try_from(tls).map_err(|error| Error::General(error.to_string()))?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    let mut no_tokens = ValidationTokenConfig::default();
    no_tokens.sent(0);
    config
        .transport_config(server_transport(&Gate::default()))
        .validation_token_config(no_tokens)
        .max_incoming(pending.max(1));
    Ok(config)
}

/// How a relay speaks below TLS on one connection.
pub(crate) fn server_transport(gate: &Gate) -> Arc<TransportConfig> {
    let mut transport = transport(gate);
    transport.max_concurrent_bidi_streams(VarInt::from_u32(1)).ack_frequency_config(Some(fewer_answers()));
    Arc::new(transport)
}

/// What both sides have in common below TLS.
pub(crate) fn endpoint() -> Arc<EndpointConfig> {
    Arc::new(EndpointConfig::default())
}

fn transport(gate: &Gate) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(WINDOW.into())
        .datagram_receive_buffer_size(Some(DATAGRAMS))
        .datagram_send_buffer_size(DATAGRAMS)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MS))))
        // 1,200 bytes are enough for a packet, and probing tells an observer nothing then.
        .mtu_discovery_config(None)
        .congestion_controller_factory(gate.factory())
        .allow_spin(false);
    transport
}

/// A relay sends each member far more packets than it needs to hear of at once: acknowledging each
/// costs both sides more than the packets themselves.
fn fewer_answers() -> AckFrequencyConfig {
    let mut frequency = AckFrequencyConfig::default();
    frequency.ack_eliciting_threshold(VarInt::from_u32(10)).max_ack_delay(Some(Duration::from_millis(100)));
    frequency
}

const ALPN: &[u8] = b"sottovoce/1";
/// What may be under way on the stream: four of the largest messages.
const WINDOW: u32 = 64 * 1024;
/// What may wait on the media lane.
pub(crate) const DATAGRAMS: usize = 64 * 1024;
const IDLE_MS: u32 = 35_000;
