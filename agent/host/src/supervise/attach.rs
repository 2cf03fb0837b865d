//! Taking part in a running workload's streams, over a socket of its shim.
//!
//! One message of the socket is one piece of a stream (`SOCK_SEQPACKET` keeps their borders); its first byte says
//! of which:
//! ```text
//! to the shim    0 input …    1 size: rows, columns (u16, big endian)    2 end of input
//! to the client  1 output …   2 error output …
//! ```

use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind, connect, listen, recv,
    sendmsg, socket, socketpair,
};
use nix::unistd::dup2_stdin;

use super::log::Stream;
use super::place::Place;

const FILE: &str = "attach.sock";
/// Bytes of one message's data; two of them fit a socket's buffer with room.
const PIECE_BYTES_MAX: usize = 16 << 10;
/// Milliseconds that a client which does not read may hold up a workload, once: then it is cut off.
const PATIENCE_MS: u16 = 200;

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromClient {
    /// Input for the process.
    Input(Vec<u8>),
    /// The size of the client's window in characters.
    Size {
        /// Lines.
        rows: u16,
        /// Characters of a line.
        columns: u16,
    },
    /// No more input comes.
    EndOfInput,
}

/// What a client hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToClient {
    /// A piece of output.
    Output(Stream, Vec<u8>),
    /// The workload ended, or its shim cut this client off.
    End,
}

/// Where clients come.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// One client, at the shim.
#[derive(Debug)]
pub struct Client(OwnedFd);

/// One client, at its own end.
#[derive(Debug)]
pub struct Attachment(OwnedFd);

fn seqpacket(flags: SockFlag) -> nix::Result<OwnedFd> {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC | flags, None)
}

impl Listener {
    /// Listens in the working directory, which is the workload's (its full path may not fit a socket address).
    ///
    /// # Errors
    /// That of the system.
    pub fn here() -> io::Result<Self> {
        let _ = fs::remove_file(FILE);
        let fd = seqpacket(SockFlag::SOCK_NONBLOCK)?;
        bind(fd.as_raw_fd(), &UnixAddr::new(FILE)?)?;
        listen(&fd, Backlog::new(4)?)?;
        Ok(Self(fd))
    }

    /// The next client that waits, if any.
    #[must_use]
    pub fn accept(&self) -> Option<Client> {
        use std::os::fd::FromRawFd as _;
        let fd = accept4(self.0.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK).ok()?;
        // SAFETY: the kernel has just made this descriptor for us.
        #[allow(unsafe_code)] // nix answers with a bare number
        Some(Client(unsafe { OwnedFd::from_raw_fd(fd) }))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for Attachment {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Both ends of a client, joined before the workload starts: nothing that it writes can be missed.
///
/// # Errors
/// That of the system.
pub(super) fn pair() -> io::Result<(OwnedFd, Attachment)> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    Ok((theirs, Attachment(ours)))
}

impl Client {
    /// The client whose end of a `pair` this process was given as its standard input, which becomes empty.
    ///
    /// # Errors
    /// That of the system.
    pub fn inherited() -> io::Result<Self> {
        let fd = io::stdin().as_fd().try_clone_to_owned()?;
        fcntl(&fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        dup2_stdin(fs::File::open("/dev/null")?)?;
        Ok(Self(fd))
    }

    /// Passes output on. False: this client is gone or does not read, drop it.
    #[must_use]
    pub fn tell(&self, stream: Stream, bytes: &[u8]) -> bool {
        let kind = match stream {
            Stream::Out => 1,
            Stream::Err => 2,
        };
        bytes.chunks(PIECE_BYTES_MAX).all(|piece| match send(&self.0, kind, piece) {
            Ok(()) => true,
            Err(Errno::EAGAIN) => {
                let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)];
                poll(&mut fds, PollTimeout::from(PATIENCE_MS)) == Ok(1) && send(&self.0, kind, piece).is_ok()
            }
            Err(_) => false,
        })
    }

    /// What the client says next; `Ok(None)` when nothing waits.
    ///
    /// # Errors
    /// It is gone, or speaks another language: drop it.
    pub fn hear(&self) -> io::Result<Option<FromClient>> {
        let mut buffer = vec![0u8; PIECE_BYTES_MAX + 1];
        let read = match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(read) => read,
            Err(Errno::EAGAIN) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        buffer.truncate(read);
        match buffer.split_first() {
            Some((0, input)) => Ok(Some(FromClient::Input(input.to_vec()))),
            Some((1, &[rows_high, rows_low, columns_high, columns_low])) => Ok(Some(FromClient::Size {
                rows: u16::from_be_bytes([rows_high, rows_low]),
                columns: u16::from_be_bytes([columns_high, columns_low]),
            })),
            Some((2, [])) => Ok(Some(FromClient::EndOfInput)),
            Some(_) => Err(io::ErrorKind::InvalidData.into()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Attachment {
    /// Connects to the shim at `place`.
    ///
    /// # Errors
    /// That of the system; refused or not found where no shim lives.
    pub fn connect(place: &Place) -> io::Result<Self> {
        // The full path may not fit a socket address; the way through a descriptor does.
        let dir = fs::File::open(place.dir())?;
        let path = format!("/proc/self/fd/{}/{FILE}", dir.as_raw_fd());
        let fd = seqpacket(SockFlag::empty())?;
        connect(fd.as_raw_fd(), &UnixAddr::new(path.as_str())?)?;
        Ok(Self(fd))
    }

    /// Sends input, a window size or the end of input; waits while the shim cannot take it.
    ///
    /// # Errors
    /// That of the system: the workload ended.
    pub fn say(&self, word: &FromClient) -> io::Result<()> {
        match word {
            FromClient::Input(bytes) => {
                bytes.chunks(PIECE_BYTES_MAX).try_for_each(|piece| send(&self.0, 0, piece))
            }
            FromClient::Size { rows, columns } => {
                let [a, b] = rows.to_be_bytes();
                let [c, d] = columns.to_be_bytes();
                send(&self.0, 1, &[a, b, c, d])
            }
            FromClient::EndOfInput => send(&self.0, 2, &[]),
        }
        .map_err(io::Error::from)
    }

    /// Waits for the next piece of output.
    ///
    /// # Errors
    /// That of the system, or `InvalidData`.
    pub fn hear(&self) -> io::Result<ToClient> {
        let mut buffer = vec![0u8; PIECE_BYTES_MAX + 1];
        let read = match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(read) => read,
            Err(Errno::ECONNRESET) => 0,
            Err(errno) => return Err(errno.into()),
        };
        buffer.truncate(read);
        match buffer.split_first() {
            Some((1, output)) => Ok(ToClient::Output(Stream::Out, output.to_vec())),
            Some((2, output)) => Ok(ToClient::Output(Stream::Err, output.to_vec())),
            Some(_) => Err(io::ErrorKind::InvalidData.into()),
            None => Ok(ToClient::End),
        }
    }
}

fn send(fd: &OwnedFd, kind: u8, piece: &[u8]) -> nix::Result<()> {
    let parts = [IoSlice::new(std::slice::from_ref(&kind)), IoSlice::new(piece)];
    sendmsg::<UnixAddr>(fd.as_raw_fd(), &parts, &[], MsgFlags::MSG_NOSIGNAL, None).map(drop)
}
