//! Why a configuration was refused.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A file or folder could not be read.
    #[error("failed to read configuration {path:?}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What it says cannot be obeyed.
    #[error("{0}")]
    Mistake(Box<Mistake>),
}

/// Something in a file that cannot be obeyed, written `file:line: key: problem`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// The file; absent where a default does not fit this board.
    pub(crate) file: Option<PathBuf>,
    /// Its line, counted from 1; absent where the mistake is the whole file's.
    pub(crate) line: Option<usize>,
    /// The key with its section, e.g. `broker.url`; absent where the file is no TOML.
    pub(crate) key: Option<String>,
    /// What is wrong and what would be right.
    pub(crate) problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.problem)
    }
}

impl From<Mistake> for ConfigError {
    fn from(mistake: Mistake) -> Self {
        Self::Mistake(Box::new(mistake))
    }
}
