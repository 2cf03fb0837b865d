//! `packages [--binary FILE] [--older FILE]`: what `dist` makes, on a board that systemd runs: installed, upgraded under a running
//! workload, removed, installed again, purged; the package by dpkg, the archive by its script.

mod archive;
mod package;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use coracle_test_support::images::layer::sha256;
use coracle_test_support::nspawn::{Board, Network};
use coracle_test_support::scratch::TempDir;

use crate::booted::bench::Bench;
use crate::build::{self, AMD64};
use crate::dist::{self, Release};
use crate::{interrupt, setup, words};

/// A proof: what it shows, and its figure or why it fails.
type Proof = fn(&mut Bench) -> io::Result<String>;

const AGENT: &str = "coracle.service";
const EXE: &str = "/usr/bin/coracle";
/// Where the board has what is to be installed.
const KIT: &str = "/srv/kit";

/// Tries every proof, and counts those that hold.
pub fn command(given: &[String]) -> io::Result<()> {
    words::only(given, &["--binary", "--older"], &[])?;
    setup::for_systemd()?;
    interrupt::watch()?;
    let exe = words::text(given, "--binary").map_or_else(|| build::release(AMD64), |path| Ok(path.into()))?;
    let older = words::text(given, "--older").map_or_else(|| exe.clone(), PathBuf::from);
    let kit = Kit::make(&older, &exe)?;
    let mut report = Report::default();
    report.note("the same commit gives the same bytes", kit.same());
    report.note("busybox alone installs the archive into an image", archive::by_busybox(&kit));
    let mut bench = Bench::around(|config| {
        let board = Board::bare(config)?;
        kit.put(&board)?;
        Ok(board)
    })?;
    bench.boot(Network::Loopback)?;
    for (name, proof) in package::ALL.into_iter().chain(archive::ALL) {
        interrupt::check()?;
        let outcome = proof(&mut bench);
        let failed = outcome.is_err();
        report.note(name, outcome);
        if failed {
            println!("--- journal of the board ---\n{}", bench.journal());
        }
    }
    println!("packages: {} proofs hold, {} do not", report.good, report.bad);
    if report.bad == 0 { Ok(()) } else { Err(io::Error::other(format!("{} proofs do not hold", report.bad))) }
}

#[derive(Default)]
struct Report {
    good: u32,
    bad: u32,
}

impl Report {
    fn note(&mut self, name: &str, outcome: io::Result<String>) {
        match outcome {
            Ok(figure) => {
                println!("good  {name}: {figure}");
                self.good += 1;
            }
            Err(error) => {
                println!("BAD   {name}: {error}");
                self.bad += 1;
            }
        }
    }
}

/// Two releases, the second with a higher version and a binary of other bytes; of the program that an earlier release had,
/// where somebody has one.
struct Kit {
    dir: TempDir,
    older: PathBuf,
}

impl Kit {
    fn make(older: &Path, exe: &Path) -> io::Result<Self> {
        let kit = Self { dir: TempDir::new("kit"), older: older.to_owned() };
        let newer = kit.dir.join("coracle");
        fs::copy(exe, &newer)?;
        // Behind its end, where nobody reads: the same program, and another file.
        fs::File::options().append(true).open(&newer)?.write_all(b"newer")?;
        for (folder, exe, version) in
            [("old", older, dist::VERSION.to_owned()), ("new", &newer, format!("{}+newer", dist::VERSION))]
        {
            kit.pack(folder, exe, &version)?;
        }
        Ok(kit)
    }

    /// Packs both kinds in a folder of their own.
    fn pack(&self, folder: &str, exe: &Path, version: &str) -> io::Result<[PathBuf; 2]> {
        let out = self.dir.join(folder);
        fs::create_dir_all(&out)?;
        let release = Release { triple: AMD64, exe, version };
        Ok([release.deb("amd64", &out)?, release.tarball(&out)?])
    }

    /// What a second packing gives.
    fn same(&self) -> io::Result<String> {
        let again = self.pack("again", &self.older, dist::VERSION)?;
        for path in &again {
            let first = self.dir.join("old").join(path.file_name().unwrap_or_default());
            let [first, second] = [fs::read(first)?, fs::read(path)?].map(|bytes| sha256(&bytes));
            if first != second {
                return Err(io::Error::other(format!("{}: {first} and {second}", path.display())));
            }
        }
        Ok("package and archive packed twice, the same to the byte".to_owned())
    }

    /// Puts all of it where a board finds it.
    fn put(&self, board: &Board) -> io::Result<()> {
        for folder in ["old", "new"] {
            let to = board.file(&KIT[1..]).join(folder);
            fs::create_dir_all(&to)?;
            for entry in fs::read_dir(self.dir.join(folder))? {
                let path = entry?.path();
                let kind =
                    if path.to_string_lossy().ends_with(".deb") { "coracle.deb" } else { "coracle.tar.gz" };
                fs::copy(&path, to.join(kind))?;
            }
        }
        Ok(())
    }
}

/// The agent is ready; hands back its process.
fn ready(bench: &Bench) -> io::Result<String> {
    bench.until("agent that is ready", || {
        let (state, pid) = (bench.property(AGENT, "ActiveState")?, bench.property(AGENT, "MainPID")?);
        Ok((state == "active" && pid != "0").then_some(pid))
    })
}

/// The agent that runs is the file that is installed, and that is the one of this release.
fn is_of(bench: &Bench, pid: &str, folder: &str) -> io::Result<()> {
    bench.run(&["cmp", &format!("/proc/{pid}/exe"), EXE])?;
    let newer = bench.run(&["tail", "-c", "5", EXE])? == "newer";
    if newer == (folder == "new") { Ok(()) } else { Err(io::Error::other("the other release is installed")) }
}

/// Nothing of ours runs on the board, and none of these paths is there.
fn gone(bench: &Bench, paths: &[&str]) -> io::Result<()> {
    bench.run(&["sh", "-ec", "! grep -lx coracle /proc/[0-9]*/comm 2> /dev/null"])?;
    for path in paths {
        // As it would be seen from within: a link that leads nowhere is there.
        if bench.machine()?.path(path).symlink_metadata().is_ok() {
            return Err(io::Error::other(format!("{path} is left")));
        }
    }
    Ok(())
}
