//! What a layer held when it was unpacked, entry by entry, and what is wrong with what it holds now.
//!
//! Invariant: entries follow one another in [`order`], so a list and a tree are compared side by side, in memory that
//! does not grow with either.

mod form;
mod schedule;

use std::cmp::Ordering;
use std::fmt;

use serde::{Serialize, Serializer};

pub use form::{Decoder, Encoder, FormError, HEADER, RECORD_BYTES_MAX};
pub use schedule::{Pace, due};

/// One entry of a layer's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// From the layer's root, which is the empty path itself; no slash at either end.
    pub path: Vec<u8>,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// Seconds since 1970 and nanoseconds.
    pub time: (i64, u32),
    /// What it is.
    pub node: Node,
    /// Names of the same file; 1 for directories.
    pub links: u64,
    /// The file's number, where it has more names than one; two entries with one number are one file.
    pub inode: u64,
    /// A sum over the extended attributes; 0 where there are none.
    pub attributes: u32,
}

/// What an entry is, with what only that kind has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory,
    /// A regular file: its length and the CRC-32 of its content.
    File {
        /// Bytes.
        bytes: u64,
        /// CRC-32 (IEEE 802.3).
        sum: u32,
    },
    /// A symbolic link and where it points.
    Link(Vec<u8>),
    /// A named pipe.
    Fifo,
    /// A character device and its number; 0 is a whiteout.
    Character(u64),
    /// A block device and its number.
    Block(u64),
    /// Something that no layer holds, such as a socket.
    Other,
}

impl Node {
    fn word(&self) -> &'static str {
        match self {
            Self::Directory => "a directory",
            Self::File { .. } => "a file",
            Self::Link(_) => "a symbolic link",
            Self::Fifo => "a named pipe",
            Self::Character(0) => "a whiteout",
            Self::Character(_) => "a character device",
            Self::Block(_) => "a block device",
            Self::Other => "of a kind that no layer has",
        }
    }
}

/// What is wrong with one entry, or with the list itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// It is not there.
    Missing,
    /// It is there and should not be.
    Added,
    /// It is something else than it was.
    Kind {
        /// What it was.
        was: &'static str,
        /// What it is.
        is: &'static str,
    },
    /// Other permissions.
    Mode {
        /// What they were.
        was: u32,
        /// What they are.
        is: u32,
    },
    /// Another user or group.
    Owner {
        /// What they were.
        was: (u32, u32),
        /// What they are.
        is: (u32, u32),
    },
    /// Another time of change.
    Time,
    /// Another length.
    Bytes {
        /// What it was.
        was: u64,
        /// What it is.
        is: u64,
    },
    /// Other bytes.
    Content,
    /// The link points elsewhere.
    Target,
    /// Another device.
    Device,
    /// Other extended attributes.
    Attributes,
    /// Other names for the same file.
    Links,
    /// The disk does not give it back, in the system's words.
    Unreadable(String),
    /// A record that is not what was written.
    Record,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::Added => f.write_str("was not there when the layer was unpacked"),
            Self::Kind { was, is } => write!(f, "was {was} and is {is}"),
            Self::Mode { was, is } => write!(f, "had mode {was:04o} and has {is:04o}"),
            Self::Owner { was, is } => {
                write!(f, "belonged to {}:{} and belongs to {}:{}", was.0, was.1, is.0, is.1)
            }
            Self::Time => f.write_str("has another time of change"),
            Self::Bytes { was, is } => write!(f, "had {was} bytes and has {is}"),
            Self::Content => f.write_str("has other content"),
            Self::Target => f.write_str("points elsewhere"),
            Self::Device => f.write_str("has another device number"),
            Self::Attributes => f.write_str("has other attributes"),
            Self::Links => f.write_str("has other names"),
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Self::Record => f.write_str("is not what was written"),
        }
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Which of two paths comes first in a walk that enters each directory right after naming it, and takes the names in
/// each by their bytes.
#[must_use]
pub fn order(a: &[u8], b: &[u8]) -> Ordering {
    // No name holds a NUL, and the end of a name sorts before every other byte.
    let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    a.iter().map(key).cmp(b.iter().map(key))
}

/// Whether `path` lies below the directory `above`.
#[must_use]
pub fn is_below(path: &[u8], above: &[u8]) -> bool {
    above.is_empty() && !path.is_empty()
        || path.strip_prefix(above).is_some_and(|rest| rest.starts_with(b"/"))
}

/// What is wrong with `found`, which has the path of `listed`. A file's bytes are compared by whoever reads them.
#[must_use]
pub fn differences(listed: &Entry, found: &Entry) -> Vec<Problem> {
    let mut problems = Vec::new();
    match (&listed.node, &found.node) {
        (Node::Directory, Node::Directory) | (Node::Fifo, Node::Fifo) => {}
        (Node::File { bytes: was, .. }, Node::File { bytes: is, .. }) if was == is => {}
        (Node::File { bytes: was, .. }, Node::File { bytes: is, .. }) => {
            problems.push(Problem::Bytes { was: *was, is: *is });
        }
        (Node::Link(was), Node::Link(is)) if was == is => {}
        (Node::Link(_), Node::Link(_)) => problems.push(Problem::Target),
        (Node::Character(was), Node::Character(is)) | (Node::Block(was), Node::Block(is)) if was == is => {}
        (Node::Character(1..), Node::Character(1..)) | (Node::Block(_), Node::Block(_)) => {
            problems.push(Problem::Device);
        }
        // Nothing else of something else is worth telling.
        (was, is) => return vec![Problem::Kind { was: was.word(), is: is.word() }],
    }
    if listed.mode != found.mode {
        problems.push(Problem::Mode { was: listed.mode, is: found.mode });
    }
    if listed.owner != found.owner {
        problems.push(Problem::Owner { was: listed.owner, is: found.owner });
    }
    if listed.time != found.time {
        problems.push(Problem::Time);
    }
    if listed.attributes != found.attributes {
        problems.push(Problem::Attributes);
    }
    if listed.links != found.links {
        problems.push(Problem::Links);
    }
    problems
}

#[cfg(test)]
mod tests;
