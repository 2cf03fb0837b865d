//! Writes entries into the layer's directory, in overlayfs's form.
//!
//! The directory that entries are put into stays open while they follow one another, as they do. A directory's time is
//! read when it is entered and put back when it is left, so nothing has to be remembered until the end, however many
//! directories there are. Their modes can be set at once, because root is not held by them.

mod behind;
mod file;

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::rc::Rc;

use coracle_core::limits::ENTRY_PATH_BYTES_MAX;
use coracle_core::oci::layer::EntryPath;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, fstat, fstatat, futimens,
    makedev, mkdirat, mknodat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, getegid, geteuid, linkat, symlinkat, unlinkat};
use serde::{Deserialize, Serialize};

use super::archive::{Archive, Device, Entry, Meta};
use super::checkpoint::Checkpoint;
use super::error::{Refusal, Result, UnpackError};
use super::keep::Keeper;
use super::pax::FileTime;
use super::resolve::{DIRECTORY, Missing, Resolver};
use super::xattr::{self, Object};
use super::{Devices, Target};

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Counted {
    pub(super) content_bytes: u64,
    pub(super) attributes_skipped: u64,
}

pub(super) struct Tree<'a> {
    root: BorrowedFd<'a>,
    resolver: Resolver,
    devices: Devices,
    process: (Uid, Gid),
    entered: Option<Rc<Entered>>,
    counted: Counted,
    holes: file::Holes,
    behind: behind::Behind,
    keeper: Keeper,
}

/// The directory that entries are put into.
struct Entered {
    /// As the archive names it.
    path: Vec<u8>,
    fd: OwnedFd,
    stat: FileStat,
}

impl Entered {
    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

const PRIVATE: Mode = Mode::S_IRWXU;
/// Mode of a directory that the archive needs but does not have.
const IMPLICIT: Mode =
    Mode::S_IRWXU.union(Mode::S_IRGRP).union(Mode::S_IXGRP).union(Mode::S_IROTH).union(Mode::S_IXOTH);
const NOFOLLOW: AtFlags = AtFlags::AT_SYMLINK_NOFOLLOW;

impl<'a> Tree<'a> {
    pub(super) fn new(target: &Target<'a>, mut keeper: Keeper) -> Result<Self> {
        // Until the archive says otherwise; and the same bytes give the same directory.
        own(target.root, Uid::from_raw(0), Gid::from_raw(0))?;
        fchmod(target.root, IMPLICIT).map_err(UnpackError::write("set the root's mode"))?;
        set_time(target.root, FileTime::default())?;
        keeper.timed(inode(target.root)?, FileTime::default())?;
        Ok(Self::resumed(target, keeper, Counted::default()))
    }

    /// Goes on in a tree that is as it was left.
    pub(super) fn resumed(target: &Target<'a>, keeper: Keeper, counted: Counted) -> Self {
        Self {
            root: target.root,
            resolver: target.resolver,
            devices: target.limits.devices,
            process: (geteuid(), getegid()),
            entered: None,
            counted,
            holes: file::Holes::at_most(target.limits.holes_max),
            behind: behind::Behind::default(),
            keeper,
        }
    }

    /// Has the archive mark the place of the next checkpoint, if there is to be one.
    pub(super) fn expect_checkpoint<R: Read>(&self, archive: &mut Archive<'_, R>) {
        if let Some(interval) = self.keeper.interval() {
            archive.mark_after(interval);
        }
    }

