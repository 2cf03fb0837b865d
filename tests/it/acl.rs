//! The access list of the documentation, tried with mosquitto's own clients: who can say and hear what.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use coracle_test_support::certificates::{self, KeyForm};
use coracle_test_support::process::{Running, free_port, run};
use coracle_test_support::registry::certificate;
use coracle_test_support::scratch::TempDir;

const ACL: &str = include_str!("../../agent/docs/mosquitto/acl");
const CONF: &str = include_str!("../../agent/docs/mosquitto/mosquitto.conf");

/// On every topic that the bench reads last: whoever hears it has heard all before it.
const MARKER: &str = "bench/marker";

/// Whoever comes to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    BoardA,
    BoardB,
    Backend,
    Operator,
    /// Its certificate is good, its name is nobody's.
    Stranger,
    /// It has the name of a board, from another authority.
    OtherCa,
    /// It has the name and the authority of a board, and was taken back.
    Revoked,
    /// It has no certificate.
    Nobody,
}

impl Who {
    const ALL: [Self; 8] = [
        Self::BoardA,
        Self::BoardB,
        Self::Backend,
        Self::Operator,
        Self::Stranger,
        Self::OtherCa,
        Self::Revoked,
        Self::Nobody,
    ];

    fn words(self) -> &'static str {
        match self {
            Self::BoardA => "board-a",
            Self::BoardB => "board-b",
            Self::Backend => "backend",
            Self::Operator => "operator",
            Self::Stranger => "a stranger",
            Self::OtherCa => "board-a of another CA",
            Self::Revoked => "board-a, revoked",
            Self::Nobody => "no certificate",
        }
    }
}

/// A broker as the documentation sets it up, and all the certificates.
struct Bench {
    dir: TempDir,
    port: u16,
    _broker: Running,
    files: BTreeMap<Who, (PathBuf, PathBuf)>,
}

impl Bench {
    fn start() -> Self {
        let (dir, other) = (TempDir::new("acl"), TempDir::new("acl-other"));
        certificate(&dir).unwrap();
        certificate(&other).unwrap();
        let mut files = BTreeMap::new();
        // The first certificate of board-a is the one that is taken back.
        let (revoked, revoked_key) = certificates::client(&dir, "board-a", KeyForm::Pkcs8).unwrap();
        certificates::revoke(&dir, "board-a").unwrap();
        for (from, to) in [(&revoked, "revoked.crt"), (&revoked_key, "revoked.key")] {
            fs::rename(from, dir.join(to)).unwrap();
        }
        files.insert(Who::Revoked, (dir.join("revoked.crt"), dir.join("revoked.key")));
        let good = [
            (Who::BoardA, "board-a"),
            (Who::BoardB, "board-b"),
            (Who::Backend, "backend"),
            (Who::Operator, "operator"),
            (Who::Stranger, "mallory"),
        ];
        for (who, name) in good {
            files.insert(who, certificates::client(&dir, name, KeyForm::Pkcs8).unwrap());
        }
        certificates::client(&dir, "bench", KeyForm::Pkcs8).unwrap();
        let (certificate, key) = certificates::client(&other, "board-a", KeyForm::Pkcs8).unwrap();
        for (from, to) in [(certificate, "other.crt"), (key, "other.key")] {
            fs::copy(from, dir.join(to)).unwrap();
        }
        files.insert(Who::OtherCa, (dir.join("other.crt"), dir.join("other.key")));
        // The bench itself hears and says everything, and all may hear its marker; nothing else is added.
        let acl = format!("pattern read {MARKER}\n{ACL}\nuser bench\ntopic readwrite #\n");
        fs::write(dir.join("acl"), acl).unwrap();
        let port = free_port();
        let at = dir.display();
        let conf = CONF
            .replace("listener 8883", &format!("listener {port} 127.0.0.1"))
            .replace("/etc/mosquitto/certs", &at.to_string())
            .replace("/etc/mosquitto/acl", &format!("{at}/acl"))
            .replace("/var/lib/mosquitto", &at.to_string());
        // As root mosquitto would become a user that cannot read the directory.
        fs::write(dir.join("mosquitto.conf"), format!("user root\n{conf}")).unwrap();
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(dir.join("mosquitto.conf"));
        let mut broker = Running::start("mosquitto", &mut command, &dir.join("mosquitto.log")).unwrap();
        broker.until_answering(([127, 0, 0, 1], port).into()).unwrap();
        Self { dir, port, _broker: broker, files }
    }

    fn client(&self, program: &str, identity: Option<&(PathBuf, PathBuf)>) -> Command {
        let mut command = Command::new(program);
        command.args(["-h", "localhost", "-p", &self.port.to_string(), "-V", "mqttv5", "-q", "1"]);
        command.arg("--cafile").arg(self.dir.join("ca.crt"));
        if let Some((certificate, key)) = identity {
            command.arg("--cert").arg(certificate).arg("--key").arg(key);
        }
        command.stdin(Stdio::null());
        command
    }

    fn own(&self) -> (PathBuf, PathBuf) {
        (self.dir.join("bench.crt"), self.dir.join("bench.key"))
    }

    /// Has the broker keep `word` on `topic`, or nothing where it is empty.
    fn lay(&self, topic: &str, word: &str) {
        let mut publish = self.client("mosquitto_pub", Some(&self.own()));
        run(publish.args(["-r", "-t", topic, "-m", word])).unwrap();
    }

