//! Restarts that somebody asked for, noted until they are done: an agent that ends between stop and start leaves a
//! workload that looks as if a person had stopped it, and nobody would start it again before a boot.
//!
//! One empty file a workload, `<run_dir>/restarts/<id>`, in memory: a boot starts every workload anyway.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use coracle_core::ident::WorkloadId;
use coracle_host::supervise::{Phase, Supervisor};

use crate::events;
use crate::exit::chain;

fn dir(run_dir: &Path) -> PathBuf {
    run_dir.join("restarts")
}

/// Notes that a restart begins.
///
/// # Errors
/// That of the file system; the restart may be done all the same.
pub(crate) fn begin(run_dir: &Path, id: &WorkloadId) -> io::Result<()> {
    fs::create_dir_all(dir(run_dir))?;
    fs::write(dir(run_dir).join(id.to_string()), b"")
}

/// Notes that it has ended, well or not.
pub(crate) fn end(run_dir: &Path, id: &WorkloadId) {
    // A file that is left costs one more look at the next start.
    let _ = fs::remove_file(dir(run_dir).join(id.to_string()));
}

/// Brings restarts to their end that an agent before this one began.
pub(crate) fn finish(run_dir: &Path, supervisor: &Supervisor) {
    let Ok(entries) = fs::read_dir(dir(run_dir)) else { return };
    let ids = entries.flatten().filter_map(|entry| WorkloadId::parse(entry.file_name().to_str()?).ok());
    for id in ids {
        let phase = supervisor.status(&id).map(|status| status.phase);
        if matches!(phase, Ok(Phase::Stopping | Phase::Stopped))
            && let Err(error) = supervisor.restart(&id)
        {
            events::lacking(&format!("the restart of {id} was not brought to its end"), &chain(&error));
        }
        end(run_dir, &id);
    }
}
