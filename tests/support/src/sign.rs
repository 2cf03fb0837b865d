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
    /// Over SHA-256, as cosign signs with any curve.
    P384,
    /// Over SHA-384.
    P384Sha384,
    /// PKCS #1 v1.5 over SHA-256, with a key of so many bits.
    Rsa(u16),
    /// PSS over SHA-256, with 2048 bits and a salt as long as the hash.
    RsaPss,
}

impl Algorithm {
    /// What openssl is to be told to make such a key.
    fn making(self) -> Vec<String> {
        let words: &[&str] = match self {
            Self::Ed25519 => &["-algorithm", "ed25519"],
            Self::P256 => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Self::P384 | Self::P384Sha384 => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
            Self::RsaPss => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            Self::Rsa(bits) => {
                let bits = format!("rsa_keygen_bits:{bits}");
                return ["-algorithm", "RSA", "-pkeyopt", &bits].map(str::to_owned).to_vec();
            }
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// What openssl is to be told to sign with one; the key's file follows.
    fn signing(self) -> &'static [&'static str] {
        match self {
            Self::Ed25519 => &["pkeyutl", "-sign", "-rawin", "-inkey"],
            Self::P256 | Self::P384 | Self::Rsa(_) => &["dgst", "-sha256", "-sign"],
            Self::P384Sha384 => &["dgst", "-sha384", "-sign"],
            Self::RsaPss => &[
                "dgst",
                "-sha256",
                "-sigopt",
                "rsa_padding_mode:pss",
                "-sigopt",
                "rsa_pss_saltlen:digest",
                "-sign",
            ],
        }
    }
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
        run(make.args(algorithm.making()))?;
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
        let head = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len());
        self.over(&[head.as_bytes(), payload].concat())
    }

    /// The bytes of a signature of exactly these.
    pub fn over(&self, signed: &[u8]) -> io::Result<Vec<u8>> {
        let (message, made): (PathBuf, PathBuf) = (self.dir.join("message"), self.dir.join("signature"));
        fs::write(&message, signed)?;
        let mut sign = Command::new("openssl");
        sign.args(self.algorithm.signing());
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
