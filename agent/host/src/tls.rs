//! TLS as a client, for every adapter that speaks it: whose word counts, by which time, and who this board is.
//!
//! Invariant: files are read when a configuration is made, so a renewed one counts from the next on; a certificate and
//! a key that do not belong together make none. A board without a clock judges certificates by the latest time that it
//! can know to have passed ([`clock::proven`]).

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coracle_core::oci::Digest;
use coracle_core::time::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, InvalidMessage, RootCertStore, SignatureScheme,
};

use crate::files::SecretError;
use crate::{authorities, clock, files};

/// Bytes of a private key; one of RSA with 8192 bits has 6 KiB.
const KEY_BYTES_MAX: u64 = 64 << 10;

/// Certificate and key of this board, PEM files both.
pub(crate) type Identity = (PathBuf, PathBuf);

/// Why there is no TLS configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("failed to read {path:?}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Secret(SecretError),
    #[error("{path:?} is not PEM of {what}")]
    Pem { path: PathBuf, what: &'static str, source: pem::Error },
    #[error("{path:?} holds no certificate that can be used")]
    NoCertificate { path: PathBuf },
    #[error(
        "{path:?} is locked with a passphrase, and a board has nobody to ask for it: openssl pkey -in LOCKED -out KEY"
    )]
    Locked { path: PathBuf },
    #[error("no bundle of public authorities is installed; name a file of authorities")]
    NoBundle,
    #[error(
        "the key {key:?} is not that of the certificate {certificate:?}: one of them was replaced without the other"
    )]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("certificate {certificate:?} with key {key:?} cannot be used")]
    Identity { certificate: PathBuf, key: PathBuf, source: rustls::Error },
    #[error("TLS cannot be set up")]
    Rustls(#[from] rustls::Error),
}

/// All certificates of a PEM file; the file must hold one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = |source| TlsError::Read { path: path.to_owned(), source };
    let bytes = files::read_needed(path, authorities::PEM_BYTES_MAX).map_err(read)?;
    let failed = |source| TlsError::Pem { path: path.to_owned(), what: "certificates", source };
    let found = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    if found.is_empty() { Err(TlsError::NoCertificate { path: path.to_owned() }) } else { Ok(found) }
}

/// The authorities of `own`, and no others, or else those of the board's distribution.
pub(crate) fn roots(own: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let path = own.map(Path::to_owned).or_else(authorities::bundle).ok_or(TlsError::NoBundle)?;
    let mut roots = RootCertStore::empty();
    // A bundle may hold what rustls does not take; one good authority is enough to go on.
    if roots.add_parsable_certificates(certificates(&path)?).0 == 0 {
        return Err(TlsError::NoCertificate { path });
    }
    Ok(roots)
}

/// A client that believes `roots`, speaks only with keys of `pins` where there are any, and proves itself by `identity`.
pub(crate) fn client(
    roots: RootCertStore,
    pins: &[[u8; 32]],
    identity: Option<&Identity>,
) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_details(Arc::clone(&provider), Arc::new(BoardTime))
        .with_safe_default_protocol_versions()?;
    let builder = if pins.is_empty() {
        builder.with_root_certificates(roots)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Pinned::new(roots, pins, provider)?))
    };
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let secret = private_key(key)?;
            builder.with_client_auth_cert(chain, secret).map_err(|source| {
                let (certificate, key) = (certificate.clone(), key.clone());
                if matches!(source, rustls::Error::InconsistentKeys(_)) {
                    TlsError::Mismatch { certificate, key }
                } else {
                    TlsError::Identity { certificate, key, source }
                }
            })?
        }
    };
    // A session kept for resumption costs more memory than the rare reconnect is worth.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// PKCS#8, SEC1 or PKCS#1.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = files::read_secret(path, KEY_BYTES_MAX).map_err(TlsError::Secret)?;
    // Both ways of locking a key say so: PKCS#8 in its label, the older ones in a header.
    if bytes.windows(9).any(|window| window == b"ENCRYPTED") {
        return Err(TlsError::Locked { path: path.to_owned() });
    }
    let failed = |source| TlsError::Pem { path: path.to_owned(), what: "a private key", source };
    PrivateKeyDer::from_pem_slice(&bytes).map_err(failed)
}

/// The board's own idea of the time.
#[derive(Debug)]
struct BoardTime;

impl TimeProvider for BoardTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(clock::proven().0)))
    }
}

/// Beside the usual checks, the server's key is one of those that were written down.
#[derive(Debug)]
struct Pinned {
    usual: Arc<WebPkiServerVerifier>,
    pins: Vec<[u8; 32]>,
}

impl Pinned {
    fn new(roots: RootCertStore, pins: &[[u8; 32]], provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let usual = usual.map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Self { usual, pins: pins.to_vec() })
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        let key = ParsedCertificate::try_from(end_entity)?.subject_public_key_info();
        let found = Digest::of(&key);
        if self.pins.iter().any(|pin| found.bytes() == pin) {
            return Ok(verified);
        }
        Err(rustls::Error::General(format!(
            "its key is none of those pinned; the SHA-256 is {}",
            found.hex()
        )))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// The library's error somewhere in `error`'s causes; those of input and output wrap it without naming it their source,
/// and one another, too.
pub(crate) fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// Why the server's certificate was not believed, and what helps; `None` where it was something else.
#[allow(clippy::wildcard_enum_match_arm)] // The library's enum; the rest is told in its own words.
pub(crate) fn disbelief(error: &rustls::Error) -> Option<String> {
    let at = |time: &UnixTime| Timestamp(time.as_secs()).rfc3339();
    let rustls::Error::InvalidCertificate(why) = error else { return None };
    Some(match why {
        CertificateError::ExpiredContext { time, not_after } => {
            format!("its certificate expired at {}; here it is {}", at(not_after), at(time))
        }
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "its certificate counts from {} on, and here it is {}: this board's clock is behind, and needs a time \
             server or a battery",
            at(not_before),
            at(time)
        ),
        // The second is one of an authority that only has the right name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "no authority that is believed here signed its certificate".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let short = |name: &String| name.chars().take(80).collect::<String>();
            let presented = presented.iter().take(4).map(short).collect::<Vec<_>>().join(", ");
            format!("its certificate is for {presented:?} and not for {:?}", expected.to_str())
        }
        // A certificate that is an authority's own, as a first try with openssl makes it, is the usual one of these.
        CertificateError::Other(other) => format!("its certificate cannot be a server's: {other}"),
        _ => return None,
    })
}

/// Whether the other side answered in something that is no TLS.
pub(crate) fn is_no_tls(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType))
}
