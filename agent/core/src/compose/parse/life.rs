//! `restart`, `depends_on`, `healthcheck`, `stop_signal`, `stop_grace_period`, `init`.

use std::collections::BTreeMap;

use super::ComposeError;
use super::fields::Fields;
use super::node::Node;
use crate::compose::form::{parse_duration_ms, parse_restart, parse_signal};
use crate::compose::{Condition, Healthcheck, Restart, Service};
use crate::ident::ServiceName;
use crate::limits::STOP_GRACE_MS_MAX;

/// docker's interval and timeout.
const HEALTH_MS: u64 = 30_000;
/// docker's failures in a row.
const HEALTH_RETRIES: u32 = 3;
/// More failures in a row than this are never waited for.
const HEALTH_RETRIES_MAX: u32 = 1000;

pub(super) fn read(fields: &mut Fields<'_>, service: &mut Service) -> Result<(), ComposeError> {
    if let Some(node) = fields.take("restart") {
        // YAML 1.1 reads a bare `no` as false.
        let off = node.boolean().is_ok_and(|on| !on);
        service.restart = if off { Restart::No } else { node.form(parse_restart)? };
    }
    if let Some(node) = fields.take("depends_on") {
        service.depends_on = depends_on(&node)?;
    }
    if let Some(node) = fields.take("healthcheck") {
        service.healthcheck = healthcheck(&node)?;
    }
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

fn healthcheck(node: &Node<'_>) -> Result<Option<Healthcheck>, ComposeError> {
    let mut fields = node.fields()?;
    let disabled = fields.take("disable").map_or(Ok(false), |node| node.boolean())?;
    let mut check = Healthcheck {
        test: vec!["NONE".to_owned()],
        interval_ms: HEALTH_MS,
        timeout_ms: HEALTH_MS,
        retries: HEALTH_RETRIES,
        start_period_ms: 0,
    };
    match fields.take("test") {
        Some(node) if disabled => return Err(node.refuse("a disabled check has no test")),
        Some(node) => check.test = test(&node)?,
        None if disabled => {}
        None => {
            return Err(node.child("test").refuse("is needed; or leave healthcheck out for the image's own"));
        }
    }
    for (key, place) in [
        ("interval", &mut check.interval_ms),
        ("timeout", &mut check.timeout_ms),
        ("start_period", &mut check.start_period_ms),
    ] {
        if let Some(node) = fields.take(key) {
            *place = node.form(parse_duration_ms)?;
            if *place == 0 && key != "start_period" {
                return Err(node.refuse("want more than 0"));
            }
        }
    }
    if let Some(node) = fields.take("retries") {
        let retries = u32::try_from(node.integer()?).ok().filter(|n| (1..=HEALTH_RETRIES_MAX).contains(n));
        check.retries = retries.ok_or_else(|| node.refuse(format!("want 1 to {HEALTH_RETRIES_MAX}")))?;
    }
    fields.finish()?;
    Ok(Some(check))
}

fn test(node: &Node<'_>) -> Result<Vec<String>, ComposeError> {
    if node.is_text() {
        return Ok(vec!["CMD-SHELL".to_owned(), node.text()?.to_owned()]);
    }
    let test = node.texts()?;
    let words: Vec<&str> = test.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["NONE"] | ["CMD-SHELL", _] | ["CMD", _, ..] => Ok(test),
        _ => Err(node.refuse("want [\"NONE\"], [\"CMD\", program, …] or [\"CMD-SHELL\", line]")),
    }
}
