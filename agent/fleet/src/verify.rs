//! `coraclectl verify`: what a board that has seen nothing yet would make of an envelope, in the board's own words.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coracle_core::desired::{self, Clock, Facts, Received, Scope, Tags};
use coracle_core::fault::{Code, Fault};
use coracle_core::ident::DeviceId;
use coracle_core::oci::Platform;
use coracle_core::time::Timestamp;
use coracle_core::trust::{Envelope, KeyId, Kind, Lineage, Policy, TrustDocument, Voucher};
use coracle_host::clock;
use coracle_host::console::exit::{Exit, Failure};
use coracle_host::console::out;
use serde_json::{Value, json};

use crate::args::{Boards, Verify};
use crate::document::{self, kind};
use crate::signing;

/// Whom the board believes: a trust document, in an envelope or without one, or plain keys that deploy.
pub(crate) fn believed(trust: Option<&Path>, keys: &[PathBuf]) -> Result<Option<Policy>, Failure> {
    let configured = |message: String| Failure { exit: Exit::Configuration, message };
    let document = if let Some(path) = trust {
        let bytes = document::bytes(path)?;
        let refused = |fault: Fault| configured(format!("{}: {fault}", path.display()));
        let payload = match kind(&bytes).map_err(refused)? {
            (Kind::Trust, true) => Envelope::parse(Kind::Trust, &bytes).map_err(refused)?.payload().to_vec(),
            (Kind::Trust, false) => bytes,
            (Kind::Desired, _) => {
                return Err(configured(format!(
                    "{} is a desired document, and no trust document",
                    path.display()
                )));
            }
        };
        TrustDocument::parse(&payload).map_err(refused)?
    } else if keys.is_empty() {
        return Ok(None);
    } else {
        let deploy = keys.iter().map(|path| signing::public_key(path)).collect::<Result<Vec<_>, _>>()?;
        TrustDocument::of_keys(deploy, Vec::new()).map_err(|fault| configured(fault.to_string()))?
    };
    Ok(Some(Policy::Keys(Box::new(Lineage::of_image(document)))))
}

/// Verifies; a refused document ends with the code that says so.
pub(crate) fn verify(args: &Verify) -> Result<Exit, Failure> {
    let Some(policy) = believed(args.trust.as_deref(), &args.public_keys)? else {
        return Err(Failure::usage("whose signatures count? give --trust FILE or --key FILE"));
    };
    let parse = |text: &String| Platform::parse(text).map_err(|error| Failure::usage(error.to_string()));
    let platforms = args.platforms.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let bytes = document::bytes(&args.envelope)?;
    match verdict(&bytes, &policy, &platforms, args.boards) {
        Ok(told) if args.json => out::json(&told),
        Ok(told) => out::line(text(&told)),
        Err(fault) if args.json => {
            out::json(&json!({ "verdict": "refused", "error": fault }));
            return Ok(Exit::Refused);
        }
        Err(fault) => return Err(document::refused_in(&args.envelope, &fault)),
    }
    Ok(Exit::Done)
}

fn verdict(bytes: &[u8], policy: &Policy, platforms: &[Platform], boards: Boards) -> Result<Value, Fault> {
    match kind(bytes)? {
        (_, false) => {
            let message = "document is not in an envelope; coraclectl sign makes one";
            Err(Fault::new(Code::Unsigned, message))
        }
        (Kind::Trust, true) => trust(bytes, policy),
        (Kind::Desired, true) => desired(bytes, policy, platforms, boards),
    }
}

fn trust(bytes: &[u8], policy: &Policy) -> Result<Value, Fault> {
    let rotated = policy.rotate(bytes)?;
    let counter = rotated.as_ref().map(|rotated| rotated.0.current().counter()).or_else(|| policy.counter());
    Ok(json!({ "verdict": "accepted", "kind": "trust", "counter": counter, "new": rotated.is_some() }))
}

/// What of a payload has to be known to play the board it is for. Nothing of it is believed.
struct Addressed {
    scope: Scope,
    platforms: Vec<Platform>,
}

impl Addressed {
    fn of(bytes: &[u8]) -> Option<Self> {
        let envelope = Envelope::parse(Kind::Desired, bytes).ok()?;
        let value: Value = serde_json::from_slice(envelope.payload()).ok()?;
        let scope = Scope::parse(value.get("scope")?.as_str()?)?;
        let wanted = value.pointer("/requires/platform").and_then(Value::as_array);
        let texts = wanted.into_iter().flatten().filter_map(Value::as_str);
        Some(Self { scope, platforms: texts.filter_map(|text| Platform::parse(text).ok()).collect() })
    }
}

fn desired(bytes: &[u8], policy: &Policy, platforms: &[Platform], boards: Boards) -> Result<Value, Fault> {
    let addressed = Addressed::of(bytes);
    let (device, groups) = match addressed.as_ref().map(|to| &to.scope) {
        Some(Scope::Device(device)) => (Some(device.clone()), Vec::new()),
        Some(Scope::Group(group)) => (None, vec![group.clone()]),
        None => (None, Vec::new()),
    };
    let device = match device {
        Some(device) => device,
        None => DeviceId::parse("board").map_err(|error| Fault::new(Code::Schema, &error.to_string()))?,
    };
    let asked = addressed.map(|to| to.platforms).unwrap_or_default();
    let able: Vec<Platform> =
        if platforms.is_empty() { asked } else { platforms.iter().flat_map(Platform::levels).collect() };
    let facts = Facts {
        device: &device,
        groups: &groups,
        trust: policy,
        tags: Tags::from(boards.accept_tags),
        accepted: &BTreeMap::new(),
        clock: Clock {
            synced: Some(clock::wall()),
            built: Timestamp::default(),
            newest_issued: Timestamp::default(),
        },
        agent: env!("CARGO_PKG_VERSION"),
        platforms: &able,
    };
    let desired = match desired::receive(bytes, &facts)? {
        Received::Fresh(desired, _) | Received::Same(desired) => desired,
        Received::Empty => return Err(Fault::new(Code::Schema, "the file is empty")),
    };
    desired::projects(&desired.projects, &boards.defaults())?;
    let keys = match desired.voucher() {
        Voucher::Keys(keys) => keys.iter().map(KeyId::to_string).collect(),
        Voucher::Nobody => Vec::new(),
    };
    Ok(json!({
        "verdict": "accepted", "kind": "desired", "scope": desired.scope, "gen": desired.number, "rev": desired.rev,
        "id": desired.id, "exp": desired.expires, "keys": keys,
    }))
}

fn text(told: &Value) -> String {
    if told["kind"] == "trust" {
        let what = if told["new"] == true { "replaces the keys" } else { "counts already" };
        return format!("accepted: the trust document of counter {} {what}", told["counter"]);
    }
    let scope = told["scope"].as_str().unwrap_or_default();
    let keys = told["keys"].as_array().map(Vec::len).unwrap_or_default();
    let keys = out::count(u64::try_from(keys).unwrap_or(u64::MAX), "key");
    format!("accepted: generation {}, revision {}, for {scope}, by {keys}", told["gen"], told["rev"])
}
