//! Secrets that the bench plants wherever an agent is given one, and the place that all it says passes.
//!
//! Invariant: what an agent, a shim or a command writes, publishes, answers or keeps is looked at here before a test
//! sees it. A planted secret in it fails the test, and stands in the ledger of the whole run, where `cargo xtask
//! secrets` adds up: what was looked at, and that leaks planted on purpose were found.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The password of the bench's registries.
pub const REGISTRY_PASSWORD: &str = "planted-registry-password-x7Q2";
/// What every board says to its broker.
pub const BROKER_PASSWORD: &str = "planted-broker-password-k9W4";
/// What stands in every board's `HTTPS_PROXY`.
pub const PROXY_PASSWORD: &str = "planted-proxy-password-m3T8";
/// The beginning of all tokens of the bench's token server.
pub const TOKEN: &str = "planted-registry-token-p5Z1";
/// An identity token in every board's credentials.
pub const IDENTITY_TOKEN: &str = "planted-identity-token-c6H0";
/// What is told on purpose, to see that it is found.
pub const DRILL: &str = "planted-for-a-drill-b2N7";
/// Where the ledger of a run is.
pub const LEDGER: &str = "CORACLE_SECRETS_LEDGER";

/// Bytes of one file that are looked at; no file of an agent, but layers and blobs, is longer.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Secrets that were made during this run: keys.
static MADE: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The log of an agent.
    Log,
    /// A message on a broker.
    Message,
    /// What a command printed.
    Output,
    /// What stands in a file.
    File,
    /// An error as a caller of the library gets it.
    Error,
}

impl Kind {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Log, "logs"),
        (Self::Message, "messages"),
        (Self::Output, "outputs of commands"),
        (Self::File, "files"),
        (Self::Error, "errors"),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, word)| word)
    }
}

/// Has a private key looked for from now on, in the form of its file.
pub fn plant_key(pem: &Path) -> io::Result<()> {
    let text = fs::read_to_string(pem)?;
    // Any one line of it is too much; the first is the algorithm, which is no secret.
    let lines = text.lines().filter(|line| !line.starts_with("-----") && line.len() >= 40);
    let name = format!("the key {}", pem.display());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    made.extend(lines.map(|line| (name.clone(), line.get(30..).unwrap_or(line).to_owned())));
    Ok(())
}

/// The secret that stands in `text`, by name; in plain or as HTTP carries it.
pub fn found(text: &[u8]) -> Option<Cow<'static, str>> {
    const PLAIN: [&str; 6] =
        [REGISTRY_PASSWORD, BROKER_PASSWORD, PROXY_PASSWORD, TOKEN, IDENTITY_TOKEN, DRILL];
    for secret in PLAIN {
        if contains(text, secret.as_bytes()) || in_base64(text, secret) {
            return Some(secret.into());
        }
    }
    let made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    made.iter().find(|(_, secret)| contains(text, secret.as_bytes())).map(|(name, _)| name.clone().into())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Whether base64 of anything with `secret` in it stands there: at each of the three places in a group of bytes, what
/// does not depend on its neighbors.
fn in_base64(text: &[u8], secret: &str) -> bool {
    (0..3).any(|before| {
        let encoded = STANDARD.encode([&b"xx"[..before], secret.as_bytes()].concat());
        let whole = encoded.get(if before == 0 { 0 } else { 4 }..encoded.len() - 4).unwrap_or_default();
        contains(text, whole.as_bytes())
    })
}

/// Looks at what `from` said; panics where it tells a secret.
#[track_caller]
pub fn look(kind: Kind, from: &str, text: &[u8]) {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    let secret = found(text);
    let verdict = match secret.as_deref() {
        None => "clean",
        Some(DRILL) => "drill",
        Some(_) => "leak",
    };
    note(&format!("{verdict}\t{}\t{lines}\t{from}\t{}\n", kind.word(), secret.as_deref().unwrap_or("-")));
    let Some(secret) = secret else { return };
    let complaint = format!("{from} told a secret: {secret}");
    // A second panic would end the whole process, and with it the complaint.
    if std::thread::panicking() {
        eprintln!("{complaint}");
    } else {
        panic!("{complaint}");
    }
}

