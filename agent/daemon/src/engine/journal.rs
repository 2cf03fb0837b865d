//! The record on disk: replaced whole, durable before it is answered.

use std::io;
use std::path::{Path, PathBuf};

use coracle_core::record::{Record, RecordError};
use coracle_host::files;
use coracle_host::reserve::Reserve;

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
            Ok(Some(bytes)) => Record::from_bytes(&bytes),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(RecordError::Damaged(error.to_string()))
            }
            Err(source) => return Err(io("read", &path)(source)),
        };
        match read {
            Ok(record) => {
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

#[cfg(test)]
mod tests {
    use super::*;

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
