//! The trees that boards boot: Debian of each architecture with systemd and crun, made once and kept in the cache.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use nix::fcntl::{Flock, FlockArg};

use crate::debian::mirror;
use crate::foreign;
use crate::images::Arch;
use crate::scratch::cache;

/// Counts the forms of the tree: another one is made anew.
const NAME: &str = "debian-bookworm-2";
const PACKAGES: &str = "--include=systemd,systemd-sysv,udev,kmod,dbus,iproute2,procps,crun,ca-certificates";
/// Words for whoever makes one. Manuals and translations only cost time where nobody reads them; what leaves them out
/// stays out of the tree, so that packages that are installed later are whole.
const WORDS: [&str; 9] = [
    "mmdebstrap",
    "--mode=root",
    "--format=directory",
    "--variant=minbase",
    PACKAGES,
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--customize-hook=rm $1/etc/dpkg/dpkg.cfg.d/99mmdebstrap",
];
/// What only costs time on a board that nobody logs in to.
const MASKED: [&str; 8] = [
    "console-getty.service",
    "getty.target",
    "systemd-logind.service",
    "e2scrub_reap.service",
    "e2scrub_all.timer",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
];

/// The tree of an architecture, from the cache or by way of `mmdebstrap`: half a minute for this machine's own, three
/// to six for one whose programs are emulated.
pub fn tree(arch: Arch) -> io::Result<PathBuf> {
    let (cache, name) = (cache(), format!("{NAME}-{}", arch.debian()));
    let lock = File::options().create(true).append(true).open(cache.join(format!("{name}.lock")))?;
    let _only_one = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, e)| io::Error::from(e))?;
    let home = cache.join(name);
    if home.exists() {
        return Ok(home);
    }
    // Whole or not at all.
    let partial = home.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    let architecture = format!("--architectures={}", arch.debian());
    let source = format!("deb {} bookworm main", mirror());
    let mut words: Vec<&OsStr> = WORDS.iter().map(AsRef::as_ref).collect();
    let rest: [&OsStr; 4] =
        [architecture.as_ref(), "bookworm".as_ref(), partial.as_os_str(), source.as_ref()];
    words.extend(rest);
    foreign::run(arch, &words)?;
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
