//! What the service manager is told of this process (sd_notify(3)): one datagram a message, lines of `NAME=value`,
//! to the socket that its environment names.
//!
//! Invariant: nothing here waits. A manager that does not listen costs the message, never the caller.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Names the socket: a path, or `@` and a name of the abstract namespace.
pub const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";
/// Microseconds within which the manager wants a sign of life.
const WATCHDOG_VARIABLE: &str = "WATCHDOG_USEC";
/// Whom that is asked of; absent: whoever is told.
const WATCHDOG_PID_VARIABLE: &str = "WATCHDOG_PID";
/// Bytes of a status line: it is for people, and a datagram has its bound.
const STATUS_BYTES_MAX: usize = 1024;

/// One thing to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice<'a> {
    /// The service does its work now.
    Ready,
    /// It is on its way to its end.
    Stopping,
    /// It turns.
    Watchdog,
    /// How it stands, for people; one line.
    Status(&'a str),
}

/// The way to the service manager.
#[derive(Debug)]
pub struct Notifier {
    socket: UnixDatagram,
    manager: SocketAddr,
}

impl Notifier {
    /// To the manager that the environment names; `None` where nobody wants to know.
    ///
    /// # Errors
    /// The address is not one, or the system's answer.
    pub fn from_environment() -> io::Result<Option<Self>> {
        std::env::var_os(SOCKET_VARIABLE).map(|address| Self::to(&address)).transpose()
    }

    /// To the manager at `address`, as the environment has it.
    ///
    /// # Errors
    /// The address is not one, or the system's answer.
    pub fn to(address: &OsStr) -> io::Result<Self> {
        let manager = match address.as_bytes().split_first() {
            Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
            Some((b'/', _)) => SocketAddr::from_pathname(address)?,
            Some(_) | None => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, manager })
    }

    /// Tells all of `notices` at once.
    ///
    /// # Errors
    /// That of the system; nobody listens, for instance.
    pub fn tell(&self, notices: &[Notice<'_>]) -> io::Result<()> {
        let lines: Vec<String> = notices.iter().map(|notice| line(*notice)).collect();
        self.socket.send_to_addr(lines.join("\n").as_bytes(), &self.manager).map(drop)
    }
}

fn line(notice: Notice<'_>) -> String {
    match notice {
        Notice::Ready => "READY=1".to_owned(),
        Notice::Stopping => "STOPPING=1".to_owned(),
        Notice::Watchdog => "WATCHDOG=1".to_owned(),
        Notice::Status(text) => {
            // A line break would begin another field.
            let text = text.replace(char::is_control, " ");
            let end = text.floor_char_boundary(STATUS_BYTES_MAX);
            format!("STATUS={}", text.get(..end).unwrap_or_default())
        }
    }
}

/// How often the manager wants to hear of this process; `None` where it does not watch.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    let read = |name| std::env::var(name).ok();
    interval(read(WATCHDOG_VARIABLE)?.as_str(), read(WATCHDOG_PID_VARIABLE).as_deref(), std::process::id())
}

fn interval(microseconds: &str, asked: Option<&str>, own: u32) -> Option<Duration> {
    if asked.is_some_and(|pid| pid.parse() != Ok(own)) {
        return None;
    }
    microseconds.parse().ok().filter(|microseconds| *microseconds > 0).map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(notices: &[Notice<'_>], expected: &str) {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("coracle-notify-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(&name);
        let listeners = [
            (format!("@{name}"), SocketAddr::from_abstract_name(&name).unwrap()),
            (path.display().to_string(), SocketAddr::from_pathname(&path).unwrap()),
        ];
        for (address, bound) in listeners {
            let manager = UnixDatagram::bind_addr(&bound).unwrap();
            Notifier::to(OsStr::new(&address)).unwrap().tell(notices).unwrap();
            let mut heard = [0u8; 4096];
            let count = manager.recv(&mut heard).unwrap();
            assert_eq!(std::str::from_utf8(&heard[..count]), Ok(expected), "{address}");
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn the_manager_hears_every_notice_at_either_kind_of_address() {
        check(&[Notice::Ready, Notice::Status("generation 42 runs")], "READY=1\nSTATUS=generation 42 runs");
        check(&[Notice::Watchdog], "WATCHDOG=1");
        check(&[Notice::Stopping], "STOPPING=1");
    }

    #[test]
    fn a_status_stays_one_line_within_its_bound() {
        check(&[Notice::Status("failed:\nREADY=1\u{1b}")], "STATUS=failed: READY=1 ");
        let long = "ü".repeat(STATUS_BYTES_MAX);
        check(&[Notice::Status(&long)], &format!("STATUS={}", "ü".repeat(STATUS_BYTES_MAX / 2)));
    }

    #[test]
    fn nobody_to_tell_is_told_at_once() {
        assert!(Notifier::to(OsStr::new("")).is_err() && Notifier::to(OsStr::new("vsock:2:1")).is_err());
        let nobody = Notifier::to(OsStr::new("@coracle-notify-nobody")).unwrap();
        assert!(nobody.tell(&[Notice::Ready]).is_err());
    }

    #[test]
    fn a_watchdog_that_asks_another_process_is_not_ours() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(interval("1000000", None, 7), second);
        assert_eq!(interval("1000000", Some("7"), 7), second);
        assert_eq!(interval("1000000", Some("8"), 7), None);
        assert_eq!(interval("0", None, 7), None);
        assert_eq!(interval("soon", None, 7), None);
    }
}
