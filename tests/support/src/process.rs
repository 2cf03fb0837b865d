//! Programs that a test starts, and waiting without sleeping.
//!
//! Whatever is started here ends with its guard: by process id, never by name, and it is waited for.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::secrets::{self, Kind};

/// How long a server of the bench may take until it answers, on a loaded machine.
pub const READY: Duration = Duration::from_secs(20);

/// How often a condition is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A program in the background that ends with this value; its output goes to a file.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    log: PathBuf,
    /// It is the agent's binary: its output is looked at.
    ours: bool,
}

impl Running {
    /// Starts `command`, with standard output and error appended to `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> io::Result<Self> {
        let out = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .map_err(|e| io::Error::new(e.kind(), format!("cannot start {name}: {e}")))?;
        Ok(Self { name: name.into(), child, log: log.into(), ours: secrets::is_ours(command) })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until `address` takes connections; an error with the output if the program ends before that.
    pub fn until_answering(&mut self, address: SocketAddr) -> io::Result<()> {
        let began = Instant::now();
        while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            if !self.is_running() || began.elapsed() > READY {
                let output = self.output();
                return Err(io::Error::other(format!(
                    "{} does not answer at {address}: {output}",
                    self.name
                )));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.child.id()).map_err(io::Error::other)?;
        kill(Pid::from_raw(pid), signal).map_err(io::Error::from)
    }

    /// Waits until it ends by itself; `None` when the deadline passes first.
    pub fn wait(&mut self, deadline: Duration) -> io::Result<Option<ExitStatus>> {
        let began = Instant::now();
        loop {
            let ended = self.child.try_wait()?;
            if ended.is_some() || began.elapsed() > deadline {
                return Ok(ended);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Asks it to end, and kills it when it has not ended after `grace`.
    pub fn stop(&mut self, grace: Duration) -> io::Result<ExitStatus> {
        if self.is_running() {
            self.signal(Signal::SIGTERM)?;
        }
        match self.wait(grace)? {
            Some(status) => Ok(status),
            None => self.kill(),
        }
    }

    /// Ends it at once, as a crash or a power cut would.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = self.kill();
        }
        if self.ours {
            secrets::look(Kind::Log, &self.name, self.output().as_bytes());
        }
        if std::thread::panicking() {
            let output = self.output();
            let tail = output.lines().rev().take(40).collect::<Vec<_>>();
            eprintln!("--- last output of {} ---", self.name);
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Runs a program to its end and hands back what it printed; an error names the program and its complaint.
pub fn run(command: &mut Command) -> io::Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| io::Error::new(e.kind(), format!("cannot start {program}: {e}")))?;
    if secrets::is_ours(command) {
        secrets::look_output(&program, &output);
    }
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("{command:?} ended with {}: {}", output.status, complaint.trim())))
}

/// What a look at the world can answer: `false`, `None` and `Err` mean "not yet".
pub trait Look {
    /// What is handed back once it has come.
    type Found;
    /// The value, or a word on what is still missing.
    fn found(self) -> Result<Self::Found, String>;
}

impl Look for bool {
    type Found = ();
    fn found(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("still false".into()) }
    }
}

impl<T> Look for Option<T> {
    type Found = T;
    fn found(self) -> Result<T, String> {
        self.ok_or_else(|| "still none".into())
    }
}

impl<T, E: std::fmt::Debug> Look for Result<T, E> {
    type Found = T;
    fn found(self) -> Result<T, String> {
        self.map_err(|e| format!("still {e:?}"))
    }
}

/// Looks again and again until the answer is there; panics at the caller's line when the deadline passes.
#[track_caller]
pub fn eventually<L: Look>(deadline: Duration, mut look: impl FnMut() -> L) -> L::Found {
    let began = Instant::now();
    loop {
        match look().found() {
            Ok(found) => return found,
            Err(missing) if began.elapsed() > deadline => panic!("not within {deadline:?}: {missing}"),
            Err(_) => std::thread::sleep(LOOK_AGAIN),
        }
    }
}

/// The same on an asynchronous runtime, which goes on with its other tasks between two looks.
#[cfg(feature = "protocols")]
pub async fn eventually_async<L: Look, F: Future<Output = L>>(
    deadline: Duration,
    mut look: impl FnMut() -> F,
) -> L::Found {
    let began = Instant::now();
    loop {
        match look().await.found() {
            Ok(found) => return found,
            Err(missing) if began.elapsed() > deadline => panic!("not within {deadline:?}: {missing}"),
            Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// A loopback port that was free a moment ago, never the same one twice in a process.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port");
        let port = listener.local_addr().expect("a bound address").port();
        if GIVEN.lock().expect("no test panics while it holds this").insert(port) {
            return port;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::TempDir;

    #[test]
    fn a_dropped_guard_leaves_no_process() {
        let dir = TempDir::new("process");
        let running = Running::start("sleep", Command::new("sleep").arg("60"), &dir.join("log")).unwrap();
        let proc_entry = PathBuf::from(format!("/proc/{}", running.pid()));
        assert!(proc_entry.exists());
        drop(running);
        assert!(!proc_entry.exists());
    }

    #[test]
    fn a_program_that_ends_before_it_answers_is_an_error_with_its_output() {
        let dir = TempDir::new("process");
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such luck"]);
        let mut running = Running::start("sh", &mut command, &dir.join("log")).unwrap();
        let error = running.until_answering(([127, 0, 0, 1], free_port()).into()).unwrap_err();
        assert!(error.to_string().contains("no such luck"), "{error}");
    }

    #[test]
    fn eventually_hands_back_what_came() {
        let mut looks = 0;
        let found = eventually(READY, || {
            looks += 1;
            (looks > 3).then_some(looks)
        });
        assert_eq!(found, 4);
    }

    #[test]
    #[should_panic(expected = "still \"dark\"")]
    fn eventually_says_what_was_missing() {
        eventually(Duration::ZERO, || Err::<(), _>("dark"));
    }
}
