//! Tags become digests: each image of a project is looked up at its registry, held against the platforms of the fleet by
//! the board's own choice, and written with the digest of its index.

use std::collections::{BTreeMap, BTreeSet};

use coracle_core::limits::{INDEX_DEPTH_MAX, INDEX_ENTRIES_MAX};
use coracle_core::oci::manifest::{DOCKER_LIST, OCI_INDEX};
use coracle_core::oci::{Descriptor, Document, ImageConfig, NoMatch, Platform, Reference, select};
use coracle_host::console::exit::{Exit, Failure, chain};
use coracle_host::registry::{
    Cause, RawManifest, RegistryClient, RegistryConfig, RegistryError, RegistryFiles, Retry,
};
use serde_json::Value;

use crate::args::RegistryArgs;
use crate::compose::services;

/// Looks up images.
pub(crate) struct Pins {
    registry: RegistryClient,
    platforms: Vec<Platform>,
    known: BTreeMap<String, String>,
}

impl Pins {
    /// Images have to be there for all of `platforms`.
    pub(crate) fn new(args: &RegistryArgs, platforms: Vec<Platform>) -> Result<Self, Failure> {
        let files = RegistryFiles {
            insecure: args.insecure.clone(),
            auth_file: args.auth_file.clone(),
            certs_dir: args.certs_dir.clone(),
            ca_file: args.registry_ca.clone(),
            ..RegistryFiles::default()
        };
        let configured = |error: RegistryError| Failure::new(Exit::Configuration, &error);
        let config = RegistryConfig::load(&files).map_err(configured)?;
        let registry = RegistryClient::new(config).map_err(configured)?;
        Ok(Self { registry, platforms, known: BTreeMap::new() })
    }

