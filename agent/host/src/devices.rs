//! Device nodes of the board, as a container gets them.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use coracle_core::bundle::{DeviceKind, DeviceNode};
use coracle_core::compose::Device;
use nix::sys::stat::{major, minor};

/// Directories within each other under `/dev`; udev nests four deep.
const DEPTH_MAX: usize = 8;
/// Nodes of a board; servers have some hundred.
const NODES_MAX: usize = 4096;

/// What under `/dev` is a container's own: the runtime makes the nodes, mounts make the directories.
const OWN: [&str; 12] =
    ["console", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "tty", "urandom", "zero"];

/// A device cannot be handed on.
#[derive(Debug, thiserror::Error)]
#[error("failed to look at device {}", path.display())]
pub struct DeviceError {
    path: PathBuf,
    source: io::Error,
}

/// The node of a device that a service asks for.
///
/// # Errors
/// [`DeviceError`] where there is none, or something else than a device.
pub fn node(device: &Device) -> Result<DeviceNode, DeviceError> {
    let path = Path::new(&device.source);
    look(path, &device.target, &device.permissions)
        .and_then(|found| {
            found.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is not a device"))
        })
        .map_err(|source| DeviceError { path: path.to_owned(), source })
}

/// All nodes of the board, for a privileged container. One that goes away meanwhile is left out.
#[must_use]
pub fn board() -> Vec<DeviceNode> {
    let mut nodes = Vec::new();
    collect(Path::new("/dev"), 0, &mut nodes);
    nodes
}

fn collect(directory: &Path, depth: usize, nodes: &mut Vec<DeviceNode>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        let own = depth == 0 && OWN.iter().any(|name| entry.file_name() == *name);
        if own || nodes.len() >= NODES_MAX {
            continue;
        }
        if kind.is_dir() && depth < DEPTH_MAX {
            collect(&path, depth + 1, nodes);
        } else if let Some(target) = path.to_str()
            && (kind.is_char_device() || kind.is_block_device())
        {
            nodes.extend(look(&path, target, "rwm").ok().flatten());
        }
    }
}

/// The node at `path`, links followed; nothing where it is no device.
fn look(path: &Path, target: &str, permissions: &str) -> io::Result<Option<DeviceNode>> {
    let found = fs::metadata(path)?;
    let kind = if found.file_type().is_char_device() {
        DeviceKind::Character
    } else if found.file_type().is_block_device() {
        DeviceKind::Block
    } else {
        return Ok(None);
    };
    Ok(Some(DeviceNode {
        target: target.to_owned(),
        kind,
        major: major(found.rdev()),
        minor: minor(found.rdev()),
        mode: found.mode() & 0o7777,
        uid: found.uid(),
        gid: found.gid(),
        permissions: permissions.to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(source: &str) -> Device {
        Device { source: source.to_owned(), target: "/dev/x".to_owned(), permissions: "rw".to_owned() }
    }

    #[test]
    fn a_node_is_handed_on_under_another_name() {
        let null = node(&device("/dev/null")).unwrap();
        assert_eq!((null.kind, null.major, null.minor), (DeviceKind::Character, 1, 3));
        assert_eq!((null.target.as_str(), null.permissions.as_str()), ("/dev/x", "rw"));
        for bad in ["/dev", "/etc/passwd", "/dev/no-such-device"] {
            assert!(node(&device(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_containers_own_nodes_are_not_among_the_boards() {
        let names: Vec<_> = board().into_iter().map(|node| node.target).collect();
        assert!(!names.iter().any(|name| name == "/dev/null" || name.starts_with("/dev/pts/")), "{names:?}");
    }
}
