//! `coraclectl trust`: the document that says who may sign what, its first form, and how keys follow keys.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use coracle_core::trust::{
    KeyId, Kind, Lineage, Policy, PublicKey, Role, RoleName, Signature, TrustDocument, pae,
};
use coracle_host::console::exit::{Exit, Failure};
use coracle_host::console::out;
use serde_json::{Value, json};

use crate::args::{TrustCommand, TrustInit, TrustRotate, TrustShow};
use crate::broker::Broker;
use crate::document::{self, Document, refused};
use crate::settings::Fleet;
use crate::signing::{self, public_key};
use crate::{network, sign};

const ROLES: [RoleName; 2] = [RoleName::Deploy, RoleName::Root];

/// Does what is asked.
pub(crate) fn trust(command: &TrustCommand, fleet: &Fleet) -> Result<Exit, Failure> {
    match command {
        TrustCommand::Init(args) => init(args),
        TrustCommand::Rotate(args) => rotate(args, fleet),
        TrustCommand::Show(args) => show(args),
    }
}

/// A trust document while it is made.
struct Draft {
    counter: u64,
    keys: BTreeMap<KeyId, PublicKey>,
    deploy: Role,
    root: Role,
}

impl Draft {
    fn role(&mut self, name: RoleName) -> &mut Role {
        match name {
            RoleName::Deploy => &mut self.deploy,
            RoleName::Root => &mut self.root,
        }
    }

    fn add(&mut self, name: RoleName, paths: &[PathBuf]) -> Result<(), Failure> {
        for path in paths {
            let key = public_key(path)?;
            self.role(name).keys.insert(key.id());
            self.keys.insert(key.id(), key);
        }
        Ok(())
    }

    /// Takes a role from the keys that `words` name: by id, by the first digits of it, or by file.
    fn remove(&mut self, name: RoleName, words: &[String]) -> Result<(), Failure> {
        for word in words {
            let file = Path::new(word);
            let id = if file.exists() { public_key(file)?.id().to_string() } else { word.to_lowercase() };
            let role = self.role(name);
            let mut found = role.keys.iter().filter(|key| key.to_string().starts_with(&id));
            let (Some(key), None) = (found.next().copied(), found.next()) else {
                let keys = role.keys.iter().map(KeyId::short).collect::<Vec<_>>().join(" ");
                return Err(Failure::usage(format!(
                    "{word:?} is not one key of the role {name}, which has {keys}"
                )));
            };
            role.keys.remove(&key);
        }
        Ok(())
    }

    /// The document, without keys that have no role anymore.
    fn document(mut self) -> Result<TrustDocument, Failure> {
        let Self { counter, keys, deploy, root } = &mut self;
        keys.retain(|id, _| deploy.keys.contains(id) || root.keys.contains(id));
        let pem: BTreeMap<&KeyId, String> = keys.iter().map(|(id, key)| (id, key.to_pem())).collect();
        let written = json!({
            "schema": "trust/v1", "counter": counter, "keys": pem, "roles": { "deploy": deploy, "root": root },
        });
        TrustDocument::parse(written.to_string().as_bytes()).map_err(|fault| refused(&fault))
    }
}

fn init(args: &TrustInit) -> Result<Exit, Failure> {
    if args.out.symlink_metadata().is_ok() {
        return Err(Failure::usage(format!(
            "{} is there already; trust rotate makes the next one",
            args.out.display()
        )));
    }
    let role = |threshold| Role { keys: BTreeSet::new(), threshold };
    let mut draft = Draft {
        counter: args.counter,
        keys: BTreeMap::new(),
        deploy: role(args.deploy_threshold),
        root: role(args.root_threshold),
    };
    draft.add(RoleName::Deploy, &args.deploy)?;
    draft.add(RoleName::Root, &args.root)?;
    let document = draft.document()?;
    sign::write(&args.out, &document.to_payload())?;
    if args.json {
        out::json(&told(&document));
    } else {
        out::line(text(&document));
        out::line(format_args!("written: {}", args.out.display()));
    }
    Ok(Exit::Done)
}

