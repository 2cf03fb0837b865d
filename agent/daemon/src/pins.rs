//! Images that people keep although nothing runs them: references, in one file replaced whole.
//!
//! ```text
//! <state_dir>/pins         {"version": 1, "references": ["registry.example/app:1"]}
//! <state_dir>/pins.lock    held by whoever changes them
//! ```

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use coracle_core::saved::Newer;
use coracle_host::files::{self, Lock, LockError, Sharing};
use serde::{Deserialize, Serialize};

/// The version of the saved form that this agent writes.
pub(crate) const VERSION: u32 = 1;
const FILE: &str = "pins";
const MODE: u32 = 0o600;
/// References; each keeps an image on a small disk.
const PINS_MAX: usize = 256;
/// Bytes of the file: as many references as there may be, each of a reference's greatest length.
const FILE_BYTES_MAX: u64 = 512 << 10;

/// Saved form, version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pins {
    version: u32,
    references: BTreeSet<String>,
}

/// Why pins were not read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PinError {
    /// The file, or what is in it.
    #[error("failed to {attempt} the list of pinned images {path}")]
    Io {
        /// `read` or `write`.
        attempt: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody is in the way.
    #[error("failed to lock the list of pinned images")]
    Lock(#[from] LockError),
    /// There are too many.
    #[error("{PINS_MAX} images are pinned, and no more can be; `coracle images unpin` lets one go")]
    Full,
}

/// Every pinned reference.
///
/// # Errors
/// [`PinError::Io`] also for a list that cannot be understood: nobody can say then what may go.
pub(crate) fn all(state_dir: &Path) -> Result<BTreeSet<String>, PinError> {
    let path = state_dir.join(FILE);
    let read = files::read_bounded(&path, FILE_BYTES_MAX).and_then(|bytes| {
        let Some(bytes) = bytes else { return Ok(BTreeSet::new()) };
        if let Some(newer) = Newer::of_json(&bytes, VERSION) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, newer));
        }
        let pins: Pins = serde_json::from_slice(&bytes)?;
        Ok(pins.references)
    });
    read.map_err(|source| PinError::Io { attempt: "read", path, source })
}

/// Pins a reference; whether it was not pinned before.
///
/// # Errors
/// [`PinError`].
pub(crate) fn pin(state_dir: &Path, reference: &str) -> Result<bool, PinError> {
    change(state_dir, |references| {
        if references.len() >= PINS_MAX && !references.contains(reference) {
            return Err(PinError::Full);
        }
        Ok(references.insert(reference.to_owned()))
    })
}

/// Lets a reference go; whether it was pinned.
///
/// # Errors
/// [`PinError`].
pub(crate) fn unpin(state_dir: &Path, reference: &str) -> Result<bool, PinError> {
    change(state_dir, |references| Ok(references.remove(reference)))
}

fn change(
    state_dir: &Path,
    edit: impl FnOnce(&mut BTreeSet<String>) -> Result<bool, PinError>,
) -> Result<bool, PinError> {
    let _alone = Lock::take(&state_dir.join("pins.lock"), Sharing::Exclusive)?;
    let mut references = all(state_dir)?;
    if !edit(&mut references)? {
        return Ok(false);
    }
    let path = state_dir.join(FILE);
    let written = serde_json::to_vec(&Pins { version: VERSION, references })
        .map_err(io::Error::from)
        .and_then(|bytes| files::write_durable(&path, &bytes, MODE));
    written.map_err(|source| PinError::Io { attempt: "write", path, source })?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pinned_is_read_again_and_what_cannot_be_read_is_no_empty_list() {
        let dir = std::env::temp_dir().join(format!("coracle-pins-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        assert!(pin(&dir, "b:1").unwrap() && pin(&dir, "a:1").unwrap() && !pin(&dir, "a:1").unwrap());
        assert!(unpin(&dir, "b:1").unwrap() && !unpin(&dir, "b:1").unwrap());
        assert_eq!(all(&dir).unwrap(), BTreeSet::from(["a:1".to_owned()]));
        for number in 1..PINS_MAX {
            pin(&dir, &format!("c:{number}")).unwrap();
        }
        assert!(matches!(pin(&dir, "one-too-many"), Err(PinError::Full)));
        for damage in ["", "{}", "{\"version\":9,\"references\":[]}"] {
            std::fs::write(dir.join(FILE), damage).unwrap();
            assert!(all(&dir).is_err() && pin(&dir, "d:1").is_err(), "{damage:?}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_first_saved_form_is_still_read() {
        let dir = std::env::temp_dir().join(format!("coracle-pins-saved-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(FILE), include_bytes!("../../../tests/data/saved/pins-1.json")).unwrap();
        assert_eq!(all(&dir).unwrap(), BTreeSet::from(["docker.io/library/nginx:latest".to_owned()]));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
