//! Layer archives made by hand, header by header, so that they can also be wrong.

use std::io::Write as _;

const BLOCK: usize = 512;

/// One entry, valid unless told otherwise.
#[derive(Debug, Clone)]
pub struct Entry {
    kind: u8,
    name: Vec<u8>,
    link: Vec<u8>,
    mode: u32,
    owner: (u64, u64),
    mtime: u64,
    content: Vec<u8>,
    says: Option<u64>,
    size_field: Option<[u8; 12]>,
    device: (u32, u32),
    pax: Vec<(Vec<u8>, Vec<u8>)>,
    broken_sum: bool,
}

impl Entry {
    /// An entry of any type byte.
    pub fn of(kind: u8, name: impl AsRef<[u8]>) -> Self {
        Self {
            kind,
            name: name.as_ref().to_vec(),
            link: Vec::new(),
            mode: 0o644,
            owner: (0, 0),
            mtime: 1_000_000_000,
            content: Vec::new(),
            says: None,
            size_field: None,
            device: (0, 0),
            pax: Vec::new(),
            broken_sum: false,
        }
    }

    /// A regular file.
    pub fn file(name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        Self { content: content.as_ref().to_vec(), ..Self::of(b'0', name) }
    }

    /// A directory.
    pub fn dir(name: impl AsRef<[u8]>) -> Self {
        Self::of(b'5', name).mode(0o755)
    }

