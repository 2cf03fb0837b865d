//! Asks the kernel whether it can do what containers need, by doing it: configuration files and version numbers lie.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// What came of trying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// It works.
    Works,
    /// The kernel or the file system refused; the words of the system.
    Refused(String),
    /// It was not tried, and why.
    NotTried(&'static str),
}

impl Attempt {
    fn from_result(result: io::Result<()>) -> Self {
        result.map_or_else(|error| Self::Refused(error.to_string()), |()| Self::Works)
    }
}

/// What the kernel can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// Its version, as `uname -r` writes it.
    pub release: String,
    /// An overlay with lower and upper directories on the tried file system, and a file copied up in it.
    pub overlay: Attempt,
    /// `trusted.*` attributes: overlayfs marks removed and opaque directories with them.
    pub trusted_xattr: Attempt,
    /// `user.*` attributes: images may carry them.
    pub user_xattr: Attempt,
    /// Paths resolved beneath a directory (Linux 5.6).
    pub openat2: Attempt,
    /// Namespaces that are missing, of those a container gets.
    pub namespaces_missing: Vec<&'static str>,
    /// System call filters.
    pub seccomp: Attempt,
}

/// The namespaces a container gets.
const NAMESPACES: [&str; 6] = ["mnt", "pid", "ipc", "uts", "net", "cgroup"];

/// Tries everything, on the file system of `state_dir` (or of its nearest folder that exists); leaves nothing behind.
#[must_use]
pub fn look(state_dir: &Path) -> Kernel {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
    let missing = |name: &&&str| !Path::new("/proc/self/ns").join(name).exists();
    let namespaces_missing = NAMESPACES.iter().filter(missing).copied().collect();
    let seccomp = match fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail") {
        Ok(actions) if actions.contains("errno") => Attempt::Works,
        Ok(_) => Attempt::Refused("no filter that answers with an error".to_owned()),
        Err(error) => Attempt::Refused(error.to_string()),
    };
    let (overlay, trusted_xattr, user_xattr) = match Bench::new(state_dir) {
        Ok(bench) => (bench.overlay(), bench.attribute(c"trusted.coracle"), bench.attribute(c"user.coracle")),
        Err(error) => {
            let refused = Attempt::Refused(format!("no folder to try in: {error}"));
            (refused.clone(), refused.clone(), refused)
        }
    };
    let openat2 = Attempt::from_result(open_beneath());
    Kernel { release, overlay, trusted_xattr, user_xattr, openat2, namespaces_missing, seccomp }
}

fn open_beneath() -> io::Result<()> {
    let root = fs::File::open("/")?;
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_BENEATH);
    nix::fcntl::openat2(root.as_fd(), "proc", how)?;
    Ok(())
}

/// A folder to try things in, removed at the end.
struct Bench(PathBuf);

impl Bench {
    fn new(near: &Path) -> io::Result<Self> {
        let there = near.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
        let bench = Self(there.join(format!(".coracle-doctor-{}", std::process::id())));
        fs::create_dir(&bench.0)?;
        for folder in ["lower", "upper", "work", "merged"] {
            fs::create_dir(bench.0.join(folder))?;
        }
        Ok(bench)
    }

    /// Mounts an overlay where no one else sees it: a thread has its own mount namespace once it asks for one.
    fn overlay(&self) -> Attempt {
        if !nix::unistd::geteuid().is_root() {
            return Attempt::NotTried("needs root");
        }
        let tried = std::thread::scope(|scope| scope.spawn(|| self.mount_and_copy_up()).join());
        tried.map_or(Attempt::Refused("the trial ended early".to_owned()), Attempt::from_result)
    }

    fn mount_and_copy_up(&self) -> io::Result<()> {
        let file = |folder: &str| self.0.join(folder).join("file");
        fs::write(file("lower"), "below")?;
        unshare(CloneFlags::CLONE_NEWNS)?;
        let none = None::<&Path>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        let folder = |name: &str| self.0.join(name).display().to_string();
        let options =
            format!("lowerdir={},upperdir={},workdir={}", folder("lower"), folder("upper"), folder("work"));
        let merged = self.0.join("merged");
        mount(Some("overlay"), &merged, Some("overlay"), MsFlags::empty(), Some(options.as_str()))?;
        let copied = fs::write(file("merged"), "above").and_then(|()| fs::remove_file(file("merged")));
        nix::mount::umount(&merged)?;
        copied
    }

    #[allow(unsafe_code)] // extended attributes have no safe wrapper in our libraries
    fn attribute(&self, name: &std::ffi::CStr) -> Attempt {
        use std::os::fd::AsRawFd as _;
        let file = match fs::File::create(self.0.join("attributes")) {
            Ok(file) => file,
            Err(error) => return Attempt::Refused(error.to_string()),
        };
        let value = b"1";
        // SAFETY: the descriptor is open for the whole call, the name ends in NUL, the length is the value's.
        let done = unsafe {
            nix::libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0)
        };
        Attempt::from_result(nix::errno::Errno::result(done).map(drop).map_err(io::Error::from))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // A leftover is empty and named after us; there is no one to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trying_leaves_neither_folder_nor_mount_behind() {
        let state = std::env::temp_dir().join(format!("coracle-kernel-{}", std::process::id()));
        fs::create_dir(&state).unwrap();
        let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
        let kernel = look(&state);
        assert!(!kernel.release.is_empty());
        assert!(!mounts().contains("coracle-kernel"));
        assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
        fs::remove_dir(&state).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told() {
        let kernel = look(Path::new("/proc/self"));
        assert!(matches!(kernel.overlay, Attempt::Refused(_)), "{:?}", kernel.overlay);
    }
}
