//! Whether an image may be taken: its signatures, from the store or the registry, held against the board's policy.
//!
//! Invariant: this comes before any layer, and before any document of the image but the first is asked for.

use coracle_core::limits::{IMAGE_SIGNATURES_MAX, REFERRERS_PAGES_MAX};
use coracle_core::oci::manifest::Document;
use coracle_core::oci::{Descriptor, Digest, Manifest, Reference};
use coracle_core::trust::image::{
    ImagePolicy, Proof, Rules, Verdict, bundles, legacy_tag, referrers_tag, signed_layers, that_may_sign,
    unusable as unusable_policy,
};

use super::resolve::{unfetched, unusable};
use super::{ImageError, Images};

/// Where signatures are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Beside the image, in the store.
    Store,
    /// In the registry too, where those do not suffice.
    Registry,
}

impl Images {
    /// Lets the image that `reference` resolved to be taken; hands back the signatures that it is taken by.
    ///
    /// # Errors
    /// [`ImageError::Untrusted`], [`ImageError::Unruled`]; others where signatures could not be fetched.
    pub(super) async fn vouch(
        &self,
        reference: &Reference,
        digest: &Digest,
        reach: Reach,
    ) -> Result<Vec<Proof>, ImageError> {
        let policy = match &self.rules {
            Rules::Nothing => return Ok(Vec::new()),
            Rules::Policy(policy) => policy,
            Rules::Unusable(why) => return Err(unruled(why, reference)),
        };
        let (verdict, proofs) = self.judged(policy, reference, digest, reach).await?;
        match verdict.fault(reference) {
            Some(fault) => Err(ImageError::Untrusted { fault: Box::new(fault) }),
            None => {
                let counted = verdict.counted();
                let kept = proofs.into_iter().enumerate().filter(|(at, _)| counted.contains(at));
                Ok(kept.map(|(_, proof)| proof).collect())
            }
        }
    }

    /// Lets an image that is in the store be used; signatures that were fetched for that are kept.
    ///
    /// # Errors
    /// As [`Self::vouch`].
    pub(crate) async fn vouch_held(
        &self,
        reference: &Reference,
        digest: &Digest,
        reach: Reach,
    ) -> Result<(), ImageError> {
        let proofs = self.vouch(reference, digest, reach).await?;
        if proofs.is_empty() {
            return Ok(());
        }
        let stored = |source| ImageError::Store { image: reference.to_string(), source: Box::new(source) };
        let _shared = self.share().await.map_err(stored)?;
        self.store.put_proofs(digest, &proofs).map_err(stored)
    }

    /// What `reference` resolves to now.
    ///
    /// # Errors
    /// [`ImageError::Registry`].
    pub(crate) async fn top(&self, reference: &Reference) -> Result<Digest, ImageError> {
        let fetched = self.registry.manifest(reference, None).await;
        fetched.map(|raw| raw.digest).map_err(|source| unfetched(reference, source))
    }

    /// What `policy` makes of the image, and the signatures that were looked at; no more are fetched than it takes.
    ///
    /// # Errors
    /// [`ImageError`] where signatures could not be fetched.
    pub(crate) async fn judged(
        &self,
        policy: &ImagePolicy,
        reference: &Reference,
        digest: &Digest,
        reach: Reach,
    ) -> Result<(Verdict, Vec<Proof>), ImageError> {
        let mut proofs = Vec::new();
        let mut verdict = policy.judge(reference, digest, &proofs);
        if verdict.is_open() {
            let stored =
                |source| ImageError::Store { image: reference.to_string(), source: Box::new(source) };
            proofs = self.store.proofs(digest).map_err(stored)?;
            verdict = policy.judge(reference, digest, &proofs);
        }
        if verdict.is_open() && reach == Reach::Registry {
            add(&mut proofs, self.simple(reference, digest).await?);
            verdict = policy.judge(reference, digest, &proofs);
        }
        if verdict.is_open() && reach == Reach::Registry {
            add(&mut proofs, self.bundled(reference, digest).await?);
            verdict = policy.judge(reference, digest, &proofs);
        }
        Ok((verdict, proofs))
    }

    /// cosign's legacy signatures: a manifest under a tag, a payload for each.
    async fn simple(&self, reference: &Reference, digest: &Digest) -> Result<Vec<Proof>, ImageError> {
        let Some(manifest) = self.attached(reference, &legacy_tag(digest)).await? else {
            return Ok(Vec::new());
        };
        let mut proofs = Vec::new();
        for (layer, signature) in signed_layers(manifest) {
            let payload = self.payload(reference, &layer).await?;
            proofs.push(Proof::Simple { payload, signature });
        }
        Ok(proofs)
    }

