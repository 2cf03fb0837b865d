//! Asks a port of this machine, or of a container's network, whether somebody answers.
//!
//! Invariant: no call takes longer than its limit, and only the first line of an answer is read.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

/// Bytes of an answer's first line; servers write some dozens.
const LINE_BYTES_MAX: usize = 1024;
/// The least that a socket can be told to wait.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// Why nothing was answered.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No connection, or it broke.
    #[error("port {port} on loopback does not answer: {error}")]
    Connection {
        /// The port.
        port: u16,
        /// The system's word.
        error: io::Error,
    },
    /// An answer that is not HTTP.
    #[error("port {port} on loopback does not answer in HTTP: {line:?}")]
    Answer {
        /// The port.
        port: u16,
        /// How the answer began.
        line: String,
    },
}

/// Enters the network of process `pid`. Only a process of one thread may, and it stays there.
///
/// # Errors
/// That of the system.
pub fn enter_network(pid: i32) -> io::Result<()> {
    let network = File::open(format!("/proc/{pid}/ns/net"))?;
    Ok(setns(network, CloneFlags::CLONE_NEWNET)?)
}

/// Connects to `port` on the loopback addresses.
///
/// # Errors
/// [`ProbeError`] of the last address.
pub fn tcp(port: u16, limit: Duration) -> Result<(), ProbeError> {
    connect(port, Instant::now() + limit).map(drop).map_err(|error| ProbeError::Connection { port, error })
}

/// The status that a GET of `path` is answered with (RFC 9112).
///
/// # Errors
/// [`ProbeError`].
pub fn http(port: u16, path: &str, limit: Duration) -> Result<u16, ProbeError> {
    let line = first_line(port, path, Instant::now() + limit)
        .map_err(|error| ProbeError::Connection { port, error })?;
    let mut words = line.split(' ');
    let version = words.next().is_some_and(|word| word.starts_with("HTTP/1."));
    let status = words.next().filter(|word| word.len() == 3).and_then(|word| word.parse().ok());
    status.filter(|_| version).ok_or(ProbeError::Answer { port, line })
}

fn connect(port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let at = |address: IpAddr| TcpStream::connect_timeout(&SocketAddr::new(address, port), left(deadline));
    at(Ipv4Addr::LOCALHOST.into()).or_else(|error| {
        let refused = error.kind() == io::ErrorKind::ConnectionRefused;
        // Some servers listen on the newer address only; a board without it says the same as before.
        if refused { at(Ipv6Addr::LOCALHOST.into()).map_err(|_| error) } else { Err(error) }
    })
}

fn first_line(port: u16, path: &str, deadline: Instant) -> io::Result<String> {
    let mut stream = connect(port, deadline)?;
    stream.set_write_timeout(Some(left(deadline)))?;
    let agent = concat!("coracle/", env!("CARGO_PKG_VERSION"));
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {agent}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    let mut piece = [0; LINE_BYTES_MAX];
    while answer.len() < LINE_BYTES_MAX && !answer.contains(&b'\n') {
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left(deadline)))?;
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(piece.get(..read).unwrap_or_default()),
            // What a socket's timeout is called.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        }
    }
    let line = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line.get(..LINE_BYTES_MAX).unwrap_or(line));
    Ok(line.trim_end().to_owned())
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(WAIT_MIN)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// What one GET of `/up` says to a server that answers with `answer`.
    #[track_caller]
    fn check(answer: &'static str, expected: Result<u16, &str>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            let mut piece = [0; 512];
            while !asked.ends_with(b"\r\n\r\n") {
                let read = stream.read(&mut piece).unwrap();
                asked.extend_from_slice(&piece[..read]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(asked).unwrap()
        });
        let found = http(port, "/up", LIMIT).map_err(|error| error.to_string());
        match expected {
            Ok(status) => assert_eq!(found, Ok(status)),
            Err(words) => assert!(found.as_ref().is_err_and(|error| error.contains(words)), "{found:?}"),
        }
        assert!(server.join().unwrap().starts_with("GET /up HTTP/1.1\r\nHost: localhost\r\n"));
    }

    #[test]
    fn the_status_of_an_answer_is_read_whatever_follows() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Ok(200));
        check("HTTP/1.0 503\r\n\r\nno", Ok(503));
        check("220 mail ready\r\n", Err("220 mail ready"));
        check("HTTP/1.1 2000 OK\r\n", Err("HTTP/1.1 2000 OK"));
        check("", Err("not answer in HTTP"));
    }

    #[test]
    fn a_port_is_open_silent_or_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        tcp(port, LIMIT).unwrap();
        let error = http(port, "/", Duration::from_millis(50)).unwrap_err().to_string();
        assert!(error.contains("timed out"), "{error}");
        drop(listener);
        let error = tcp(port, LIMIT).unwrap_err().to_string();
        assert!(error.contains(&format!("port {port}")) && error.contains("refused"), "{error}");
    }
}
