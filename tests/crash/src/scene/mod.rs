//! What is recorded: the real binary against a real registry, broker and runtime.

pub mod boot;
pub mod store;
pub mod trace;
pub mod update;

use std::io;
use std::path::Path;

use coracle_test_support::tree::look;

use crate::lay::lay;
use crate::record::Recorder;

/// Any text as an error.
pub(crate) fn problem(text: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::other(text)
}

/// Whether the recording, replayed to its end without a loss, is what really lies there: nothing was done unseen.
///
/// # Errors
/// The first path that differs.
pub(crate) fn faithful(recorder: &Recorder, real: &Path, aside: &Path) -> io::Result<()> {
    std::fs::create_dir_all(aside)?;
    lay(&recorder.now, aside)?;
    let (mut real, mut ours) = (look(real), look(aside));
    for looks in [&mut real, &mut ours] {
        looks.retain(|path, _| {
            !(path.as_os_str().is_empty() || path.starts_with("scratch") || path.starts_with("volumes"))
        });
        for (path, look) in looks {
            // Only a layer's times are of its making.
            if !path.components().any(|part| part.as_os_str() == "tree") {
                look.mtime = (0, 0);
            }
        }
    }
    let paths = real.keys().chain(ours.keys());
    match paths.filter(|path| real.get(*path) != ours.get(*path)).min() {
        None => std::fs::remove_dir_all(aside),
        Some(path) => Err(problem(format!(
            "the recording is not faithful at {}: recorded {:?}, really {:?}",
            path.display(),
            ours.get(path),
            real.get(path)
        ))),
    }
}
