//! TLS to the broker: what a handshake that failed means for the session.

use std::error::Error;
use std::path::Path;

use coracle_core::retry::Loss;
use rustls::AlertDescription;

use super::dial;
use super::link::{Lost, chain};
use crate::tls;

/// A failed connection as what it is by its TLS or its proxy; `None` where it is neither's.
/// `own` is the file of this device's certificate.
pub(super) fn lost(error: &(dyn Error + 'static), own: Option<&Path>) -> Option<Lost> {
    if let Some(refused) = dial::refused(error) {
        let loss = if refused.wants_credentials() { Loss::Credentials } else { Loss::Network };
        return Some(Lost::new(loss, refused.to_string()));
    }
    let found = tls::cause(error)?;
    if is_refusal(found) {
        let whose = own.map_or_else(String::new, |path| format!(" {path:?}"));
        let cause = format!("the broker refused this device's certificate{whose}: {}", chain(error));
        return Some(Lost::new(Loss::Credentials, cause));
    }
    let why = tls::disbelief(found)?;
    Some(Lost::new(Loss::Network, format!("the broker is not believed: {why}")))
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