    /// Keeps a checkpoint here if one is due; `within` is the file that is being written.
    pub(super) fn checkpoint<R: Read>(
        &mut self,
        archive: &mut Archive<'_, R>,
        within: Option<&Entry>,
    ) -> Result<()> {
        let Some((mark, reader)) = archive.marked() else { return Ok(()) };
        // With all times as they are to be.
        self.leave()?;
        let counted = self.counted;
        self.keeper.keep(|layer, end| Checkpoint::new(layer, mark, reader, within, counted, end))?;
        self.expect_checkpoint(archive);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Counted> {
        self.leave()?;
        Ok(self.counted)
    }

    pub(super) fn directory(&mut self, path: &EntryPath, meta: &Meta) -> Result<()> {
        let Some((parent, name)) = path.split() else {
            self.leave()?;
            let root = self.root;
            self.keeper.changing()?;
            xattr::clear(root).map_err(UnpackError::write("clear attributes"))?;
            self.keeper.timed(inode(root)?, meta.mtime)?;
            return self.dress(root, meta);
        };
        let entered = self.enter(parent)?;
        let here = entered.fd();
        let open = |here: BorrowedFd<'_>| openat(here, name, DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty());
        let made = match mkdirat(here, name, PRIVATE) {
            Ok(()) => open(here).map_err(UnpackError::write("open the directory"))?,
            Err(Errno::EEXIST) => match open(here) {
                Ok(existing) => {
                    self.keeper.changing()?;
                    xattr::clear(existing.as_fd()).map_err(UnpackError::write("clear attributes"))?;
                    existing
                }
                Err(Errno::ELOOP | Errno::ENOTDIR) => {
                    self.keeper.changing()?;
                    replace_with_directory(here, name)?
                }
                Err(errno) => return Err(UnpackError::write("open the directory")(errno)),
            },
            Err(errno) => return Err(UnpackError::write("make the directory")(errno)),
        };
        self.keeper.named(inode_of(&entered.stat), name)?;
        self.keeper.timed(inode(made.as_fd())?, meta.mtime)?;
        self.dress(made.as_fd(), meta)
    }

    pub(super) fn symlink(&mut self, path: &EntryPath, meta: &Meta, target: &[u8]) -> Result<()> {
        if target.is_empty() || target.contains(&0) || target.len() > ENTRY_PATH_BYTES_MAX {
            return Err(Refusal::SymlinkTarget.into());
        }
        let (parent, name) = path.split().ok_or(Refusal::Root)?;
        let entered = self.enter(parent)?;
        let here = entered.fd();
        making(here, name, &mut self.keeper, || symlinkat(target, here, name))
            .map_err(|error| error.or_attempt("make the link"))?;
        self.keeper.named(inode_of(&entered.stat), name)?;
        self.dress_named(parent, name, meta, None)
    }

    pub(super) fn fifo(&mut self, path: &EntryPath, meta: &Meta) -> Result<()> {
        self.node(path, meta, SFlag::S_IFIFO, 0)
    }

    pub(super) fn device(&mut self, path: &EntryPath, meta: &Meta, device: Device) -> Result<()> {
        let (kind, major, minor) = match device {
            Device::Character { major, minor } => (SFlag::S_IFCHR, major, minor),
            Device::Block { major, minor } => (SFlag::S_IFBLK, major, minor),
        };
        let harmless =
            kind == SFlag::S_IFCHR && matches!((major, minor), (1, 3 | 5 | 7 | 8 | 9) | (5, 0..=2));
        let allowed = match self.devices {
            Devices::Harmless => harmless,
            // 0:0 would be a whiteout, which has its own form in an archive.
            Devices::All => (major, minor) != (0, 0),
        };
        if !allowed {
            return Err(Refusal::Device { major, minor }.into());
        }
        self.node(path, meta, kind, makedev(major.into(), minor.into()))
    }

    fn node(&mut self, path: &EntryPath, meta: &Meta, kind: SFlag, device: u64) -> Result<()> {
        let (parent, name) = path.split().ok_or(Refusal::Root)?;
        let entered = self.enter(parent)?;
        let here = entered.fd();
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        match making(here, name, &mut self.keeper, || mknodat(here, name, kind, mode, device)) {
            // The agent's unit lets it make fewer nodes than images have, and no container ever sees those of `/dev`: the
            // runtime makes its own there.
            Err(Unmade::System(Errno::EPERM)) if device != 0 && path.as_bytes().starts_with(b"dev/") => {
                return Ok(());
            }
            made => made.map_err(|error| error.or_attempt("make the node"))?,
        }
        self.keeper.named(inode_of(&entered.stat), name)?;
        self.dress_named(parent, name, meta, Some(meta.mode))
    }

    /// A second name for an inode of this layer. Its owner, mode and times are those of the first.
    pub(super) fn hard_link(&mut self, path: &EntryPath, to: &EntryPath) -> Result<()> {
        let absent = || Refusal::LinkTarget(to.to_string());
        let (parent, name) = path.split().ok_or(Refusal::Root)?;
        let (to_parent, to_name) = to.split().ok_or_else(|| Refusal::LinkDirectory(to.to_string()))?;
        self.enter(parent)?;
        let elsewhere = if to_parent == parent {
            None
        } else {
            let found = self.resolver.open(self.root, to_parent, Missing::Fail, &mut self.keeper)?;
            Some(found.ok_or_else(absent)?)
        };
        let entered = self.enter(parent)?;
        let here = entered.fd();
        let there = elsewhere.as_ref().map_or(here, |directory| directory.as_fd());
        let target = match fstatat(there, to_name, NOFOLLOW) {
            Ok(stat) if is_whiteout(&stat) => return Err(absent().into()),
            Ok(stat) if is_directory(&stat) => return Err(Refusal::LinkDirectory(to.to_string()).into()),
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return Err(absent().into()),
            Err(errno) => return Err(UnpackError::write("find the link's target")(errno)),
        };
        if fstatat(here, name, NOFOLLOW)
            .is_ok_and(|own| (own.st_dev, own.st_ino) == (target.st_dev, target.st_ino))
        {
            return Ok(());
        }
        making(here, name, &mut self.keeper, || linkat(there, to_name, here, name, AtFlags::empty()))
            .map_err(|error| error.or_attempt("make the hard link"))?;
        self.keeper.named(inode_of(&entered.stat), name)
    }

    /// Hides what lower layers have at `path`, and nothing of this layer (layer.md, "Whiteouts").
    pub(super) fn whiteout(&mut self, path: &EntryPath) -> Result<()> {
        let (parent, name) = path.split().ok_or(Refusal::Root)?;
        let entered = self.enter(parent)?;
        let here = entered.fd();
        match mknodat(here, name, SFlag::S_IFCHR, Mode::empty(), 0) {
            Ok(()) => {
                self.keeper.named(inode_of(&entered.stat), name)?;
                // An age of its own would make two unpackings of one layer differ.
                let zero = time_spec(FileTime::default());
                utimensat(here, name, &zero, &zero, UtimensatFlags::NoFollowSymlink)
                    .map_err(UnpackError::write("set the whiteout's time"))
            }
            Err(Errno::EEXIST) => match openat(here, name, DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty()) {
                Ok(directory) => mark_opaque(directory.as_fd()),
                // Any other kind covers what is below by being there.
                Err(Errno::ELOOP | Errno::ENOTDIR) => Ok(()),
                Err(errno) => Err(UnpackError::write("open the directory")(errno)),
            },
            Err(errno) => Err(UnpackError::write("make the whiteout")(errno)),
        }
    }

    /// Hides what lower layers have in `directory`. What this layer has there stays, before and after.
    pub(super) fn opaque(&mut self, directory: &EntryPath) -> Result<()> {
        mark_opaque(self.enter(directory.as_bytes())?.fd())
    }

    fn enter(&mut self, path: &[u8]) -> Result<Rc<Entered>> {
        if let Some(entered) = self.entered.as_ref().filter(|entered| entered.path == path) {
            return Ok(Rc::clone(entered));
        }
        self.leave()?;
        let found = self.resolver.open(self.root, path, Missing::Create, &mut self.keeper)?;
        let fd = found.ok_or(Refusal::Parent)?;
        let stat = fstat(&fd).map_err(UnpackError::write("look at its directory"))?;
        let entered = Rc::new(Entered { path: path.to_vec(), fd, stat });
        self.entered = Some(Rc::clone(&entered));
        Ok(entered)
    }

    fn leave(&mut self) -> Result<()> {
        match self.entered.take() {
            Some(entered) => restore_time(entered.fd(), &entered.stat),
            None => Ok(()),
        }
    }

    /// Owner, mode, attributes, time: in the order in which none undoes another.
    fn dress(&mut self, fd: BorrowedFd<'_>, meta: &Meta) -> Result<()> {
        own(fd, Uid::from_raw(meta.uid), Gid::from_raw(meta.gid))?;
        self.finish_dress(fd, meta)
    }

    /// Whether a file just made here has its owner without another call, as nearly every file of an image: the group
    /// comes from the process or from the directory, and both are the same.
    fn owned_already(&self, meta: &Meta) -> bool {
        let (uid, gid) = self.process;
        let directory = self.entered.as_ref().map(|entered| entered.stat.st_gid);
        uid.as_raw() == meta.uid && gid.as_raw() == meta.gid && directory == Some(meta.gid)
    }

    fn finish_dress(&mut self, fd: BorrowedFd<'_>, meta: &Meta) -> Result<()> {
        fchmod(fd, meta.mode).map_err(UnpackError::write("set the mode"))?;
        self.attributes(Object::Open(fd), meta)?;
        set_time(fd, meta.mtime)
    }

    /// The same for what cannot be opened: links and nodes.
    fn dress_named(&mut self, parent: &[u8], name: &[u8], meta: &Meta, mode: Option<Mode>) -> Result<()> {
        let attributes = {
            let entered = self.enter(parent)?;
            let here = entered.fd();
            fchownat(here, name, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)), NOFOLLOW)
                .map_err(UnpackError::write("set the owner"))?;
            if let Some(mode) = mode {
                // Made a moment ago in a directory of our own, and no link.
                fchmodat(here, name, mode, FchmodatFlags::FollowSymlink)
                    .map_err(UnpackError::write("set the mode"))?;
            }
            xattr::set_all(Object::Named(here, name), &meta.attributes)?
        };
        self.counted.attributes_skipped += attributes;
        let time = time_spec(meta.mtime);
        utimensat(self.enter(parent)?.fd(), name, &time, &time, UtimensatFlags::NoFollowSymlink)
            .map_err(UnpackError::write("set the time"))
    }

