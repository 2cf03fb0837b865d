//! `yocto [--short]`: whether the Yocto layer holds, as far as that can be told without the internet: bitbake's own
//! parser and fetcher over stand-ins for the layers it depends on, the linters of its field, and a build from nothing but
//! the crates that the recipe names.

mod kernel;
mod vendored;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use coracle_test_support::scratch::TempDir;

use crate::{build, crates_inc, dist, setup, units, words};

/// Pinned, so that a new release of them does not turn a green tree red. bitbake's own package is named for its set-up
/// tool; kas brings what reads its files.
const TOOLS: &[&str] = &["bitbake-setup==2.19.0", "kas==5.5", "oelint-adv==9.11.2", "ruff==0.14.6"];
const NAME: &str = "yocto-bitbake-2.19.0-kas-5.5-oelint-9.11.2-ruff-0.14.6";

const LAYER: &str = "yocto-layer";
const TESTS: &str = "tests/yocto";

/// The linter's opinion on how a list is indented, in the list that bitbake itself would write so.
const INDENTED: [&str; 2] = ["oelint.vars.inconspaces", "oelint.vars.notneededspace"];

/// What one check said: a line of figures, or what is wrong.
type Verdict = io::Result<String>;

/// Runs all checks, each to its end.
pub fn command(given: &[String]) -> io::Result<()> {
    words::only(given, &[], &["--short"])?;
    let python = setup::python(NAME, TOOLS, "reads and lints the Yocto layer")?;
    setup::install_program("git", "git", "has the commit that the recipe names")?;
    let (mut good, mut bad) = (0, Vec::new());
    let mut held = |name: &str, verdict: Verdict| match verdict {
        Ok(said) => {
            good += 1;
            println!("{name:<9} {said}");
        }
        Err(e) => {
            println!("{name:<9} BAD: {e}");
            bad.push(name.to_owned());
        }
    };
    held("crates", crates_inc::check());
    let mut flags = None;
    held(
        "bitbake",
        bitbake(&python).map(|(said, found)| {
            flags = Some(found);
            said
        }),
    );
    for series in ["wrynose", "blacksail", "scarthgap"] {
        held("oelint", oelint(&python, series));
    }
    held("kas", script(&python, "kas_files.py", &[]));
    held("python", ruff(&python));
    held("oeqa", setup::agent().and_then(|agent| script(&python, "runtime.py", &[&agent])));
    held("kernel", kernel::check());
    held("units", unit_files());
    held("license", license());
    if let Some(flags) = flags {
        held("cargo", vendored::resolves(&flags));
        if given.is_empty() {
            held("build", vendored::builds(&flags));
        }
    }
    println!("yocto: {} checks, {good} good, {} bad", good + bad.len(), bad.len());
    if bad.is_empty() { Ok(()) } else { Err(io::Error::other(format!("not good: {}", bad.join(", ")))) }
}

/// Has bitbake parse, fetch and install; its figures, and the recipe's own flags for cargo.
fn bitbake(python: &Path) -> io::Result<(String, Vec<String>)> {
    // The archive's files and their places are a release's; the program in it is our own build.
    let release = TempDir::new("release");
    dist::Release { triple: build::AMD64, exe: &setup::agent()?, version: dist::VERSION }
        .tarball(&release)?;
    let script = place(TESTS)?.join("parse.py");
    let said = output(Command::new(python).arg(script).arg(place(LAYER)?).arg(release.path()))?;
    let line = |start: &str| said.lines().rev().find(|line| line.starts_with(start)).map(str::to_owned);
    let figures = line("bitbake ").ok_or_else(|| io::Error::other("it said no figures"))?;
    let flags = line("flags: ").ok_or_else(|| io::Error::other("it said no flags"))?;
    Ok((figures, flags.split(' ').skip(1).map(str::to_owned).collect()))
}

