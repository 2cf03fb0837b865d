//! The health checks of one run of a workload: each is a child process, begun when it is due, ended when it takes too
//! long, judged by its exit code.
//!
//! Invariant: nothing here waits. A check that hangs holds up neither the workload's streams nor its stop.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use coracle_core::compose::{NetworkMode, Timing};
use coracle_core::health::{self, Check, Health, State};
use coracle_core::time::Timestamp;
use coracle_host::process;
use coracle_host::runtime::{Execution, Repeated, Runtime};
use coracle_host::supervise::Checked;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, pipe2, read};

use super::container::{Container, Frame, nonblocking};
use super::error::chain;
use super::{probe, watch};

/// Bytes kept of what a check writes: all that is told of it, in the widest characters, with its white space.
const TAIL_BYTES_MAX: usize = 4 << 10;
/// Bytes read at a time; a check that writes more is read again in the next round.
const READ_BYTES: usize = 4 << 10;
/// Bytes that may be left in a pipe when its writer ends.
const PIPE_BYTES_MAX: usize = 64 << 10;
/// The longest wait that is reckoned with, so that no moment is beyond the clock.
const WAIT_MAX: Duration = Duration::from_secs(365 * 86_400);

/// The checks of one run.
pub(super) struct Checks {
    how: How,
    pid_file: PathBuf,
    timing: Timing,
    began: Instant,
    health: Health,
    since: Timestamp,
    why: Option<String>,
    /// When the next one is due; never again once the workload is to end.
    next_at: Option<Instant>,
    running: Option<Running>,
}

/// What is run.
enum How {
    /// A program in the container.
    Inside(Repeated),
    /// Our own binary, which asks the container's network.
    Outside(Vec<OsString>),
    /// It cannot be run, for this reason.
    Never(String),
}

/// A check under way.
struct Running {
    pid: Pid,
    began_ms: u64,
    deadline: Instant,
    output: Option<OwnedFd>,
    tail: Vec<u8>,
    /// It was given up; its end says nothing.
    given_up: bool,
}

impl Checks {
    /// The checks of a container that was just started; `None` where it has none.
    pub(super) fn begin(frame: &Frame, container: &Container) -> Option<Self> {
        let unit = &frame.unit;
        let (check, timing) = health::check(&unit.workload.service, &unit.exec)?;
        let how = match check {
            Check::Command(args) => {
                let log = frame.place.join("health.log");
                let runtime = Runtime::new(&unit.runtime, &frame.place.runtime_root(), &log);
                let execution = Execution { args, ..Execution::default() };
                runtime
                    .repeated(&frame.name(), frame.place.dir(), &execution)
                    .map_or_else(|error| How::Never(chain(&error)), How::Inside)
            }
            Check::Probe(probed) => {
                let network = match unit.workload.service.network_mode {
                    NetworkMode::Host => None,
                    NetworkMode::None => Some(container.pid),
                };
                How::Outside(probe::words(&probed, network, limit(&timing)))
            }
        };
        let health = Health::default();
        let first = Duration::from_millis(health.pause_ms(&timing, 0)).min(WAIT_MAX);
        Some(Self {
            how,
            pid_file: frame.place.join("health.pid"),
            timing,
            began: container.since,
            health,
            since: watch::now(),
            why: None,
            next_at: Some(container.since + first),
            running: None,
        })
    }

    /// What they came to so far.
    pub(super) fn checked(&self) -> Checked {
        let Health { state, streak, .. } = self.health;
        Checked { state, since: self.since, streak, why: self.why.clone() }
    }

