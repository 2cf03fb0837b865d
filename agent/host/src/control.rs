//! The control socket: one line in, one line out, from and to people at this board.
//!
//! Invariants: nobody but root and the agent's own user is heard; a line, the number of those who wait and the time to
//! say a line are bounded. Who is slow or silent costs one of the places, for seconds, and never the agent's loop. What
//! a line means is decided elsewhere.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream as Blocking;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The socket's name in the run directory.
pub const FILE: &str = "control.sock";
/// Bytes of a line that is heard: a document of 32 KiB in base64, and a little.
const LINE_BYTES_MAX: u64 = 48 << 10;
/// Bytes of an answer that a client reads.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// Clients at a time; the others wait in the kernel's queue.
const CLIENTS_MAX: usize = 8;
/// Lines that wait for the loop.
const WAITING_MAX: usize = 4;
/// How long a client may take to say its line, and to take its answer; and how long a line may wait for the loop.
const SLOW_MAX: Duration = Duration::from_secs(5);
/// Before the next connection is asked for, after the system refused one: it lacks descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);
/// Who may speak: the socket's file is its first guard.
const MODE: u32 = 0o600;

/// A line that somebody at the board said.
#[derive(Debug)]
pub struct Asked {
    /// The line, without its end.
    pub line: Vec<u8>,
    /// Takes the answer; closed when the client has gone.
    pub answer: oneshot::Sender<Vec<u8>>,
}

/// The socket; it goes with the value.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Control {
    /// Listens at `path`. What stands there from an agent that was killed is replaced: only one agent runs.
    ///
    /// # Errors
    /// That of the system.
    pub fn start(path: &Path) -> io::Result<(Self, mpsc::Receiver<Asked>)> {
        let fresh = path.with_extension("new");
        remove(&fresh)?;
        let listener = UnixListener::bind(&fresh)?;
        // Under its name it is guarded already.
        fs::set_permissions(&fresh, fs::Permissions::from_mode(MODE))?;
        fs::rename(&fresh, path)?;
        let (asked, heard) = mpsc::channel(WAITING_MAX);
        let task = tokio::spawn(listen(listener, asked));
        Ok((Self { path: path.to_owned(), task }, heard))
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        // Nobody listens there any more; a file that is left says the same.
        let _ = remove(&self.path);
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

async fn listen(listener: UnixListener, asked: mpsc::Sender<Asked>) {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    let own = nix::unistd::geteuid().as_raw();
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let trusted = client.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own);
        if !trusted {
            continue;
        }
        let asked = asked.clone();
        tokio::spawn(async move {
            // A client that went away, or was too slow, has nobody to be told.
            let _ = serve(client, asked).await;
            drop(place);
        });
    }
}

async fn serve(mut client: UnixStream, asked: mpsc::Sender<Asked>) -> io::Result<()> {
    let (reading, mut writing) = client.split();
    let mut reading = tokio::io::BufReader::new(reading);
    let mut line = Vec::new();
    // A byte more than is heard: whoever judges the line sees that it is too long.
    let mut bounded = (&mut reading).take(LINE_BYTES_MAX + 1);
    timeout(SLOW_MAX, bounded.read_until(b'\n', &mut line)).await??;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    let (answer, answered) = oneshot::channel();
    if timeout(SLOW_MAX, asked.send(Asked { line, answer })).await?.is_err() {
        return Ok(());
    }
    let mut rest = [0_u8; 64];
    let mut answer = tokio::select! {
        answer = answered => answer.map_err(io::Error::other)?,
        // Whatever follows the line, or its end, frees the place.
        _ = reading.read(&mut rest) => return Ok(()),
    };
    answer.push(b'\n');
    timeout(SLOW_MAX, writing.write_all(&answer)).await??;
    Ok(())
}

/// Why nobody answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("no agent listens at {}", path.display())]
    Nobody {
        /// Where.
        path: PathBuf,
    },
    /// The agent took longer than that.
    #[error("the agent at {} did not answer within {} s", path.display(), patience.as_secs())]
    Late {
        /// Where.
        path: PathBuf,
        /// How long it had.
        patience: Duration,
    },
    /// The agent ended, or turned the client away.
    #[error("the agent at {} hung up without an answer", path.display())]
    HungUp {
        /// Where.
        path: PathBuf,
    },
    /// The system's answer.
    #[error("failed to speak with the agent at {}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Says `line` to the agent at `path` and hands back its answer. It blocks, for `patience` at most.
///
/// # Errors
/// [`AskError`].
pub fn ask(path: &Path, line: &[u8], patience: Duration) -> Result<Vec<u8>, AskError> {
    let failed = |source: io::Error| {
        let path = path.to_owned();
        let is = |kinds: [io::ErrorKind; 2]| kinds.contains(&source.kind());
        if is([io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused]) {
            AskError::Nobody { path }
        } else if is([io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut]) {
            AskError::Late { path, patience }
        } else if is([io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset]) {
            AskError::HungUp { path }
        } else {
            AskError::Io { path, source }
        }
    };
    let mut agent = Blocking::connect(path).map_err(failed)?;
    agent.set_read_timeout(Some(patience)).map_err(failed)?;
    agent.set_write_timeout(Some(patience)).map_err(failed)?;
    let mut said = line.to_vec();
    said.push(b'\n');
    agent.write_all(&said).map_err(failed)?;
    let mut answer = Vec::new();
    // The agent writes it whole, so the one wait is the one for its first byte.
    BufReader::new(agent.take(ANSWER_BYTES_MAX)).read_until(b'\n', &mut answer).map_err(failed)?;
    if answer.pop() == Some(b'\n') { Ok(answer) } else { Err(AskError::HungUp { path: path.to_owned() }) }
}

#[cfg(test)]
mod tests;
