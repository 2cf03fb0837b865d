//! `coracle attach`, and the foreground of `coracle run`: this terminal joined to a workload's streams.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

use coracle_core::compose::Service;
use coracle_core::ident::WorkloadId;
use coracle_host::supervise::{Attachment, FromClient, Phase, Status, Stream, Supervisor, ToClient};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{self, SetArg, Termios};

use super::args::Name;
use super::{context, out};
use crate::config::Settings;
use crate::exit::{Exit, Failure};

/// Between two looks at the size of the window and the state of the workload.
const LOOK_EVERY_MS: u16 = 250;
/// Between two looks at a workload that is about to end or to start again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

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

/// What ctrl-c, and a reader that went away, mean for the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interrupt {
    /// It is stopped.
    Stops,
    /// It goes on; only this command ends.
    Leaves,
}

/// How it came that this terminal is free again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// A person left; the workload goes on.
    Left,
    /// The workload is over, and this is how the command ends.
    Over(Exit),
}

/// Joins this terminal to a running workload.
pub(super) fn attach(settings: &Settings, args: &Name) -> Result<Exit, Failure> {
    let supervisor = context::supervisor(settings)?;
    let id = context::workload(&supervisor, &args.name)?.id;
    let unit = supervisor.unit(&id).map_err(|error| Failure::new(Exit::Unexpected, &error))?;
    let attachment = supervisor.attach(&id).map_err(|error| Failure::new(Exit::Usage, &error))?;
    let streams = Streams::of(&unit.workload.service);
    match until_end(&supervisor, &id, streams, attachment, Interrupt::Leaves)? {
        Ending::Left => Ok(Exit::Done),
        Ending::Over(exit) => Ok(exit),
    }
}

/// Joins this terminal to `id` until it ends for good; its exit code is this command's.
pub(super) fn until_end(
    supervisor: &Supervisor,
    id: &WorkloadId,
    streams: Streams,
    mut attachment: Attachment,
    interrupt: Interrupt,
) -> Result<Ending, Failure> {
    let signals = match interrupt {
        Interrupt::Stops => signals(),
        Interrupt::Leaves => None,
    };
    let mut relay = Relay { supervisor, id, streams, signals, keys: Keys::default(), stopping: false };
    let terminal = RawTerminal::enter(streams);
    let status = loop {
        if let Left::ByPerson = relay.run(&attachment) {
            drop(terminal);
            // The workload's last line may be a prompt.
            let start = if streams.tty { "\n" } else { "" };
            out::note(format_args!(
                "{start}coracle: {id} goes on; `coracle attach {}` comes back",
                id.service
            ));
            return Ok(Ending::Left);
        }
        // Its restart policy may start it again; then this terminal goes on with it.
        match again(supervisor, id)? {
            Again::Runs(next) => attachment = next,
            Again::Over(status) => break status,
        }
    };
    drop(terminal);
    if status.phase == Phase::Failed {
        return Err(Failure::unexpected(status.error.unwrap_or_else(|| format!("{id} failed"))));
    }
    let code = status.exit_code.and_then(|code| u8::try_from(code).ok());
    Ok(Ending::Over(Exit::Process(code.unwrap_or(1))))
}

enum Again {
    Runs(Attachment),
    Over(Box<Status>),
}

fn again(supervisor: &Supervisor, id: &WorkloadId) -> Result<Again, Failure> {
    loop {
        let status = supervisor.status(id).map_err(|error| Failure::new(Exit::Unexpected, &error))?;
        if !status.phase.live() {
            return Ok(Again::Over(Box::new(status)));
        }
        std::thread::sleep(LOOK_AGAIN);
        if let Ok(attachment) = supervisor.attach(id) {
            return Ok(Again::Runs(attachment));
        }
    }
}

/// Ctrl-c and a request to end, to be read instead of ending this process on the spot.
fn signals() -> Option<SignalFd> {
    let mask: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
    mask.thread_block().ok()?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).ok()
}

enum Left {
    ByPerson,
    ByWorkload,
}

/// This terminal and a workload's streams.
struct Relay<'a> {
    supervisor: &'a Supervisor,
    id: &'a WorkloadId,
    streams: Streams,
    signals: Option<SignalFd>,
    keys: Keys,
    stopping: bool,
}