    /// Whether what `who` publishes on `topic` reaches whoever listens there.
    fn says(&self, who: Who, topic: &str) -> bool {
        let word = format!("{} on {topic}", who.words());
        let mut publish = self.client("mosquitto_pub", self.files.get(&who));
        // Its success is not asked: what counts is what the broker hands on. Retained, so that it can be looked for.
        publish.args(["-r", "-t", topic, "-m", &word]).output().unwrap();
        let heard = self.hear(Some(&self.own()), topic).expect("the bench hears everything");
        self.lay(topic, "");
        heard.contains(&word)
    }

    /// Whether `who` gets what lies on `topic`.
    fn hears(&self, who: Who, topic: &str) -> bool {
        self.lay(topic, "for whom");
        let heard = self.hear(self.files.get(&who), topic);
        self.lay(topic, "");
        heard.is_some_and(|heard| heard.iter().any(|word| word == "for whom"))
    }

    /// What is heard on `topic` before the marker; none where the broker turns the client away. Retained messages come
    /// in the order of the filters they were asked for with.
    fn hear(&self, identity: Option<&(PathBuf, PathBuf)>, topic: &str) -> Option<Vec<String>> {
        let mut subscribe = self.client("mosquitto_sub", identity);
        subscribe.args(["-t", topic, "-t", MARKER, "-F", "%t %p"]);
        let mut child = subscribe.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut heard = Vec::new();
        let mut marked = false;
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            let (topic, word) = line.split_once(' ').unwrap_or((&line, ""));
            if topic == MARKER {
                marked = true;
                break;
            }
            heard.push(word.to_owned());
        }
        let _ = child.kill();
        child.wait().unwrap();
        marked.then_some(heard)
    }
}

/// What each may do with a topic, by name: may say, may hear.
struct Row {
    topic: &'static str,
    say: &'static [Who],
    hear: &'static [Who],
}

const fn row(topic: &'static str, say: &'static [Who], hear: &'static [Who]) -> Row {
    Row { topic, say, hear }
}

const ROWS: &[Row] = {
    use Who::{Backend, BoardA, BoardB, Operator};
    &[
        row("coracle/v1/d/board-a/desired", &[Operator], &[BoardA]),
        row("coracle/v1/d/board-a/state", &[BoardA], &[Backend, Operator]),
        row("coracle/v1/d/board-a/up", &[BoardA], &[BoardA, Backend, Operator]),
        row("coracle/v1/d/board-a/event", &[BoardA], &[Backend, Operator]),
        row("coracle/v1/d/board-a/progress", &[BoardA], &[Backend]),
        row("coracle/v1/d/board-a/cmd/restart", &[Operator], &[BoardA]),
        row("coracle/v1/d/board-a/reply/restart", &[BoardA], &[Operator]),
        row("coracle/v1/d/board-b/desired", &[Operator], &[BoardB]),
        row("coracle/v1/d/board-b/state", &[BoardB], &[Backend, Operator]),
        row("coracle/v1/d/board-b/up", &[BoardB], &[BoardB, Backend, Operator]),
        row("coracle/v1/d/board-b/cmd/logs", &[Operator], &[BoardB]),
        row("coracle/v1/d/board-b/reply/logs", &[BoardB], &[Operator]),
        row("coracle/v1/g/canary/desired", &[Operator], &[BoardA]),
        row("coracle/v1/g/canary/cmd/hold", &[Operator], &[BoardA]),
        row("coracle/v1/g/other/desired", &[Operator], &[]),
        // Whose documents are believed is no secret; whoever has a certificate may hear it.
        row("coracle/v1/trust", &[Operator], &[BoardA, BoardB, Backend, Operator, Who::Stranger]),
        row("coracle/v1/d/board-a/other", &[], &[]),
        row("elsewhere", &[], &[]),
    ]
};

fn expected(row: &Row, who: Who) -> [bool; 2] {
    [row.say.contains(&who), row.hear.contains(&who)]
}

#[test]
fn each_may_say_and_hear_what_is_its_own() {
    let bench = Bench::start();
    bench.lay(MARKER, "here");
    let (mut allowed, mut refused, mut wrong) = (0, 0, Vec::new());
    println!("{:<22} {:<36} {:<8} hear", "who", "topic", "say");
    for row in ROWS {
        for who in Who::ALL {
            let found = [bench.says(who, row.topic), bench.hears(who, row.topic)];
            let expected = expected(row, who);
            let word = |may: bool| if may { "yes" } else { "no" };
            println!("{:<22} {:<36} {:<8} {}", who.words(), row.topic, word(found[0]), word(found[1]));
            for (found, expected) in found.into_iter().zip(expected) {
                if found {
                    allowed += 1;
                } else {
                    refused += 1;
                }
                if found != expected {
                    wrong.push(format!("{} on {}: found {found:?}", who.words(), row.topic));
                }
            }
        }
    }
    let rows = ROWS.len() * Who::ALL.len();
    println!(
        "acl: {rows} rows of {} clients and {} topics, {allowed} allowed, {refused} refused, {} other than expected",
        Who::ALL.len(),
        ROWS.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
    // No wildcard gets around it: everything that lies there, and only the marker comes.
    bench.lay("coracle/v1/d/board-b/desired", "for b");
    for filter in ["coracle/#", "coracle/v1/d/+/desired", "coracle/v1/d/board-b/#", "+/+/+/board-b/+"] {
        let heard = bench.hear(bench.files.get(&Who::BoardA), filter).unwrap_or_default();
        assert!(!heard.iter().any(|word| word == "for b"), "{filter}: {heard:?}");
    }
}

#[test]
fn the_template_is_what_the_documentation_says() {
    let page = include_str!("../../agent/docs/mqtt.md");
    for file in ["mosquitto/acl", "mosquitto/mosquitto.conf"] {
        assert!(page.contains(file), "agent/docs/mqtt.md does not name {file}");
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file).is_file());
    }
}
