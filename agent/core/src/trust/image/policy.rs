//! The policy file: what each scope demands (containers-policy.json(5)).
//!
//! Only what concerns images from registries is read, `default` and `transports.docker`; of that, everything is obeyed
//! or refused.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::identity::{Named, SignedIdentity};
use super::key::ImageKey;
use super::scope;
use crate::fault::Fault;
use crate::fields::{Fields, schema};
use crate::json;
use crate::limits::IMAGE_POLICY_BYTES_MAX;
use crate::oci::Reference;

/// Scopes of one policy.
const SCOPES_MAX: usize = 256;
/// Requirements of one scope: three of five keys take ten.
const REQUIREMENTS_MAX: usize = 32;
/// Keys of one requirement.
const KEYS_MAX: usize = 32;
/// Where keys stand that one signature of is enough, for one key and for several.
const KEY_SOURCES: [&str; 4] = ["keyPath", "keyPaths", "keyData", "keyDatas"];
/// What other ways of signing need, which this agent does not verify.
const NOT_KEYS: [&str; 6] = [
    "fulcio",
    "pki",
    "rekorPublicKeyPath",
    "rekorPublicKeyPaths",
    "rekorPublicKeyData",
    "rekorPublicKeyDatas",
];

/// What a board demands of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePolicy {
    default: Vec<Requirement>,
    docker: BTreeMap<String, Vec<Requirement>>,
}

/// One requirement; all of a scope must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Requirement {
    /// `insecureAcceptAnything`.
    Anything,
    /// `reject`.
    Reject,
    /// `sigstoreSigned`: by any one of these keys, under such a name.
    Signed { keys: Vec<HeldKey>, identity: SignedIdentity },
}

/// A key, and where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeldKey {
    pub(super) key: ImageKey,
    pub(super) place: String,
}

/// Why a policy cannot be used; names the place in the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PolicyFileError(String);

impl From<Fault> for PolicyFileError {
    fn from(fault: Fault) -> Self {
        Self(fault.message().to_owned())
    }
}

/// Reads the file of a key.
type ReadKey<'a> = dyn FnMut(&str) -> Result<Vec<u8>, String> + 'a;

impl ImagePolicy {
    /// Reads a policy file; `read` gets the files of its keys.
    ///
    /// # Errors
    /// [`PolicyFileError`] for whatever this agent would not obey to the letter.
    pub fn parse(bytes: &[u8], read: &mut ReadKey<'_>) -> Result<Self, PolicyFileError> {
        if u64::try_from(bytes.len()).is_ok_and(|length| length > IMAGE_POLICY_BYTES_MAX) {
            return Err(PolicyFileError(format!("it is longer than {IMAGE_POLICY_BYTES_MAX} bytes")));
        }
        let value = json::read(bytes).map_err(|error| PolicyFileError(format!("is not JSON: {error}")))?;
        let mut top = Fields::of("", value)?;
        let default = top.take("default").ok_or_else(|| schema("default", "is missing"))?;
        let default = requirements("default", default, read)?;
        let transports = top.object("transports")?;
        top.end()?;
        let mut docker = BTreeMap::new();
        // Other transports are for tools that take images from elsewhere.
        for (transport, scopes) in transports.rest() {
            if transport != "docker" {
                continue;
            }
            for (name, value) in Fields::of("transports.docker", scopes)?.rest() {
                let path = path(&name);
                if let Some(mistake) = scope::mistake(&name) {
                    return Err(schema(&path, &format!("{mistake}; no image has this scope")).into());
                }
                docker.insert(name, requirements(&path, value, read)?);
            }
        }
        if docker.len() > SCOPES_MAX {
            let rule = format!("holds {} scopes, more than the {SCOPES_MAX} taken", docker.len());
            return Err(schema("transports.docker", &rule).into());
        }
        Ok(Self { default, docker })
    }

