//! Writes entries into the layer's directory, in overlayfs's form.
//!
//! The directory that entries are put into stays open while they follow one another, as they do. A directory's time is
//! read when it is entered and put back when it is left, so nothing has to be remembered until the end, however many
//! directories there are. Their modes can be set at once, because root is not held by them.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

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

use super::archive::{Archive, Device, Meta};
use super::error::{Refusal, Result, UnpackError};
use super::pax::FileTime;
use super::resolve::{DIRECTORY, Missing, Resolver};
use super::sparse::Map;
use super::xattr::{self, Fate, Object};
use super::{Devices, Target};

/// What was written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    pub(super) content_bytes: u64,
    pub(super) attributes_skipped: u64,
}

pub(super) struct Tree<'a> {
    root: BorrowedFd<'a>,
    resolver: Resolver,
    devices: Devices,
    process: (Uid, Gid),
    entered: Option<Entered>,
    counted: Counted,
}

/// The directory that entries are put into.
struct Entered {
    /// As the archive names it.
    path: Vec<u8>,
    fd: OwnedFd,
    stat: FileStat,
}

const PRIVATE: Mode = Mode::S_IRWXU;
/// Mode of a directory that the archive needs but does not have.
const IMPLICIT: Mode =
    Mode::S_IRWXU.union(Mode::S_IRGRP).union(Mode::S_IXGRP).union(Mode::S_IROTH).union(Mode::S_IXOTH);
const NOFOLLOW: AtFlags = AtFlags::AT_SYMLINK_NOFOLLOW;

impl<'a> Tree<'a> {
    pub(super) fn new(target: &Target<'a>) -> Result<Self> {
        // Until the archive says otherwise; and the same bytes give the same directory.
        own(target.root, Uid::from_raw(0), Gid::from_raw(0))?;
        fchmod(target.root, IMPLICIT).map_err(UnpackError::write("set the root's mode"))?;
        set_time(target.root, FileTime::default())?;
        Ok(Self {
            root: target.root,
            resolver: target.resolver,
            devices: target.limits.devices,
            process: (geteuid(), getegid()),
            entered: None,
            counted: Counted::default(),
        })
    }

    pub(super) fn finish(mut self) -> Result<Counted> {
        self.leave()?;
        Ok(self.counted)
    }

    pub(super) fn directory(&mut self, path: &EntryPath, meta: &Meta) -> Result<()> {
        let Some((parent, name)) = path.split() else {
            self.leave()?;
            let root = self.root;
            xattr::clear(root).map_err(UnpackError::write("clear attributes"))?;
            return self.dress(root, meta);
        };
        let here = self.enter(parent)?;
        let open = |here: BorrowedFd<'_>| openat(here, name, DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty());
        let made = match mkdirat(here, name, PRIVATE) {
            Ok(()) => open(here).map_err(UnpackError::write("open the directory"))?,
            Err(Errno::EEXIST) => match open(here) {
                Ok(existing) => {
                    xattr::clear(existing.as_fd()).map_err(UnpackError::write("clear attributes"))?;
                    existing
                }
                Err(Errno::ELOOP | Errno::ENOTDIR) => replace_with_directory(here, name)?,
                Err(errno) => return Err(UnpackError::write("open the directory")(errno)),
            },
            Err(errno) => return Err(UnpackError::write("make the directory")(errno)),
        };
        self.dress(made.as_fd(), meta)
    }

