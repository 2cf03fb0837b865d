//! Two names for two things, exchanged in one step.
//!
//! `unsafe` because neither std nor nix has the call for every C library; the pointers are of strings that outlive it.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;

/// Exchanges what `a` and `b` name (renameat2(2), `RENAME_EXCHANGE`): whoever looks finds one or the other, never
/// neither.
///
/// # Errors
/// That of the system; `InvalidInput` or `Unsupported` where the file system or the kernel cannot.
pub fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    let (a, b) = (CString::new(a.as_os_str().as_bytes())?, CString::new(b.as_os_str().as_bytes())?);
    // SAFETY: both paths end with NUL and live until the call has returned; the other arguments are numbers.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            a.as_ptr(),
            libc::AT_FDCWD,
            b.as_ptr(),
            libc::RENAME_EXCHANGE,
        )
    };
    Errno::result(outcome).map(drop).map_err(io::Error::from)
}
