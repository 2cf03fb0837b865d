//! The system's log in its own form (systemd's Journal Native Protocol): one datagram a message, made of fields that
//! people search by.
//!
//! Invariant: nothing here waits, and no value begins a field of its own.
//!
//! ```text
//! NAME=value\n                      where the value is one line
//! NAME\n  length (u64, LE)  value\n where it has several
//! ```

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::linux::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Where it listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// Device and inode of the stream that a unit's output goes to, as `8:1234`.
const STREAM_VARIABLE: &str = "JOURNAL_STREAM";

/// The way to the system's log.
#[derive(Debug)]
pub struct SystemLog {
    socket: UnixDatagram,
    path: PathBuf,
}

impl SystemLog {
    /// The log that standard error leads to; `None` where it leads elsewhere, so that what is written stays where
    /// somebody waits for it.
    #[must_use]
    pub fn behind_stderr() -> Option<Self> {
        let named = std::env::var(STREAM_VARIABLE).ok()?;
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned().ok()?).metadata().ok()?;
        is_stream(&named, stderr.st_dev(), stderr.st_ino()).then(|| Self::at(Path::new(SOCKET)).ok())?
    }

    /// The log that listens at `path`.
    ///
    /// # Errors
    /// That of the system.
    pub fn at(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, path: path.to_owned() })
    }

    /// Writes one message. Names are of `A-Z 0-9 _`, and begin with a letter.
    ///
    /// # Errors
    /// Nobody listens, or the message is too large for whoever does; it is not in the log then.
    pub fn write(&self, fields: &[(&str, &str)]) -> io::Result<()> {
        let mut datagram = Vec::new();
        for (name, value) in fields {
            datagram.extend_from_slice(name.as_bytes());
            if value.contains('\n') {
                datagram.push(b'\n');
                datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
            } else {
                datagram.push(b'=');
            }
            datagram.extend_from_slice(value.as_bytes());
            datagram.push(b'\n');
        }
        self.socket.send_to(&datagram, &self.path).map(drop)
    }
}

fn is_stream(named: &str, device: u64, inode: u64) -> bool {
    named.split_once(':').is_some_and(|(dev, ino)| dev.parse() == Ok(device) && ino.parse() == Ok(inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fields: &[(&str, &str)], expected: &[u8]) {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("coracle-log-{}-{number}", std::process::id()));
        let log = UnixDatagram::bind(&path).unwrap();
        SystemLog::at(&path).unwrap().write(fields).unwrap();
        let mut heard = [0u8; 1024];
        let count = log.recv(&mut heard).unwrap();
        assert_eq!(&heard[..count], expected);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_message_is_one_datagram_of_fields() {
        check(&[("MESSAGE", "ready = yes"), ("PRIORITY", "6")], b"MESSAGE=ready = yes\nPRIORITY=6\n");
        check(&[("A", ""), ("B", "ü")], "A=\nB=ü\n".as_bytes());
    }

    #[test]
    fn a_value_begins_no_field_of_its_own() {
        check(&[("MESSAGE", "a\nPRIORITY=0")], b"MESSAGE\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\n");
    }

    #[test]
    fn a_log_that_is_not_there_is_told_at_once() {
        let nobody = SystemLog::at(Path::new("/nonexistent/socket")).unwrap();
        assert!(nobody.write(&[("MESSAGE", "")]).is_err());
    }

    #[test]
    fn only_the_stream_that_the_environment_names_is_the_log() {
        assert!(is_stream("8:1234", 8, 1234));
        for named in ["8:1235", "9:1234", "8", "", "8:1234:1", "a:b"] {
            assert!(!is_stream(named, 8, 1234), "{named}");
        }
    }
}
