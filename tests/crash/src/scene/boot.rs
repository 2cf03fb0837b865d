//! Some of the disks given to the real binary, which must go on from them.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use coracle_core::record::Record;
use coracle_test_support::agent::{Board, Settings};
use coracle_test_support::process::{eventually, run};
use coracle_test_support::registry::Registry;

use super::{problem, update};
use crate::cut::{Loss, cut};
use crate::durable::Durable;
use crate::lay::lay;
use crate::recording::{JOURNAL, Recording};

/// What anything may take on a board that shares its machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// Boots `count` boards of the recording, evenly spread over it, each with another loss; how many went on.
///
/// # Errors
/// What a board did not do, and where it was cut off.
pub fn boot(
    recording: &Recording,
    count: usize,
    seed: u64,
    exe: &Path,
    registry: &Registry,
) -> io::Result<usize> {
    let losses = [Loss::Anything(seed), Loss::All, Loss::Bytes, Loss::Some(seed), Loss::Torn];
    for sample in 0..count {
        let at = recording.ops.len() * (sample + 1) / (count + 1);
        let loss = losses[sample % losses.len()];
        let mut durable = Durable::new(&recording.births);
        recording.ops.iter().take(at).enumerate().for_each(|(number, op)| durable.advance(number, op));
        let mut settings = Settings::new(update::DEVICE);
        settings.insecure = vec![registry.host()];
        let mut board = Board::new(exe, &settings)?;
        fs::create_dir(board.state_dir())?;
        lay(&cut(&durable, loss, &recording.births).disk, &board.state_dir())?;
        goes_on(&mut board, recording)
            .map_err(|error| problem(format!("{}, operation {at}, {loss}: {error}", recording.name)))?;
    }
    Ok(count)
}

/// What was active runs, without a broker; every image can be had; what nothing needs goes.
fn goes_on(board: &mut Board, recording: &Recording) -> io::Result<()> {
    let journal = fs::read(board.state_dir().join(JOURNAL)).ok();
    let record = journal.map(|bytes| Record::from_bytes(&bytes)).transpose().map_err(io::Error::other)?;
    board.start()?;
    let active = record.and_then(|record| record.rollout.active);
    for id in active.iter().flat_map(|active| active.workloads.keys()) {
        let runs = |command: &mut Command| {
            let shown: serde_json::Value = serde_json::from_str(&run(command)?).map_err(io::Error::other)?;
            let all = shown.as_array().cloned().unwrap_or_default();
            io::Result::Ok(all.iter().any(|one| one["id"] == id.to_string() && one["state"] == "running"))
        };
        eventually(PATIENCE, || runs(&mut board.command(&["ps", "--all", "--json"])).unwrap_or(false));
    }
    // Its start removes leftovers under the lock that a pull needs.
    for image in recording.known.images.values() {
        run(&mut board.command(&["pull", "--quiet", &image.reference]))?;
    }
    if board.state_dir().join("journal.damaged").exists() {
        return Err(problem("the journal was put aside as damaged"));
    }
    run(&mut board.command(&["prune"])).map(drop)
}
