//! The document in the envelope, `desired/v1`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::policy::Policy;
use super::{Requires, Scope};
use crate::deployment::Generation;
use crate::fault::{Code, Fault};
use crate::fields::{Fields, identifier, schema};
use crate::ident::ProjectName;
use crate::json;
use crate::oci::reference::Reference;
use crate::time::Timestamp;

/// The only `schema` that is taken.
const SCHEMA: &str = "desired/v1";
/// Projects of one document; each costs a line of the 16 KiB state document.
const PROJECTS_MAX: usize = 64;
/// What a board is told to run, and how to get there.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// The operator's id of the document.
    pub id: String,
    /// Whom it is for.
    pub scope: Scope,
    /// `gen`: counts content.
    pub number: u64,
    /// Counts policy.
    pub rev: u64,
    /// When it was issued.
    pub issued: Timestamp,
    /// When it is no longer to be begun.
    pub expires: Option<Timestamp>,
    /// When it wants to be applied, and what a failure calls for.
    pub policy: Policy,
    /// What it needs of the board.
    pub requires: Requires,
    /// Compose documents, not yet read; none at all means that everything goes.
    pub projects: BTreeMap<ProjectName, Value>,
}

/// What the board's configuration says of images without a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tags {
    /// Every image carries a digest.
    Refused,
    /// A bare tag is resolved when the document is taken.
    Accepted,
}

impl From<bool> for Tags {
    fn from(accepted: bool) -> Self {
        if accepted { Self::Accepted } else { Self::Refused }
    }
}

impl Desired {
    /// Reads a payload. Project bodies stay raw but for their images' pins.
    ///
    /// # Errors
    /// `SCHEMA` or `UNPINNED`, with the path of the key.
    pub fn parse(payload: &[u8], tags: Tags) -> Result<Self, Fault> {
        let value = json::read(payload)
            .map_err(|error| Fault::new(Code::Schema, &format!("document is not JSON: {error}")))?;
        let mut fields = Fields::of("", value)?;
        let said = fields.text("schema")?;
        if said.as_deref() != Some(SCHEMA) {
            return Err(schema("schema", &format!("is not {SCHEMA:?}")));
        }
        let id = fields.text("id")?;
        let id = identifier("id", fields.need("id", id)?)?;
        let scope = fields.text("scope")?;
        let scope = Scope::parse(&fields.need("scope", scope)?)
            .ok_or_else(|| schema("scope", "is not d/<device> or g/<group>"))?;
        let number = fields.number("gen", 0, u64::MAX)?;
        let number = fields.need("gen", number)?;
        let rev = fields.number("rev", 0, u64::MAX)?.unwrap_or(0);
        let issued = fields.number("iat", 0, u64::MAX)?;
        let issued = Timestamp(fields.need("iat", issued)?);
        let expires = fields.number("exp", 0, u64::MAX)?.map(Timestamp);
        if expires.is_some_and(|expires| expires <= issued) {
            return Err(schema("exp", "is not after iat"));
        }
        let policy = Policy::parse(fields.object("policy")?, &id)?;
        let requires = Requires::parse(fields.object("requires")?)?;
        let found = fields.take("projects");
        let projects = projects(fields.need("projects", found)?, tags)?;
        fields.end()?;
        Ok(Self { id, scope, number, rev, issued, expires, policy, requires, projects })
    }

    /// What a deployment remembers of it.
    #[must_use]
    pub fn generation(&self) -> Generation {
        Generation { id: self.id.clone(), scope: self.scope.to_string(), number: self.number, rev: self.rev }
    }
}

fn projects(value: Value, tags: Tags) -> Result<BTreeMap<ProjectName, Value>, Fault> {
    let found = Fields::of("projects", value)?.rest();
    if found.len() > PROJECTS_MAX {
        return Err(schema("projects", &format!("holds more than {PROJECTS_MAX}")));
    }
    let mut projects = BTreeMap::new();
    for (name, body) in found {
        let project =
            ProjectName::parse(&name).map_err(|error| Fault::new(Code::Schema, &error.to_string()))?;
        if tags == Tags::Refused {
            pinned(&project, &body)?;
        }
        projects.insert(project, body);
    }
    Ok(projects)
}

/// Every image of a project carries a digest. What else may be wrong with the body is its parser's to say.
fn pinned(project: &ProjectName, body: &Value) -> Result<(), Fault> {
    let services = body.get("services").and_then(Value::as_object);
    for (name, service) in services.into_iter().flatten() {
        let Some(image) = service.get("image").and_then(Value::as_str) else { continue };
        // A text that is no reference is refused by the parser, with a better word.
        if Reference::parse(image).is_ok_and(|reference| reference.digest().is_none()) {
            let shown: String = image.chars().take(200).collect();
            let message = format!("projects.{project}.services.{name}.image {shown:?} has no digest");
            let hint = "write name:tag@sha256:…, or set accept_tags = true on the device";
            return Err(Fault::new(Code::Unpinned, &message).hint(hint));
        }
    }
    Ok(())
}
