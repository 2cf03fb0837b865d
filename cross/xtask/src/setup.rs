//! Installs what a fresh Debian 12 with Rust lacks; says what and why; does nothing when all is there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use coracle_test_support::boards::tree;
use coracle_test_support::emulated::kernel;
use coracle_test_support::images::{Arch, busybox::busybox};
use coracle_test_support::process::run;
use coracle_test_support::scratch::cache;
use nix::unistd::geteuid;

/// A program that something here starts.
struct Need<'a> {
    program: &'a str,
    package: &'a str,
    why: &'a str,
}

const fn need<'a>(program: &'a str, package: &'a str, why: &'a str) -> Need<'a> {
    Need { program, package, why }
}

/// What tests and the demonstration start.
const TESTS: &[Need] = &[
    need("cc", "gcc libc6-dev", "compiles the C and assembly parts of ring and zstd"),
    need("mosquitto", "mosquitto", "the MQTT broker"),
    need("mosquitto_pub", "mosquitto-clients", "an MQTT client that is not ours"),
    need("docker-registry", "docker-registry", "the registry"),
    need("crun", "crun", "the runtime"),
    need("skopeo", "skopeo", "copies images"),
    need("umoci", "umoci", "makes images, and unpacks them to compare with"),
    need("buildah", "buildah", "joins images to an index"),
    need("openssl", "openssl", "makes certificates, and reads our keys"),
    need("softhsm2-util", "softhsm2", "a security token in software"),
    need("pkcs11-tool", "opensc", "signs with a key in a token"),
    need("mkfs.ext4", "e2fsprogs", "small disks to fill and to count writes on"),
    need("setfattr", "attr", "extended attributes to compare"),
    need("ip", "iproute2", "network namespaces, and how fast their links are"),
    need("iptables", "iptables", "links that lose packets"),
    need("systemd-analyze", "systemd", "verifies units"),
    need("strace", "strace", "shows what the agent does to its disk"),
    need(
        "qemu-arm-static",
        "qemu-user-static",
        "runs the programs that probe a processor, on other processors",
    ),
];

/// What boards in machines of their own are made of.
const BOARDS: &[Need] = &[
    need("qemu-system-x86_64", "qemu-system-x86", "a machine whose power can be cut"),
    need("dmsetup", "dmsetup", "notes every write of a board's disk"),
    need("cpio", "cpio", "packs the board's root"),
    need("depmod", "kmod", "finds out which kernel modules need which"),
    need("strip", "binutils", "makes it small"),
    need("eatmydata", "eatmydata", "a board that lies about what is durable, to see that it is found out"),
];

/// What boards with systemd are made of.
const SYSTEMD: &[Need] = &[
    need("mmdebstrap", "mmdebstrap", "makes the tree that a board boots"),
    need("arch-test", "arch-test", "tells it what can be run"),
    need("systemd-nspawn", "systemd-container", "boots it"),
    need("nsenter", "util-linux", "runs commands on it"),
    need("strip", "binutils", "makes the agent small"),
];

/// What boards of the arm architectures run on.
const ARM: &[Need] = &[need(
    "qemu-system-arm",
    "qemu-system-arm",
    "the machines of arm and arm64 boards, and what loses their power",
)];

/// What checks the files for an init system.
const UNITS: &[Need] = &[need("systemd-analyze", "systemd", "verifies the units")];

/// What fuzzing builds its engine with.
const FUZZING: &[Need] = &[need("c++", "g++", "compiles the engine of the fuzzers")];

/// What the benchmark compares with.
const PEERS: &[Need] = &[
    need("losetup", "mount", "disks that count what is written to them"),
    need("podman", "podman", "a peer to compare with"),
    need("containerd", "containerd", "a peer to compare with"),
    need("dockerd", "docker.io", "a peer to compare with"),
];

/// Everything; what the benchmark compares with only for `setup bench`.
pub fn command(words: &[String]) -> io::Result<()> {
    if words.first().is_some_and(|word| word == "bench") {
        for_bench()?;
    }
    for_boards()?;
    for_systemd()?;
    for_units()?;
    for_fuzz()?;
    println!("setup: everything is there");
    Ok(())
}

/// What `cargo xtask test` and `demo` need.
pub fn for_tests() -> io::Result<()> {
    install(TESTS)?;
    for arch in Arch::ALL {
        busybox(arch)?;
    }
    Ok(())
}

/// What the boards of `powercut` need.
pub fn for_boards() -> io::Result<()> {
    for_tests()?;
    install(BOARDS)?;
    kernel(Arch::Amd64).map(drop)
}

/// What boards with systemd need.
pub fn for_systemd() -> io::Result<()> {
    for_tests()?;
    install(SYSTEMD)?;
    tree(Arch::Amd64).map(drop)
}

/// What whole boards of these architectures are made of and run by. Where there is none of an architecture's in the
/// cache yet, its tree takes minutes.
pub fn for_debian(archs: &[Arch]) -> io::Result<()> {
    for_tests()?;
    install(BOARDS)?;
    install(SYSTEMD)?;
    if archs.iter().any(|arch| *arch != Arch::Amd64) {
        install(ARM)?;
    }
    for arch in archs {
        kernel(*arch)?;
        tree(*arch)?;
    }
    Ok(())
}

/// What checks the units.
pub fn for_units() -> io::Result<()> {
    install(UNITS)
}

