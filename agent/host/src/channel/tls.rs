//! TLS to the broker: rustls with ring, files read for every connection.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, ClientConfig, RootCertStore};

use super::TlsFiles;
use crate::{authorities, files};

/// Why there is no TLS configuration.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("failed to read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is not PEM of {what}")]
    Pem { path: PathBuf, what: &'static str, source: rustls::pki_types::pem::Error },
    #[error("{path} holds no certificate that can be used")]
    NoCertificate { path: PathBuf },
    #[error("no bundle of public authorities is installed; set broker.ca_file")]
    NoBundle,
    #[error("client certificate or key cannot be used")]
    Rustls(#[from] rustls::Error),
}

/// The configuration of one connection.
pub(super) fn client_config(files: &TlsFiles) -> Result<Arc<ClientConfig>, TlsError> {
    let ca = files.ca.clone().or_else(authorities::bundle).ok_or(TlsError::NoBundle)?;
    let mut roots = RootCertStore::empty();
    // A bundle may hold what rustls does not take; one good authority is enough to go on.
    if roots.add_parsable_certificates(certificates(&ca)?).0 == 0 {
        return Err(TlsError::NoCertificate { path: ca });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match &files.client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let pem = read(key)?;
            let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|source| TlsError::Pem {
                path: key.clone(),
                what: "a private key",
                source,
            })?;
            builder.with_client_auth_cert(certificates(certificate)?, key)?
        }
    };
    // A session kept for resumption costs more memory than the rare reconnect is worth.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|source| TlsError::Pem {
        path: path.to_owned(),
        what: "certificates",
        source,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    files::read_needed(path, authorities::PEM_BYTES_MAX)
        .map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

/// Whether the broker refused this device's certificate, as the alert somewhere in `error`'s causes says.
pub(super) fn refused_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let alert = match wrapped {
            Some(inner) => inner.downcast_ref::<rustls::Error>(),
            None => error.downcast_ref::<rustls::Error>(),
        };
        if alert.is_some_and(is_refusal) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn is_refusal(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
        )
    )
}
