//! Every point of a recording, every loss there, each on a real directory and recovered.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use coracle_host::files::unique_name;

use crate::cut::{Left, Loss, cut, losses};
use crate::demand::{Demand, recover};
use crate::durable::Durable;
use crate::lay::lay;
use crate::op::Op;
use crate::recording::{Recording, Segment};

/// How thorough a replay is.
#[derive(Clone, Copy, Debug)]
pub struct Depth {
    /// The first seed.
    pub seed: u64,
    /// How many seeds.
    pub seeds: u64,
    /// Every how many operations the power is cut; barriers always count.
    pub stride: usize,
    /// Whether the first bad end is enough.
    pub until_bad: bool,
}

/// A disk that did not recover.
#[derive(Clone, Debug)]
pub struct Bad {
    /// Where, and what was lost.
    pub at: String,
    /// What is wrong with it.
    pub wrong: Vec<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Points at which the power was cut.
    pub prefixes: usize,
    /// Losses looked at.
    pub variants: usize,
    /// Disks among them that no other one equals; each was recovered.
    pub disks: usize,
    /// Those that were good.
    pub recovered: usize,
    /// Those that were not.
    pub bad: Vec<Bad>,
}

struct Task<'a> {
    at: usize,
    segment: &'a Segment,
    loss: Loss,
    left: Left,
}

/// Disks that wait for a worker.
const WAITING: usize = 8;

/// Replays `ops`, those of the recording or a changed copy of them, with every disk below `dir` for a moment.
///
/// # Errors
/// Those of the real file system that the disks are laid on.
pub fn replay(recording: &Recording, ops: &[Op], depth: Depth, dir: &Path) -> io::Result<Outcome> {
    let (send, tasks) = sync_channel(WAITING);
    let tasks = Mutex::new(tasks);
    let enough = AtomicBool::new(false);
    let recovered = AtomicUsize::new(0);
    let (bad, failed) = (Mutex::new(Vec::new()), Mutex::new(None));
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let mut outcome = Outcome::default();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(task) = next(&tasks) {
                    if enough.load(Ordering::Relaxed) {
                        continue;
                    }
                    match attempt(recording, &task, dir) {
                        Ok(wrong) if wrong.is_empty() => {
                            recovered.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(wrong) => {
                            enough.fetch_or(depth.until_bad, Ordering::Relaxed);
                            let at = format!(
                                "{}, {}, operation {}, {}",
                                recording.name, task.segment.name, task.at, task.loss
                            );
                            locked(&bad).push(Bad { at, wrong });
                        }
                        Err(error) => {
                            enough.store(true, Ordering::Relaxed);
                            *locked(&failed) = Some(error);
                        }
                    }
                }
            });
        }
        let mut seen = HashSet::new();
        let mut durable = Durable::new(&recording.births);
        for (number, op) in ops.iter().enumerate() {
            durable.advance(number, op);
            if enough.load(Ordering::Relaxed) {
                break;
            }
            let barrier = matches!(op.deed, crate::op::Deed::Sync { .. });
            let Some(segment) = recording.segments.iter().find(|segment| segment.ops.contains(&number))
            else {
                continue;
            };
            if !(number.is_multiple_of(depth.stride.max(1)) || barrier || number + 1 == segment.ops.end) {
                continue;
            }
            outcome.prefixes += 1;
            for loss in losses(depth.seed, depth.seeds) {
                outcome.variants += 1;
                let left = cut(&durable, loss, &recording.births);
                // The same disk under other promises is another question.
                if !seen.insert((left.key, recording.journals_at(number + 1).len(), &segment.name)) {
                    continue;
                }
                outcome.disks += 1;
                if send.send(Task { at: number + 1, segment, loss, left }).is_err() {
                    break;
                }
            }
        }
        drop(send);
    });
    if let Some(error) = failed.into_inner().unwrap_or_default() {
        return Err(error);
    }
    outcome.recovered = recovered.into_inner();
    outcome.bad = bad.into_inner().unwrap_or_default();
    Ok(outcome)
}

fn next<'a>(tasks: &Mutex<Receiver<Task<'a>>>) -> Option<Task<'a>> {
    locked(tasks).recv().ok()
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn attempt(recording: &Recording, task: &Task<'_>, dir: &Path) -> io::Result<Vec<String>> {
    let root = dir.join(unique_name());
    fs::create_dir(&root)?;
    lay(&task.left.disk, &root)?;
    let demand = Demand {
        known: &recording.known,
        promises: &task.segment.promises,
        journals: recording.journals_at(task.at),
        may_lack_journal: recording.may_lack_journal(task.at),
    };
    let wrong = recover(&root, &demand);
    fs::remove_dir_all(&root)?;
    Ok(wrong)
}
