//! The certificate authorities that the board's distribution trusts.

use std::path::PathBuf;

/// Bytes of one file of certificates; the bundle of all public authorities has a quarter of a megabyte.
pub(crate) const PEM_BYTES_MAX: u64 = 4 << 20;
/// Where distributions keep the bundle of all of them.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The first bundle that is installed.
pub(crate) fn bundle() -> Option<PathBuf> {
    BUNDLES.iter().map(PathBuf::from).find(|path| path.exists())
}
