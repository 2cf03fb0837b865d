//! The trust document: keys, and what each may sign.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::key::{KeyId, PublicKey};
use crate::fault::{Code, Fault};
use crate::oci::Digest;

/// The only `schema` that is taken.
const SCHEMA: &str = "trust/v1";
/// Keys of one document; a fleet has a handful of people and machines that sign.
const KEYS_MAX: usize = 32;

/// What a key may be trusted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RoleName {
    /// Signs desired-state documents.
    Deploy,
    /// Signs trust documents.
    Root,
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deploy => "deploy",
            Self::Root => "root",
        })
    }
}

/// Who has a role, and how many of them must agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// The keys.
    pub keys: BTreeSet<KeyId>,
    /// How many different ones must have signed; 0 only where there are no keys, and then nobody can.
    pub threshold: usize,
}

/// Which keys a board believes, and in what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustDocument {
    counter: u64,
    keys: BTreeMap<KeyId, PublicKey>,
    deploy: Role,
    root: Role,
    digest: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    schema: String,
    counter: u64,
    keys: BTreeMap<KeyId, String>,
    roles: Roles,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Roles {
    deploy: Role,
    root: Role,
}

fn schema(message: &str) -> Fault {
    Fault::new(Code::Schema, message)
}

impl TrustDocument {
    /// Reads the payload of a trust document.
    ///
    /// # Errors
    /// `SCHEMA`, with the path of what is wrong.
    pub fn parse(payload: &[u8]) -> Result<Self, Fault> {
        let wire: Wire = serde_json::from_slice(payload)
            .map_err(|error| schema(&format!("trust document cannot be read: {error}")))?;
        if wire.schema != SCHEMA {
            return Err(schema(&format!("schema is not {SCHEMA:?}")));
        }
        if wire.counter == 0 {
            return Err(schema("counter is 0, which stands for keys without a document"));
        }
        let mut keys = BTreeMap::new();
        for (id, pem) in wire.keys {
            let key =
                PublicKey::from_pem(&pem).map_err(|error| schema(&format!("keys.{} {error}", id.short())))?;
            if key.id() != id {
                let message = format!("keys.{} is the key {}", id.short(), key.id().short());
                return Err(schema(&message).hint("a key's id is the SHA-256 of its DER"));
            }
            keys.insert(id, key);
        }
        let Roles { deploy, root } = wire.roles;
        Self::checked(wire.counter, keys, deploy, root, Digest::of(payload))
    }

    /// What plain files of keys amount to: each deploys, each of the others is a root, one signature is enough, and the
    /// counter is 0.
    ///
    /// # Errors
    /// `SCHEMA`, where there are too many.
    pub fn of_keys(deploy: Vec<PublicKey>, root: Vec<PublicKey>) -> Result<Self, Fault> {
        let role = |keys: &[PublicKey]| {
            let keys: BTreeSet<KeyId> = keys.iter().map(PublicKey::id).collect();
            Role { threshold: keys.len().min(1), keys }
        };
        let (deploys, roots) = (role(&deploy), role(&root));
        let keys = deploy.into_iter().chain(root).map(|key| (key.id(), key)).collect();
        let mut document = Self { counter: 0, keys, deploy: deploys, root: roots, digest: Digest::of(b"") };
        document.digest = Digest::of(&document.to_payload());
        let Self { keys, deploy, root, digest, .. } = document;
        Self::checked(0, keys, deploy, root, digest)
    }

    fn checked(
        counter: u64,
        keys: BTreeMap<KeyId, PublicKey>,
        deploy: Role,
        root: Role,
        digest: Digest,
    ) -> Result<Self, Fault> {
        if keys.len() > KEYS_MAX {
            return Err(schema(&format!("keys holds {}, more than the {KEYS_MAX} taken", keys.len())));
        }
        for (name, role) in [(RoleName::Deploy, &deploy), (RoleName::Root, &root)] {
            if let Some(unknown) = role.keys.iter().find(|id| !keys.contains_key(id)) {
                return Err(schema(&format!(
                    "roles.{name}.keys names {}, which keys lacks",
                    unknown.short()
                )));
            }
            let most = role.keys.len();
            // Plain files need not have a root; a document must, or it would be the last.
            let nobody = counter == 0 && most == 0 && name == RoleName::Root;
            if !nobody && !(1..=most).contains(&role.threshold) {
                let message = format!("roles.{name}.threshold is {}, of {most} keys", role.threshold);
                return Err(schema(&message).hint("a threshold is 1 up to the number of the role's keys"));
            }
        }
        if let Some(idle) = keys.keys().find(|id| !deploy.keys.contains(id) && !root.keys.contains(id)) {
            return Err(schema(&format!("keys.{} has no role", idle.short())));
        }
        Ok(Self { counter, keys, deploy, root, digest })
    }

    /// The document as it is signed; of one that was parsed, perhaps other bytes that say the same.
    #[must_use]
    pub fn to_payload(&self) -> Vec<u8> {
        crate::reported::written(&Wire {
            schema: SCHEMA.to_owned(),
            counter: self.counter,
            keys: self.keys.iter().map(|(id, key)| (*id, key.to_pem())).collect(),
            roles: Roles { deploy: self.deploy.clone(), root: self.root.clone() },
        })
    }

    /// Counts documents; a board never goes back.
    #[must_use]
    pub fn counter(&self) -> u64 {
        self.counter
    }

    /// The document's own digest: the SHA-256 of its payload.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// All keys, by their ids.
    #[must_use]
    pub fn keys(&self) -> &BTreeMap<KeyId, PublicKey> {
        &self.keys
    }

    /// Who has that role.
    #[must_use]
    pub fn role(&self, name: RoleName) -> &Role {
        match name {
            RoleName::Deploy => &self.deploy,
            RoleName::Root => &self.root,
        }
    }
}