    /// A symbolic link.
    pub fn symlink(name: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Self {
        Self { link: to.as_ref().to_vec(), ..Self::of(b'2', name) }.mode(0o777)
    }

    /// A hard link.
    pub fn hard_link(name: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Self {
        Self { link: to.as_ref().to_vec(), ..Self::of(b'1', name) }
    }

    /// A character (`b'3'`) or block (`b'4'`) device.
    pub fn device(kind: u8, name: impl AsRef<[u8]>, major: u32, minor: u32) -> Self {
        Self { device: (major, minor), ..Self::of(kind, name) }
    }

    /// Another type byte.
    pub fn kind(self, kind: u8) -> Self {
        Self { kind, ..self }
    }

    /// Permission bits, and whatever else is put into the field.
    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    /// User and group.
    pub fn owner(self, uid: u64, gid: u64) -> Self {
        Self { owner: (uid, gid), ..self }
    }

    /// Seconds since 1970.
    pub fn mtime(self, mtime: u64) -> Self {
        Self { mtime, ..self }
    }

    /// A size field that differs from the content.
    pub fn says(self, size: u64) -> Self {
        Self { says: Some(size), ..self }
    }

    /// A size field of these bytes.
    pub fn size_field(self, field: [u8; 12]) -> Self {
        Self { size_field: Some(field), ..self }
    }

    /// A PAX record before the entry.
    pub fn pax(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.pax.push((key.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// An extended attribute, as every image builder writes it.
    pub fn attribute(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax(format!("SCHILY.xattr.{name}"), value)
    }

    /// A header whose checksum is wrong.
    pub fn broken_sum(self) -> Self {
        Self { broken_sum: true, ..self }
    }

    fn write(&self, out: &mut Vec<u8>) {
        if !self.pax.is_empty() {
            let records: Vec<u8> = self.pax.iter().flat_map(|(key, value)| record(key, value)).collect();
            Self { content: records, ..Self::of(b'x', "PaxHeaders/x") }.write(out);
        }
        for (kind, text) in [(b'L', &self.name), (b'K', &self.link)] {
            if text.len() > 100 && !matches!(self.kind, b'L' | b'K') {
                Self { content: [text.as_slice(), b"\0"].concat(), ..Self::of(kind, "././@LongLink") }
                    .write(out);
            }
        }
        out.extend_from_slice(&self.header());
        out.extend_from_slice(&self.content);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }

    fn header(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, width: usize, bytes: &[u8]| {
            let count = bytes.len().min(width);
            block[at..at + count].copy_from_slice(&bytes[..count]);
        };
        put(0, 100, &self.name);
        put(100, 8, format!("{:07o}", self.mode).as_bytes());
        put(108, 8, &number(self.owner.0, 8));
        put(116, 8, &number(self.owner.1, 8));
        put(124, 12, &number(self.says.unwrap_or(self.content.len() as u64), 12));
        if let Some(field) = &self.size_field {
            put(124, 12, field);
        }
        put(136, 12, &number(self.mtime, 12));
        put(148, 8, b"        ");
        put(156, 1, &[self.kind]);
        put(157, 100, &self.link);
        put(257, 8, b"ustar\x0000");
        put(329, 8, format!("{:07o}", self.device.0).as_bytes());
        put(337, 8, format!("{:07o}", self.device.1).as_bytes());
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum::<u32>() + u32::from(self.broken_sum);
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

/// Octal where it fits, else base 256 as GNU has it.
fn number(value: u64, width: usize) -> Vec<u8> {
    let digits = format!("{value:0width$o}", width = width - 1);
    if digits.len() < width {
        return digits.into_bytes();
    }
    let mut bytes = vec![0; width];
    bytes[width - 8..].copy_from_slice(&value.to_be_bytes());
    bytes[0] |= 0x80;
    bytes
}

fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key, b"=", value, b"\n"].concat();
    let mut length = rest.len();
    while rest.len() + length.to_string().len() != length {
        length = rest.len() + length.to_string().len();
    }
    [length.to_string().as_bytes(), &rest].concat()
}

/// An archive with its end.
pub fn archive(entries: impl IntoIterator<Item = Entry>) -> Vec<u8> {
    let mut bytes = unfinished(entries);
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    bytes
}

/// An archive without its two closing blocks.
pub fn unfinished(entries: impl IntoIterator<Item = Entry>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        entry.write(&mut bytes);
    }
    bytes
}

/// A file in the old GNU sparse form: `parts` are offsets with their content, at most four of them in the header and the
/// rest in blocks after it.
pub fn old_gnu_sparse(name: &str, parts: &[(u64, &[u8])], length: u64) -> Vec<u8> {
    let content: Vec<u8> = parts.iter().flat_map(|(_, part)| part.to_vec()).collect();
    let mut block = Entry { content: content.clone(), ..Entry::of(b'S', name) }.header();
    block[257..265].copy_from_slice(b"ustar  \0");
    // Device numbers and prefix give way to times and the map.
    block[329..500].fill(0);
    let part = |at: u64, size: usize| [number(at, 12), vec![0], number(size as u64, 12), vec![0]];
    let (inside, outside) = parts.split_at(parts.len().min(4));
    for (slot, (at, part_bytes)) in inside.iter().enumerate() {
        put_part(&mut block, 386 + 24 * slot, &part(*at, part_bytes.len()));
    }
    block[482] = u8::from(!outside.is_empty());
    block[483..495].copy_from_slice(&[number(length, 12), vec![0]].concat()[..12]);
    fix_sum(&mut block);
    let mut bytes = block.to_vec();
    for chunk in outside.chunks(21) {
        let mut extension = [0; BLOCK];
        for (slot, (at, part_bytes)) in chunk.iter().enumerate() {
            put_part(&mut extension, 24 * slot, &part(*at, part_bytes.len()));
        }
        let rest =
            outside.len() - (chunk.as_ptr() as usize - outside.as_ptr() as usize) / size_of::<(u64, &[u8])>();
        extension[504] = u8::from(rest > 21);
        bytes.extend_from_slice(&extension);
    }
    bytes.extend_from_slice(&content);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn put_part(block: &mut [u8; BLOCK], at: usize, fields: &[Vec<u8>; 4]) {
    block[at..at + 24].copy_from_slice(&fields.concat()[..24]);
}

fn fix_sum(block: &mut [u8; BLOCK]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// One gzip member, in blocks as images have them: at its fastest, this compressor makes a single one.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}

/// One zstd frame, whose window is what `window_log` says.
pub fn zstd(bytes: &[u8], window_log: u32) -> Vec<u8> {
    let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 1).expect("an encoder");
    encoder.window_log(window_log).expect("a window");
    encoder.write_all(bytes).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}
