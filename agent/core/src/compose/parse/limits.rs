//! `mem_limit`, `mem_reservation`, `cpus`, `pids_limit`, `ulimits`, `deploy`.

use super::ComposeError;
use super::fields::Fields;
use super::node::Node;
use crate::compose::form::{
    FormError, parse_bytes, parse_cpu_milli, parse_duration_ms, parse_pids, parse_ulimit_name, ulimit,
};
use crate::compose::{FailureAction, Service, Ulimit, UpdateConfig, UpdateOrder};

pub(super) fn read(fields: &mut Fields<'_>, service: &mut Service) -> Result<(), ComposeError> {
    let resources = &mut service.resources;
    set(fields, "mem_limit", &mut resources.memory_bytes, parse_bytes)?;
    set(fields, "mem_reservation", &mut resources.memory_reservation_bytes, parse_bytes)?;
    set(fields, "cpus", &mut resources.cpu_milli, parse_cpu_milli)?;
    set(fields, "pids_limit", &mut resources.pids, parse_pids)?;
    if let Some(node) = fields.take("ulimits") {
        for (key, entry) in node.entries()? {
            let name = parse_ulimit_name(key).map_err(|error| entry.refuse(error.to_string()))?;
            service.ulimits.insert(name, limit_pair(&entry)?);
        }
    }
    if let Some(node) = fields.take("deploy") {
        deploy(&node, service)?;
    }
    let resources = &service.resources;
    if let (Some(limit), Some(kept)) = (resources.memory_bytes, resources.memory_reservation_bytes)
        && kept > limit
    {
        return Err(fields.node().refuse("the memory reservation is above the memory limit"));
    }
    Ok(())
}

/// Puts a value into its place; a place that already holds another value was written in two ways that differ.
fn set<T: PartialEq>(
    fields: &mut Fields<'_>,
    key: &str,
    place: &mut Option<T>,
    parse: fn(&str) -> Result<T, FormError>,
) -> Result<(), ComposeError> {
    let Some(node) = fields.take(key) else { return Ok(()) };
    let value = node.form(parse)?;
    if place.as_ref().is_some_and(|held| *held != value) {
        return Err(node.refuse("differs from the same limit written outside deploy"));
    }
    *place = Some(value);
    Ok(())
}

fn limit_pair(node: &Node<'_>) -> Result<Ulimit, ComposeError> {
    let (soft, hard) = if node.is_map() {
        let mut fields = node.fields()?;
        let pair = (fields.need("soft")?.integer()?, fields.need("hard")?.integer()?);
        fields.finish()?;
        pair
    } else {
        let both = node.integer()?;
        (both, both)
    };
    ulimit(&format!("{soft}:{hard}"), soft, hard).map_err(|error| node.refuse(error.to_string()))
}

fn deploy(node: &Node<'_>, service: &mut Service) -> Result<(), ComposeError> {
    let mut fields = node.fields()?;
    if let Some(node) = fields.take("resources") {
        let mut fields = node.fields()?;
        let resources = &mut service.resources;
        if let Some(node) = fields.take("limits") {
            let mut fields = node.fields()?;
            set(&mut fields, "memory", &mut resources.memory_bytes, parse_bytes)?;
            set(&mut fields, "cpus", &mut resources.cpu_milli, parse_cpu_milli)?;
            set(&mut fields, "pids", &mut resources.pids, parse_pids)?;
            fields.finish()?;
        }
        if let Some(node) = fields.take("reservations") {
            let mut fields = node.fields()?;
            set(&mut fields, "memory", &mut resources.memory_reservation_bytes, parse_bytes)?;
            fields.refuse_key("cpus", "a board cannot keep processors free; use limits")?;
            fields.finish()?;
        }
        fields.finish()?;
    }
    if let Some(node) = fields.take("update_config") {
        service.update = update_config(&node)?;
    }
    fields.refuse_key("restart_policy", "use restart")?;
    fields.refuse_key("replicas", "a service runs once on a board")?;
    fields.finish()
}

fn update_config(node: &Node<'_>) -> Result<UpdateConfig, ComposeError> {
    let mut fields = node.fields()?;
    let mut update = UpdateConfig::default();
    if let Some(node) = fields.take("order") {
        update.order = match node.one_of(&["stop-first", "start-first"])? {
            "start-first" => UpdateOrder::StartFirst,
            _ => UpdateOrder::StopFirst,
        };
    }
    if let Some(node) = fields.take("monitor") {
        update.monitor_ms = Some(node.form(parse_duration_ms)?);
    }
    if let Some(node) = fields.take("failure_action") {
        update.failure_action = match node.one_of(&["rollback", "pause"])? {
            "pause" => FailureAction::Pause,
            _ => FailureAction::Rollback,
        };
    }
    fields.finish()?;
    Ok(update)
}
