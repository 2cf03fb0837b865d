//! The list of what a layer's tree holds: made before the layer is published, held against the tree ever after.
//!
//! Invariant: memory does not grow with the layer, nor with a directory of it. A list that is not whole is never
//! believed.

mod content;
mod file;
mod walk;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use coracle_core::scrub::{Entry, Node, Problem, differences, is_below, order};
use serde::Serialize;

use self::content::{Cache, Content};
use self::file::{ListFile, Reading};
use self::walk::{Found, Walk};
use super::FILE_MODE;
use super::error::{Attempt as _, Result};

/// Files with several names whose content is remembered, so that it is read once. Beyond, it is read again for each
/// name, and which names belong together is not compared.
const SHARED_MAX: usize = 16_384;
/// Damaged entries of one layer that are told one by one; the rest are counted.
const DAMAGE_MAX: usize = 256;

/// Something wrong in a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The entry, from the layer's root; `None` for the layer's own records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What a look at a layer found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Looked {
    /// Entries that were looked at.
    pub entries: u64,
    /// Bytes of files that were read.
    pub bytes: u64,
    /// What is wrong, the first `DAMAGE_MAX` of it.
    pub damage: Vec<Damage>,
    /// How much is wrong in all.
    pub damaged: u64,
}

impl Looked {
    fn note(&mut self, path: &[u8], problem: Problem) {
        let shown = if path.is_empty() { "/".to_owned() } else { path.escape_ascii().to_string() };
        self.add(Some(shown), problem);
    }

    pub(super) fn add(&mut self, path: Option<String>, problem: Problem) {
        self.damaged += 1;
        if self.damage.len() < DAMAGE_MAX {
            self.damage.push(Damage { path, problem });
        }
    }
}

/// Writes the list of `tree` to `path`; the list's own sum comes back. `progress` hears the bytes of each piece that was
/// read, and may take its time.
pub(super) fn make(tree: &Path, path: &Path, progress: &mut dyn FnMut(u64)) -> Result<u32> {
    let root = File::open(tree).attempt("open", tree)?;
    let mut walk = Walk::new(root.as_fd()).attempt("list", tree)?;
    let mut list = ListFile::create(path, FILE_MODE).attempt("make the list", path)?;
    let (mut content, mut shared) = (Content::new(), BTreeMap::new());
    while let Some(found) = walk.next() {
        let entry = found.entry.attempt("look at an entry of", tree)?;
        let entry =
            summed(entry, &walk, &mut content, &mut shared, progress).attempt("read a file of", tree)?;
        list.put(&entry).attempt("write the list", path)?;
    }
    list.finish().attempt("write the list", path)
}

/// The entry with the sum of its content.
fn summed(
    entry: Entry,
    walk: &Walk,
    content: &mut Content,
    shared: &mut BTreeMap<u64, u32>,
    progress: &mut dyn FnMut(u64),
) -> io::Result<Entry> {
    let Node::File { bytes, .. } = entry.node else { return Ok(entry) };
    let sum = match shared.get(&entry.inode).filter(|_| entry.links > 1) {
        Some(sum) => *sum,
        None => content.sum(walk.open(Cache::Used)?, Cache::Used, bytes, progress)?,
    };
    if entry.links > 1 && shared.len() < SHARED_MAX {
        shared.insert(entry.inode, sum);
    }
    Ok(Entry { node: Node::File { bytes, sum }, ..entry })
}

