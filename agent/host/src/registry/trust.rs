//! Which certificate authorities a registry is checked against, without scanning the board's certificate directory.
//!
//! Each transport client of the library we use first builds a throw-away client with the system's store: where there is
//! none that panics, and where there is one it costs some 15 MB.
//! [`prepare_environment`] gives that throw-away client a store of one certificate that can vouch for nobody.
//! The roots that count are always handed over explicitly.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::config::RegistryConfig;
use super::error::Cause;
use crate::files::Stamp;
use crate::tls::Identity;
use crate::{authorities, clock, files, tls};

/// Entries looked at in one `certs.d` directory.
const DIRECTORY_ENTRIES_MAX: usize = 64;
/// A certificate that parses and vouches for nobody: its key has the algorithm 2.999, the arc for examples, and no bits.
const TRUSTS_NOTHING: &str = "-----BEGIN CERTIFICATE-----
MIGSMIGFoAMCAQICAQEwBAYCiDcwGTEXMBUGA1UEAwwOdHJ1c3RzIG5vdGhpbmcw
HhcNNzAwMTAxMDAwMDAwWhcNNzAwMTAxMDAwMDAxWjAZMRcwFQYDVQQDDA50cnVz
dHMgbm90aGluZzAKMAQGAog3AwIAAKMTMBEwDwYDVR0TAQH/BAUwAwEB/zAEBgKI
NwMCAAA=
-----END CERTIFICATE-----
";

/// `SSL_CERT_FILE` and `SSL_CERT_DIR` as this process got them.
struct Original {
    file: Option<OsString>,
    directory: Option<OsString>,
}

static ORIGINAL: OnceLock<Original> = OnceLock::new();

