//! The Debian package, packed by dpkg-deb, which sorts, and takes times and owners as it is told.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use coracle_test_support::process::run;

use super::{Release, epoch, files};
use crate::setup;

/// Whom a package names unless `CORACLE_MAINTAINER` does: who publishes packages has an address.
const MAINTAINER: &str = "The Coracle contributors <coracle@packages.invalid>";
const UNITS: &str = "usr/lib/systemd/system";

/// Packs the tree `root` as `path`.
pub fn pack(release: &Release<'_>, arch: &str, root: &Path, path: &Path) -> io::Result<PathBuf> {
    let forms = setup::root()?.join("cross/package/deb");
    let control = root.join("DEBIAN");
    let overrides = root.join("usr/share/lintian/overrides");
    fs::create_dir_all(&overrides)?;
    fs::copy(forms.join("overrides"), overrides.join("coracle"))?;
    let maintainer = std::env::var("CORACLE_MAINTAINER").unwrap_or_else(|_| MAINTAINER.to_owned());
    changelog(release, &maintainer, &root.join("usr/share/doc/coracle/changelog"))?;
    files::modes(root)?;
    let kib = installed_kib(root)?;
    let sums = sums(root)?;
    fs::create_dir(&control)?;
    fs::set_permissions(&control, fs::Permissions::from_mode(0o755))?;
    write(&control.join("md5sums"), &sums, 0o644)?;
    let words = [
        ("@VERSION@", release.version.to_owned()),
        ("@ARCH@", arch.to_owned()),
        ("@MAINTAINER@", maintainer),
        ("@KIB@", kib.to_string()),
        ("@UNITS@", enabled(root)?),
        ("@TMPFILES@", names(&root.join("usr/lib/tmpfiles.d"), ".conf")?.join(" ")),
        ("@SYSUSERS@", names(&root.join("usr/lib/sysusers.d"), ".conf")?.join(" ")),
    ];
    for (name, mode) in [("control", 0o644), ("postinst", 0o755), ("prerm", 0o755), ("postrm", 0o755)] {
        let form = fs::read_to_string(forms.join(name))?;
        let text = words.iter().fold(form, |text, (word, value)| text.replace(word, value));
        write(&control.join(name), &text, mode)?;
    }
    let mut pack = Command::new("dpkg-deb");
    pack.args(["--root-owner-group", "-Zxz", "--build"]).arg(root).arg(path);
    // One thread: how many there are decides how xz cuts its blocks.
    pack.env("SOURCE_DATE_EPOCH", epoch()?.to_string()).env("DPKG_DEB_THREADS_MAX", "1");
    run(&mut pack)?;
    Ok(path.to_owned())
}

/// What Debian's tools want to read of a version; the project's own list of changes lies beside it.
fn changelog(release: &Release<'_>, maintainer: &str, path: &Path) -> io::Result<()> {
    let date = run(Command::new("date").args(["-Ru", "-d"]).arg(format!("@{}", epoch()?)))?;
    let text = format!(
        "coracle ({}) unstable; urgency=medium\n\n  * See CHANGELOG.md.gz.\n\n -- {maintainer}  {date}",
        release.version
    );
    fs::write(path, text)?;
    run(Command::new("gzip").arg("-9n").arg(path)).map(drop)
}

/// The units that are started at boot: those with a section that says so, the agent last.
fn enabled(root: &Path) -> io::Result<String> {
    let mut found = Vec::new();
    for name in names(&root.join(UNITS), "")? {
        let text = fs::read_to_string(root.join(UNITS).join(&name))?;
        if !name.contains('@') && text.lines().any(|line| line == "[Install]") {
            found.push(name);
        }
    }
    found.sort_by_key(|name| name == "coracle.service");
    Ok(found.join(" "))
}

/// The names in a folder that end so, sorted; none where there is no such folder.
fn names(folder: &Path, ending: &str) -> io::Result<Vec<String>> {
    let mut names = setup::files(folder, ending)?
        .iter()
        .filter(|path| path.parent() == Some(folder))
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect::<Vec<_>>();
    names.sort();
    Ok(names)
}

/// What the files take, as dpkg counts: each file in whole KiB, and one for all else.
fn installed_kib(root: &Path) -> io::Result<u64> {
    let files = setup::files(root, "")?;
    files.iter().try_fold(1, |sum, path| Ok(sum + fs::metadata(path)?.len().div_ceil(1024)))
}

/// The sums that `dpkg --verify` holds files against.
fn sums(root: &Path) -> io::Result<String> {
    let mut files = setup::files(root, "")?;
    files.sort();
    let relative = files.iter().filter_map(|path| path.strip_prefix(root).ok());
    run(Command::new("md5sum").args(relative).current_dir(root))
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}