    /// Sigstore bundles: what the registry says refers to the image, or an index under a tag does.
    async fn bundled(&self, reference: &Reference, digest: &Digest) -> Result<Vec<Proof>, ImageError> {
        let mut proofs = Vec::new();
        for referrer in self.referrers(reference, digest).await? {
            let fetched = self.registry.attached(&reference.pinned(referrer.digest)).await;
            let Some(raw) = fetched.map_err(|source| unfetched(reference, source))? else { continue };
            let manifest = Manifest::of_anything(&raw.bytes).map_err(|error| {
                unusable(reference, format!("{}, which refers to it: {error}", raw.digest))
            })?;
            for bundle in bundles(manifest) {
                if proofs.len() == IMAGE_SIGNATURES_MAX {
                    return Ok(proofs);
                }
                proofs.push(Proof::Bundle(self.payload(reference, &bundle).await?));
            }
        }
        Ok(proofs)
    }

    /// The manifests that may hold a signature; the first few.
    async fn referrers(&self, reference: &Reference, digest: &Digest) -> Result<Vec<Descriptor>, ImageError> {
        let mut found = Vec::new();
        let mut next = None;
        for _ in 0..REFERRERS_PAGES_MAX {
            let page = self.registry.referrers(reference, digest, next.as_deref()).await;
            let Some(page) = page.map_err(|source| unfetched(reference, source))? else {
                return self.listed(reference, digest).await;
            };
            found.extend(those_that_may_sign(reference, &page.bytes)?);
            next = page.next;
            if next.is_none() || found.len() >= IMAGE_SIGNATURES_MAX {
                break;
            }
        }
        found.truncate(IMAGE_SIGNATURES_MAX);
        Ok(found)
    }

    /// The same from the tag.
    async fn listed(&self, reference: &Reference, digest: &Digest) -> Result<Vec<Descriptor>, ImageError> {
        let Some(raw) = self.under(reference, &referrers_tag(digest)).await? else { return Ok(Vec::new()) };
        let mut found = those_that_may_sign(reference, &raw)?;
        found.truncate(IMAGE_SIGNATURES_MAX);
        Ok(found)
    }

    async fn attached(&self, reference: &Reference, tag: &str) -> Result<Option<Manifest>, ImageError> {
        let Some(raw) = self.under(reference, tag).await? else { return Ok(None) };
        let manifest = Manifest::of_anything(&raw)
            .map_err(|error| unusable(reference, format!("its signatures under {tag}: {error}")))?;
        Ok(Some(manifest))
    }

    async fn under(&self, reference: &Reference, tag: &str) -> Result<Option<Vec<u8>>, ImageError> {
        let tagged = reference.tagged(tag).map_err(|error| unusable(reference, error.to_string()))?;
        let fetched = self.registry.attached(&tagged).await;
        let fetched = fetched.map_err(|source| unfetched(reference, source))?;
        Ok(fetched.map(|raw| raw.bytes))
    }

    async fn payload(&self, reference: &Reference, blob: &Descriptor) -> Result<Vec<u8>, ImageError> {
        let fetched = self.registry.small_blob(reference, blob).await;
        fetched.map_err(|source| unfetched(reference, source))
    }
}

/// The error of a board whose policy cannot be used.
pub(crate) fn unruled(why: &str, reference: &Reference) -> ImageError {
    ImageError::Unruled { fault: Box::new(unusable_policy(why, reference)) }
}

fn those_that_may_sign(reference: &Reference, index: &[u8]) -> Result<Vec<Descriptor>, ImageError> {
    let wrong = |why: String| unusable(reference, format!("the list of what refers to it: {why}"));
    match Document::parse(index).map_err(|error| wrong(error.to_string()))? {
        Document::Index(index) => Ok(index.manifests.into_iter().filter(that_may_sign).collect()),
        Document::Manifest(_) => Err(wrong("it is a manifest, not an index".to_owned())),
    }
}

/// Those that are there already stay where they are.
fn add(proofs: &mut Vec<Proof>, fetched: Vec<Proof>) {
    for proof in fetched {
        if !proofs.contains(&proof) {
            proofs.push(proof);
        }
    }
}
