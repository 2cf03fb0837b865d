//! The plain archive, by its script.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use coracle_test_support::images::{Arch, busybox::busybox};
use coracle_test_support::process::run;
use coracle_test_support::scratch::TempDir;

use super::package::deploy;
use super::{AGENT, EXE, KIT, Kit, Proof, gone, is_of, ready};
use crate::booted::bench::{Bench, same};

/// In this order, each on what the one before left.
pub const ALL: [(&str, Proof); 3] = [
    ("the script installs it, and the agent takes a document", install),
    ("the script over an older version restarts the agent alone", upgrade),
    ("the script takes away what it brought, and keeps data and configuration", uninstall),
];

const WEB: &str = "site.web";

/// Unpacks a release on the board and runs its script.
fn script(bench: &Bench, folder: &str, words: &str) -> io::Result<String> {
    let at = format!("/tmp/{folder}");
    let unpack =
        format!("mkdir -p {at}; tar -xzf {KIT}/{folder}/coracle.tar.gz -C {at} --strip-components=1");
    bench.run(&["sh", "-ec", &format!("{unpack}; {at}/install {words}")])
}

fn install(bench: &mut Bench) -> io::Result<String> {
    let said = script(bench, "old", "")?;
    let pid = ready(bench)?;
    is_of(bench, &pid, "old")?;
    same("enabled", &bench.property(AGENT, "UnitFileState")?, &"enabled".to_owned())?;
    deploy(bench, 3)?;
    Ok(format!("agent {pid}, {WEB} confirmed; {}", said.lines().next().unwrap_or_default()))
}

fn upgrade(bench: &mut Bench) -> io::Result<String> {
    let (before, old) = (bench.process(WEB)?, ready(bench)?);
    // As if the version before had had a file that this one has not.
    let stale = "usr/share/coracle/stale";
    bench.run(&["sh", "-ec", &format!("touch /{stale}; echo {stale} >> /usr/share/coracle/installed")])?;
    script(bench, "new", "")?;
    let new = ready(bench)?;
    same("process of the workload", &bench.process(WEB)?, &before)?;
    is_of(bench, &new, "new")?;
    bench.run(&["test", "!", "-e", &format!("/{stale}")])?;
    Ok(format!("process {} of the workload before and after; agent {old}, then {new}", before.0))
}

fn uninstall(bench: &mut Bench) -> io::Result<String> {
    script(bench, "new", "--uninstall")?;
    gone(bench, &[EXE, "/run/coracle", "/usr/lib/systemd/system/coracle.service", "/usr/share/coracle"])?;
    bench.run(&["ls", "/var/lib/coracle/journal", "/etc/coracle/config.toml"])?;
    let left = bench.run(&["find", "/usr", "/etc/systemd", "-name", "*coracle*"])?;
    same("files", &left.trim(), &"")?;
    Ok("no process of ours, no file below /usr; journal and configuration are there".to_owned())
}

/// The script in a root that has nothing but busybox, into another root.
pub fn by_busybox(kit: &Kit) -> io::Result<String> {
    let scratch = TempDir::new("busybox");
    let root = scratch.path();
    for folder in ["bin", "image", "tmp", "kit"] {
        fs::create_dir(root.join(folder))?;
    }
    fs::copy(busybox(Arch::Amd64)?, root.join("bin/busybox"))?;
    chroot(root, "/bin/busybox --install -s /bin")?;
    let archive = fs::read_dir(kit.dir.join("old"))?.flatten().map(|entry| entry.path());
    let archive = archive.into_iter().find(|path| path.to_string_lossy().ends_with(".tar.gz"));
    let archive = archive.ok_or_else(|| io::Error::other("no archive was packed"))?;
    run(Command::new("tar")
        .arg("-xzf")
        .arg(archive)
        .arg("-C")
        .arg(root.join("kit"))
        .arg("--strip-components=1"))?;
    let said = chroot(root, "/kit/install --root /image")?;
    let installed = fs::read_to_string(root.join("image/usr/share/coracle/installed"))?;
    for file in installed.lines() {
        let [from, to] = ["kit", "image"].map(|place| fs::read(root.join(place).join(file)));
        if from? != to? {
            return Err(io::Error::other(format!("{file} is not what was packed")));
        }
    }
    chroot(root, "/kit/install --root /image --uninstall")?;
    let left = chroot(root, "find /image -type f")?;
    same("files", &left.trim(), &"")?;
    Ok(format!(
        "{} files in, all out again; {}",
        installed.lines().count(),
        said.lines().last().unwrap_or_default()
    ))
}

fn chroot(root: &Path, words: &str) -> io::Result<String> {
    let mut command = Command::new("/usr/sbin/chroot");
    command.arg(root).args(["/bin/busybox", "sh", "-c", words]).env_clear().env("PATH", "/bin");
    run(&mut command)
}
