//! The second reader: the CycloneDX project's own library and schemas, in a Python environment of the cache.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::Command;

use coracle_test_support::process::run;

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
    let said =
        run(Command::new(setup::python(NAME, &[LIBRARY], "reads the bill of materials by its schema")?)
            .args(["-c", SCRIPT])
            .arg(document))?;
    Ok(Verdict(Some(said.trim().to_owned()).filter(|said| !said.is_empty())))
}
