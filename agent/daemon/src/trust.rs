//! Whom this board believes: the keys of its image, and what replaced them since.
//!
//! Invariant: where keys are missing or cannot be used, nobody is believed and the agent goes on with what it has.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use coracle_core::trust::{KeyId, Lineage, Policy, PublicKey, SavedError, TrustDocument};
use coracle_host::files;
use coracle_host::trust::{self, Held};

use crate::config::{Settings, Trust};
use crate::exit::chain;

/// What replaced the image's keys, in the state directory.
const FILE: &str = "trust";
const MODE: u32 = 0o600;
/// Bytes of that file: as many trust documents as may follow the image's.
const FILE_BYTES_MAX: u64 = 2 << 20;

/// Whom the board believes, and how that came about.
#[derive(Debug)]
pub(crate) struct Believed {
    pub(crate) policy: Policy,
    /// Where each key of the image stands.
    pub(crate) places: BTreeMap<KeyId, PathBuf>,
    /// Something saved that does not hold, and was left out.
    pub(crate) trouble: Option<String>,
    /// Whether the file is behind what counts.
    stale: bool,
}

/// Reads the image's keys and what is saved.
pub(crate) fn load(settings: &Settings) -> Believed {
    let nobody =
        |why| Believed { policy: Policy::Nobody(why), places: BTreeMap::new(), trouble: None, stale: false };
    match settings.trust {
        Trust::Unsigned => Believed { policy: Policy::Anybody, ..nobody(String::new()) },
        Trust::Signed => match image(&settings.keys_dir) {
            Ok((document, places)) => resume(&settings.state_dir, document)
                .map_or_else(nobody, |believed| Believed { places, ..believed }),
            Err(why) => nobody(why),
        },
    }
}

/// The trust document of the image, and the file of each key.
fn image(dir: &Path) -> Result<(TrustDocument, BTreeMap<KeyId, PathBuf>), String> {
    let found = trust::look(dir).map_err(|error| chain(&error))?;
    let plain = !(found.deploy.is_empty() && found.root.is_empty());
    if let Some((path, bytes)) = found.document {
        if plain {
            return Err(format!("{} holds trust.json and *.pub: keep one or the other", dir.display()));
        }
        let document = TrustDocument::parse(&bytes)
            .map_err(|fault| format!("{}: {}", path.display(), fault.message()))?;
        let places = document.keys().keys().map(|id| (*id, path.clone())).collect();
        return Ok((document, places));
    }
    if found.deploy.is_empty() {
        return Err(format!("{} holds neither trust.json nor *.pub", dir.display()));
    }
    let mut places = BTreeMap::new();
    let (deploy, root) = (keys(found.deploy, &mut places)?, keys(found.root, &mut places)?);
    let document = TrustDocument::of_keys(deploy, root)
        .map_err(|fault| format!("{}: {}", dir.display(), fault.message()))?;
    Ok((document, places))
}

fn keys(held: Vec<Held>, places: &mut BTreeMap<KeyId, PathBuf>) -> Result<Vec<PublicKey>, String> {
    let mut keys = Vec::with_capacity(held.len());
    for (path, bytes) in held {
        let key = PublicKey::from_pem(&String::from_utf8_lossy(&bytes))
            .map_err(|error| format!("{} {error}", path.display()))?;
        places.insert(key.id(), path);
        keys.push(key);
    }
    Ok(keys)
}

/// Goes on from what replaced the image's keys.
fn resume(state_dir: &Path, document: TrustDocument) -> Result<Believed, String> {
    let path = state_dir.join(FILE);
    let unusable = |why: &str| {
        let path = path.display();
        format!("{path}: {why}; remove it to have the image's own keys count again")
    };
    let saved = files::read_bounded(&path, FILE_BYTES_MAX).map_err(|error| unusable(&error.to_string()))?;
    let (lineage, broken) = match &saved {
        None => (Lineage::of_image(document), None),
        Some(bytes) => Lineage::resume(document, bytes).map_err(|error| match error {
            // To remove it would bring back keys that were replaced for a reason.
            SavedError::Newer(newer) => format!("{}: {newer}", path.display()),
            SavedError::Damaged(_) => unusable(&error.to_string()),
        })?,
    };
    let counts = lineage.floor() > 0 && lineage.fit().is_ok();
    Ok(Believed {
        stale: counts && saved.as_deref() != Some(lineage.to_bytes().as_slice()),
        policy: Policy::Keys(Box::new(lineage)),
        places: BTreeMap::new(),
        trouble: broken.map(|fault| format!("{}: {}", path.display(), fault.message())),
    })
}

/// The file of what replaced the image's keys.
pub(crate) fn file(settings: &Settings) -> PathBuf {
    settings.state_dir.join(FILE)
}

/// Makes the lineage durable; it counts from then on.
pub(crate) fn keep(state_dir: &Path, lineage: &Lineage) -> io::Result<()> {
    files::write_durable(&state_dir.join(FILE), &lineage.to_bytes(), MODE)
}

impl Believed {
    /// Remembers that the image brought keys of a higher counter, so that an older image cannot bring back those they
    /// replaced.
    pub(crate) fn remember(&self, state_dir: &Path) -> io::Result<()> {
        match &self.policy {
            Policy::Keys(lineage) if self.stale => keep(state_dir, lineage),
            Policy::Keys(_) | Policy::Anybody | Policy::Nobody(_) => Ok(()),
        }
    }
}
