//! Image references (distribution `reference` grammar), with docker's short names.
//!
//! Invariant: having a [`Reference`] is the proof that its parts are safe in a URL and in a message.
//! The parser is written by hand: the usual regular expression costs a small board 9 MB of memory.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Digest, digest::DigestError};

/// Characters of `registry/repository`; docker's own bound.
const NAME_CHARS_MAX: usize = 255;
/// Characters of a tag; the distribution specification's bound.
const TAG_CHARS_MAX: usize = 128;
/// Characters of a whole reference: name, colon, tag, at-sign, digest.
const REFERENCE_CHARS_MAX: usize = NAME_CHARS_MAX + 1 + TAG_CHARS_MAX + 1 + 71;
/// The registry of names that have none.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Where docker.io keeps the names that have no slash.
const DEFAULT_NAMESPACE: &str = "library";
/// The tag of references that have neither tag nor digest.
const DEFAULT_TAG: &str = "latest";

/// Where an image is: registry, repository, and a tag or digest or both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a reference was refused; the text is cut to a length that fits a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("image reference {text:?} is not valid: {rule}")]
pub struct ReferenceError {
    text: String,
    /// Which rule it broke.
    pub rule: ReferenceRule,
}

/// The rules of the grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceRule {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// Longer than the bounds allow.
    #[error("it is too long (name 255, tag 128 characters)")]
    TooLong,
    /// Upper case in registry or repository.
    #[error("registry and repository are lower-case")]
    UpperCase,
    /// The registry is not a host with an optional port.
    #[error("{0:?} is not a registry (host or host:port)")]
    Registry(String),
    /// A path component breaks the grammar.
    #[error("{0:?} is not a repository component (a-z 0-9, single . _ or __ or dashes between)")]
    Component(String),
    /// The tag breaks the grammar.
    #[error("{0:?} is not a tag (A-Z a-z 0-9 _ . -, not first . or -)")]
    Tag(String),
    /// The digest breaks the grammar.
    #[error("{0}")]
    Digest(DigestError),
    /// 64 hex digits alone could be an image identifier; docker refuses them too.
    #[error("64 hex digits are an image identifier, not a name")]
    Identifier,
}

impl Reference {
    /// Parses what a person or document writes: `nginx`, `host:5000/a/b:tag`, `a/b@sha256:…`.
    ///
    /// # Errors
    /// [`ReferenceError`] names the text and the rule.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        parse(text).map_err(|rule| ReferenceError { text: excerpt(text), rule })
    }

    /// The registry as it is named, `host` or `host:port`; `docker.io` for Docker Hub.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository within the registry, `library/nginx`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, where one was written or implied.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest; where there is one the reference is pinned.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same repository at `digest`, without a tag.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The same repository at `tag`, without a digest.
    ///
    /// # Errors
    /// [`ReferenceError`] for what is no tag.
    pub fn tagged(&self, tag: &str) -> Result<Self, ReferenceError> {
        let tag = parse_tag(tag).map_err(|rule| ReferenceError { text: excerpt(tag), rule })?;
        Ok(Self { tag: Some(tag), digest: None, ..self.clone() })
    }

    /// `registry/repository`, as scopes of policies and credentials are written.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }
}

fn excerpt(text: &str) -> String {
    text.chars().take(120).collect()
}

fn parse(text: &str) -> Result<Reference, ReferenceRule> {
    if text.is_empty() {
        return Err(ReferenceRule::Empty);
    }
    if text.len() > REFERENCE_CHARS_MAX {
        return Err(ReferenceRule::TooLong);
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(Digest::parse(digest).map_err(ReferenceRule::Digest)?)),
        None => (text, None),
    };
    // A colon after the last slash starts a tag; one before it belongs to the registry's port.
    let name_end = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest.get(name_end..).and_then(|last| last.rfind(':')) {
        Some(colon) => {
            let (name, tag) = rest.split_at(name_end + colon);
            (name, Some(parse_tag(tag.trim_start_matches(':'))?))
        }
        None => (rest, None),
    };
    let (registry, repository) = split_registry(name)?;
    if registry.len() + 1 + repository.len() > NAME_CHARS_MAX {
        return Err(ReferenceRule::TooLong);
    }
    let tag = match (tag, &digest) {
        (None, None) => Some(DEFAULT_TAG.to_owned()),
        (tag, _) => tag,
    };
    Ok(Reference { registry, repository, tag, digest })
}

fn parse_tag(tag: &str) -> Result<String, ReferenceRule> {
    if tag.len() > TAG_CHARS_MAX {
        return Err(ReferenceRule::TooLong);
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if tag.is_empty() || tag.starts_with(['.', '-']) || !tag.chars().all(legal) {
        return Err(ReferenceRule::Tag(excerpt(tag)));
    }
    Ok(tag.to_owned())
}

/// Docker's rule: the first component is a registry when it has a dot, a colon, or is `localhost`.
fn split_registry(name: &str) -> Result<(String, String), ReferenceRule> {
    if name.is_empty() {
        return Err(ReferenceRule::Empty);
    }
    if name.chars().any(|c| c.is_ascii_uppercase()) {
        return Err(ReferenceRule::UpperCase);
    }
    let (registry, repository) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        Some(_) | None => (DEFAULT_REGISTRY, name),
    };
    if repository.len() == 64 && repository.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(ReferenceRule::Identifier);
    }
    check_registry(registry)?;
    repository.split('/').try_for_each(check_component)?;
    Ok(match registry {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" if !repository.contains('/') => {
            (DEFAULT_REGISTRY.to_owned(), format!("{DEFAULT_NAMESPACE}/{repository}"))
        }
        "index.docker.io" | "registry-1.docker.io" => (DEFAULT_REGISTRY.to_owned(), repository.to_owned()),
        _ => (registry.to_owned(), repository.to_owned()),
    })
}

