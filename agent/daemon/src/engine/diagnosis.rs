//! All that is known of a board, for somebody far away who has to find out what is wrong with it.
//!
//! Invariant: nothing of what workloads are told (environment, commands, volumes) and no credential is in it, and it
//! fits a reply.

use coracle_core::limits::REPLY_BYTES_MAX;
use coracle_host::supervise::Status;
use coracle_host::{clock, disk, telemetry};
use serde_json::{Value, json};

use super::errands::Hands;
use super::report::word;
use crate::cli::doctor::{self, Handed};

/// Workloads that are told of; a board runs a handful.
const WORKLOADS_MAX: usize = 64;
/// Characters of an error of a workload.
const ERROR_CHARS_MAX: usize = 120;
/// Bytes that a reply needs around its result.
const AROUND_BYTES: usize = 512;

/// Looks at the board now; it takes seconds where a broker or a registry does not answer.
pub(super) fn diagnosis(hands: &Hands, record: &Value) -> Value {
    let settings = &hands.settings;
    let handed = Handed { now: clock::wall(), clock_synced: clock::synced() };
    let findings = doctor::examine(&doctor::Facts::gather(settings, &[], handed));
    let space = disk::space(&settings.state_dir).ok();
    let store = &hands.units.store;
    let statuses = hands.units.supervisor.list();
    let mut told = json!({
        "device": settings.device_id,
        "groups": settings.groups,
        "agent": hands.agent,
        "clock": { "now": handed.now, "synced": handed.clock_synced },
        "board": telemetry::look(),
        "disk": {
            "free": space.map(|space| space.free_bytes),
            "total": space.map(|space| space.total_bytes),
            "owned": store.unpacked_bytes().ok(),
            "images": store.images().ok().map(|images| images.len()),
        },
        "rollout": record,
        "checks": findings,
        "workloads": statuses.iter().take(WORKLOADS_MAX).map(workload).collect::<Vec<_>>(),
        "truncated": statuses.len() > WORKLOADS_MAX,
    });
    for part in ["workloads", "checks", "rollout"] {
        if written(&told) <= REPLY_BYTES_MAX - AROUND_BYTES {
            break;
        }
        if let Some(whole) = told.as_object_mut() {
            whole.remove(part);
            whole.insert("truncated".to_owned(), true.into());
        }
    }
    told
}

fn written(value: &Value) -> usize {
    value.to_string().len()
}

fn workload(status: &Status) -> Value {
    let error = status.error.as_ref().map(|error| error.chars().take(ERROR_CHARS_MAX).collect::<String>());
    json!({
        "id": status.id,
        "state": word(status.phase),
        "restarts": status.restarts,
        "exitCode": status.exit_code,
        "oomKilled": status.oom_killed,
        "since": status.started_at,
        "error": error,
    })
}
