//! What the client is set up with, and how it is made from the ecosystem's files.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coracle_core::address::ProxyUrl;

use super::credentials::CredentialFiles;
use super::endpoint::Registries;
use super::error::{Attempt, Cause, RegistryError};
use super::retry::RetryPolicy;

/// Bytes of one configuration file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// How a [`super::RegistryClient`] behaves.
#[derive(Debug, Clone, Default)]
pub struct RegistryConfig {
    /// Registries (`host` or `host:port`) spoken to without TLS, beside those that `registries` names.
    pub insecure: Vec<String>,
    /// Roots instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// More roots for single registries, `<dir>/<host:port>/*.crt`, and this board's certificate for them, `*.cert`
    /// with its `*.key`.
    pub certs_dir: Option<PathBuf>,
    /// Through which registries are reached, but for those in `insecure`; what the environment says where absent.
    pub proxy: Option<Proxy>,
    /// Mirrors, locations, blocked registries.
    pub registries: Registries,
    /// Where credentials are looked up.
    pub credentials: CredentialFiles,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// How often to try.
    pub retry: RetryPolicy,
}

/// A proxy and what goes past it.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Where it is.
    pub url: ProxyUrl,
    /// Hosts, domains and networks, as `NO_PROXY` has them.
    pub past: Vec<String>,
}

impl Proxy {
    /// As `NO_PROXY` has it.
    pub(super) fn past(&self) -> String {
        self.past.join(",")
    }
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// A connection.
    pub connect: Duration,
    /// The next byte.
    pub read: Duration,
    /// The time over which `minimum_rate` must hold.
    pub rate_window: Duration,
    /// Bytes a second below which a connection is as good as none.
    pub minimum_rate: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            read: Duration::from_secs(30),
            rate_window: Duration::from_secs(60),
            // A tenth of what a poor cellular link carries.
            minimum_rate: 512,
        }
    }
}

/// Paths and lists as the agent's own configuration has them.
#[derive(Debug, Clone, Default)]
pub struct RegistryFiles {
    /// Registries spoken to without TLS.
    pub insecure: Vec<String>,
    /// The only file credentials come from; the ecosystem's places where absent.
    pub auth_file: Option<PathBuf>,
    /// `/etc/containers/certs.d` where absent.
    pub certs_dir: Option<PathBuf>,
    /// `/etc/containers/registries.conf` where absent.
    pub registries_conf: Option<PathBuf>,
    /// Roots instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// What the environment says where absent.
    pub proxy: Option<Proxy>,
}

impl RegistryConfig {
    /// Reads `registries.conf` and notes where credentials and certificates are; those are read when needed.
    ///
    /// # Errors
    /// When a file is there and cannot be used; a `registries.conf` that was named must be there.
    pub fn load(files: &RegistryFiles) -> Result<Self, RegistryError> {
        let registries_conf = match &files.registries_conf {
            Some(path) if !path.exists() => {
                let cause = Cause::File { path: path.display().to_string(), why: "is not there".to_owned() };
                return Err(failed(cause));
            }
            Some(path) => path.clone(),
            None => PathBuf::from("/etc/containers/registries.conf"),
        };
        let credentials = match &files.auth_file {
            Some(path) => CredentialFiles::only(path.clone()),
            None => CredentialFiles::of_the_ecosystem(),
        };
        let certs_dir = files.certs_dir.clone().unwrap_or_else(|| PathBuf::from("/etc/containers/certs.d"));
        Ok(Self {
            insecure: files.insecure.clone(),
            ca_file: files.ca_file.clone(),
            certs_dir: Some(certs_dir),
            proxy: files.proxy.clone(),
            registries: Registries::load(&registries_conf).map_err(failed)?,
            credentials,
            timeouts: Timeouts::default(),
            retry: RetryPolicy::default(),
        })
    }
}

fn failed(cause: Cause) -> RegistryError {
    RegistryError {
        attempt: Attempt::Configure,
        object: "the registry client".to_owned(),
        registry: String::new(),
        tries: 1,
        cause: Box::new(cause),
    }
}

/// The text of a small file; `None` where there is no file.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, Cause> {
    let failed = |why: String| Cause::File { path: path.display().to_string(), why };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error.to_string())),
    };
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    if u64::try_from(text.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
        return Err(failed(format!("longer than {FILE_BYTES_MAX} bytes")));
    }
    Ok(Some(text))
}
