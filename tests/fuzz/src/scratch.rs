//! A place for the unpacker that nothing can leave unseen.
//!
//! One thread has a mount namespace, a file system in memory and a root directory of its own. What escapes from the
//! tree that is unpacked, by a relative or by an absolute path, lands in that file system, beside things that are
//! compared after each run. The rest of the process, which keeps corpora and reports, sees nothing of it.
//!
//! ```text
//! /proc            that of the machine
//! /etc /outside /a/outside /a/b/outside …     compared
//! /a/b/<name>/     what a run asks for
//! ```

use std::any::Any;
use std::fs;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, chroot};

use crate::tree::{Looks, look};

/// Where runs have their directories.
const PLACE: &str = "/a/b";
/// What is not compared: the runs' own.
const NOT_COMPARED: &[&str] = &["proc", "a/b/runs"];
/// What a run makes in its directory.
const OWN: &[&str] = &["plain", "walked", "wrapped", "whole", "parts"];
/// Memory that all files of a run may take: more is an error of the file system, as on a full disk.
const BYTES: &str = "size=64m,nr_inodes=20000,mode=755";

type Job = Box<dyn FnOnce(&Path) + Send>;
type Outcome = Result<(), Box<dyn Any + Send>>;

struct Worker {
    jobs: Sender<Job>,
    outcomes: Receiver<Outcome>,
}

/// Runs `job` in there with an empty directory, in which it may make what is in [`OWN`]; then checks that everything
/// beside that is as it was.
pub(crate) fn within(job: impl FnOnce(&Path) + Send + 'static) {
    static WORKER: OnceLock<Mutex<Worker>> = OnceLock::new();
    // A run that panicked has left nothing half-done: each begins anew.
    let worker = WORKER.get_or_init(|| Mutex::new(start())).lock().unwrap_or_else(PoisonError::into_inner);
    worker.jobs.send(Box::new(job)).expect("a worker");
    let outcome = worker.outcomes.recv().expect("a worker: it needs root");
    drop(worker);
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

fn start() -> Worker {
    let (jobs, taken) = channel::<Job>();
    let (told, outcomes) = channel();
    std::thread::spawn(move || {
        enter().expect("a mount namespace and a root of its own, for which one has to be root");
        let before = beside();
        let runs = Path::new(PLACE).join("runs");
        while let Ok(job) = taken.recv() {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                clear(&runs);
                job(&runs);
                assert_eq!(beside(), before, "something outside of the tree was changed");
                let strange = names(&runs).into_iter().find(|name| !OWN.contains(&name.as_str()));
                assert_eq!(strange, None, "something appeared beside the tree");
            }));
            if told.send(outcome).is_err() {
                return;
            }
        }
    });
    Worker { jobs, outcomes }
}

/// Only the thread that calls this gets there.
fn enter() -> nix::Result<()> {
    let none = None::<&str>;
    let temporary = std::env::temp_dir();
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some("tmpfs"), &temporary, Some("tmpfs"), MsFlags::empty(), Some(BYTES))?;
    let system = |error: std::io::Error| nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(0));
    let proc = temporary.join("proc");
    fs::create_dir(&proc).map_err(system)?;
    mount(Some("/proc"), &proc, none, MsFlags::MS_BIND, none)?;
    mount(none, &proc, none, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, none)?;
    chroot(&temporary)?;
    chdir("/")?;
    furnish().map_err(system)
}

/// What an escape would find: the names that layers use, at each level.
fn furnish() -> std::io::Result<()> {
    fs::create_dir_all(Path::new(PLACE).join("runs"))?;
    for level in ["/", "/a", "/a/b"] {
        let level = Path::new(level);
        for folder in ["etc", "outside", "bin"] {
            fs::create_dir(level.join(folder))?;
            fs::write(level.join(folder).join("passwd"), "root:x:0:0::/:\n")?;
        }
        fs::write(level.join("canary"), "as it was")?;
        symlink("canary", level.join("link"))?;
    }
    Ok(())
}

fn beside() -> Looks {
    look(Path::new("/"), NOT_COMPARED)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the place of runs");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

/// A fresh directory; the one above it keeps its time, for nobody touches that.
fn clear(runs: &Path) {
    for name in names(runs) {
        let path = runs.join(name);
        if path.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            fs::remove_dir_all(&path).expect("to clear it");
        } else {
            fs::remove_file(&path).expect("to clear it");
        }
    }
}
