//! The ledger of what was made of a layer: read back, it says which names of a tree belong to a checkpoint.

use std::collections::BTreeMap;

use coracle_core::oci::Hasher;

use super::pax::FileTime;

/// One line of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    /// A name was made: its key.
    Name([u8; 8]),
    /// The directory with this inode has this time.
    Directory(u64, FileTime),
}

impl Record {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Name(key) => [b"n", key.as_slice()].concat(),
            Self::Directory(inode, FileTime { seconds, nanoseconds }) => {
                let fields = [inode.to_le_bytes(), seconds.to_le_bytes(), nanoseconds.to_le_bytes()];
                [b"d", fields.concat().as_slice()].concat()
            }
        }
    }

    /// The first record of `bytes`, and the rest.
    fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (kind, rest) = bytes.split_first()?;
        let (field, rest) = rest.split_first_chunk::<8>()?;
        match kind {
            b'n' => Some((Self::Name(*field), rest)),
            b'd' => {
                let (seconds, rest) = rest.split_first_chunk::<8>()?;
                let (nanoseconds, rest) = rest.split_first_chunk::<8>()?;
                let (seconds, nanoseconds) = (i64::from_le_bytes(*seconds), i64::from_le_bytes(*nanoseconds));
                let time = FileTime { seconds, nanoseconds };
                Some((Self::Directory(u64::from_le_bytes(*field), time), rest))
            }
            _ => None,
        }
    }
}

/// What a ledger says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    salt: Vec<u8>,
    /// Sorted, each once.
    keys: Vec<[u8; 8]>,
    times: BTreeMap<u64, FileTime>,
    records: u64,
}

impl Names {
    /// Names are told apart by the directory they are in, not by their path: links on the way to it do not matter.
    pub(super) fn key(salt: &[u8], parent: u64, name: &[u8]) -> [u8; 8] {
        let mut hasher = Hasher::new();
        hasher.update(salt);
        hasher.update(&parent.to_le_bytes());
        hasher.update(name);
        let digest = hasher.finish();
        digest.bytes().first_chunk().copied().unwrap_or_default()
    }

    /// All of `ledger`; `None` when it is damaged.
    pub(super) fn read(salt: &[u8], ledger: &[u8]) -> Option<Self> {
        let mut names = Self { salt: salt.to_vec(), keys: Vec::new(), times: BTreeMap::new(), records: 0 };
        let mut rest = ledger;
        while !rest.is_empty() {
            let (record, after) = Record::decode(rest)?;
            match record {
                Record::Name(key) => {
                    names.keys.push(key);
                    names.records += 1;
                }
                // The last one counts: a directory that comes twice.
                Record::Directory(inode, time) => {
                    names.times.insert(inode, time);
                }
            }
            rest = after;
        }
        names.keys.sort_unstable();
        names.keys.dedup();
        Some(names)
    }

    /// Whether the name was made before the checkpoint.
    pub(super) fn has(&self, parent: u64, name: &[u8]) -> bool {
        self.keys.binary_search(&Self::key(&self.salt, parent, name)).is_ok()
    }

    /// The time of a directory.
    pub(super) fn time(&self, inode: u64) -> Option<FileTime> {
        self.times.get(&inode).copied()
    }

    /// How many names there must be.
    pub(super) fn count(&self) -> usize {
        self.keys.len()
    }

    /// How many names were written to the ledger.
    pub(super) fn records(&self) -> u64 {
        self.records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_says_what_was_made_and_the_last_time_of_each_directory() {
        let salt = [7; 16];
        let time = |seconds| FileTime { seconds, nanoseconds: 5 };
        let records = [
            Record::Directory(1, time(-3)),
            Record::Name(Names::key(&salt, 1, b"a")),
            Record::Name(Names::key(&salt, 1, b"a")),
            Record::Directory(1, time(9)),
            Record::Name(Names::key(&salt, 2, b"a")),
        ];
        let bytes = records.iter().flat_map(Record::encode).collect::<Vec<_>>();
        let names = Names::read(&salt, &bytes).unwrap();
        assert_eq!((names.count(), names.records()), (2, 3));
        assert_eq!((names.time(1), names.time(2)), (Some(time(9)), None));
        for (parent, name, expected) in [(1, "a", true), (2, "a", true), (1, "b", false), (3, "a", false)] {
            assert_eq!(names.has(parent, name.as_bytes()), expected, "{parent} {name}");
        }
        for damaged in [&bytes[..bytes.len() - 1], &bytes[1..], b"x12345678"] {
            assert_eq!(Names::read(&salt, damaged), None);
        }
        assert_eq!(Names::read(&salt, b"").unwrap().count(), 0);
    }
}
