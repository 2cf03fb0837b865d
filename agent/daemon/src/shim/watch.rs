//! The shim's loop: hears signals, stops when asked, starts again by policy.

mod once;

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use coracle_core::restart::{AfterEnd, Ended, after_end};
use coracle_core::time::Timestamp;
use coracle_host::cgroup::MemoryGroup;
use coracle_host::process;
use coracle_host::supervise::{Client, Journal, Phase, Status};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::checks::Checks;
use super::container::{Container, Frame};
use super::error::{ShimError, chain, system};
use super::relay::Relay;

/// What the shells answer for a program that does not start.
const NOT_STARTED: i32 = 127;

/// A shim at work.
pub(super) struct Watch<'a> {
    frame: &'a Frame,
    status: &'a mut Status,
    relay: Relay,
    /// Those of the run under way.
    checks: Option<Checks>,
    signals: SignalFd,
    in_a_row: u32,
    stop: Stop,
}

/// Whether the workload was asked to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    NotAsked,
    Asked,
    /// The stop signal is sent; at this time patience ends.
    Signaled(Instant),
    Killed,
}

impl<'a> Watch<'a> {
    /// Takes over signals and opens log and socket.
    pub(super) fn begin(
        frame: &'a Frame,
        client: Option<Client>,
        journal: Option<Journal>,
        status: &'a mut Status,
    ) -> Result<Self, ShimError> {
        let mut mask = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD] {
            mask.add(signal);
        }
        mask.thread_block().map_err(system("signals"))?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Self {
            frame,
            status,
            relay: Relay::open(&frame.place, &frame.unit, client, journal).map_err(system("attach.sock"))?,
            checks: None,
            signals: SignalFd::with_flags(&mask, flags).map_err(system("signals"))?,
            in_a_row: 0,
            stop: Stop::NotAsked,
        })
    }

    /// Runs the workload to its last end. `on_started` is told once, when its first process runs.
    pub(super) fn run(&mut self, on_started: impl FnOnce()) -> Result<(), ShimError> {
        let mut container = Some(self.start()?);
        on_started();
        let last = loop {
            let (ended, over) = match container.take() {
                Some(container) => (self.tend(container)?, Phase::Exited),
                None => (Ended { exit_code: NOT_STARTED, ran_ms: 0 }, Phase::Failed),
            };
            if self.stop != Stop::NotAsked {
                break Phase::Stopped;
            }
            match after_end(self.frame.unit.workload.service.restart, ended, self.in_a_row) {
                AfterEnd::Stay => break over,
                AfterEnd::StartAgain { delay_ms, in_a_row } => {
                    self.in_a_row = in_a_row;
                    self.record(Phase::BackingOff);
                    self.rest(Duration::from_millis(delay_ms))?;
                    if self.stop != Stop::NotAsked {
                        break Phase::Stopped;
                    }
                    self.status.restarts = self.status.restarts.saturating_add(1);
                    container = self.start().inspect_err(|error| self.status.error = Some(chain(error))).ok();
                }
            }
        };
        self.record(last);
        Ok(())
    }

    /// Writes down where the workload is. A full run directory costs the news, never the workload: a shim that gave
    /// up over it would leave a container behind that nobody watches.
    fn record(&mut self, phase: Phase) {
        if !phase.live() {
            // Who reads the last word finds nobody to attach to.
            self.relay.close();
        }
        self.status.phase = phase;
        let _ = self.status.write(&self.frame.place);
    }

    fn start(&mut self) -> Result<Container, ShimError> {
        let container = self.frame.start()?;
        self.status.pid = Some(container.pid.as_raw());
        self.status.pid_ticks = process::start_ticks(container.pid.as_raw());
        self.status.started_at = Some(now());
        (self.status.exit_code, self.status.error) = (None, None);
        self.checks = Checks::begin(self.frame, &container);
        self.note_health();
        self.record(Phase::Running);
        Ok(container)
    }

    fn note_health(&mut self) {
        self.status.health = self.checks.as_ref().map(Checks::checked);
    }

    /// Takes the checks' next step.
    fn check(&mut self) {
        if self.checks.as_mut().is_some_and(Checks::pass) {
            self.note_health();
            self.record(self.status.phase);
        }
    }

    /// Waits out a back-off; a request to stop ends it.
    fn rest(&mut self, delay: Duration) -> Result<(), ShimError> {
        let until = Instant::now() + delay;
        while self.stop == Stop::NotAsked && Instant::now() < until {
            let mut fds = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            wait(&mut fds, Some(until))?;
            self.hear_signals();
        }
        Ok(())
    }

    /// Stands over a running container until its first process ended, and clears it away.
    fn tend(&mut self, mut container: Container) -> Result<Ended, ShimError> {
        let exit_code = loop {
            if let Some(exit_code) = self.reap(container.pid) {
                break exit_code;
            }
            self.pursue_stop(&container);
            self.check();
            self.await_event(&container)?;
            self.hear_signals();
            self.relay.pass(&mut container);
        };
        let ran = container.since.elapsed();
        if let Some(mut checks) = self.checks.take() {
            checks.end();
        }
        self.note_health();
        self.relay.finish(&mut container);
        let group = container.memory.as_ref();
        self.status.oom_killed = group.is_some_and(|group| group.oom_kills() > 0);
        self.status.oom_limit = group.filter(|_| self.status.oom_killed).and_then(MemoryGroup::limit_met);
        self.status.forks_refused = group.is_some_and(MemoryGroup::refused_processes);
        self.status.exit_code = Some(exit_code);
        self.status.finished_at = Some(now());
        (self.status.pid, self.status.pid_ticks) = (None, None);
        if let Err(error) = self.frame.runtime.delete(&self.frame.name()) {
            self.status.error = Some(chain(&error));
        }
        Ok(Ended { exit_code, ran_ms: u64::try_from(ran.as_millis()).unwrap_or(u64::MAX) })
    }

    /// Takes the next step of a stop that was asked for.
    fn pursue_stop(&mut self, container: &Container) {
        match self.stop {
            Stop::NotAsked | Stop::Killed => {}
            Stop::Asked => {
                self.checks.iter_mut().for_each(Checks::end);
                self.record(Phase::Stopping);
                self.signal(container.pid);
                let grace = Duration::from_millis(self.frame.unit.workload.service.stop_grace_ms);
                self.stop = Stop::Signaled(Instant::now() + grace);
            }
            Stop::Signaled(until) if Instant::now() >= until => {
                let _ = kill(container.pid, Signal::SIGKILL);
                self.stop = Stop::Killed;
            }
            Stop::Signaled(_) => {}
        }
    }

    /// Sends the stop signal: our own child, so its pid is safe to use. Names that only the runtime knows
    /// (`SIGRTMIN+3`) go through it; what it does not know either becomes `SIGTERM`.
    fn signal(&self, pid: Pid) {
        let unit = &self.frame.unit;
        let of_image = Some(&unit.exec.stop_signal).filter(|name| !name.is_empty());
        let asked = unit.workload.service.stop_signal.as_ref().or(of_image);
        let name = asked.map_or("SIGTERM", String::as_str);
        match signal_named(name) {
            Some(signal) => {
                let _ = kill(pid, signal);
            }
            None if self.frame.runtime.kill(&self.frame.name(), name).is_err() => {
                let _ = kill(pid, Signal::SIGTERM);
            }
            None => {}
        }
    }

    fn await_event(&self, container: &Container) -> Result<(), ShimError> {
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        self.relay.wants(container, &mut fds);
        self.checks.iter().for_each(|checks| checks.wants(&mut fds));
        let patience = match self.stop {
            Stop::Signaled(until) => Some(until),
            Stop::NotAsked | Stop::Asked | Stop::Killed => None,
        };
        let due = self.checks.as_ref().and_then(Checks::due);
        wait(&mut fds, patience.into_iter().chain(due).min())
    }

    fn hear_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            let child = i32::try_from(signal.ssi_signo).is_ok_and(|number| number == Signal::SIGCHLD as i32);
            if !child && self.stop == Stop::NotAsked {
                self.stop = Stop::Asked;
            }
        }
    }

    /// Collects children that ended; the exit code of `first` when it is among them. Other processes of the
    /// container end up here where the runtime leaves them to us.
    fn reap(&mut self, first: Pid) -> Option<i32> {
        loop {
            let (pid, exit_code) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32),
                Ok(WaitStatus::StillAlive) => return None,
                Ok(_) | Err(Errno::EINTR) => continue,
                // Nobody left to wait for: it was collected elsewhere, and its code is lost.
                Err(_) => return Some(NOT_STARTED),
            };
            if pid == first {
                return Some(exit_code);
            }
            if self.checks.as_mut().is_some_and(|checks| checks.ended(pid, exit_code)) {
                self.note_health();
                self.record(self.status.phase);
            }
        }
    }
}

fn wait(fds: &mut [PollFd<'_>], until: Option<Instant>) -> Result<(), ShimError> {
    let timeout = until.map_or(PollTimeout::NONE, |until| {
        let left = until.saturating_duration_since(Instant::now());
        // Rounded up, else the last millisecond is spun away.
        PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
    });
    match poll(fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(system("poll")(errno)),
    }
}

/// A signal by name, with or without `SIG`, or by number.
fn signal_named(name: &str) -> Option<Signal> {
    if let Ok(number) = name.parse::<i32>() {
        return Signal::try_from(number).ok();
    }
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    full.parse().ok()
}

pub(super) fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}
