//! What files look like from outside: another look tells whether one was replaced, without reading any.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// How a set of files looked at one moment; a missing one looks like nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Stamp(Vec<Option<[i128; 4]>>);

impl Stamp {
    /// A look at each of `paths`, where links lead.
    #[must_use]
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        Self(paths.into_iter().map(|path| look(path)).collect())
    }
}

/// Where it is, how long, and when it was last touched: a write moves the last, whoever sets the time of writing back.
fn look(path: &Path) -> Option<[i128; 4]> {
    let found = std::fs::metadata(path).ok()?;
    let changed = i128::from(found.ctime()) * 1_000_000_000 + i128::from(found.ctime_nsec());
    Some([found.dev().into(), found.ino().into(), found.size().into(), changed])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_or_rewritten_file_looks_different() {
        let path = std::env::temp_dir().join(format!("coracle-stamp-{}", super::super::unique_name()));
        let look = || Stamp::of([&path]);
        let mut seen = vec![look()];
        std::fs::write(&path, "one").unwrap();
        seen.push(look());
        assert_eq!(seen[1], look());
        let other = path.with_extension("new");
        std::fs::write(&other, "two").unwrap();
        std::fs::rename(&other, &path).unwrap();
        seen.push(look());
        std::fs::remove_file(&path).unwrap();
        assert!(seen[0] != seen[1] && seen[1] != seen[2] && seen[0] == look(), "{seen:?}");
    }
}
