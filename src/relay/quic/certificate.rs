//! What members know a relay by when they come by QUIC.

use std::{error::Error, fmt};

use quinn_proto::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::transport::quic::{Pin, tls};

/// A certificate, what vouches for it, and its private key.
///
/// One that is pinned may be self-signed. It is then as good as the invite that names it, and never
/// runs out.
pub struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    pin: Pin,
}

impl Certificate {
    /// Takes PEM text: the certificate followed by those that vouch for it, and the key.
    ///
    /// # Errors
    /// [`InvalidCertificate`] says what is wrong.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, InvalidCertificate> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| InvalidCertificate::Key)?;
        Self::new(chain.map_err(|_| InvalidCertificate::Chain)?, key)
    }

    /// The same in DER. The key is PKCS #8, PKCS #1 or SEC1.
    ///
    /// # Errors
    /// As [`from_pem`](Self::from_pem).
    pub fn from_der(chain: Vec<Vec<u8>>, key: Vec<u8>) -> Result<Self, InvalidCertificate> {
        let key = PrivateKeyDer::try_from(key).map_err(|_| InvalidCertificate::Key)?;
        Self::new(chain.into_iter().map(CertificateDer::from).collect(), key)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, InvalidCertificate> {
        let pin = Pin::of(chain.first().ok_or(InvalidCertificate::Chain)?);
        // Whether they belong together shows when they are put to use.
        tls::server(chain.clone(), key.clone_key(), 1).map_err(|_| InvalidCertificate::Unfit)?;
        Ok(Self { chain, key, pin })
    }

    /// How a relay speaks that shows it.
    pub(super) fn config(self, pending: usize) -> Result<ServerConfig, rustls::Error> {
        tls::server(self.chain, self.key, pending)
    }

    /// What stands in the relay's name.
    pub fn pin(&self) -> Pin {
        self.pin
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("pin", &self.pin).finish_non_exhaustive()
    }
}

/// Why a relay cannot have that certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidCertificate {
    /// There is none, or what stands there is none.
    Chain,
    /// There is no private key in a form that is known.
    Key,
    /// The key is of a kind that TLS 1.3 does not use here, or another certificate's.
    Unfit,
}

impl fmt::Display for InvalidCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chain => "there is no certificate in it",
            Self::Key => "there is no private key in it",
            Self::Unfit => "the private key does not fit the certificate",
        })
    }
}

impl Error for InvalidCertificate {}
