//! `cargo xtask crash` builds and starts this: records, replays, says what came of it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use coracle_test_crash::op::Barrier;
use coracle_test_crash::recording::Recording;
use coracle_test_crash::replay::{Depth, replay};
use coracle_test_crash::scene;
use coracle_test_support::registry::Registry;
use coracle_test_support::scratch::TempDir;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// What is asked for.
struct Wanted {
    exe: PathBuf,
    short: bool,
    seed: u64,
    seeds: u64,
    without: Option<Barrier>,
}

/// The planted bugs that a replay must find.
const PLANTED: [(&str, Barrier); 3] =
    [("file", Barrier::File), ("directory", Barrier::Directory), ("filesystem", Barrier::FileSystem)];
/// Bad ends that are told in full.
const TOLD: usize = 10;

fn main() -> ExitCode {
    match wanted().and_then(|wanted| check(&wanted)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("crash: {error}");
            ExitCode::FAILURE
        }
    }
}

fn wanted() -> io::Result<Wanted> {
    let mut wanted = Wanted { exe: PathBuf::new(), short: false, seed: 1, seeds: 3, without: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| io::Error::other(format!("{word} needs a value")));
        let number =
            |text: String| text.parse().map_err(|_| io::Error::other(format!("{text} is no number")));
        match word.as_str() {
            "--exe" => wanted.exe = value()?.into(),
            "--short" => wanted.short = true,
            "--seed" => wanted.seed = number(value()?)?,
            "--seeds" => wanted.seeds = number(value()?)?,
            "--without" => {
                let kind = value()?;
                let found = PLANTED.iter().find(|(name, _)| *name == kind);
                let (_, barrier) =
                    found.ok_or_else(|| io::Error::other("--without file|directory|filesystem"))?;
                wanted.without = Some(*barrier);
            }
            other => {
                let usage = "crash [--short] [--seed N] [--seeds N] [--without file|directory|filesystem]";
                return Err(io::Error::other(format!("{other}? {usage}")));
            }
        }
    }
    Ok(wanted)
}

fn check(wanted: &Wanted) -> io::Result<bool> {
    let began = Instant::now();
    // Disks are laid on a file system in memory that nobody else sees, and that goes with this process.
    let disks = TempDir::new("crash");
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    mount(Some("tmpfs"), disks.path(), Some("tmpfs"), MsFlags::empty(), Some("mode=0700"))?;
    let outcome = replayed(wanted, disks.path(), began);
    nix::mount::umount2(disks.path(), nix::mount::MntFlags::MNT_DETACH)?;
    outcome
}

fn replayed(wanted: &Wanted, disks: &Path, began: Instant) -> io::Result<bool> {
    let registry = Registry::start()?;
    let (traces, boards) = (TempDir::new("traces"), if wanted.short { 3 } else { 12 });
    let recordings = [
        scene::store::record(&wanted.exe, &registry, &traces)?,
        scene::update::record(&wanted.exe, &registry, &traces)?,
    ];
    println!("recorded in {:.1} s", began.elapsed().as_secs_f32());
    let depth = Depth {
        seed: wanted.seed,
        seeds: if wanted.short { 1 } else { wanted.seeds },
        stride: if wanted.short { 4 } else { 1 },
        until_bad: false,
    };
    let (
        mut operations,
        mut prefixes,
        mut variants,
        mut disks_seen,
        mut recovered,
        mut bad,
        mut booted,
        mut caught,
    ) = (0, 0, 0, 0, 0, 0, 0, 0);
    for recording in &recordings {
        let ops = wanted.without.map_or_else(|| recording.ops.clone(), |barrier| recording.without(barrier));
        let outcome = replay(recording, &ops, depth, disks)?;
        for end in outcome.bad.iter().take(TOLD) {
            println!("bad: {}: {}", end.at, end.wrong.join("; "));
        }
        println!(
            "{}: {} operations, {} journals, {} prefixes, {} variants, {} disks, {} bad",
            recording.name,
            ops.len(),
            recording.journals.len(),
            outcome.prefixes,
            outcome.variants,
            outcome.disks,
            outcome.bad.len()
        );
        operations += ops.len();
        prefixes += outcome.prefixes;
        variants += outcome.variants;
        disks_seen += outcome.disks;
        recovered += outcome.recovered;
        bad += outcome.bad.len();
        if wanted.without.is_none() {
            booted += scene::boot::boot(recording, boards, wanted.seed, &wanted.exe, &registry)?;
        }
    }
    if wanted.without.is_none() {
        caught = planted(&recordings, depth, disks)?;
    }
    println!(
        "crash: {operations} operations, {prefixes} prefixes, {variants} variants, {disks_seen} different disks, {recovered} \
         recovered, {bad} bad; {booted} booted by the real binary; {caught} of {} planted bugs caught; seed {}, {:.1} s",
        if wanted.without.is_none() { PLANTED.len() } else { 0 },
        wanted.seed,
        began.elapsed().as_secs_f32()
    );
    Ok(bad == 0 && (wanted.without.is_some() || caught == PLANTED.len()))
}

/// How many of the planted bugs show: a check that finds nothing has to be able to find something.
fn planted(recordings: &[Recording], depth: Depth, disks: &Path) -> io::Result<usize> {
    let depth = Depth { until_bad: true, ..depth };
    let mut caught = 0;
    for (name, barrier) in PLANTED {
        let mut shown = false;
        for recording in recordings {
            if let Some(end) = replay(recording, &recording.without(barrier), depth, disks)?.bad.first() {
                println!(
                    "planted, no {name} barriers: {}: {}",
                    end.at,
                    end.wrong.first().map_or("", String::as_str)
                );
                shown = true;
                break;
            }
        }
        caught += usize::from(shown);
    }
    Ok(caught)
}
