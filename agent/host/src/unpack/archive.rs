//! The entries of a tar archive: ustar, GNU and PAX forms, with what extends a header already applied.
//!
//! Where forms leave room, this reads as Go's `archive/tar` does, since every image was made or checked with it.

use std::io::Read;

use coracle_core::limits::ENTRY_PATH_BYTES_MAX;
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};
use tar::Header;

use super::Interval;
use super::blocks::{BLOCK_BYTES, Blocks, Mark};
use super::error::{Refusal, Result};
use super::pax::{self, FileTime, Pax};
use super::sparse::Map;

/// Bytes of one extended header: all attributes the kernel keeps for one file (64 KiB), some paths, and slack.
pub(super) const PAX_BYTES_MAX: u64 = 256 << 10;

/// What a header describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File(Map),
    Symlink(Vec<u8>),
    HardLink(Vec<u8>),
    Fifo,
    Device(Device),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Device {
    Character { major: u32, minor: u32 },
    Block { major: u32, minor: u32 },
}

/// Owner, mode, attributes and time of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: Mode,
    pub(super) mtime: FileTime,
    pub(super) attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) meta: Meta,
    pub(super) kind: Kind,
}

pub(super) struct Archive<'a, R: Read> {
    blocks: Blocks<'a, R>,
    at: Reader,
}

/// Where the reader is between two calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Reader {
    /// Bytes of the current entry's data that nobody read yet.
    left: u64,
    /// Bytes after them up to the next block.
    padding: u64,
    headers: u64,
    entries: u64,
    /// Bytes that were taken after the place from which the streams can be read on; 0 while there is no such place.
    skip: u64,
}

/// What the headers before an entry said of it.
#[derive(Default)]
struct Extensions {
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<'a, R: Read> Archive<'a, R> {
    pub(super) fn new(blocks: Blocks<'a, R>) -> Self {
        Self { blocks, at: Reader::default() }
    }

    /// Goes on where another reader was, once it has passed again over what that one took.
    pub(super) fn resumed(blocks: Blocks<'a, R>, at: Reader) -> Self {
        Self { blocks, at }
    }

    /// Passes over what was taken after the place from which the streams are read on.
    pub(super) fn pass_again(&mut self) -> Result<()> {
        while self.at.skip > 0 {
            let held = self.blocks.fill()?.len();
            if held == 0 {
                return Err(Refusal::Truncated.into());
            }
            let count = held.min(usize::try_from(self.at.skip).unwrap_or(usize::MAX));
            self.blocks.consume(count);
            self.at.skip -= count as u64;
        }
        Ok(())
    }

    /// Has a place marked after an interval.
    pub(super) fn mark_after(&mut self, interval: Interval) {
        self.blocks.mark_after(interval);
    }

    /// The place that was marked, and where the reader is now.
    pub(super) fn marked(&mut self) -> Option<(Mark, Reader)> {
        let (mark, skip) = self.blocks.marked()?;
        Some((mark, Reader { skip, ..self.at }))
    }

    /// Bytes of the current entry's data that nobody read yet.
    pub(super) fn left(&self) -> u64 {
        self.at.left
    }

    /// What is below, and how many entries there were.
    pub(super) fn into_parts(self) -> (Blocks<'a, R>, u64) {
        (self.blocks, self.at.entries)
    }

    /// The next entry; `None` at the archive's end.
    pub(super) fn next_entry(&mut self) -> Result<Option<Entry>> {
        let mut extensions = Extensions::default();
        let mut extended = false;
        loop {
            self.skip()?;
            let Some(block) = self.header_block()? else {
                return if extended { Err(Refusal::Dangling.into()) } else { Ok(None) };
            };
            let header = Header::from_byte_slice(&block);
            check_sum(header, &block)
                .map_err(|error| super::UnpackError::from(error).at(|| shown(header)))?;
            let read = self.extension(header, &mut extensions);
            if read.map_err(|error| error.at(|| shown(header)))? {
                extended = true;
                continue;
            }
            let name = extensions.name(header);
            let shown = name.escape_ascii().to_string();
            return self.entry(header, name, extensions).map(Some).map_err(|error| error.at(|| shown));
        }
    }

    /// Some of the current entry's data; empty once all of it was taken.
    pub(super) fn data(&mut self) -> Result<&[u8]> {
        if self.at.left == 0 {
            return Ok(&[]);
        }
        let left = usize::try_from(self.at.left).unwrap_or(usize::MAX);
        let held = self.blocks.fill()?;
        if held.is_empty() {
            return Err(Refusal::Truncated.into());
        }
        Ok(held.get(..left).unwrap_or(held))
    }

    /// Takes `count` of the bytes that [`Archive::data`] showed.
    pub(super) fn consume(&mut self, count: usize) {
        self.blocks.consume(count);
        self.at.left = self.at.left.saturating_sub(count as u64);
    }

    /// Reads what is after the archive's end: zeros, as tar pads to its record size.
    pub(super) fn finish(&mut self) -> Result<()> {
        loop {
            let held = self.blocks.fill()?;
            if held.is_empty() {
                return Ok(());
            }
            if held.iter().any(|byte| *byte != 0) {
                return Err(Refusal::Trailing.into());
            }
            let count = held.len();
            self.blocks.consume(count);
        }
    }

    /// Passes over what is left of the entry and its padding. umoci's `insert` ends an archive right after the last
    /// file's data, and Go's reader, which the other engines use, takes that for the end: so do we.
    fn skip(&mut self) -> Result<()> {
        self.pass()?;
        let padding = std::mem::take(&mut self.at.padding);
        if padding > 0 && !self.blocks.fill()?.is_empty() {
            self.at.left = padding;
        }
        self.pass()
    }

    fn pass(&mut self) -> Result<()> {
        loop {
            let count = self.data()?.len();
            if count == 0 {
                return Ok(());
            }
            self.consume(count);
        }
    }

    /// A header, or `None` for the end: a zero block, or the end of the stream between entries. Both digests prove
    /// that nothing is cut off there.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK_BYTES]>> {
        let Some(block) = self.blocks.block()? else { return Ok(None) };
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        self.at.headers += 1;
        let max = self.blocks.limits().entries_max;
        if self.at.headers > max {
            return Err(Refusal::Entries(max).into());
        }
        Ok(Some(block))
    }

