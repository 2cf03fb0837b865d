//! Files that the settings name: those that hold secrets are closed to all but their owner, who is root or this agent.
//!
//! Invariant: a file for the broker that is not there is no mistake but a board that is not provisioned yet.

use std::io;
use std::path::Path;

use coracle_host::files::{SecretError, judge_secret};

use super::error::{ConfigError, Mistake};
use super::inputs::Origin;
use super::settings::{SettingRow, Settings};

/// Checks all of them: those that settings name, and the configuration itself where it holds a password. Hands back
/// what the board must have before it can meet its broker, and has not yet, in words.
pub(crate) fn check(settings: &Settings) -> Result<Vec<String>, ConfigError> {
    let broker = settings.broker.as_ref();
    let (cert_file, key_file) =
        broker.and_then(|broker| broker.identity.as_ref()).map(|(cert, key)| (cert, key)).unzip();
    let mut missing = Vec::new();
    let open = [
        ("broker.ca_file", broker.and_then(|broker| broker.ca_file.as_ref())),
        ("broker.cert_file", cert_file),
    ];
    for (key, path) in open {
        missing.extend(path.filter(|path| !path.exists()).map(|path| absent(key, path)));
    }
    let secrets = [
        ("broker.password_file", broker.and_then(|broker| broker.password_file.as_ref())),
        ("broker.key_file", key_file),
        ("registry.auth_file", settings.registry.auth_file.as_ref()),
    ];
    for (key, path) in secrets {
        let Some(path) = path else { continue };
        match judge_secret(path) {
            Ok(()) => {}
            Err(SecretError::Read { source, .. })
                if source.kind() == io::ErrorKind::NotFound && key.starts_with("broker.") =>
            {
                missing.push(absent(key, path));
            }
            Err(error) => return Err(mistake(settings, key, error.to_string())),
        }
    }
    let proxies = [
        ("broker.proxy", broker.and_then(|broker| broker.proxy.as_ref())),
        ("registry.proxy", settings.registry.proxy.as_ref()),
    ];
    for (key, proxy) in proxies {
        if proxy.is_none_or(|proxy| !proxy.has_credentials()) {
            continue;
        }
        let Some((file, _)) = settings.row(key).and_then(written) else { continue };
        judge_secret(file)
            .map_err(|error| mistake(settings, key, format!("holds a password, and {error}")))?;
    }
    Ok(missing)
}

fn absent(key: &str, path: &Path) -> String {
    format!("{key} {} is not there", path.display())
}

fn written(row: &SettingRow) -> Option<(&Path, usize)> {
    match &row.origin {
        Origin::File { file, line } => Some((file, *line)),
        Origin::Default | Origin::Derived { .. } => None,
    }
}

fn mistake(settings: &Settings, key: &str, problem: String) -> ConfigError {
    let (file, line) = settings.row(key).and_then(written).unzip();
    Mistake { file: file.map(Path::to_owned), line, key: Some(key.to_owned()), problem }.into()
}
