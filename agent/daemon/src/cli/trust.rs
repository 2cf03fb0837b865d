//! `coracle trust`: whose documents this board believes, and what it demands of images.

use std::path::PathBuf;

use coracle_core::trust::image::Rules;
use coracle_core::trust::{KeyId, Lineage, Policy, PublicKey, RoleName};
use serde_json::{Value, json};

use super::args::{Json, TrustCommand};
use super::{apply, out, trust_image};
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::image_policy;
use crate::trust::{self, Believed};

const ROLES: [RoleName; 2] = [RoleName::Deploy, RoleName::Root];

/// Does what is asked.
pub(super) fn trust(settings: &Settings, command: &TrustCommand) -> Result<Exit, Failure> {
    match command {
        TrustCommand::Show(args) => Ok(show(settings, args)),
        TrustCommand::Install(args) => apply::install(settings, args),
        TrustCommand::Image(args) => trust_image::image(settings, args),
    }
}

/// Shows the keys. It needs no agent.
fn show(settings: &Settings, args: &Json) -> Exit {
    let believed = trust::load(settings);
    let why = believed.policy.unusable().map(|(why, helps)| format!("{why}: {helps}"));
    let rules = image_policy::load(settings);
    if args.json {
        let mut told = json(settings, &believed, why.as_deref());
        if let Some(fields) = told.as_object_mut() {
            fields.insert("images".to_owned(), trust_image::rules_json(settings, &rules));
        }
        out::json(&told);
    } else {
        text(settings, &believed, why.as_deref());
        trust_image::rules_text(settings, &rules);
    }
    let usable = why.is_none() && !matches!(rules, Rules::Unusable(_));
    if usable { Exit::Done } else { Exit::Configuration }
}

/// The keys of a role, each with the file it is from.
fn keys<'a>(
    settings: &Settings,
    believed: &Believed,
    lineage: &'a Lineage,
    role: RoleName,
) -> Vec<(KeyId, &'a PublicKey, PathBuf)> {
    let document = lineage.current();
    let keys = document.role(role).keys.iter();
    let place = |id: &KeyId| believed.places.get(id).cloned().unwrap_or_else(|| trust::file(settings));
    keys.filter_map(|id| document.keys().get(id).map(|key| (*id, key, place(id)))).collect()
}

fn text(settings: &Settings, believed: &Believed, why: Option<&str>) {
    if let Some(why) = why {
        out::line(format_args!("believes nobody: {why}"));
    }
    let Policy::Keys(lineage) = &believed.policy else {
        if why.is_none() {
            out::line(format_args!("believes anybody: {}", believed.policy.wants()));
        }
        return;
    };
    let document = lineage.current();
    out::line(format_args!("counter   {}, {}", document.counter(), origin(lineage)));
    out::line(format_args!("document  {}", document.digest().hex()));
    for role in ROLES {
        let keys = keys(settings, believed, lineage, role);
        let threshold = document.role(role).threshold;
        let needs = if keys.is_empty() {
            "no key: keys can be replaced by a new image alone".to_owned()
        } else {
            format!("{threshold} of {}", out::count(u64::try_from(keys.len()).unwrap_or(0), "key"))
        };
        out::line(format_args!("{:<8}  {needs}", role.to_string()));
        for (id, key, place) in keys {
            out::line(format_args!("  {id}  {:<10}  {}", key.algorithm().to_string(), place.display()));
        }
    }
    if let Some(trouble) = &believed.trouble {
        out::line(format_args!("left out  {trouble}"));
    }
}

fn origin(lineage: &Lineage) -> String {
    match (lineage.rotations(), lineage.image().counter()) {
        (0, 0) => "keys of the image".to_owned(),
        (0, _) => "the image's trust document".to_owned(),
        (count, image) => {
            let count = out::count(u64::try_from(count).unwrap_or(0), "trust document");
            format!("by {count} after the image's, which has {image}")
        }
    }
}

fn json(settings: &Settings, believed: &Believed, why: Option<&str>) -> Value {
    let mut told = json!({
        "trust": believed.policy.told(),
        "counter": believed.policy.counter(),
        "usable": why.is_none(),
        "why": why,
        "trouble": believed.trouble,
    });
    if let (Policy::Keys(lineage), Some(fields)) = (&believed.policy, told.as_object_mut()) {
        let role = |role: RoleName| {
            let keys = keys(settings, believed, lineage, role).into_iter();
            let keys =
                keys.map(|(id, key, place)| json!({ "id": id, "algorithm": key.algorithm(), "file": place }));
            json!({ "threshold": lineage.current().role(role).threshold, "keys": keys.collect::<Vec<_>>() })
        };
        let image = lineage.image().counter();
        fields.insert(
            "roles".to_owned(),
            json!({ "deploy": role(RoleName::Deploy), "root": role(RoleName::Root) }),
        );
        fields.insert("imageCounter".to_owned(), image.into());
        fields.insert("highestCounter".to_owned(), lineage.floor().into());
    }
    told
}
