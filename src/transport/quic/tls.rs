//! TLS and QUIC as the relay and its members speak it: who is believed, and nothing by which two connections of
//! one member could be told to be one's (SPEC section 8.2.8).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use quinn_proto::{
    AckFrequencyConfig, ClientConfig, EndpointConfig, IdleTimeout, NoneTokenStore, ServerConfig,
    TransportConfig, ValidationTokenConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring::default_provider, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    server::NoServerSessionStorage,
    version::TLS13,
};

use super::name::Pin;

/// How a member speaks to a relay, and whether what answered was somebody else.
pub(super) fn client(pin: Option<Pin>) -> Option<(ClientConfig, Arc<AtomicBool>)> {
    let provider = Arc::new(default_provider());
    let rejected = Arc::new(AtomicBool::new(false));
    let vouched = match pin {
        Some(pin) => Vouched::Pinned(pin),
        None => {
            let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
            let verifier =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
            Vouched::WebPki(verifier.build().ok()?)
        }
    };
    let verifier = Verifier { vouched, provider: Arc::clone(&provider), rejected: Arc::clone(&rejected) };
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.resumption = Resumption::disabled();
    tls.enable_sni = pin.is_none();
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).ok()?));
    let mut transport = transport();
    transport.max_concurrent_bidi_streams(VarInt::from_u32(0)).keep_alive_interval(Some(KEEP_ALIVE));
    config.transport_config(Arc::new(transport)).token_store(Arc::new(NoneTokenStore));
    Some((config, rejected))
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
    let mut transport = transport();
    transport.max_concurrent_bidi_streams(VarInt::from_u32(1)).ack_frequency_config(Some(fewer_answers()));
    let mut no_tokens = ValidationTokenConfig::default();
    no_tokens.sent(0);
    config
        .transport_config(Arc::new(transport))
        .validation_token_config(no_tokens)
        .max_incoming(pending.max(1));
    Ok(config)
}

/// What both sides have in common below TLS.
pub(crate) fn endpoint() -> Arc<EndpointConfig> {
    Arc::new(EndpointConfig::default())
}

fn transport() -> TransportConfig {
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
        .allow_spin(false);
    transport
}

/// A relay sends each member far more packets than it needs to hear of at once: acknowledging each costs both
/// sides more than the packets themselves.
fn fewer_answers() -> AckFrequencyConfig {
    let mut frequency = AckFrequencyConfig::default();
    frequency.ack_eliciting_threshold(VarInt::from_u32(10)).max_ack_delay(Some(Duration::from_millis(100)));
    frequency
}

/// Judges the relay's certificate.
#[derive(Debug)]
struct Verifier {
    vouched: Vouched,
    provider: Arc<CryptoProvider>,
    /// Set when it was not the right one, which is all that the member is told.
    rejected: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Vouched {
    Pinned(Pin),
    WebPki(Arc<WebPkiServerVerifier>),
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = match &self.vouched {
            Vouched::Pinned(pin) if Pin::of(certificate) == *pin => Ok(ServerCertVerified::assertion()),
            Vouched::Pinned(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            Vouched::WebPki(roots) => roots.verify_server_cert(certificate, intermediates, host, ocsp, now),
        };
        verdict.inspect_err(|_| self.rejected.store(true, Ordering::Relaxed))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
            .inspect_err(|_| self.rejected.store(true, Ordering::Relaxed))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

const ALPN: &[u8] = b"sottovoce/1";
/// What may be under way on the stream: four of the largest messages.
const WINDOW: u32 = 64 * 1024;
/// What may wait on the media lane.
const DATAGRAMS: usize = 64 * 1024;
const IDLE_MS: u32 = 35_000;
const KEEP_ALIVE: Duration = Duration::from_secs(10);
