//! Credentials from containers' `auth.json`, docker's `config.json` and credential helpers.
//!
//! Files are read at each lookup: a rotated secret counts at once, and none is kept in memory between pulls.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::config::read_text;
use super::error::Cause;
use super::trust::restore_environment;
use crate::files;

/// Bytes of a credential helper's answer.
const HELPER_BYTES_MAX: u64 = 64 << 10;
/// How long a helper may take; some ask a cloud.
const HELPER_TIMEOUT: Duration = Duration::from_secs(20);
/// The user name by which a helper says that its secret is an identity token.
const IDENTITY_USER: &str = "<token>";
/// How docker's own file names Docker Hub.
const DOCKER_HUB_LEGACY: &str = "https://index.docker.io/v1/";

/// What proves who asks. Has no `Debug`: it must not come into a log.
#[derive(Clone)]
pub(super) enum Credential {
    /// User name and password.
    Password { user: String, secret: String },
    /// A refresh token for the token server.
    Identity(String),
}

/// The files credentials are looked up in, in order.
#[derive(Debug, Clone, Default)]
pub struct CredentialFiles {
    paths: Vec<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct AuthFile {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

impl CredentialFiles {
    /// Nowhere but in `path`.
    #[must_use]
    pub fn only(path: PathBuf) -> Self {
        Self { paths: vec![path] }
    }

    /// Where podman and docker keep them, in podman's order, and for a system service `/etc/containers/auth.json`.
    #[must_use]
    pub fn of_the_ecosystem() -> Self {
        let variable =
            |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(path) = variable("REGISTRY_AUTH_FILE") {
            return Self::only(path);
        }
        let home = variable("HOME");
        let below = |base: Option<PathBuf>, rest: &str| base.map(|base| base.join(rest));
        let run = format!("/run/containers/{}", nix::unistd::getuid());
        let paths = [
            below(variable("XDG_RUNTIME_DIR").or(Some(PathBuf::from(run))), "containers/auth.json"),
            Some(PathBuf::from(format!("/run/containers/{}/auth.json", nix::unistd::getuid()))),
            below(
                variable("XDG_CONFIG_HOME").or_else(|| below(home.clone(), ".config")),
                "containers/auth.json",
            ),
            below(variable("DOCKER_CONFIG").or_else(|| below(home, ".docker")), "config.json"),
            Some(PathBuf::from("/etc/containers/auth.json")),
        ];
        Self { paths: paths.into_iter().flatten().collect() }
    }

    /// The credential of `name` (`registry/repository`), by the most specific key of the first file that has one.
    pub(super) async fn find(&self, registry: &str, name: &str) -> Result<Option<Credential>, Cause> {
        for path in &self.paths {
            let Some(text) = read_text(path)? else { continue };
            let failed = |why: String| Cause::File { path: path.display().to_string(), why };
            // The parser's own message could quote a secret.
            let file: AuthFile = serde_json::from_str(&text).map_err(|error| {
                failed(format!("is no auth file (line {}, column {})", error.line(), error.column()))
            })?;
            if let Some(helper) = file.cred_helpers.get(registry) {
                return ask_helper(helper, registry).await.map_err(failed);
            }
            for key in keys(registry, name) {
                let Some(entry) = file.auths.get(&key) else { continue };
                if let Some(credential) = entry.credential().map_err(|why| failed(format!("{key}: {why}")))? {
                    // A file that only names helpers may be anybody's to read; one with a secret may not.
                    files::judge_secret(path).map_err(Cause::Secret)?;
                    return Ok(Some(credential));
                }
            }
            if let Some(helper) = &file.creds_store {
                let server = if registry == "docker.io" { DOCKER_HUB_LEGACY } else { registry };
                if let Some(credential) = ask_helper(helper, server).await.map_err(failed)? {
                    return Ok(Some(credential));
                }
            }
        }
        Ok(None)
    }
}

/// `host/a/b`, `host/a`, `host`, and how docker writes the host.
fn keys(registry: &str, name: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut rest = name;
    loop {
        keys.push(rest.to_owned());
        match rest.rsplit_once('/') {
            Some((shorter, _)) if rest != registry => rest = shorter,
            Some(_) | None => break,
        }
    }
    keys.push(format!("https://{registry}"));
    keys.push(format!("https://{registry}/v2/"));
    keys.push(format!("https://{registry}/v1/"));
    if registry == "docker.io" {
        keys.extend(["index.docker.io", DOCKER_HUB_LEGACY, "registry-1.docker.io"].map(str::to_owned));
    }
    keys
}

impl Entry {
    /// `None` where the entry only says that a helper has it.
    fn credential(&self) -> Result<Option<Credential>, &'static str> {
        if let Some(token) = self.identitytoken.clone().filter(|token| !token.is_empty()) {
            return Ok(Some(Credential::Identity(token)));
        }
        if let (Some(user), Some(secret)) = (&self.username, &self.password) {
            return Ok(Some(Credential::Password { user: user.clone(), secret: secret.clone() }));
        }
        let Some(auth) = self.auth.as_deref().filter(|auth| !auth.is_empty()) else { return Ok(None) };
        let decoded =
            base64::engine::general_purpose::STANDARD.decode(auth).map_err(|_| "auth is not base64")?;
        let decoded = String::from_utf8(decoded).map_err(|_| "auth is not text")?;
        let (user, secret) = decoded.split_once(':').ok_or("auth has no colon")?;
        // Old dockers padded the secret.
        let secret = secret.trim_end_matches('\0').to_owned();
        Ok(Some(Credential::Password { user: user.to_owned(), secret }))
    }
}

/// Runs `docker-credential-<helper> get`, bounded in time and output; `None` where it knows nothing.
async fn ask_helper(helper: &str, server: &str) -> Result<Option<Credential>, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if helper.is_empty() || !helper.chars().all(legal) {
        return Err(format!("{helper:?} is no name of a credential helper"));
    }
    let program = format!("docker-credential-{helper}");
    let asked = tokio::time::timeout(HELPER_TIMEOUT, run_helper(&program, server));
    let (output, succeeded) = asked
        .await
        .map_err(|_| format!("{program} did not end within {} s", HELPER_TIMEOUT.as_secs()))?
        .map_err(|error| format!("{program}: {error}"))?;
    if !succeeded {
        // Its words for an unknown server are part of the helpers' protocol; anything else is a failure to report.
        let words = String::from_utf8_lossy(&output);
        if words.trim() == "credentials not found in native keychain" {
            return Ok(None);
        }
        return Err(format!("{program} failed for {server:?}"));
    }
    let answer: HelperAnswer =
        serde_json::from_slice(&output).map_err(|_| format!("{program} did not answer as it should"))?;
    Ok(Some(match answer.username.as_str() {
        IDENTITY_USER => Credential::Identity(answer.secret),
        _ => Credential::Password { user: answer.username, secret: answer.secret },
    }))
}

async fn run_helper(program: &str, server: &str) -> std::io::Result<(Vec<u8>, bool)> {
    let mut command = tokio::process::Command::new(program);
    restore_environment(&mut command);
    let mut child = command
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its question answers without it.
        let _ = stdin.write_all(server.as_bytes()).await;
    }
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(HELPER_BYTES_MAX).read_to_end(&mut output).await?;
    }
    Ok((output, child.wait().await?.success()))
}

#[cfg(test)]
mod tests;
