//! Packages of Debian through an apt of our own: the system's lists, architectures and packages stay as they are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::run;
use crate::scratch::TempDir;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An apt with fresh lists that installs nothing.
#[derive(Debug)]
pub struct Apt {
    root: TempDir,
    architectures: Vec<&'static str>,
}

impl Apt {
    /// Fetches the lists of `architectures`, by Debian's names.
    pub fn new(architectures: &[&'static str]) -> io::Result<Self> {
        let root = TempDir::new("apt");
        for folder in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(root.join(folder))?;
        }
        fs::write(
            root.join("sources.list"),
            format!("deb [signed-by={KEYRING}] {} bookworm main\n", mirror()),
        )?;
        let apt = Self { root, architectures: architectures.to_vec() };
        run(apt.command().arg("update"))?;
        Ok(apt)
    }

    /// Downloads packages, `name` or `name:architecture`; hands back the files, which vanish with this value.
    pub fn download(&self, packages: &[&str]) -> io::Result<Vec<PathBuf>> {
        run(self.command().arg("download").args(packages))?;
        let entries = fs::read_dir(self.root.path())?.map(|entry| entry.map(|entry| entry.path()));
        let all = entries.collect::<io::Result<Vec<_>>>()?;
        Ok(all.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "deb")).collect())
    }

    fn command(&self) -> Command {
        let mut command = Command::new("apt-get");
        command.current_dir(self.root.path()).args([
            "-q",
            "-o",
            "APT::Sandbox::User=root",
            "-o",
            "Dir::Etc::sourceparts=/dev/null",
        ]);
        let places = [
            ("Dir::State::lists", "lists"),
            ("Dir::Cache", "cache"),
            ("Dir::Etc::sourcelist", "sources.list"),
        ];
        for (key, folder) in places {
            command.arg("-o").arg(format!("{key}={}", self.root.join(folder).display()));
        }
        for architecture in &self.architectures {
            command.arg("-o").arg(format!("APT::Architectures::={architecture}"));
        }
        command
    }
}

/// Unpacks a package below `tree`.
pub fn unpack(package: &Path, tree: &Path) -> io::Result<()> {
    run(Command::new("dpkg").arg("-x").arg(package).arg(tree)).map(drop)
}

/// The mirror that this machine already uses, else Debian's own.
pub fn mirror() -> String {
    let lists = ["/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources"];
    let text = lists.iter().filter_map(|path| fs::read_to_string(path).ok()).collect::<String>();
    let used = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace)
        .find(|word| word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian"));
    used.unwrap_or("http://deb.debian.org/debian").to_owned()
}
