//! How much room a file system has, and of which kind it is.

use std::io;
use std::path::Path;

use nix::sys::statfs::{self, FsType};

/// The room of the file system that holds a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes that can still be written without the reserve kept for root.
    pub free_bytes: u64,
    /// Files that can still be made; `None` where the file system has no bound.
    pub free_files: Option<u64>,
    /// Bytes of one block.
    pub block_bytes: u64,
    /// Whether what is written there stays.
    pub keeping: Keeping,
}

/// Whether a file system keeps what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// On a disk.
    Disk,
    /// In memory: gone after a boot.
    Memory,
    /// An overlay: overlayfs cannot stack on it, and its upper side may be in memory.
    Overlay,
    /// Cannot be written.
    ReadOnly,
}

/// Asks for the file system of `path`, or of its nearest folder that exists.
///
/// # Errors
/// What the system answered.
pub fn space(path: &Path) -> io::Result<Space> {
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let room = nix::sys::statvfs::statvfs(there)?;
    let kind = statfs::statfs(there)?.filesystem_type();
    let keeping = if room.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY) {
        Keeping::ReadOnly
    } else {
        keeping(kind)
    };
    Ok(Space {
        total_bytes: bytes(room.blocks(), room.fragment_size()),
        free_bytes: bytes(room.blocks_available(), room.fragment_size()),
        free_files: (room.files() > 0).then(|| bytes(room.files_available(), 1)),
        block_bytes: bytes(1, room.fragment_size()),
        keeping,
    })
}

fn keeping(kind: FsType) -> Keeping {
    if kind == statfs::TMPFS_MAGIC {
        Keeping::Memory
    } else if kind == statfs::OVERLAYFS_SUPER_MAGIC {
        Keeping::Overlay
    } else {
        Keeping::Disk
    }
}

// Both are 32 bits wide on some 32-bit boards.
#[allow(clippy::useless_conversion)]
fn bytes(blocks: nix::libc::fsblkcnt_t, block: nix::libc::c_ulong) -> u64 {
    u64::from(blocks).saturating_mul(u64::from(block))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_of_a_folder_that_does_not_exist_yet_is_that_of_its_parent() {
        let here = space(&std::env::temp_dir()).unwrap();
        let there = space(&std::env::temp_dir().join("not/there/yet")).unwrap();
        assert_eq!(here.total_bytes, there.total_bytes);
        assert!(here.free_bytes <= here.total_bytes && here.total_bytes > 0);
    }

    #[test]
    fn a_file_system_in_memory_is_known_as_such() {
        assert_eq!(space(Path::new("/dev/shm")).unwrap().keeping, Keeping::Memory);
    }
}