    pub(super) fn file<R: Read>(
        &mut self,
        path: &EntryPath,
        meta: &Meta,
        map: &Map,
        archive: &mut Archive<'_, R>,
    ) -> Result<()> {
        let (parent, name) = path.split().ok_or(Refusal::Root)?;
        let here = self.enter(parent)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = making(here, name, || openat(here, name, flags, Mode::S_IRUSR | Mode::S_IWUSR))
            .map_err(|error| error.or_attempt("create the file"))?;
        // The library's calls take 64-bit offsets where the C library's own are shorter.
        let file = File::from(fd);
        for (offset, length) in &map.segments {
            let (mut offset, end) = (*offset, offset.saturating_add(*length));
            while offset < end {
                let data = archive.data()?;
                // The map's sum is the entry's size, so the data cannot end first without the archive ending.
                let room = usize::try_from(end - offset).unwrap_or(usize::MAX);
                let data = data.get(..room).unwrap_or(data);
                let written = match file.write_at(data, offset) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                    written => written.map_err(UnpackError::write("write the file"))?,
                };
                archive.consume(written);
                offset += written as u64;
                self.counted.content_bytes += written as u64;
            }
        }
        if map.segments.last().is_none_or(|(offset, length)| offset + length < map.length) {
            file.set_len(map.length).map_err(UnpackError::write("size the file"))?;
        }
        if !self.owned_already(meta) {
            own(file.as_fd(), Uid::from_raw(meta.uid), Gid::from_raw(meta.gid))?;
        }
        self.finish_dress(file.as_fd(), meta)
    }

    pub(super) fn symlink(&mut self, path: &EntryPath, meta: &Meta, target: &[u8]) -> Result<()> {
        if target.is_empty() || target.contains(&0) || target.len() > ENTRY_PATH_BYTES_MAX {
            return Err(Refusal::SymlinkTarget.into());
        }
        let (parent, name) = path.split().ok_or(Refusal::Root)?;
        let here = self.enter(parent)?;
        making(here, name, || symlinkat(target, here, name))
            .map_err(|error| error.or_attempt("make the link"))?;
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
        let here = self.enter(parent)?;
        making(here, name, || mknodat(here, name, kind, Mode::S_IRUSR | Mode::S_IWUSR, device))
            .map_err(|error| error.or_attempt("make the node"))?;
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
            Some(self.resolver.open(self.root, to_parent, Missing::Fail)?.ok_or_else(absent)?)
        };
        let here = self.enter(parent)?;
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
        making(here, name, || linkat(there, to_name, here, name, AtFlags::empty()))
            .map_err(|error| error.or_attempt("make the hard link"))
    }

    /// Hides what lower layers have at `path`, and nothing of this layer (layer.md, "Whiteouts").
    pub(super) fn whiteout(&mut self, path: &EntryPath) -> Result<()> {
        let (parent, name) = path.split().ok_or(Refusal::Root)?;
        let here = self.enter(parent)?;
        match mknodat(here, name, SFlag::S_IFCHR, Mode::empty(), 0) {
            Ok(()) => {
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
        let here = self.enter(directory.as_bytes())?;
        mark_opaque(here)
    }

    fn enter(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>> {
        if self.entered.as_ref().is_none_or(|entered| entered.path != path) {
            self.leave()?;
            let fd = self.resolver.open(self.root, path, Missing::Create)?.ok_or(Refusal::Parent)?;
            let stat = fstat(&fd).map_err(UnpackError::write("look at its directory"))?;
            self.entered = Some(Entered { path: path.to_vec(), fd, stat });
        }
        // Just set.
        self.entered.as_ref().map(|entered| entered.fd.as_fd()).ok_or_else(|| Refusal::Parent.into())
    }

    fn leave(&mut self) -> Result<()> {
        match self.entered.take() {
            Some(Entered { fd, stat, .. }) => restore_time(fd.as_fd(), &stat),
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
            let here = self.enter(parent)?;
            fchownat(here, name, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)), NOFOLLOW)
                .map_err(UnpackError::write("set the owner"))?;
            if let Some(mode) = mode {
                // Made a moment ago in a directory of our own, and no link.
                fchmodat(here, name, mode, FchmodatFlags::FollowSymlink)
                    .map_err(UnpackError::write("set the mode"))?;
            }
            set_attributes(Object::Named(here, name), meta)?
        };
        self.counted.attributes_skipped += attributes;
        let time = time_spec(meta.mtime);
        utimensat(self.enter(parent)?, name, &time, &time, UtimensatFlags::NoFollowSymlink)
            .map_err(UnpackError::write("set the time"))
    }

    fn attributes(&mut self, object: Object<'_>, meta: &Meta) -> Result<()> {
        self.counted.attributes_skipped += set_attributes(object, meta)?;
        Ok(())
    }
}

/// Sets what the rule says; the count of those that the file system cannot hold.
fn set_attributes(object: Object<'_>, meta: &Meta) -> Result<u64> {
    let mut skipped = 0;
    let mut ordered: Vec<_> = meta.attributes.iter().collect();
    ordered.sort_by_key(|(name, _)| xattr::sort_key(name));
    for (name, value) in ordered {
        let fate = xattr::fate(name)?;
        let terminated =
            CString::new(name.as_slice()).map_err(|_| Refusal::Pax("an attribute has no valid name"))?;
        match (fate, xattr::set(object, &terminated, value)) {
            (Fate::Needed | Fate::Wished, Ok(())) => {}
            (Fate::Wished, Err(Errno::ENOTSUP | Errno::EPERM)) => skipped += 1,
            (Fate::Needed | Fate::Wished, Err(errno)) => {
                return Err(UnpackError::write("set an attribute")(errno));
            }
            (Fate::Dropped, _) => {}
        }
    }
    Ok(skipped)
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
    make: impl Fn() -> std::result::Result<T, Errno>,
) -> std::result::Result<T, Unmade> {
    match make() {
        Err(Errno::EEXIST) => {
            remove(here, name).map_err(Unmade::Other)?;
            make().map_err(Unmade::System)
        }
        made => made.map_err(Unmade::System),
    }
}

fn remove(here: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
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
pub(super) fn implicit(here: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd> {
    let stat = fstat(here).map_err(UnpackError::write("look at a directory above it"))?;
    mkdirat(here, name, PRIVATE).map_err(UnpackError::write("make a directory above it"))?;
    let made = openat(here, name, DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty())
        .map_err(UnpackError::write("open a directory above it"))?;
    own(made.as_fd(), Uid::from_raw(0), Gid::from_raw(0))?;
    fchmod(&made, IMPLICIT).map_err(UnpackError::write("set the mode of a directory above it"))?;
    set_time(made.as_fd(), FileTime::default())?;
    restore_time(here, &stat)?;
    Ok(made)
}

/// As [`implicit`], where a whiteout of this layer stands in the way: its target is gone, and this is new.
pub(super) fn instead_of_whiteout(here: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd> {
    let stat = fstatat(here, name, NOFOLLOW).map_err(UnpackError::write("look at a parent of it"))?;
    if !is_whiteout(&stat) {
        return Err(Refusal::Parent.into());
    }
    let before = fstat(here).map_err(UnpackError::write("look at a directory above it"))?;
    unlinkat(here, name, UnlinkatFlags::NoRemoveDir)
        .map_err(UnpackError::write("replace a whiteout above it"))?;
    let made = implicit(here, name)?;
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

fn is_directory(stat: &FileStat) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits()
}

fn own(fd: BorrowedFd<'_>, uid: Uid, gid: Gid) -> Result<()> {
    fchown(fd, Some(uid), Some(gid)).map_err(UnpackError::write("set the owner"))
}

fn set_time(fd: BorrowedFd<'_>, time: FileTime) -> Result<()> {
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
