//! Keys, signatures and envelopes as openssl makes them: a second implementation, which shares no code with the agent.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::process::run;
use crate::scratch::TempDir;

/// `payloadType` of a desired-state document.
pub const DESIRED: &str = "application/vnd.coracle.desired.v1+json";
/// `payloadType` of a trust document.
pub const TRUST: &str = "application/vnd.coracle.trust.v1+json";

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RFC 8032.
    Ed25519,
    /// Over SHA-256; each signature of the same bytes is another one.
    P256,
}

/// A fresh key pair.
#[derive(Debug)]
pub struct Signer {
    algorithm: Algorithm,
    dir: TempDir,
    pem: String,
    id: String,
}

impl Signer {
    /// Has openssl make a key.
    pub fn new(algorithm: Algorithm) -> io::Result<Self> {
        let dir = TempDir::new("key");
        let (private, public) = (dir.join("key.pem"), dir.join("key.pub"));
        let mut make = Command::new("openssl");
        make.args(["genpkey", "-quiet", "-out"]).arg(&private);
        run(match algorithm {
            Algorithm::Ed25519 => make.args(["-algorithm", "ed25519"]),
            Algorithm::P256 => make.args(["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        })?;
        run(Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(&private).arg("-out").arg(&public))?;
        let der = dir.join("key.der");
        run(Command::new("openssl")
            .args(["pkey", "-pubin", "-outform", "DER", "-in"])
            .arg(&public)
            .arg("-out")
            .arg(&der))?;
        let id = Sha256::digest(fs::read(der)?).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { algorithm, pem: fs::read_to_string(public)?, dir, id })
    }

    /// The public key, as openssl writes it.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The SHA-256 of its DER.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The bytes of a signature of `payload`, which claims to be `kind`.
    pub fn signature(&self, kind: &str, payload: &[u8]) -> io::Result<Vec<u8>> {
        let signed =
            [format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).as_bytes(), payload].concat();
        let (message, made): (PathBuf, PathBuf) = (self.dir.join("message"), self.dir.join("signature"));
        fs::write(&message, signed)?;
        let mut sign = Command::new("openssl");
        match self.algorithm {
            Algorithm::Ed25519 => sign.args(["pkeyutl", "-sign", "-rawin", "-inkey"]),
            Algorithm::P256 => sign.args(["dgst", "-sha256", "-sign"]),
        };
        sign.arg(self.dir.join("key.pem")).arg("-out").arg(&made);
        if self.algorithm == Algorithm::Ed25519 {
            sign.arg("-in");
        }
        run(sign.arg(&message))?;
        fs::read(made)
    }

    /// One entry of an envelope's `signatures`.
    pub fn sign(&self, kind: &str, payload: &[u8]) -> io::Result<Value> {
        Ok(json!({"keyid": self.id, "sig": STANDARD.encode(self.signature(kind, payload)?)}))
    }
}

/// An envelope that all of `signers` signed.
pub fn envelope(kind: &str, payload: &[u8], signers: &[&Signer]) -> io::Result<Vec<u8>> {
    let signatures =
        signers.iter().map(|signer| signer.sign(kind, payload)).collect::<io::Result<Vec<_>>>()?;
    Ok(with_signatures(kind, payload, &signatures))
}

/// An envelope with these entries as its signatures.
pub fn with_signatures(kind: &str, payload: &[u8], signatures: &[Value]) -> Vec<u8> {
    let payload = STANDARD.encode(payload);
    json!({"payloadType": kind, "payload": payload, "signatures": signatures}).to_string().into_bytes()
}

/// A trust document: who deploys and who is root, each with the number of signatures it needs.
pub fn trust(counter: u64, deploy: (&[&Signer], usize), root: (&[&Signer], usize)) -> Value {
    let key = |signer: &&Signer| (signer.id.clone(), Value::from(signer.pem.clone()));
    let role = |(signers, threshold): (&[&Signer], usize)| json!({"keys": signers.iter().map(|signer| signer.id()).collect::<Vec<_>>(), "threshold": threshold});
    json!({
        "schema": "trust/v1",
        "counter": counter,
        "keys": deploy.0.iter().chain(root.0).map(key).collect::<Map<_, _>>(),
        "roles": {"deploy": role(deploy), "root": role(root)},
    })
}
