//! What the recipe has cargo do: its flags, without a network, with no crates but those that the recipe names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use coracle_test_support::images::layer::sha256;
use coracle_test_support::process::run;
use coracle_test_support::scratch::TempDir;
use serde_json::Value;

use crate::sbom::bare;
use crate::{crates_inc, setup};

/// The Rust of the oldest series that builds us, wrynose: `rust-version` of our manifest.
const RUST: &str = "1.94.1";

/// cargo knows what to build by these flags, from what is on the disk, and none of it asks for a newer Rust: a moment's
/// work.
pub fn resolves(flags: &[String]) -> io::Result<String> {
    let metadata = run(&mut setup::cargo(&["metadata", "--frozen", "--offline", "--format-version", "1"])?)?;
    let newer = newer(&serde_json::from_str(&metadata)?, RUST);
    if !newer.is_empty() {
        return Err(io::Error::other(format!(
            "what asks for a newer Rust than {RUST}: {}",
            newer.join(", ")
        )));
    }
    let mut cargo =
        setup::cargo(&["tree", "--frozen", "--offline", "--edges", "normal,build", "--prefix", "none"])?;
    let crates = run(cargo.args(flags))?.lines().filter(|line| !line.ends_with("(*)")).count();
    Ok(format!("{crates} crates by {}, none for a newer Rust than {RUST}", flags.join(" ")))
}

/// The packages that want a newer Rust than this one.
fn newer(metadata: &Value, rust: &str) -> Vec<String> {
    let numbers =
        |text: &str| text.split('.').map(|part| part.parse::<u32>().unwrap_or(u32::MAX)).collect::<Vec<_>>();
    let wants =
        |it: &&Value| it["rust_version"].as_str().is_some_and(|wanted| numbers(wanted) > numbers(rust));
    let packages = metadata["packages"].as_array().into_iter().flatten().filter(wants);
    packages.map(|it| format!("{} {} ({})", it["name"], it["version"], it["rust_version"])).collect()
}

/// Builds the commit that the recipe names as the recipe does: out of a folder of its crates, each of which has the sum in
/// the list, with a cargo of wrynose's version that knows no other source and may not ask for one, and with the system's
/// zstd. What takes long in a release, and is tried by every `cargo xtask build`, is left out: optimizing.
pub fn builds(flags: &[String]) -> io::Result<String> {
    setup::install_program("pkg-config", "pkg-config", "finds the C library of zstd, as in a Yocto build")?;
    if run(Command::new("pkg-config").args(["--exists", "libzstd"])).is_err() {
        setup::install_packages("libzstd-dev", "the C library of zstd, as in a Yocto build")?;
    }
    if run(Command::new("rustup").args(["run", RUST, "cargo", "--version"])).is_err() {
        println!("setup: installing Rust {RUST}: the one of the oldest Yocto series that builds from source");
        let install = ["toolchain", "install", RUST, "--profile", "minimal", "--no-self-update"];
        run(Command::new("rustup").args(install))?;
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
    let target = here.join("target");
    let cargo = |verb: &str, flags: &[String]| {
        let mut cargo = Command::new("rustup");
        cargo.args(["run", RUST, "cargo", verb, "--quiet", "--frozen", "--release", "--manifest-path"]);
        cargo.arg(source.join("Cargo.toml")).args(flags).current_dir(&*here);
        // The cargo that runs us has put its own toolchain into the environment.
        for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
            cargo.env_remove(name);
        }
        cargo.env("CARGO_HOME", &home).env("CARGO_TARGET_DIR", &target).env("ZSTD_SYS_USE_PKG_CONFIG", "1");
        cargo.env("CARGO_PROFILE_RELEASE_STRIP", "none").env("CARGO_PROFILE_RELEASE_LTO", "off");
        cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
        match cargo.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(io::Error::other(format!(
                "cargo {verb} {} fails in the recipe's commit",
                flags.join(" ")
            ))),
            Err(e) => Err(e),
        }
    };
    cargo("build", flags)?;
    let bare: Vec<String> = flags.iter().filter(|flag| !flag.starts_with("--features")).cloned().collect();
    cargo("check", &bare)?;
    let built = target.join("release/coracle");
    let version = run(Command::new(&built).arg("--version"))?;
    let libraries = run(Command::new("ldd").arg(&built))?;
    let zstd = if libraries.contains("libzstd") { "the system's" } else { "a static" };
    let (version, crates) = (version.trim(), crates.len());
    Ok(format!(
        "Rust {RUST} builds {version} from {crates} crates that have their sums, and from nothing else, with {zstd} zstd; \
         and without its options"
    ))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_wants_a_newer_rust_is_found() {
        for (wanted, is_newer) in
            [("1.94", false), ("1.94.1", false), ("1.94.2", true), ("1.95", true), ("2.0", true)]
        {
            let metadata =
                json!({ "packages": [{ "name": "x", "version": "1.0.0", "rust_version": wanted }] });
            assert_eq!(newer(&metadata, "1.94.1").len(), usize::from(is_newer), "{wanted}");
        }
        assert!(newer(&json!({ "packages": [{ "name": "x", "rust_version": null }] }), "1.94.1").is_empty());
    }
}
