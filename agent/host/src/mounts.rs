//! A container's root: its layers under overlayfs, seen only inside a mount namespace of the caller's own.
//!
//! Invariant: nothing mounted here reaches the board's namespace, so a killed owner leaves no mount behind.
//!
//! ```text
//! <links>/0 … n    short links to the layers, top first: the kernel takes one page of options,
//! <links>/u, w     and a digest's path takes 100 bytes of it
//! ```

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, statfs};
use nix::unistd::chdir;

/// Layers that the kernel stacks at most (`OVL_MAX_STACK`).
pub const LAYERS_MAX: usize = 500;

/// What was tried with a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// A namespace of our own.
    Namespace,
    /// The directories and links an overlay needs.
    Prepare,
    /// The overlay itself.
    Overlay,
}

impl std::fmt::Display for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Namespace => "make a private mount namespace at",
            Self::Prepare => "prepare",
            Self::Overlay => "mount the overlay at",
        })
    }
}

/// A root could not be made.
#[derive(Debug, thiserror::Error)]
#[error("failed to {attempt} {}", object.display())]
pub struct MountError {
    attempt: Attempt,
    object: PathBuf,
    #[source]
    cause: Cause,
}

/// Why.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The kernel's or the file system's answer.
    #[error("{0}")]
    System(io::Error),
    /// overlayfs cannot keep its changes on another overlayfs.
    #[error(
        "it lies on an overlay file system, which cannot hold another one's changes; give the state directory a file system of its own"
    )]
    Stacked,
    /// More than the kernel stacks.
    #[error("{0} layers are more than the {LAYERS_MAX} the kernel stacks")]
    TooMany(usize),
    /// A container has at least one.
    #[error("there is no layer")]
    NoLayers,
}

impl MountError {
    fn new(attempt: Attempt, object: &Path, cause: Cause) -> Self {
        Self { attempt, object: object.to_owned(), cause }
    }

    /// Why it failed.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// Whether the same attempt may succeed later with nothing changed.
    #[must_use]
    pub fn retry(&self) -> bool {
        matches!(&self.cause, Cause::System(error)
            if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::OutOfMemory | io::ErrorKind::ResourceBusy))
    }
}

/// Where a container's changes go.
#[derive(Debug, Clone, Copy)]
pub enum Changes<'a> {
    /// To `upper` and `work` in this directory.
    Kept(&'a Path),
    /// Nowhere: the root cannot be written. This directory shows what is nowhere in the layers (the
    /// mount points that a runtime could not make itself).
    Refused(&'a Path),
}

/// A root to mount.
#[derive(Debug)]
pub struct Overlay<'a> {
    /// Absolute directories, lowest first.
    pub layers: &'a [PathBuf],
    /// Where changes go.
    pub changes: Changes<'a>,
    /// A directory for the short links; made where missing.
    pub links: &'a Path,
    /// Where the root appears; made where missing.
    pub target: &'a Path,
}

/// Moves the calling process, which has one thread, to a mount namespace of its own. Mounts of the board made
/// later still appear there; its own stay its own.
///
/// # Errors
/// [`MountError`] when the kernel refuses.
pub fn private_namespace() -> Result<(), MountError> {
    let root = Path::new("/");
    let fail = |errno: Errno| MountError::new(Attempt::Namespace, root, Cause::System(errno.into()));
    unshare(CloneFlags::CLONE_NEWNS).map_err(fail)?;
    let flags = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    mount(None::<&str>, root, None::<&str>, flags, None::<&str>).map_err(fail)
}

impl Overlay<'_> {
    /// Mounts the root in the calling process's namespace. Its working directory changes for a moment: call it
    /// from a process with one thread.
    ///
    /// # Errors
    /// [`MountError`] names the directory and the cause.
    pub fn mount(&self) -> Result<(), MountError> {
        let options = self.prepare()?;
        let target = fs::canonicalize(self.target)
            .map_err(|error| MountError::new(Attempt::Prepare, self.target, Cause::System(error)))?;
        let fail = |errno: Errno| MountError::new(Attempt::Overlay, &target, Cause::System(errno.into()));
        let back = std::env::current_dir()
            .map_err(|error| MountError::new(Attempt::Prepare, &target, Cause::System(error)))?;
        chdir(self.links).map_err(fail)?;
        let flags = match self.changes {
            Changes::Kept(_) => MsFlags::empty(),
            Changes::Refused(_) => MsFlags::MS_RDONLY,
        };
        let mounted = mount(Some("overlay"), &target, Some("overlay"), flags, Some(options.as_str()));
        chdir(&back).map_err(fail)?;
        mounted.map_err(fail)
    }

    /// Makes directories and links; answers with the mount options.
    fn prepare(&self) -> Result<String, MountError> {
        let top = self.check()?;
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| MountError::new(Attempt::Prepare, &path, Cause::System(error))
        };
        if self.links.exists() {
            fs::remove_dir_all(self.links).map_err(at(self.links))?;
        }
        for path in [self.links, self.target] {
            fs::create_dir_all(path).map_err(at(path))?;
        }
        let mut lowers: Vec<&Path> = self.layers.iter().rev().map(PathBuf::as_path).collect();
        if let Changes::Refused(points) = self.changes {
            lowers.push(points);
        }
        for (number, lower) in lowers.iter().enumerate() {
            symlink(lower, self.links.join(number.to_string())).map_err(at(lower))?;
        }
        let numbers: Vec<String> = (0..lowers.len()).map(|number| number.to_string()).collect();
        let mut options = format!("lowerdir={}", numbers.join(":"));
        if let Changes::Kept(scratch) = self.changes {
            let (upper, work) = (scratch.join("upper"), scratch.join("work"));
            root_like(top, &upper).map_err(at(&upper))?;
            DirBuilder::new().recursive(true).mode(0o700).create(&work).map_err(at(&work))?;
            let kind = statfs(&upper).map_err(|errno| at(&upper)(errno.into()))?.filesystem_type();
            if kind == OVERLAYFS_SUPER_MAGIC {
                return Err(MountError::new(Attempt::Prepare, &upper, Cause::Stacked));
            }
            for (name, path) in [("u", &upper), ("w", &work)] {
                symlink(path, self.links.join(name)).map_err(at(path))?;
            }
            options.push_str(",upperdir=u,workdir=w");
        }
        Ok(options)
    }

    /// The topmost layer of a stack that the kernel can take.
    fn check(&self) -> Result<&Path, MountError> {
        let fail = |cause| MountError::new(Attempt::Overlay, self.target, cause);
        // One more lower directory shows the mount points of a root that refuses changes.
        let room = match self.changes {
            Changes::Kept(_) => LAYERS_MAX,
            Changes::Refused(_) => LAYERS_MAX - 1,
        };
        if self.layers.len() > room {
            return Err(fail(Cause::TooMany(self.layers.len())));
        }
        self.layers.last().map(PathBuf::as_path).ok_or_else(|| fail(Cause::NoLayers))
    }
}

/// Makes `upper` with the owner and mode of the image's root: the merged root shows those of its top.
fn root_like(top: &Path, upper: &Path) -> io::Result<()> {
    if upper.exists() {
        return Ok(());
    }
    let image = fs::metadata(top)?;
    fs::create_dir_all(upper)?;
    chown(upper, Some(image.uid()), Some(image.gid()))?;
    fs::set_permissions(upper, fs::Permissions::from_mode(image.mode() & 0o7777))
}
