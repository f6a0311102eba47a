//! A certificate authority that lives as long as one intake, and the certificates it signs.

use std::io;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// What the intake shows to its clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// Valid for `localhost`, 127.0.0.1 and ::1, signed by the authority of [`super::Intake::ca_pem`].
    #[default]
    Valid,
    /// Right but for its name, `elsewhere.invalid`.
    WrongName,
    /// Right but for its time: it ended in 2001.
    Expired,
    /// Right but for its time: it begins in 2099.
    NotYetValid,
    /// Signed by an authority that nobody was told of.
    UnknownAuthority,
    /// Signed by itself.
    SelfSigned,
}

/// What a TLS intake needs to run and its clients to trust it.
pub(super) struct Identity {
    /// The authority's certificate, as PEM.
    pub(super) ca_pem: String,
    /// The server's side of TLS 1.2 and 1.3, offering HTTP/1.1 only.
    pub(super) server: Arc<ServerConfig>,
}

/// Makes an authority and a certificate of the kind asked for.
///
/// # Errors
///
/// Only if the random generator or the cryptography fails.
pub(super) fn identity(certificate: Certificate) -> io::Result<Identity> {
    generate(certificate).map_err(io::Error::other)
}

fn generate(
    certificate: Certificate,
) -> Result<Identity, Box<dyn std::error::Error + Send + Sync>> {
    let (authority, ca_pem) = authority()?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(match certificate {
        Certificate::WrongName => vec!["elsewhere.invalid".to_owned()],
        _ => ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec(),
    })?;
    params.distinguished_name.push(DnType::CommonName, "lastdrop-lab intake");
    match certificate {
        Certificate::Expired => params.not_after = date_time_ymd(2001, 1, 1),
        Certificate::NotYetValid => params.not_before = date_time_ymd(2099, 1, 1),
        _ => {}
    }
    let signed = match certificate {
        Certificate::SelfSigned => params.self_signed(&key)?,
        Certificate::UnknownAuthority => params.signed_by(&key, &self::authority()?.0)?,
        _ => params.signed_by(&key, &authority)?,
    };
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![signed.der().clone()], key)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Identity { ca_pem, server: Arc::new(server) })
}

fn authority() -> Result<(Issuer<'static, KeyPair>, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "lastdrop-lab authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let pem = params.self_signed(&key)?.pem();
    Ok((Issuer::new(params, key), pem))
}
