//! A folder of an operator's, and the real binary in it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use coracle_test_support::scratch::TempDir;
use serde_json::Value;

/// The passphrase of every key here.
pub(crate) const PASSPHRASE: &str = "correct horse battery";

/// A folder in which commands run; `pass` in it holds [`PASSPHRASE`].
pub(crate) struct Desk {
    dir: TempDir,
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Desk {
    pub(crate) fn new() -> Self {
        let desk = Self { dir: TempDir::new("desk") };
        desk.secret("pass", &format!("{PASSPHRASE}\n"));
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        if let Some(dir) = self.path(name).parent() {
            fs::create_dir_all(dir).unwrap();
        }
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn secret(&self, name: &str, text: &str) {
        self.write(name, text);
        self.mode(name, 0o600);
    }

    /// A command of the tool, with nothing of this machine's own settings.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coraclectl"));
        command.args(words).current_dir(&*self.dir).env_remove("CORACLECTL_PASSPHRASE");
        command
    }

    /// Runs it, without a terminal to ask at.
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        let mut command = Command::new("setsid");
        let own = self.command(words);
        command.arg("-w").arg(own.get_program()).args(own.get_args()).current_dir(&*self.dir);
        command.env_remove("CORACLECTL_PASSPHRASE");
        command.output().unwrap().into()
    }

    /// Runs it to a good end; what it said.
    #[track_caller]
    pub(crate) fn good(&self, words: &[&str]) -> String {
        let ended = self.run(words);
        assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
        ended.out
    }

    /// The same with `--json`.
    #[track_caller]
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let said = self.good(&[words, &["--json"]].concat());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{words:?}: {error}: {said}"))
    }

    /// Runs it to the end `code`, with these words somewhere in what it says.
    #[track_caller]
    pub(crate) fn refused(&self, words: &[&str], code: i32, expected: &[&str]) -> Ended {
        let ended = self.run(words);
        assert_eq!(ended.code, Some(code), "{words:?}: {ended:?}");
        for word in expected {
            assert!(ended.err.contains(word), "{words:?} says nothing of {word:?}: {ended:?}");
        }
        ended
    }

    /// Makes NAME.key and NAME.pub; the key's id.
    #[track_caller]
    pub(crate) fn key(&self, name: &str, kind: &str) -> String {
        let made = self.json(&["keygen", "--type", kind, "--out", name, "--passphrase-file", "pass"]);
        made["id"].as_str().unwrap().to_owned()
    }

    /// What another program in the folder says; it must end well.
    #[track_caller]
    pub(crate) fn shell(&self, script: &str) -> String {
        let output = Command::new("sh").args(["-ec", script]).current_dir(&*self.dir).output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
