//! From a path in the archive to an open directory, with the layer's directory as the root of every link on the way.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use coracle_core::limits::ENTRY_DEPTH_MAX;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::Mode;

use super::error::{Refusal, Result, UnpackError};
use super::keep::Keeper;
use super::tree;

/// How parents are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resolver {
    /// By the kernel, in one call; what it does not know, or finds missing, is walked.
    #[default]
    Kernel,
    /// Component by component: kernels before 5.6, and sandboxes that do not let the call through.
    Walk,
}

/// What to do with a directory that the archive did not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Create,
    Fail,
}

pub(super) const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);
/// Links that one path may go through; as many as the kernel takes.
const LINKS_MAX: usize = 40;
/// Directories below the root that a path with links may go down; each is open while the walk is below it.
const DEPTH_MAX: usize = ENTRY_DEPTH_MAX;

impl Resolver {
    /// Opens the directory `path`, given without leading slash; empty is `root` itself. `Ok(None)` when it is missing
    /// and not to be made.
    pub(super) fn open(
        &mut self,
        root: BorrowedFd<'_>,
        path: &[u8],
        missing: Missing,
        keeper: &mut Keeper,
    ) -> Result<Option<OwnedFd>> {
        if path.is_empty() {
            return openat(root, ".", DIRECTORY, Mode::empty())
                .map(Some)
                .map_err(UnpackError::write("open its directory"));
        }
        if *self == Self::Kernel {
            let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
            match openat2(root, path, OpenHow::new().flags(DIRECTORY).resolve(resolve)) {
                Ok(found) => return Ok(Some(found)),
                Err(Errno::ENOSYS | Errno::EPERM) => *self = Self::Walk,
                // Missing, a file, a whiteout, too many links: the walk finds out which and acts on it.
                Err(_) => {}
            }
        }
        walk(root, path, missing, keeper)
    }
}

fn walk(root: BorrowedFd<'_>, path: &[u8], missing: Missing, keeper: &mut Keeper) -> Result<Option<OwnedFd>> {
    let mut stack: Vec<OwnedFd> = Vec::new();
    let mut pending: Vec<Vec<u8>> = reversed(path);
    let mut links = 0;
    while let Some(name) = pending.pop() {
        match name.as_slice() {
            b"" | b"." => continue,
            // At the root it leads to the root.
            b".." => {
                stack.pop();
                continue;
            }
            _ => {}
        }
        if stack.len() >= DEPTH_MAX {
            return Err(Refusal::Loop.into());
        }
        let here = stack.last().map_or(root, |directory| directory.as_fd());
        match openat(here, name.as_slice(), DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty()) {
            Ok(next) => stack.push(next),
            Err(Errno::ENOENT) if missing == Missing::Fail => return Ok(None),
            Err(Errno::ENOENT) => stack.push(tree::implicit(here, &name, keeper)?),
            Err(Errno::ELOOP | Errno::ENOTDIR) => match readlinkat(here, name.as_slice()) {
                Ok(target) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Refusal::Loop.into());
                    }
                    let target = std::os::unix::ffi::OsStringExt::into_vec(target);
                    if target.starts_with(b"/") {
                        stack.clear();
                    }
                    pending.extend(reversed(&target));
                }
                Err(Errno::EINVAL) if missing == Missing::Create => {
                    stack.push(tree::instead_of_whiteout(here, &name, keeper)?);
                }
                Err(Errno::EINVAL) => return Ok(None),
                Err(errno) => return Err(UnpackError::write("read a link above it")(errno)),
            },
            Err(errno) => return Err(UnpackError::write("open a directory above it")(errno)),
        }
    }
    match stack.pop() {
        Some(found) => Ok(Some(found)),
        None => openat(root, ".", DIRECTORY, Mode::empty())
            .map(Some)
            .map_err(UnpackError::write("open its directory")),
    }
}

fn reversed(path: &[u8]) -> Vec<Vec<u8>> {
    path.rsplit(|byte| *byte == b'/').map(<[u8]>::to_vec).collect()
}
