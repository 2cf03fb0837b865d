//! A broker that says whatever a test wants, byte by byte: what a real one never would.
//!
//! It is a test double: enough of MQTT 5 to be believed until the attack, no more.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::acceptor::Acceptor;

/// How often a waiting connection looks whether the puppet ends.
const LOOK: Duration = Duration::from_millis(20);
/// A client that takes nothing for so long is not written to any more.
const WRITE: Duration = Duration::from_secs(10);
/// Bytes of one packet of a client.
const PACKET_BYTES_MAX: usize = 1 << 20;

/// `CONNACK` that grants everything.
pub const WELCOME: &[u8] = &[0x20, 3, 0, 0, 0];

/// A message that a client published.
#[derive(Clone, Debug)]
pub struct Published {
    /// Where.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
}

/// What is done with each connection.
pub type Speak = fn(&mut Hand) -> io::Result<()>;

struct Shared {
    speak: Speak,
    said: Mutex<Vec<Published>>,
    connections: Mutex<u32>,
    stopping: Arc<AtomicBool>,
}

/// The running broker; it ends with this value.
pub struct Puppet {
    shared: Arc<Shared>,
    acceptor: Acceptor,
}

impl Puppet {
    /// Starts on a free loopback port.
    pub fn start(speak: Speak) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let shared = Arc::new(Shared {
            speak,
            said: Mutex::default(),
            connections: Mutex::default(),
            stopping: Arc::default(),
        });
        let serving = Arc::clone(&shared);
        let acceptor = Acceptor::start(listener, Arc::clone(&shared.stopping), move |stream| {
            *serving.connections.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            let shared = Arc::clone(&serving);
            std::thread::spawn(move || {
                let set = stream.set_read_timeout(Some(LOOK)).and(stream.set_write_timeout(Some(WRITE)));
                let mut hand = Hand { stream, shared };
                // The client may leave at any moment: that is one way in which an attack ends.
                let _ = set.and_then(|()| (hand.shared.speak)(&mut hand));
            });
        })?;
        Ok(Self { shared, acceptor })
    }

    /// `mqtt://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.acceptor.address())
    }

    /// Everything that was published to it.
    pub fn said(&self) -> Vec<Published> {
        self.shared.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections there were.
    pub fn connections(&self) -> u32 {
        *self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection.
pub struct Hand {
    stream: TcpStream,
    shared: Arc<Shared>,
}

impl Hand {
    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Waits for CONNECT and answers with `connack`.
    pub fn greet(&mut self, connack: &[u8]) -> io::Result<()> {
        self.until(0x10)?;
        self.send(connack)
    }

    /// Is a good broker until the client has subscribed.
    pub fn welcome(&mut self) -> io::Result<()> {
        self.greet(WELCOME)?;
        let subscribe = self.until(0x80)?;
        // Identifier, properties (none), then filters, each with its options.
        let id = subscribe.get(..2).unwrap_or_default().to_vec();
        let (mut rest, mut codes) = (subscribe.get(3..).unwrap_or_default(), Vec::new());
        while let Some([high, low]) = rest.get(..2) {
            let length = usize::from(*high) << 8 | usize::from(*low);
            rest = rest.get(2 + length + 1..).unwrap_or_default();
            codes.push(1);
        }
        self.send(&packet(0x90, &[id, vec![0], codes].concat()))
    }

    /// Goes on as a good broker until the client leaves.
    pub fn serve(&mut self) -> io::Result<()> {
        self.until(0xff).map(drop)
    }

    /// Answers what comes until a packet of this type does; hands back its body.
    pub fn until(&mut self, kind: u8) -> io::Result<Vec<u8>> {
        loop {
            let (first, body) = self.packet()?;
            match first & 0xf0 {
                0x30 => self.published(first, &body)?,
                0xc0 => self.send(&[0xd0, 0])?,
                _ => {}
            }
            if first & 0xf0 == kind {
                return Ok(body);
            }
        }
    }

    fn published(&mut self, first: u8, body: &[u8]) -> io::Result<()> {
        let short = || io::Error::other("a short packet");
        let length =
            usize::from(*body.first().ok_or_else(short)?) << 8 | usize::from(*body.get(1).ok_or_else(short)?);
        let topic = String::from_utf8_lossy(body.get(2..2 + length).ok_or_else(short)?).into_owned();
        let mut rest = body.get(2 + length..).ok_or_else(short)?;
        if first & 0x06 != 0 {
            let id = rest.get(..2).ok_or_else(short)?.to_vec();
            rest = rest.get(2..).ok_or_else(short)?;
            self.send(&packet(0x40, &id))?;
        }
        // The length of the properties fits one byte for all that a board sends.
        let properties = usize::from(*rest.first().ok_or_else(short)?);
        let payload = rest.get(1 + properties..).ok_or_else(short)?.to_vec();
        self.shared.said.lock().unwrap_or_else(PoisonError::into_inner).push(Published { topic, payload });
        Ok(())
    }

    fn packet(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let first = self.byte()?;
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if length > PACKET_BYTES_MAX {
            return Err(io::Error::other("a packet that no board sends"));
        }
        (0..length).map(|_| self.byte()).collect::<io::Result<Vec<u8>>>().map(|body| (first, body))
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        loop {
            match self.stream.read(&mut byte) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(byte[0]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    if self.shared.stopping.load(Ordering::SeqCst) {
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// A packet of this first byte around `body`.
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut left = body.len();
    loop {
        let byte = u8::try_from(left & 0x7f).unwrap_or(0);
        left >>= 7;
        if left == 0 {
            bytes.push(byte);
            break;
        }
        bytes.push(byte | 0x80);
    }
    bytes.extend_from_slice(body);
    bytes
}

/// A PUBLISH of MQTT 5 whose first byte has these flags, with these encoded properties, at most 127 bytes of them.
pub fn publish(flags: u8, topic: &[u8], id: Option<u16>, properties: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(topic.len()).unwrap_or(u16::MAX).to_be_bytes();
    let id = id.map(u16::to_be_bytes).map_or_else(Vec::new, Vec::from);
    let many = [u8::try_from(properties.len()).unwrap_or(0x7f)];
    packet(0x30 | flags, &[&length, topic, &id, &many, properties, payload].concat())
}
