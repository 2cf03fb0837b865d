//! Files that hold secrets: no one but their owner may read them, and the owner is root or this agent.

use std::path::Path;

use coracle_host::files::judge_secret;

use super::error::{ConfigError, Mistake};
use super::inputs::Origin;
use super::settings::{SettingRow, Settings};

/// Checks all of them: those that settings name, and the configuration itself where it holds a password.
pub(crate) fn check(settings: &Settings) -> Result<(), ConfigError> {
    let broker = settings.broker.as_ref();
    let key_file = broker.and_then(|broker| broker.identity.as_ref()).map(|(_, key)| key);
    let secrets = [
        ("broker.password_file", broker.and_then(|broker| broker.password_file.as_ref())),
        ("broker.key_file", key_file),
        ("registry.auth_file", settings.registry.auth_file.as_ref()),
    ];
    for (key, path) in secrets {
        let Some(path) = path else { continue };
        judge_secret(path).map_err(|error| mistake(settings, key, error.to_string()))?;
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
    Ok(())
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
