//! `coraclectl keygen`: a pair of keys in two files.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use coracle_core::trust::Algorithm;
use coracle_host::console::exit::{Exit, Failure};
use coracle_host::console::out;
use serde_json::json;

use crate::args::{KeyType, Keygen};
use crate::keys::Pkcs8;
use crate::secret;

/// Makes the keys; nothing that is there is overwritten.
pub(crate) fn keygen(args: &Keygen) -> Result<Exit, Failure> {
    let (private, public) = (named(&args.out, "key"), named(&args.out, "pub"));
    // Looked at before anybody has to think of a passphrase; the files themselves are made so that they are new.
    if let Some(there) = [&private, &public].into_iter().find(|path| path.symlink_metadata().is_ok()) {
        let message = format!("{} is there already; a key is never overwritten", there.display());
        return Err(Failure::usage(message));
    }
    let passphrase = if args.no_passphrase {
        None
    } else {
        Some(secret::new_passphrase(args.passphrase_file.as_deref(), &private)?)
    };
    let algorithm = match args.kind {
        KeyType::Ed25519 => Algorithm::Ed25519,
        KeyType::P256 => Algorithm::EcdsaP256,
    };
    let failed = |error: &dyn std::error::Error| Failure::unexpected(format!("the key {error}"));
    let made = Pkcs8::generate(algorithm).map_err(|error| failed(&error))?;
    let key = made.key().and_then(|key| key.public().map_err(|_| crate::keys::PrivateKeyError::Algorithm));
    let key = key.map_err(|error| failed(&error))?;
    let pem = made.to_pem(passphrase.as_deref()).map_err(|error| failed(&error))?;
    write(&private, pem.as_bytes(), 0o600)?;
    if let Err(failure) = write(&public, key.to_pem().as_bytes(), 0o644) {
        // Half a pair would be in the way of the next attempt.
        let _ = fs::remove_file(&private);
        return Err(failure);
    }
    if args.json {
        out::json(&json!({
            "id": key.id(), "algorithm": key.algorithm(), "private": private, "public": public,
            "passphrase": passphrase.is_some(),
        }));
        return Ok(Exit::Done);
    }
    out::line(format_args!("id       {}  {}", key.id(), key.algorithm()));
    out::line(format_args!("private  {}, signs; keep it to yourself", private.display()));
    out::line(format_args!("public   {}, for the boards' images", public.display()));
    Ok(Exit::Done)
}

/// `name` with an ending more: what follows a dot in it is part of the name.
fn named(name: &Path, ending: &str) -> PathBuf {
    let mut full = name.as_os_str().to_owned();
    full.push(".");
    full.push(ending);
    PathBuf::from(full)
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let written =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
    written.map_err(|error: io::Error| Failure::usage(format!("failed to write {}: {error}", path.display())))
}
