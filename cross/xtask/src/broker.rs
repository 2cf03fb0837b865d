//! A mosquitto of our own, and mosquitto's own clients to speak with it.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use coracle_test_support::certificates::{self, KeyForm};
use coracle_test_support::process::{Running, free_port};
use coracle_test_support::registry::certificate;
use coracle_test_support::scratch::TempDir;
use serde_json::Value;

use crate::interrupt;

/// The root of all topics.
pub const ROOT: &str = "coracle/v1";
/// The documentation's access list, and whom it calls so.
const ACL: &str = include_str!("../../../agent/docs/mosquitto/acl");
const OPERATOR: &str = "operator";
const BACKEND: &str = "backend";

/// A running broker; its fields end in this order.
pub struct Broker {
    _process: Running,
    port: u16,
    /// Its clients prove who they are.
    secured: bool,
    dir: TempDir,
}

impl Broker {
    /// Starts one on a free loopback port; anyone may speak to it.
    pub fn start() -> io::Result<Self> {
        Self::launch(TempDir::new("broker"), "allow_anonymous true\n", false)
    }

    /// Starts one that speaks TLS, wants certificates that [`certificates::client`] makes in its folder, and has the
    /// documentation's access list, with `members` in `group`.
    pub fn start_secured(group: &str, members: &[String]) -> io::Result<Self> {
        let dir = TempDir::new("broker");
        certificate(&dir)?;
        let mut list = ACL.to_owned();
        for member in members {
            let topics = format!("topic read {ROOT}/g/{group}");
            list += &format!("\nuser {member}\n{topics}/desired\n{topics}/cmd/+\n");
        }
        fs::write(dir.join("acl"), list)?;
        for name in [OPERATOR, BACKEND] {
            certificates::client(&dir, name, KeyForm::Pkcs8)?;
        }
        let at = dir.display().to_string();
        // As root it would become a user that cannot read the folder.
        let settings = format!(
            "user root\nallow_anonymous false\nrequire_certificate true\nuse_identity_as_username true\n\
             cafile {at}/ca.crt\ncertfile {at}/server.crt\nkeyfile {at}/server.key\nacl_file {at}/acl\n"
        );
        Self::launch(dir, &settings, true)
    }

    fn launch(dir: TempDir, more: &str, secured: bool) -> io::Result<Self> {
        let port = free_port();
        let settings = dir.join("mosquitto.conf");
        fs::write(&settings, format!("listener {port} 127.0.0.1\npersistence false\n{more}"))?;
        let mut command = Command::new("mosquitto");
        let mut process = Running::start("mosquitto", command.arg("-c").arg(&settings), &dir.join("log"))?;
        process.until_answering(([127, 0, 0, 1], port).into())?;
        Ok(Self { _process: process, port, secured, dir })
    }

    /// Where its certificates are, with the authority that made them.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// A client that publishes retained messages to `topic` the moment they are handed to it.
    pub fn publisher(&self, topic: &str) -> io::Result<Publisher> {
        let mut command = self.client("mosquitto_pub", OPERATOR);
        command.args(["-q", "1", "-r", "-l", "-t", topic]).stdin(Stdio::piped());
        let mut child = command.spawn()?;
        let input = child.stdin.take().ok_or_else(|| io::Error::other("mosquitto_pub has no input"))?;
        Ok(Publisher { child: Ended(child), input })
    }

    /// A client that hears everything the device says.
    pub fn watch(&self, device: &str) -> io::Result<Watch> {
        let mut command = self.client("mosquitto_sub", BACKEND);
        command.args(["-q", "1", "-v", "-t", &format!("{ROOT}/d/{device}/+")]).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("mosquitto_sub has no output"))?;
        let (send, heard) = channel();
        std::thread::spawn(move || listen(BufReader::new(output), &send));
        Ok(Watch { _child: Ended(child), heard })
    }

    fn client(&self, program: &str, who: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-V", "5", "-p", &self.port.to_string()]);
        if self.secured {
            let file = |name: String| self.dir.join(name);
            command.args(["-h", "localhost", "--cafile"]).arg(file("ca.crt".to_owned()));
            command.arg("--cert").arg(file(format!("{who}.crt")));
            command.arg("--key").arg(file(format!("{who}.key")));
        } else {
            command.args(["-h", "127.0.0.1"]);
        }
        command
    }
}

fn listen(output: impl BufRead, send: &Sender<Message>) {
    for line in output.lines().map_while(Result::ok) {
        let Some((topic, payload)) = line.split_once(' ') else { continue };
        let kind = topic.rsplit('/').next().unwrap_or_default().to_owned();
        let payload = serde_json::from_str(payload).unwrap_or(Value::Null);
        if send.send(Message { kind, payload, at: Instant::now() }).is_err() {
            return;
        }
    }
}

/// A child that is killed and waited for with this value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// See [`Broker::publisher`].
pub struct Publisher {
    child: Ended,
    input: ChildStdin,
}

impl Publisher {
    /// Publishes a message of one line; hands back the moment before.
    pub fn send(&mut self, payload: &str) -> io::Result<Instant> {
        if let Some(status) = self.child.0.try_wait()? {
            return Err(io::Error::other(format!("mosquitto_pub ended with {status}")));
        }
        let at = Instant::now();
        self.input.write_all(format!("{payload}\n").as_bytes())?;
        self.input.flush()?;
        Ok(at)
    }
}

/// Something a device said or, as `desired`, was told.
pub struct Message {
    /// The last word of its topic: `state`, `up`, `event`, `progress`, `desired`.
    pub kind: String,
    /// What it said.
    pub payload: Value,
    /// When it was heard.
    pub at: Instant,
}

/// See [`Broker::watch`].
pub struct Watch {
    _child: Ended,
    heard: Receiver<Message>,
}

impl Watch {
    /// Listens until `wanted` makes something of a message; an error after `deadline`.
    pub fn until<T>(
        &self,
        what: &str,
        deadline: Duration,
        mut wanted: impl FnMut(&Message) -> Option<T>,
    ) -> io::Result<T> {
        let began = Instant::now();
        let mut last = Value::Null;
        loop {
            interrupt::check()?;
            match self.heard.recv_timeout(Duration::from_millis(100)) {
                Ok(message) => match wanted(&message) {
                    Some(found) => return Ok(found),
                    None => last = message.payload,
                },
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("mosquitto_sub ended")),
            }
            if began.elapsed() > deadline {
                return Err(io::Error::other(format!("no {what} within {deadline:?}; last heard: {last}")));
            }
        }
    }
}
