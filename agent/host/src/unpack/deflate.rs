//! Raw deflate (RFC 1951) that can be left at the end of a block and taken up again there.
//!
//! `unsafe` because the safe interface of zlib-rs has no way in at a bit within a byte; zlib's own has. Every call gets a
//! stream that `inflateInit2_` set up and that only `Drop` ends, and pointers to slices that outlive the call.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_uint};
use std::io;
use std::ptr;

use libz_rs_sys::{
    Z_BLOCK, Z_BUF_ERROR, Z_MEM_ERROR, Z_NO_FLUSH, Z_OK, Z_STREAM_END, inflate, inflateEnd,
    inflateGetDictionary, inflateInit2_, inflatePrime, inflateSetDictionary, z_stream, zlibVersion,
};

/// How far back a block may refer.
pub(super) const WINDOW_BYTES: usize = 32 << 10;
/// zlib's word for that window and no header or trailer.
const RAW: c_int = -15;

/// Where a run may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// When input or room are used up.
    Full,
    /// Also between two blocks.
    Blocks,
}

/// What a run did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ran {
    pub(super) read: usize,
    pub(super) written: usize,
    /// The last block is over.
    pub(super) ended: bool,
    /// It stands between two blocks: how many bits of the last byte that was read belong to the next one.
    pub(super) between: Option<u8>,
}

pub(super) struct Deflate {
    stream: z_stream,
}

impl Deflate {
    pub(super) fn new() -> io::Result<Self> {
        let mut stream = z_stream::default();
        let size = c_int::try_from(size_of::<z_stream>()).unwrap_or(0);
        // SAFETY: the stream is ours and its default has an allocator; the version is the library's own.
        checked(unsafe { inflateInit2_(&raw mut stream, RAW, zlibVersion(), size) })?;
        Ok(Self { stream })
    }

    /// Goes on between two blocks: with the upper `bits` of `byte`, and `window` behind it.
    pub(super) fn resumed(bits: u8, byte: u8, window: &[u8]) -> io::Result<Self> {
        let mut resumed = Self::new()?;
        if bits > 7 || window.len() > WINDOW_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if bits > 0 {
            let value = c_int::from(byte >> (8 - bits));
            // SAFETY: see the module.
            checked(unsafe { inflatePrime(&raw mut resumed.stream, c_int::from(bits), value) })?;
        }
        let (start, length) = (window.as_ptr(), clamped(window.len()));
        // SAFETY: see the module.
        checked(unsafe { inflateSetDictionary(&raw mut resumed.stream, start, length) })?;
        Ok(resumed)
    }

    pub(super) fn run(&mut self, input: &[u8], out: &mut [u8], stop: Stop) -> io::Result<Ran> {
        let (room_in, room_out) = (clamped(input.len()), clamped(out.len()));
        let stream = &mut self.stream;
        (stream.next_in, stream.avail_in) = (input.as_ptr(), room_in);
        (stream.next_out, stream.avail_out) = (out.as_mut_ptr(), room_out);
        let flush = match stop {
            Stop::Full => Z_NO_FLUSH,
            Stop::Blocks => Z_BLOCK,
        };
        // SAFETY: see the module; both pointers have as many bytes behind them as the counts say.
        let code = unsafe { inflate(&raw mut *stream, flush) };
        (stream.next_in, stream.next_out) = (ptr::null(), ptr::null_mut());
        match code {
            Z_OK | Z_BUF_ERROR | Z_STREAM_END => {}
            other => return Err(failure(other)),
        }
        let count = |room: c_uint, left: c_uint| usize::try_from(room.saturating_sub(left)).unwrap_or(0);
        let ended = code == Z_STREAM_END;
        Ok(Ran {
            read: count(room_in, stream.avail_in),
            written: count(room_out, stream.avail_out),
            ended,
            between: if ended { None } else { between(stream.data_type) },
        })
    }

    /// The last bytes that came out, at most [`WINDOW_BYTES`]: what the next block may refer to.
    pub(super) fn window(&self) -> io::Result<Vec<u8>> {
        let (mut window, mut length) = (vec![0; WINDOW_BYTES], 0);
        // SAFETY: see the module; 32 KiB are enough by zlib's word.
        checked(unsafe {
            inflateGetDictionary(&raw const self.stream, window.as_mut_ptr(), &raw mut length)
        })?;
        window.truncate(usize::try_from(length).unwrap_or(0));
        Ok(window)
    }
}