    /// What is demanded of `reference`, and where that stands.
    pub(super) fn ruling(&self, reference: &Reference) -> (String, &[Requirement]) {
        let scopes = scope::of(reference);
        let found = scopes.iter().find_map(|scope| Some((path(scope), self.docker.get(scope)?.as_slice())));
        found.unwrap_or_else(|| ("default".to_owned(), &self.default))
    }

    /// Scopes with what they demand, in a few words each, the default first.
    #[must_use]
    pub fn summary(&self) -> Vec<(String, String)> {
        let words = |requirements: &[Requirement]| {
            requirements.iter().map(Requirement::words).collect::<Vec<_>>().join(", and ")
        };
        let scopes = self.docker.iter().map(|(scope, requirements)| (path(scope), words(requirements)));
        std::iter::once(("default".to_owned(), words(&self.default))).chain(scopes).collect()
    }
}

/// A scope's place in the file.
fn path(scope: &str) -> String {
    format!("transports.docker[{scope:?}]")
}

impl Requirement {
    fn words(&self) -> String {
        match self {
            Self::Anything => "anything is taken".to_owned(),
            Self::Reject => "nothing is taken".to_owned(),
            Self::Signed { keys, identity } => {
                let ids = keys.iter().map(|held| held.key.id().short()).collect::<Vec<_>>().join(" ");
                let of = if keys.len() == 1 { "the key" } else { "one of the keys" };
                format!("signed by {of} {ids} ({})", identity.words())
            }
        }
    }
}

fn requirements(path: &str, value: Value, read: &mut ReadKey<'_>) -> Result<Vec<Requirement>, Fault> {
    let Value::Array(items) = value else { return Err(schema(path, "is not a list")) };
    if items.is_empty() {
        return Err(schema(path, "is empty; say insecureAcceptAnything or reject"));
    }
    if items.len() > REQUIREMENTS_MAX {
        let rule = format!("holds {} requirements, more than the {REQUIREMENTS_MAX} taken", items.len());
        return Err(schema(path, &rule));
    }
    let item = |(at, item)| requirement(Fields::of(&format!("{path}[{at}]"), item)?, read);
    items.into_iter().enumerate().map(item).collect()
}

fn requirement(mut fields: Fields, read: &mut ReadKey<'_>) -> Result<Requirement, Fault> {
    let kind = fields.text("type")?;
    let kind = fields.need("type", kind)?;
    let requirement = match kind.as_str() {
        "insecureAcceptAnything" => Requirement::Anything,
        "reject" => Requirement::Reject,
        "sigstoreSigned" => signed(&mut fields, read)?,
        "signedBy" | "signedBaseLayer" => {
            let rule = format!("{kind} is not supported; this agent verifies sigstoreSigned");
            return Err(schema(&fields.path("type"), &rule));
        }
        _ => {
            let rule = "is none of insecureAcceptAnything, reject and sigstoreSigned";
            return Err(schema(&fields.path("type"), rule));
        }
    };
    fields.end()?;
    Ok(requirement)
}

