//! Registries, keys, and the table as it grows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use coracle_test_support::agent::{Board, Settings};
use coracle_test_support::cosign::{MANIFEST, payload, push_simple};
use coracle_test_support::faults::FaultRegistry;
use coracle_test_support::images::{Arch, Form, Image, Layer, Packing};
use coracle_test_support::process::run;
use coracle_test_support::registry::Registry;
use coracle_test_support::scratch::TempDir;
use coracle_test_support::sign::{Algorithm, Signer};
use serde_json::{Value, json};

use crate::attacks::table::{self, Family};

/// Whether skopeo can be asked too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Skopeo {
    /// It reads the same policy and signatures, and must say the same.
    Agrees,
    /// It cannot: a key of the policy, or a form of signatures, is too new for the one in Debian 12, or it looks at
    /// another digest.
    NotAsked,
}

pub(super) struct Bed {
    /// Which cannot list referrers.
    pub(super) registry: Registry,
    /// Which can, where a test scripts it.
    pub(super) api: FaultRegistry,
    pub(super) alice: Signer,
    pub(super) bob: Signer,
    pub(super) carol: Signer,
    pub(super) mallory: Signer,
    dir: TempDir,
    rows: Vec<[String; 3]>,
    taken: usize,
    refused: usize,
    unusable: usize,
    /// Verdicts of skopeo.
    agreed: usize,
    /// The times it said no more than that a signature is wanted.
    undecided: usize,
}

/// The smallest image there is; each word makes another one.
pub(super) fn small(word: &str) -> Image {
    let layer = Layer::of_file("word", 0o644, word.as_bytes(), Packing::Gzip).unwrap();
    Image::new(Arch::Amd64, vec![layer], &["/word"])
}

/// `signedIdentity` of a type without further words.
pub(super) fn identity(kind: &str) -> Value {
    json!({"type": kind})
}

impl Bed {
    pub(super) fn new() -> Self {
        let key = |algorithm| Signer::new(algorithm).unwrap();
        let dir = TempDir::new("images-signed");
        let attachments = "default-docker:\n  use-sigstore-attachments: true\n";
        fs::create_dir(dir.join("registries.d")).unwrap();
        fs::write(dir.join("registries.d/default.yaml"), attachments).unwrap();
        Self {
            registry: Registry::start().unwrap(),
            api: FaultRegistry::start(),
            alice: key(Algorithm::P256),
            bob: key(Algorithm::Ed25519),
            carol: key(Algorithm::P256),
            mallory: key(Algorithm::P256),
            dir,
            rows: Vec::new(),
            taken: 0,
            refused: 0,
            unusable: 0,
            agreed: 0,
            undecided: 0,
        }
    }

    /// The file of a key, as a policy names it.
    pub(super) fn file(&self, signer: &Signer) -> PathBuf {
        let path = self.dir.join(format!("{}.pub", &signer.id()[..12]));
        fs::write(&path, signer.pem()).unwrap();
        path
    }

    /// `sigstoreSigned` by one key, or any one of several.
    pub(super) fn signed(&self, signers: &[&Signer], identity: &Value) -> Value {
        let files: Vec<_> = signers.iter().map(|signer| self.file(signer)).collect();
        let mut requirement = json!({"type": "sigstoreSigned"});
        match files.as_slice() {
            [file] => requirement["keyPath"] = json!(file),
            files => requirement["keyPaths"] = json!(files),
        }
        if !identity.is_null() {
            requirement["signedIdentity"] = identity.clone();
        }
        requirement
    }

    /// A policy that takes nothing but what this wants in this bed's registries.
    pub(super) fn policy(&self, requirements: &[Value]) -> Value {
        let scopes = json!({self.registry.host(): requirements, self.api.host(): requirements});
        json!({"default": [{"type": "reject"}], "transports": {"docker": scopes}})
    }

    /// Alice's signature, whatever tag she gave it.
    pub(super) fn by_alice(&self) -> Value {
        self.policy(&[self.signed(&[&self.alice], &identity("matchRepository"))])
    }

