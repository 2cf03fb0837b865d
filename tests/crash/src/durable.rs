//! What barriers have made durable, and what is still only in memory.
//!
//! A barrier of a file covers its bytes, not its name; one of a directory covers the names in it and whatever names had
//! to come before them, for a journaled file system never swaps two changes of names; one of the file system covers all.

use std::collections::HashMap;

use crate::disk::{Births, Disk};
use crate::op::{Change, Deed, Id, Op};

/// The disk at some point of the recording.
#[derive(Clone)]
pub struct Durable<'a> {
    /// What a power cut surely leaves.
    pub disk: Disk,
    /// What it may leave besides, in order, by number of operation.
    pub pending: Vec<(usize, &'a Change)>,
    /// Grows with each barrier that made something durable.
    pub epoch: usize,
    births: &'a Births,
}

impl<'a> Durable<'a> {
    /// An empty disk.
    pub fn new(births: &'a Births) -> Self {
        Self { disk: Disk::default(), pending: Vec::new(), epoch: 0, births }
    }

    /// The next operation, which has this number.
    pub fn advance(&mut self, number: usize, op: &'a Op) {
        match &op.deed {
            Deed::Change(change) => self.pending.push((number, change)),
            Deed::Sync { node: None, covers, .. } => self.settle(|number, _| number < *covers),
            Deed::Sync { node: Some(node), covers, .. } => {
                let limits = self.limits(*node, *covers);
                self.settle(|number, change| match change.node() {
                    Some(changed) => changed == *node && number < *covers,
                    None => {
                        change.dirs().iter().any(|dir| limits.get(dir).is_some_and(|limit| number < *limit))
                    }
                });
            }
        }
    }

    /// Up to which operation the names of each directory become durable with those of `node`.
    fn limits(&self, node: Id, covers: usize) -> HashMap<Id, usize> {
        let mut limits = HashMap::from([(node, covers)]);
        loop {
            let mut grown = false;
            for (number, change) in &self.pending {
                let dirs = change.dirs();
                if dirs.iter().any(|dir| limits.get(dir).is_some_and(|limit| number < limit)) {
                    for dir in dirs {
                        let limit = limits.entry(dir).or_insert(0);
                        if *limit <= *number {
                            *limit = number + 1;
                            grown = true;
                        }
                    }
                }
            }
            if !grown {
                return limits;
            }
        }
    }

    fn settle(&mut self, durable: impl Fn(usize, &Change) -> bool) {
        let before = self.pending.len();
        let (disk, births) = (&mut self.disk, self.births);
        self.pending.retain(|(number, change)| {
            let settled = durable(*number, change);
            if settled {
                disk.apply(change, births);
            }
            !settled
        });
        if self.pending.len() != before {
            self.epoch += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::disk::{Kind, Node};
    use crate::op::{Barrier, Name, ROOT};

    fn name(text: &str) -> Name {
        text.as_bytes().into()
    }

    fn change(change: Change) -> Op {
        Op { thread: 1, deed: Deed::Change(change) }
    }

    fn sync(barrier: Barrier, node: Option<Id>, covers: usize) -> Op {
        Op { thread: 1, deed: Deed::Sync { barrier, node, covers } }
    }

    /// `a/` with the file `f`, renamed to `b/g` in the other directory.
    fn ops() -> (Births, Vec<Op>) {
        let dir = || Arc::new(Node::new(Kind::Directory(Default::default()), 0o700));
        let births =
            Births::from([(1, dir()), (2, dir()), (3, Arc::new(Node::new(Kind::File(Vec::new()), 0o600)))]);
        let ops = vec![
            change(Change::Link { dir: ROOT, name: name("a"), node: 1 }),
            change(Change::Link { dir: ROOT, name: name("b"), node: 2 }),
            change(Change::Link { dir: 1, name: name("f"), node: 3 }),
            change(Change::Write { node: 3, offset: 0, bytes: b"x"[..].into() }),
            change(Change::Rename { from: (1, name("f")), to: (2, name("g")), node: 3, back: None }),
        ];
        (births, ops)
    }

    fn left(extra: &[Op]) -> (usize, Option<Id>, Option<Vec<u8>>) {
        let (births, mut ops) = ops();
        ops.extend_from_slice(extra);
        let mut durable = Durable::new(&births);
        for (number, op) in ops.iter().enumerate() {
            durable.advance(number, op);
        }
        let path = || [&b"b"[..], b"g"];
        (durable.pending.len(), durable.disk.find(path()), durable.disk.bytes(path()).map(<[u8]>::to_vec))
    }

    #[test]
    fn a_barrier_covers_its_own_and_what_had_to_come_before() {
        assert_eq!(left(&[]), (5, None, None));
        // The bytes, but nothing names them.
        assert_eq!(left(&[sync(Barrier::File, Some(3), 5)]), (4, None, None));
        // The names of both directories, without the bytes; the directories themselves are named by the root.
        assert_eq!(left(&[sync(Barrier::Directory, Some(2), 5)]).0, 3);
        let both = [sync(Barrier::Directory, Some(2), 5), sync(Barrier::Directory, Some(ROOT), 6)];
        assert_eq!(left(&both), (1, Some(3), Some(Vec::new())));
        assert_eq!(left(&[sync(Barrier::FileSystem, None, 5)]), (0, Some(3), Some(b"x".to_vec())));
        // It began before the rename ended.
        assert_eq!(left(&[sync(Barrier::FileSystem, None, 4)]), (1, None, None));
    }
}
