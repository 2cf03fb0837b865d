//! What the files below `systemd/` become on a board, by systemd's own tools in an empty root: users, folders, units that
//! are enabled, and the journal's catalog.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use coracle_test_support::process::run;
use coracle_test_support::scratch::TempDir;

/// What the tmpfiles entries make, with its mode and whether it is the group's.
const FOLDERS: [(&str, u32, bool); 7] = [
    ("var/lib/coracle", 0o700, false),
    ("run/coracle", 0o711, false),
    ("run/coracle/workloads", 0o700, false),
    ("run/coracle/runtime", 0o700, false),
    ("run/coracle/inhibit.d", 0o775, true),
    ("etc/coracle", 0o755, false),
    ("etc/coracle/config.d", 0o755, false),
];
/// What the preset enables.
const ENABLED: [&str; 2] = ["coracle-boot.service", "coracle.service"];

/// What was found.
pub struct Installed {
    /// Folders with the right mode and owner.
    pub folders: usize,
    /// Units that are enabled.
    pub enabled: usize,
    /// Entries that the journal's catalog has.
    pub messages: usize,
}

/// Installs all of `systemd` into an empty root; what is wrong is added to `bad`.
pub fn try_out(systemd: &Path, bad: &mut Vec<String>) -> io::Result<Installed> {
    let root = TempDir::new("installed");
    run(Command::new("cp").arg("-rT").arg(systemd).arg(root.path()))?;
    for folder in ["etc", "run", "var/lib", "var/lib/systemd/catalog"] {
        fs::create_dir_all(root.join(folder))?;
    }
    // It is made while systemd's own users are there.
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\n")?;
    let at = format!("--root={}", root.path().display());
    tool(bad, "systemd-sysusers", &[&at])?;
    let groups = fs::read_to_string(root.join("etc/group"))?;
    let group =
        groups.lines().find_map(|line| line.strip_prefix("coracle:")?.split(':').nth(1)?.parse::<u32>().ok());
    if group.is_none() {
        bad.push(format!("sysusers makes no group coracle: {groups:?}"));
    }
    tool(
        bad,
        "systemd-tmpfiles",
        &[&at, "--create", "--prefix=/var/lib/coracle", "--prefix=/run/coracle", "--prefix=/etc/coracle"],
    )?;
    let folders = FOLDERS.iter().filter(|folder| right(&root, folder, group, bad)).count();
    tool(bad, "systemctl", &[&at, "--quiet", "preset", "coracle.service", "coracle-boot.service"])?;
    let enabled = ENABLED.iter().filter(|unit| is_enabled(&at, unit, bad)).count();
    tool(bad, "journalctl", &[&at, "--update-catalog"])?;
    let listed = tool(bad, "journalctl", &[&at, "--no-pager", "--list-catalog"])?;
    let (messages, written) = (listed.lines().count(), written(systemd)?);
    if messages != written {
        bad.push(format!("the journal's catalog has {messages} of {written} entries"));
    }
    Ok(Installed { folders, enabled, messages })
}

/// Entries as they are written.
fn written(systemd: &Path) -> io::Result<usize> {
    let catalog = fs::read_to_string(systemd.join("usr/lib/systemd/catalog/coracle.catalog"))?;
    Ok(catalog.lines().filter(|line| line.starts_with("-- ")).count())
}

/// What a tool prints; what it complains of is added to `bad`.
fn tool(bad: &mut Vec<String>, program: &str, words: &[&str]) -> io::Result<String> {
    let said = Command::new(program).args(words).env("LC_ALL", "C.UTF-8").output()?;
    let complaints = String::from_utf8_lossy(&said.stderr).into_owned();
    // What it does is told there as well.
    let real = complaints.lines().filter(|line| !line.starts_with("Creat") && !line.trim().is_empty());
    bad.extend(real.map(|line| format!("{program}: {line}")));
    if !said.status.success() {
        bad.push(format!("{program} {} ended with {}", words.join(" "), said.status));
    }
    Ok(String::from_utf8_lossy(&said.stdout).into_owned())
}

fn right(
    root: &Path,
    (folder, mode, groups): &(&str, u32, bool),
    group: Option<u32>,
    bad: &mut Vec<String>,
) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(found) = fs::metadata(root.join(folder)) else {
        bad.push(format!("tmpfiles does not make /{folder}"));
        return false;
    };
    let owner = if *groups { group.unwrap_or(u32::MAX) } else { 0 };
    let (found_mode, found_owner) = (found.permissions().mode() & 0o7777, found.gid());
    if (found_mode, found.uid(), found_owner) == (*mode, 0, owner) {
        return true;
    }
    bad.push(format!("/{folder} has mode {found_mode:o} and group {found_owner}, not {mode:o} and {owner}"));
    false
}

fn is_enabled(at: &str, unit: &str, bad: &mut Vec<String>) -> bool {
    let said = Command::new("systemctl").args([at, "is-enabled", unit]).output();
    let enabled = said.is_ok_and(|said| said.stdout.starts_with(b"enabled"));
    if !enabled {
        bad.push(format!("the preset does not enable {unit}"));
    }
    enabled
}
