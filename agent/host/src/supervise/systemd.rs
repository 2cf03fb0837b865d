//! The `systemd` supervisor: each workload is an instance of the template unit that comes with the agent, with the shim
//! as its main process. The service manager starts it again, limits it, orders it, and keeps its output.
//!
//! Places and what lies in them are those of the [`Direct`] supervisor, which still ends what it once started itself.
//!
//! ```text
//! coracle-workload@site.web.service       /usr/lib/systemd/system/coracle-workload@.service: what all have
//!   │                                     /run/systemd/system/….service.d/: what differs, made from the deployment
//!   ├─ shim/        coracle shim /run/coracle/workloads/site.web --unit
//!   └─ container/   the workload
//! ```

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coracle_core::ident::WorkloadId;
use coracle_core::service_unit::{DropIn, TEMPLATE, clear_name, drop_in, unit_name};

use super::attach::Attachment;
use super::direct::{Direct, SHIM_COMMAND, SHIM_UNIT, START_MAX, STOP_MARGIN};
use super::error::{Attempt, Cause, SuperviseError};
use super::place::Place;
use super::status::{Phase, Status};
use super::unit::Unit;
use crate::process;

/// The client program of the service manager.
const CLIENT: &str = "systemctl";
/// Where the template looks for shim and places.
const USUAL_EXE: &str = "/usr/bin/coracle";
const USUAL_RUN_DIR: &str = "/run/coracle";
const DROP_IN: &str = "50-coracle.conf";
/// Its presence in a place has the shim wait for a client before the workload's first byte.
pub const SHIM_WAIT_FILE: &str = "wait";
/// What a question or a reload may take; a manager under load answers in a second.
const ANSWER_MAX: Duration = Duration::from_secs(90);
/// How soon a client tries again to reach a shim that is being started.
const CONNECT_AGAIN: Duration = Duration::from_millis(10);
/// Bytes of a client program's answer.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Where things are with systemd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemdConfig {
    /// Where generated units go, gone with a boot: `/run/systemd/system`.
    pub units_dir: PathBuf,
}

impl SystemdConfig {
    /// The usual place, if systemd runs this board and the template is installed; else what is missing.
    ///
    /// # Errors
    /// Says what is missing.
    pub fn find() -> Result<Self, String> {
        let units_dir = PathBuf::from("/run/systemd/system");
        if !units_dir.is_dir() {
            return Err("systemd does not run this board".to_owned());
        }
        let template = format!("{TEMPLATE}.service");
        let homes = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
        if !homes.iter().any(|home| Path::new(home).join(&template).exists()) {
            return Err(format!("the unit {template} is not installed"));
        }
        Ok(Self { units_dir })
    }
}

/// The supervisor. Its calls block; each may be repeated.
#[derive(Debug, Clone)]
pub struct Systemd {
    files: Direct,
    config: SystemdConfig,
}

impl Systemd {
    /// A supervisor over the places of `files`.
    #[must_use]
    pub fn new(files: Direct, config: SystemdConfig) -> Self {
        Self { files, config }
    }

    /// The supervisor that has the files of each place.
    #[must_use]
    pub fn files(&self) -> &Direct {
        &self.files
    }

    /// Starts `unit` and waits until its process runs; see [`Direct::start`].
    ///
    /// # Errors
    /// [`SuperviseError`]: another unit of the same name runs, or why it does not start.
    pub fn start(&self, unit: &Unit) -> Result<Status, SuperviseError> {
        let fail = |cause| SuperviseError::new(Attempt::Start, &unit.id, cause);
        let place = self.files.place_of(unit);
        if self.is_there(unit, &place).map_err(fail)? {
            return self.status_at(&unit.id, &place);
        }
        self.files.prepare(unit, &place).map_err(fail)?;
        self.announce(std::slice::from_ref(unit))?;
        let asked = manager(&["start", &name(&place)], START_MAX);
        self.started(&unit.id, &place, asked)
    }

