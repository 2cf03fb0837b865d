//! gzip (RFC 1952): members one after another to the end of the wire, and nothing else may follow them.

use std::io::{self, BufRead as _, Read};

use super::deflate::{Deflate, Stop, crc32};
use super::wire::Wire;

/// Bytes of a name, comment or extra field in a member's header; the field with a length cannot have more.
const FIELD_BYTES_MAX: u32 = 64 << 10;

const HEADER_SUM: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

/// A place between two deflate blocks of a member: what it takes to go on from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Between {
    /// How many bits of `byte`, the upper ones, belong to the next block.
    pub(super) bits: u8,
    /// The last byte that was read.
    pub(super) byte: u8,
    /// CRC-32 of the member's content so far.
    pub(super) sum: u32,
    /// Its length, modulo 2^32.
    pub(super) length: u32,
    /// The last bytes that came out.
    pub(super) window: Vec<u8>,
}

pub(super) struct Gzip<'a, R: Read> {
    pub(super) wire: Wire<'a, R>,
    deflate: Deflate,
    within: bool,
    sum: u32,
    length: u32,
    last: u8,
    between: Option<u8>,
    pub(super) stop: Stop,
}

impl<'a, R: Read> Gzip<'a, R> {
    pub(super) fn new(wire: Wire<'a, R>, deflate: Deflate) -> Self {
        Self { wire, deflate, within: false, sum: 0, length: 0, last: 0, between: None, stop: Stop::Full }
    }

    /// `deflate` goes on at `at`.
    pub(super) fn resumed(wire: Wire<'a, R>, deflate: Deflate, at: &Between) -> Self {
        let mut gzip = Self::new(wire, deflate);
        (gzip.within, gzip.sum, gzip.length, gzip.last) = (true, at.sum, at.length, at.byte);
        gzip
    }

    /// Where it stands, if that is between two blocks.
    pub(super) fn between(&self) -> Option<Between> {
        let bits = self.between?;
        let window = self.deflate.window().ok()?;
        Some(Between { bits, byte: self.last, sum: self.sum, length: self.length, window })
    }

    pub(super) fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.within {
                self.between = None;
                if self.wire.peek(1)?.is_empty() {
                    return Ok(0);
                }
                self.header()?;
                self.deflate = Deflate::new()?;
                (self.within, self.sum, self.length) = (true, 0, 0);
            }
            let held = self.wire.fill_buf()?;
            let at_end = held.is_empty();
            let ran = self.deflate.run(held, out, self.stop)?;
            let last = ran.read.checked_sub(1).and_then(|last| held.get(last));
            self.last = last.copied().unwrap_or(self.last);
            self.wire.consume(ran.read);
            self.between = ran.between;
            let written = out.get(..ran.written).unwrap_or_default();
            self.sum = crc32(self.sum, written);
            // ISIZE counts modulo 2^32 (RFC 1952, 2.3.1).
            self.length = self.length.wrapping_add(u32::try_from(ran.written).unwrap_or(0));
            if ran.ended {
                self.trailer()?;
                self.within = false;
            }
            if ran.written > 0 {
                return Ok(ran.written);
            }
            if at_end && self.within {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn header(&mut self) -> io::Result<()> {
        let mut sum = 0;
        let [0x1f, 0x8b, 8, flags, ..] = self.taken::<10>(&mut sum)? else {
            return Err(invalid("invalid gzip header"));
        };
        if flags & RESERVED != 0 {
            return Err(invalid("invalid gzip header"));
        }
        if flags & EXTRA != 0 {
            let length = u16::from_le_bytes(self.taken(&mut sum)?);
            for _ in 0..length {
                self.taken::<1>(&mut sum)?;
            }
        }
        for field in [NAME, COMMENT] {
            if flags & field != 0 {
                self.text(&mut sum)?;
            }
        }
        if flags & HEADER_SUM != 0 {
            let expected = sum & 0xffff;
            if u32::from(u16::from_le_bytes(self.taken(&mut 0)?)) != expected {
                return Err(invalid("corrupt gzip header"));
            }
        }
        Ok(())
    }

    fn text(&mut self, sum: &mut u32) -> io::Result<()> {
        for _ in 0..FIELD_BYTES_MAX {
            if self.taken::<1>(sum)? == [0] {
                return Ok(());
            }
        }
        Err(invalid("a field of the gzip header has no end"))
    }

    fn trailer(&mut self) -> io::Result<()> {
        let sum = u32::from_le_bytes(self.taken(&mut 0)?);
        let length = u32::from_le_bytes(self.taken(&mut 0)?);
        if (sum, length) == (self.sum, self.length) { Ok(()) } else { Err(invalid("corrupt gzip stream")) }
    }

    /// The next bytes of the wire, added to `sum`.
    fn taken<const COUNT: usize>(&mut self, sum: &mut u32) -> io::Result<[u8; COUNT]> {
        let mut bytes = [0; COUNT];
        self.wire.read_exact(&mut bytes)?;
        *sum = crc32(*sum, &bytes);
        Ok(bytes)
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
