//! What a workload wrote, for the service manager's journal: lines to the outputs that its shim was started with.
//!
//! Invariant: a journal that does not keep up loses lines, never stops the workload.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::write;

use super::log::Stream;

/// The journal's end of this process's outputs.
#[derive(Debug)]
pub struct Journal {
    out: Line,
    err: Line,
}

#[derive(Debug)]
struct Line {
    fd: OwnedFd,
    /// Whether the last line was taken in part, so that the next one must not go on with it.
    broken: bool,
}

impl Journal {
    /// The outputs that this process was started with.
    ///
    /// # Errors
    /// That of the system.
    pub fn inherited() -> io::Result<Self> {
        Ok(Self { out: Line::of(&io::stdout())?, err: Line::of(&io::stderr())? })
    }

    /// Passes on one line, or drops it.
    pub(super) fn pass(&mut self, stream: Stream, line: &[u8]) {
        match stream {
            Stream::Out => self.out.pass(line),
            Stream::Err => self.err.pass(line),
        }
    }
}

impl Line {
    fn of(output: &impl AsFd) -> io::Result<Self> {
        let fd = output.as_fd().try_clone_to_owned()?;
        let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
        fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Ok(Self { fd, broken: false })
    }

    fn pass(&mut self, line: &[u8]) {
        let mut text = Vec::with_capacity(line.len() + 2);
        if self.broken {
            text.push(b'\n');
        }
        text.extend_from_slice(line);
        text.push(b'\n');
        if let Ok(taken) = write(&self.fd, &text) {
            self.broken = taken < text.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_line_that_was_taken_in_part_is_ended_before_the_next() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut line = Line::of(&ours).unwrap();
        line.pass(b"one");
        let long = vec![b'x'; 1 << 20];
        line.pass(&long);
        line.pass(b"lost while nobody reads");
        assert!(line.broken);
        theirs.set_nonblocking(true).unwrap();
        let mut text = Vec::new();
        let _ = theirs.read_to_end(&mut text);
        line.pass(b"two");
        drop((line, ours));
        theirs.read_to_end(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0], lines[2]), (3, "one", "two"));
    }
}
