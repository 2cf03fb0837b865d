//! The `direct` supervisor: starts shims, asks them to end, and finds out about them. It keeps nothing in memory.

use std::fs;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use coracle_core::ident::WorkloadId;
use coracle_core::saved::Newer;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::attach::{self, Attachment};
use super::error::{Attempt, Cause, SuperviseError};
use super::life::Life;
use super::log;
use super::place::{Place, Slot};
use super::status::{Phase, Status};
use super::systemd;
use super::unit::Unit;
use crate::process;

/// The hidden word of the command line that makes the binary a shim; the workload's directory follows.
pub const SHIM_COMMAND: &str = "shim";
/// After the directory: standard input is the end of a client that listens from the start.
pub const SHIM_ATTACHED: &str = "--attached";
/// After the directory: the shim is the main process of a unit, runs the workload once, and leaves the rest to the
/// service manager.
pub const SHIM_UNIT: &str = "--unit";
/// After the directory: what a killed shim has left is cleared away, and nothing more. With [`SHIM_UNIT`] after it, as
/// the main process of a unit.
pub const SHIM_CLEAR: &str = "--clear";
/// Beginning of a shim's answer where the board is at fault, and not the workload.
pub const BOARD_ANSWER: &str = "board: ";
/// What a shim may take until its container runs: three runtime commands, each with its own bound, and a copy.
pub(super) const START_MAX: Duration = Duration::from_secs(240);
/// What a shim may take beyond the grace period: the kill, the delete and the unmount.
pub(super) const STOP_MARGIN: Duration = Duration::from_secs(150);
/// What a shim may take to end after its last word.
const LEAVING_MAX: Duration = Duration::from_secs(10);
/// Bytes of a shim's answer.
const ANSWER_BYTES_MAX: u64 = 4 << 10;

/// Where things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectConfig {
    /// In memory, gone with a boot: `/run/coracle`.
    pub run_dir: PathBuf,
    /// Kept: `/var/lib/coracle`.
    pub state_dir: PathBuf,
    /// The binary that becomes the shim.
    pub exe: PathBuf,
    /// Who clears away what a killed shim has left.
    pub clearing: Clearing,
}

/// Who clears away what a killed shim has left: its container may still run, under any user and in any control group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clearing {
    /// A child of this process.
    Child,
    /// A unit of the service manager, where this process is confined.
    Unit,
}

/// The supervisor. Its calls block; each may be repeated.
#[derive(Debug, Clone)]
pub struct Direct {
    config: DirectConfig,
}

impl Direct {
    /// A supervisor over the workloads under `config.run_dir`.
    #[must_use]
    pub fn new(config: DirectConfig) -> Self {
        Self { config }
    }

    /// The files of `id`: of two places those of the one that was there first, of none those that it would have.
    #[must_use]
    pub fn place(&self, id: &WorkloadId) -> Place {
        let [first, second] = Slot::ALL.map(|slot| Place::new(&self.config.run_dir, id, slot));
        let takes_second = match (first.dir().exists(), second.dir().exists()) {
            (true, true) => turn_of(&second) < turn_of(&first),
            (false, true) => true,
            (true, false) => false,
            // After a boot: where its changes to the root are.
            (false, false) => {
                let [first, second] = [&first, &second].map(|place| self.scratch_of(place).exists());
                second && !first
            }
        };
        if takes_second { second } else { first }
    }

    /// The files of another unit of `id`, which was started beside it.
    #[must_use]
    pub fn place_beside(&self, id: &WorkloadId) -> Option<Place> {
        let primary = self.place(id);
        let places = Slot::ALL.map(|slot| Place::new(&self.config.run_dir, id, slot));
        places.into_iter().find(|place| *place != primary && primary.dir().exists() && place.dir().exists())
    }

    /// The files of `unit`, by its turn.
    #[must_use]
    pub fn place_of(&self, unit: &Unit) -> Place {
        Place::new(&self.config.run_dir, &unit.id, Slot::of_turn(unit.turn))
    }

