//! What the recipe has cargo do: its flags, without a network, with no crates but those that the recipe names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use coracle_test_support::images::layer::sha256;
use coracle_test_support::process::run;
use coracle_test_support::scratch::TempDir;

use crate::sbom::bare;
use crate::{crates_inc, setup};

/// cargo knows what to build by these flags, from what is on the disk: a moment's work.
pub fn resolves(flags: &[String]) -> io::Result<String> {
    let mut cargo =
        setup::cargo(&["tree", "--frozen", "--offline", "--edges", "normal,build", "--prefix", "none"])?;
    let crates = run(cargo.args(flags))?.lines().filter(|line| !line.ends_with("(*)")).count();
    Ok(format!("{crates} crates by {}", flags.join(" ")))
}

/// Compiles the commit that the recipe names as the recipe does: out of a folder of its crates, each of which has the sum
/// in the list, with a cargo that knows no other source and may not ask for one. Checking takes the place of linking.
pub fn builds(flags: &[String]) -> io::Result<String> {
    setup::install_program("pkg-config", "pkg-config", "finds the C library of zstd, as in a Yocto build")?;
    if run(Command::new("pkg-config").args(["--exists", "libzstd"])).is_err() {
        setup::install_packages("libzstd-dev", "the C library of zstd, as in a Yocto build")?;
    }
    if !setup::cargo(&["fetch", "--quiet", "--locked"])?.status()?.success() {
        return Err(io::Error::other("cannot fetch all crates of Cargo.lock"));
    }
    let here = TempDir::new("vendored");
    let (source, vendor, home) = (here.join("source"), here.join("crates"), here.join("cargo_home"));
    for folder in [&source, &vendor, &home] {
        fs::create_dir(folder)?;
    }
    let archive = here.join("source.tar");
    run(Command::new("git")
        .current_dir(setup::root()?)
        .args(["archive", "--output"])
        .arg(&archive)
        .arg(crates_inc::commit()?))?;
    unpack(&archive, &source)?;
    let crates = crates_inc::crates()?;
    for (name, sum) in &crates {
        vendored(name, sum, &vendor)?;
    }
    let config = format!(
        "[source.bitbake]\ndirectory = {vendor:?}\n[source.crates-io]\nreplace-with = \"bitbake\"\n\
         local-registry = \"/nonexistent\"\n"
    );
    fs::write(home.join("config.toml"), config)?;
    let mut cargo = setup::cargo(&["check", "--quiet", "--frozen", "--release", "--manifest-path"])?;
    cargo.arg(source.join("Cargo.toml")).args(flags).current_dir(&*here);
    cargo
        .env("CARGO_HOME", &home)
        .env("CARGO_TARGET_DIR", here.join("target"))
        .env("ZSTD_SYS_USE_PKG_CONFIG", "1");
    if !cargo.status()?.success() {
        return Err(io::Error::other("the recipe's commit does not compile with the recipe's crates"));
    }
    Ok(format!("compiles from {} crates that have their sums, and from nothing else", crates.len()))
}

/// Unpacks one crate as bitbake's fetcher does: with the sum of the archive, and none of its files.
fn vendored(name: &str, sum: &str, folder: &Path) -> io::Result<()> {
    let archive = archive(name)?;
    let found = sha256(&fs::read(&archive)?);
    if bare(&found) != sum {
        return Err(io::Error::other(format!("{} has the sum {found}, and not {sum}", archive.display())));
    }
    unpack(&archive, folder)?;
    fs::write(
        folder.join(name).join(".cargo-checksum.json"),
        format!("{{\"files\":{{}},\"package\":\"{sum}\"}}"),
    )
}

/// Where cargo has put the archive of a crate.
fn archive(name: &str) -> io::Result<PathBuf> {
    let home = std::env::var("HOME").map_err(io::Error::other)?;
    let cargo = std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{home}/.cargo"));
    for registry in fs::read_dir(Path::new(&cargo).join("registry/cache"))? {
        let path = registry?.path().join(format!("{name}.crate"));
        if path.exists() {
            return Ok(path);
        }
    }
    Err(io::Error::other(format!("cargo fetched no {name}")))
}

fn unpack(archive: &Path, folder: &Path) -> io::Result<()> {
    run(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(folder).arg("--no-same-owner")).map(drop)
}