/// Lints recipes, appends and what they include, with the rules of a series.
fn oelint(python: &Path, series: &str) -> Verdict {
    let files = recipes()?;
    let program = python.with_file_name("oelint-adv");
    let mut lint = Command::new(program);
    // The rule asks the internet whether a page answers.
    lint.args(["--quiet", "--release", series, "--suppress", "oelint.vars.homepageping"]).args(&files);
    let shown = lint.current_dir(setup::root()?).output()?;
    let text =
        format!("{}{}", String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
    let list =
        |line: &str| line.contains("/coracle-crates.inc:") && INDENTED.iter().any(|rule| line.contains(rule));
    let real = text.lines().filter(|line| !line.trim().is_empty() && !list(line)).collect::<Vec<_>>();
    if real.is_empty() {
        Ok(format!("{} files, no complaints for {series}", files.len()))
    } else {
        Err(io::Error::other(real.join("\n")))
    }
}

/// What bitbake would read, and the examples.
fn recipes() -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for ending in [".bb", ".bbappend", ".inc", "layer.conf"] {
        found.extend(setup::files(&place(LAYER)?, ending)?);
    }
    found.sort();
    Ok(found)
}

/// One of our scripts, whose last line has its figures.
fn script(python: &Path, name: &str, words: &[&Path]) -> Verdict {
    let said = output(Command::new(python).arg(place(TESTS)?.join(name)).arg(place(LAYER)?).args(words))?;
    said.lines().last().map(str::to_owned).ok_or_else(|| io::Error::other("it said no figures"))
}

/// Compiles and lints the tests that boards are held to, and our own scripts.
fn ruff(python: &Path) -> Verdict {
    let folders = [place(LAYER)?, place(TESTS)?];
    let files = setup::files(&folders[0], ".py")?.len() + setup::files(&folders[1], ".py")?.len();
    let compile = "import pathlib, sys\nfor folder in sys.argv[1:]:\n for file in pathlib.Path(folder).rglob('*.py'):\n  compile(file.read_bytes(), file, 'exec')";
    output(Command::new(python).args(["-c", compile]).args(&folders))?;
    let rules = [
        "check",
        "--quiet",
        "--no-cache",
        "--line-length",
        "120",
        "--select",
        "B,C4,E,F,PIE,PL,RUF,SIM,UP,W",
    ];
    // Forms of OE's own code: percent formats; the rest are matters of taste.
    let taste = ["--ignore", "UP031,PLR2004,PLR0913,PLR0914,PLR0915"];
    let program = python.with_file_name("ruff");
    output(Command::new(program).args(rules).args(taste).args(["--target-version", "py39"]).args(&folders))?;
    Ok(format!("{files} files compile, no complaints"))
}

/// The units that the recipes install.
fn unit_files() -> Verdict {
    setup::for_units()?;
    let files = setup::files(&place("systemd")?, ".service")?;
    let complaints = units::verify(&files)?;
    if complaints.is_empty() {
        Ok(format!("{} units, no complaints", files.len()))
    } else {
        Err(io::Error::other(complaints.join("\n")))
    }
}

/// The layer's own license is the repository's.
fn license() -> Verdict {
    let (here, there) = (place(LAYER)?.join("COPYING.MIT"), place("LICENSE-MIT")?);
    if fs::read(&here)? == fs::read(there)? {
        Ok("COPYING.MIT is LICENSE-MIT; the recipes' sums are among bitbake's facts".to_owned())
    } else {
        Err(io::Error::other("COPYING.MIT is not LICENSE-MIT"))
    }
}

fn place(name: &str) -> io::Result<PathBuf> {
    Ok(setup::root()?.join(name))
}

/// What a program printed; all it said where it did not end well.
fn output(command: &mut Command) -> io::Result<String> {
    let shown = command.output()?;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    if shown.status.success() {
        return Ok(text);
    }
    let errors = String::from_utf8_lossy(&shown.stderr).into_owned();
    let end = errors.lines().rev().take(30).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>();
    Err(io::Error::other(format!("{text}{}", end.join("\n"))))
}