    /// The turn of a unit that takes the place of `id`; one more is that of a unit beside it.
    #[must_use]
    pub fn turn(&self, id: &WorkloadId) -> u32 {
        let place = self.place(id);
        let held = Unit::read(&place).ok().flatten().map(|unit| unit.turn);
        held.unwrap_or_else(|| u32::from(place.name() == Slot::Second.name(id)))
    }

    /// Where the changes of `id` to its root are kept, in its `turn`; for [`Unit::scratch`].
    #[must_use]
    pub fn scratch(&self, id: &WorkloadId, turn: u32) -> PathBuf {
        self.scratch_of(&Place::new(&self.config.run_dir, id, Slot::of_turn(turn)))
    }

    fn scratch_of(&self, place: &Place) -> PathBuf {
        self.config.state_dir.join("scratch").join(place.name())
    }

    /// Where named volumes are kept; for [`Unit::volumes`].
    #[must_use]
    pub fn volumes(&self) -> PathBuf {
        self.config.state_dir.join("volumes")
    }

    /// Starts `unit` and waits until its process runs. The same unit running already is left alone; what a shim
    /// that was killed has left behind is cleared away first.
    ///
    /// # Errors
    /// [`SuperviseError`]: another unit of the same name runs, or the shim's own words.
    pub fn start(&self, unit: &Unit) -> Result<Status, SuperviseError> {
        self.begin(unit, None)
    }

    /// The same, joined to its streams from its first byte on. A unit that runs already is not joined: the attachment
    /// then ends at once.
    ///
    /// # Errors
    /// Those of [`Direct::start`].
    pub fn start_attached(&self, unit: &Unit) -> Result<Attachment, SuperviseError> {
        let fail = |source| SuperviseError::new(Attempt::Attach, &unit.id, Cause::system("socket")(source));
        let (client, attachment) = attach::pair().map_err(fail)?;
        self.begin(unit, Some(client))?;
        Ok(attachment)
    }

    fn begin(&self, unit: &Unit, client: Option<OwnedFd>) -> Result<Status, SuperviseError> {
        let fail = |cause| SuperviseError::new(Attempt::Start, &unit.id, cause);
        let place = self.place_of(unit);
        if self.runs(unit, &place).map_err(fail)? {
            return self.status_at(&unit.id, &place);
        }
        self.prepare(unit, &place).map_err(fail)?;
        let answer = self.launch(&place, client).map_err(fail)?;
        if let Some(words) = answer.strip_prefix(BOARD_ANSWER) {
            return Err(fail(Cause::Board(words.trim_end().to_owned())));
        }
        match answer.strip_prefix("ok") {
            Some(_) => self.status_at(&unit.id, &place),
            None if answer.is_empty() => Err(fail(Cause::Shim("its shim ended without a word".to_owned()))),
            None => Err(fail(Cause::Shim(answer.trim_end().to_owned()))),
        }
    }

    /// Stops the workload: its stop signal, its grace period, `SIGKILL`. One that does not run is left as it is,
    /// but what a killed shim has left running is ended.
    ///
    /// # Errors
    /// [`SuperviseError`], also when the workload is unknown.
    pub fn stop(&self, id: &WorkloadId) -> Result<Status, SuperviseError> {
        self.stop_at(id, &self.place(id))
    }

    fn stop_at(&self, id: &WorkloadId, place: &Place) -> Result<Status, SuperviseError> {
        let fail = |cause| SuperviseError::new(Attempt::Stop, id, cause);
        let Some(shim) = self.shim_of(place).map_err(fail)? else {
            let status = self.status_at(id, place)?;
            return if status.phase == Phase::Lost { self.clear(id, place) } else { Ok(status) };
        };
        let unit = Unit::read(place).map_err(damaged("unit.json")).map_err(fail)?;
        let grace = unit.map_or(0, |unit| unit.workload.service.stop_grace_ms);
        let limit = Duration::from_millis(grace) + STOP_MARGIN;
        // The lock still names this pid, so it is the shim's.
        let _ = kill(Pid::from_raw(shim), Signal::SIGTERM);
        if !process::wait_gone(shim, limit) {
            return Err(fail(Cause::TimedOut(limit)));
        }
        self.status_at(id, place)
    }