    /// Pins every image of a project.
    pub(crate) async fn project(&mut self, name: &str, body: &mut Value) -> Result<(), Failure> {
        let mut images = Vec::new();
        if let Some(top) = body.as_object_mut() {
            services(top, |service, fields| {
                images.extend(
                    fields
                        .get("image")
                        .and_then(Value::as_str)
                        .map(|image| (service.to_owned(), image.to_owned())),
                );
                Ok(())
            })?;
        }
        let mut pinned = BTreeMap::new();
        for (service, image) in images {
            let found = self.image(&image).await.map_err(|failure| Failure {
                message: format!("projects.{name}.services.{service}.image: {}", failure.message),
                ..failure
            })?;
            pinned.insert(service, found);
        }
        if let Some(top) = body.as_object_mut() {
            services(top, |service, fields| {
                if let Some(image) = pinned.get(service) {
                    fields.insert("image".to_owned(), image.clone().into());
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// `registry/repository:tag@sha256:…`, the digest that of the index.
    async fn image(&mut self, image: &str) -> Result<String, Failure> {
        if let Some(known) = self.known.get(image) {
            return Ok(known.clone());
        }
        let reference = Reference::parse(image).map_err(|error| Failure::new(Exit::Refused, &error))?;
        let top = self.fetch(&reference, None).await?;
        let entries = match parse(&reference, &top)? {
            Document::Index(index) => self.open(&reference, &top, index.manifests).await?,
            Document::Manifest(_) => vec![self.described(&reference, lone(&top)).await?],
        };
        self.serves_all(&reference, &entries)?;
        let tag = reference.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
        let pinned = format!("{}{tag}@{}", reference.name(), top.digest);
        self.known.insert(image.to_owned(), pinned.clone());
        Ok(pinned)
    }

    async fn fetch(&self, reference: &Reference, entry: Option<&Descriptor>) -> Result<RawManifest, Failure> {
        self.registry.manifest(reference, entry).await.map_err(|error| unfetched(&error))
    }

    /// The images of an index, indexes within it opened, each that names no platform with the one its config names.
    async fn open(
        &self,
        reference: &Reference,
        top: &RawManifest,
        entries: Vec<Descriptor>,
    ) -> Result<Vec<Descriptor>, Failure> {
        let mut seen = BTreeSet::from([top.digest]);
        let mut open: Vec<(Descriptor, usize)> = entries.into_iter().rev().map(|entry| (entry, 1)).collect();
        let mut images = Vec::new();
        while let Some((entry, depth)) = open.pop() {
            if ![OCI_INDEX, DOCKER_LIST].contains(&entry.media_type.as_str()) {
                images.push(self.described(reference, entry).await?);
            } else if seen.insert(entry.digest) {
                let raw = self.fetch(reference, Some(&entry)).await?;
                let Document::Index(index) = parse(reference, &raw)? else {
                    return Err(unusable(
                        reference,
                        &format!("{} is listed as an index and is none", raw.digest),
                    ));
                };
                if depth >= INDEX_DEPTH_MAX
                    || open.len() + images.len() + index.manifests.len() > INDEX_ENTRIES_MAX
                {
                    return Err(unusable(reference, "its indexes are too deep or too many"));
                }
                open.extend(index.manifests.into_iter().rev().map(|entry| (entry, depth + 1)));
            }
        }
        Ok(images)
    }

    /// The entry with its platform; what is no image stays as it is.
    async fn described(&self, reference: &Reference, entry: Descriptor) -> Result<Descriptor, Failure> {
        let selection = select(&[], std::slice::from_ref(&entry));
        let unnamed = selection
            .verdicts
            .first()
            .is_some_and(|verdict| *verdict == coracle_core::oci::Verdict::TakenUnnamed);
        if !unnamed {
            return Ok(entry);
        }
        let raw = self.fetch(reference, Some(&entry)).await?;
        let Document::Manifest(manifest) = parse(reference, &raw)? else { return Ok(entry) };
        let bytes =
            self.registry.small_blob(reference, &manifest.config).await.map_err(|error| unfetched(&error))?;
        let config = ImageConfig::parse(&bytes)
            .map_err(|error| unusable(reference, &format!("config {}: {error}", manifest.config.digest)))?;
        Ok(Descriptor { platform: Some(config.platform().clone()), ..entry })
    }

    /// Whether boards of every platform find an image among `entries`.
    fn serves_all(&self, reference: &Reference, entries: &[Descriptor]) -> Result<(), Failure> {
        let served = |platform: &&Platform| select(&platform.levels(), entries).chosen.is_none();
        let missing: Vec<Platform> = self.platforms.iter().filter(served).cloned().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let NoMatch { offers, runs } = NoMatch::new(&missing, entries);
        Err(unusable(reference, &format!("it has nothing for {runs}; it offers {offers}")))
    }
}

/// A manifest that no index lists.
fn lone(raw: &RawManifest) -> Descriptor {
    Descriptor {
        media_type: raw.media_type.clone(),
        digest: raw.digest,
        size: u64::try_from(raw.bytes.len()).unwrap_or(u64::MAX),
        platform: None,
        artifact_type: None,
        annotations: BTreeMap::new(),
        urls: Vec::new(),
    }
}

fn parse(reference: &Reference, raw: &RawManifest) -> Result<Document, Failure> {
    let document = Document::parse(&raw.bytes);
    document.map_err(|error| unusable(reference, &format!("{}: {error}", raw.digest)))
}

fn unusable(reference: &Reference, why: &str) -> Failure {
    Failure { exit: Exit::Refused, message: format!("{reference}: {why}") }
}

#[allow(clippy::wildcard_enum_match_arm)] // Of many causes, two can be mended by an option.
fn unfetched(error: &RegistryError) -> Failure {
    let exit = match error.retry() {
        Retry::Never => Exit::Refused,
        Retry::Backoff | Retry::Limited(_) => Exit::TryAgain,
    };
    let hint = match &*error.cause {
        Cause::Unbelieved(_) => {
            "; --registry-ca and --registry-certs-dir say whose certificates are believed"
        }
        Cause::NoTls => "; --insecure-registry names registries of plain HTTP",
        _ => "",
    };
    Failure { exit, message: format!("{}{hint}", chain(error)) }
}