    fn attributes(&mut self, object: Object<'_>, meta: &Meta) -> Result<()> {
        self.counted.attributes_skipped += xattr::set_all(object, &meta.attributes)?;
        Ok(())
    }
}

/// Why something could not be made.
enum Unmade {
    System(Errno),
    Other(UnpackError),
}

impl Unmade {
    fn or_attempt(self, attempt: &'static str) -> UnpackError {
        match self {
            Self::System(errno) => UnpackError::write(attempt)(errno),
            Self::Other(error) => error,
        }
    }
}

/// Makes something, in place of whatever the archive had put there before: the last one wins.
fn making<T>(
    here: BorrowedFd<'_>,
    name: &[u8],
    keeper: &mut Keeper,
    make: impl Fn() -> std::result::Result<T, Errno>,
) -> std::result::Result<T, Unmade> {
    match make() {
        Err(Errno::EEXIST) => {
            let before = fstatat(here, name, NOFOLLOW).map_err(Unmade::System)?;
            let told = if is_directory(&before) { keeper.removing() } else { keeper.changing() };
            told.map_err(Unmade::Other)?;
            remove(here, name).map_err(Unmade::Other)?;
            make().map_err(Unmade::System)
        }
        made => made.map_err(Unmade::System),
    }
}

pub(super) fn remove(here: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    match unlinkat(here, name, UnlinkatFlags::NoRemoveDir) {
        Err(Errno::EISDIR) => {
            let here = PathBuf::from(format!("/proc/self/fd/{}", here.as_raw_fd()));
            // Opens each directory by its descriptor and follows no link.
            fs::remove_dir_all(here.join(OsStr::from_bytes(name)))
                .map_err(UnpackError::write("replace the directory"))
        }
        other => other.map_err(UnpackError::write("replace the entry before it")),
    }
}

