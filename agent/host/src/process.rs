//! Processes: run one to its end within a bound of time, wait for one that is not our child, hand nothing on by accident.
//!
//! Invariant: nothing here waits without a deadline. The kernel tells of an end through a pidfd (Linux 5.3);
//! older kernels are asked every few milliseconds.
#![allow(unsafe_code)] // pidfd_open, close_range and the child's signal mask have no safe wrapper

use std::fs;
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::unistd::Pid;

/// How often a process is asked after on kernels that cannot tell.
const ASK_EVERY: Duration = Duration::from_millis(5);
/// What one wait in the kernel may take at most, so that a deadline far away fits the call.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The first descriptor that is none of the three streams.
const FIRST_OTHER: i32 = 3;
/// `close_range` then closes nothing: each descriptor is closed when another program is executed (linux/close_range.h).
const CLOSE_RANGE_CLOEXEC: libc::c_uint = 1 << 2;

/// Keeps back from every program that this process starts what whoever started it has left open. A runtime takes what
/// it inherits into the container's set-up, and a directory of the board among it is a way out.
///
/// # Errors
/// That of the system, where neither the call nor the list of descriptors is there.
pub fn keep_descriptors_back() -> io::Result<()> {
    // SAFETY: close_range takes three integers and touches no memory of ours.
    let done =
        unsafe { libc::syscall(libc::SYS_close_range, FIRST_OTHER, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) };
    if done == 0 { Ok(()) } else { keep_listed_back() }
}

/// The same before Linux 5.11, or in a sandbox without that call.
fn keep_listed_back() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let Some(fd) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if fd >= FIRST_OTHER {
            // SAFETY: fcntl takes three integers and touches no memory of ours. The flags have only this one bit.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// Starts `command` with no signal blocked, whatever this process blocks for itself.
///
/// # Errors
/// That of the system, as [`Command::spawn`] has it.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    // SAFETY: the closure runs between fork and exec and makes one system call, without memory or locks.
    unsafe {
        command.pre_exec(|| SigSet::empty().thread_set_mask().map_err(io::Error::from));
    }
    command.spawn()
}

/// Has the kernel write no image of this process to disk, and let no other user look into it: there are secrets in it.
/// A program that is started from here begins as every other does, so neither shims nor workloads inherit it.
pub fn keep_memory_private() {
    // It cannot fail for a value that the kernel knows (prctl(2)).
    let _ = nix::sys::prctl::set_dumpable(false);
}

/// Waits for `child`; one that does not end in time is killed and the answer is `None`.
///
/// # Errors
/// That of the system.
pub fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let pidfd = open_pidfd(pid).ok();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        pause(pidfd.as_ref(), deadline);
    }
}

/// Waits until process `pid` is gone or a zombie; false when it is still there at the deadline.
#[must_use]
pub fn wait_gone(pid: i32, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    let pidfd = open_pidfd(pid).ok();
    while alive(pid) {
        if Instant::now() >= deadline {
            return false;
        }
        pause(pidfd.as_ref(), deadline);
    }
    true
}

/// Whether `pid` runs (a zombie does not). Asked of the kernel by a pidfd: a sandbox may hide other processes in `/proc`.
#[must_use]
pub fn alive(pid: i32) -> bool {
    match open_pidfd(pid) {
        Ok(pidfd) => !over(&pidfd),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => false,
        // Before Linux 5.3.
        Err(_) => runs_by_proc(pid),
    }
}

/// Whether the process behind a pidfd has ended.
fn over(pidfd: &OwnedFd) -> bool {
    poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO) == Ok(1)
}

fn runs_by_proc(pid: i32) -> bool {
    stat_fields(pid).is_some_and(|fields| fields.first().is_some_and(|state| state != "Z" && state != "X"))
}

/// When `pid` was started, in clock ticks since boot: with the pid it names one process for good.
#[must_use]
pub fn start_ticks(pid: i32) -> Option<u64> {
    stat_fields(pid)?.get(19)?.parse().ok()
}

/// Ends `pid`, and its process group where it leads one, if it is a child of this process: then its pid is still its
/// own. Something else is left alone.
pub fn kill_child(pid: i32) {
    let Some(fields) = stat_fields(pid) else { return };
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok());
    // proc_pid_stat(5): after the state come the parent and the group.
    if number(1) != Some(std::process::id()) {
        return;
    }
    let pid_of = Pid::from_raw(pid);
    let _ = kill(pid_of, Signal::SIGKILL);
    if number(2) == u32::try_from(pid).ok() {
        let _ = killpg(pid_of, Signal::SIGKILL);
    }
}

/// The fields of `/proc/<pid>/stat` from the third ("state") on; the name before may hold anything.
fn stat_fields(pid: i32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn pause(pidfd: Option<&OwnedFd>, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now()).min(WAIT_MAX);
    let Some(pidfd) = pidfd else {
        thread::sleep(left.min(ASK_EVERY));
        return;
    };
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
    // An interrupted wait asks again, as every other end of it does.
    let _ = poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], timeout);
}

fn open_pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    #[allow(clippy::useless_conversion, reason = "a long is wider than a descriptor on 64-bit boards")]
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::from(Errno::last()));
    }
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_waited_for_and_a_late_one_is_killed() {
        let mut child = spawn(Command::new("sh").args(["-c", "exit 7"])).unwrap();
        let status = wait(&mut child, Duration::from_secs(30)).unwrap();
        assert_eq!(status.and_then(|status| status.code()), Some(7));

        let mut child = spawn(Command::new("sleep").arg("60")).unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(alive(pid) && start_ticks(pid).is_some());
        assert!(!wait_gone(pid, Duration::from_millis(20)));
        assert_eq!(wait(&mut child, Duration::from_millis(20)).unwrap(), None);
        assert!(wait_gone(pid, Duration::from_secs(30)) && !alive(pid));
    }

    #[test]
    fn what_was_left_open_is_not_handed_on() {
        for keep in [keep_descriptors_back, keep_listed_back] {
            let left = fs::File::open("/dev/null").unwrap();
            nix::fcntl::fcntl(&left, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
            keep().unwrap();
            let flags = nix::fcntl::fcntl(&left, nix::fcntl::FcntlArg::F_GETFD).unwrap();
            assert_eq!(flags, libc::FD_CLOEXEC);
        }
    }

    #[test]
    fn only_a_child_of_ones_own_is_ended() {
        let mut child = spawn(Command::new("sleep").arg("60")).unwrap();
        kill_child(i32::try_from(std::os::unix::process::parent_id()).unwrap());
        kill_child(i32::try_from(child.id()).unwrap());
        let status = wait(&mut child, Duration::from_secs(30)).unwrap().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    }
}
