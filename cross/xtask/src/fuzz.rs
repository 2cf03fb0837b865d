//! `fuzz [--seconds N] [--target NAME] [--seed S] [--keep] [--short]`: feeds whatever reads strangers' bytes, as
//! `tests/fuzz` says, and counts what it was fed with.
//!
//! The program is built as cargo-fuzz builds it, with the compiler of `rust-toolchain.toml`: what is fed is watched by
//! the address sanitizer, and the engine (libFuzzer) sees which branches each input takes. C code is not watched.
//! It has all targets in it; a variable says which one it feeds.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::thread;

use coracle_test_support::process::run;

use crate::{setup, words};

/// What is fed: of this machine, for the sanitizer's own library is dynamic nowhere.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
const PROFILE: &str = "fuzz";
const PROGRAM: &str = "feed";
/// Names the target.
const CHOSEN: &str = "CORACLE_FUZZ_TARGET";
/// What cargo-fuzz hands to the compiler.
const RUSTFLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address";
/// Seconds that each target is fed for.
const SECONDS: u64 = 60;
/// The same in `ci`: with one seed and from what is in the tree, so always with the same inputs, as far as time reaches.
const SHORT_SECONDS: u64 = 5;
const SHORT_RUNS: u64 = 20_000;
/// Seconds after which one input counts as endless.
const INPUT_SECONDS: u64 = 20;
/// MiB of a whole program under the sanitizer, which triples what it takes, and of one piece of memory.
const MEMORY_MIB: u64 = 1024;
const PIECE_MIB: u64 = 64;
/// Bytes of one input; whatever is read has its bounds, which tests meet with one input each.
const INPUT_BYTES: u64 = 16 << 10;
/// Bytes that one corpus may take of the repository.
const KEPT_BYTES: u64 = 48 << 10;

/// What one target came to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fed {
    name: String,
    runs: u64,
    coverage: u64,
    /// What it said when it ended badly.
    crash: Option<String>,
}

/// How it is fed.
struct How {
    seconds: u64,
    seed: Option<u64>,
    short: bool,
    keep: bool,
}