    /// Stops and forgets a unit that was started beside `id`; the one that was there first is not touched, and none
    /// beside it is fine.
    ///
    /// # Errors
    /// Those of [`Direct::stop`] and [`Direct::remove`].
    pub fn drop_beside(&self, id: &WorkloadId) -> Result<(), SuperviseError> {
        let Some(place) = self.place_beside(id) else { return Ok(()) };
        let fail = |cause| SuperviseError::new(Attempt::Stop, id, cause);
        // One whose start was interrupted has no status yet.
        if self.found(&place).map_err(fail)?.is_some() {
            self.stop_at(id, &place)?;
        }
        self.remove_at(id, &place)
    }

    /// Forgets a workload that does not run, with its log and its changes to the root. Volumes stay. One that is
    /// not known is fine.
    ///
    /// # Errors
    /// [`SuperviseError`]: it runs, or the file system's answer.
    pub fn remove(&self, id: &WorkloadId) -> Result<(), SuperviseError> {
        self.remove_at(id, &self.place(id))
    }

    fn remove_at(&self, id: &WorkloadId, place: &Place) -> Result<(), SuperviseError> {
        let fail = |cause| SuperviseError::new(Attempt::Remove, id, cause);
        if let Some(shim) = self.shim_of(place).map_err(fail)?
            && !self.leaving(place, shim)
        {
            return Err(fail(Cause::Running));
        }
        let mut gone = vec![self.scratch_of(place)];
        if let Ok(Some(status)) = self.found(place) {
            if status.phase == Phase::Lost {
                self.clear(id, place)?;
            }
            gone.extend(Unit::read(place).ok().flatten().map(|unit| unit.scratch));
        }
        gone.push(place.dir().to_owned());
        for path in gone {
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(fail(Cause::system(path.display())(error)));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// All workloads known since the board booted, by name, and after each the one beside it. A directory that cannot
    /// be read is passed over: it must not hide the others.
    #[must_use]
    pub fn list(&self) -> Vec<Status> {
        let Ok(entries) = fs::read_dir(Place::all(&self.config.run_dir)) else { return Vec::new() };
        let ids = entries.flatten().filter_map(|entry| Slot::workload(entry.file_name().to_str()?));
        let status = |(id, slot): (WorkloadId, Slot)| {
            let place = Place::new(&self.config.run_dir, &id, slot);
            let beside = place != self.place(&id);
            Some(Status { beside, ..self.found(&place).ok()?? })
        };
        let mut found: Vec<Status> = ids.filter_map(status).collect();
        found.sort_by(|a, b| (&a.id, a.beside).cmp(&(&b.id, b.beside)));
        found
    }

    /// What became of one workload.
    ///
    /// # Errors
    /// [`SuperviseError`]: it is unknown, or its status damaged.
    pub fn status(&self, id: &WorkloadId) -> Result<Status, SuperviseError> {
        self.status_at(id, &self.place(id))
    }

    /// What became of the unit at one of the places of `id`.
    pub(super) fn status_at(&self, id: &WorkloadId, place: &Place) -> Result<Status, SuperviseError> {
        let fail = |cause| SuperviseError::new(Attempt::Read, id, cause);
        self.found(place).map_err(fail)?.ok_or_else(|| fail(Cause::Unknown))
    }

    /// The unit that a workload runs, or last ran, as.
    ///
    /// # Errors
    /// [`SuperviseError`]: it is unknown, or its unit damaged or of another version.
    pub fn unit(&self, id: &WorkloadId) -> Result<Unit, SuperviseError> {
        self.unit_at(id, &self.place(id))
    }

    /// The same of the unit beside it.
    ///
    /// # Errors
    /// Those of [`Direct::unit`].
    pub fn unit_beside(&self, id: &WorkloadId) -> Result<Unit, SuperviseError> {
        let unknown = || SuperviseError::new(Attempt::Read, id, Cause::Unknown);
        self.unit_at(id, &self.place_beside(id).ok_or_else(unknown)?)
    }

    fn unit_at(&self, id: &WorkloadId, place: &Place) -> Result<Unit, SuperviseError> {
        let fail = |cause| SuperviseError::new(Attempt::Read, id, cause);
        let unit = Unit::read(place).map_err(damaged("unit.json")).map_err(fail)?;
        unit.ok_or_else(|| fail(Cause::Unknown))
    }

    /// The last `lines` entries a workload wrote, in the form that the log has.
    ///
    /// # Errors
    /// [`SuperviseError`]: it is unknown, or the file system's answer.
    pub fn logs(&self, id: &WorkloadId, lines: usize) -> Result<Vec<String>, SuperviseError> {
        self.status(id)?;
        log::tail(&self.place(id), lines)
            .map_err(Cause::system("log"))
            .map_err(|cause| SuperviseError::new(Attempt::Read, id, cause))
    }

    /// Takes part in the streams of a running workload.
    ///
    /// # Errors
    /// [`SuperviseError`]: it does not run.
    pub fn attach(&self, id: &WorkloadId) -> Result<Attachment, SuperviseError> {
        let fail = |cause| SuperviseError::new(Attempt::Attach, id, cause);
        Attachment::connect(&self.place(id)).map_err(|error| {
            let nobody = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused].contains(&error.kind());
            fail(if nobody { Cause::NotRunning } else { Cause::system("attach.sock")(error) })
        })
    }

    /// Whether `unit` runs at `place` already; another one there is in the way.
    pub(super) fn runs(&self, unit: &Unit, place: &Place) -> Result<bool, Cause> {
        let Some(shim) = self.shim_of(place)? else { return Ok(false) };
        if self.leaving(place, shim) {
            return Ok(false);
        }
        let running = Unit::read(place).map_err(damaged("unit.json"))?;
        if running.is_some_and(|running| running.same_as(unit)) { Ok(true) } else { Err(Cause::Different) }
    }

    /// Where things are.
    pub(super) fn config(&self) -> &DirectConfig {
        &self.config
    }

    fn shim_of(&self, place: &Place) -> Result<Option<i32>, Cause> {
        Life::holder(place).map_err(Cause::system("lock"))
    }

    /// Whether the shim has written its last word; then it is waited for.
    fn leaving(&self, place: &Place, shim: i32) -> bool {
        let over = Status::read(place).ok().flatten().is_some_and(|status| !status.phase.live());
        over && process::wait_gone(shim, LEAVING_MAX)
    }

    fn found(&self, place: &Place) -> Result<Option<Status>, Cause> {
        // Who holds the lock is asked first: a shim that ends in between has written its last word before.
        let shim = self.shim_of(place)?;
        let Some(mut status) = Status::read(place).map_err(damaged("status.json"))? else { return Ok(None) };
        if status.phase.live() && shim.is_none() {
            status = Status::read(place).map_err(damaged("status.json"))?.unwrap_or(status);
        }
        if status.phase.live() && shim.is_none() {
            status.phase = Phase::Lost;
            let same = |pid: i32| process::alive(pid) && process::start_ticks(pid) == status.pid_ticks;
            status.pid = status.pid.filter(|pid| same(*pid));
            status.error = Some("its shim was killed".to_owned());
        }
        if status.phase == Phase::Stopped && place.is_leaving() {
            status.phase = Phase::Lost;
            status.error = Some("the agent was cut off between its stop and what was to follow".to_owned());
        }
        Ok(Some(status))
    }

    /// Makes the place of a unit that is to be started.
    pub(super) fn prepare(&self, unit: &Unit, place: &Place) -> Result<(), Cause> {
        let mut builder = fs::DirBuilder::new();
        // Environments hold secrets, and so do units.
        builder.recursive(true).mode(0o700);
        builder.create(place.dir()).map_err(Cause::system(place.dir().display()))?;
        unit.write(place).map_err(Cause::system("unit.json"))?;
        place.stay().map_err(Cause::system("leaving"))?;
        Status::starting(&unit.id).write(place).map_err(Cause::system("status.json"))
    }

    /// Has a shim clear away what a killed one left, and nothing more.
    fn clear(&self, id: &WorkloadId, place: &Place) -> Result<Status, SuperviseError> {
        let fail = |cause| SuperviseError::new(Attempt::Stop, id, cause);
        if self.config.clearing == Clearing::Unit {
            systemd::clear(place).map_err(fail)?;
            return self.status_at(id, place);
        }
        let mut command = Command::new(&self.config.exe);
        command.arg(SHIM_COMMAND).arg(place.dir()).arg(SHIM_CLEAR);
        let answer = answer(&mut command, Stdio::null()).map_err(fail)?;
        if answer.starts_with("ok") { self.status_at(id, place) } else { Err(fail(Cause::Shim(answer))) }
    }

    fn launch(&self, place: &Place, client: Option<OwnedFd>) -> Result<String, Cause> {
        let mut command = Command::new(&self.config.exe);
        command.arg(SHIM_COMMAND).arg(place.dir());
        match client {
            Some(client) => answer(command.arg(SHIM_ATTACHED), client.into()),
            None => answer(&mut command, Stdio::null()),
        }
    }
}

/// The turn of the unit in a place; a place that was only half made comes last.
fn turn_of(place: &Place) -> u32 {
    Unit::read(place).ok().flatten().map_or(u32::MAX, |unit| unit.turn)
}

/// Starts a shim and waits for its one line.
fn answer(command: &mut Command, input: Stdio) -> Result<String, Cause> {
    let program = Path::new(command.get_program()).display().to_string();
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::null()).current_dir("/");
    // What the agent was told by its environment (tokens, sockets) is none of a workload's business.
    let path = std::env::var_os("PATH");
    command.env_clear().envs(path.map(|path| ("PATH", path)));
    let mut child = process::spawn(command).map_err(Cause::system(&program))?;
    let pipe = child.stdout.take();
    // The first process only makes the one that stays.
    process::wait(&mut child, START_MAX).map_err(Cause::system(&program))?;
    match pipe {
        Some(pipe) => read_line(pipe),
        None => Ok(String::new()),
    }
}

