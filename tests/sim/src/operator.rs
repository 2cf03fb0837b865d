//! The operator: documents with all kinds of policies and programs, in the exact bytes of the wire.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coracle_core::oci::Digest;
use coracle_core::trust::Kind as Sealed;

use crate::chance::Chance;
use crate::kind::Kind;

/// Whom a document is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The board.
    Device,
    /// Its group.
    Group,
}

impl Scope {
    /// As the document has it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Device => "d/board",
            Self::Group => "g/canary",
        }
    }
}

/// What has been sent, and what the programs in it do.
#[derive(Debug, Clone, Default)]
pub struct Operator {
    /// What the program behind each manifest does.
    pub kinds: BTreeMap<Digest, Kind>,
    /// The newest document of each scope, as the broker retains it.
    pub retained: BTreeMap<Scope, Vec<u8>>,
    /// Its numbers.
    pub numbers: BTreeMap<Scope, (u64, u64)>,
    /// Documents of before, for replays.
    pub old: Vec<Vec<u8>>,
    /// What the program of a generation does, and how long it must stay healthy.
    programs: BTreeMap<(Scope, u64), (Kind, u64)>,
}

/// The manifest that an index has for this board.
#[must_use]
pub fn manifest_of(index: Digest) -> Digest {
    Digest::of(format!("manifest of {index}").as_bytes())
}

impl Operator {
    /// A newer document, of a new generation or only a new revision.
    pub fn send(&mut self, chance: &mut Chance, now: u64) -> (Scope, Vec<u8>) {
        let scope = if chance.once_in(4) { Scope::Group } else { Scope::Device };
        let (mut number, mut rev) = self.numbers.get(&scope).copied().unwrap_or((0, 0));
        if number > 0 && chance.once_in(6) {
            rev += 1;
        } else {
            (number, rev) = (number + 1, 0);
        }
        let (kind, soak) = *self.programs.entry((scope, number)).or_insert_with(|| {
            let soak = 6 + chance.under(8);
            (program(chance, soak), soak)
        });
        let bytes = self.write(scope, (number, rev), kind, &policy(chance, soak, now), now);
        (scope, bytes)
    }

    /// A document that nothing is wrong with.
    pub fn send_plain(&mut self, number: u64, now: u64) -> Vec<u8> {
        self.programs.insert((Scope::Device, number), (Kind::Good(2), 6));
        self.write(Scope::Device, (number, 0), Kind::Good(2), r#""health":30,"soak":6"#, now)
    }

    fn write(&mut self, scope: Scope, numbers: (u64, u64), kind: Kind, policy: &str, now: u64) -> Vec<u8> {
        let (number, rev) = numbers;
        // The first service changes with every second generation only.
        let base = self.image("base", Scope::Device, number / 2, Kind::Good(1));
        let app = self.image("app", scope, number, kind);
        // Some services wait for others to be healthy.
        let condition = if number % 3 == 0 { "service_healthy" } else { "service_started" };
        let order = if number % 4 == 1 { "start-first" } else { "stop-first" };
        let payload = format!(
            r#"{{"schema":"desired/v1","id":"doc-{number}","scope":"{}","gen":{number},"rev":{rev},"iat":{now},
            "policy":{{{policy}}},"projects":{{"site":{{"services":{{
            "base":{{"image":"{base}"}},
            "app":{{"image":"{app}","depends_on":{{"base":{{"condition":"{condition}"}}}},"restart":"unless-stopped",
            "deploy":{{"update_config":{{"order":"{order}"}}}}}}}}}}}}}}"#,
            scope.text()
        );
        let bytes = sealed(&payload);
        if let Some(old) = self.retained.insert(scope, bytes.clone()) {
            self.old.push(old);
        }
        self.numbers.insert(scope, numbers);
        bytes
    }

    fn image(&mut self, name: &str, scope: Scope, number: u64, kind: Kind) -> String {
        let index = Digest::of(format!("{name} {number} {}", scope.text()).as_bytes());
        self.kinds.insert(manifest_of(index), kind);
        format!("registry.example/{name}:{number}@{index}")
    }

    /// Something that must be refused: garbage, a replay, other bytes with numbers that are taken, a document for
    /// somebody else.
    #[must_use]
    pub fn nonsense(&self, chance: &mut Chance, now: u64) -> Vec<u8> {
        let (number, rev) = self.numbers.get(&Scope::Device).copied().unwrap_or((1, 0));
        let other = |scope: &str, number: u64| {
            let head =
                format!(r#""schema":"desired/v1","id":"x","scope":"{scope}","gen":{number},"rev":{rev}"#);
            sealed(&format!(r#"{{{head},"iat":{now},"projects":{{}}}}"#))
        };
        match chance.under(6) {
            0 => Vec::new(),
            1 => b"{".to_vec(),
            2 if number > 1 => other("d/board", number - 1),
            2 | 3 => other("d/somebody", number + 1),
            4 => sealed(r#"{"schema":"desired/v1"}"#),
            _ => self.old.last().cloned().unwrap_or_default(),
        }
    }
}

/// What the program of a new generation does: every other one is good.
fn program(chance: &mut Chance, soak: u64) -> Kind {
    match chance.under(14) {
        0 => Kind::CrashesAtStart,
        1 => Kind::CrashesEarly(1 + chance.under(10)),
        2 => Kind::CrashesLate(2 + chance.under(soak - 2)),
        3 => Kind::Flaps(2 + chance.under(soak - 3)),
        4 => Kind::NeverHealthy,
        5 => Kind::KillsBoard(2 + chance.under(6)),
        _ => Kind::Good(chance.under(8)),
    }
}

fn policy(chance: &mut Chance, soak: u64, now: u64) -> String {
    let mut policy = format!(r#""health":{},"soak":{soak}"#, 15 + chance.under(20));
    let mut add = |text: String| policy.push_str(&format!(",{text}"));
    add(format!(r#""attempts":{}"#, 1 + chance.under(3)));
    if chance.once_in(8) {
        add(format!(r#""mode":"{}""#, chance.pick(&["force", "download", "confirm"])));
    }
    if chance.once_in(10) {
        add(format!(r#""percent":{}"#, chance.pick(&[0, 30, 70])));
    }
    if chance.once_in(8) {
        add(format!(r#""spread":{}"#, chance.pick(&[10, 120, 600])));
    }
    if chance.once_in(12) {
        add(format!(r#""windows":[{{"start":"{:02}:00","minutes":300,"tz":"UTC"}}]"#, chance.under(24)));
        add(format!(r#""download":{{"outsideWindow":{}}}"#, chance.once_in(2)));
    }
    if chance.once_in(12) {
        add(format!(r#""notBefore":{}"#, now + chance.under(3000)));
    }
    if chance.once_in(12) {
        add(format!(r#""deadline":{}"#, now + chance.under(6000)));
    }
    if chance.once_in(12) {
        add(r#""onFailure":"pause""#.to_owned());
    }
    if chance.once_in(20) {
        add(r#""hold":true"#.to_owned());
    }
    policy
}

/// In its envelope.
fn sealed(payload: &str) -> Vec<u8> {
    let (kind, payload) = (Sealed::Desired.payload_type(), STANDARD.encode(payload));
    format!(r#"{{"payloadType":"{kind}","payload":"{payload}","signatures":[]}}"#).into_bytes()
}