/// A host name, IPv4 address or `[IPv6 address]`, and perhaps a port.
fn check_registry(registry: &str) -> Result<(), ReferenceRule> {
    let refused = || ReferenceRule::Registry(excerpt(registry));
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']').ok_or_else(refused)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| refused())?;
            ("v6", if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or_else(refused)?) })
        }
        None => match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    let port_ok = port.is_none_or(|port| {
        port.chars().all(|c| c.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    if host.split('.').all(label) && port_ok { Ok(()) } else { Err(refused()) }
}

/// Runs of `a-z0-9`, joined by one dot, one or two underscores, or dashes.
fn check_component(component: &str) -> Result<(), ReferenceRule> {
    let refused = || ReferenceRule::Component(excerpt(component));
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !component.starts_with(word) || !component.ends_with(word) {
        return Err(refused());
    }
    let joined = |joint: &str| matches!(joint, "" | "." | "_" | "__") || joint.chars().all(|c| c == '-');
    if component.split(word).all(joined) { Ok(()) } else { Err(refused()) }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[track_caller]
    fn check(text: &str, full: &str) {
        let reference = Reference::parse(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(reference.to_string(), full, "{text}");
        assert_eq!(Reference::parse(full).as_ref(), Ok(&reference), "the full form parses to the same");
    }

    #[track_caller]
    fn refused(text: &str, rule: &str) {
        let error = Reference::parse(text).expect_err(text).to_string();
        assert!(error.contains(rule), "{text:?}: {error}");
        assert!(error.len() < 512, "{error}");
    }

    #[test]
    fn short_names_are_dockers() {
        check("nginx", "docker.io/library/nginx:latest");
        check("nginx:1.25", "docker.io/library/nginx:1.25");
        check("library/nginx", "docker.io/library/nginx:latest");
        check("opensourcefoundries/nginx:latest", "docker.io/opensourcefoundries/nginx:latest");
        check("docker.io/nginx", "docker.io/library/nginx:latest");
        check("index.docker.io/a/b", "docker.io/a/b:latest");
        check("registry-1.docker.io/nginx", "docker.io/library/nginx:latest");
        check("localhost:5000", "docker.io/library/localhost:5000");
        check("localhost/app", "localhost/app:latest");
    }

    #[test]
    fn registries_have_dots_ports_or_are_localhost() {
        check("127.0.0.1:5000/app", "127.0.0.1:5000/app:latest");
        check("host:5000/a/b/c:Tag_1.2-x", "host:5000/a/b/c:Tag_1.2-x");
        check("registry.example/a__b/c--d.e_f", "registry.example/a__b/c--d.e_f:latest");
        check("[::1]:5000/app:v1", "[::1]:5000/app:v1");
        check("[fe80::1]/app", "[fe80::1]/app:latest");
    }

    #[test]
    fn a_digest_pins_and_no_tag_is_made_up_for_it() {
        check(&format!("nginx@sha256:{HEX}"), &format!("docker.io/library/nginx@sha256:{HEX}"));
        check(&format!("r.io/a:1@sha256:{HEX}"), &format!("r.io/a:1@sha256:{HEX}"));
        let reference = Reference::parse("r.io/a:1").unwrap();
        let pinned = reference.pinned(Digest::of(b""));
        assert_eq!(pinned.to_string(), format!("r.io/a@sha256:{HEX}"));
        assert_eq!((pinned.tag(), pinned.digest()), (None, Some(&Digest::of(b""))));
    }

    #[test]
    fn what_breaks_the_grammar_is_refused_with_its_rule() {
        refused("", "empty");
        refused(":tag", "empty");
        refused("Nginx", "lower-case");
        refused("Registry.example/a", "lower-case");
        refused("a//b", "not a repository component");
        refused("/a", "not a repository component");
        refused("a/", "not a repository component");
        refused("a/../b", "not a repository component");
        refused("a..b/c.", "registry");
        refused("r.io/a._b", "not a repository component");
        refused("r.io/a___b", "not a repository component");
        refused("r.io/-a", "not a repository component");
        refused("r.io/a b", "not a repository component");
        refused("r.io/a?x=1", "not a repository component");
        refused("r.io/ä", "not a repository component");
        refused("-r.io/a", "not a registry");
        refused("user@r.io/a", "digest");
        refused("r.io:0/a", "not a registry");
        refused("r.io:99999/a", "not a registry");
        refused("r.io:+80/a", "not a registry");
        refused("r.io:/a", "not a registry");
        refused("[::1/a", "not a registry");
        refused("[x.y]:1/a", "not a registry");
        refused("[::1]5000/a", "not a registry");
        refused("https://r.io/a", "not a registry");
        refused("a:", "not a tag");
        refused("a:.x", "not a tag");
        refused("a:b/c:d", "not a registry");
        refused("a@sha256:12", "digest");
        refused("a@md5:12", "only sha256");
        refused(HEX, "identifier");
    }

    #[test]
    fn lengths_are_bounded() {
        let name = "a".repeat(NAME_CHARS_MAX - "docker.io/library/".len());
        check(&name, &format!("docker.io/library/{name}:latest"));
        refused(&format!("{name}a"), "too long");
        check(&format!("a:{}", "t".repeat(128)), &format!("docker.io/library/a:{}", "t".repeat(128)));
        refused(&format!("a:{}", "t".repeat(129)), "too long");
        refused(&"a/".repeat(100_000), "too long");
    }
}
