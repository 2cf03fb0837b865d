//! The keys in the board's image, and its policy for images, as files.
//!
//! Invariant: whoever could write there could decide what runs, so a place that others than its owner can write is
//! refused, and the number and length of files are bounded.
//!
//! ```text
//! trust.d/trust.json      a trust document, or
//! trust.d/*.pub           keys that deploy, and
//! trust.d/root/*.pub      keys that replace keys
//! policy.json             what is demanded of images, and below it the keys that it names
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use coracle_core::limits::IMAGE_POLICY_BYTES_MAX;

use crate::files;

/// Files of one folder: as many keys as a trust document takes.
const FILES_MAX: usize = 32;
/// Bytes of a key's file; one has 113 or 178.
const KEY_BYTES_MAX: u64 = 4 << 10;
/// Bytes of a trust document without its envelope.
const DOCUMENT_BYTES_MAX: u64 = 32 << 10;
/// A trust document's name.
const DOCUMENT: &str = "trust.json";
/// The folder of keys that replace keys.
const ROOT: &str = "root";
const EXTENSION: &str = "pub";

/// A file and what it holds.
pub type Held = (PathBuf, Vec<u8>);

/// What stands in the folder; nothing at all where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// `trust.json`.
    pub document: Option<Held>,
    /// `*.pub`, by name.
    pub deploy: Vec<Held>,
    /// `root/*.pub`, by name.
    pub root: Vec<Held>,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustFilesError {
    /// The system's answer.
    #[error("failed to read {path:?}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can write it.
    #[error("{path:?} can be written by others than its owner; run: chmod go-w {}", path.display())]
    Open {
        /// The file or folder.
        path: PathBuf,
    },
    /// More than a board takes.
    #[error("{path:?} holds more than {FILES_MAX} keys")]
    Many {
        /// The folder.
        path: PathBuf,
    },
}

/// Looks at the folder `dir`.
///
/// # Errors
/// [`TrustFilesError`]; a folder that is not there is no error.
pub fn look(dir: &Path) -> Result<Found, TrustFilesError> {
    if !guarded(dir)? {
        return Ok(Found::default());
    }
    let (document, root) = (dir.join(DOCUMENT), dir.join(ROOT));
    Ok(Found {
        document: if guarded(&document)? { Some(held(document, DOCUMENT_BYTES_MAX)?) } else { None },
        deploy: keys(dir)?,
        root: if guarded(&root)? { keys(&root)? } else { Vec::new() },
    })
}

/// The policy for images; `None` where there is none.
///
/// # Errors
/// [`TrustFilesError`].
pub fn policy(path: &Path) -> Result<Option<Vec<u8>>, TrustFilesError> {
    if !beside_owner(path)? {
        return Ok(None);
    }
    held(path.to_owned(), IMAGE_POLICY_BYTES_MAX).map(|(_, bytes)| Some(bytes))
}

/// The file of a key that the policy for images names.
///
/// # Errors
/// [`TrustFilesError`], also where there is no such file.
pub fn policy_key(path: &Path) -> Result<Vec<u8>, TrustFilesError> {
    beside_owner(path)?;
    held(path.to_owned(), KEY_BYTES_MAX).map(|(_, bytes)| bytes)
}

/// [`guarded`], for a file and the folder that it could be replaced in.
fn beside_owner(path: &Path) -> Result<bool, TrustFilesError> {
    match path.parent() {
        Some(dir) => Ok(guarded(dir)? && guarded(path)?),
        None => guarded(path),
    }
}

/// Whether there is such a file or folder, which its owner alone can write.
fn guarded(path: &Path) -> Result<bool, TrustFilesError> {
    match fs::metadata(path) {
        Ok(found) if found.mode() & 0o022 != 0 => Err(TrustFilesError::Open { path: path.to_owned() }),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(TrustFilesError::Read { path: path.to_owned(), source }),
    }
}

fn held(path: PathBuf, bytes_max: u64) -> Result<Held, TrustFilesError> {
    match files::read_needed(&path, bytes_max) {
        Ok(bytes) => Ok((path, bytes)),
        Err(source) => Err(TrustFilesError::Read { path, source }),
    }
}

fn keys(dir: &Path) -> Result<Vec<Held>, TrustFilesError> {
    let failed = |source| TrustFilesError::Read { path: dir.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden || path.extension().is_none_or(|extension| extension != EXTENSION) {
            continue;
        }
        if paths.len() == FILES_MAX {
            return Err(TrustFilesError::Many { path: dir.to_owned() });
        }
        paths.push(path);
    }
    paths.sort();
    let key = |path: PathBuf| {
        guarded(&path)?;
        held(path, KEY_BYTES_MAX)
    };
    paths.into_iter().map(key).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("coracle-trust-{}-{name}", std::process::id()));
            fs::create_dir_all(dir.join(ROOT)).unwrap();
            for path in [&dir, &dir.join(ROOT)] {
                fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
            }
            Self(dir)
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.0.join(name), text).unwrap();
            self.mode(name, 0o644);
        }

        fn mode(&self, name: &str, mode: u32) {
            fs::set_permissions(self.0.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn names(held: &[Held]) -> Vec<String> {
        held.iter().map(|(path, _)| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn keys_are_found_by_name_and_nothing_else_is() {
        let dir = Dir::new("found");
        assert_eq!(look(&dir.0.join("missing")).unwrap(), Found::default());
        assert_eq!(look(&dir.0).unwrap(), Found::default());
        for name in ["b.pub", "a.pub", ".c.pub", "readme", "root/r.pub", "root/key.pem", "trust.json"] {
            dir.write(name, name);
        }
        let found = look(&dir.0).unwrap();
        assert_eq!(
            (names(&found.deploy), names(&found.root)),
            (vec!["a.pub".into(), "b.pub".into()], vec!["r.pub".into()])
        );
        assert_eq!(found.document.unwrap().1, b"trust.json");
    }

    #[test]
    fn what_others_can_write_is_refused_with_what_to_do() {
        let dir = Dir::new("open");
        dir.write("a.pub", "");
        dir.write("trust.json", "");
        for name in ["", "a.pub", "root", "trust.json"] {
            let before = fs::metadata(dir.0.join(name)).unwrap().mode();
            dir.mode(name, before | 0o020);
            let error = look(&dir.0).unwrap_err().to_string();
            assert!(error.contains("chmod go-w") && error.contains(name), "{error}");
            dir.mode(name, before);
        }
        assert!(look(&dir.0).is_ok());
    }

    #[test]
    fn numbers_and_lengths_are_bounded() {
        let dir = Dir::new("many");
        dir.write("a.pub", &"x".repeat(5000));
        assert!(matches!(look(&dir.0), Err(TrustFilesError::Read { .. })));
        for number in 0..=FILES_MAX {
            dir.write(&format!("root/{number}.pub"), "");
        }
        dir.write("a.pub", "x");
        assert!(matches!(look(&dir.0), Err(TrustFilesError::Many { .. })));
    }
}
