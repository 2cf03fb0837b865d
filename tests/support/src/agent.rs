//! A board: the real `coracle` binary with directories and a configuration of its own.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use serde_json::json;

use crate::process::Running;
use crate::registry::auth;
use crate::scratch::TempDir;
use crate::secrets::{self, Own};

/// What a board's configuration says; the rest are the agent's defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The device's id.
    pub device: String,
    /// `mqtt://host:port`, when it has a broker.
    pub broker: Option<String>,
    /// `host:port` of each registry that speaks plain HTTP.
    pub insecure: Vec<String>,
    /// Platforms to claim instead of what the board is.
    pub platforms: Vec<String>,
    /// Lines of TOML before the first table.
    pub top: String,
    /// Further tables.
    pub tables: String,
}

impl Settings {
    /// A board that takes unsigned documents and bare tags, and gives workloads the host's network.
    pub fn new(device: &str) -> Self {
        let top = "accept_tags = true\ndefault_network = \"host\"\n".into();
        let (insecure, platforms) = (Vec::new(), Vec::new());
        Self {
            device: device.into(),
            broker: None,
            insecure,
            platforms,
            top,
            tables: "[trust]\nunsigned = true\n".into(),
        }
    }

    fn toml(&self, dir: &Path) -> String {
        let mut text = format!("device_id = {:?}\n{}", self.device, self.top);
        let dir = dir.display();
        let _ = writeln!(text, "state_dir = \"{dir}/state\"\nrun_dir = \"{dir}/run\"");
        if !self.platforms.is_empty() {
            let _ = writeln!(text, "platform = {:?}", self.platforms);
        }
        text += &self.tables;
        if let Some(url) = &self.broker {
            let _ = writeln!(
                text,
                "[broker]\nurl = {url:?}\nfirst_connect_splay_seconds = 0\nusername = \"planted\"\n\
                 password_file = \"{dir}/secrets/password\""
            );
        }
        if !self.tables.contains("[registry]") {
            let _ = writeln!(
                text,
                "[registry]\ninsecure = {:?}\nauth_file = \"{dir}/secrets/auth.json\"",
                self.insecure
            );
        }
        text
    }
}

/// A board whose workloads end with it.
#[derive(Debug)]
pub struct Board {
    exe: PathBuf,
    dir: TempDir,
    agent: Option<Running>,
}

impl Board {
    /// A board with the binary at `exe`, which is not started yet.
    pub fn new(exe: &Path, settings: &Settings) -> io::Result<Self> {
        let dir = TempDir::new("board");
        fs::write(dir.join("config.toml"), settings.toml(&dir))?;
        plant(&dir.join("secrets"), settings)?;
        Ok(Self { exe: exe.into(), dir, agent: None })
    }

    /// Writes other settings; a running agent has to be restarted to see them.
    pub fn configure(&self, settings: &Settings) -> io::Result<()> {
        fs::write(self.dir.join("config.toml"), settings.toml(&self.dir))
    }

    /// Closes its configuration to others, as one with a password must be.
    pub fn close_configuration(&self) -> io::Result<()> {
        fs::set_permissions(self.dir.join("config.toml"), fs::Permissions::from_mode(0o600))
    }

    /// One of the files with secrets that were planted: `password`, `auth.json`.
    pub fn secret(&self, name: &str) -> PathBuf {
        self.dir.join("secrets").join(name)
    }