fn replace_with_directory(here: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd> {
    let stat = fstatat(here, name, NOFOLLOW).map_err(UnpackError::write("look at the entry before it"))?;
    remove(here, name)?;
    mkdirat(here, name, PRIVATE).map_err(UnpackError::write("make the directory"))?;
    let made = openat(here, name, DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty())
        .map_err(UnpackError::write("open the directory"))?;
    if is_whiteout(&stat) {
        // The whiteout hid a lower directory; the new one must not let its content show through.
        mark_opaque(made.as_fd())?;
    }
    Ok(made)
}

/// A directory that an entry needs and the archive does not have. Overlayfs takes a directory's owner and mode from the
/// uppermost layer that has it: an archive that leaves out the parents of its entries gets these.
pub(super) fn implicit(here: BorrowedFd<'_>, name: &[u8], keeper: &mut Keeper) -> Result<OwnedFd> {
    let stat = fstat(here).map_err(UnpackError::write("look at a directory above it"))?;
    mkdirat(here, name, PRIVATE).map_err(UnpackError::write("make a directory above it"))?;
    let made = openat(here, name, DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty())
        .map_err(UnpackError::write("open a directory above it"))?;
    own(made.as_fd(), Uid::from_raw(0), Gid::from_raw(0))?;
    fchmod(&made, IMPLICIT).map_err(UnpackError::write("set the mode of a directory above it"))?;
    keeper.named(inode_of(&stat), name)?;
    keeper.timed(inode(made.as_fd())?, FileTime::default())?;
    set_time(made.as_fd(), FileTime::default())?;
    restore_time(here, &stat)?;
    Ok(made)
}

/// As [`implicit`], where a whiteout of this layer stands in the way: its target is gone, and this is new.
pub(super) fn instead_of_whiteout(here: BorrowedFd<'_>, name: &[u8], keeper: &mut Keeper) -> Result<OwnedFd> {
    let stat = fstatat(here, name, NOFOLLOW).map_err(UnpackError::write("look at a parent of it"))?;
    if !is_whiteout(&stat) {
        return Err(Refusal::Parent.into());
    }
    keeper.changing()?;
    let before = fstat(here).map_err(UnpackError::write("look at a directory above it"))?;
    unlinkat(here, name, UnlinkatFlags::NoRemoveDir)
        .map_err(UnpackError::write("replace a whiteout above it"))?;
    let made = implicit(here, name, keeper)?;
    mark_opaque(made.as_fd())?;
    restore_time(here, &before)?;
    Ok(made)
}

fn mark_opaque(directory: BorrowedFd<'_>) -> Result<()> {
    xattr::set(Object::Open(directory), xattr::OPAQUE, xattr::OPAQUE_VALUE)
        .map_err(UnpackError::write("mark the directory opaque"))
}

fn is_whiteout(stat: &FileStat) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFCHR.bits() && stat.st_rdev == 0
}

