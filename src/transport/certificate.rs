//! Whom a member takes for a relay that it speaks to over TLS: who has the certificate that is
//! pinned, or one that the Web PKI vouches for (SPEC section 8.2.8).

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring::default_provider, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::TLS13,
};
use sha2::{Digest, Sha256};

use crate::base64url;

/// The SHA-256 of a certificate: who has this one, and its key, is the relay.
///
/// As text, and in a relay's name, it is base64url without padding, 43 characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 32]);

impl Pin {
    /// That of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        base64url::decode(text)?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url::encode(&self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({self})")
    }
}

/// TLS 1.3 to a relay, nothing by which two connections of one member could be told to be one's,
/// and whether what answered was somebody else.
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
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    tls.resumption = Resumption::disabled();
    tls.enable_sni = pin.is_none();
    Some((tls, rejected))
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