/// What `cargo xtask fuzz` needs.
pub fn for_fuzz() -> io::Result<()> {
    install(FUZZING)
}

/// What the benchmark needs besides.
pub fn for_bench() -> io::Result<()> {
    install(PEERS)
}

/// Installs `packages` (several with blanks between) when `program` is not there.
pub fn install_program(program: &str, packages: &str, why: &str) -> io::Result<()> {
    install(&[need(program, packages, why)])
}

fn install(needs: &[Need]) -> io::Result<()> {
    let missing = needs.iter().filter(|need| !is_there(need.program)).collect::<Vec<_>>();
    if missing.is_empty() {
        return Ok(());
    }
    for Need { program, package, why } in &missing {
        println!("setup: installing {package} for `{program}`: {why}");
    }
    let packages = missing.iter().flat_map(|need| need.package.split(' ')).collect::<Vec<_>>();
    if !geteuid().is_root() {
        let words = packages.join(" ");
        return Err(io::Error::other(format!(
            "not root; run: apt-get install --no-install-recommends {words}"
        )));
    }
    // The lists may be older than the mirror, or not there at all: then once more with fresh ones.
    if apt(&["install", "--no-install-recommends"], &packages).is_err() {
        apt(&["update"], &[])?;
        apt(&["install", "--no-install-recommends"], &packages)?;
    }
    match missing.iter().find(|need| !is_there(need.program)) {
        Some(need) => Err(io::Error::other(format!("{} has no `{}`", need.package, need.program))),
        None => Ok(()),
    }
}

/// Installs `packages` whatever programs they have.
pub fn install_packages(packages: &str, why: &str) -> io::Result<()> {
    println!("setup: installing {packages}: {why}");
    apt(&["install", "--no-install-recommends"], &packages.split(' ').collect::<Vec<_>>())
}

fn apt(words: &[&str], packages: &[&str]) -> io::Result<()> {
    let mut command = Command::new("apt-get");
    command.args(["-q", "-y", "-o", "DPkg::Lock::Timeout=300"]).args(words).args(packages);
    run(command.env("DEBIAN_FRONTEND", "noninteractive")).map(drop)
}

/// Whether `program` is where root's programs are; sbin is not on everyone's path.
pub fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(Into::into);
    std::env::split_paths(&path).chain(system).any(|folder| folder.join(program).exists())
}

/// Adds the standard library of a target.
pub fn add_target(triple: &str) -> io::Result<()> {
    if Path::new(&sysroot()?).join("lib/rustlib").join(triple).join("lib").exists() {
        return Ok(());
    }
    println!("setup: adding the Rust target {triple}: the static binary for boards");
    run(Command::new("rustup").args(["target", "add", triple])).map(drop)
}

/// Adds a part of the toolchain.
pub fn add_component(name: &str, why: &str) -> io::Result<()> {
    let noted = fs::read_to_string(Path::new(&sysroot()?).join("lib/rustlib/components"))?;
    if noted.lines().any(|component| component == name) {
        return Ok(());
    }
    println!("setup: adding the Rust component {name}: {why}");
    run(Command::new("rustup").args(["component", "add", name])).map(drop)
}

/// The interpreter of a Python environment of the cache that has `packages` (pinned) from PyPI; `name` names them all, with
/// their versions, so that other ones get an environment of their own.
pub fn python(name: &str, packages: &[&str], why: &str) -> io::Result<PathBuf> {
    let root = cache().join(name);
    let python = root.join("bin/python");
    // Last of what is made, so that half an environment is not taken for one.
    let done = root.join("done");
    if !done.exists() {
        install_program("python3", "python3", why)?;
        if run(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_err() {
            install_packages("python3-venv", &format!("an environment for what {why}"))?;
        }
        println!("setup: installing {}: {why}", packages.join(", "));
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&root))?;
        let pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check"];
        run(Command::new(&python).args(pip).args(packages))?;
        fs::write(&done, "")?;
    }
    Ok(python)
}

/// Where the toolchain is.
pub fn sysroot() -> io::Result<String> {
    run(Command::new("rustc").args(["--print", "sysroot"])).map(|path| path.trim().to_owned())
}

/// The root of the repository.
pub fn root() -> io::Result<PathBuf> {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
}

/// The agent, built for tests.
pub fn agent() -> io::Result<PathBuf> {
    development_build("coracle")
}

/// Builds the operator's tool in the same way.
pub fn operators_tool() -> io::Result<PathBuf> {
    development_build("coraclectl")
}

fn development_build(package: &str) -> io::Result<PathBuf> {
    if cargo(&["build", "--quiet", "--package", package])?.status()?.success() {
        return Ok(target_dir()?.join("debug").join(package));
    }
    Err(io::Error::other(format!("{package} does not build")))
}

/// The cargo that runs us, at the root of the repository.
pub fn cargo(words: &[&str]) -> io::Result<Command> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words).current_dir(root()?);
    Ok(command)
}

/// Where cargo puts what it builds.
pub fn target_dir() -> io::Result<PathBuf> {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => Ok(root()?.join(dir)),
        None => Ok(root()?.join("target")),
    }
}

/// All files below `folder` with this ending; none when there is no such folder.
pub fn files(folder: &Path, ending: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if folder.exists() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                found.extend(files(&path, ending)?);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    Ok(found)
}
