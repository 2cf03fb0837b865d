//! What a root must be like before a runtime sets a container up in it.
//!
//! Runtimes mount the kernel's own file systems there and make nodes and links in them. In a root where the place for
//! one is a link, that happened wherever the link led on the board (CVE-2026-41579, CVE-2026-47766), or `/proc` was left
//! without its guards (CVE-2023-28642).

use std::fs;
use std::io;
use std::path::Path;

use super::error::{ShimError, system};

/// The places of the kernel's own file systems.
const PLACES: [&str; 3] = ["dev", "proc", "sys"];

/// Refuses a mounted root in which such a place is there and no directory.
pub(super) fn check(rootfs: &Path) -> Result<(), ShimError> {
    for place in PLACES {
        match fs::symlink_metadata(rootfs.join(place)) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(ShimError::Place(place)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(system(format!("/{place} of the root"))(error)),
        }
    }
    Ok(())
}