fn read_line(pipe: ChildStdout) -> Result<String, Cause> {
    let deadline = Instant::now() + START_MAX;
    let mut answer = Vec::new();
    let mut pipe = pipe.take(ANSWER_BYTES_MAX);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let ready = poll(&mut [PollFd::new(pipe.get_ref().as_fd(), PollFlags::POLLIN)], timeout);
        if ready == Ok(0) {
            return Err(Cause::TimedOut(START_MAX));
        }
        let mut piece = [0u8; 512];
        let read = pipe.read(&mut piece).map_err(Cause::system("answer"))?;
        answer.extend_from_slice(piece.get(..read).unwrap_or_default());
        if read == 0 || answer.ends_with(b"\n") {
            return Ok(String::from_utf8_lossy(&answer).into_owned());
        }
    }
}

fn damaged(file: &'static str) -> impl FnOnce(io::Error) -> Cause {
    move |error| {
        if let Some(newer) = error.get_ref().and_then(|inner| inner.downcast_ref::<Newer>()) {
            return Cause::Newer { file, newer: *newer };
        }
        let parser = [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof].contains(&error.kind());
        if parser { Cause::Damaged { file, why: error.to_string() } } else { Cause::system(file)(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_of_the_agents_own_that_nothing_followed_is_no_persons() {
        let dir = std::env::temp_dir().join(format!("coracle-leaving-{}", std::process::id()));
        let config = DirectConfig {
            run_dir: dir.clone(),
            state_dir: dir.clone(),
            exe: dir.join("coracle"),
            clearing: Clearing::Child,
        };
        let (direct, id) = (Direct::new(config), WorkloadId::parse("site.web").unwrap());
        let place = direct.place(&id);
        fs::create_dir_all(place.dir()).unwrap();
        let check = |expected| assert_eq!(direct.status(&id).unwrap().phase, expected);
        Status { phase: Phase::Stopped, ..Status::starting(&id) }.write(&place).unwrap();
        check(Phase::Stopped);
        place.leave();
        check(Phase::Lost);
        place.stay().unwrap();
        check(Phase::Stopped);
        fs::remove_dir_all(&dir).unwrap();
    }
}