    /// The same, joined to its streams from its first byte on; see [`Direct::start_attached`].
    ///
    /// # Errors
    /// Those of [`Systemd::start`].
    pub fn start_attached(&self, unit: &Unit) -> Result<Attachment, SuperviseError> {
        let fail = |cause| SuperviseError::new(Attempt::Attach, &unit.id, cause);
        let place = self.files.place_of(unit);
        if self.is_there(unit, &place).map_err(fail)? {
            return self.files.attach(&unit.id);
        }
        self.files.prepare(unit, &place).map_err(fail)?;
        fs::write(place.join(SHIM_WAIT_FILE), "").map_err(Cause::system(SHIM_WAIT_FILE)).map_err(fail)?;
        self.announce(std::slice::from_ref(unit))?;
        let mut child = client(&["start", &name(&place)]).map_err(fail)?;
        let deadline = Instant::now() + START_MAX;
        let attachment = loop {
            match Attachment::connect(&place) {
                Ok(attachment) => break Ok(attachment),
                Err(error) => {
                    let over = child.try_wait().map_err(Cause::system(CLIENT)).map_err(fail)?.is_some();
                    if over || Instant::now() >= deadline {
                        break Err(error);
                    }
                    std::thread::sleep(CONNECT_AGAIN);
                }
            }
        };
        let asked = outcome(&mut child, START_MAX);
        self.started(&unit.id, &place, asked)?;
        attachment.map_err(Cause::system("attach.sock")).map_err(fail)
    }

    /// Has all of `units` started in their order, and waits for none of them: for a boot.
    ///
    /// # Errors
    /// [`SuperviseError`] of the first that cannot be prepared; the others are started.
    pub fn start_together(&self, units: &[Unit]) -> Result<(), SuperviseError> {
        let mut failed = None;
        let mut prepared = Vec::new();
        for unit in units {
            let place = self.files.place_of(unit);
            match self.is_there(unit, &place) {
                Ok(true) => {}
                Ok(false) => match self.files.prepare(unit, &place) {
                    Ok(()) => prepared.push(unit.clone()),
                    Err(cause) => failed = Some(SuperviseError::new(Attempt::Start, &unit.id, cause)),
                },
                Err(cause) => failed = Some(SuperviseError::new(Attempt::Start, &unit.id, cause)),
            }
        }
        if let Some(first) = prepared.first() {
            self.announce(&prepared)?;
            let names: Vec<String> = prepared.iter().map(|unit| name(&self.files.place_of(unit))).collect();
            let words = ["start", "--no-block"].into_iter().chain(names.iter().map(String::as_str));
            manager(&words.collect::<Vec<_>>(), ANSWER_MAX)
                .map_err(|cause| SuperviseError::new(Attempt::Start, &first.id, cause))?;
        }
        failed.map_or(Ok(()), Err)
    }

    /// Tells the service manager what is about to be started, so that nothing has to wait for that once the old ones
    /// are stopped. Says nothing where it knows already.
    ///
    /// # Errors
    /// [`SuperviseError`] names the first of them.
    pub fn announce(&self, units: &[Unit]) -> Result<(), SuperviseError> {
        let mut news = None;
        for unit in units {
            let fail = |cause| SuperviseError::new(Attempt::Start, &unit.id, cause);
            if self.write_drop_in(unit).map_err(Cause::system(DROP_IN)).map_err(fail)? {
                news = news.or(Some(&unit.id));
            }
        }
        let Some(first) = news else { return Ok(()) };
        let told = manager(&["daemon-reload"], ANSWER_MAX);
        told.map(drop).map_err(|cause| SuperviseError::new(Attempt::Start, first, cause))
    }

    /// Stops the workload; see [`Direct::stop`].
    ///
    /// # Errors
    /// [`SuperviseError`], also when the workload is unknown.
    pub fn stop(&self, id: &WorkloadId) -> Result<Status, SuperviseError> {
        self.files.status(id)?;
        let place = self.files.place(id);
        let grace = self.files.unit(id).map_or(0, |unit| unit.workload.service.stop_grace_ms);
        let limit = Duration::from_millis(grace) + STOP_MARGIN;
        manager(&["stop", &name(&place)], limit)
            .map_err(|cause| SuperviseError::new(Attempt::Stop, id, cause))?;
        // What is not systemd's was started without it; what was between two starts has nobody to write its end down.
        self.files.stop(id)
    }

    /// Stops and forgets a unit that was started beside `id`; see [`Direct::drop_beside`].
    ///
    /// # Errors
    /// Those of [`Systemd::stop`] and [`Systemd::remove`].
    pub fn drop_beside(&self, id: &WorkloadId) -> Result<(), SuperviseError> {
        let Some(place) = self.files.place_beside(id) else { return Ok(()) };
        let grace = Unit::read(&place).ok().flatten().map_or(0, |unit| unit.workload.service.stop_grace_ms);
        manager(&["stop", &name(&place)], Duration::from_millis(grace) + STOP_MARGIN)
            .map_err(|cause| SuperviseError::new(Attempt::Stop, id, cause))?;
        self.files.drop_beside(id)?;
        self.forget(id, &place)
    }

