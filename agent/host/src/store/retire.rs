//! Layers that gave way to a fresh copy, while workloads may still run on them.
//!
//! An overlay holds on to the directories it was made of, whatever they are named: what is moved here stays as it is for
//! the workloads that were started before, and whoever starts later gets the fresh copy.
//!
//! ```text
//! retired/<diff id hex>.<boot id>.<time since boot, 1/100 s>.<name>/
//! ```
//! No workload outlives a boot, so what is of another one can go.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use coracle_core::oci::Digest;

use super::error::{Attempt as _, Result};
use super::{DIR_MODE, Store};
use crate::files;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Hundredths of a second since the board booted; the same unit and beginning as a process's start has.
const UPTIME: &str = "/proc/uptime";

/// When a layer gave way: the unit is 1/100 s since the board booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retired {
    /// Which layer.
    pub layer: Digest,
    /// When.
    pub at: u64,
}

impl Store {
    /// Puts `fresh`, which is whole and synced, in the place of `home`, and what was there among the retired. A crash at
    /// any point leaves one of the two there, but for file systems that cannot exchange: there it may leave neither, and
    /// the layer is fetched again.
    pub(super) fn supplant(&self, fresh: &Path, home: &Path) -> Result<()> {
        let dir = self.retired_dir();
        files::make_dir(&dir, DIR_MODE).attempt("make the directory", &dir)?;
        let hex = home.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let aside = || -> Result<PathBuf> {
            let boot = fs::read_to_string(BOOT_ID).attempt("read", Path::new(BOOT_ID))?;
            Ok(dir.join(format!("{hex}.{}.{}.{}", boot.trim(), since_boot()?, files::unique_name())))
        };
        // First out of ingest/, which a start empties while workloads run.
        let path = aside()?;
        fs::rename(fresh, &path).attempt("move", fresh)?;
        files::sync_dir(&dir).attempt("sync", &dir)?;
        match files::exchange(&path, home) {
            Err(error) if cannot(&error) => {
                let old = aside()?;
                fs::rename(home, &old).attempt("take out", home)?;
                fs::rename(&path, home).attempt("publish layer as", home)?;
            }
            other => other.attempt("publish layer as", home)?,
        }
        for dir in [dir, self.layers(), self.ingest()] {
            files::sync_dir(&dir).attempt("sync", &dir)?;
        }
        Ok(())
    }

    /// Removes the retired layers of earlier boots, and those that `in_use` denies; how many are left.
    ///
    /// # Errors
    /// [`super::StoreError::Io`].
    pub fn sweep_retired(&self, in_use: &dyn Fn(&Retired) -> bool) -> Result<u64> {
        let dir = self.retired_dir();
        let boot = fs::read_to_string(BOOT_ID).attempt("read", Path::new(BOOT_ID))?;
        let mut left = 0;
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            other => other.attempt("list", &dir)?,
        };
        for entry in entries {
            let entry = entry.attempt("list", &dir)?;
            let name = entry.file_name();
            let Some((retired, of)) = name.to_str().and_then(parse) else { continue };
            if of == boot.trim() && in_use(&retired) {
                left += 1;
                continue;
            }
            let path = entry.path();
            fs::remove_dir_all(&path).attempt("remove", &path)?;
        }
        Ok(left)
    }

    fn retired_dir(&self) -> PathBuf {
        self.root.join("retired")
    }
}

fn parse(name: &str) -> Option<(Retired, &str)> {
    let mut parts = name.split('.');
    let layer = Digest::from_hex(parts.next()?)?;
    let boot = parts.next()?;
    let at = parts.next()?.parse().ok()?;
    Some((Retired { layer, at }, boot))
}

fn since_boot() -> Result<u64> {
    let path = Path::new(UPTIME);
    let text = fs::read_to_string(path).attempt("read", path)?;
    let seconds = text.split_ascii_whitespace().next().unwrap_or_default().replace('.', "");
    seconds.parse().map_err(io::Error::other).attempt("read", path)
}

fn cannot(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported | io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retired_layer_is_known_by_its_name() {
        let hex = "ab".repeat(32);
        let name = format!("{hex}.0b4d8a9e-0000-4000-8000-000000000000.123456.77-3");
        let (retired, boot) = parse(&name).unwrap();
        assert_eq!((retired.layer.hex(), retired.at), (hex, 123_456));
        assert_eq!(boot, "0b4d8a9e-0000-4000-8000-000000000000");
        assert!(parse("something.else").is_none());
        assert!(since_boot().unwrap() > 0);
    }
}
