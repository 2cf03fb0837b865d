//! The whole truth: every check there is, each named with its time, all of them run even when one fails.

use std::fs::{self, File};
use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use coracle_test_support::scratch::TempDir;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use crate::{
    boards, booted, build, deny, fuzz, links, packages, powercut, repair, sbom, setup, sim, size, tidy,
    units, yocto,
};

type Step = (&'static str, fn() -> io::Result<()>);

/// Quick ones first; tests last, so that their closing lines are the end of the output. The attacks are among the tests;
/// `attacks` itself tells them as a table.
const STEPS: &[Step] = &[
    ("setup", || setup::command(&[])),
    ("format", || cargo(&["fmt", "--all", "--check"])),
    ("tidy", || tidy::command(&[])),
    ("clippy", || cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])),
    ("targets", || build::lint(&[])),
    ("docs", docs),
    ("units", || units::command(&[])),
    ("yocto", || yocto::command(&["--short".to_owned()])),
    ("deny", || deny::command(&[])),
    ("sbom", || sbom::command(&[])),
    ("sim", || sim::command(&["--schedules", "40000"].map(String::from))),
    ("fuzz", || fuzz::command(&["--short".to_owned()])),
    ("size", || size::command(&[])),
    ("systemd", || booted::command(&[])),
    ("packages", || packages::command(&[])),
    ("board", || boards::command(&["--only", "amd64", "--short"].map(String::from))),
    ("powercut", || powercut::command(&powercut::SHORT.map(String::from))),
    ("crash", || own(&["crash", "--short"])),
    ("links", || links::command(&["--short".to_owned()])),
    ("repair", || repair::command(&[])),
    ("disks", || own(&["crash", "--board", "--step", "40"])),
    ("badupdate", || own(&["badupdate"])),
    ("test", || own(&["test"])),
];

/// Linking the release keeps one processor busy for minutes, so this begins as soon as the setup is done, and is waited
/// for when its turn has come. Its folder of the build is no other step's until then.
const EARLY: &str = "size";

/// Runs them all.
pub fn command(_: &[String]) -> io::Result<()> {
    let began = Instant::now();
    let (mut failed, mut early) = (Vec::new(), None);
    for (name, step) in STEPS {
        println!("=== {name}");
        let (began, used) = (Instant::now(), used()?);
        let outcome = match early.take_if(|_| *name == EARLY) {
            Some(early) => Early::end(early),
            None => step(),
        };
        if *name == "setup" {
            early = Early::begin().inspect_err(|e| println!("{EARLY} waits for its turn: {e}")).ok();
        }
        let (seconds, busy) =
            (began.elapsed().as_secs_f32(), self::used()?.saturating_sub(used).as_secs_f32());
        match outcome {
            Ok(()) => println!("=== {name}: good, {seconds:.1} s, {busy:.1} s of processors"),
            Err(e) => {
                println!("=== {name}: FAILED, {seconds:.1} s: {e}");
                failed.push(*name);
            }
        }
    }
    let (steps, seconds) = (STEPS.len(), began.elapsed().as_secs());
    println!("ci: {} of {steps} steps good, {} failed, in {seconds} s", steps - failed.len(), failed.len());
    if failed.is_empty() { Ok(()) } else { Err(io::Error::other(format!("failed: {}", failed.join(", ")))) }
}

/// What processors have done so far for this process and for those that it has waited for.
fn used() -> io::Result<Duration> {
    let mut sum = Duration::ZERO;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who)?;
        for time in [usage.user_time(), usage.system_time()] {
            sum += Duration::from_micros(time.num_microseconds().unsigned_abs());
        }
    }
    Ok(sum)
}

/// The early step: a process of its own, whose words are kept for its turn.
struct Early {
    child: Child,
    kept: TempDir,
    began: Instant,
}

impl Early {
    fn begin() -> io::Result<Self> {
        // Here and not there: two steps that change the toolchain at a time would be in each other's way.
        setup::add_component("rust-src", "the standard library, which is built small")?;
        setup::add_target(build::AMD64)?;
        let kept = TempDir::new("early");
        let said = File::create(kept.join("said"))?;
        let mut step = Command::new(std::env::current_exe()?);
        step.arg(EARLY).stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        Ok(Self { child: step.spawn()?, kept, began: Instant::now() })
    }

    fn end(mut self) -> io::Result<()> {
        let status = self.child.wait()?;
        print!("{}", fs::read_to_string(self.kept.join("said"))?);
        println!("{EARLY}: begun {:.1} s ago, beside the steps above", self.began.elapsed().as_secs_f32());
        ended(status)
    }
}

fn cargo(words: &[&str]) -> io::Result<()> {
    outcome(&mut setup::cargo(words)?)
}

fn outcome(command: &mut Command) -> io::Result<()> {
    ended(command.status()?)
}

fn ended(status: ExitStatus) -> io::Result<()> {
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("ended with {status}"))) }
}

fn docs() -> io::Result<()> {
    let mut cargo =
        setup::cargo(&["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"])?;
    outcome(cargo.env("RUSTDOCFLAGS", "-D warnings"))
}

/// A process of its own: it enters a mount namespace that the other steps have no need of.
fn own(words: &[&str]) -> io::Result<()> {
    outcome(Command::new(std::env::current_exe()?).args(words))
}