/// Looks at both streams of a command that has ended.
#[track_caller]
pub fn look_output(from: &str, output: &Output) {
    look(Kind::Output, from, &output.stdout);
    look(Kind::Output, from, &output.stderr);
}

/// Looks at every file below `dir` but those in directories of `past`; links are not followed.
#[track_caller]
pub fn look_below(dir: &Path, past: &[&str]) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && !past.iter().any(|past| *past == name) {
            look_below(&path, past);
        } else if kind.is_file() && entry.metadata().is_ok_and(|found| found.len() <= FILE_BYTES_MAX) {
            // Gone since: nobody else can look at it either.
            look(Kind::File, &path.display().to_string(), &fs::read(&path).unwrap_or_default());
        }
    }
}

/// Whether a command is the agent's binary, or another program that runs it.
pub fn is_ours(command: &Command) -> bool {
    let ours = |word: &std::ffi::OsStr| Path::new(word).file_name().is_some_and(|name| name == "coracle");
    ours(command.get_program()) || command.get_args().any(ours)
}

/// A command of the agent's binary. It is used as any command is; but its output is looked at.
#[derive(Debug)]
pub struct Own(Command);

impl Own {
    /// Of this command.
    pub fn new(command: Command) -> Self {
        Self(command)
    }

    /// One more word.
    pub fn arg(&mut self, word: impl AsRef<std::ffi::OsStr>) -> &mut Self {
        self.0.arg(word);
        self
    }

    /// A variable of its environment.
    pub fn env(&mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> &mut Self {
        self.0.env(name, value);
        self
    }

    /// What it reads.
    pub fn stdin(&mut self, from: impl Into<Stdio>) -> &mut Self {
        self.0.stdin(from);
        self
    }

    /// Where its output goes.
    pub fn stdout(&mut self, to: impl Into<Stdio>) -> &mut Self {
        self.0.stdout(to);
        self
    }

    /// Where its complaints go.
    pub fn stderr(&mut self, to: impl Into<Stdio>) -> &mut Self {
        self.0.stderr(to);
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn output(&mut self) -> io::Result<Output> {
        let output = self.0.output()?;
        look_output(&format!("{:?}", self.0), &output);
        Ok(output)
    }

    /// Runs it to its end, unheard.
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.0.stdout(Stdio::null()).stderr(Stdio::null()).status()
    }
}

impl std::ops::Deref for Own {
    type Target = Command;
    fn deref(&self) -> &Command {
        &self.0
    }
}

impl std::ops::DerefMut for Own {
    fn deref_mut(&mut self) -> &mut Command {
        &mut self.0
    }
}

fn note(line: &str) {
    let Some(path) = std::env::var_os(LEDGER) else { return };
    // One write each: the processes of a run share the file.
    let written =
        File::options().append(true).open(&path).and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        panic!("the ledger {} cannot be written: {error}", path.display());
    }
}

/// What a run came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Things looked at, by kind.
    pub looked: Vec<(&'static str, u64)>,
    /// Lines in all of them.
    pub lines: u64,
    /// Leaks planted on purpose that were found.
    pub drills: u64,
    /// Secrets that were told, and by whom.
    pub leaks: Vec<String>,
}

impl Sum {
    /// Of a ledger's text.
    pub fn of(ledger: &str) -> Self {
        let mut sum =
            Self { looked: Kind::ALL.iter().map(|(_, word)| (*word, 0)).collect(), ..Self::default() };
        for line in ledger.lines() {
            let mut fields = line.split('\t');
            let (verdict, kind) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
            let lines: u64 = fields.next().and_then(|lines| lines.parse().ok()).unwrap_or(0);
            match verdict {
                "drill" => sum.drills += 1,
                "leak" => sum.leaks.push(fields.collect::<Vec<_>>().join(": ")),
                _ => {
                    sum.lines += lines;
                    if let Some((_, count)) = sum.looked.iter_mut().find(|(word, _)| *word == kind) {
                        *count += 1;
                    }
                }
            }
        }
        sum
    }