    /// Forgets a workload that does not run, with its log and its changes to the root; see [`Direct::remove`].
    ///
    /// # Errors
    /// [`SuperviseError`]: it runs, or the file system's answer.
    pub fn remove(&self, id: &WorkloadId) -> Result<(), SuperviseError> {
        // Asked before: once its files are gone, another place may be the workload's.
        let place = self.files.place(id);
        self.make_way(id)?;
        self.forget(id, &place)
    }

    /// Has the service manager forget the unit of a place.
    fn forget(&self, id: &WorkloadId, place: &Place) -> Result<(), SuperviseError> {
        let name = name(place);
        match fs::remove_dir_all(self.config.units_dir.join(format!("{name}.d"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(SuperviseError::new(Attempt::Remove, id, Cause::system(name)(error)));
            }
            _ => {}
        }
        // One that failed would be listed until the next boot; one that did not is not known any more, and that is fine.
        drop(manager(&["reset-failed", &name], ANSWER_MAX));
        Ok(())
    }

    /// The same for one that is about to be started anew: what the service manager was told stays.
    ///
    /// # Errors
    /// Those of [`Systemd::remove`].
    pub fn make_way(&self, id: &WorkloadId) -> Result<(), SuperviseError> {
        let place = self.files.place(id);
        let written = Status::read(&place).ok().flatten();
        if written.is_some_and(|status| status.phase.live()) && is_on_it(&name(&place)) {
            return Err(SuperviseError::new(Attempt::Remove, id, Cause::Running));
        }
        self.files.remove(id)
    }

    /// All workloads known since the board booted, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Status> {
        let place = |status: &Status| match status.beside {
            true => self.files.place_beside(&status.id),
            false => Some(self.files.place(&status.id)),
        };
        let found = |status: Status| match place(&status) {
            Some(place) => self.found(status, &place),
            None => status,
        };
        self.files.list().into_iter().map(found).collect()
    }

    /// What became of one workload.
    ///
    /// # Errors
    /// [`SuperviseError`]: it is unknown, or its status damaged.
    pub fn status(&self, id: &WorkloadId) -> Result<Status, SuperviseError> {
        self.status_at(id, &self.files.place(id))
    }

    fn status_at(&self, id: &WorkloadId, place: &Place) -> Result<Status, SuperviseError> {
        self.files.status_at(id, place).map(|status| self.found(status, place))
    }

    /// A workload without a shim is not lost while the service manager is about to start one.
    fn found(&self, status: Status, place: &Place) -> Status {
        if status.phase != Phase::Lost || !is_on_it(&name(place)) {
            return status;
        }
        // It may have come further meanwhile; if not, what was written last holds.
        let now = match self.files.status_at(&status.id, place) {
            Ok(now) if now.phase != Phase::Lost => Some(now),
            Ok(_) | Err(_) => Status::read(place).ok().flatten(),
        };
        now.map_or(status.clone(), |now| Status { beside: status.beside, ..now })
    }

    /// Whether `unit` runs or is about to. What else the service manager may still do with its place is called off.
    fn is_there(&self, unit: &Unit, place: &Place) -> Result<bool, Cause> {
        if self.files.runs(unit, place)? {
            return Ok(true);
        }
        let live = Status::read(place).ok().flatten().is_some_and(|status| status.phase.live());
        if !live || !is_on_it(&name(place)) {
            return Ok(false);
        }
        if Unit::read(place).ok().flatten().is_some_and(|found| found.same_as(unit)) {
            return Ok(true);
        }
        manager(&["stop", &name(place)], STOP_MARGIN).map(|_| false)
    }

    fn started(
        &self,
        id: &WorkloadId,
        place: &Place,
        asked: Result<String, Cause>,
    ) -> Result<Status, SuperviseError> {
        let Err(words) = asked else { return self.status_at(id, place) };
        let status = Status::read(place).ok().flatten();
        let cause = match status {
            Some(Status { phase: Phase::Failed, error: Some(error), of_board: true, .. }) => {
                Cause::Board(error)
            }
            Some(Status { phase: Phase::Failed, error: Some(error), .. }) => Cause::Shim(error),
            _ => words,
        };
        Err(SuperviseError::new(Attempt::Start, id, cause))
    }