/// Builds the program, and feeds all targets or one, as many at a time as there are processors.
pub fn command(given: &[String]) -> io::Result<()> {
    words::only(given, &["--seconds", "--target", "--seed"], &["--short", "--keep"])?;
    let flag = |name: &str| given.iter().any(|word| word == name);
    let short = flag("--short");
    let seconds = words::number(given, "--seconds", if short { SHORT_SECONDS } else { SECONDS })?;
    let seed = words::text(given, "--seed").map(|_| words::number(given, "--seed", 1)).transpose()?;
    let how = How { seconds, seed: seed.or(short.then_some(1)), short, keep: flag("--keep") };
    let mut targets = targets()?;
    if let Some(name) = words::text(given, "--target") {
        if !targets.iter().any(|target| target == name) {
            return Err(io::Error::other(format!("there is no target {name:?}, but {}", targets.join(", "))));
        }
        targets.retain(|target| target == name);
    }
    setup::for_fuzz()?;
    let program = built()?;
    let (waiting, done) = (Mutex::new(VecDeque::from(targets)), Mutex::new(Vec::new()));
    let workers = thread::available_parallelism()?.get();
    // Not in the condition of the loop, which would hold the lock while a target is fed.
    let next = || lock(&waiting).pop_front();
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(name) = next() {
                    let outcome = feed(&program, &name, &how);
                    println!("{}", line(&name, &outcome));
                    lock(&done).push(outcome);
                }
            });
        }
    });
    let fed = done.into_inner().unwrap_or_default().into_iter().collect::<io::Result<Vec<_>>>()?;
    let (runs, crashes) =
        (fed.iter().map(|fed| fed.runs).sum::<u64>(), fed.iter().filter(|it| it.crash.is_some()).count());
    println!("fuzz: {} targets, {runs} executions, {crashes} crashes", fed.len());
    if crashes == 0 {
        Ok(())
    } else {
        Err(io::Error::other("a target crashed: mend it, and make a test of the input"))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn line(name: &str, outcome: &io::Result<Fed>) -> String {
    match outcome {
        Ok(Fed { runs, coverage, crash: None, .. }) => {
            format!("{name:<14} {runs:>9} executions, coverage {coverage:>5}, no crash")
        }
        Ok(Fed { runs, coverage, crash: Some(said), .. }) => {
            format!("{name:<14} {runs:>9} executions, coverage {coverage:>5}, CRASHED\n{said}")
        }
        Err(error) => format!("{name:<14} could not be fed: {error}"),
    }
}

fn crate_dir() -> io::Result<PathBuf> {
    Ok(setup::root()?.join("tests/fuzz"))
}

/// The names of the targets: each has a corpus, and each corpus a target, as the tests of that crate demand.
fn targets() -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(crate_dir()?.join("corpus"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Builds the program; its path.
fn built() -> io::Result<PathBuf> {
    let words = [
        "build",
        "--quiet",
        "--package",
        "coracle-fuzz",
        "--target",
        TRIPLE,
        "--profile",
        PROFILE,
        "--bin",
        PROGRAM,
    ];
    let mut cargo = setup::cargo(&words)?;
    // The sanitizer's flag is not stable, and the compiler is.
    cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", RUSTFLAGS);
    if cargo.status()?.success() {
        return Ok(setup::target_dir()?.join(TRIPLE).join(PROFILE).join(PROGRAM));
    }
    Err(io::Error::other("the program does not build"))
}

/// Feeds one target.
fn feed(program: &Path, name: &str, how: &How) -> io::Result<Fed> {
    let own = setup::target_dir()?.join("fuzz").join(name);
    let (known, seeds) =
        (own.join(if how.short { "short" } else { "corpus" }), crate_dir()?.join("corpus").join(name));
    if how.short && known.exists() {
        fs::remove_dir_all(&known)?;
    }
    fs::create_dir_all(&known)?;
    fs::create_dir_all(&seeds)?;
    let mut fuzzer = Command::new(program);
    fuzzer.env(CHOSEN, name);
    fuzzer.arg(&known).arg(&seeds);
    let mut set = |name: &str, value: u64| {
        fuzzer.arg(format!("-{name}={value}"));
    };
    set("max_total_time", how.seconds);
    if how.short {
        set("runs", SHORT_RUNS);
    }
    if let Some(seed) = how.seed {
        set("seed", seed);
    }
    set("timeout", INPUT_SECONDS);
    set("rss_limit_mb", MEMORY_MIB);
    set("malloc_limit_mb", PIECE_MIB);
    set("max_len", INPUT_BYTES);
    set("print_final_stats", 1);
    fuzzer.arg(format!("-artifact_prefix={}/", own.display()));
    let Output { status, stderr, .. } = fuzzer.stdin(Stdio::null()).stdout(Stdio::null()).output()?;
    let fed = read(name, status, &String::from_utf8_lossy(&stderr));
    if how.keep && fed.crash.is_none() {
        keep(program, name, &known, &seeds)?;
    }
    Ok(fed)
}

/// Reads what the engine said.
fn read(name: &str, status: ExitStatus, said: &str) -> Fed {
    let number = |line: &str, after: &str| {
        let rest = line.split_once(after)?.1.trim_start();
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
    };
    let last = |after: &str| said.lines().rev().find_map(|line| number(line, after)).unwrap_or(0);
    let (runs, coverage) = (last("stat::number_of_executed_units:"), last(" cov:"));
    // Before the stack: who panicked or what the sanitizer met; after it: where the input is.
    let telling = |line: &&str| {
        ["panicked at", "ERROR: ", "SUMMARY: ", "Test unit written to", "assertion", " left:", "right:"]
            .iter()
            .any(|word| line.contains(word))
    };
    let crash = (!status.success()).then(|| {
        let mut lines = said.lines().skip_while(|line| !telling(line)).take(8).collect::<Vec<_>>();
        lines.extend(said.lines().filter(|line| line.contains("Test unit written to")));
        if lines.is_empty() { format!("ended with {status}") } else { lines.join("\n") }
    });
    Fed { name: name.to_owned(), runs, coverage, crash }
}

/// Keeps in the tree what it takes for the coverage that was reached, the smallest first.
fn keep(program: &Path, name: &str, known: &Path, seeds: &Path) -> io::Result<()> {
    let fresh = known.with_file_name("kept");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir_all(&fresh)?;
    let mut merge = Command::new(program);
    merge.env(CHOSEN, name);
    // By what is covered, not how often: a merge by counts keeps many small inputs for one branch.
    merge.args(["-set_cover_merge=1", "-use_counters=0"]);
    run(merge.arg(format!("-max_len={INPUT_BYTES}")).args([&fresh, seeds, known]))?;
    let mut files = Vec::new();
    for entry in fs::read_dir(&fresh)? {
        let entry = entry?;
        files.push((entry.metadata()?.len(), entry.path()));
    }
    files.sort();
    fs::remove_dir_all(seeds)?;
    fs::create_dir_all(seeds)?;
    let mut taken = 0;
    for (bytes, file) in files {
        taken += bytes;
        if taken > KEPT_BYTES {
            break;
        }
        let to = file.file_name().map(|name| seeds.join(name)).unwrap_or_default();
        fs::copy(&file, to)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    const GOOD: &str = "INFO: Seed: 1\n#2\tINITED cov: 12 ft: 13 corp: 1/1b\n#20000\tDONE   cov: 812 ft: 2301 corp: 77/2Kb\n\
        Done 20000 runs in 1 second(s)\nstat::number_of_executed_units: 20000\nstat::peak_rss_mb:  61\n";

    #[test]
    fn a_good_end_is_counted() {
        let fed = read("names", ExitStatus::from_raw(0), GOOD);
        assert_eq!((fed.runs, fed.coverage, fed.crash), (20_000, 812, None));
    }

    #[test]
    fn a_crash_tells_who_panicked_and_where_the_input_is() {
        let said = "#9\tNEW    cov: 40 ft: 41\nthread '<unnamed>' panicked at src/x.rs:1:2:\nboom\n==1== ERROR: libFuzzer: deadly signal\n\
            stat::number_of_executed_units: 11\nTest unit written to /x/crash-1\n";
        let fed = read("names", ExitStatus::from_raw(77 << 8), said);
        assert_eq!((fed.runs, fed.coverage), (11, 40));
        let crash = fed.crash.unwrap();
        assert!(
            crash.contains("src/x.rs:1:2") && crash.contains("boom") && crash.contains("/x/crash-1"),
            "{crash}"
        );
    }

    #[test]
    fn there_are_targets() {
        assert!(targets().unwrap().contains(&"layer_entries".to_owned()));
    }
}
