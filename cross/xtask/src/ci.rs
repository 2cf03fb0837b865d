//! The whole truth: every check there is, each named with its time, all of them run even when one fails.

use std::io;
use std::process::Command;
use std::time::Instant;

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

/// Runs them all.
pub fn command(_: &[String]) -> io::Result<()> {
    let began = Instant::now();
    let mut failed = Vec::new();
    for (name, step) in STEPS {
        println!("=== {name}");
        let began = Instant::now();
        let outcome = step();
        let seconds = began.elapsed().as_secs_f32();
        match outcome {
            Ok(()) => println!("=== {name}: good, {seconds:.1} s"),
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

fn cargo(words: &[&str]) -> io::Result<()> {
    outcome(&mut setup::cargo(words)?)
}

fn outcome(command: &mut Command) -> io::Result<()> {
    let status = command.status()?;
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
