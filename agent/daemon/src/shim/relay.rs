//! Between a container's streams, its log and its clients.
//!
//! Invariant: nothing that reads or writes on the other side holds the workload up for longer than a client's one
//! moment of patience; there is one buffer of input, and none of output.

use std::io;
use std::os::fd::AsFd as _;

use coracle_host::supervise::{Client, FromClient, Journal, Listener, Log, Place, Unit, resize};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{read, write};

use super::container::Container;

/// Clients at once; each costs a descriptor and can hold up the workload for a moment.
const CLIENTS_MAX: usize = 8;
/// Bytes read at a time.
const READ_BYTES: usize = 16 << 10;
/// Bytes taken from a stream whose process is gone: more than a pipe holds.
const DRAIN_BYTES_MAX: usize = 2 << 20;
/// The relay of one workload.
pub(super) struct Relay {
    terminal: bool,
    log: Log,
    listener: Option<Listener>,
    clients: Vec<Client>,
    unread_input: Vec<u8>,
    input_ends: bool,
}

impl Relay {
    /// Opens log and socket; the working directory is the workload's. `client` listens from the start, and a `journal`
    /// gets what the log gets.
    pub(super) fn open(
        place: &Place,
        unit: &Unit,
        client: Option<Client>,
        journal: Option<Journal>,
    ) -> io::Result<Self> {
        Ok(Self {
            terminal: unit.workload.service.tty,
            log: Log::open(place, unit.log_bytes_max).also_to(journal),
            listener: Some(Listener::here()?),
            clients: client.into_iter().collect(),
            unread_input: Vec::new(),
            input_ends: false,
        })
    }

    /// Adds what is waited for.
    pub(super) fn wants<'a>(&'a self, container: &'a Container, fds: &mut Vec<PollFd<'a>>) {
        fds.extend(self.listener.as_ref().map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN)));
        fds.extend(container.outputs.iter().map(|(_, fd)| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        match &container.input {
            // Clients wait while the process does not read: that is all the buffer there is.
            Some(input) if !self.unread_input.is_empty() => {
                fds.push(PollFd::new(input.as_fd(), PollFlags::POLLOUT));
            }
            _ => fds.extend(self.clients.iter().map(|client| PollFd::new(client.as_fd(), PollFlags::POLLIN))),
        }
    }

    /// Passes on what is there.
    pub(super) fn pass(&mut self, container: &mut Container) {
        self.accept();
        self.hear_clients(container);
        self.pass_input(container);
        self.pass_output(container, READ_BYTES);
    }

    /// Passes on the last words of a process that is gone, and sends its clients away.
    pub(super) fn finish(&mut self, container: &mut Container) {
        self.pass_output(container, DRAIN_BYTES_MAX);
        self.log.finish();
        self.clients.clear();
        self.unread_input = Vec::new();
        self.input_ends = false;
    }

    /// Takes no more clients: nothing comes any more.
    pub(super) fn close(&mut self) {
        self.listener = None;
    }

    /// Waits for a first client, at most `patience_ms`; one that does not come hears from its own start on.
    pub(super) fn await_client(&mut self, patience_ms: u16) {
        let Some(listener) = &self.listener else { return };
        let _ = poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], PollTimeout::from(patience_ms));
        self.accept();
    }

    fn accept(&mut self) {
        while let Some(client) = self.listener.as_ref().and_then(Listener::accept) {
            if self.clients.len() < CLIENTS_MAX {
                self.clients.push(client);
            }
        }
    }

    fn hear_clients(&mut self, container: &Container) {
        let mut clients = std::mem::take(&mut self.clients);
        clients.retain(|client| {
            while self.unread_input.is_empty() {
                match client.hear() {
                    Ok(Some(FromClient::Input(bytes))) if container.input.is_some() => {
                        self.unread_input = bytes;
                    }
                    Ok(Some(FromClient::EndOfInput)) => self.input_ends = true,
                    Ok(Some(FromClient::Size { rows, columns })) if self.terminal => {
                        for (_, terminal) in &container.outputs {
                            let _ = resize(terminal, rows, columns);
                        }
                    }
                    Ok(Some(FromClient::Input(_) | FromClient::Size { .. })) => {}
                    Ok(None) => return true,
                    Err(_) => return false,
                }
            }
            true
        });
        self.clients = clients;
    }

    fn pass_input(&mut self, container: &mut Container) {
        let Some(input) = &container.input else {
            self.unread_input.clear();
            return;
        };
        if !self.unread_input.is_empty() {
            match write(input, &self.unread_input) {
                Ok(taken) => drop(self.unread_input.drain(..taken)),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(_) => (container.input, self.unread_input) = (None, Vec::new()),
            }
        }
        // A terminal has no end of input of its own: its programs are told by a character.
        if self.input_ends && self.unread_input.is_empty() && !self.terminal {
            container.input = None;
        }
    }

    fn pass_output(&mut self, container: &mut Container, bytes_max: usize) {
        container.outputs.retain(|(stream, fd)| {
            let mut buffer = [0u8; READ_BYTES];
            let mut taken = 0;
            while taken < bytes_max {
                match read(fd, &mut buffer) {
                    Ok(0) => return false,
                    Ok(count) => {
                        taken += count;
                        let bytes = buffer.get(..count).unwrap_or_default();
                        self.log.take(*stream, bytes);
                        self.clients.retain(|client| client.tell(*stream, bytes));
                    }
                    Err(Errno::EAGAIN) => return true,
                    Err(Errno::EINTR) => {}
                    // A terminal whose other end is closed everywhere answers EIO.
                    Err(_) => return false,
                }
            }
            true
        });
    }
}