    /// Writes what is special about a unit; whether anything changed by that.
    fn write_drop_in(&self, unit: &Unit) -> io::Result<bool> {
        let place = self.files.place_of(unit);
        let name = name(&place);
        let (exe, dir) = (self.files.config().exe.to_string_lossy(), place.dir().to_string_lossy());
        let usual = exe == USUAL_EXE
            && self.files.config().run_dir == Path::new(USUAL_RUN_DIR)
            && name == format!("{TEMPLATE}{}.service", place.name());
        let command = [exe.as_ref(), SHIM_COMMAND, dir.as_ref(), SHIM_UNIT];
        let beside = |service| WorkloadId { project: unit.id.project.clone(), service };
        let after: Vec<String> = unit
            .workload
            .service
            .depends_on
            .keys()
            .map(|service| self.files.place(&beside(service.clone())).name())
            .collect();
        let text = drop_in(&DropIn {
            workload: &unit.id.to_string(),
            service: &unit.workload.service,
            after: &after,
            command: (!usual).then_some(&command),
        });
        let folder = self.config.units_dir.join(format!("{name}.d"));
        let path = folder.join(DROP_IN);
        if fs::read_to_string(&path).is_ok_and(|found| found == text) {
            return Ok(false);
        }
        // Secrets are in neither, and the service manager complains of units that others cannot read.
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
        Ok(true)
    }
}

/// Has a unit of its own clear away what a killed shim has left at a place, and waits until that is done.
pub(super) fn clear(place: &Place) -> Result<(), Cause> {
    manager(&["start", &clear_name(&place.dir().to_string_lossy())], START_MAX).map(drop)
}

/// Has the service manager start a unit, and waits until it is up or, where it only does something, done.
///
/// # Errors
/// [`Cause`]: it failed, or the service manager cannot be asked.
pub fn start_unit(name: &str, limit: Duration) -> Result<(), Cause> {
    manager(&["start", name], limit).map(drop)
}

/// What the service manager says of a property of a unit.
///
/// # Errors
/// [`Cause`]: the service manager cannot be asked.
pub fn property(unit: &str, name: &str) -> Result<String, Cause> {
    manager(&["show", "--value", "--property", name, unit], ANSWER_MAX).map(|said| said.trim().to_owned())
}

/// The unit over a place.
fn name(place: &Place) -> String {
    unit_name(&place.name())
}

/// Whether a unit runs, is being started, or is about to be.
fn is_on_it(name: &str) -> bool {
    let words = ["show", "--property=ActiveState,Job", name];
    let Ok(answer) = manager(&words, ANSWER_MAX) else { return false };
    answer.lines().any(|line| match line.split_once('=') {
        Some(("ActiveState", state)) => {
            ["active", "activating", "reloading", "deactivating"].contains(&state)
        }
        // No number, or that of no job.
        Some(("Job", job)) => !job.is_empty() && job != "0",
        _ => false,
    })
}

/// Asks the service manager for something, and waits until it is done.
fn manager(words: &[&str], limit: Duration) -> Result<String, Cause> {
    outcome(&mut client(words)?, limit)
}

fn client(words: &[&str]) -> Result<Child, Cause> {
    let mut command = Command::new(CLIENT);
    // A client that fails would tell the agent's own manager so, in the agent's name.
    command.env_remove("NOTIFY_SOCKET");
    command.args(["--no-ask-password", "--no-pager"]).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    process::spawn(&mut command).map_err(Cause::system(CLIENT))
}

/// What a client program printed; an error where it failed, with its complaint.
fn outcome(child: &mut Child, limit: Duration) -> Result<String, Cause> {
    // Its few lines fit the pipes, so it ends without being read.
    let ended = process::wait(child, limit).map_err(Cause::system(CLIENT))?;
    let status = ended.ok_or(Cause::TimedOut(limit))?;
    if status.success() {
        return child
            .stdout
            .take()
            .map_or(Ok(String::new()), |pipe| read(pipe).map_err(Cause::system(CLIENT)));
    }
    let said = child.stderr.take().and_then(|pipe| read(pipe).ok()).unwrap_or_default();
    let first = said.lines().find(|line| !line.trim().is_empty());
    Err(Cause::Manager(first.map_or_else(|| status.to_string(), str::to_owned)))
}

fn read(pipe: impl io::Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    pipe.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