    /// Pushes a small image; hands back its digest.
    pub(super) fn push(&self, repository: &str) -> String {
        small(repository).push(&self.registry.host(), repository, Some("1"), Form::Oci).unwrap().digest
    }

    /// The same in the registry that can list referrers.
    pub(super) fn put(&self, repository: &str) -> String {
        self.api.put_image(repository, "1", &small(repository))
    }

    /// Attaches legacy signatures of `payload`.
    pub(super) fn attach(&self, repository: &str, digest: &str, entries: &[(Vec<u8>, &Signer)]) {
        let signed =
            |(payload, signer): &(Vec<u8>, &Signer)| (payload.clone(), signer.over(payload).unwrap());
        let entries: Vec<_> = entries.iter().map(signed).collect();
        push_simple(&self.registry.host(), repository, digest, &entries).unwrap();
    }

    /// A pushed image with a legacy signature each, as cosign makes it: the name has no tag.
    pub(super) fn pushed(&self, repository: &str, signers: &[&Signer]) -> String {
        let digest = self.push(repository);
        let name = self.registry.reference(repository);
        let entries: Vec<_> = signers.iter().map(|signer| (payload(&digest, &name), *signer)).collect();
        self.attach(repository, &digest, &entries);
        digest
    }

    /// `host/repository@digest` or `host/repository:tag`.
    pub(super) fn at(&self, repository: &str, place: &str) -> String {
        let joint = if place.contains(':') { '@' } else { ':' };
        format!("{}{joint}{place}", self.registry.reference(repository))
    }

    pub(super) fn board(&self, policy: &Value) -> Board {
        let file = self.dir.join("policy.json");
        fs::write(&file, policy.to_string()).unwrap();
        Board::new(Path::new(env!("CARGO_BIN_EXE_coracle")), &self.settings(&file)).unwrap()
    }

    pub(super) fn settings(&self, policy: &Path) -> Settings {
        let mut settings = Settings::new("signs-images");
        settings.insecure = vec![self.registry.host(), self.api.host()];
        settings.platforms = vec!["linux/amd64".to_owned()];
        settings.tables = format!("[trust]\nunsigned = true\nimage_policy = {policy:?}\n");
        settings
    }

    /// An image held against a policy: `taken`, or the code and a part of the reason why not.
    #[track_caller]
    pub(super) fn row(
        &mut self,
        name: &str,
        policy: &Value,
        reference: &str,
        expected: (&str, &str),
        skopeo: Skopeo,
    ) {
        let board = self.board(policy);
        let (code, said, complaint) = call(&board, &["trust", "image", reference, "--json"]);
        let told: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{name}: {complaint}"));
        let (verdict, reason) = match told["error"]["code"].as_str() {
            None => ("taken", by(&told)),
            Some(code) => (code, told["error"]["message"].as_str().unwrap().to_owned()),
        };
        assert_eq!(verdict, expected.0, "{name}: {reason}");
        assert!(reason.contains(expected.1), "{name}: {reason}");
        let taken = verdict == "taken";
        if !taken {
            table::refused(Family::Manifest, &format!("image: {name}"), "image policy", &reason, None);
        }
        assert_eq!((code, &told["taken"]), (if taken { 0 } else { 65 }, &json!(taken)), "{name}");
        let (code, _, complaint) = call(&board, &["pull", "--quiet", reference]);
        assert_eq!(code, if taken { 0 } else { 65 }, "{name}: {complaint}");
        assert!(taken || complaint.contains(verdict), "{name}: {complaint}");
        // Of what was refused, nothing at all came.
        for kept in ["layers", "blobs", "images"] {
            let count = fs::read_dir(board.state_dir().join(kept)).unwrap().count();
            assert_eq!(count > 0, taken, "{name}: {count} in {kept}");
        }
        if skopeo == Skopeo::Agrees {
            match self.skopeo(reference) {
                Some(verdict) => {
                    assert_eq!(verdict, taken, "{name}: skopeo's verdict");
                    self.agreed += 1;
                }
                None => {
                    assert_eq!(told["requirements"][0]["demands"], "sigstoreSigned", "{name}: {told:#}");
                    self.undecided += 1;
                }
            }
        }
        if taken {
            self.taken += 1;
        } else {
            self.refused += 1;
        }
        self.note(name, verdict, &reason);
    }

