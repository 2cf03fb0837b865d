//! What a signature says the image is called, held against what was asked for (containers-policy.json(5),
//! `signedIdentity`).

use std::fmt;

use crate::oci::{Digest, Reference};

/// Which names in a signature are good for a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedIdentity {
    /// `matchExact`: the reference itself.
    Exact,
    /// `matchRepoDigestOrExact`, where a policy says nothing: the same repository for a reference with a digest, else
    /// the reference itself.
    RepoDigestOrExact,
    /// `matchRepository`: the same repository.
    Repository,
    /// `exactReference`: this one, whatever was asked for.
    ThisReference(Named),
    /// `exactRepository`: this one, whatever was asked for.
    ThisRepository(String),
    /// `remapIdentity`: as `matchRepoDigestOrExact`, with the beginning of the name replaced.
    Remapped {
        /// What names begin with.
        prefix: String,
        /// What they begin with in signatures.
        signed: String,
    },
}

/// A name as a signature or a policy has it: nothing is added to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    name: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Named {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let reference = Reference::parse(text).ok()?;
        let name = reference.name();
        let digest = reference.digest().copied();
        let before = text.split('@').next().unwrap_or_default();
        let tagged = before.rsplit('/').next().is_some_and(|last| last.contains(':'));
        let tag = reference.tag().filter(|_| tagged).map(ToOwned::to_owned);
        Some(Self { name, tag, digest })
    }

    /// What was asked for: with a digest, the tag says nothing.
    fn asked(reference: &Reference) -> Self {
        let digest = reference.digest().copied();
        let tag = reference.tag().filter(|_| digest.is_none()).map(ToOwned::to_owned);
        Self { name: reference.name(), tag, digest }
    }

    pub(super) fn is_bare(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl SignedIdentity {
    /// Whether a signature with this name is good for `reference`.
    ///
    /// One without a name, as cosign's bundles are, binds a digest and nothing else: it is good where the reference has
    /// that digest and the policy wants no particular name. By a tag it is not, or whatever the key signed could be put
    /// there.
    pub(super) fn accepts(&self, reference: &Reference, signed: Option<&str>) -> bool {
        let asked = Named::asked(reference);
        let Some(signed) = signed else {
            let particular = matches!(self, Self::Exact | Self::ThisReference(_) | Self::ThisRepository(_));
            return asked.digest.is_some() && !particular;
        };
        let Some(signed) = Named::parse(signed) else { return false };
        match self {
            Self::Exact => !signed.is_bare() && signed == asked,
            Self::RepoDigestOrExact => repo_digest_or_exact(&asked, &signed),
            Self::Repository => signed.name == asked.name,
            Self::ThisReference(this) => !signed.is_bare() && signed == *this,
            Self::ThisRepository(name) => signed.name == *name,
            Self::Remapped { prefix, signed: replacement } => {
                let name = remapped(&asked.name, prefix, replacement).unwrap_or_else(|| asked.name.clone());
                repo_digest_or_exact(&Named { name, ..asked }, &signed)
            }
        }
    }

    /// For people.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Exact => "matchExact".to_owned(),
            Self::RepoDigestOrExact => "matchRepoDigestOrExact".to_owned(),
            Self::Repository => "matchRepository".to_owned(),
            Self::ThisReference(this) => format!("exactReference {this}"),
            Self::ThisRepository(name) => format!("exactRepository {name}"),
            Self::Remapped { prefix, signed } => format!("remapIdentity {prefix} to {signed}"),
        }
    }
}

fn repo_digest_or_exact(asked: &Named, signed: &Named) -> bool {
    match (signed.is_bare(), asked.digest) {
        (true, _) => false,
        (false, Some(_)) => signed.name == asked.name,
        (false, None) => signed == asked,
    }
}

/// `name` with `signed` in place of `prefix`; `None` where it does not begin with that.
fn remapped(name: &str, prefix: &str, signed: &str) -> Option<String> {
    let rest = name.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then(|| format!("{signed}{rest}"))
}
