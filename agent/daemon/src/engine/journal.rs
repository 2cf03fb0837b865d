//! The record on disk: replaced whole, durable before it is answered.

use std::io;
use std::path::{Path, PathBuf};

use coracle_core::record::{self, Record, RecordError};
use coracle_core::saved;
use coracle_host::files;
use coracle_host::reserve::Reserve;

use crate::exit::chain;

/// Bytes of a journal; documents are bounded, and there are few scopes.
const JOURNAL_BYTES_MAX: u64 = 4 << 20;
const MODE: u32 = 0o600;
const FILE: &str = "journal";

/// Where the record is kept.
pub(crate) struct Journal {
    path: PathBuf,
    /// Room for it on a full disk.
    reserve: Reserve,
    written: Option<Record>,
}

/// Why the record cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// The file system's answer.
    #[error("failed to {attempt} the journal {path}")]
    Io {
        /// `read` or `write`.
        attempt: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Written by a newer agent: this one must not touch it.
    #[error("failed to read the journal {path}")]
    Form {
        /// The file.
        path: PathBuf,
        /// Why.
        source: RecordError,
    },
}

/// What reading the journal found.
pub(crate) struct Opened {
    /// The journal.
    pub(crate) journal: Journal,
    /// What it holds; the default on a new board.
    pub(crate) record: Record,
    /// Set when what was there could not be read and was put aside: in which file, and why.
    pub(crate) damaged: Option<(PathBuf, RecordError)>,
}

impl Journal {
    /// Reads the journal in `state_dir`. A damaged one is put aside, never deleted: what runs keeps running and the
    /// next document is accepted anew.
    ///
    /// # Errors
    /// [`JournalError`]: the file system's answer, or a journal of a newer agent.
    pub(crate) fn open(state_dir: &Path) -> Result<Opened, JournalError> {
        let path = state_dir.join(FILE);
        let io = |attempt, path: &Path| {
            let path = path.to_owned();
            move |source| JournalError::Io { attempt, path, source }
        };
        let reserve = Reserve::of(state_dir);
        let read = match files::read_bounded(&path, JOURNAL_BYTES_MAX) {
            Ok(None) => {
                let journal = Self { path, reserve, written: None };
                return Ok(Opened { journal, record: Record::default(), damaged: None });
            }
            Ok(Some(bytes)) => Record::from_bytes(&bytes).map(|record| (record, bytes)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(RecordError::Damaged(error.to_string()))
            }
            Err(source) => return Err(io("read", &path)(source)),
        };
        match read {
            Ok((record, bytes)) => {
                keep_older(&path, &bytes)?;
                let journal = Self { path, reserve, written: Some(record.clone()) };
                Ok(Opened { journal, record, damaged: None })
            }
            Err(source @ RecordError::Newer(_)) => Err(JournalError::Form { path, source }),
            Err(error @ RecordError::Damaged(_)) => {
                let aside = path.with_extension("damaged");
                std::fs::rename(&path, &aside).map_err(io("put aside", &path))?;
                let journal = Self { path, reserve, written: None };
                Ok(Opened { journal, record: Record::default(), damaged: Some((aside, error)) })
            }
        }
    }

    /// What is to run after a boot, without changing anything, and why that is not what the journal holds: one of a
    /// newer agent is answered by the copy that it made of the last record that this one can read. Its image was rolled
    /// back, or its package; the board would run nothing else.
    pub(crate) fn for_boot(state_dir: &Path) -> (Record, Option<String>) {
        let error = match Self::peek(state_dir) {
            Ok(record) => return (record, None),
            Err(error) => error,
        };
        let copy = older(&state_dir.join(FILE), record::VERSION);
        let newer = matches!(&error, JournalError::Form { source: RecordError::Newer(_), .. });
        let read = newer.then(|| files::read_bounded(&copy, JOURNAL_BYTES_MAX).ok().flatten()).flatten();
        match read.and_then(|bytes| Record::from_bytes(&bytes).ok()) {
            Some(record) => {
                let why = format!(
                    "{}; what ran before that agent came is started, from {}",
                    chain(&error),
                    copy.display()
                );
                (record, Some(why))
            }
            None => (Record::default(), Some(chain(&error))),
        }
    }

