//! Where an image is really fetched from: `registries.conf` (version 2) applied to a reference.

use std::path::Path;

use coracle_core::oci::Reference;
use serde::Deserialize;

use super::config::read_text;
use super::error::Cause;

/// Rules of one configuration; a fleet has a handful.
const RULES_MAX: usize = 256;

/// Where Docker Hub answers.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// Whether a registry is spoken to with TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scheme {
    Http,
    Https,
}

/// One place that may have an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// The registry as it is named, for credentials, certificates and messages.
    pub(super) registry: String,
    /// `host` or `host:port` to connect to.
    pub(super) host: String,
    pub(super) repository: String,
    pub(super) scheme: Scheme,
}

impl Endpoint {
    /// `https://host`, without a slash.
    pub(super) fn base(&self) -> String {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        format!("{scheme}://{}", self.host)
    }

    /// The scope of credentials.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }
}

/// What `registries.conf` says: locations, mirrors, insecure and blocked registries.
#[derive(Debug, Clone, Default)]
pub struct Registries {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Rule {
    prefix: Option<String>,
    location: Option<String>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default, rename = "mirror")]
    mirrors: Vec<Mirror>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mirror {
    location: String,
    #[serde(default)]
    insecure: bool,
    pull_from_mirror: Option<PullFrom>,
}

/// Which references a mirror serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PullFrom {
    All,
    DigestOnly,
    TagOnly,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    registry: Vec<Rule>,
    /// Version 1, which said other things with the same words.
    registries: Option<toml::Value>,
}

impl Registries {
    /// Reads `path` and then `path.d/*.conf`; a file that is not there says nothing.
    pub(super) fn load(path: &Path) -> Result<Self, Cause> {
        let mut registries = Self::default();
        if let Some(text) = read_text(path)? {
            registries.add(&path.display().to_string(), &text)?;
        }
        let mut drop_ins = path.as_os_str().to_owned();
        drop_ins.push(".d");
        let Ok(entries) = std::fs::read_dir(Path::new(&drop_ins)) else { return Ok(registries) };
        let mut paths: Vec<_> = entries.flatten().take(RULES_MAX).map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
        paths.sort();
        for path in paths {
            if let Some(text) = read_text(&path)? {
                registries.add(&path.display().to_string(), &text)?;
            }
        }
        Ok(registries)
    }

    fn add(&mut self, path: &str, text: &str) -> Result<(), Cause> {
        let failed = |why: String| Cause::File { path: path.to_owned(), why };
        let wire: Wire = toml::from_str(text).map_err(|error| failed(error.to_string()))?;
        if wire.registries.is_some() {
            return Err(failed("version 1 of registries.conf is not supported".to_owned()));
        }
        for rule in wire.registry {
            let Some(prefix) = rule.prefix.clone().or_else(|| rule.location.clone()) else {
                return Err(failed("a [[registry]] has neither prefix nor location".to_owned()));
            };
            // A later file replaces what an earlier one says of the same prefix.
            self.rules.retain(|other| other.prefix.as_deref() != Some(&prefix));
            self.rules.push(Rule { prefix: Some(prefix), ..rule });
        }
        if self.rules.len() > RULES_MAX {
            return Err(failed(format!("more than {RULES_MAX} registries")));
        }
        Ok(())
    }

    /// Where to ask for `reference`, mirrors first. `insecure` are more registries to be spoken to without TLS.
    pub(super) fn endpoints(
        &self,
        reference: &Reference,
        insecure: &[String],
    ) -> Result<Vec<Endpoint>, Cause> {
        let name = reference.name();
        let matching = self.rules.iter().filter_map(|rule| {
            let prefix = rule.prefix.as_deref()?;
            matched(prefix, &name).map(|length| (length, prefix, rule))
        });
        let Some((length, prefix, rule)) = matching.max_by_key(|(_, prefix, _)| prefix.len()) else {
            return Ok(vec![endpoint(&name, false, insecure)?]);
        };
        if rule.blocked {
            return Err(Cause::Blocked);
        }
        let rest = name.get(length..).unwrap_or_default();
        let pinned = reference.digest().is_some();
        let mut endpoints = Vec::new();
        for mirror in &rule.mirrors {
            let serves = match mirror.pull_from_mirror {
                None if rule.mirror_by_digest_only => pinned,
                None | Some(PullFrom::All) => true,
                Some(PullFrom::DigestOnly) => pinned,
                Some(PullFrom::TagOnly) => !pinned,
            };
            if serves {
                endpoints.push(endpoint(&format!("{}{rest}", mirror.location), mirror.insecure, insecure)?);
            }
        }
        let own = match rule.location.as_deref().filter(|location| !location.is_empty()) {
            Some(location) if !prefix.starts_with("*.") => format!("{location}{rest}"),
            Some(_) | None => name,
        };
        endpoints.push(endpoint(&own, rule.insecure, insecure)?);
        Ok(endpoints)
    }
}

