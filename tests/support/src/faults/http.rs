//! The little HTTP that the faulty registry speaks.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::script::{Fault, due};
use super::{Asks, Seen, Shared};

#[cfg(feature = "protocols")]
pub(super) type Tls = std::sync::Arc<rustls::ServerConfig>;
#[cfg(not(feature = "protocols"))]
pub(super) type Tls = std::sync::Arc<std::convert::Infallible>;

/// How often a waiting connection looks whether the registry ends.
const LOOK: Duration = Duration::from_millis(50);
/// An endless body ends here, so that a broken client does not fill the machine.
const ENDLESS_BYTES_MAX: u64 = 1 << 30;

/// Bytes of a made body that go out at once.
const PIECE_BYTES: usize = 64 << 10;

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// An answer before it goes out.
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
    ending: Ending,
}

type Make = fn(&mut dyn Write) -> io::Result<()>;

/// What becomes of the connection.
enum Ending {
    KeepAlive,
    /// Closes after so many bytes of the body.
    CloseAfter(u64),
    /// Falls silent after so many bytes of the body.
    SilentAfter(u64),
    /// A piece of so many bytes a second.
    Drip(usize),
    /// Chunks without end.
    Endless,
    /// The body in chunks, without its length, and the connection closed.
    Chunked,
    /// A body of this length, which this writes.
    Made(u64, Make),
    /// The body so often, without any head.
    Raw(u32),
}

pub(super) fn serve(shared: &Shared, stream: TcpStream, tls: Option<Tls>) {
    let _ = stream.set_read_timeout(Some(LOOK));
    let _ = stream.set_nodelay(true);
    let mut stream: Box<dyn Stream> = match tls {
        None => Box::new(stream),
        #[cfg(feature = "protocols")]
        Some(settings) => match rustls::ServerConnection::new(settings) {
            Ok(connection) => Box::new(rustls::StreamOwned::new(connection, stream)),
            Err(_) => return,
        },
        #[cfg(not(feature = "protocols"))]
        Some(never) => match *never {},
    };
    while let Ok(Some(mut seen)) = read_request(shared, &mut stream) {
        let answer = answer(shared, &seen);
        seen.status = answer.status;
        let bodyless = seen.method == "HEAD";
        shared.requests.lock().expect("requests").push(seen);
        if !matches!(write(shared, &mut stream, &answer, bodyless), Ok(true)) {
            return;
        }
    }
}

/// The head of the next request; its body, if announced, is read and dropped.
fn read_request(shared: &Shared, stream: &mut Box<dyn Stream>) -> io::Result<Option<Seen>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(0) => return Ok(None),
            // Somebody speaks TLS to a plain port: real servers hang up too.
            Ok(_) if head.is_empty() && !byte[0].is_ascii_uppercase() => return Ok(None),
            Ok(_) => head.push(byte[0]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                if shared.stopping.load(Ordering::SeqCst) {
                    return Ok(None);
                }
            }
            Err(error) => return Err(error),
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let (method, path) = (word(), word());
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Some(Seen { method, path, headers, status: 0 }))
}

fn answer(shared: &Shared, seen: &Seen) -> Answer {
    let fault = due(&mut shared.scripts.lock().expect("scripts"), &seen.method, &seen.path);
    let mut right = right(shared, seen);
    match fault {
        None => right,
        Some(Fault::Answer { status, headers, body }) => {
            Answer { status, headers: headers.into_iter().collect(), body, ending: Ending::KeepAlive }
        }
        Some(Fault::Truncate { after }) => Answer { ending: Ending::CloseAfter(after), ..right },
        Some(Fault::Stall { after }) => Answer { ending: Ending::SilentAfter(after), ..right },
        Some(Fault::Drip { bytes }) => Answer { ending: Ending::Drip(bytes), ..right },
        Some(Fault::IgnoreRange { cut_after }) => {
            let mut seen = seen.clone();
            seen.headers.remove("range");
            let whole = self::right(shared, &seen);
            Answer { ending: cut_after.map_or(Ending::KeepAlive, Ending::CloseAfter), ..whole }
        }
        Some(Fault::Longer { extra, announced }) => {
            right.body.resize(right.body.len() + extra, b'x');
            let ending = if announced { Ending::KeepAlive } else { Ending::Chunked };
            Answer { ending, ..right }
        }
        Some(Fault::Header { name, value }) => {
            right.headers.insert(name, value);
            right
        }
        Some(Fault::Body(body)) => Answer { body, ..right },
        Some(Fault::Made { status, length, write }) => {
            Answer { status, ending: Ending::Made(length, write), ..plain(status, b"") }
        }
        Some(Fault::Raw { bytes, times }) => Answer { ending: Ending::Raw(times), ..plain(0, &bytes) },
        Some(Fault::Endless { status }) => Answer { status, ending: Ending::Endless, ..right },
    }
}