impl Drop for Deflate {
    fn drop(&mut self) {
        // SAFETY: see the module. It can only fail for a stream that was never set up.
        let _ = unsafe { inflateEnd(&raw mut self.stream) };
    }
}

/// zlib.h, `inflate`: 128 between blocks, 64 within or after the last one, and the unused bits below.
fn between(data_type: c_int) -> Option<u8> {
    let bits = u8::try_from(data_type & 63).ok()?;
    (data_type & 128 != 0 && data_type & 64 == 0 && bits < 8).then_some(bits)
}

fn clamped(length: usize) -> c_uint {
    c_uint::try_from(length).unwrap_or(c_uint::MAX)
}

fn checked(code: c_int) -> io::Result<()> {
    if code == Z_OK { Ok(()) } else { Err(failure(code)) }
}

fn failure(code: c_int) -> io::Error {
    if code == Z_MEM_ERROR {
        io::ErrorKind::OutOfMemory.into()
    } else {
        io::Error::new(io::ErrorKind::InvalidData, "corrupt deflate stream")
    }
}

/// CRC-32 as gzip has it, going on from `sum`, which starts at 0.
// The library's type is as wide as a pointer.
#[allow(clippy::useless_conversion)]
pub(super) fn crc32(sum: u32, bytes: &[u8]) -> u32 {
    // SAFETY: the pointer has as many bytes behind it as the count says.
    let sum = unsafe { libz_rs_sys::crc32(sum.into(), bytes.as_ptr(), clamped(bytes.len())) };
    u32::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Bits that a compressor makes several blocks of, of all three kinds.
    fn content() -> Vec<u8> {
        let mut state = 88_172_645_463_325_252_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        let noise: Vec<u8> = std::iter::repeat_with(&mut next).take(20_000).flatten().collect();
        let text: Vec<u8> = (0..60_000_u32).flat_map(|n| (n * n % 9973).to_string().into_bytes()).collect();
        [text.as_slice(), &noise, &text, b"end"].concat()
    }

    fn deflated(content: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(level));
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    /// All that comes out of `input` from where `deflate` stands.
    fn rest(deflate: &mut Deflate, mut input: &[u8]) -> Vec<u8> {
        let (mut all, mut room) = (Vec::new(), vec![0; 10_000]);
        loop {
            let ran = deflate.run(input, &mut room, Stop::Full).unwrap();
            all.extend_from_slice(&room[..ran.written]);
            input = &input[ran.read..];
            if ran.ended {
                return all;
            }
        }
    }

    #[test]
    fn it_goes_on_at_every_block() {
        let content = content();
        // Level 1 makes a single block of everything.
        for level in [0, 3, 6, 9] {
            let whole = deflated(&content, level);
            let mut deflate = Deflate::new().unwrap();
            let (mut read, mut written, mut places, mut bits_seen) = (0, 0, 0, 0_u32);
            let mut room = vec![0; 300_000];
            loop {
                let ran = deflate.run(&whole[read..], &mut room, Stop::Blocks).unwrap();
                read += ran.read;
                written += ran.written;
                if ran.ended {
                    break;
                }
                let Some(bits) = ran.between.filter(|_| read > 0) else { continue };
                places += 1;
                bits_seen |= 1 << bits;
                let window = deflate.window().unwrap();
                assert_eq!(window, &content[written.saturating_sub(WINDOW_BYTES)..written]);
                let mut again = Deflate::resumed(bits, whole[read - 1], &window).unwrap();
                assert_eq!(
                    rest(&mut again, &whole[read..]),
                    &content[written..],
                    "level {level}, byte {read}"
                );
            }
            assert_eq!(written, content.len());
            assert!(
                places > 3 && (level == 0 || bits_seen.count_ones() > 2),
                "{level}: {places}, {bits_seen:b}"
            );
        }
    }

    #[test]
    fn what_is_no_stream_is_an_error() {
        let mut room = vec![0; 1000];
        assert!(Deflate::new().unwrap().run(&[7; 100], &mut room, Stop::Full).is_err());
        assert!(Deflate::resumed(8, 0, b"").is_err());
        assert!(Deflate::resumed(0, 0, &vec![0; WINDOW_BYTES + 1]).is_err());
    }

    #[test]
    fn the_sum_is_the_published_one() {
        assert_eq!(crc32(0, b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(crc32(0, b"1234"), b"56789"), 0xcbf4_3926);
    }
}
