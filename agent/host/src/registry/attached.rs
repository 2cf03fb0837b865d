//! What is attached to an image in its repository: manifests under tags made of its digest, and what refers to it
//! (OCI distribution-spec, "Listing Referrers").

use coracle_core::limits::ATTACHED_BYTES_MAX;
use coracle_core::oci::manifest::OCI_INDEX;
use coracle_core::oci::{Digest, Reference};

use super::client::{RawManifest, RegistryClient, Wanted};
use super::error::{Attempt, Cause, RegistryError};

/// Characters of what a registry wants to be asked for the next page.
const QUERY_CHARS_MAX: usize = 2048;

/// A page of what refers to a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// An index, at most [`ATTACHED_BYTES_MAX`].
    pub bytes: Vec<u8>,
    /// What to ask for next.
    pub next: Option<String>,
}

impl RegistryClient {
    /// The manifest of `reference` where there is one; a small one, of something attached to an image.
    ///
    /// # Errors
    /// [`RegistryError`] for anything but the answer that there is none.
    pub async fn attached(&self, reference: &Reference) -> Result<Option<RawManifest>, RegistryError> {
        let wanted = Wanted::manifest(reference, None, ATTACHED_BYTES_MAX);
        match self.over_endpoints(reference, &wanted).await {
            Ok(got) => Ok(Some(got.manifest)),
            Err(failed) if matches!(failed.cause, Cause::Status { status: 404, .. }) => Ok(None),
            Err(failed) => Err(failed.at(Attempt::FetchSignatures, reference)),
        }
    }

    /// A page of what refers to `digest` in the repository of `reference`, the first one or the `next` one; `None` where
    /// the registry cannot tell, and a tag has the list.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn referrers(
        &self,
        reference: &Reference,
        digest: &Digest,
        next: Option<&str>,
    ) -> Result<Option<Page>, RegistryError> {
        let query = next.map(|next| format!("?{next}")).unwrap_or_default();
        let wanted = Wanted {
            path: format!("referrers/{digest}{query}"),
            accept: OCI_INDEX.to_owned(),
            limit: ATTACHED_BYTES_MAX,
            size: None,
            digest: None,
        };
        match self.over_endpoints(reference, &wanted).await {
            Ok(got) => {
                let next = got.link.as_deref().and_then(next_page);
                Ok(Some(Page { bytes: got.manifest.bytes, next }))
            }
            Err(failed) if next.is_none() && is_unknown(&failed.cause) => Ok(None),
            Err(failed) => Err(failed.at(Attempt::FetchSignatures, reference)),
        }
    }
}

/// What registries without the list answer: that there is no such place, or that they do not understand.
fn is_unknown(cause: &Cause) -> bool {
    matches!(cause, Cause::Status { status: 400 | 404 | 405 | 406 | 501, .. })
}

/// The query of the next page (RFC 8288). Where it is asked for is not the registry's to say.
fn next_page(link: &str) -> Option<String> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    if !parameters.replace(['"', ' '], "").contains("rel=next") {
        return None;
    }
    let (_, query) = target.split_once('?')?;
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '#' | '?' | '<' | '>' | '"' | '\\');
    (query.len() <= QUERY_CHARS_MAX && query.chars().all(plain)).then(|| query.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(link: &str, expected: Option<&str>) {
        assert_eq!(next_page(link).as_deref(), expected, "{link}");
    }

    #[test]
    fn of_a_link_only_the_query_is_followed() {
        check("</v2/a/referrers/sha256:0?n=1&last=b>; rel=\"next\"", Some("n=1&last=b"));
        check("<https://elsewhere.example/x?last=b>;rel=next", Some("last=b"));
        check("</v2/a?last=b>; rel=\"prev\"", None);
        check("</v2/a>; rel=\"next\"", None);
        check("</v2/a?last=b#c>; rel=\"next\"", None);
        check("</v2/a?last=b c>; rel=\"next\"", None);
        check("/v2/a?last=b; rel=next", None);
        check(&format!("</v2/a?{}>; rel=next", "x".repeat(2049)), None);
    }
}
