//! `dist [--target TRIPLE|all] [--out DIR] [--binary FILE]`: what is handed to others: a Debian package and a plain
//! archive for each target, their bill of materials, and the sums of all.
//!
//! The same commit gives the same bytes: times are the commit's (or `SOURCE_DATE_EPOCH`), owners are root, entries are
//! sorted, and what is packed is a folder made by one function.
//!
//! ```text
//! target/dist/coracle_VERSION_ARCH.deb          dpkg's; the architecture is Debian's word
//!             coracle-VERSION-TRIPLE.tar.gz     the same files, and `install`
//!             coracle-VERSION-TRIPLE.cdx.json   what the binary is made of
//!             SHA256SUMS
//! ```

mod deb;
mod files;
mod tarball;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use coracle_test_support::images::layer::sha256;
use coracle_test_support::process::run;
use coracle_test_support::scratch::TempDir;

use crate::build::{self, AMD64};
use crate::{sbom, setup, target, words};

/// What is packed.
pub struct Release<'a> {
    /// The target.
    pub triple: &'a str,
    /// Its binary.
    pub exe: &'a Path,
    /// The version that the packages bear.
    pub version: &'a str,
}

/// The version of this tree.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Makes them all, and counts.
pub fn command(given: &[String]) -> io::Result<()> {
    words::only(given, &["--target", "--out", "--binary"], &[])?;
    let out = words::text(given, "--out").map_or_else(folder, |path| Ok(PathBuf::from(path)))?;
    let binary = words::text(given, "--binary").map(PathBuf::from);
    let triples = match words::text(given, "--target") {
        Some("all") => target::all()?.into_iter().map(|target| target.triple).collect(),
        Some(triple) => vec![triple.to_owned()],
        None => vec![AMD64.to_owned()],
    };
    if binary.is_some() && triples.len() != 1 {
        return Err(io::Error::other("--binary is one target's"));
    }
    fs::create_dir_all(&out)?;
    let mut made = Vec::new();
    let mut packages = 0;
    for triple in &triples {
        let exe = binary.clone().map_or_else(|| build::release(triple), Ok)?;
        let release = Release { triple, exe: &exe, version: VERSION };
        match target::of(triple)?.debian {
            Some(arch) => {
                made.push(release.deb(&arch, &out)?);
                packages += 1;
            }
            None => println!("{triple}: Debian has no architecture of its own for it, so no package"),
        }
        made.push(release.tarball(&out)?);
        made.push(release.bill(&out)?);
    }
    sums(&out, &made)?;
    for path in &made {
        println!("{} bytes: {}", fs::metadata(path)?.len(), path.display());
    }
    println!(
        "dist: {VERSION}: {} targets, {packages} packages, {} archives, {} bills, sums of {} files in {}",
        triples.len(),
        triples.len(),
        triples.len(),
        made.len(),
        out.join("SHA256SUMS").display()
    );
    Ok(())
}

/// Builds a target and makes its Debian package; hands back where it is.
pub fn deb(triple: &str) -> io::Result<PathBuf> {
    let arch = target::of(triple)?
        .debian
        .ok_or_else(|| io::Error::other(format!("Debian has no architecture of its own for {triple}")))?;
    let exe = build::release(triple)?;
    let out = folder()?;
    fs::create_dir_all(&out)?;
    Release { triple, exe: &exe, version: VERSION }.deb(&arch, &out)
}

impl Release<'_> {
    /// The Debian package, in `out`.
    pub fn deb(&self, arch: &str, out: &Path) -> io::Result<PathBuf> {
        let scratch = TempDir::new("deb");
        let root = scratch.join("root");
        files::gather(self, &root)?;
        deb::pack(self, arch, &root, &out.join(format!("coracle_{}_{arch}.deb", self.version)))
    }

    /// The plain archive, in `out`.
    pub fn tarball(&self, out: &Path) -> io::Result<PathBuf> {
        let scratch = TempDir::new("tarball");
        let name = format!("coracle-{}-{}", self.version, self.triple);
        files::gather(self, &scratch.join(&name))?;
        tarball::pack(scratch.path(), &name, &out.join(format!("{name}.tar.gz")))
    }

    /// The bill of materials, in `out`.
    fn bill(&self, out: &Path) -> io::Result<PathBuf> {
        let exe = self.exe.to_string_lossy().into_owned();
        sbom::command(&[self.triple.to_owned(), "--binary".to_owned(), exe])?;
        let name = format!("coracle-{}-{}.cdx.json", self.version, self.triple);
        let bill = setup::target_dir()?.join("sbom").join(format!("coracle-{}.cdx.json", self.triple));
        fs::copy(bill, out.join(&name))?;
        Ok(out.join(name))
    }
}

/// Where they are put unless somebody says otherwise.
fn folder() -> io::Result<PathBuf> {
    Ok(setup::target_dir()?.join("dist"))
}

/// Writes `SHA256SUMS` as sha256sum does.
fn sums(out: &Path, made: &[PathBuf]) -> io::Result<()> {
    let mut lines = Vec::new();
    for path in made {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        lines.push(format!("{}  {name}\n", sbom::bare(&sha256(&fs::read(path)?))));
    }
    lines.sort();
    fs::write(out.join("SHA256SUMS"), lines.concat())
}

/// The seconds that everything packed bears: `SOURCE_DATE_EPOCH`, else those of the commit.
fn epoch() -> io::Result<u64> {
    let given = std::env::var("SOURCE_DATE_EPOCH").ok();
    let text = match given {
        Some(text) => text,
        None => run(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(setup::root()?))
            .map_err(|e| io::Error::other(format!("no SOURCE_DATE_EPOCH, and no commit to ask: {e}")))?,
    };
    text.trim().parse().map_err(|_| io::Error::other(format!("{text:?} is not a number of seconds")))
}
