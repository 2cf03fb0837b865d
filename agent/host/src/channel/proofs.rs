//! What a connection proves itself with: certificate, key, authorities and password, read from their files.
//!
//! Invariant: what cannot be used never takes the place of what works. A half-replaced pair, a file with open modes or
//! a broken one leaves the certificate that was read before in use, and is told once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use coracle_core::oci::Digest;
use coracle_core::retry::Loss;
use rustls::ClientConfig;

use super::link::{Lost, chain};
use super::{ChannelConfig, TlsFiles};
use crate::files::{self, Stamp};
use crate::{authorities, tls};

/// Bytes of a password file; the longest tokens in use have a few KiB.
const PASSWORD_BYTES_MAX: u64 = 16 << 10;

/// What was read, as one connection uses it.
pub(super) struct Fresh {
    pub(super) password: Option<Vec<u8>>,
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// Why what was read before is used, said once for each look of the files.
    pub(super) trouble: Option<String>,
}

/// What another look at the files came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// They say what they said.
    Same,
    /// They say something else that can be used.
    Renewed,
    /// They say something that cannot be used.
    Unusable(String),
}

/// The files, as they were seen last.
pub(super) struct Proofs {
    config: Arc<ChannelConfig>,
    seen: Stamp,
    told: Option<Stamp>,
    in_use: Option<Digest>,
    tls: Option<Arc<ClientConfig>>,
}

impl Proofs {
    pub(super) fn new(config: Arc<ChannelConfig>) -> Self {
        Self { config, seen: Stamp::default(), told: None, in_use: None, tls: None }
    }

    /// Reads all of them for a new connection.
    pub(super) fn read(&mut self) -> Result<Fresh, Lost> {
        // Looked at before they are read: what changes in between is seen at the next look.
        self.seen = self.look();
        let password = self.config.password_file.as_deref().map(password).transpose();
        let password = password.map_err(|why| Lost::new(Loss::Network, why))?;
        let trouble = match self.config.tls.as_ref().map(client_config) {
            None => None,
            Some(Ok(config)) => {
                self.tls = Some(Arc::new(config));
                None
            }
            Some(Err(error)) if self.tls.is_some() => Some(chain(&error)),
            Some(Err(error)) => return Err(Lost::new(Loss::Network, chain(&error))),
        };
        if trouble.is_none() {
            self.in_use = Some(self.content());
        }
        let trouble = trouble.filter(|_| self.told.as_ref() != Some(&self.seen));
        if trouble.is_some() {
            self.told = Some(self.seen.clone());
        }
        Ok(Fresh { password, tls: self.tls.clone(), trouble })
    }

    /// Looks at the files again, and reads them only where they look different.
    pub(super) fn again(&mut self) -> Look {
        let now = self.look();
        if now == self.seen {
            return Look::Same;
        }
        self.seen = now;
        let usable = self.config.password_file.as_deref().map_or(Ok(()), |path| password(path).map(drop));
        let usable = usable.and_then(|()| {
            let made = self.config.tls.as_ref().map(client_config).transpose();
            made.map(drop).map_err(|error| chain(&error))
        });
        match usable {
            Err(why) => {
                self.told = Some(self.seen.clone());
                Look::Unusable(why)
            }
            Ok(()) if self.in_use == Some(self.content()) => Look::Same,
            Ok(()) => Look::Renewed,
        }
    }

    fn look(&self) -> Stamp {
        Stamp::of(&self.paths())
    }

    fn paths(&self) -> Vec<PathBuf> {
        let tls = self.config.tls.as_ref();
        let client = tls.and_then(|files| files.client.as_ref());
        let own = client.into_iter().flat_map(|(certificate, key)| [certificate, key]);
        let ca = tls.and_then(|files| files.ca.as_ref());
        own.chain(ca).chain(self.config.password_file.as_ref()).cloned().collect()
    }

    /// A digest of all they hold: a file that was only touched is no news.
    fn content(&self) -> Digest {
        let read = |path: &PathBuf| files::read_needed(path, authorities::PEM_BYTES_MAX).unwrap_or_default();
        let each = self.paths().iter().map(|path| *Digest::of(&read(path)).bytes()).collect::<Vec<_>>();
        Digest::of(each.as_flattened())
    }
}

fn client_config(files: &TlsFiles) -> Result<ClientConfig, tls::TlsError> {
    tls::client(tls::roots(files.ca.as_deref())?, &files.pins, files.client.as_ref())
}

fn password(path: &Path) -> Result<Vec<u8>, String> {
    let mut password = files::read_secret(path, PASSWORD_BYTES_MAX).map_err(|error| error.to_string())?;
    while password.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        password.pop();
    }
    Ok(password)
}
