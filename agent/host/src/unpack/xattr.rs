//! Extended attributes: which a layer may carry, and the calls that set them.
//!
//! `unsafe` because neither std nor nix has these calls; each wrapper passes pointers to slices that outlive it.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::libc;

use super::error::{Refusal, UnpackError};

/// Marks a directory whose content in lower layers is hidden (kernel, overlayfs.rst, "whiteouts and opaque directories").
pub(super) const OPAQUE: &CStr = c"trusted.overlay.opaque";
/// Its value.
pub(super) const OPAQUE_VALUE: &[u8] = b"y";
const CAPABILITY: &[u8] = b"security.capability";

/// What becomes of an attribute of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Set, and a failure is a failure of the layer.
    Needed,
    /// Set where the file system can hold it.
    Wished,
    /// Not set: it says something about the machine where the image was made.
    Dropped,
}

/// The rule for each name.
pub(super) fn fate(name: &[u8]) -> Result<Fate, Refusal> {
    if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
        return Err(Refusal::OverlayAttribute(name.escape_ascii().to_string()));
    }
    Ok(match name {
        // A program that needs its capability and runs without is a broken program.
        CAPABILITY => Fate::Needed,
        // The label, the measurement and the keys belong to the board's own policy.
        _ if name.starts_with(b"security.") => Fate::Dropped,
        _ => Fate::Wished,
    })
}

/// Sorts so that the capability comes last: setting others may drop it.
fn sort_key(name: &[u8]) -> u8 {
    u8::from(name == CAPABILITY)
}

/// What an attribute is set on.
#[derive(Clone, Copy)]
pub(super) enum Object<'a> {
    Open(BorrowedFd<'a>),
    /// A link or node in a directory, itself.
    Named(BorrowedFd<'a>, &'a [u8]),
}

/// Sets what the rule says; the count of those that the file system cannot hold.
pub(super) fn set_all(object: Object<'_>, attributes: &[(Vec<u8>, Vec<u8>)]) -> Result<u64, UnpackError> {
    let mut skipped = 0;
    let mut ordered: Vec<_> = attributes.iter().collect();
    ordered.sort_by_key(|(name, _)| sort_key(name));
    for (name, value) in ordered {
        let fate = fate(name)?;
        if fate == Fate::Dropped {
            continue;
        }
        let terminated =
            CString::new(name.as_slice()).map_err(|_| Refusal::Pax("an attribute has no valid name"))?;
        match (fate, set(object, &terminated, value)) {
            (_, Ok(())) => {}
            (Fate::Wished, Err(Errno::ENOTSUP | Errno::EPERM)) => skipped += 1,
            (_, Err(errno)) => return Err(UnpackError::write("set an attribute")(errno)),
        }
    }
    Ok(skipped)
}

pub(super) fn set(object: Object<'_>, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    let outcome = match object {
        Object::Open(fd) => {
            // SAFETY: the descriptor is open, the name ends with NUL, the value's pointer and length are of one slice.
            unsafe { libc::fsetxattr(fd.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) }
        }
        Object::Named(directory, last) => {
            let path = through_proc(directory, last)?;
            // SAFETY: path and name end with NUL, the value's pointer and length are of one slice.
            unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) }
        }
    };
    Errno::result(outcome).map(drop)
}

/// Removes every attribute of an open directory except overlayfs's mark.
pub(super) fn clear(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    // The kernel's limit of a list.
    let mut names = vec![0_u8; 64 << 10];
    // SAFETY: the descriptor is open, the buffer's pointer and length are of one vector.
    let length = unsafe { libc::flistxattr(fd.as_raw_fd(), names.as_mut_ptr().cast(), names.len()) };
    let length = match Errno::result(length) {
        Ok(length) => usize::try_from(length).unwrap_or(0),
        Err(Errno::ENOTSUP) => 0,
        Err(errno) => return Err(errno),
    };
    names.truncate(length);
    for name in
        names.split_inclusive(|byte| *byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok())
    {
        let label = fate(name.to_bytes());
        if matches!(label, Ok(Fate::Needed | Fate::Wished)) {
            // SAFETY: the descriptor is open and the name ends with NUL.
            Errno::result(unsafe { libc::fremovexattr(fd.as_raw_fd(), name.as_ptr()) })?;
        }
    }
    Ok(())
}

/// An attribute's name and value.
pub(crate) type Attribute = (Vec<u8>, Vec<u8>);

/// The attributes of an object that a layer may have set, sorted by name. Those that the board's own policy sets are
/// left out, for they may change without the layer.
pub(super) fn read(object: Object<'_>) -> Result<Vec<Attribute>, Errno> {
    let path = match object {
        Object::Open(_) => None,
        Object::Named(directory, last) => Some(through_proc(directory, last)?),
    };
    let list = |out: &mut [u8]| {
        let (to, room) = (out.as_mut_ptr().cast(), out.len());
        // SAFETY: the descriptor is open, or the path ends with NUL; pointer and length are of one slice.
        match (&path, object) {
            (None, Object::Open(fd)) => unsafe { libc::flistxattr(fd.as_raw_fd(), to, room) },
            (Some(path), _) => unsafe { libc::llistxattr(path.as_ptr(), to, room) },
            (None, Object::Named(..)) => -1,
        }
    };
    let mut found = Vec::new();
    let names = sized(list)?;
    for name in
        names.split_inclusive(|byte| *byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok())
    {
        let ours = name == OPAQUE || matches!(fate(name.to_bytes()), Ok(Fate::Needed | Fate::Wished));
        if !ours {
            continue;
        }
        let value = sized(|out| {
            let (to, room) = (out.as_mut_ptr().cast(), out.len());
            // SAFETY: as above, and the name ends with NUL.
            match (&path, object) {
                (None, Object::Open(fd)) => unsafe {
                    libc::fgetxattr(fd.as_raw_fd(), name.as_ptr(), to, room)
                },
                (Some(path), _) => unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), to, room) },
                (None, Object::Named(..)) => -1,
            }
        })?;
        found.push((name.to_bytes().to_vec(), value));
    }
    found.sort();
    Ok(found)
}

/// What a call gives that first tells how much that is; nothing where the file system has no attributes.
fn sized(call: impl Fn(&mut [u8]) -> isize) -> Result<Vec<u8>, Errno> {
    let length = match Errno::result(call(&mut [])) {
        Ok(0) | Err(Errno::ENOTSUP) => return Ok(Vec::new()),
        other => other?,
    };
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let length = Errno::result(call(&mut bytes))?;
    bytes.truncate(usize::try_from(length).unwrap_or(0));
    Ok(bytes)
}

/// There is no call that takes a directory, a name and "do not follow" before Linux 6.13.
fn through_proc(directory: BorrowedFd<'_>, last: &[u8]) -> Result<CString, Errno> {
    let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
    path.extend_from_slice(last);
    CString::new(path).map_err(|_| Errno::EINVAL)
}
