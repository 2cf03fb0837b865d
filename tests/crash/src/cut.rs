//! The disks that a power cut may leave at one point of a recording.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::disk::{Births, Disk};
use crate::durable::Durable;
use crate::op::{Change, Id};

/// What became of the changes that no barrier covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing is lost.
    Nothing,
    /// Everything is.
    All,
    /// Names are there, bytes and everything else of the inodes are not: renamed before the data.
    Bytes,
    /// The same, with lengths right and zeros for bytes.
    Zeros,
    /// Bytes are there and names are not.
    Names,
    /// Of the last write half is there.
    Torn,
    /// Names are there; of everything else, what chance says.
    Some(u64),
    /// In each directory the names up to some point; of everything else, what chance says.
    Anything(u64),
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => write!(f, "nothing lost"),
            Self::All => write!(f, "all lost"),
            Self::Bytes => write!(f, "names without bytes"),
            Self::Zeros => write!(f, "zeros for bytes"),
            Self::Names => write!(f, "bytes without names"),
            Self::Torn => write!(f, "last write torn"),
            Self::Some(seed) => write!(f, "some bytes lost, seed {seed}"),
            Self::Anything(seed) => write!(f, "some names and bytes lost, seed {seed}"),
        }
    }
}

/// Every variant; those that leave it to chance once for each of `seeds`, counted from `seed`.
pub fn losses(seed: u64, seeds: u64) -> Vec<Loss> {
    let fixed = [Loss::Nothing, Loss::All, Loss::Bytes, Loss::Zeros, Loss::Names, Loss::Torn];
    let chance = (seed..seed.saturating_add(seeds)).flat_map(|seed| [Loss::Some(seed), Loss::Anything(seed)]);
    fixed.into_iter().chain(chance).collect()
}

/// What is found of one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Form {
    Whole,
    Half,
    Zeros,
    Gone,
}

impl Form {
    fn of(self, change: &Change) -> Option<Cow<'_, Change>> {
        match (self, change) {
            (Self::Gone, _) => None,
            (Self::Half, Change::Write { node, offset, bytes }) => {
                let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
                Some(Cow::Owned(Change::Write { node: *node, offset: *offset, bytes: half.into() }))
            }
            (Self::Zeros, Change::Write { node, offset, bytes }) => {
                let zeros = vec![0; bytes.len()];
                Some(Cow::Owned(Change::Write { node: *node, offset: *offset, bytes: zeros.into() }))
            }
            _ => Some(Cow::Borrowed(change)),
        }
    }
}

/// A disk, and a number that is the same for equal ones.
pub struct Left {
    /// What a boot finds.
    pub disk: Disk,
    /// Stands for what was done to it.
    pub key: u64,
}

/// The disk after this loss.
pub fn cut(at: &Durable<'_>, loss: Loss, births: &Births) -> Left {
    let mut disk = at.disk.clone();
    let mut done = Vec::new();
    let last = at.pending.iter().rposition(|(_, change)| matches!(change, Change::Write { .. }));
    let mut chance = Chance::new(loss);
    for (index, (number, change)) in at.pending.iter().enumerate() {
        let names = change.node().is_none();
        let form = match loss {
            Loss::Nothing => Form::Whole,
            Loss::All => Form::Gone,
            Loss::Bytes if names => Form::Whole,
            Loss::Bytes => Form::Gone,
            Loss::Zeros => Form::Zeros,
            Loss::Names if names => Form::Gone,
            Loss::Names => Form::Whole,
            Loss::Torn if Some(index) == last => Form::Half,
            Loss::Torn => Form::Whole,
            Loss::Some(_) if names => Form::Whole,
            Loss::Some(_) => chance.bytes(),
            Loss::Anything(_) if names => chance.names(&change.dirs()),
            Loss::Anything(_) => chance.bytes(),
        };
        if let Some(what) = form.of(change) {
            disk.apply(&what, births);
            done.push((*number, form, change.node()));
        }
    }
    let key = key(at.epoch, &disk, &done);
    Left { disk, key }
}

/// What was done to inodes that no name leads to makes no difference.
fn key(epoch: usize, disk: &Disk, done: &[(usize, Form, Option<Id>)]) -> u64 {
    let reachable = disk.reachable();
    let mut hasher = DefaultHasher::new();
    epoch.hash(&mut hasher);
    for (number, form, node) in done {
        if node.is_none_or(|node| reachable.contains(&node)) {
            (number, form).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// A sequence that a seed decides (splitmix64), and the directories that take no further change of names.
struct Chance {
    state: u64,
    closed: HashSet<Id>,
}

impl Chance {
    fn new(loss: Loss) -> Self {
        let state = match loss {
            Loss::Some(seed) => seed,
            Loss::Anything(seed) => !seed,
            _ => 0,
        };
        Self { state, closed: HashSet::new() }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn bytes(&mut self) -> Form {
        match self.next() % 8 {
            0..=3 => Form::Whole,
            4 => Form::Half,
            5 => Form::Zeros,
            _ => Form::Gone,
        }
    }

    /// Once a change of names is lost, so are the later ones of its directories.
    fn names(&mut self, dirs: &[Id]) -> Form {
        let lost = dirs.iter().any(|dir| self.closed.contains(dir)) || self.next().is_multiple_of(6);
        if lost {
            self.closed.extend(dirs);
            return Form::Gone;
        }
        Form::Whole
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::disk::{Kind, Node};
    use crate::op::{Deed, Op, ROOT};

    /// `f` with `abcd`, then renamed to `g`.
    fn left(loss: Loss) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        let births = Births::from([(1, Arc::new(Node::new(Kind::File(Vec::new()), 0o600)))]);
        let name = |text: &str| text.as_bytes().into();
        let ops = [
            Change::Link { dir: ROOT, name: name("f"), node: 1 },
            Change::Write { node: 1, offset: 0, bytes: b"abcd"[..].into() },
            Change::Rename { from: (ROOT, name("f")), to: (ROOT, name("g")), node: 1, back: None },
        ];
        let ops = ops.map(|change| Op { thread: 1, deed: Deed::Change(change) });
        let mut durable = Durable::new(&births);
        ops.iter().enumerate().for_each(|(number, op)| durable.advance(number, op));
        let disk = cut(&durable, loss, &births).disk;
        let bytes = |name: &str| disk.bytes([name.as_bytes()]).map(<[u8]>::to_vec);
        (bytes("f"), bytes("g"))
    }

    #[test]
    fn each_loss_leaves_what_it_says() {
        let some = |text: &[u8]| Some(text.to_vec());
        assert_eq!(left(Loss::Nothing), (None, some(b"abcd")));
        assert_eq!(left(Loss::All), (None, None));
        assert_eq!(left(Loss::Bytes), (None, some(b"")));
        assert_eq!(left(Loss::Zeros), (None, some(b"\0\0\0\0")));
        assert_eq!(left(Loss::Names), (None, None));
        assert_eq!(left(Loss::Torn), (None, some(b"ab")));
    }

    #[test]
    fn chance_is_decided_by_its_seed_and_comes_to_every_end() {
        let mut seen = HashSet::new();
        for seed in 0..200 {
            assert_eq!(left(Loss::Anything(seed)), left(Loss::Anything(seed)));
            seen.insert(left(Loss::Anything(seed)));
        }
        for end in [
            (None, None),
            (Some(b"abcd".to_vec()), None),
            (None, Some(Vec::new())),
            (None, Some(b"ab".to_vec())),
        ] {
            assert!(seen.contains(&end), "{end:?} never came");
        }
    }
}
