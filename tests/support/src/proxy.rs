//! An HTTP proxy in this process that carries CONNECT and nothing else, and counts.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::acceptor::Acceptor;

/// Bytes of the head of a request.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// One request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The line, `CONNECT host:port HTTP/1.1`.
    pub line: String,
    /// What it was answered.
    pub status: u16,
}

struct Shared {
    /// The header that lets through; anybody may where absent.
    wanted: Option<String>,
    asked: Mutex<Vec<Asked>>,
}

/// The running proxy; it ends with this value.
pub struct Proxy {
    shared: Arc<Shared>,
    acceptor: Acceptor,
}

impl Proxy {
    /// Starts on a free loopback port; with a user and password, nobody else is let through.
    pub fn start(credentials: Option<(&str, &str)>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let wanted = credentials.map(|(user, password)| {
            format!("proxy-authorization: Basic {}", STANDARD.encode(format!("{user}:{password}")))
        });
        let shared = Arc::new(Shared { wanted, asked: Mutex::default() });
        let serving = Arc::clone(&shared);
        let acceptor = Acceptor::start(listener, Arc::default(), move |stream| {
            let serving = Arc::clone(&serving);
            // A client that goes away ends its own thread.
            std::thread::spawn(move || serve(&serving, stream));
        })?;
        Ok(Self { shared, acceptor })
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.acceptor.address().to_string()
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(shared: &Shared, mut client: TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HEAD_BYTES_MAX || client.read(&mut byte)? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let line = head.lines().next().unwrap_or_default().to_owned();
    let allowed = shared.wanted.as_deref().is_none_or(|wanted| {
        head.lines().any(|line| {
            line.split_once(": ")
                .is_some_and(|(name, value)| format!("{}: {value}", name.to_ascii_lowercase()) == wanted)
        })
    });
    let target = line.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let (status, server) = match TcpStream::connect(target) {
        _ if !allowed => (407, None),
        Ok(server) => (200, Some(server)),
        Err(_) => (502, None),
    };
    shared.asked.lock().unwrap_or_else(PoisonError::into_inner).push(Asked { line, status });
    write!(client, "HTTP/1.1 {status} Said\r\n\r\n")?;
    let Some(server) = server else { return Ok(()) };
    let (mut up, mut down) = ((client.try_clone()?, server.try_clone()?), (server, client));
    let back = std::thread::spawn(move || carry(&mut down.0, &mut down.1));
    carry(&mut up.0, &mut up.1);
    let _ = back.join();
    Ok(())
}

fn carry(from: &mut TcpStream, to: &mut TcpStream) {
    // Either side may go at any time; the other is then told.
    let _ = io::copy(from, to);
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