    /// Reads `header` if it only extends the next one.
    fn extension(&mut self, header: &Header, extensions: &mut Extensions) -> Result<bool> {
        let kind = header.entry_type().as_byte();
        if !matches!(kind, b'x' | b'g' | b'L' | b'K') {
            return Ok(false);
        }
        let size = size(header)?;
        self.expect(size);
        match kind {
            b'x' => extensions.pax = Some(pax::parse(&self.small(PAX_BYTES_MAX, &Refusal::PaxSize)?)?),
            // Global headers carry comments (`git archive`); no engine applies them to entries.
            b'g' => {}
            _ => {
                let max = ENTRY_PATH_BYTES_MAX as u64 + 1;
                let mut name = self.small(max, &Refusal::LongName)?;
                name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
                let slot = if kind == b'L' { &mut extensions.long_name } else { &mut extensions.long_link };
                *slot = Some(name);
            }
        }
        Ok(true)
    }

    fn expect(&mut self, size: u64) {
        self.at.left = size;
        self.at.padding = size.next_multiple_of(BLOCK_BYTES as u64) - size;
    }

    /// All data of the current header, which must be at most `max` bytes.
    fn small(&mut self, max: u64, too_large: &Refusal) -> Result<Vec<u8>> {
        if self.at.left > max {
            return Err(too_large.clone().into());
        }
        let mut all = Vec::new();
        loop {
            let held = self.data()?;
            if held.is_empty() {
                return Ok(all);
            }
            all.extend_from_slice(held);
            let count = held.len();
            self.consume(count);
        }
    }

