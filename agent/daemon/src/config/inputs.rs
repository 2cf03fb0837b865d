//! Stage two: all files merged; each key once, with the place that won.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::{ConfigError, Mistake};
use super::fragment::{self, Raw};

/// Bytes of one file; a hand-written one has a few hundred.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// Files of one `config.d`; provisioning tools drop a handful.
const FRAGMENTS_MAX: usize = 256;

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Origin {
    /// Built in.
    Default,
    /// Worked out from a fact of this board.
    Derived {
        /// The fact.
        from: String,
    },
    /// Written down.
    File {
        /// The file.
        file: PathBuf,
        /// Its line, counted from 1.
        line: usize,
    },
}

/// The base files in the order they are read, each with its neighbor `config.d`.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    bases: Vec<PathBuf>,
    /// A base that was asked for by name must be there.
    required: bool,
}

impl Sources {
    /// The vendor's, then the operator's.
    pub(crate) fn system() -> Self {
        Self::under(Path::new("/"))
    }

    /// The same below another root.
    pub(crate) fn under(root: &Path) -> Self {
        let bases = ["usr/lib/coracle/config.toml", "etc/coracle/config.toml"];
        Self { bases: bases.iter().map(|base| root.join(base)).collect(), required: false }
    }

    /// One file and its neighbor `config.d`.
    pub(crate) fn only(file: &Path) -> Self {
        Self { bases: vec![file.to_owned()], required: true }
    }
}

/// What the files say, merged.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    /// The files that were read, in order.
    pub(crate) files: Vec<PathBuf>,
    values: BTreeMap<&'static str, (Raw, PathBuf, usize)>,
}

impl Inputs {
    /// Adds one file over what is there.
    pub(crate) fn add(&mut self, file: &Path, text: &str) -> Result<(), Mistake> {
        for entry in fragment::parse(file, text)? {
            self.values.insert(entry.key, (entry.value, file.to_owned(), entry.line));
        }
        self.files.push(file.to_owned());
        Ok(())
    }

    /// The value of a key and where it was written.
    pub(crate) fn value(&self, key: &str) -> Option<&(Raw, PathBuf, usize)> {
        self.values.get(key)
    }

    /// The first key of a section that was written, with its place.
    pub(crate) fn first_of(&self, section: &str) -> Option<(&'static str, &Path, usize)> {
        let mut inside = self.values.iter().filter(|(key, _)| super::keys::section(key) == section);
        inside.next().map(|(key, (_, file, line))| (*key, file.as_path(), *line))
    }
}

/// Reads and merges all files of `sources`.
pub(crate) fn gather(sources: &Sources) -> Result<Inputs, ConfigError> {
    let mut inputs = Inputs::default();
    for base in &sources.bases {
        match read(base) {
            Ok(text) => inputs.add(base, &text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !sources.required => {}
            Err(source) => return Err(ConfigError::Read { path: base.clone(), source }),
        }
        for file in neighbors(base)? {
            let text = read(&file).map_err(|source| ConfigError::Read { path: file.clone(), source })?;
            inputs.add(&file, &text)?;
        }
    }
    Ok(inputs)
}

/// `config.d/*.toml` beside `base`, sorted by name.
fn neighbors(base: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let folder = base.parent().unwrap_or(Path::new(".")).join("config.d");
    let failed = |source| ConfigError::Read { path: folder.clone(), source };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(failed)?.path();
        let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && file.extension().is_some_and(|extension| extension == "toml") {
            files.push(file);
        }
        if files.len() > FRAGMENTS_MAX {
            let problem = format!("more than {FRAGMENTS_MAX} files");
            return Err(Mistake { file: Some(folder.clone()), line: None, key: None, problem }.into());
        }
    }
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(file)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}
