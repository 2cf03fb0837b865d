//! `coracle attach`, and the foreground of `coracle run`: this terminal joined to a workload's streams.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use coracle_core::compose::Service;
use coracle_core::ident::WorkloadId;
use coracle_host::supervise::{Attachment, Direct, FromClient, Phase, Status, Stream, ToClient};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{self, SetArg, Termios};

use super::args::Name;
use super::context;
use crate::config::Settings;
use crate::exit::{Exit, Failure};

/// How long a workload that closed its streams may take to be written down as ended.
const LAST_WORD: Duration = Duration::from_secs(10);
/// Between two looks at the size of the window and the state of the workload.
const LOOK_EVERY_MS: u16 = 250;
/// Ctrl-P Ctrl-Q leaves without stopping anything, as docker has it.
const LEAVE: [u8; 2] = [0x10, 0x11];

/// What of this terminal goes to the workload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streams {
    /// The workload has a terminal.
    tty: bool,
    /// Its standard input is open.
    input: bool,
}

impl Streams {
    /// Those of `service`.
    pub(super) fn of(service: &Service) -> Self {
        Self { tty: service.tty, input: service.stdin_open }
    }
}

/// Joins this terminal to a running workload.
pub(super) fn attach(settings: &Settings, args: &Name) -> Result<Exit, Failure> {
    let direct = context::direct(settings)?;
    let id = context::workload(&direct, &args.name)?.id;
    let unit = direct.unit(&id).map_err(|error| Failure::new(Exit::Unexpected, &error))?;
    let attachment = direct.attach(&id).map_err(|error| Failure::new(Exit::Unexpected, &error))?;
    until_end(&direct, &id, &attachment, Streams::of(&unit.workload.service))
}

/// Joins this terminal to `id` until it ends; its exit code is this command's.
pub(super) fn until_end(
    direct: &Direct,
    id: &WorkloadId,
    attachment: &Attachment,
    streams: Streams,
) -> Result<Exit, Failure> {
    let raw = RawTerminal::enter(streams);
    let left = relay(attachment, streams);
    drop(raw);
    if let Left::ByPerson = left {
        return Ok(Exit::Done);
    }
    let status = last_word(direct, id)?;
    if status.phase == Phase::Failed {
        return Err(Failure::unexpected(status.error.unwrap_or_else(|| format!("{id} failed"))));
    }
    Ok(Exit::Process(status.exit_code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

fn last_word(direct: &Direct, id: &WorkloadId) -> Result<Status, Failure> {
    let deadline = Instant::now() + LAST_WORD;
    loop {
        let status = direct.status(id).map_err(|error| Failure::new(Exit::Unexpected, &error))?;
        if !status.phase.live() || Instant::now() >= deadline {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

enum Left {
    ByPerson,
    ByWorkload,
}

fn relay(attachment: &Attachment, streams: Streams) -> Left {
    let stdin = io::stdin();
    let mut listens = streams.input;
    let mut size = None;
    loop {
        if streams.tty && size != window() {
            size = window();
            if let Some((rows, columns)) = size {
                let _ = attachment.say(&FromClient::Size { rows, columns });
            }
        }
        let mut fds = vec![PollFd::new(attachment.as_fd(), PollFlags::POLLIN)];
        if listens {
            fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        if poll(&mut fds, PollTimeout::from(LOOK_EVERY_MS)).is_err() {
            continue;
        }
        let ready = |at: usize| fds.get(at).and_then(PollFd::any).unwrap_or(false);
        let (spoke, typed) = (ready(0), ready(1));
        if spoke && !show(attachment) {
            return Left::ByWorkload;
        }
        if typed {
            let mut buffer = [0u8; 4096];
            let read = stdin.lock().read(&mut buffer).unwrap_or(0);
            let piece = buffer.get(..read).unwrap_or_default();
            if streams.tty && piece == LEAVE {
                return Left::ByPerson;
            }
            let word = if read == 0 { FromClient::EndOfInput } else { FromClient::Input(piece.to_vec()) };
            listens = read > 0;
            if attachment.say(&word).is_err() {
                return Left::ByWorkload;
            }
        }
    }
}

/// Shows one piece of output; false at the end.
fn show(attachment: &Attachment) -> bool {
    match attachment.hear() {
        Ok(ToClient::Output(Stream::Out, bytes)) => {
            let mut stdout = io::stdout().lock();
            stdout.write_all(&bytes).and_then(|()| stdout.flush()).is_ok()
        }
        Ok(ToClient::Output(Stream::Err, bytes)) => io::stderr().lock().write_all(&bytes).is_ok(),
        Ok(ToClient::End) | Err(_) => false,
    }
}

fn window() -> Option<(u16, u16)> {
    coracle_host::terminal::size(io::stdin().as_fd())
}

/// This terminal without its own ideas of lines and signals, until dropped.
struct RawTerminal(Option<Termios>);

impl RawTerminal {
    fn enter(streams: Streams) -> Self {
        if !streams.tty || !streams.input || !io::stdin().is_terminal() {
            return Self(None);
        }
        let Ok(before) = termios::tcgetattr(io::stdin()) else { return Self(None) };
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &raw);
        Self(Some(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, before);
        }
    }
}
