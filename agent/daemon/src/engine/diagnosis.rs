//! All that is known of a board, for somebody far away who has to find out what is wrong with it.
//!
//! Invariant: nothing of what workloads are told (environment, commands, volumes) and no credential is in it, and it
//! fits a reply.

use std::time::Duration;

use coracle_core::limits::REPLY_BYTES_MAX;
use coracle_core::service_unit::DOCTOR;
use coracle_host::supervise::{Status, start_unit};
use coracle_host::{clock, disk, files, sandbox, telemetry};
use serde_json::{Value, json};

use super::errands::Hands;
use super::report::word;
use crate::cli::doctor::{self, Handed};

/// Workloads that are told of; a board runs a handful.
const WORKLOADS_MAX: usize = 64;
/// Characters of an error of a workload.
const ERROR_CHARS_MAX: usize = 120;
/// Where the doctor's unit leaves its answer, in the run directory.
const DOCTOR_FILE: &str = "doctor.json";
/// Bytes of that: two dozen findings of a few lines.
const DOCTOR_BYTES_MAX: u64 = 256 << 10;
/// What it may take where neither broker nor registry answers.
const DOCTOR_MAX: Duration = Duration::from_secs(120);
/// Bytes that a reply needs around its result.
const AROUND_BYTES: usize = 512;

/// Looks at the board now; it takes seconds where a broker or a registry does not answer.
pub(super) fn diagnosis(hands: &Hands, record: &Value) -> Value {
    let settings = &hands.settings;
    let handed = Handed { now: clock::wall(), clock_synced: clock::synced() };
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
        "checks": checks(hands, handed),
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

/// What the doctor finds. Its attempts (mounts, namespaces, programs) are not the agent's to make where it is confined:
/// there a unit makes them, and leaves its answer in memory.
fn checks(hands: &Hands, handed: Handed) -> Value {
    let settings = &hands.settings;
    if !sandbox::confined() {
        return json!(doctor::examine(&doctor::Facts::gather(settings, &[], handed)));
    }
    let path = settings.run_dir.join(DOCTOR_FILE);
    let asked = start_unit(DOCTOR, DOCTOR_MAX).map_err(|cause| cause.to_string());
    let told = asked.and_then(|()| {
        let bytes = files::read_bounded(&path, DOCTOR_BYTES_MAX).map_err(|error| error.to_string())?;
        serde_json::from_slice::<Value>(&bytes.unwrap_or_default()).map_err(|error| error.to_string())
    });
    match told {
        Ok(told) => told.get("checks").cloned().unwrap_or_default(),
        Err(why) => {
            let remedy = format!("run `coracle doctor` at the board; systemctl status {DOCTOR} tells more");
            json!([{ "name": "doctor", "verdict": "fail", "found": why, "remedy": remedy }])
        }
    }
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
        "oomLimit": status.oom_limit,
        "forksRefused": status.forks_refused,
        "since": status.started_at,
        "error": error,
    })
}
