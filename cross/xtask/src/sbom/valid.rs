//! The second reader: the CycloneDX project's own library and schemas, in a Python environment of the cache.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use coracle_test_support::process::run;
use coracle_test_support::scratch::cache;

use crate::setup;

/// Pinned, as the schemas come with it.
const LIBRARY: &str = "cyclonedx-python-lib[json-validation]==11.12.0";
const NAME: &str = "cyclonedx-11.12.0";
/// Says nothing where the document is good.
const SCRIPT: &str = "import sys
from cyclonedx.validation.json import JsonStrictValidator
from cyclonedx.schema import SchemaVersion
print(JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read()) or '')";

/// What the schema makes of a document.
pub struct Verdict(Option<String>);

impl Verdict {
    /// Whether it is as the schema says.
    pub fn is_good(&self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("valid CycloneDX 1.6"),
            Some(why) => write!(f, "NOT valid: {}", why.chars().take(2000).collect::<String>()),
        }
    }
}

/// Has the document read.
pub fn read(document: &Path) -> io::Result<Verdict> {
    let said = run(Command::new(python()?).args(["-c", SCRIPT]).arg(document))?;
    Ok(Verdict(Some(said.trim().to_owned()).filter(|said| !said.is_empty())))
}

/// The interpreter that has the library.
fn python() -> io::Result<PathBuf> {
    let root = cache().join(NAME);
    let python = root.join("bin/python");
    // Last of what is made, so that half an environment is not taken for one.
    let done = root.join("done");
    if !done.exists() {
        setup::install_program("python3", "python3", "reads the bill of materials by its schema")?;
        if run(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_err() {
            setup::install_packages(
                "python3-venv",
                "an environment for the reader of the bill of materials",
            )?;
        }
        println!("setup: installing {LIBRARY}: reads the bill of materials by its schema");
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&root))?;
        run(Command::new(&python).args([
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            LIBRARY,
        ]))?;
        std::fs::write(&done, "")?;
    }
    Ok(python)
}