    fn entry(&mut self, header: &Header, name: Vec<u8>, extensions: Extensions) -> Result<Entry> {
        self.at.entries += 1;
        let link = extensions.link(header);
        let pax = extensions.pax.unwrap_or_default();
        let stored = pax.size.map_or_else(|| size(header), Ok)?;
        let kind = match header.entry_type().as_byte() {
            // Version 7 tar has no type for directories.
            0 if name.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' => Kind::File(Map::whole(stored)),
            b'1' => Kind::HardLink(link),
            b'2' => Kind::Symlink(link),
            b'3' => device(header, |major, minor| Device::Character { major, minor })?,
            b'4' => device(header, |major, minor| Device::Block { major, minor })?,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            b'S' => Kind::File(Map::read(header, stored, &mut self.blocks)?),
            other => return Err(Refusal::Type(other).into()),
        };
        if let Kind::File(_) = kind {
            if stored > self.blocks.limits().bytes_max {
                return Err(Refusal::Bytes(self.blocks.limits().bytes_max).into());
            }
            self.expect(stored);
        } else {
            // Nothing follows other kinds, whatever their size field says; old tools leave a linked file's size there.
            self.expect(0);
        }
        let raw = header.as_old();
        let meta = Meta {
            uid: owner(pax.uid, &raw.uid, header.uid().ok(), "uid")?,
            gid: owner(pax.gid, &raw.gid, header.gid().ok(), "gid")?,
            mode: mode(field(&raw.mode, header.mode().ok().map(u64::from), "mode")?),
            mtime: match pax.mtime {
                Some(mtime) => mtime,
                // Before 1970 is a negative number in base 256, which the header type hands on as its two's complement.
                None => FileTime {
                    seconds: field(&raw.mtime, header.mtime().ok(), "mtime")?.cast_signed(),
                    nanoseconds: 0,
                },
            },
            attributes: pax.attributes,
        };
        Ok(Entry { name, meta, kind })
    }
}

impl Extensions {
    fn name(&self, header: &Header) -> Vec<u8> {
        let pax = self.pax.as_ref().and_then(|pax| pax.path.clone());
        self.long_name.clone().or(pax).unwrap_or_else(|| header.path_bytes().into_owned())
    }

    fn link(&self, header: &Header) -> Vec<u8> {
        let pax = self.pax.as_ref().and_then(|pax| pax.link.clone());
        let own = || header.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
        self.long_link.clone().or(pax).unwrap_or_else(own)
    }
}

fn shown(header: &Header) -> String {
    header.path_bytes().escape_ascii().to_string()
}

/// The sum over the header with its own field as spaces; signed in very old archives.
fn check_sum(header: &Header, block: &[u8; BLOCK_BYTES]) -> std::result::Result<(), Refusal> {
    const FIELD: std::ops::Range<usize> = 148..156;
    let expected = header.cksum().map_err(|_| Refusal::Checksum)?;
    let (mut unsigned, mut signed) = (0_u32, 0_i32);
    for (at, byte) in block.iter().enumerate() {
        let byte = if FIELD.contains(&at) { b' ' } else { *byte };
        unsigned += u32::from(byte);
        signed += i32::from(byte.cast_signed());
    }
    if expected == unsigned || i32::try_from(expected) == Ok(signed) {
        Ok(())
    } else {
        Err(Refusal::Checksum)
    }
}

/// A number, where blank means 0.
fn field(raw: &[u8], parsed: Option<u64>, name: &'static str) -> std::result::Result<u64, Refusal> {
    match parsed {
        Some(value) => Ok(value),
        None if raw.iter().all(|byte| matches!(byte, 0 | b' ')) => Ok(0),
        None => Err(Refusal::Field(name)),
    }
}

fn size(header: &Header) -> Result<u64> {
    let size = field(&header.as_old().size, header.entry_size().ok(), "size")?;
    // Room for rounding up to a block.
    if size > u64::MAX / 2 { Err(Refusal::Field("size").into()) } else { Ok(size) }
}

fn owner(pax: Option<u64>, raw: &[u8], parsed: Option<u64>, name: &'static str) -> Result<u32> {
    let value = pax.map_or_else(|| field(raw, parsed, name), Ok)?;
    // The largest number means "leave as it is" to the kernel.
    match u32::try_from(value) {
        Ok(value) if value != u32::MAX => Ok(value),
        _ => Err(Refusal::Field(name).into()),
    }
}

fn mode(bits: u64) -> Mode {
    // Only the permission bits and setuid, setgid, sticky; some tools put the file type in too.
    Mode::from_bits_truncate(u32::try_from(bits & 0o7777).unwrap_or(0))
}

fn device(header: &Header, make: impl FnOnce(u32, u32) -> Device) -> Result<Kind> {
    let number =
        |parsed: std::io::Result<Option<u32>>| parsed.ok().flatten().ok_or(Refusal::Field("device number"));
    Ok(Kind::Device(make(number(header.device_major())?, number(header.device_minor())?)))
}
