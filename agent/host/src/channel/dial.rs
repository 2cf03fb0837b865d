//! The way to the broker's port: straight, or through an HTTP proxy by CONNECT (RFC 9110, section 9.3.6).
//!
//! Invariant: the proxy's answer is read to the end of its head, byte by byte and bounded: what follows is the broker's.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use coracle_core::address::{self, ProxyUrl};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;
/// How long one address may take: long for a satellite, short enough that the next one is tried in time.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a proxy may take to reach the broker.
const PROXY_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of the head of a proxy's answer.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// Where to, and by which way.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) proxy: Option<ProxyUrl>,
}

/// A proxy did not let this board through.
#[derive(Debug, thiserror::Error)]
#[error("the proxy {proxy} answered {status} and does not connect to the broker{}", self.hint())]
pub(super) struct Refused {
    proxy: String,
    status: u16,
}

impl Refused {
    /// Whether others would do.
    pub(super) fn wants_credentials(&self) -> bool {
        self.status == 407
    }

    fn hint(&self) -> &'static str {
        if self.wants_credentials() { ": it wants other credentials in broker.proxy" } else { "" }
    }
}

/// The refusal among `error`'s causes.
pub(super) fn refused<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Refused> {
    let mut next = Some(error);
    while let Some(error) = next {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = wrapped.and_then(|inner| inner.downcast_ref()) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// A stream to the broker's port.
pub(super) async fn dial(way: Way) -> io::Result<TcpStream> {
    let Some(proxy) = &way.proxy else { return connect(&way.host, way.port).await };
    let failed = |error: io::Error| io::Error::new(error.kind(), format!("the proxy {proxy}: {error}"));
    let mut stream = connect(proxy.host(), proxy.port()).await.map_err(failed)?;
    let asked = timeout(PROXY_TIMEOUT, ask(&mut stream, &way, proxy)).await;
    let status = asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(failed)?;
    if (200..300).contains(&status) {
        return Ok(stream);
    }
    Err(io::Error::other(Refused { proxy: proxy.to_string(), status }))
}

async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    for address in lookup_host((host, port)).await?.take(ADDRESSES_MAX) {
        match connect_to(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = io::Error::new(error.kind(), format!("{address}: {error}")),
        }
    }
    Err(last)
}

async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let connected = timeout(ADDRESS_TIMEOUT, TcpStream::connect(address)).await;
    let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    // A message and its acknowledgment are smaller than a packet: each should leave at once.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks for a connection; the answer's status.
async fn ask(stream: &mut TcpStream, way: &Way, proxy: &ProxyUrl) -> io::Result<u16> {
    let target = address::join(&way.host, way.port);
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(authorization) = proxy.authorization() {
        request += &format!("Proxy-Authorization: {authorization}\r\n");
    }
    request += "\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == HEAD_BYTES_MAX {
            return Err(io::Error::other("its answer has no end"));
        }
        head.push(stream.read_u8().await?);
    }
    status(&head).ok_or_else(|| io::Error::other("it does not answer as an HTTP proxy"))
}

fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    let digits = rest.split(' ').next()?;
    digits.parse().ok().filter(|status| digits.len() == 3 && *status >= 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_from_an_answer_of_http_and_nothing_else() {
        for (head, expected) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", Some(200)),
            ("HTTP/1.0 407\r\nProxy-Authenticate: Basic\r\n\r\n", Some(407)),
            ("HTTP/2 200\r\n\r\n", None),
            ("HTTP/1.1 99 \r\n\r\n", None),
            ("HTTP/1.1 0200 \r\n\r\n", None),
            ("SSH-2.0-x\r\n\r\n", None),
        ] {
            assert_eq!(status(head.as_bytes()), expected, "{head:?}");
        }
    }

    #[test]
    fn a_refusal_is_found_and_names_no_secret() {
        let proxy = ProxyUrl::parse("http://u:secret@h:1").unwrap().to_string();
        let error = io::Error::other(Refused { proxy, status: 407 });
        let found = refused(&error).unwrap();
        assert!(found.wants_credentials() && !format!("{error} {error:?} {found}").contains("secret"));
    }
}
