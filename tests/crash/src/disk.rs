//! A directory tree in memory, as it would be found after some of the recorded operations.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::op::{Change, Id, Name, ROOT};

/// What an inode is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file and its bytes.
    File(Vec<u8>),
    /// A directory and its names.
    Directory(BTreeMap<Name, Id>),
    /// A symbolic link and where it leads.
    Symlink(Vec<u8>),
    /// A device or a pipe: the type's bits of its mode, and its device number.
    Special(u32, u64),
}

/// An inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// Seconds and nanoseconds, where they were set.
    pub time: Option<(i64, i64)>,
    /// Extended attributes.
    pub attributes: BTreeMap<Name, Arc<[u8]>>,
}

impl Node {
    /// An inode as it is made, of root's.
    pub fn new(kind: Kind, mode: u32) -> Self {
        Self { kind, mode, owner: (0, 0), time: None, attributes: BTreeMap::new() }
    }
}

/// How each inode was made.
pub type Births = HashMap<Id, Arc<Node>>;

/// The tree.
#[derive(Clone, Debug)]
pub struct Disk {
    nodes: HashMap<Id, Arc<Node>>,
}

impl Default for Disk {
    fn default() -> Self {
        let root = Node::new(Kind::Directory(BTreeMap::new()), 0o700);
        Self { nodes: HashMap::from([(ROOT, Arc::new(root))]) }
    }
}

impl Disk {
    /// An inode, where anything was done to it yet.
    pub fn node(&self, id: Id) -> Option<&Node> {
        self.nodes.get(&id).map(Arc::as_ref)
    }

    /// What a directory has under that name.
    pub fn entry(&self, dir: Id, name: &[u8]) -> Option<Id> {
        match &self.node(dir)?.kind {
            Kind::Directory(names) => names.get(name).copied(),
            _ => None,
        }
    }

    /// The inode at a path below the root, no link followed.
    pub fn find<'a>(&self, path: impl IntoIterator<Item = &'a [u8]>) -> Option<Id> {
        path.into_iter().try_fold(ROOT, |dir, name| self.entry(dir, name))
    }

    /// The bytes of the file at a path below the root.
    pub fn bytes<'a>(&self, path: impl IntoIterator<Item = &'a [u8]>) -> Option<&[u8]> {
        match &self.node(self.find(path)?)?.kind {
            Kind::File(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Every inode that a name leads to.
    pub fn reachable(&self) -> HashSet<Id> {
        let (mut seen, mut open) = (HashSet::from([ROOT]), vec![ROOT]);
        while let Some(id) = open.pop() {
            if let Some(Kind::Directory(names)) = self.node(id).map(|node| &node.kind) {
                open.extend(names.values().copied().filter(|id| seen.insert(*id)));
            }
        }
        seen
    }

    /// Does one change.
    pub fn apply(&mut self, change: &Change, births: &Births) {
        match change {
            Change::Link { dir, name, node } => {
                self.touch(*node, births);
                self.name(*dir, name, Some(*node), births);
            }
            Change::Unlink { dir, name } => self.name(*dir, name, None, births),
            Change::Rename { from, to, node, back } => {
                self.touch(*node, births);
                self.name(from.0, &from.1, *back, births);
                self.name(to.0, &to.1, Some(*node), births);
            }
            Change::Write { node, offset, bytes } => {
                if let Kind::File(data) = &mut self.touch(*node, births).kind {
                    let start = usize::try_from(*offset).unwrap_or(usize::MAX);
                    let end = start.saturating_add(bytes.len());
                    data.resize(data.len().max(end), 0);
                    data[start..end].copy_from_slice(bytes);
                }
            }
            Change::Size { node, length } => {
                if let Kind::File(data) = &mut self.touch(*node, births).kind {
                    data.resize(usize::try_from(*length).unwrap_or(usize::MAX), 0);
                }
            }
            Change::Mode { node, mode } => self.touch(*node, births).mode = *mode,
            Change::Owner { node, user, group } => {
                let owner = &mut self.touch(*node, births).owner;
                *owner = (user.unwrap_or(owner.0), group.unwrap_or(owner.1));
            }
            Change::Time { node, time } => self.touch(*node, births).time = Some(*time),
            Change::Attribute { node, name, value } => {
                let attributes = &mut self.touch(*node, births).attributes;
                match value {
                    Some(value) => attributes.insert(Arc::clone(name), Arc::clone(value)),
                    None => attributes.remove(name),
                };
            }
        }
    }

    fn name(&mut self, dir: Id, name: &Name, node: Option<Id>, births: &Births) {
        if let Kind::Directory(names) = &mut self.touch(dir, births).kind {
            match node {
                Some(node) => names.insert(Arc::clone(name), node),
                None => names.remove(name),
            };
        }
    }

    /// The inode, made when nothing was done to it before.
    fn touch(&mut self, id: Id, births: &Births) -> &mut Node {
        let made =
            || births.get(&id).cloned().unwrap_or_else(|| Arc::new(Node::new(Kind::File(Vec::new()), 0)));
        Arc::make_mut(self.nodes.entry(id).or_insert_with(made))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.as_bytes().into()
    }

    #[test]
    fn changes_of_names_and_bytes_show_and_what_was_skipped_is_zero() {
        let births = Births::from([
            (1, Arc::new(Node::new(Kind::Directory(BTreeMap::new()), 0o755))),
            (2, Arc::new(Node::new(Kind::File(Vec::new()), 0o600))),
        ]);
        let mut disk = Disk::default();
        for change in [
            Change::Link { dir: ROOT, name: name("d"), node: 1 },
            Change::Link { dir: 1, name: name("f"), node: 2 },
            Change::Write { node: 2, offset: 2, bytes: b"ab"[..].into() },
            Change::Rename { from: (1, name("f")), to: (ROOT, name("g")), node: 2, back: None },
            Change::Link { dir: 1, name: name("again"), node: 2 },
        ] {
            disk.apply(&change, &births);
        }
        assert_eq!(disk.bytes([&b"g"[..]]), Some(&b"\0\0ab"[..]));
        assert_eq!(disk.find([&b"d"[..], b"again"]), Some(2));
        assert_eq!(disk.find([&b"d"[..], b"f"]), None);
        disk.apply(&Change::Unlink { dir: ROOT, name: name("d") }, &births);
        assert_eq!(disk.reachable(), HashSet::from([ROOT, 2]));
    }
}
