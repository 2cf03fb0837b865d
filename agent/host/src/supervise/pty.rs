//! A container's terminal: its other end comes over the console socket (runtime-spec, "--console-socket").
#![allow(unsafe_code)] // a descriptor out of a control message, and the window size, have no safe wrapper

use std::fs;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use std::os::fd::AsFd as _;

/// The listening console socket; its file goes with it.
#[derive(Debug)]
pub struct Console {
    listener: UnixListener,
    path: PathBuf,
}

impl Console {
    /// Listens at `path`, which must fit a socket address (108 bytes): give a relative one.
    ///
    /// # Errors
    /// That of the system.
    pub fn listen(path: &Path) -> io::Result<Self> {
        let _ = fs::remove_file(path);
        Ok(Self { listener: UnixListener::bind(path)?, path: path.to_owned() })
    }

    /// Takes the terminal that the runtime has sent by the time it ended.
    ///
    /// # Errors
    /// That of the system, or `TimedOut`.
    pub fn terminal(&self, limit: Duration) -> io::Result<OwnedFd> {
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        if poll(&mut [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)], timeout)? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let (stream, _) = self.listener.accept()?;
        stream.set_read_timeout(Some(limit))?;
        let mut name = [0u8; 256];
        let mut parts = [IoSliceMut::new(&mut name)];
        let mut space = nix::cmsg_space!(i32);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = control
                && let Some(fd) = fds.first()
            {
                // SAFETY: the kernel has just made this descriptor for us; there is room for one only.
                return Ok(unsafe { OwnedFd::from_raw_fd(*fd) });
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the runtime sent no terminal"))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

mod call {
    nix::ioctl_write_ptr_bad!(set_window, nix::libc::TIOCSWINSZ, nix::libc::winsize);
}

/// Tells the terminal its size in characters.
///
/// # Errors
/// That of the system.
pub fn resize(terminal: &OwnedFd, rows: u16, columns: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel reads one `winsize`, which lives through the call.
    unsafe { call::set_window(terminal.as_raw_fd(), &raw const size) }?;
    Ok(())
}