    /// In one line.
    pub fn words(&self) -> String {
        let kinds = self.looked.iter().map(|(word, count)| format!("{count} {word}")).collect::<Vec<_>>();
        format!(
            "secrets: {} lines in {} looked at, {} planted leaks found, {} secrets told",
            self.lines,
            kinds.join(", "),
            self.drills,
            self.leaks.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::agent::{Board, Settings};
    use crate::scratch::TempDir;

    #[test]
    fn a_secret_is_found_in_plain_and_as_http_carries_it() {
        for (text, expected) in [
            (format!("level=warn why=\"{BROKER_PASSWORD}\""), Some(BROKER_PASSWORD)),
            (
                format!("Authorization: Basic {}", STANDARD.encode(format!("board:{REGISTRY_PASSWORD}"))),
                Some(REGISTRY_PASSWORD),
            ),
            (format!("Basic {}", STANDARD.encode(format!("planted:{PROXY_PASSWORD}"))), Some(PROXY_PASSWORD)),
            (STANDARD.encode(format!("a:{PROXY_PASSWORD}:b")), Some(PROXY_PASSWORD)),
            (format!("Bearer {TOKEN}-7"), Some(TOKEN)),
            ("planted, and nothing else".to_owned(), None),
            (STANDARD.encode("board:something-else-of-that-length"), None),
        ] {
            assert_eq!(found(text.as_bytes()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_key_is_found_by_any_of_its_lines() {
        let dir = TempDir::new("key");
        let path = dir.join("key.pem");
        let body = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgq0LKVrJmFLPDGdEK";
        fs::write(&path, format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"))
            .unwrap();
        plant_key(&path).unwrap();
        assert!(found(format!("key = {body}").as_bytes()).is_some());
        assert!(found(&body.as_bytes()[..30]).is_none(), "what all keys of the kind begin with is no secret");
    }

    /// A program in the agent's place that tells what it was given, by every way there is.
    #[track_caller]
    fn drill(way: &str, act: impl FnOnce(&mut Board)) {
        let dir = TempDir::new("drill");
        let exe = dir.join("coracle");
        let script = format!(
            "#!/bin/sh\nmkdir -p \"$(dirname \"$2\")/state\"\ncase $3 in\n  agent) echo {DRILL};;\n  \
             err) echo {DRILL} >&2;;\n  file) echo {DRILL} > \"$(dirname \"$2\")/state/journal\";;\n  \
             *) echo {DRILL};;\nesac\n"
        );
        fs::write(&exe, script).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&exe, mode).unwrap();
        let told = catch_unwind(AssertUnwindSafe(|| {
            let mut board = Board::new(&exe, &Settings::new("drill")).unwrap();
            act(&mut board);
        }));
        let complaint = told.expect_err(way);
        let complaint = complaint.downcast_ref::<String>().map_or("", String::as_str);
        assert!(complaint.contains("told a secret") && complaint.contains(DRILL), "{way}: {complaint}");
    }

    #[test]
    fn a_planted_leak_is_found_whatever_way_it_takes() {
        drill("what a command prints", |board| drop(board.command(&["ps"]).output()));
        drill("what a command complains of", |board| {
            drop(board.command(&["err"]).stdin(Stdio::null()).output())
        });
        drill("by the bench's own runner", |board| drop(crate::process::run(&mut board.command(&["ps"]))));
        drill("what an agent logs", |board| {
            board.start().unwrap().wait(crate::process::READY).unwrap();
            board.stop().unwrap();
        });
        drill("what is left in a file", |board| drop(board.command(&["file"]).status()));
    }

    #[test]
    fn a_ledger_adds_up() {
        let ledger = "clean\tlogs\t12\tagent\t-\nclean\tlogs\t3\tagent\t-\nclean\tmessages\t1\tstate\t-\n\
                      drill\tfiles\t1\tx\ty\nleak\tlogs\t4\tagent\tkey\n";
        let sum = Sum::of(ledger);
        assert_eq!((sum.lines, sum.drills, sum.leaks.as_slice()), (16, 1, &["agent: key".to_owned()][..]));
        let words = sum.words();
        assert!(words.starts_with("secrets: 16 lines in 2 logs, 1 messages, 0 outputs"), "{words}");
        assert!(words.ends_with("looked at, 1 planted leaks found, 1 secrets told"), "{words}");
    }
}