    /// A policy that no image is taken by, since it cannot be obeyed to the letter.
    #[track_caller]
    pub(super) fn unusable(&mut self, name: &str, policy: &Value, says: &str) {
        let board = self.board(policy);
        let reference = self.at("none", "1");
        let (code, _, complaint) = call(&board, &["pull", "--quiet", &reference]);
        assert!(code == 78 && complaint.contains(says), "{name}: {code}: {complaint}");
        let (code, said, _) = call(&board, &["trust", "show"]);
        assert!(code == 78 && said.contains(says), "{name}: {code}: {said}");
        self.unusable += 1;
        let said =
            said.lines().find_map(|line| line.split_once("policy.json: ")).map(|(_, why)| why.to_owned());
        self.note(name, "no policy", &said.unwrap_or_default());
    }

    /// Whether skopeo takes an image by the policy that was written last; `None` where that hangs on a signature, and it
    /// was built to verify none.
    fn skopeo(&self, reference: &str) -> Option<bool> {
        let target = TempDir::new("skopeo");
        let mut command = Command::new("skopeo");
        command.arg("--policy").arg(self.dir.join("policy.json"));
        command.arg("--registries.d").arg(self.dir.join("registries.d"));
        command.args(["copy", "-q", "--src-tls-verify=false", "--remove-signatures"]);
        let target = format!("dir:{}", target.display());
        match run(command.args([&format!("docker://{reference}"), &target])) {
            Ok(_) => Some(true),
            Err(error) => {
                let error = error.to_string();
                // Anything else would be a failure, and no verdict.
                assert!(error.contains("Source image rejected"), "{error}");
                (!error.contains("sigstore disabled")).then_some(false)
            }
        }
    }

    fn note(&mut self, name: &str, verdict: &str, reason: &str) {
        let reason = reason.replace(&self.registry.host(), "registry").replace(&self.api.host(), "api");
        let reason = reason.replace(&self.dir.display().to_string(), "");
        self.rows.push([name.to_owned(), verdict.to_owned(), reason]);
    }

    pub(super) fn print(&self) {
        let wide = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (first, second) = (wide(0), wide(1));
        for [name, verdict, reason] in &self.rows {
            println!("{}", format!("{name:first$}  {verdict:second$}  {reason}").trim_end());
        }
        println!(
            "images: {} rows, {} taken, {} refused, {} policies refused (skopeo: {} the same, {} a signature is wanted)",
            self.rows.len(),
            self.taken,
            self.refused,
            self.unusable,
            self.agreed,
            self.undecided
        );
    }
}

/// By which scope and keys it was taken.
fn by(told: &Value) -> String {
    let Some(scope) = told["scope"].as_str() else { return "no policy".to_owned() };
    let step = |step: &Value| match step["signer"]["key"].as_str() {
        None => step["demands"].as_str().unwrap_or_default().to_owned(),
        Some(key) => format!("{} {} {}", step["signer"]["form"], step["signer"]["algorithm"], &key[..12])
            .replace('"', ""),
    };
    let steps: Vec<_> = told["requirements"].as_array().into_iter().flatten().map(step).collect();
    format!("{scope}: {}", steps.join(", "))
}

/// Exit code, output and complaint of a command of the board.
pub(super) fn call(board: &Board, words: &[&str]) -> (i32, String, String) {
    let output = board.command(words).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Puts a manifest and what it names into the registry that runs in this process.
pub(super) fn put(
    api: &FaultRegistry,
    repository: &str,
    tag: &str,
    attachment: &coracle_test_support::cosign::Attachment,
) {
    for blob in &attachment.blobs {
        api.put_blob(blob);
    }
    api.put_manifest(repository, tag, MANIFEST, &attachment.manifest);
}
