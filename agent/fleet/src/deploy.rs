//! `coraclectl deploy`: from Compose files to a signed document on the broker.
//!
//! Order: everything that can be refused without a key is refused before one is used, and nothing is sent that a board
//! would refuse, as far as it can be known here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use coracle_core::desired::{self, Desired, Scope, Tags};
use coracle_core::fault::{Code, Fault};
use coracle_core::ident::ProjectName;
use coracle_core::time::Timestamp;
use coracle_core::trust::{Envelope, Kind, Policy};
use coracle_host::clock;
use coracle_host::console::exit::{Exit, Failure};
use coracle_host::console::out;
use serde_json::{Map, Value, json};

use crate::args::{Boards, BrokerArgs, Deploy};
use crate::before::{self, Before};
use crate::broker::{self, Broker};
use crate::changes::{Change, changes};
use crate::compose::{self, Asked};
use crate::document::{self, refused};
use crate::pin::Pins;
use crate::settings::Fleet;
use crate::signing::{self, Signer};
use crate::{network, policy, shown, sign, verify, wait};

/// Deploys.
pub(crate) fn deploy(args: &Deploy, fleet: &Fleet) -> Result<Exit, Failure> {
    let scope = Scope::parse(&args.scope)
        .ok_or_else(|| Failure::usage(format!("{:?} is no scope: it is d/DEVICE or g/GROUP", args.scope)))?;
    if args.wait && matches!(scope, Scope::Group(_)) {
        return Err(Failure::usage("--wait follows one device: give a scope d/DEVICE"));
    }
    let boards = fleet.boards(Boards { default_network: args.default_network, accept_tags: false });
    let projects = projects(args, boards)?;
    let trust = args.trust.as_ref().or(fleet.trust.as_ref());
    let trust = verify::believed(trust.map(PathBuf::as_path), &[])?;
    let broker = fleet.broker(&args.broker);
    if broker.is_none() && args.out.is_none() && !args.dry_run {
        return Err(Failure::usage("where does it go? give --broker URL, --out FILE or --dry-run"));
    }
    if let Some(broker) = &broker {
        broker::look(broker)?;
    }
    let platforms = fleet.platforms(&args.platforms)?;
    if platforms.is_empty() && !projects.is_empty() {
        return Err(Failure::usage(
            "what do the boards execute? give --platform for each, or platforms in coraclectl.toml",
        ));
    }
    let signers = if args.dry_run { Vec::new() } else { signing::signers(&fleet.signing(&args.signing))? };
    if signers.is_empty() && !args.dry_run {
        return Err(Failure::usage(
            "nobody signs: give --key FILE, or --signer COMMAND with --public-key FILE",
        ));
    }
    let pins = Pins::new(&fleet.registry(&args.registry), platforms)?;
    let work = Work { args, scope, boards, trust, broker, signers };
    network(work.run(projects, pins))
}

/// The projects of all files, variables replaced, judged by the board's own code.
fn projects(args: &Deploy, boards: Boards) -> Result<BTreeMap<ProjectName, Value>, Failure> {
    if args.project.is_some() && args.files.len() > 1 {
        return Err(Failure::usage("--project names one project, and each file is a project of its own"));
    }
    let defaults = boards.defaults();
    let asked = Asked { name: args.project.as_deref(), env_files: &args.env_files, defaults: &defaults };
    let mut projects = BTreeMap::new();
    for path in &args.files {
        let loaded = compose::load(path, &asked)?;
        for warning in loaded.warnings {
            out::note(format_args!("coraclectl: {}: {warning}", path.display()));
        }
        if projects.insert(loaded.name.clone(), loaded.body).is_some() {
            let message = format!("{}: there is a project {} already", path.display(), loaded.name);
            return Err(Failure::usage(message));
        }
    }
    Ok(projects)
}

struct Work<'a> {
    args: &'a Deploy,
    scope: Scope,
    boards: Boards,
    trust: Option<Policy>,
    broker: Option<BrokerArgs>,
    signers: Vec<Signer>,
}

