//! Files that hold secrets: no one but their owner may read them, and the owner is root or this process's user.
//!
//! Invariant: what is judged is the very file whose bytes are read, whatever is renamed meanwhile.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Why a secret is not read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It cannot be.
    #[error("failed to read {path:?}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a directory or worse.
    #[error("{path:?} is not a file")]
    NotAFile {
        /// What it is not.
        path: PathBuf,
    },
    /// Others can read or write it.
    #[error("{path:?} can be reached by others (mode {mode:03o}); run: chmod 600 {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is somebody else's, who can change its mode at any time.
    #[error("{path:?} belongs to user {user}; run: chown 0:0 {}", path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        user: u32,
    },
}

/// The bytes of a secret that is kept as one.
///
/// # Errors
/// [`SecretError`] says what is wrong and, where there is one, the command that mends it.
pub fn read_secret(path: &Path, bytes_max: u64) -> Result<Vec<u8>, SecretError> {
    let failed = |source| SecretError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    judge(path, &file.metadata().map_err(failed)?)?;
    let mut bytes = Vec::new();
    let read = file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > bytes_max {
        let why = format!("longer than {bytes_max} bytes");
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, why)));
    }
    Ok(bytes)
}

/// Whether a secret is kept as one.
///
/// # Errors
/// [`SecretError`] says what is wrong and, where there is one, the command that mends it.
pub fn judge_secret(path: &Path) -> Result<(), SecretError> {
    let found = std::fs::metadata(path);
    judge(path, &found.map_err(|source| SecretError::Read { path: path.to_owned(), source })?)
}

fn judge(path: &Path, found: &Metadata) -> Result<(), SecretError> {
    let path = path.to_owned();
    if !found.is_file() {
        return Err(SecretError::NotAFile { path });
    }
    if found.mode() & 0o077 != 0 {
        return Err(SecretError::Open { path, mode: found.mode() & 0o777 });
    }
    if found.uid() != 0 && found.uid() != nix::unistd::geteuid().as_raw() {
        return Err(SecretError::Owner { path, user: found.uid() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_read_only_where_nobody_else_can() {
        let path = std::env::temp_dir().join(format!("coracle-secret-{}", super::super::unique_name()));
        std::fs::write(&path, "word").unwrap();
        for (mode, good) in
            [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false), (0o700, true)]
        {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let read = read_secret(&path, 4).map_err(|error| error.to_string());
            assert_eq!(judge_secret(&path).is_ok(), good, "{mode:o}");
            if good {
                assert_eq!(read.as_deref(), Ok(&b"word"[..]));
            } else {
                let why = read.unwrap_err();
                assert!(why.contains(&format!("chmod 600 {}", path.display())), "{why}");
            }
        }
        let why = read_secret(&path, 3).unwrap_err().to_string();
        assert!(why.contains("longer than 3 bytes"), "{why}");
        std::fs::remove_file(&path).unwrap();
        for (path, expected) in [(path.as_path(), "failed to read"), (Path::new("/"), "is not a file")] {
            assert!(judge_secret(path).unwrap_err().to_string().contains(expected));
        }
    }
}
