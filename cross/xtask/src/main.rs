//! The front door of the project: `cargo xtask COMMAND`.
//!
//! Each command is a file of its own; each installs what it needs, says so, and does nothing that is done already.

mod acl;
mod attacks;
mod badupdate;
mod bench;
mod board;
mod boards;
mod booted;
mod broker;
mod build;
mod ci;
mod crash;
mod crates;
mod crates_inc;
mod demo;
mod deny;
mod dist;
mod drawing;
mod elf;
mod emulated;
mod fuzz;
mod installed;
mod interrupt;
mod limits;
mod links;
mod manners;
mod namespace;
mod packages;
mod powercut;
mod qemu_user;
mod repair;
mod reproducible;
mod sbom;
mod sections;
mod setup;
mod signed;
mod sim;
mod size;
mod table;
mod target;
mod test;
mod tidy;
mod units;
mod words;
mod yocto;
mod zig;

use std::io;
use std::process::ExitCode;

use coracle_test_support::desired;

/// A command, what it does, and the function that does it.
type Command = (&'static str, &'static str, fn(&[String]) -> io::Result<()>);

const COMMANDS: &[Command] = &[
    ("setup", "install what tests and builds need beyond Rust", setup::command),
    ("test", "set up and run all tests; words after it go to `cargo test`", test::command),
    (
        "demo",
        "show the whole story: deploy two generations over MQTT to an agent on this machine",
        demo::command,
    ),
    ("ci", "every check there is", ci::command),
    ("systemd", "boot a board with systemd: workloads outlive the agent, start without it", booted::command),
    (
        "powercut",
        "cut the power of boards at every state they report; --cuts N, --seed S, --board NAME",
        powercut::command,
    ),
    (
        "board",
        "a whole board under qemu: up NAME, down NAME, console NAME; NAME is arm, arm64 or amd64",
        board::command,
    ),
    (
        "boards",
        "boards of three architectures follow one signed document, go back, and lose their power; --only NAME,NAME, --packages DIR, --short",
        boards::command,
    ),
    (
        "badupdate",
        "deploy new versions that are bad in every way; each has to be taken back; --rounds N",
        badupdate::command,
    ),
    (
        "bench",
        "measure everything that is promised, beside podman, containerd and docker; --json",
        bench::command,
    ),
    (
        "manners",
        "measure a workload's latency alone, during our update, and during podman's; --board: on one with slow flash and our \
         units, with --package FILE; --rounds N, --rate N, --exe FILE, --json",
        manners::command,
    ),
    (
        "repair",
        "flip bytes of a large store and have them found and repaired; --flips N --seed S",
        repair::command,
    ),
    (
        "links",
        "pull over slow, lossy and broken links, and with the puller killed, and count the bytes; --short",
        links::command,
    ),
    (
        "limits",
        "have a board update within the agent's bound of memory, on flash that writes 8 MiB/s; --mib N, --bound BYTES",
        limits::command,
    ),
    (
        "build",
        "build the static release binary and judge it, for amd64 or --target TRIPLE|all of cross/targets.toml",
        build::command,
    ),
    (
        "size",
        "build it, show what its bytes are for and whose they are, hold it against its budget; --target TRIPLE|all, --binaries DIR",
        size::command,
    ),
    (
        "emulated",
        "run the releases of other processors here: their tests, platforms, pulls and sessions; --target TRIPLE|all, --binaries DIR, --short",
        qemu_user::command,
    ),
    ("targets", "lint the agent for the other targets, arm and arm64", build::lint),
    (
        "deny",
        "check licenses and sources of dependencies; with --advisories also known vulnerabilities",
        deny::command,
    ),
    (
        "sbom",
        "write what the release binary is made of, as CycloneDX; for amd64 or a triple; --binary FILE",
        sbom::command,
    ),
    (
        "dist",
        "make the Debian package, the archive with its installer, the bill and the sums; --target TRIPLE|all, --out DIR, --binary FILE",
        dist::command,
    ),
    (
        "packages",
        "install, upgrade, remove and purge what dist makes, on a board, under a running workload; --binary FILE, --older FILE",
        packages::command,
    ),
    (
        "reproducible",
        "build the release twice, from copies in two places, and compare; for amd64 or a triple",
        reproducible::command,
    ),
    (
        "crash",
        "replay every write of the agent to its disk, cut the power in between, and recover; --short, --seed N; --board: under a real file system",
        crash::command,
    ),
    (
        "attacks",
        "try every attack of the corpus: refused by what, in which words, with how much memory; --release, --only WORD",
        attacks::command,
    ),
    (
        "signed",
        "show what a board makes of signed documents and images, each with verdict and reason",
        signed::command,
    ),
    ("acl", "show who can say and hear what at a broker with the documentation's access list", acl::command),
    (
        "secrets",
        "run all tests and count what was held against planted secrets; words as for `test`",
        test::secrets,
    ),
    (
        "fuzz",
        "feed whatever reads strangers' bytes; --seconds N, --target NAME, --seed S, --short, --keep",
        fuzz::command,
    ),
    (
        "sim",
        "the rollout machine on bad nights, in memory; --schedules N, and --seed S to see one again",
        sim::command,
    ),
    ("drawing", "write agent/docs/rollout.md anew, the drawing of the rollout machine", drawing::command),
    (
        "crates-inc",
        "write the crates and the commit that the Yocto recipe pins; --rev REV; --check: only compare",
        crates_inc::command,
    ),
    (
        "yocto",
        "check the Yocto layer: linters, bitbake's parser, sums, kas; build as its recipe does; --short: no build",
        yocto::command,
    ),
    ("units", "have systemd judge the units; their exposure may only go down", units::command),
    ("tidy", "check the shape of the tree: arrows, sizes, words", tidy::command),
];

fn main() -> ExitCode {
    let words = std::env::args().skip(1).collect::<Vec<_>>();
    if let Some(("measure", words)) = words.split_first().map(|(name, words)| (name.as_str(), words)) {
        return outcome("measure", bench::measure(words));
    }
    if let Some(("product", words)) = words.split_first().map(|(name, words)| (name.as_str(), words)) {
        return outcome("product", manners::serve(words));
    }
    if let Some(("meter", words)) = words.split_first().map(|(name, words)| (name.as_str(), words)) {
        return outcome("meter", manners::meter(words));
    }
    let wanted = words.first().map_or("help", String::as_str);
    let Some((name, _, run)) = COMMANDS.iter().find(|(name, _, _)| *name == wanted) else {
        return usage(wanted);
    };
    if words.iter().any(|word| ["--help", "-h"].contains(&word.as_str())) && name != &"test" {
        return usage("help");
    }
    outcome(name, run(words.get(1..).unwrap_or_default()))
}

fn outcome(name: &str, outcome: io::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xtask {name}: {e}");
            ExitCode::FAILURE
        }
    }
}

fn usage(wanted: &str) -> ExitCode {
    let asked = ["help", "--help", "-h"].contains(&wanted);
    if !asked {
        eprintln!("xtask: there is no command {wanted:?}\n");
    }
    println!("cargo xtask COMMAND\n");
    for (name, purpose, _) in COMMANDS {
        println!("  {name:<8} {purpose}");
    }
    if asked { ExitCode::SUCCESS } else { ExitCode::from(64) }
}