impl Relay<'_> {
    fn run(&mut self, attachment: &Attachment) -> Left {
        let stdin = io::stdin();
        let mut listens = self.streams.input;
        let mut size = None;
        loop {
            if self.streams.tty && size != window() {
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
            if self.interrupted() && self.stop() {
                return Left::ByPerson;
            }
            if spoke {
                match show(attachment) {
                    Shown::All => {}
                    Shown::End => return Left::ByWorkload,
                    Shown::ToNobody if self.signals.is_none() => return Left::ByPerson,
                    Shown::ToNobody => {
                        if !self.stopping {
                            self.stop();
                        }
                    }
                }
            }
            if typed {
                let mut buffer = [0u8; 4096];
                let read = stdin.lock().read(&mut buffer).unwrap_or(0);
                let piece = buffer.get(..read).unwrap_or_default();
                let word = match self.streams.tty {
                    _ if read == 0 => Some(FromClient::EndOfInput),
                    true => match self.keys.take(piece) {
                        Some(piece) => Some(FromClient::Input(piece)),
                        None => return Left::ByPerson,
                    },
                    false => Some(FromClient::Input(piece.to_vec())),
                };
                listens = read > 0;
                if word.is_some_and(|word| attachment.say(&word).is_err()) {
                    return Left::ByWorkload;
                }
            }
        }
    }

    fn interrupted(&self) -> bool {
        self.signals.as_ref().is_some_and(|signals| matches!(signals.read_signal(), Ok(Some(_))))
    }

    /// Stops the workload while its last words are still shown. True when it was being stopped already: whoever
    /// interrupts twice does not want to wait.
    fn stop(&mut self) -> bool {
        if std::mem::replace(&mut self.stopping, true) {
            return true;
        }
        out::note(format_args!("coracle: stopping {}; ctrl-c again to leave it to that", self.id));
        let (supervisor, id) = (self.supervisor.clone(), self.id.clone());
        // What it answers shows in the workload's status, which is waited for.
        std::thread::spawn(move || supervisor.stop(&id));
        false
    }
}

/// Ctrl-P Ctrl-Q leaves without stopping anything, as docker has it.
const LEAVE: [u8; 2] = [0x10, 0x11];

/// Looks for the two keys that leave; they may come in one piece or in two.
#[derive(Debug, Default, PartialEq, Eq)]
struct Keys {
    /// The first was typed and is kept back until it is known what follows.
    first: bool,
}

impl Keys {
    /// What of `piece` goes on to the workload; `None` to leave.
    fn take(&mut self, piece: &[u8]) -> Option<Vec<u8>> {
        let [first, second] = LEAVE;
        let mut on = Vec::with_capacity(piece.len() + 1);
        for &byte in piece {
            match (std::mem::take(&mut self.first), byte) {
                (true, byte) if byte == second => return None,
                (true, byte) if byte == first => {
                    on.push(first);
                    self.first = true;
                }
                (true, byte) => on.extend([first, byte]),
                (false, byte) if byte == first => self.first = true,
                (false, byte) => on.push(byte),
            }
        }
        Some(on)
    }
}

enum Shown {
    All,
    ToNobody,
    End,
}

/// Shows one piece of output.
fn show(attachment: &Attachment) -> Shown {
    let written = match attachment.hear() {
        Ok(ToClient::Output(Stream::Out, bytes)) => {
            let mut stdout = io::stdout().lock();
            stdout.write_all(&bytes).and_then(|()| stdout.flush())
        }
        Ok(ToClient::Output(Stream::Err, bytes)) => io::stderr().lock().write_all(&bytes),
        Ok(ToClient::End) | Err(_) => return Shown::End,
    };
    if written.is_ok() { Shown::All } else { Shown::ToNobody }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_keys_leave_however_they_are_cut_and_nothing_else_is_lost() {
        #[track_caller]
        fn check(pieces: &[&[u8]], expected: Option<&[u8]>) {
            let mut keys = Keys::default();
            let taken: Option<Vec<Vec<u8>>> = pieces.iter().map(|piece| keys.take(piece)).collect();
            assert_eq!(taken.map(|pieces| pieces.concat()).as_deref(), expected);
        }
        check(&[b"\x10\x11"], None);
        check(&[b"ls\n\x10", b"\x11"], None);
        check(&[b"\x10\x10\x11"], None);
        check(&[b"\x10", b"a", b"\x11"], Some(b"\x10a\x11"));
        check(&[b"\x10", b"\x10", b"b"], Some(b"\x10\x10b"));
    }
}
