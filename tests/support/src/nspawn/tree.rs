//! The tree that all boards boot: Debian with systemd and crun, made once and kept in the cache.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};

use crate::debian::mirror;
use crate::process::run;
use crate::scratch::cache;

/// Counts the forms of the tree: another one is made anew.
const NAME: &str = "debian-bookworm-1";
const PACKAGES: &str =
    "--include=systemd,systemd-sysv,dbus,libpam-systemd,iproute2,procps,crun,ca-certificates";
/// What only costs time on a board that nobody logs in to.
const MASKED: [&str; 6] = [
    "console-getty.service",
    "getty.target",
    "systemd-logind.service",
    "e2scrub_reap.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
];

/// The tree, from the cache or by way of `debootstrap`, which takes a minute.
pub fn tree() -> io::Result<PathBuf> {
    let cache = cache();
    let lock = File::options().create(true).append(true).open(cache.join("tree.lock"))?;
    let _only_one = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, e)| io::Error::from(e))?;
    let home = cache.join(NAME);
    if home.exists() {
        return Ok(home);
    }
    // Whole or not at all.
    let partial = home.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    let mut make = Command::new("debootstrap");
    run(make.args(["--variant=minbase", PACKAGES, "bookworm"]).arg(&partial).arg(mirror()))?;
    fs::remove_dir_all(partial.join("var/cache/apt"))?;
    let units = partial.join("etc/systemd/system");
    for unit in MASKED {
        let place = units.join(unit);
        if place.symlink_metadata().is_ok() {
            fs::remove_file(&place)?;
        }
        std::os::unix::fs::symlink("/dev/null", place)?;
    }
    fs::rename(partial, &home)?;
    Ok(home)
}
