//! Decompression, with its memory bounded before it is taken.

use std::io::{self, BufRead as _, Read};

use coracle_core::oci::layer::Compression;
use zstd::stream::raw::{DParameter, Decoder, Operation as _};

use super::deflate::{Deflate, Stop};
use super::error::Refusal;
use super::gzip::{Between, Gzip};
use super::windows::{Reservation, WINDOW_BYTES_MAX, Windows};
use super::wire::Wire;

/// Bytes that tell the compression.
pub(super) const MAGIC_BYTES: usize = 4;

/// A layer's bytes, uncompressed. Reads to the end of the wire: all gzip members, all zstd frames, and nothing else
/// may follow them.
pub(super) enum Inflate<'a, R: Read> {
    Plain(Wire<'a, R>),
    Gzip(Box<Gzip<'a, R>>),
    Zstd(Box<Frames<'a, R>>),
    /// A decoder that could not even be set up.
    Broken(Wire<'a, R>),
}

/// A place in the compressed stream from which it can be read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Plain,
    Gzip(Between),
    /// Between two frames.
    Zstd,
}

impl<'a, R: Read> Inflate<'a, R> {
    pub(super) fn new(wire: Wire<'a, R>, compression: Compression, windows: &'a Windows) -> Self {
        match compression {
            Compression::None => Self::Plain(wire),
            Compression::Gzip => match Deflate::new() {
                Ok(deflate) => Self::Gzip(Box::new(Gzip::new(wire, deflate))),
                Err(_) => Self::Broken(wire),
            },
            Compression::Zstd => match decoder() {
                Ok(decoder) => {
                    Self::Zstd(Box::new(Frames { wire, decoder, windows, reserved: None, inside: false }))
                }
                Err(_) => Self::Broken(wire),
            },
        }
    }

    /// Goes on at `place`, where `wire` stands.
    pub(super) fn resumed(wire: Wire<'a, R>, place: &Place, windows: &'a Windows) -> Self {
        match place {
            Place::Plain => Self::new(wire, Compression::None, windows),
            Place::Zstd => Self::new(wire, Compression::Zstd, windows),
            Place::Gzip(at) => match Deflate::resumed(at.bits, at.byte, &at.window) {
                Ok(deflate) => Self::Gzip(Box::new(Gzip::resumed(wire, deflate, at))),
                Err(_) => Self::Broken(wire),
            },
        }
    }

    /// Where it stands, if it can be read on from there.
    pub(super) fn place(&self) -> Option<Place> {
        match self {
            Self::Plain(_) => Some(Place::Plain),
            Self::Gzip(gzip) => gzip.between().map(Place::Gzip),
            Self::Zstd(frames) => (!frames.inside).then_some(Place::Zstd),
            Self::Broken(_) => None,
        }
    }

    /// Whether reading is to pause at such places, too.
    pub(super) fn stop(&mut self, stop: Stop) {
        if let Self::Gzip(gzip) = self {
            gzip.stop = stop;
        }
    }

    pub(super) fn wire(&self) -> &Wire<'a, R> {
        match self {
            Self::Plain(wire) | Self::Broken(wire) => wire,
            Self::Gzip(gzip) => &gzip.wire,
            Self::Zstd(frames) => &frames.wire,
        }
    }

    pub(super) fn into_wire(self) -> Wire<'a, R> {
        match self {
            Self::Plain(wire) | Self::Broken(wire) => wire,
            Self::Gzip(gzip) => gzip.wire,
            Self::Zstd(frames) => frames.wire,
        }
    }
}

impl<R: Read> Read for Inflate<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(wire) => wire.read(out),
            Self::Gzip(gzip) => gzip.read(out),
            Self::Zstd(frames) => frames.read(out),
            Self::Broken(_) => Err(io::ErrorKind::OutOfMemory.into()),
        }
    }
}

fn decoder() -> io::Result<Decoder<'static>> {
    let mut decoder = Decoder::new()?;
    decoder.set_parameter(DParameter::WindowLogMax(WINDOW_BYTES_MAX.ilog2()))?;
    Ok(decoder)
}

/// A row of zstd frames. Each frame's window is read from its header and reserved before the decoder allocates it.
pub(super) struct Frames<'a, R: Read> {
    wire: Wire<'a, R>,
    decoder: Decoder<'static>,
    windows: &'a Windows,
    /// The decoder keeps the largest window it had.
    reserved: Option<Reservation<'a>>,
    inside: bool,
}

impl<R: Read> Frames<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.inside {
                let head = self.wire.peek(FRAME_HEADER_BYTES_MAX)?;
                if head.is_empty() {
                    return Ok(0);
                }
                let window = window_bytes(head).unwrap_or(0);
                if window > WINDOW_BYTES_MAX {
                    return Err(io::Error::other(Refusal::Window(window)));
                }
                self.reserve(window);
                self.inside = true;
            }
            let held = self.wire.fill_buf()?;
            let at_end = held.is_empty();
            let status = self.decoder.run_on_buffers(held, out)?;
            self.wire.consume(status.bytes_read);
            self.inside = status.remaining != 0;
            if status.bytes_written > 0 {
                return Ok(status.bytes_written);
            }
            if at_end && self.inside {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn reserve(&mut self, window: u64) {
        if self.reserved.as_ref().is_none_or(|reserved| reserved.bytes() < window) {
            // Given back first: two layers that each keep a little and wait for more would wait forever.
            self.reserved = None;
            self.reserved = Some(self.windows.reserve(window));
        }
    }
}

const FRAME_HEADER_BYTES_MAX: usize = 18;

/// The memory a frame asks for (RFC 8878, 3.1.1.1). `None` for a skippable frame, or for what is no frame: the decoder
/// then says so.
fn window_bytes(head: &[u8]) -> Option<u64> {
    let [0x28, 0xb5, 0x2f, 0xfd, descriptor, rest @ ..] = head else { return None };
    let single_segment = descriptor & 0x20 != 0;
    if !single_segment {
        let byte = *rest.first()?;
        let base = 1_u64 << (10 + (byte >> 3));
        return Some(base + base / 8 * u64::from(byte & 7));
    }
    let dictionary_bytes = match descriptor & 3 {
        3 => 4,
        count => usize::from(count),
    };
    let size = rest.get(dictionary_bytes..)?;
    let le = |count: usize| {
        Some(size.get(..count)?.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    match descriptor >> 6 {
        0 => le(1),
        1 => le(2).map(|size| size + 256),
        2 => le(4),
        _ => le(8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frames_window_is_read_from_its_header() {
        let frame = |rest: &[u8]| window_bytes(&[&[0x28, 0xb5, 0x2f, 0xfd], rest].concat());
        assert_eq!(frame(&[0x00, 0x58]), Some(2 << 20));
        assert_eq!(frame(&[0x04, 0x88]), Some(128 << 20));
        assert_eq!(frame(&[0x00, 0x59]), Some((2 << 20) + (2 << 17)));
        assert_eq!(frame(&[0x20, 200]), Some(200));
        assert_eq!(frame(&[0x60, 0, 1]), Some(512));
        assert_eq!(frame(&[0xa1, 7, 0, 0, 1, 0]), Some(1 << 16));
        assert_eq!(frame(&[0x20]), None);
        assert_eq!(window_bytes(b"\x50\x2a\x4d\x18...."), None);
    }
}
