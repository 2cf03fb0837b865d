//! The proof that a shim lives: a record lock, which the kernel drops with its process, whatever ends it.
//!
//! It is asked about without being taken, and the kernel tells the holder's pid: no pid file can lie.

use std::fs::{File, OpenOptions};
use std::io;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::place::Place;

const FILE: &str = "lock";

/// The lock of one workload's directory, held.
#[derive(Debug)]
pub struct Life {
    // The lock goes with any descriptor of the file that this process closes: there is only this one.
    _file: File,
}

impl Life {
    /// Takes the lock; `None` when another shim holds it.
    ///
    /// # Errors
    /// That of the system.
    pub fn take(place: &Place) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(place.join(FILE))?;
        match fcntl(&file, FcntlArg::F_SETLK(&whole(libc::F_WRLCK))) {
            Ok(_) => Ok(Some(Self { _file: file })),
            Err(Errno::EACCES | Errno::EAGAIN) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The pid of the shim that holds the lock.
    ///
    /// # Errors
    /// That of the system, other than a missing directory.
    pub fn holder(place: &Place) -> io::Result<Option<i32>> {
        let file = match OpenOptions::new().write(true).open(place.join(FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut lock = whole(libc::F_WRLCK);
        fcntl(&file, FcntlArg::F_GETLK(&mut lock))?;
        Ok((i32::from(lock.l_type) != libc::F_UNLCK).then_some(lock.l_pid))
    }
}

fn whole(kind: i32) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).unwrap_or_default(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}
