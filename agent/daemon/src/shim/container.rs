//! One container of a workload: its frame (root and bundle, made once a shim) and its runs.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use coracle_host::cgroup::MemoryGroup;
use coracle_host::mounts::{Changes, Overlay};
use coracle_host::runtime::{Creation, Runtime, Streams, probe};
use coracle_host::supervise::{Console, Place, Stream, Unit};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{Pid, pipe2};

use super::error::{ShimError, system};
use super::{bundle, files, root, sources};

/// What a terminal may take to arrive: the runtime sends it before it ends.
const CONSOLE_MAX: Duration = Duration::from_secs(10);
const PID_FILE: &str = "pid";
const CONSOLE: &str = "console.sock";

/// Everything that stays the same over the runs of a workload.
pub(super) struct Frame {
    pub(super) unit: Unit,
    pub(super) place: Place,
    pub(super) runtime: Runtime,
}

/// A running container.
pub(super) struct Container {
    pub(super) pid: Pid,
    pub(super) since: Instant,
    pub(super) memory: Option<MemoryGroup>,
    /// What it writes, until it closes them.
    pub(super) outputs: Vec<(Stream, OwnedFd)>,
    /// What it reads, until either side closes it.
    pub(super) input: Option<OwnedFd>,
}

impl Frame {
    /// Mounts the root and writes the bundle.
    pub(super) fn build(
        unit: Unit,
        place: &Place,
        runtime: Runtime,
        group: Option<&str>,
    ) -> Result<Self, ShimError> {
        refuse_escapes(&unit.runtime)?;
        let service = &unit.workload.service;
        files::write(place, service, unit.id.service.as_str())?;
        let sources = sources::resolve(&unit)?;
        let (points, rootfs) = (place.join("points"), place.join("rootfs"));
        let changes = if service.read_only {
            sources::mount_points(&points, service, &sources)?;
            Changes::Refused(&points)
        } else {
            sources::fresh_scratch(&unit)?;
            Changes::Kept(&unit.scratch)
        };
        let links = place.join("links");
        Overlay { layers: &unit.layers, changes, links: &links, target: &rootfs }.mount()?;
        sources::fill_volumes(&unit, &sources, &rootfs)?;
        bundle::write(&unit, place, &rootfs, &sources, group)?;
        Ok(Self { place: place.clone(), runtime, unit })
    }

    /// The container's name with the runtime.
    pub(super) fn name(&self) -> String {
        self.place.name()
    }

    /// Makes a container and starts its process.
    pub(super) fn start(&self) -> Result<Container, ShimError> {
        // Each time: what runs in it may have changed it.
        root::check(&self.place.join("rootfs"))?;
        let name = self.name();
        let service = &self.unit.workload.service;
        let (theirs, mut ours) = if service.tty {
            (Streams { stdin: None, stdout: None, stderr: None }, Ours::default())
        } else {
            pipes(service.stdin_open).map_err(system("pipe"))?
        };
        let console = match service.tty {
            true => Some(Console::listen(Path::new(CONSOLE)).map_err(system(CONSOLE))?),
            false => None,
        };
        let creation = Creation {
            bundle: Path::new("."),
            pid_file: Path::new(PID_FILE),
            console_socket: console.is_some().then_some(Path::new(CONSOLE)),
            streams: theirs,
        };
        self.runtime.create(&name, creation)?;
        let started = self.finish(&name, console.as_ref(), service.stdin_open, &mut ours);
        if started.is_err() {
            let _ = self.runtime.delete(&name);
        }
        started
    }

    fn finish(
        &self,
        name: &str,
        console: Option<&Console>,
        stdin_open: bool,
        ours: &mut Ours,
    ) -> Result<Container, ShimError> {
        let text = fs::read_to_string(PID_FILE).map_err(system(PID_FILE))?;
        let pid = text.trim().parse().map_err(io::Error::other).map_err(system(PID_FILE))?;
        if let Some(console) = console {
            let terminal = console.terminal(CONSOLE_MAX).map_err(system(CONSOLE))?;
            nonblocking(&terminal).map_err(system(CONSOLE))?;
            if stdin_open {
                ours.input = Some(terminal.try_clone().map_err(system(CONSOLE))?);
            }
            ours.outputs.push((Stream::Out, terminal));
        }
        let memory = MemoryGroup::of(pid);
        let since = Instant::now();
        self.runtime.start(name)?;
        let outputs = std::mem::take(&mut ours.outputs);
        Ok(Container { pid: Pid::from_raw(pid), since, memory, outputs, input: ours.input.take() })
    }
}

/// Refuses a runtime that containers are known to get out of. No crun is, and asking it would cost each start a process.
fn refuse_escapes(program: &Path) -> Result<(), ShimError> {
    let is_crun = program.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"crun"));
    if is_crun { Ok(()) } else { Ok(probe(program).map(drop)?) }
}

/// The shim's ends of a container's streams.
#[derive(Default)]
struct Ours {
    outputs: Vec<(Stream, OwnedFd)>,
    input: Option<OwnedFd>,
}

fn pipes(stdin_open: bool) -> io::Result<(Streams, Ours)> {
    let (out, stdout) = pipe2(OFlag::O_CLOEXEC)?;
    let (err, stderr) = pipe2(OFlag::O_CLOEXEC)?;
    let mut streams = Streams { stdin: None, stdout: Some(stdout), stderr: Some(stderr) };
    nonblocking(&out)?;
    nonblocking(&err)?;
    let mut ours = Ours { outputs: vec![(Stream::Out, out), (Stream::Err, err)], input: None };
    if stdin_open {
        let (stdin, input) = pipe2(OFlag::O_CLOEXEC)?;
        nonblocking(&input)?;
        (streams.stdin, ours.input) = (Some(stdin), Some(input));
    }
    Ok((streams, ours))
}

/// Only our end: the flag lies with the open file, which the other end does not share.
pub(super) fn nonblocking(fd: &impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}
