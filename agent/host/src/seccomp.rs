//! The board's system call profile, and what a filter is made for.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use coracle_core::seccomp::{PROFILE_BYTES_MAX, Profile, SeccompError};

/// Where containers-common keeps the administrator's profile and the distribution's.
pub const PROFILES: [&str; 2] = ["/etc/containers/seccomp.json", "/usr/share/containers/seccomp.json"];

/// A profile cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the seccomp profile {}", file.display())]
pub struct ProfileError {
    file: PathBuf,
    source: ProfileCause,
}

/// Why.
#[derive(Debug, thiserror::Error)]
pub enum ProfileCause {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not a profile.
    #[error(transparent)]
    Form(#[from] SeccompError),
}

/// The profile at `configured`; else the first of [`PROFILES`] there is; else the built-in one. A profile that is
/// there and cannot be read is an error: a weaker or stronger one would be a surprise.
///
/// # Errors
/// [`ProfileError`] names the file.
pub fn load(configured: Option<&Path>) -> Result<Profile, ProfileError> {
    first(configured, &PROFILES.map(Path::new))
}

fn first(configured: Option<&Path>, known: &[&Path]) -> Result<Profile, ProfileError> {
    if let Some(file) = configured {
        return read(file).map_err(|source| ProfileError { file: file.to_owned(), source });
    }
    for file in known {
        match read(file) {
            Err(ProfileCause::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ProfileError { file: (*file).to_owned(), source }),
            Ok(profile) => return Ok(profile),
        }
    }
    Ok(Profile::built_in())
}

fn read(file: &Path) -> Result<Profile, ProfileCause> {
    let mut bytes = Vec::new();
    let most = u64::try_from(PROFILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    // One byte more than allowed is enough for the parser to say that it is too long.
    File::open(file)?.take(most).read_to_end(&mut bytes)?;
    Ok(Profile::parse(&bytes)?)
}

/// The running kernel's architecture in Go's words, and its version; the filter's target.
///
/// # Errors
/// That of `uname` or `/proc`.
pub fn kernel() -> io::Result<(String, (u32, u32))> {
    let machine = nix::sys::utsname::uname()?.machine().to_string_lossy().into_owned();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok((architecture(&machine), version(&release)))
}

fn architecture(machine: &str) -> String {
    match machine {
        "x86_64" => "amd64",
        "aarch64" | "aarch64_be" => "arm64",
        "i386" | "i486" | "i586" | "i686" => "386",
        arm if arm.starts_with("arm") => "arm",
        other => other,
    }
    .to_owned()
}

/// `6.1.0-18-cloud` is 6.1; what cannot be read is as old as can be, for then a filter opens least.
fn version(release: &str) -> (u32, u32) {
    let mut numbers =
        release.trim().split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use coracle_core::bundle::{CapabilitySet, capability};
    use coracle_core::seccomp::Target;

    use super::*;

    /// Calls that Linux got after the containers-common profile of 2022 was written; each works on what the caller
    /// has already.
    const NEWER: [&str; 8] = [
        "cachestat",
        "fchmodat2",
        "futex_requeue",
        "futex_wait",
        "futex_waitv",
        "futex_wake",
        "map_shadow_stack",
        "mseal",
    ];

    /// What a container of docker's default may call whatever the arguments.
    fn allowed(profile: &Profile, architecture: &str) -> BTreeSet<String> {
        let capabilities = CapabilitySet::of(&capability::DEFAULT);
        let filter = profile.resolve(&Target { architecture, capabilities, kernel: (6, 1) }).unwrap();
        let rules = filter["syscalls"].as_array().unwrap().clone();
        let plain =
            rules.iter().filter(|rule| rule["action"] == "SCMP_ACT_ALLOW" && rule.get("args").is_none());
        let names = plain.flat_map(|rule| rule["names"].as_array().unwrap());
        names.map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_built_in_profile_allows_nothing_that_the_boards_own_denies() {
        // Only where the file is installed: it is not ours to copy.
        let Ok(theirs) = read(Path::new(PROFILES[1])) else { return };
        for architecture in ["amd64", "arm64", "arm"] {
            // A condition on arguments narrows in ours what it narrows in theirs, or more.
            let (ours, theirs) =
                (allowed(&Profile::built_in(), architecture), allowed(&theirs, architecture));
            let more: BTreeSet<_> = ours.difference(&theirs).map(String::as_str).collect();
            assert!(more.iter().all(|name| NEWER.contains(name)), "{architecture}: {more:?}");
        }
    }

    #[test]
    fn the_configured_profile_comes_first_and_the_built_in_last() {
        let dir = std::env::temp_dir().join(format!("coracle-seccomp-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (own, known, missing) = (dir.join("own"), dir.join("known"), dir.join("missing"));
        fs::write(&own, r#"{"defaultAction":"SCMP_ACT_KILL","syscalls":[]}"#).unwrap();
        fs::write(&known, r#"{"defaultAction":"SCMP_ACT_TRAP","syscalls":[]}"#).unwrap();
        let profile = |path: &Path| read(path).unwrap();
        assert_eq!(first(Some(&own), &[&known]).unwrap(), profile(&own));
        assert_eq!(first(None, &[&missing, &known]).unwrap(), profile(&known));
        assert_eq!(first(None, &[&missing]).unwrap(), Profile::built_in());
        assert!(first(Some(&missing), &[&known]).is_err());
        fs::write(&known, "{").unwrap();
        assert!(first(None, &[&known, &own]).is_err());
        fs::write(&known, vec![b' '; PROFILE_BYTES_MAX + 10]).unwrap();
        assert!(first(None, &[&known]).is_err());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn kernels_are_read_from_what_uname_says() {
        assert_eq!(version("6.1.0-18-cloud-amd64\n"), (6, 1));
        assert_eq!(version("5.10"), (5, 10));
        assert_eq!(version("odd"), (0, 0));
        for (machine, want) in [
            ("x86_64", "amd64"),
            ("aarch64", "arm64"),
            ("armv7l", "arm"),
            ("i686", "386"),
            ("riscv64", "riscv64"),
        ] {
            assert_eq!(architecture(machine), want);
        }
        assert!(kernel().unwrap().1 > (2, 6));
    }
}