impl Work<'_> {
    async fn run(self, mut projects: BTreeMap<ProjectName, Value>, mut pins: Pins) -> Result<Exit, Failure> {
        for (name, body) in &mut projects {
            pins.project(name.as_str(), body).await?;
        }
        let (mut broker, topics) = self.connect().await?;
        let before = match &mut broker {
            Some(broker) => before::read(broker.retained(&topics.desired).await?, self.trust.as_ref()),
            None => Before::Unknown,
        };
        let now = clock::wall();
        let document = self.document(&projects, &before, &topics.desired, now)?;
        let payload = document.to_string().into_bytes();
        let desired = Desired::parse(&payload, Tags::Refused).map_err(|fault| refused(&fault))?;
        desired::projects(&desired.projects, &self.boards.defaults()).map_err(|fault| refused(&fault))?;
        let changes = changes(before.payload().unwrap_or(&Value::Null), &document);
        if self.args.dry_run {
            self.shown(&document, &before, &changes);
            return Ok(Exit::Done);
        }
        let (envelope, _) = signing::seal(Kind::Desired, payload, Vec::new(), &self.signers)?;
        let bytes = document::checked(&envelope)?;
        let believed = self.believed(&envelope);
        if !self.args.json {
            summary(&desired, &before, &changes);
        }
        let place = match (&self.args.out, &mut broker) {
            (Some(path), _) => {
                if let Err(fault) = believed {
                    out::note(format_args!("coraclectl: boards would not take it yet: {fault}"));
                }
                sign::write(path, &bytes)?;
                path.display().to_string()
            }
            (None, Some(broker)) => {
                believed.map_err(|fault| refused(&fault))?;
                broker.publish(&topics.desired, bytes).await?;
                topics.desired.clone()
            }
            (None, None) => return Err(Failure::usage("where does it go? give --broker URL or --out FILE")),
        };
        let mut told = json!({
            "id": desired.id, "scope": desired.scope, "gen": desired.number, "rev": desired.rev,
            "changes": changes, "place": place, "projects": document.get("projects"),
        });
        if !self.args.json {
            out::line(format_args!(
                "{}: {place}",
                if self.args.out.is_some() { "written" } else { "published" }
            ));
        }
        let ended = match (&mut broker, self.args.wait) {
            (Some(broker), true) => {
                let (status, failure) = wait::wait(broker, &topics.state, &desired, self.args).await?;
                if let Some(fields) = told.as_object_mut() {
                    fields.insert("status".to_owned(), status.into());
                }
                failure
            }
            _ => None,
        };
        if let Some(broker) = broker {
            broker.close().await;
        }
        if self.args.json {
            out::json(&told);
        }
        ended.map_or(Ok(Exit::Done), Err)
    }

    async fn connect(&self) -> Result<(Option<Broker>, Topics), Failure> {
        let Some(args) = &self.broker else { return Ok((None, Topics::new("", &self.scope))) };
        let topics = Topics::new(args.root.as_deref().unwrap_or_default(), &self.scope);
        let mut wanted = vec![topics.desired.clone()];
        if self.args.wait {
            wanted.push(topics.state.clone());
        }
        Ok((Some(Broker::open(args, wanted).await?), topics))
    }

    /// Whether a board with this trust would take it.
    fn believed(&self, envelope: &Envelope) -> Result<(), Fault> {
        match &self.trust {
            Some(policy) => policy.admit(envelope.clone()).map(drop),
            None => Ok(()),
        }
    }

    fn document(
        &self,
        projects: &BTreeMap<ProjectName, Value>,
        before: &Before,
        topic: &str,
        now: Timestamp,
    ) -> Result<Value, Failure> {
        let (number, rev) = before::numbers(self.args.generation, self.args.rev, before, topic)?;
        let projects: Map<String, Value> =
            projects.iter().map(|(name, body)| (name.to_string(), body.clone())).collect();
        let mut policy = policy::policy(&self.args.policy, now)?;
        if let Some(seed) = before::same(self.args.generation, before, &projects)? {
            policy.entry("seed").or_insert(seed.into());
        }
        let mut requires = Map::new();
        requires.extend(self.args.agent.clone().map(|agent| ("agent".to_owned(), agent.into())));
        requires.extend(self.args.free_bytes.map(|bytes| ("freeBytes".to_owned(), bytes.into())));
        let mut document = json!({
            "schema": "desired/v1", "id": crate::id::fresh(clock::wall())?, "scope": self.scope,
            "gen": number, "rev": rev, "iat": now,
        });
        if let Some(fields) = document.as_object_mut() {
            fields.extend(self.args.exp.map(|after| ("exp".to_owned(), json!(now.after(after)))));
            for (key, part) in [("policy", policy), ("requires", requires)] {
                if !part.is_empty() {
                    fields.insert(key.to_owned(), Value::Object(part));
                }
            }
            fields.insert("projects".to_owned(), Value::Object(projects));
        }
        Ok(document)
    }

    fn shown(&self, document: &Value, before: &Before, changes: &[Change]) {
        if self.args.json {
            out::json(&json!({ "document": document, "changes": changes }));
            return;
        }
        out::line(format_args!("{document:#}"));
        for line in lines(before, changes) {
            out::note(line);
        }
    }
}