    /// Adds what is waited for.
    pub(super) fn wants<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        let output = self.running.as_ref().and_then(|running| running.output.as_ref());
        fds.extend(output.map(|output| PollFd::new(output.as_fd(), PollFlags::POLLIN)));
    }

    /// When [`Self::pass`] has something to do although nothing happens.
    pub(super) fn due(&self) -> Option<Instant> {
        match &self.running {
            Some(running) => (!running.given_up).then_some(running.deadline),
            None => self.next_at,
        }
    }

    /// Takes the next step; says whether the news changed.
    pub(super) fn pass(&mut self) -> bool {
        let now = Instant::now();
        if let Some(running) = &mut self.running {
            running.hear();
            if running.given_up || now < running.deadline {
                return false;
            }
            running.give_up();
            let (began_ms, ms) = (running.began_ms, limit(&self.timing).as_millis());
            return self.judge(Err(format!("took longer than {ms} ms")), began_ms);
        }
        if self.next_at.is_none_or(|at| now < at) {
            return false;
        }
        let began_ms = self.age_ms();
        match self.start(began_ms) {
            Ok(running) => {
                self.running = Some(running);
                false
            }
            Err(why) => self.judge(Err(format!("could not be run: {why}")), began_ms),
        }
    }

    /// Takes note of a child that ended; says whether the news changed.
    pub(super) fn ended(&mut self, pid: Pid, exit_code: i32) -> bool {
        let Some(mut running) = self.running.take_if(|running| running.pid == pid) else { return false };
        if running.given_up {
            // With its starter gone the program is ours, and would run on.
            let program = fs::read_to_string(&self.pid_file).ok().and_then(|text| text.trim().parse().ok());
            program.into_iter().for_each(process::kill_child);
            return false;
        }
        running.hear_out();
        let complaint = match &self.how {
            How::Inside(repeated) if exit_code != 0 => repeated.complaint(),
            How::Inside(_) | How::Outside(_) | How::Never(_) => None,
        };
        let said = health::said(&running.tail);
        let said = if said.is_empty() { complaint.unwrap_or_default() } else { said };
        let result = match (exit_code, said.is_empty()) {
            (0, _) => Ok(()),
            (code, true) => Err(format!("failed with exit code {code}")),
            (code, false) => Err(format!("failed with exit code {code}: {said}")),
        };
        self.judge(result, running.began_ms)
    }

    /// Begins no more of them, and ends the one under way: the workload is to end, or has.
    pub(super) fn end(&mut self) {
        self.next_at = None;
        if let Some(running) = &mut self.running {
            running.give_up();
        }
    }

    fn judge(&mut self, result: Result<(), String>, began_ms: u64) -> bool {
        let before = self.health;
        self.health = before.after(&self.timing, result.is_ok(), began_ms);
        let pause = Duration::from_millis(self.health.pause_ms(&self.timing, self.age_ms())).min(WAIT_MAX);
        self.next_at = self.next_at.map(|_| Instant::now() + pause);
        let why = match result {
            Ok(()) if self.health.state == State::Unhealthy => self.why.clone(),
            Ok(()) => None,
            Err(why) => Some(why),
        };
        // Longer than what it said only by a few words.
        let why = why.map(|why| why.chars().take(health::SAID_CHARS_MAX).collect());
        if before.state != self.health.state {
            self.since = watch::now();
        }
        let changed =
            (before.state, before.streak) != (self.health.state, self.health.streak) || why != self.why;
        self.why = why;
        changed
    }

    fn start(&self, began_ms: u64) -> Result<Running, String> {
        let told = |error: io::Error| error.to_string();
        let _ = fs::remove_file(&self.pid_file);
        let mut command = match &self.how {
            How::Inside(repeated) => repeated.command(&self.pid_file),
            How::Outside(words) => {
                // Also when the file was replaced since.
                let mut command = Command::new("/proc/self/exe");
                command.arg0("coracle").args(words);
                command
            }
            How::Never(why) => return Err(why.clone()),
        };
        let (output, theirs) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| told(errno.into()))?;
        nonblocking(&output).map_err(told)?;
        command.stdin(Stdio::null()).stderr(theirs.try_clone().map_err(told)?).stdout(theirs);
        let child = process::spawn(&mut command).map_err(told)?;
        Ok(Running {
            pid: Pid::from_raw(i32::try_from(child.id()).map_err(|error| error.to_string())?),
            began_ms,
            deadline: Instant::now() + limit(&self.timing),
            output: Some(output),
            tail: Vec::new(),
            given_up: false,
        })
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Running {
    /// Takes what is left of what it wrote: no more than a pipe holds.
    fn hear_out(&mut self) {
        for _ in 0..PIPE_BYTES_MAX / READ_BYTES {
            self.hear();
        }
    }

    /// Takes some of what it wrote.
    fn hear(&mut self) {
        let Some(output) = &self.output else { return };
        let mut buffer = [0u8; READ_BYTES];
        match read(output, &mut buffer) {
            Ok(count) if count > 0 => {
                self.tail.extend_from_slice(buffer.get(..count).unwrap_or_default());
                let surplus = self.tail.len().saturating_sub(TAIL_BYTES_MAX);
                self.tail.drain(..surplus);
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Ok(_) | Err(_) => self.output = None,
        }
    }

    fn give_up(&mut self) {
        // Not collected yet, so the pid is its own.
        let _ = kill(self.pid, Signal::SIGKILL);
        (self.given_up, self.output) = (true, None);
    }
}

fn limit(timing: &Timing) -> Duration {
    Duration::from_millis(timing.timeout_ms).min(WAIT_MAX)
}
