//! What the system says of itself, found out before the sandbox of the agent's unit closes, for the agent within.
//!
//! `<run_dir>/board.json`, in memory: `{"version":1,"facts":{…}}`. It is written anew before each start of the agent.

use std::fs;
use std::io;
use std::path::Path;

use coracle_core::board::Facts;
use coracle_core::saved::Newer;
use coracle_host::files;
use serde::{Deserialize, Serialize};

const FILE: &str = "board.json";
const VERSION: u32 = 1;
/// Bytes of it; the beginning of `/proc/cpuinfo` is most of that.
const BYTES_MAX: u64 = 64 << 10;

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    facts: Facts,
}

/// Replaces what is saved.
///
/// # Errors
/// That of the file system.
pub(super) fn write(run_dir: &Path, facts: Facts) -> io::Result<()> {
    fs::create_dir_all(run_dir)?;
    let fresh = run_dir.join("board.json.new");
    fs::write(&fresh, serde_json::to_vec(&Saved { version: VERSION, facts })?)?;
    fs::rename(fresh, run_dir.join(FILE))
}

/// What was saved, or why it cannot be had.
pub(super) fn read(run_dir: &Path) -> Result<Facts, String> {
    let path = run_dir.join(FILE);
    let fail = |why: String| format!("{}: {why}", path.display());
    let bytes = files::read_bounded(&path, BYTES_MAX).map_err(|error| fail(error.to_string()))?;
    let bytes = bytes.ok_or_else(|| fail("coracle platform --save has not written it".to_owned()))?;
    if let Some(newer) = Newer::of_json(&bytes, VERSION) {
        return Err(fail(newer.to_string()));
    }
    let saved: Saved = serde_json::from_slice(&bytes).map_err(|error| fail(error.to_string()))?;
    Ok(saved.facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_read_and_nothing_else() {
        let dir = std::env::temp_dir().join(format!("coracle-facts-{}", std::process::id()));
        assert!(read(&dir).unwrap_err().ends_with("coracle platform --save has not written it"));
        let facts = coracle_host::board::gather();
        write(&dir, facts.clone()).unwrap();
        assert_eq!(read(&dir).unwrap(), facts);
        fs::write(dir.join(FILE), r#"{"version":2,"facts":{}}"#).unwrap();
        assert!(read(&dir).unwrap_err().ends_with("reads up to version 1: install the newer agent again"));
        fs::write(dir.join(FILE), "{").unwrap();
        assert!(read(&dir).unwrap_err().contains("board.json: EOF"));
        fs::remove_dir_all(&dir).unwrap();
    }
}