/// Where documents and states of a scope are.
struct Topics {
    desired: String,
    state: String,
}

impl Topics {
    fn new(root: &str, scope: &Scope) -> Self {
        Self { desired: desired_topic(root, scope), state: format!("{root}/{scope}/state") }
    }
}

/// Where the document of a scope is.
pub(crate) fn desired_topic(root: &str, scope: &Scope) -> String {
    format!("{root}/{scope}/desired")
}

fn lines(before: &Before, changes: &[Change]) -> Vec<String> {
    let mut lines = vec![before.to_string()];
    lines.extend(changes.iter().map(|Change { of, what, keys }| {
        let keys = if keys.is_empty() { String::new() } else { format!(": {}", keys.join(", ")) };
        // What is there already may be anybody's.
        shown(&format!("  {of} {what}{keys}"))
    }));
    if changes.is_empty() {
        lines.push("  nothing changes".to_owned());
    }
    lines
}

fn summary(desired: &Desired, before: &Before, changes: &[Change]) {
    out::line(format_args!(
        "generation {}, revision {}, for {}, id {}",
        desired.number, desired.rev, desired.scope, desired.id
    ));
    for line in lines(before, changes) {
        out::line(line);
    }
}

/// `coraclectl publish`: sends an envelope that was signed before, by several people perhaps.
pub(crate) fn publish(args: &crate::args::Publish, fleet: &Fleet) -> Result<Exit, Failure> {
    let bytes = document::bytes(&args.envelope)?;
    let policy = verify::believed(args.trust.as_deref().or(fleet.trust.as_deref()), &[])?;
    let broker =
        fleet.broker(&args.broker).ok_or_else(|| Failure::usage("where does it go? give --broker URL"))?;
    broker::look(&broker)?;
    let root = broker.root.as_deref().unwrap_or_default();
    let (kind, topic) = judged(&bytes, root, policy.as_ref())
        .map_err(|fault| document::refused_in(&args.envelope, &fault))?;
    network(async {
        let mut visit = Broker::open(&broker, vec![topic.clone()]).await?;
        if kind == Kind::Desired {
            let retained = before::read(visit.retained(&topic).await?, policy.as_ref());
            before::above(&bytes, &retained, &topic)?;
        }
        visit.publish(&topic, bytes.clone()).await?;
        visit.close().await;
        Ok(())
    })?;
    if args.json {
        out::json(&json!({ "place": topic }));
    } else {
        out::line(format_args!("published: {topic}"));
    }
    Ok(Exit::Done)
}

/// What kind an envelope is of, and where it goes; refused where boards would refuse it, as far as it can be known here.
fn judged(bytes: &[u8], root: &str, policy: Option<&Policy>) -> Result<(Kind, String), Fault> {
    let (kind, sealed) = document::kind(bytes)?;
    if !sealed {
        return Err(Fault::new(Code::Unsigned, "document is not in an envelope; coraclectl sign makes one"));
    }
    let envelope = Envelope::parse(kind, bytes)?;
    let topic = match kind {
        Kind::Trust => format!("{root}/trust"),
        Kind::Desired => desired_topic(root, &Desired::parse(envelope.payload(), Tags::Accepted)?.scope),
    };
    match (policy, kind) {
        (None, _) => {}
        (Some(policy), Kind::Trust) => policy.rotate(bytes).map(drop)?,
        (Some(policy), Kind::Desired) => policy.admit(envelope).map(drop)?,
    }
    Ok((kind, topic))
}