pub(super) fn is_directory(stat: &FileStat) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits()
}

/// The number of an inode; its type differs between architectures.
#[allow(clippy::useless_conversion)]
pub(super) fn inode_of(stat: &FileStat) -> u64 {
    u64::from(stat.st_ino)
}

fn inode(fd: BorrowedFd<'_>) -> Result<u64> {
    fstat(fd).map(|stat| inode_of(&stat)).map_err(UnpackError::write("look at the directory"))
}

fn own(fd: BorrowedFd<'_>, uid: Uid, gid: Gid) -> Result<()> {
    fchown(fd, Some(uid), Some(gid)).map_err(UnpackError::write("set the owner"))
}

pub(super) fn set_time(fd: BorrowedFd<'_>, time: FileTime) -> Result<()> {
    let time = time_spec(time);
    futimens(fd, &time, &time).map_err(UnpackError::write("set the time"))
}

// Both types are narrower on 32-bit systems.
#[allow(clippy::useless_conversion)]
fn restore_time(fd: BorrowedFd<'_>, stat: &FileStat) -> Result<()> {
    set_time(fd, FileTime { seconds: stat.st_mtime.into(), nanoseconds: stat.st_mtime_nsec.into() })
}

/// A time beyond what the system's type holds (32 bits on old boards) becomes the nearest it does.
// musl's alias is marked for being widened some day; `TimeSpec` takes what it is on that day.
#[allow(deprecated)]
fn time_spec(time: FileTime) -> TimeSpec {
    let seconds = nix::libc::time_t::try_from(time.seconds).unwrap_or(if time.seconds < 0 {
        nix::libc::time_t::MIN
    } else {
        nix::libc::time_t::MAX
    });
    // Below a thousand million by construction, which fits every type the system uses for it.
    TimeSpec::new(seconds, nix::libc::c_long::try_from(time.nanoseconds).unwrap_or(0))
}
