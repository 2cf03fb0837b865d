//! Who a container's process is, looked up inside the container's root.
//!
//! Invariant: no file of the board is read instead of the image's, whatever links the image has, and no file of the
//! image makes the agent wait or fill its memory.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use coracle_core::bundle::ProcessUser;
use coracle_core::bundle::user::{UserError, resolve};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;

/// Bytes of a `passwd` or `group` file; a full distribution has some 3 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A user was not found.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The root itself, or a file in it, cannot be read.
    #[error("failed to read {file:?} in the root {}", root.display())]
    Read {
        /// The container's root.
        root: PathBuf,
        /// The file, from the root.
        file: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The files do not have it.
    #[error("failed to find the user {spec:?}")]
    Missing {
        /// As asked for.
        spec: String,
        /// What is missing.
        source: UserError,
    },
}

/// The user `spec` (`user[:group]`, empty for root) of the container whose mounted root is `root`.
///
/// # Errors
/// [`LookupError`]: a name that is not there, a file that is none or is too long.
pub fn lookup(root: &Path, spec: &str) -> Result<ProcessUser, LookupError> {
    let read = |file| {
        read_in(root, file).map_err(|source| LookupError::Read { root: root.to_owned(), file, source })
    };
    let (passwd, group) = (read("etc/passwd")?, read("etc/group")?);
    resolve(spec, &passwd, &group)
        .map_err(|source| LookupError::Missing { spec: spec.chars().take(80).collect(), source })
}

/// The text of a file in `root`; empty where there is none, for images without users are common.
fn read_in(root: &Path, file: &str) -> io::Result<String> {
    let root = File::open(root)?;
    let found = match open_in(&root, file) {
        Ok(found) => File::from(found),
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(String::new()),
        Err(errno) => return Err(errno.into()),
    };
    if !found.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    let read = found.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Opens without waiting: a pipe in the file's place would never answer.
const FILE: OFlag = OFlag::O_RDONLY.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);

fn open_in(root: &File, file: &str) -> nix::Result<OwnedFd> {
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    match openat2(root, file, OpenHow::new().flags(FILE).resolve(resolve)) {
        // Before Linux 5.6, or in a sandbox that does not let the call through: without following any link.
        Err(Errno::ENOSYS | Errno::EPERM) => open_without_links(root, file),
        other => other,
    }
}

fn open_without_links(root: &File, file: &str) -> nix::Result<OwnedFd> {
    let (directory, name) = file.split_once('/').unwrap_or((".", file));
    let within = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let directory = openat(root, directory, within, Mode::empty())?;
    openat(&directory, name, FILE | OFlag::O_NOFOLLOW, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    struct Root(PathBuf);

    impl Root {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("coracle-users-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(path.join("etc")).unwrap();
            Self(path)
        }

        fn write(&self, file: &str, text: &[u8]) {
            fs::write(self.0.join(file), text).unwrap();
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_user_is_found_in_the_roots_own_files() {
        let root = Root::new("own");
        assert_eq!(lookup(&root.0, "").unwrap().uid, 0);
        assert_eq!(lookup(&root.0, "7:8").unwrap().gid, 8);
        assert!(matches!(lookup(&root.0, "root"), Err(LookupError::Missing { .. })));
        root.write("etc/passwd", b"\xff\xfe\nweb:x:5:6::/srv:\n");
        root.write("etc/group", b"log:x:9:web\n");
        let web = lookup(&root.0, "web").unwrap();
        assert_eq!((web.uid, web.gid, web.groups, web.home.as_str()), (5, 6, vec![6, 9], "/srv"));
    }

    #[test]
    fn links_are_followed_within_the_root_only() {
        let root = Root::new("links");
        fs::create_dir_all(root.0.join("usr/etc")).unwrap();
        root.write("usr/etc/passwd", b"web:x:5:6::/srv:\n");
        symlink("/usr/etc/passwd", root.0.join("etc/passwd")).unwrap();
        assert_eq!(lookup(&root.0, "web").unwrap().uid, 5);
        // The board's own file has root; the image's link to it leads to a file that the image does not have.
        fs::remove_file(root.0.join("etc/passwd")).unwrap();
        symlink("../../../../../../../../etc/passwd", root.0.join("etc/passwd")).unwrap();
        let found = lookup(&root.0, "root").unwrap_err();
        assert!(matches!(found, LookupError::Read { .. } | LookupError::Missing { .. }), "{found}");
        let opened = File::open(&root.0).unwrap();
        assert_eq!(open_without_links(&opened, "etc/passwd").unwrap_err(), Errno::ELOOP);
        root.write("etc/group", b"x");
        assert!(open_without_links(&opened, "etc/group").is_ok());
    }

    #[test]
    fn a_file_that_is_none_or_has_no_end_is_refused() {
        let root = Root::new("hostile");
        root.write("etc/passwd", &vec![b'\n'; 1 << 21]);
        assert!(matches!(lookup(&root.0, "0"), Err(LookupError::Read { .. })));
        fs::remove_file(root.0.join("etc/passwd")).unwrap();
        nix::unistd::mkfifo(&root.0.join("etc/passwd"), Mode::S_IRWXU).unwrap();
        assert!(matches!(lookup(&root.0, "0"), Err(LookupError::Read { .. })));
        fs::remove_file(root.0.join("etc/passwd")).unwrap();
        fs::create_dir(root.0.join("etc/passwd")).unwrap();
        assert!(matches!(lookup(&root.0, "0"), Err(LookupError::Read { .. })));
    }
}
