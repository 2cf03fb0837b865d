//! What a program did to a disk, one operation after the other, by inode.

use std::sync::Arc;

/// An inode of the recorded directory; the root is 0.
pub type Id = u32;

/// The root of the recorded directory.
pub const ROOT: Id = 0;

/// A name in a directory.
pub type Name = Arc<[u8]>;

/// A change of names or of one inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A name for an inode, new or already known under another name.
    Link {
        /// The directory.
        dir: Id,
        /// The name in it.
        name: Name,
        /// What it names.
        node: Id,
    },
    /// A name taken away.
    Unlink {
        /// The directory.
        dir: Id,
        /// The name in it.
        name: Name,
    },
    /// A name moved, over another one if there is one; never seen half done.
    Rename {
        /// Directory and name before.
        from: (Id, Name),
        /// Directory and name after.
        to: (Id, Name),
        /// What moves.
        node: Id,
        /// What goes back to the old name, where two are exchanged.
        back: Option<Id>,
    },
    /// Bytes of a file.
    Write {
        /// The file.
        node: Id,
        /// Where they begin.
        offset: u64,
        /// The bytes.
        bytes: Arc<[u8]>,
    },
    /// The length of a file.
    Size {
        /// The file.
        node: Id,
        /// Bytes.
        length: u64,
    },
    /// Permission bits.
    Mode {
        /// Of which inode.
        node: Id,
        /// The bits.
        mode: u32,
    },
    /// User and group; what is absent stays.
    Owner {
        /// Of which inode.
        node: Id,
        /// The user.
        user: Option<u32>,
        /// The group.
        group: Option<u32>,
    },
    /// Time of the last change: seconds, nanoseconds.
    Time {
        /// Of which inode.
        node: Id,
        /// The time.
        time: (i64, i64),
    },
    /// An extended attribute, removed where there is no value.
    Attribute {
        /// Of which inode.
        node: Id,
        /// Its name.
        name: Name,
        /// Its value.
        value: Option<Arc<[u8]>>,
    },
}

impl Change {
    /// The directories whose names it changes; none for a change of an inode.
    pub fn dirs(&self) -> Vec<Id> {
        match self {
            Self::Link { dir, .. } | Self::Unlink { dir, .. } => vec![*dir],
            Self::Rename { from, to, .. } if from.0 == to.0 => vec![from.0],
            Self::Rename { from, to, .. } => vec![from.0, to.0],
            _ => Vec::new(),
        }
    }

    /// The inode that it changes; none for a change of names.
    pub fn node(&self) -> Option<Id> {
        match self {
            Self::Link { .. } | Self::Unlink { .. } | Self::Rename { .. } => None,
            Self::Write { node, .. }
            | Self::Size { node, .. }
            | Self::Mode { node, .. }
            | Self::Owner { node, .. }
            | Self::Time { node, .. }
            | Self::Attribute { node, .. } => Some(*node),
        }
    }
}

/// Which kind of barrier it was; a check of the checks leaves one kind out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barrier {
    /// `fsync` or `fdatasync` of a file.
    File,
    /// The same of a directory.
    Directory,
    /// `syncfs` or `sync`.
    FileSystem,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Something changed, in memory.
    Change(Change),
    /// What came before is made durable: all of it, or that of one inode.
    Sync {
        /// Its kind.
        barrier: Barrier,
        /// The inode; all where there is none.
        node: Option<Id>,
        /// How many operations had ended when it began: no other one is covered.
        covers: usize,
    },
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// The thread that did it.
    pub thread: u32,
    /// What.
    pub deed: Deed,
}