    /// Where the agent keeps what must survive a reboot.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Where it keeps what need not.
    pub fn run_dir(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// A command of the binary on this board.
    pub fn command(&self, words: &[&str]) -> Own {
        let mut command = Command::new(&self.exe);
        command.arg("--config").arg(self.dir.join("config.toml")).args(words);
        // Nothing of the bench is reached through it, but whoever writes down an environment gives it away.
        let proxy = format!("http://planted:{}@127.0.0.1:9", secrets::PROXY_PASSWORD);
        command.env("HTTPS_PROXY", proxy).env("NO_PROXY", "127.0.0.1,localhost");
        Own::new(command)
    }

    /// Starts the agent.
    pub fn start(&mut self) -> io::Result<&mut Running> {
        let running =
            Running::start("coracle agent", &mut self.command(&["agent"]), &self.dir.join("agent.log"))?;
        Ok(self.agent.insert(running))
    }

    /// Starts the agent by way of another program, whose last words it becomes.
    pub fn start_under(&mut self, wrapper: &[&str]) -> io::Result<&mut Running> {
        let (program, words) = wrapper.split_first().unwrap_or((&"env", &[]));
        let agent = self.command(&["agent"]);
        let mut command = Command::new(program);
        command.args(words).arg(agent.get_program()).args(agent.get_args());
        command.envs(agent.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let running = Running::start("coracle agent", &mut command, &self.dir.join("agent.log"))?;
        Ok(self.agent.insert(running))
    }

    /// The agent, when it was started.
    pub fn agent(&mut self) -> Option<&mut Running> {
        self.agent.as_mut()
    }

    /// The agent, which is the caller's to end from now on.
    pub fn take_agent(&mut self) -> Option<Running> {
        self.agent.take()
    }

    /// Stops the agent as an init system would; workloads go on.
    pub fn stop(&mut self) -> io::Result<()> {
        match self.agent.take() {
            Some(mut agent) => agent.stop(Duration::from_secs(10)).map(drop),
            None => Ok(()),
        }
    }

    /// Kills the agent as a crash would; workloads go on.
    pub fn crash(&mut self) -> io::Result<()> {
        match self.agent.take() {
            Some(mut agent) => agent.kill().map(drop),
            None => Ok(()),
        }
    }
}

impl Board {
    /// Cuts the power: agent and workloads end without a word, and what was kept in memory is gone.
    pub fn cut_power(&mut self) -> io::Result<()> {
        self.crash()?;
        self.end_workloads();
        fs::remove_dir_all(self.run_dir())
    }

    fn end_workloads(&self) {
        // With its slash: the name of another board may begin as this one's.
        let place = format!("{}/", self.dir.display());
        // A supervisor that dies first cannot start its container again.
        for belongs in [is_supervisor, is_container] {
            let pids = processes().into_iter().filter(|pid| belongs(*pid, &place)).collect::<Vec<_>>();
            for pid in &pids {
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
            for pid in pids {
                wait_until_gone(pid);
            }
        }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.agent = None;
        self.end_workloads();
        // What images and containers hold is theirs.
        for kept in [self.state_dir(), self.run_dir()] {
            secrets::look_below(&kept, &["blobs", "layers", "ingest", "retired", "scratch", "volumes"]);
        }
    }
}

/// Files with secrets, as a board that needs some has them.
fn plant(dir: &Path, settings: &Settings) -> io::Result<()> {
    fs::create_dir(dir)?;
    let entries = settings.insecure.iter().map(|host| (host.clone(), json!({"auth": auth()})));
    let other = ("planted.example".to_owned(), json!({"identitytoken": secrets::IDENTITY_TOKEN}));
    let auths = entries.chain([other]).collect::<serde_json::Map<_, _>>();
    let files = [
        ("auth.json", json!({ "auths": auths }).to_string()),
        ("password", format!("{}\n", secrets::BROKER_PASSWORD)),
    ];
    for (name, text) in files {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(dir.join(name))?;
        file.write_all(text.as_bytes())?;
    }
    Ok(())
}

/// A process of the binary that was given a directory of this board.
fn is_supervisor(pid: i32, place: &str) -> bool {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.split(|byte| *byte == 0).any(|word| word.starts_with(place.as_bytes()))
}

/// A process whose root is an overlay of this board's layers.
fn is_container(pid: i32, place: &str) -> bool {
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(4) == Some("/") && line.contains(place))
}

fn processes() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn wait_until_gone(pid: i32) {
    let alive = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
    };
    let began = std::time::Instant::now();
    while alive() && began.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(5));
    }
}