fn signed(fields: &mut Fields, read: &mut ReadKey<'_>) -> Result<Requirement, Fault> {
    for key in NOT_KEYS {
        if fields.take(key).is_some() {
            let rule = "is not supported: this agent verifies signatures of keys (keyPath, keyData) alone";
            return Err(schema(&fields.path(key), rule));
        }
    }
    let mut sources = Vec::new();
    for source in KEY_SOURCES {
        let path = fields.path(source);
        match fields.take(source) {
            None => {}
            Some(Value::String(text)) if !source.ends_with('s') => sources.push((source, vec![(path, text)])),
            Some(Value::Array(items)) if source.ends_with('s') => {
                let text = |(at, item): (usize, Value)| {
                    let path = format!("{path}[{at}]");
                    let Value::String(text) = item else { return Err(schema(&path, "is not a string")) };
                    Ok((path, text))
                };
                sources.push((source, items.into_iter().enumerate().map(text).collect::<Result<_, _>>()?));
            }
            Some(_) if source.ends_with('s') => return Err(schema(&path, "is not a list")),
            Some(_) => return Err(schema(&path, "is not a string")),
        }
    }
    let [(source, texts)] = sources.as_slice() else {
        return Err(schema(
            &fields.path("keyPath"),
            "or one other of keyPaths, keyData, keyDatas must stand alone",
        ));
    };
    if !(1..=KEYS_MAX).contains(&texts.len()) {
        return Err(schema(
            &fields.path(source),
            &format!("holds {} keys; 1 to {KEYS_MAX} are taken", texts.len()),
        ));
    }
    let mut keys: Vec<HeldKey> = Vec::with_capacity(texts.len());
    for (path, text) in texts {
        let held = key(source, path, text, read)?;
        keys.push(held);
    }
    let identity = match fields.take("signedIdentity") {
        None => SignedIdentity::RepoDigestOrExact,
        Some(value) => identity(Fields::of(&fields.path("signedIdentity"), value)?)?,
    };
    Ok(Requirement::Signed { keys, identity })
}

fn key(source: &str, path: &str, text: &str, read: &mut ReadKey<'_>) -> Result<HeldKey, Fault> {
    let (pem, place) = if source.starts_with("keyPath") {
        if !text.starts_with('/') {
            return Err(schema(path, "is not an absolute path"));
        }
        (read(text).map_err(|why| schema(path, &format!("cannot be used: {why}")))?, text.to_owned())
    } else {
        (STANDARD.decode(text).map_err(|_| schema(path, "is not base64 of a PEM file"))?, path.to_owned())
    };
    let key = ImageKey::from_pem(&String::from_utf8_lossy(&pem))
        .map_err(|error| schema(path, &format!("({place}) {error}")))?;
    Ok(HeldKey { key, place })
}

fn identity(mut fields: Fields) -> Result<SignedIdentity, Fault> {
    let kind = fields.text("type")?;
    let kind = fields.need("type", kind)?;
    let identity = match kind.as_str() {
        "matchExact" => SignedIdentity::Exact,
        "matchRepoDigestOrExact" => SignedIdentity::RepoDigestOrExact,
        "matchRepository" => SignedIdentity::Repository,
        "exactReference" => {
            let named = named(&mut fields, "dockerReference")?;
            if named.is_bare() {
                return Err(schema(&fields.path("dockerReference"), "has neither tag nor digest"));
            }
            SignedIdentity::ThisReference(named)
        }
        "exactRepository" => {
            SignedIdentity::ThisRepository(named(&mut fields, "dockerRepository")?.name().to_owned())
        }
        "remapIdentity" => SignedIdentity::Remapped {
            prefix: prefix(&mut fields, "prefix")?,
            signed: prefix(&mut fields, "signedPrefix")?,
        },
        _ => {
            let rule = "is none of matchExact, matchRepoDigestOrExact, matchRepository, exactReference, \
                        exactRepository and remapIdentity";
            return Err(schema(&fields.path("type"), rule));
        }
    };
    fields.end()?;
    Ok(identity)
}

fn named(fields: &mut Fields, key: &str) -> Result<Named, Fault> {
    let text = fields.text(key)?;
    let text = fields.need(key, text)?;
    Named::parse(&text).ok_or_else(|| schema(&fields.path(key), "is no reference"))
}

/// A host, or a namespace or repository below one.
fn prefix(fields: &mut Fields, key: &str) -> Result<String, Fault> {
    let text = fields.text(key)?;
    let text = fields.need(key, text)?;
    let last = text.rsplit('/').next().unwrap_or_default();
    let more = text.contains('/') && last.contains(':') || text.contains('@') || text.starts_with('*');
    if text.is_empty() || more || scope::mistake(&text).is_some() {
        return Err(schema(&fields.path(key), "is neither a registry nor a namespace or repository of one"));
    }
    Ok(text)
}