/// How many bytes of `name` the prefix covers, at a boundary; `*.example` covers any host below `example`.
fn matched(prefix: &str, name: &str) -> Option<usize> {
    if let Some(domain) = prefix.strip_prefix('*') {
        let host_end = name.find('/').unwrap_or(name.len());
        return name.get(..host_end).filter(|host| host.ends_with(domain)).map(|_| host_end);
    }
    let rest = name.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with(['/', ':', '@'])).then_some(prefix.len())
}

fn endpoint(name: &str, insecure_here: bool, insecure: &[String]) -> Result<Endpoint, Cause> {
    // Locations come from a file: what they make of the name must be a name again.
    let reference = Reference::parse(name)
        .map_err(|error| Cause::File { path: "registries.conf".to_owned(), why: error.to_string() })?;
    let registry = reference.registry().to_owned();
    let plain = insecure_here || insecure.contains(&registry);
    Ok(Endpoint {
        host: if registry == "docker.io" { DOCKER_HUB.to_owned() } else { registry.clone() },
        registry,
        repository: reference.repository().to_owned(),
        scheme: if plain { Scheme::Http } else { Scheme::Https },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONF: &str = r#"
        unqualified-search-registries = ["docker.io"]
        [[registry]]
        location = "docker.io"
        [[registry.mirror]]
        location = "mirror.local:5000/hub"
        insecure = true
        [[registry.mirror]]
        location = "second.example"
        pull-from-mirror = "digest-only"
        [[registry]]
        prefix = "docker.io/evil"
        blocked = true
        [[registry]]
        prefix = "old.example/team"
        location = "new.example/group/team"
        [[registry]]
        prefix = "*.lab.example"
        insecure = true
    "#;

    #[track_caller]
    fn check(reference: &str, expected: &[&str]) {
        let mut registries = Registries::default();
        registries.add("registries.conf", CONF).unwrap();
        let reference = Reference::parse(reference).unwrap();
        let shown = match registries.endpoints(&reference, &["127.0.0.1:5000".to_owned()]) {
            Ok(endpoints) => endpoints
                .iter()
                .map(|endpoint| format!("{}/{}", endpoint.base(), endpoint.repository))
                .collect(),
            Err(cause) => vec![cause.to_string()],
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_longest_prefix_decides_and_mirrors_come_first() {
        check(
            "nginx",
            &["http://mirror.local:5000/hub/library/nginx", "https://registry-1.docker.io/library/nginx"],
        );
        let digest = coracle_core::oci::Digest::of(b"");
        check(
            &format!("nginx@{digest}"),
            &[
                "http://mirror.local:5000/hub/library/nginx",
                "https://second.example/library/nginx",
                "https://registry-1.docker.io/library/nginx",
            ],
        );
        check("docker.io/evil/app", &["the registry is blocked by registries.conf"]);
        check(
            "docker.io/evilish/app",
            &["http://mirror.local:5000/hub/evilish/app", "https://registry-1.docker.io/evilish/app"],
        );
        check("old.example/team/app:1", &["https://new.example/group/team/app"]);
        check("old.example/teams/app:1", &["https://old.example/teams/app"]);
        check("a.lab.example/app", &["http://a.lab.example/app"]);
        check("a.lab.example.org/app", &["https://a.lab.example.org/app"]);
    }

    #[test]
    fn tls_is_left_out_only_for_registries_named_insecure() {
        check("127.0.0.1:5000/app", &["http://127.0.0.1:5000/app"]);
        check("127.0.0.1:5001/app", &["https://127.0.0.1:5001/app"]);
        check("localhost/app", &["https://localhost/app"]);
    }

    #[test]
    fn a_file_that_cannot_be_obeyed_is_an_error_with_its_name() {
        for (text, expected) in [
            ("[registries.search]\nregistries = []", "version 1"),
            ("[[registry]]\nblocked = true", "neither prefix nor location"),
            ("[[registry]]\nlocation = 7", "/etc/x"),
            ("[[", "/etc/x"),
        ] {
            let error = Registries::default().add("/etc/x", text).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("/etc/x"), "{error}");
        }
    }
}
