//! The saved form of a list, version 1: binary, because it is written to flash with every layer.
//!
//! ```text
//! header   "coracle list 1\n"
//! record   length u16 le, then so many bytes:
//!            shared   number   bytes of the path before that this one begins with
//!            own      number   bytes that follow them, then these bytes
//!            flags    u8       kind in bits 0 to 2; 3 attributes, 4 several names, 5 not root's, 6 nanoseconds
//!            mode     number
//!            user, group                 numbers, if flag 5
//!            seconds  number, zigzag
//!            nanoseconds                 number, if flag 6
//!            file: length number, CRC-32 u32 le; link: length number, bytes; device: number
//!            names, file                 numbers, if flag 4
//!            attributes                  u32 le, if flag 3
//! end      length 0, then the CRC-32 of all before it, u32 le
//! ```
//! A number has seven bits a byte, the low ones first, and the eighth bit says that more follow.

use super::{Entry, Node};
use crate::limits::ENTRY_PATH_BYTES_MAX;

/// What a list begins with.
pub const HEADER: &[u8] = b"coracle list 1\n";
/// Bytes of one record: two paths, and numbers of at most ten bytes each.
pub const RECORD_BYTES_MAX: usize = 2 * ENTRY_PATH_BYTES_MAX + 128;

const ATTRIBUTES: u8 = 1 << 3;
const LINKED: u8 = 1 << 4;
const OWNED: u8 = 1 << 5;
const FRACTION: u8 = 1 << 6;

/// A record that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record of the list cannot be read")]
pub struct FormError;

/// Writes records, each shortened by what the path before has in common with its own.
#[derive(Debug, Default)]
pub struct Encoder {
    before: Vec<u8>,
}

impl Encoder {
    /// The record of `entry`, without its length; in `record`, whose content is replaced.
    pub fn encode(&mut self, entry: &Entry, record: &mut Vec<u8>) {
        record.clear();
        let shared = self.before.iter().zip(&entry.path).take_while(|(a, b)| a == b).count();
        let own = entry.path.get(shared..).unwrap_or_default();
        number(record, shared as u64);
        bytes(record, own);
        let linked = entry.links > 1;
        let flags = kind(&entry.node)
            | if entry.attributes == 0 { 0 } else { ATTRIBUTES }
            | if linked { LINKED } else { 0 }
            | if entry.owner == (0, 0) { 0 } else { OWNED }
            | if entry.time.1 == 0 { 0 } else { FRACTION };
        record.push(flags);
        number(record, entry.mode.into());
        if flags & OWNED != 0 {
            number(record, entry.owner.0.into());
            number(record, entry.owner.1.into());
        }
        number(record, (entry.time.0 << 1 ^ entry.time.0 >> 63).cast_unsigned());
        if flags & FRACTION != 0 {
            number(record, entry.time.1.into());
        }
        match &entry.node {
            Node::Directory | Node::Fifo | Node::Other => {}
            Node::File { bytes, sum } => {
                number(record, *bytes);
                record.extend(sum.to_le_bytes());
            }
            Node::Link(to) => bytes(record, to),
            Node::Character(device) | Node::Block(device) => number(record, *device),
        }
        if linked {
            number(record, entry.links);
            number(record, entry.inode);
        }
        if flags & ATTRIBUTES != 0 {
            record.extend(entry.attributes.to_le_bytes());
        }
        self.before.clone_from(&entry.path);
    }
}

/// Reads what an [`Encoder`] wrote, in the same order.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    before: Vec<u8>,
}

impl Decoder {
    /// The entry of `record`.
    ///
    /// # Errors
    /// [`FormError`] for anything that no encoder writes.
    pub fn decode(&mut self, record: &[u8]) -> Result<Entry, FormError> {
        let mut rest = Rest(record);
        let shared = rest.length()?;
        let mut path = self.before.get(..shared).ok_or(FormError)?.to_vec();
        path.extend_from_slice(rest.bytes()?);
        if path.len() > ENTRY_PATH_BYTES_MAX {
            return Err(FormError);
        }
        let flags = *rest.take(1)?.first().ok_or(FormError)?;
        let mode = rest.small()?;
        let owner = if flags & OWNED == 0 { (0, 0) } else { (rest.small()?, rest.small()?) };
        let seconds = rest.number()?;
        let seconds = (seconds >> 1).cast_signed() ^ -(seconds & 1).cast_signed();
        let fraction = if flags & FRACTION == 0 { 0 } else { rest.small()? };
        let node = match flags & 7 {
            0 => Node::Directory,
            1 => Node::File { bytes: rest.number()?, sum: rest.sum()? },
            2 => Node::Link(rest.bytes()?.to_vec()),
            3 => Node::Fifo,
            4 => Node::Character(rest.number()?),
            5 => Node::Block(rest.number()?),
            6 => Node::Other,
            _ => return Err(FormError),
        };
        let (links, inode) = if flags & LINKED == 0 { (1, 0) } else { (rest.number()?, rest.number()?) };
        let attributes = if flags & ATTRIBUTES == 0 { 0 } else { rest.sum()? };
        // A flag says that there is something else than what its absence stands for.
        let idle = (flags & LINKED != 0 && links < 2)
            || (flags & OWNED != 0 && owner == (0, 0))
            || (flags & FRACTION != 0 && fraction == 0)
            || (flags & ATTRIBUTES != 0 && attributes == 0);
        if idle || !rest.0.is_empty() || flags & 1 << 7 != 0 {
            return Err(FormError);
        }
        self.before.clone_from(&path);
        Ok(Entry { path, mode, owner, time: (seconds, fraction), node, links, inode, attributes })
    }
}

fn kind(node: &Node) -> u8 {
    match node {
        Node::Directory => 0,
        Node::File { .. } => 1,
        Node::Link(_) => 2,
        Node::Fifo => 3,
        Node::Character(_) => 4,
        Node::Block(_) => 5,
        Node::Other => 6,
    }
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// What of a record was not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], FormError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(FormError)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, FormError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first().ok_or(FormError)?;
            let bits = u64::from(byte & 0x7f);
            let placed = bits << shift;
            if placed >> shift != bits {
                return Err(FormError);
            }
            value |= placed;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(FormError)
    }

    fn small(&mut self) -> Result<u32, FormError> {
        u32::try_from(self.number()?).map_err(|_| FormError)
    }

    fn length(&mut self) -> Result<usize, FormError> {
        usize::try_from(self.number()?).map_err(|_| FormError)
    }

    fn bytes(&mut self) -> Result<&'a [u8], FormError> {
        let length = self.length()?;
        self.take(length)
    }

    fn sum(&mut self) -> Result<u32, FormError> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes(bytes.try_into().map_err(|_| FormError)?))
    }
}