fn rotate(args: &TrustRotate, fleet: &Fleet) -> Result<Exit, Failure> {
    let current = args.trust.as_ref().or(fleet.trust.as_ref());
    let current = current.ok_or_else(|| Failure::usage("which document counts now? give --trust FILE"))?;
    let Document { payload, .. } = read(current)?;
    let before = TrustDocument::parse(&payload).map_err(|fault| document::refused_in(current, &fault))?;
    let mut draft = Draft {
        counter: before.counter().saturating_add(1),
        keys: before.keys().clone(),
        deploy: before.role(RoleName::Deploy).clone(),
        root: before.role(RoleName::Root).clone(),
    };
    draft.add(RoleName::Deploy, &args.add_deploy)?;
    draft.add(RoleName::Root, &args.add_root)?;
    draft.remove(RoleName::Deploy, &args.remove_deploy)?;
    draft.remove(RoleName::Root, &args.remove_root)?;
    draft.deploy.threshold = args.deploy_threshold.unwrap_or(draft.deploy.threshold);
    draft.root.threshold = args.root_threshold.unwrap_or(draft.root.threshold);
    let next = draft.document()?;

    let signers = signing::signers(&args.signing)?;
    if signers.is_empty() {
        return Err(Failure::usage("nobody signs: give --key FILE of a root, old and new"));
    }
    let (envelope, _) = signing::seal(Kind::Trust, next.to_payload(), Vec::new(), &signers)?;
    let bytes = document::checked(&envelope)?;
    let verdict = Policy::Keys(Box::new(Lineage::of_image(before))).rotate(&bytes);
    sign::write(&args.out, &bytes)?;
    let broker = fleet.broker(&args.broker);
    let mut place = Value::Null;
    if !args.json {
        out::line(text(&next));
        out::line(format_args!("written: {}", args.out.display()));
    }
    match (verdict, broker) {
        (Err(fault), _) => {
            let refused = refused(&fault).message;
            let message = format!(
                "not enough have signed, and nothing was sent: {refused}; the others sign {0} with coraclectl sign, and \
                 coraclectl publish sends it",
                args.out.display()
            );
            return Err(Failure { exit: Exit::Refused, message });
        }
        (Ok(_), None) => {}
        (Ok(_), Some(broker)) => {
            let topic = format!("{}/trust", broker.root.as_deref().unwrap_or_default());
            network(async {
                let mut visit = Broker::open(&broker, vec![topic.clone()]).await?;
                visit.publish(&topic, bytes).await?;
                visit.close().await;
                Ok(())
            })?;
            if !args.json {
                out::line(format_args!("published: {topic}"));
            }
            place = topic.into();
        }
    }
    if args.json {
        let mut told = told(&next);
        if let Some(fields) = told.as_object_mut() {
            fields.insert("place".to_owned(), place);
        }
        out::json(&told);
    }
    Ok(Exit::Done)
}

/// A trust document and its signatures, where it has any.
fn read(path: &Path) -> Result<Document, Failure> {
    let document = Document::read(path)?;
    if document.kind != Kind::Trust {
        return Err(Failure::usage(format!("{} is no trust document", path.display())));
    }
    Ok(document)
}

fn show(args: &TrustShow) -> Result<Exit, Failure> {
    let Document { payload, signatures, .. } = read(&args.document)?;
    let document =
        TrustDocument::parse(&payload).map_err(|fault| document::refused_in(&args.document, &fault))?;
    let signed = signed(&document, &payload, &signatures);
    if args.json {
        let mut told = told(&document);
        if let Some(fields) = told.as_object_mut() {
            fields.insert("signatures".to_owned(), signatures.len().into());
            fields.insert("signedBy".to_owned(), json!(signed));
        }
        out::json(&told);
        return Ok(Exit::Done);
    }
    out::line(text(&document));
    if !signatures.is_empty() {
        let own = signed.iter().map(KeyId::short).collect::<Vec<_>>().join(" ");
        let count = out::count(u64::try_from(signatures.len()).unwrap_or(u64::MAX), "signature");
        out::line(format_args!(
            "signed    {count}; of its own keys by {}",
            if own.is_empty() { "none" } else { &own }
        ));
    }
    Ok(Exit::Done)
}

/// Which of the document's own keys signed it.
fn signed(document: &TrustDocument, payload: &[u8], signatures: &[Signature]) -> Vec<KeyId> {
    let message = pae(Kind::Trust, payload);
    let by = |key: &&PublicKey| signatures.iter().any(|signature| key.verifies(&message, &signature.sig));
    document.keys().values().filter(by).map(PublicKey::id).collect()
}

fn told(document: &TrustDocument) -> Value {
    let role = |name: RoleName| {
        let role = document.role(name);
        let keys = role.keys.iter().filter_map(|id| document.keys().get(id));
        let keys =
            keys.map(|key| json!({ "id": key.id(), "algorithm": key.algorithm() })).collect::<Vec<_>>();
        json!({ "threshold": role.threshold, "keys": keys })
    };
    json!({
        "counter": document.counter(), "digest": document.digest().hex(),
        "roles": { "deploy": role(RoleName::Deploy), "root": role(RoleName::Root) },
    })
}

fn text(document: &TrustDocument) -> String {
    let mut lines =
        vec![format!("counter   {}", document.counter()), format!("document  {}", document.digest().hex())];
    for name in ROLES {
        let role = document.role(name);
        let count = out::count(u64::try_from(role.keys.len()).unwrap_or(u64::MAX), "key");
        lines.push(format!("{:<8}  {} of {count}", name.to_string(), role.threshold));
        let keys = role.keys.iter().filter_map(|id| document.keys().get(id));
        lines.extend(keys.map(|key| format!("  {}  {}", key.id(), key.algorithm())));
    }
    lines.join("\n")
}
