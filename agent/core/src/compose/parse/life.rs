//! `restart`, `depends_on`, `stop_signal`, `stop_grace_period`, `init`.

use std::collections::BTreeMap;

use super::fields::Fields;
use super::node::Node;
use super::{ComposeError, health};
use crate::compose::form::{parse_duration_ms, parse_restart, parse_signal};
use crate::compose::{Condition, Restart, Service};
use crate::ident::ServiceName;
use crate::limits::STOP_GRACE_MS_MAX;

pub(super) fn read(fields: &mut Fields<'_>, service: &mut Service) -> Result<(), ComposeError> {
    if let Some(node) = fields.take("restart") {
        // YAML 1.1 reads a bare `no` as false.
        let off = node.boolean().is_ok_and(|on| !on);
        service.restart = if off { Restart::No } else { node.form(parse_restart)? };
    }
    if let Some(node) = fields.take("depends_on") {
        service.depends_on = depends_on(&node)?;
    }
    health::read(fields, service)?;
    if let Some(node) = fields.take("stop_signal") {
        service.stop_signal = Some(node.form(parse_signal)?);
    }
    if let Some(node) = fields.take("stop_grace_period") {
        service.stop_grace_ms = node.form(parse_duration_ms)?;
        if service.stop_grace_ms > STOP_GRACE_MS_MAX {
            return Err(node.refuse("longer than an hour, and a newer document would have to wait as long"));
        }
    }
    fields.refuse_on("init", "not built yet; put an init into the image")
}

fn depends_on(node: &Node<'_>) -> Result<BTreeMap<ServiceName, Condition>, ComposeError> {
    let name = |node: &Node<'_>, text: &str| {
        ServiceName::parse(text).map_err(|error| node.refuse(error.to_string()))
    };
    if node.is_list() {
        let started = |entry: &Node<'_>| Ok((name(entry, entry.text()?)?, Condition::ServiceStarted));
        return node.list()?.iter().map(started).collect();
    }
    let mut dependencies = BTreeMap::new();
    for (key, entry) in node.entries()? {
        let mut fields = entry.fields()?;
        let words = ["service_started", "service_healthy", "service_completed_successfully"];
        let condition =
            match fields.take("condition").map_or(Ok("service_started"), |node| node.one_of(&words))? {
                "service_healthy" => Condition::ServiceHealthy,
                "service_completed_successfully" => Condition::ServiceCompletedSuccessfully,
                _ => Condition::ServiceStarted,
            };
        fields.refuse_on("restart", "a restart of one service does not restart another")?;
        if let Some(required) = fields.take("required")
            && !required.boolean()?
        {
            return Err(required.refuse("every service of a document runs"));
        }
        fields.finish()?;
        dependencies.insert(name(&entry, key)?, condition);
    }
    Ok(dependencies)
}