    /// What the journal holds, without changing anything; the default where there is none.
    ///
    /// # Errors
    /// [`JournalError`], also for a damaged one.
    pub(crate) fn peek(state_dir: &Path) -> Result<Record, JournalError> {
        let path = state_dir.join(FILE);
        match files::read_bounded(&path, JOURNAL_BYTES_MAX) {
            Ok(None) => Ok(Record::default()),
            Ok(Some(bytes)) => {
                Record::from_bytes(&bytes).map_err(|source| JournalError::Form { path, source })
            }
            Err(source) => Err(JournalError::Io { attempt: "read", path, source }),
        }
    }

    /// What the file holds; `None` where there is none.
    pub(crate) fn held(&self) -> Option<&Record> {
        self.written.as_ref()
    }

    /// Whether the file holds what calls for the same as `record`.
    pub(crate) fn holds(&self, record: &Record) -> bool {
        self.written.as_ref().is_some_and(|written| written.calls_for_the_same(record))
    }

    /// Makes `record` durable; writes nothing when the file holds what calls for the same.
    ///
    /// # Errors
    /// [`JournalError`]; the file then still holds the record before.
    pub(crate) fn keep(&mut self, record: &Record) -> Result<(), JournalError> {
        if self.holds(record) {
            return Ok(());
        }
        let bytes =
            record.to_bytes().map_err(|source| JournalError::Form { path: self.path.clone(), source })?;
        let written = self.reserve.with(|| files::write_durable(&self.path, &bytes, MODE));
        written.map_err(|source| JournalError::Io { attempt: "write", path: self.path.clone(), source })?;
        self.written = Some(record.clone());
        Ok(())
    }
}

/// Where a journal of an older form is kept when this agent takes over from an older one.
fn older(path: &Path, version: u32) -> PathBuf {
    path.with_extension(version.to_string())
}

/// Keeps a journal of an older form, for the agent that wrote it: it may come back and cannot read ours. Once a version,
/// before the first record of ours takes its place.
fn keep_older(path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    let Some(version) = saved::version(bytes).filter(|version| *version < record::VERSION) else {
        return Ok(());
    };
    let copy = older(path, version);
    files::write_durable(&copy, bytes, MODE).map_err(|source| JournalError::Io {
        attempt: "keep the older form of",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_journal_is_kept_for_the_agent_that_wrote_it() {
        let dir = std::env::temp_dir().join(format!("coracle-journal-older-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let saved = include_bytes!("../../../../tests/data/journal/v1.json");
        std::fs::write(dir.join(FILE), saved).unwrap();
        let mut opened = Journal::open(&dir).unwrap();
        opened.record.epoch += 1;
        opened.journal.keep(&opened.record).unwrap();
        assert_eq!(std::fs::read(dir.join("journal.1")).unwrap(), saved);
        assert_eq!(saved::version(&std::fs::read(dir.join(FILE)).unwrap()), Some(record::VERSION));
        // The next start has nothing to keep.
        std::fs::remove_file(dir.join("journal.1")).unwrap();
        assert!(Journal::open(&dir).is_ok() && !dir.join("journal.1").exists());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_newer_journal_is_refused_and_stays_and_a_boot_starts_what_ran_before_it() {
        let dir = std::env::temp_dir().join(format!("coracle-journal-newer-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let newer = format!(r#"{{"version":{},"record":{{"in":"words"}}}}"#, record::VERSION + 1);
        std::fs::write(dir.join(FILE), &newer).unwrap();
        let said = chain(&Journal::open(&dir).err().unwrap());
        assert!(said.contains("journal") && said.contains("install the newer agent again"), "{said}");
        let (record, why) = Journal::for_boot(&dir);
        assert_eq!((record, why), (Record::default(), Some(said.clone())));
        let copy = Record { epoch: 7, ..Record::default() };
        let path = older(&dir.join(FILE), record::VERSION);
        std::fs::write(&path, copy.to_bytes().unwrap()).unwrap();
        let (record, why) = Journal::for_boot(&dir);
        assert_eq!(record, copy);
        let why = why.unwrap();
        assert!(why.starts_with(&said) && why.ends_with(&format!("from {}", path.display())), "{why}");
        assert_eq!(std::fs::read_to_string(dir.join(FILE)).unwrap(), newer);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_journal_longer_than_any_is_put_aside_and_never_in_the_way_of_a_start() {
        let dir = std::env::temp_dir().join(format!("coracle-journal-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::File::create(dir.join(FILE)).unwrap().set_len(JOURNAL_BYTES_MAX + 1).unwrap();
        let opened = Journal::open(&dir).unwrap();
        assert_eq!(opened.damaged.map(|(aside, _)| aside), Some(dir.join("journal.damaged")));
        assert!(opened.record == Record::default() && Journal::peek(&dir).is_ok());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