/// Makes the library's throw-away clients cheap and safe; the first thing in `main`, before any thread.
///
/// Also installs the process's TLS provider, where none is yet. Where there are threads already (under qemu's user
/// emulation there always are) the environment stays as it is: the clients then cost more memory, and a board without
/// a CA store gets an error from the first of them.
///
/// # Errors
/// When the kernel refuses an anonymous file.
#[allow(unsafe_code)]
pub fn prepare_environment() -> io::Result<()> {
    install_provider();
    if ORIGINAL.get().is_some() {
        return Ok(());
    }
    if std::fs::read_dir("/proc/self/task")?.take(2).count() != 1 {
        return Ok(());
    }
    let fd = nix::sys::memfd::memfd_create("trusts-nothing", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?;
    let mut file = std::fs::File::from(fd);
    file.write_all(TRUSTS_NOTHING.as_bytes())?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // Open for as long as the process lives.
    let _ = file.into_raw_fd();
    let original =
        Original { file: std::env::var_os("SSL_CERT_FILE"), directory: std::env::var_os("SSL_CERT_DIR") };
    // SAFETY: /proc/self/task has just shown this thread alone, so nobody reads the environment meanwhile.
    unsafe {
        std::env::set_var("SSL_CERT_FILE", path);
        std::env::remove_var("SSL_CERT_DIR");
    }
    let _ = ORIGINAL.set(original);
    Ok(())
}

/// What `SSL_CERT_FILE` was before [`prepare_environment`] took the variable for itself.
#[must_use]
pub fn given_cert_file() -> Option<PathBuf> {
    ORIGINAL.get().and_then(|original| original.file.clone()).map(PathBuf::from)
}

/// TLS without a provider would panic at the first client.
pub(super) fn install_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Losing a race against another installer leaves a provider all the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

/// Gives a child process that speaks TLS by itself the variables as they were.
pub(super) fn restore_environment(command: &mut tokio::process::Command) {
    let Some(original) = ORIGINAL.get() else { return };
    for (name, value) in [("SSL_CERT_FILE", &original.file), ("SSL_CERT_DIR", &original.directory)] {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
}

/// Certificates in DER form that parse as roots.
pub(super) type Roots = Vec<Vec<u8>>;

/// Whom one registry is checked against, and who this board is to it.
#[derive(Debug)]
pub(super) struct Trust {
    pub(super) roots: Roots,
    pub(super) identity: Option<Identity>,
}

/// What `certs.d` has for one registry, as docker and podman lay it out.
#[derive(Debug, Default)]
struct Own {
    authorities: Vec<PathBuf>,
    identity: Option<Identity>,
}

/// The roots for one registry: `ca_file` or else the system's bundle, and what `certs.d` adds; and the certificate that
/// `certs.d` has for this board.
pub(super) fn trust(config: &RegistryConfig, registry: &str) -> Result<Trust, Cause> {
    let mut roots = match &config.ca_file {
        Some(path) => read_own(path)?,
        None => read_system(),
    };
    let own = own(config, registry)?;
    for path in &own.authorities {
        roots.extend(read_own(path)?);
    }
    if roots.is_empty() {
        let why = "no CA certificates: install the system's bundle or name a ca_file".to_owned();
        return Err(Cause::Tls(why));
    }
    Ok(Trust { roots, identity: own.identity })
}

/// How the files that [`trust`] reads look now: a client that was made of others is not used again.
pub(super) fn stamp(config: &RegistryConfig, registry: &str) -> Stamp {
    let directory = config.certs_dir.as_ref().map(|certs| certs.join(registry));
    let inside = directory.iter().flat_map(|directory| entries(directory)).collect::<Vec<_>>();
    Stamp::of(config.ca_file.iter().chain(&directory).chain(&inside))
}

/// The settings of a client of our own; the transport library takes no certificate of this board, and no other time
/// than the clock's.
pub(super) fn client_config(trust: &Trust) -> Result<ClientConfig, Cause> {
    let mut roots = RootCertStore::empty();
    // Each was held against the same rules when it was read.
    roots.add_parsable_certificates(trust.roots.iter().map(|root| CertificateDer::from(root.as_slice())));
    tls::client(roots, &[], trust.identity.as_ref()).map_err(|error| Cause::Tls(words(&error)))
}

/// Whether the transport library cannot reach a registry that [`client_config`] can.
pub(super) fn needs_own_client(config: &RegistryConfig, registry: &str) -> Result<bool, Cause> {
    Ok(own(config, registry)?.identity.is_some() || clock::behind())
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut paths =
        entries.flatten().take(DIRECTORY_ENTRIES_MAX).map(|entry| entry.path()).collect::<Vec<_>>();
    paths.sort();
    paths
}

/// `*.crt` vouch for the registry; `NAME.cert` and `NAME.key` are this board's, and neither is there alone.
fn own(config: &RegistryConfig, registry: &str) -> Result<Own, Cause> {
    let Some(directory) = config.certs_dir.as_ref().map(|certs| certs.join(registry)) else {
        return Ok(Own::default());
    };
    let failed = |path: &Path, why: String| Cause::File { path: path.display().to_string(), why };
    let mut own = Own::default();
    for path in entries(&directory) {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => own.authorities.push(path),
            Some("cert") => {
                let key = path.with_extension("key");
                if !key.exists() {
                    let why = format!("has no key {key:?} beside it");
                    return Err(failed(&path, why));
                }
                if let Some((other, _)) = &own.identity {
                    let why = format!("there is {other:?} too: a board has one certificate for a registry");
                    return Err(failed(&path, why));
                }
                own.identity = Some((path, key));
            }
            Some("key") if !path.with_extension("cert").exists() => {
                let certificate = path.with_extension("cert");
                return Err(failed(&path, format!("has no certificate {certificate:?} beside it")));
            }
            Some(_) | None => {}
        }
    }
    Ok(own)
}

/// Certificates that somebody configured: each must be good.
fn read_own(path: &Path) -> Result<Roots, Cause> {
    let failed = |why: String| Cause::File { path: path.display().to_string(), why };
    let mut store = RootCertStore::empty();
    let mut roots = Roots::new();
    for certificate in tls::certificates(path).map_err(|error| Cause::Tls(words(&error)))? {
        store.add(certificate.clone()).map_err(|error| failed(error.to_string()))?;
        roots.push(certificate.to_vec());
    }
    Ok(roots)
}

fn words(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// The first bundle there is; what is odd in it is left out, as every TLS program does.
fn read_system() -> Roots {
    let own = match ORIGINAL.get() {
        Some(original) => original.file.clone(),
        None => std::env::var_os("SSL_CERT_FILE"),
    };
    let path = own.map(PathBuf::from).or_else(authorities::bundle);
    let Some(pem) = path.and_then(|path| files::read_needed(&path, authorities::PEM_BYTES_MAX).ok()) else {
        return Roots::new();
    };
    let parses = |certificate: &CertificateDer<'_>| {
        RootCertStore::empty().add(CertificateDer::from(certificate.as_ref())).is_ok()
    };
    CertificateDer::pem_slice_iter(&pem)
        .flatten()
        .filter(parses)
        .map(|certificate| certificate.to_vec())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_that_trusts_nothing_parses_as_a_root() {
        let certificate = CertificateDer::from_pem_slice(TRUSTS_NOTHING.as_bytes()).unwrap();
        RootCertStore::empty().add(certificate).unwrap();
    }
}