/// Holds `tree` against the list at `path`, whose sum must be `sum`. `progress` hears the bytes of each piece that was
/// read, and may take its time.
pub(super) fn compare(tree: &Path, path: &Path, sum: u32, progress: &mut dyn FnMut(u64)) -> Result<Looked> {
    let mut looked = Looked::default();
    let mut list = match Reading::open(path, sum) {
        Ok(list) => list,
        Err(error) => {
            looked.add(Some("list".to_owned()), unread(&error));
            return Ok(looked);
        }
    };
    let root = File::open(tree).attempt("open", tree)?;
    let mut walk = Walk::new(root.as_fd()).attempt("list", tree)?;
    let mut side = Side { content: Content::new(), shared: BTreeMap::new(), skip: None };
    let mut listed = list.next().attempt("read", path)?;
    let mut found = walk.next();
    loop {
        let ordering = match (&listed, &found) {
            (None, None) => return Ok(looked),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(listed), Some(found)) => order(&listed.path, &found.path),
        };
        if ordering.is_le()
            && let Some(listed) = &listed
        {
            match found.as_ref().filter(|_| ordering.is_eq()) {
                Some(found) => side.pair(listed, found, &walk, &mut looked, progress),
                None => side.lone(&listed.path, Problem::Missing, &mut looked),
            }
        } else if let Some(found) = &found {
            // A directory that stops being readable is told of once more, after what could be read of it.
            let problem = found.entry.as_ref().err().map(|error| Problem::Unreadable(error.to_string()));
            side.lone(&found.path, problem.unwrap_or(Problem::Added), &mut looked);
        }
        if ordering.is_le() {
            listed = list.next().attempt("read", path)?;
        }
        if ordering.is_ge() {
            found = walk.next();
        }
    }
}

/// What a file of records that cannot be read is.
pub(super) fn unread(error: &io::Error) -> Problem {
    if error.kind() == io::ErrorKind::NotFound {
        Problem::Missing
    } else if error.kind() == io::ErrorKind::InvalidData {
        Problem::Record
    } else {
        Problem::Unreadable(error.to_string())
    }
}

/// What is remembered while list and tree are gone through side by side.
struct Side {
    content: Content,
    /// The numbers of files with several names: as listed, and as found.
    shared: BTreeMap<u64, u64>,
    /// A directory that is missing, added or unreadable: what is below it was told with it.
    skip: Option<Vec<u8>>,
}

impl Side {
    fn told(&self, path: &[u8]) -> bool {
        self.skip.as_ref().is_some_and(|above| is_below(path, above))
    }

    fn lone(&mut self, path: &[u8], problem: Problem, looked: &mut Looked) {
        if !self.told(path) {
            looked.note(path, problem);
            self.skip = Some(path.to_vec());
        }
    }

    fn pair(
        &mut self,
        listed: &Entry,
        found: &Found,
        walk: &Walk,
        looked: &mut Looked,
        progress: &mut dyn FnMut(u64),
    ) {
        looked.entries += 1;
        let entry = match &found.entry {
            Ok(entry) => entry,
            Err(error) => return self.lone(&listed.path, Problem::Unreadable(error.to_string()), looked),
        };
        let problems = differences(listed, entry);
        let (Node::File { bytes, sum }, true) = (
            &listed.node,
            !problems.iter().any(|it| matches!(it, Problem::Kind { .. } | Problem::Bytes { .. })),
        ) else {
            let directory = listed.node == Node::Directory;
            let replaced = problems.iter().any(|it| matches!(it, Problem::Kind { .. }));
            problems.into_iter().for_each(|problem| looked.note(&listed.path, problem));
            if replaced && (directory || entry.node == Node::Directory) {
                self.skip = Some(listed.path.clone());
            }
            return;
        };
        problems.into_iter().for_each(|problem| looked.note(&listed.path, problem));
        if listed.links > 1 {
            match self.shared.get(&listed.inode) {
                // The same file as before: read once is enough.
                Some(known) if *known == entry.inode => return,
                Some(_) => looked.note(&listed.path, Problem::Links),
                None if self.shared.len() < SHARED_MAX => {
                    self.shared.insert(listed.inode, entry.inode);
                }
                None => {}
            }
        }
        let mut told = |bytes| {
            looked.bytes += bytes;
            progress(bytes);
        };
        let file = walk.open(Cache::Spared);
        let read = file.and_then(|file| self.content.sum(file, Cache::Spared, *bytes, &mut told));
        match read {
            Ok(read) if read == *sum => {}
            Ok(_) => looked.note(&listed.path, Problem::Content),
            Err(error) => looked.note(&listed.path, Problem::Unreadable(error.to_string())),
        }
    }
}
