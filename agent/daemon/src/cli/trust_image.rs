//! `coracle trust image`: what the policy for images makes of one, and why.

use coracle_core::fault::Fault;
use coracle_core::oci::{Digest, Reference};
use coracle_core::trust::image::{Objection, Outcome, Rules, Step, Verdict};
use serde_json::{Value, json};

use super::args::TrustImage;
use super::{context, out, pull};
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::images::{ImageError, Images, Reach};

/// Asks the registry where what is in the store does not settle it. It needs no agent.
pub(super) fn image(settings: &Settings, args: &TrustImage) -> Result<Exit, Failure> {
    let reference = Reference::parse(&args.reference).map_err(|error| Failure::new(Exit::Usage, &error))?;
    let images = context::images(settings, &context::store(settings)?, None)?;
    let (digest, verdict) =
        context::run(async { judged(&images, &reference).await.map_err(|error| pull::failure(&error)) })?;
    let fault = verdict.as_ref().and_then(|verdict| verdict.fault(&reference));
    if args.json {
        out::json(&told(settings, &reference, &digest, verdict.as_ref(), fault.as_ref()));
    } else {
        text(settings, &reference, &digest, verdict.as_ref(), fault.as_ref());
    }
    Ok(if fault.is_none() { Exit::Done } else { Exit::Refused })
}

/// What the reference resolves to, and what the policy makes of that; `None` where there is none.
async fn judged(images: &Images, reference: &Reference) -> Result<(Digest, Option<Verdict>), ImageError> {
    let policy = match &images.rules {
        Rules::Nothing => None,
        Rules::Policy(policy) => Some(policy),
        Rules::Unusable(why) => return Err(crate::images::unruled(why, reference)),
    };
    let digest = match reference.digest() {
        Some(digest) => *digest,
        None => images.top(reference).await?,
    };
    let Some(policy) = policy else { return Ok((digest, None)) };
    let (verdict, _) = images.judged(policy, reference, &digest, Reach::Registry).await?;
    Ok((digest, Some(verdict)))
}

fn text(
    settings: &Settings,
    reference: &Reference,
    digest: &Digest,
    verdict: Option<&Verdict>,
    fault: Option<&Fault>,
) {
    out::line(format_args!("image    {reference}"));
    out::line(format_args!("digest   {digest}"));
    let Some(verdict) = verdict else {
        out::line(format_args!("taken    {}", nothing(settings)));
        return;
    };
    out::line(format_args!("scope    {}", verdict.scope));
    for (at, step) in verdict.steps.iter().enumerate() {
        out::line(format_args!("  [{at}] {}: {}", step.demands, outcome(step)));
        for (at, objection) in objections(step).iter().enumerate() {
            out::line(format_args!("      signature {}: {objection}", at + 1));
        }
    }
    match fault {
        None => out::line("taken"),
        Some(fault) => out::line(format_args!("refused  {fault}")),
    }
}

fn outcome(step: &Step) -> String {
    match &step.outcome {
        Outcome::Anything => "holds".to_owned(),
        Outcome::Rejected => "never holds".to_owned(),
        Outcome::Signed(signer) => {
            let name = signer.name.as_ref().map(|name| format!(", for {name:?}")).unwrap_or_default();
            format!("holds, signed by {} ({}, {}){name}", signer.key, signer.algorithm, signer.place)
        }
        Outcome::Unsigned(objections) if objections.is_empty() => {
            "does not hold: no signature was found".to_owned()
        }
        Outcome::Unsigned(objections) => {
            let count = u64::try_from(objections.len()).unwrap_or(u64::MAX);
            format!("does not hold by {}", out::count(count, "signature"))
        }
    }
}

fn objections(step: &Step) -> &[Objection] {
    match &step.outcome {
        Outcome::Unsigned(objections) => objections,
        Outcome::Anything | Outcome::Rejected | Outcome::Signed(_) => &[],
    }
}

fn told(
    settings: &Settings,
    reference: &Reference,
    digest: &Digest,
    verdict: Option<&Verdict>,
    fault: Option<&Fault>,
) -> Value {
    let step = |(at, step): (usize, &Step)| {
        let signer = match &step.outcome {
            Outcome::Signed(signer) => json!({
                "key": signer.key,
                "algorithm": signer.algorithm,
                "place": signer.place,
                "form": signer.form,
                "name": signer.name,
            }),
            Outcome::Anything | Outcome::Rejected | Outcome::Unsigned(_) => Value::Null,
        };
        json!({
            "at": verdict.map(|verdict| verdict.path(at)),
            "demands": step.demands,
            "keys": step.keys,
            "holds": matches!(step.outcome, Outcome::Anything | Outcome::Signed(_)),
            "signer": signer,
            "objections": objections(step).iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    };
    let steps = verdict.map(|verdict| verdict.steps.iter().enumerate().map(step).collect::<Vec<_>>());
    json!({
        "reference": reference.to_string(),
        "digest": digest,
        "taken": fault.is_none(),
        "policy": verdict.map(|_| &settings.image_policy.path),
        "scope": verdict.map(|verdict| &verdict.scope),
        "requirements": steps.unwrap_or_default(),
        "error": fault,
    })
}

fn nothing(settings: &Settings) -> String {
    format!("nothing is demanded of images: there is no {}", settings.image_policy.path.display())
}

/// What is demanded of images at all.
pub(super) fn rules_text(settings: &Settings, rules: &Rules) {
    match rules {
        Rules::Nothing => out::line(format_args!("images    {}", nothing(settings))),
        Rules::Policy(policy) => {
            out::line(format_args!("images    by {}", settings.image_policy.path.display()));
            for (scope, demands) in policy.summary() {
                out::line(format_args!("  {scope}: {demands}"));
            }
        }
        Rules::Unusable(why) => out::line(format_args!("images    none is taken: {why}")),
    }
}

/// The same for programs.
pub(super) fn rules_json(settings: &Settings, rules: &Rules) -> Value {
    let (usable, why, scopes) = match rules {
        Rules::Nothing => (true, None, None),
        Rules::Policy(policy) => (true, None, Some(policy.summary())),
        Rules::Unusable(why) => (false, Some(why), None),
    };
    let scope = |(at, demands): (String, String)| json!({ "at": at, "demands": demands });
    json!({
        "policy": settings.image_policy.path,
        "demanded": *rules != Rules::Nothing,
        "usable": usable,
        "why": why,
        "scopes": scopes.map(|scopes| scopes.into_iter().map(scope).collect::<Vec<_>>()),
    })
}
