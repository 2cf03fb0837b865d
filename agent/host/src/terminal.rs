//! The terminal that a person sits at.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::libc;

/// Rows and columns of the terminal behind `fd`; `None` where it is none.
#[must_use]
#[allow(unsafe_code)] // the request has no safe wrapper in our libraries
pub fn size(fd: BorrowedFd<'_>) -> Option<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one `winsize` to the address, which is valid for it.
    let answer = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (answer == 0 && size.ws_row > 0).then_some((size.ws_row, size.ws_col))
}
