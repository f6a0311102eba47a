//! Whom TLS trusts and which versions it speaks: settings to a `rustls` configuration.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion,
};

/// What may be chosen about TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The lowest version agreed to.
    pub version_min: TlsVersion,
    /// Who may vouch for a server.
    pub roots: Roots,
    /// Whether anyone must.
    pub verification: Verification,
    /// What is said about the protocol inside.
    pub alpn: Alpn,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            version_min: TlsVersion::V1_2,
            roots: Roots::System,
            verification: Verification::Full,
            alpn: Alpn::Silent,
        }
    }
}

/// A version of TLS; older ones are not spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// Who may vouch for a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// The system's authorities; where it has none, as in an empty container, the built-in ones.
    System,
    /// Mozilla's authorities as of the build.
    BuiltIn,
    /// The authorities in a PEM file, and no others.
    File(PathBuf),
}

/// Whether a server must prove who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// It must.
    Full,
    /// Anyone is believed, the API key goes to whoever answers (`skip_ssl_validation`).
    Skipped,
}

/// What the handshake says about the protocol inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// Nothing.
    Silent,
    /// `http/1.1`.
    Http11,
}

/// A `rustls` configuration and what became of the settings, for status and receipt.
#[derive(Clone, Debug)]
pub struct Tls {
    /// To be shared by all pools.
    pub config: Arc<ClientConfig>,
    /// Where the authorities came from.
    pub trust: Trust,
}

/// Where the authorities came from, and how many they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// From the system.
    System {
        /// How many.
        authorities: usize,
    },
    /// From the build, as asked or because the system has none.
    BuiltIn {
        /// How many.
        authorities: usize,
    },
    /// From the file.
    File {
        /// How many.
        authorities: usize,
    },
    /// Nobody: certificates are not looked at.
    Anyone,
}

/// Why settings gave no configuration.
#[derive(Debug)]
pub enum TlsSetupError {
    /// The file of authorities could not be read.
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: rustls::pki_types::pem::Error,
    },
    /// The file of authorities has no certificate that can be used.
    NoAuthority {
        /// The file.
        path: PathBuf,
    },
    /// `rustls` refused the settings.
    Refused(rustls::Error),
}

impl TlsSettings {
    /// Loads the authorities and makes the configuration. Reads files, some milliseconds for the
    /// system's: do it once and share.
    ///
    /// # Errors
    /// If the file of authorities cannot be used.
    pub fn load(&self) -> Result<Tls, TlsSetupError> {
        let provider = Arc::new(ring::default_provider());
        let versions: &[&SupportedProtocolVersion] = match self.version_min {
            TlsVersion::V1_2 => &[&TLS13, &TLS12],
            TlsVersion::V1_3 => &[&TLS13],
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(TlsSetupError::Refused)?;
        let (builder, trust) = match self.verification {
            Verification::Full => {
                let (roots, trust) = self.roots.load()?;
                (builder.with_root_certificates(roots), trust)
            }
            Verification::Skipped => {
                let verifier = Arc::new(BelieveAnyone { provider });
                (builder.dangerous().with_custom_certificate_verifier(verifier), Trust::Anyone)
            }
        };
        let mut config = builder.with_no_client_auth();
        if self.alpn == Alpn::Http11 {
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        Ok(Tls { config: Arc::new(config), trust })
    }
}

impl Roots {
    fn load(&self) -> Result<(RootCertStore, Trust), TlsSetupError> {
        let mut roots = RootCertStore::empty();
        match self {
            Self::System => {
                let found = rustls_native_certs::load_native_certs();
                let (authorities, _) = roots.add_parsable_certificates(found.certs);
                match authorities {
                    0 => Self::BuiltIn.load(),
                    authorities => Ok((roots, Trust::System { authorities })),
                }
            }
            Self::BuiltIn => {
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
                let authorities = roots.len();
                Ok((roots, Trust::BuiltIn { authorities }))
            }
            Self::File(path) => {
                let certificates = CertificateDer::pem_file_iter(path)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(|error| TlsSetupError::File { path: path.clone(), error })?;
                let (authorities, _) = roots.add_parsable_certificates(certificates);
                match authorities {
                    0 => Err(TlsSetupError::NoAuthority { path: path.clone() }),
                    authorities => Ok((roots, Trust::File { authorities })),
                }
            }
        }
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { authorities } => write!(f, "{authorities} authorities of the system"),
            Self::BuiltIn { authorities } => write!(f, "{authorities} built-in authorities"),
            Self::File { authorities } => write!(f, "{authorities} authorities of the file"),
            Self::Anyone => f.write_str(
                "NOBODY IS CHECKED: skip_ssl_validation sends the API key to whoever answers",
            ),
        }
    }
}

impl fmt::Display for TlsSetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, error } => {
                write!(f, "the authorities in {} could not be read: {error}", path.display())
            }
            Self::NoAuthority { path } => {
                write!(f, "{} has no CERTIFICATE that can be used", path.display())
            }
            Self::Refused(error) => write!(f, "TLS cannot be set up: {error}"),
        }
    }
}

impl std::error::Error for TlsSetupError {}

/// Accepts every certificate. Signatures of the handshake are still checked: a session belongs to
/// whoever showed the certificate, even if nobody knows who that is.
#[derive(Debug)]
struct BelieveAnyone {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for BelieveAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