fn plain(status: u16, body: &[u8]) -> Answer {
    Answer { status, headers: BTreeMap::new(), body: body.to_vec(), ending: Ending::KeepAlive }
}

/// What an honest registry answers.
fn right(shared: &Shared, seen: &Seen) -> Answer {
    let path = seen.path.split('?').next().unwrap_or_default();
    if path == "/token" {
        return token(shared, seen);
    }
    if let Some(challenge) = challenge(shared, seen) {
        let mut answer = plain(401, br#"{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}"#);
        answer.headers.insert("WWW-Authenticate".to_owned(), challenge);
        return answer;
    }
    if path == "/v2/" {
        return plain(200, b"{}");
    }
    let content = shared.content.lock().expect("content");
    let rest = path.strip_prefix("/v2/").unwrap_or_default();
    if let Some((repository, name)) = rest.split_once("/manifests/") {
        let key = (repository.to_owned(), name.to_owned());
        let Some((media_type, bytes)) = content.manifests.get(&key) else {
            return plain(404, br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such manifest"}]}"#);
        };
        let mut answer = plain(200, bytes);
        answer.headers.insert("Content-Type".to_owned(), media_type.clone());
        answer.headers.insert("Docker-Content-Digest".to_owned(), crate::images::layer::sha256(bytes));
        return answer;
    }
    let digest = rest.split_once("/blobs/").map_or("", |(_, digest)| digest);
    let Some(bytes) = content.blobs.get(digest) else {
        return plain(404, br#"{"errors":[{"code":"BLOB_UNKNOWN","message":"no such blob"}]}"#);
    };
    let mut answer = blob(bytes, seen.header("range"));
    answer.headers.insert("Docker-Content-Digest".to_owned(), digest.to_owned());
    answer.headers.insert("Content-Type".to_owned(), "application/octet-stream".to_owned());
    answer
}

fn blob(bytes: &[u8], range: &str) -> Answer {
    let Some((start, end)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return plain(200, bytes);
    };
    let start: usize = start.parse().unwrap_or(usize::MAX);
    let end = end.parse().unwrap_or(usize::MAX).saturating_add(1).min(bytes.len());
    let Some(part) = bytes.get(start..end).filter(|part| !part.is_empty()) else {
        return plain(416, b"");
    };
    let mut answer = plain(206, part);
    let range = format!("bytes {start}-{}/{}", end - 1, bytes.len());
    answer.headers.insert("Content-Range".to_owned(), range);
    answer
}

fn challenge(shared: &Shared, seen: &Seen) -> Option<String> {
    let asks = shared.asks.lock().expect("asks").clone();
    let given = seen.header("authorization");
    match asks {
        Asks::Nothing => None,
        Asks::Password => (!Shared::password_given(given)).then(|| "Basic realm=\"bench\"".to_owned()),
        Asks::Token { .. } => (given != format!("Bearer {}", shared.current_token())).then(|| {
            let realm = format!("{}://{}/token", shared.scheme, shared.address);
            format!("Bearer realm=\"{realm}\",service=\"bench\"")
        }),
    }
}

fn token(shared: &Shared, seen: &Seen) -> Answer {
    let wants = *shared.asks.lock().expect("asks") == Asks::Token { password: true };
    if wants && !Shared::password_given(seen.header("authorization")) {
        return plain(401, b"");
    }
    let token = serde_json::json!({"token": shared.current_token(), "expires_in": 300});
    plain(200, token.to_string().as_bytes())
}

/// Whether the connection may go on.
fn write(shared: &Shared, stream: &mut Box<dyn Stream>, answer: &Answer, bodyless: bool) -> io::Result<bool> {
    if let Ending::Raw(times) = answer.ending {
        for _ in 0..times {
            send(shared, stream, &answer.body)?;
        }
        return Ok(false);
    }
    let mut head = format!("HTTP/1.1 {} Said\r\n", answer.status);
    let chunked = matches!(answer.ending, Ending::Endless | Ending::Chunked);
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &match chunked {
        true => "Transfer-Encoding: chunked\r\n\r\n".to_owned(),
        false if answer.headers.contains_key("Content-Length") => "\r\n".to_owned(),
        false => {
            let length = match answer.ending {
                Ending::Made(length, _) => length,
                _ => answer.body.len() as u64,
            };
            format!("Content-Length: {length}\r\n\r\n")
        }
    };
    stream.write_all(head.as_bytes())?;
    if bodyless {
        stream.flush()?;
        return Ok(!chunked);
    }
    let upto = |bytes: u64| {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(answer.body.len());
        &answer.body[..bytes]
    };
    match answer.ending {
        Ending::KeepAlive => {
            send(shared, stream, &answer.body)?;
            Ok(!answer.headers.contains_key("Content-Length"))
        }
        Ending::CloseAfter(bytes) => send(shared, stream, upto(bytes)).map(|()| false),
        Ending::SilentAfter(bytes) => {
            send(shared, stream, upto(bytes))?;
            until_gone(shared, stream);
            Ok(false)
        }
        Ending::Drip(bytes) => {
            for piece in answer.body.chunks(bytes.max(1)) {
                send(shared, stream, piece)?;
                if !pause(shared, Duration::from_secs(1)) {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Ending::Endless => {
            let piece = vec![b'{'; 64 << 10];
            let mut sent = 0;
            while sent < ENDLESS_BYTES_MAX && !shared.stopping.load(Ordering::SeqCst) {
                chunk(shared, stream, &piece)?;
                sent += piece.len() as u64;
            }
            Ok(false)
        }
        Ending::Made(_, write) => {
            let mut counted = Counted { shared, stream, left: Vec::with_capacity(PIECE_BYTES) };
            write(&mut counted)?;
            counted.flush().map(|()| false)
        }
        // Written above, without a head.
        Ending::Raw(_) => Ok(false),
        Ending::Chunked => {
            chunk(shared, stream, &answer.body)?;
            stream.write_all(b"0\r\n\r\n")?;
            stream.flush()?;
            Ok(true)
        }
    }
}

/// What a made body is written to: pieces, counted.
struct Counted<'a> {
    shared: &'a Shared,
    stream: &'a mut Box<dyn Stream>,
    left: Vec<u8>,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.shared.stopping.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.left.extend_from_slice(bytes);
        if self.left.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        send(self.shared, self.stream, &self.left)?;
        self.left.clear();
        Ok(())
    }
}

fn chunk(shared: &Shared, stream: &mut Box<dyn Stream>, bytes: &[u8]) -> io::Result<()> {
    write!(stream, "{:x}\r\n", bytes.len())?;
    send(shared, stream, bytes)?;
    stream.write_all(b"\r\n")
}

fn send(shared: &Shared, stream: &mut Box<dyn Stream>, bytes: &[u8]) -> io::Result<()> {
    // Counted before they are there, so that who has read them finds them counted.
    let count = bytes.len() as u64;
    shared.bytes_sent.fetch_add(count, Ordering::SeqCst);
    stream.write_all(bytes).and_then(|()| stream.flush()).inspect_err(|_| {
        shared.bytes_sent.fetch_sub(count, Ordering::SeqCst);
    })
}

/// Waits until the client leaves or the registry ends.
fn until_gone(shared: &Shared, stream: &mut Box<dyn Stream>) {
    let mut byte = [0];
    while !shared.stopping.load(Ordering::SeqCst) {
        match stream.read(&mut byte) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// `false` when the registry ends meanwhile.
fn pause(shared: &Shared, pause: Duration) -> bool {
    let began = Instant::now();
    while began.elapsed() < pause {
        if shared.stopping.load(Ordering::SeqCst) {
            return false;
        }
        std::thread::sleep(LOOK.min(pause));
    }
    true
}
