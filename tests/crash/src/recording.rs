//! What was recorded of one board, and what each part of it promises to whoever watched.

use std::ops::Range;

use coracle_core::oci::Digest;

use crate::disk::{Births, Disk, Kind};
use crate::known::Known;
use crate::op::{Barrier, Change, Deed, Op, ROOT};

/// The journal's name below the state directory.
pub const JOURNAL: &str = "journal";

/// Something that was there before a command and must be there after it, so at every moment of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promise {
    /// The reference is one of these images, whole.
    Image(String, Vec<Digest>),
    /// The file is there and can be read.
    File(String),
}

/// One command.
#[derive(Clone, Debug)]
pub struct Segment {
    /// What was done.
    pub name: String,
    /// Its operations.
    pub ops: Range<usize>,
    /// What holds at each of them.
    pub promises: Vec<Promise>,
}

/// A journal that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The operation that gave it its name.
    pub named: usize,
    /// The operation before which whoever wrote it went on, trusting in it.
    pub trusted: usize,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Everything done to one board's state directory.
pub struct Recording {
    /// Which scene it was.
    pub name: &'static str,
    /// How each inode was made.
    pub births: Births,
    /// What was done.
    pub ops: Vec<Op>,
    /// By which command.
    pub segments: Vec<Segment>,
    /// What its images are.
    pub known: Known,
    /// Every journal there was.
    pub journals: Vec<Version>,
}

impl Recording {
    /// Joins what was recorded with what is known of it.
    pub fn new(
        name: &'static str,
        births: Births,
        ops: Vec<Op>,
        segments: Vec<Segment>,
        known: Known,
    ) -> Self {
        let journals = journals(&ops, &births);
        Self { name, births, ops, segments, known, journals }
    }

    /// The same board, had the program left out barriers of one kind: what a bug would look like.
    pub fn without(&self, barrier: Barrier) -> Vec<Op> {
        let mut ops = self.ops.clone();
        for op in &mut ops {
            if let Deed::Sync { barrier: found, covers, .. } = &mut op.deed
                && *found == barrier
            {
                // It stays in its place, so that numbers stay what they are, and covers nothing.
                *covers = 0;
            }
        }
        ops
    }

    /// The journals that a board cut off before operation `at` may have: from the one that was last trusted in to the
    /// one that was last named.
    pub fn journals_at(&self, at: usize) -> &[Version] {
        let named = self.journals.iter().take_while(|version| version.named < at).count();
        let trusted = self.journals.iter().take(named).rposition(|version| version.trusted < at);
        self.journals.get(trusted.unwrap_or(0)..named).unwrap_or_default()
    }

    /// Whether a board cut off before operation `at` may be without any journal.
    pub fn may_lack_journal(&self, at: usize) -> bool {
        self.journals.iter().all(|version| version.trusted >= at)
    }
}

fn journals(ops: &[Op], births: &Births) -> Vec<Version> {
    let (mut disk, mut found) = (Disk::default(), Vec::new());
    for (number, op) in ops.iter().enumerate() {
        let Deed::Change(change) = &op.deed else { continue };
        disk.apply(change, births);
        let Change::Rename { to, node, .. } = change else { continue };
        if (to.0, &*to.1) != (ROOT, JOURNAL.as_bytes()) {
            continue;
        }
        if let Some(Kind::File(bytes)) = disk.node(*node).map(|node| &node.kind) {
            found.push(Version {
                named: number,
                trusted: trusted(ops, number, op.thread),
                bytes: bytes.clone(),
            });
        }
    }
    found
}

/// Whoever named the journal goes on after the sync of its directory; or at once, when there is none.
fn trusted(ops: &[Op], named: usize, thread: u32) -> usize {
    let mut own = ops.iter().enumerate().skip(named + 1).filter(|(_, op)| op.thread == thread);
    match own.next() {
        Some((number, Op { deed: Deed::Sync { node: Some(ROOT) | None, .. }, .. })) => number,
        Some((number, _)) => number.saturating_sub(1),
        None => ops.len().saturating_sub(1),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::disk::Node;

    #[test]
    fn a_journal_may_be_the_one_before_until_its_writer_goes_on() {
        let name = |text: &str| text.as_bytes().into();
        let mut births = Births::new();
        let mut ops = Vec::new();
        for node in [1, 2] {
            births.insert(node, Arc::new(Node::new(Kind::File(Vec::new()), 0o600)));
            let changes = [
                Change::Link { dir: ROOT, name: name(".new"), node },
                Change::Write { node, offset: 0, bytes: vec![u8::try_from(node).unwrap()].into() },
                Change::Rename { from: (ROOT, name(".new")), to: (ROOT, name(JOURNAL)), node, back: None },
            ];
            ops.extend(changes.map(|change| Op { thread: 1, deed: Deed::Change(change) }));
            // Somebody else is at work too.
            ops.push(Op { thread: 2, deed: Deed::Change(Change::Size { node: 9, length: 0 }) });
            ops.push(Op {
                thread: 1,
                deed: Deed::Sync { barrier: Barrier::Directory, node: Some(ROOT), covers: ops.len() },
            });
        }
        let recording = Recording::new("test", births, ops, Vec::new(), Known::default());
        let at = |at: usize| {
            let bytes = recording.journals_at(at).iter().map(|version| version.bytes[0]).collect::<Vec<_>>();
            (bytes, recording.may_lack_journal(at))
        };
        assert_eq!(at(2), (vec![], true));
        assert_eq!(at(4), (vec![1], true));
        assert_eq!(at(5), (vec![1], false));
        assert_eq!(at(8), (vec![1, 2], false));
        assert_eq!(at(9), (vec![1, 2], false));
        assert_eq!(at(10), (vec![2], false));
    }
}
