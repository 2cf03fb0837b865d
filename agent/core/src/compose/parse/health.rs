//! `healthcheck` and `x-coracle-probe`.

use super::ComposeError;
use super::fields::Fields;
use super::node::Node;
use crate::compose::form::parse_duration_ms;
use crate::compose::{Healthcheck, Probe, Probed, Service, Timing};

/// The key of a probe.
const PROBE: &str = "x-coracle-probe";
/// docker's interval and timeout.
const HEALTH_MS: u64 = 30_000;
/// docker's failures in a row.
const HEALTH_RETRIES: u32 = 3;
/// More failures in a row than this are never waited for.
const HEALTH_RETRIES_MAX: u32 = 1000;

pub(super) fn read(fields: &mut Fields<'_>, service: &mut Service) -> Result<(), ComposeError> {
    if let Some(node) = fields.take("healthcheck") {
        service.healthcheck = Some(healthcheck(&node)?);
    }
    if let Some(node) = fields.take(PROBE) {
        if service.healthcheck.is_some() {
            return Err(node.refuse("a service has a healthcheck or a probe, not both"));
        }
        service.probe = Some(probe(&node)?);
    }
    Ok(())
}

fn healthcheck(node: &Node<'_>) -> Result<Healthcheck, ComposeError> {
    let mut fields = node.fields()?;
    let disabled = fields.take("disable").map_or(Ok(false), |node| node.boolean())?;
    let test = match fields.take("test") {
        Some(node) if disabled => return Err(node.refuse("a disabled check has no test")),
        Some(node) => test(&node)?,
        None if disabled => vec!["NONE".to_owned()],
        None => {
            return Err(node.child("test").refuse("is needed; or leave healthcheck out for the image's own"));
        }
    };
    let Timing { interval_ms, timeout_ms, retries, start_period_ms, start_interval_ms } =
        timing(&mut fields)?;
    fields.finish()?;
    Ok(Healthcheck { test, interval_ms, timeout_ms, retries, start_period_ms, start_interval_ms })
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

fn timing(fields: &mut Fields<'_>) -> Result<Timing, ComposeError> {
    let mut timing = Timing {
        interval_ms: HEALTH_MS,
        timeout_ms: HEALTH_MS,
        retries: HEALTH_RETRIES,
        start_period_ms: 0,
        start_interval_ms: None,
    };
    let positive = |node: &Node<'_>| match node.form(parse_duration_ms)? {
        0 => Err(node.refuse("want more than 0")),
        ms => Ok(ms),
    };
    if let Some(node) = fields.take("interval") {
        timing.interval_ms = positive(&node)?;
    }
    if let Some(node) = fields.take("timeout") {
        timing.timeout_ms = positive(&node)?;
    }
    if let Some(node) = fields.take("start_period") {
        timing.start_period_ms = node.form(parse_duration_ms)?;
    }
    if let Some(node) = fields.take("start_interval") {
        timing.start_interval_ms = Some(positive(&node)?);
    }
    if let Some(node) = fields.take("retries") {
        let retries = u32::try_from(node.integer()?).ok().filter(|n| (1..=HEALTH_RETRIES_MAX).contains(n));
        timing.retries = retries.ok_or_else(|| node.refuse(format!("want 1 to {HEALTH_RETRIES_MAX}")))?;
    }
    Ok(timing)
}

fn probe(node: &Node<'_>) -> Result<Probe, ComposeError> {
    let mut fields = node.fields()?;
    let probed = match (fields.take("http"), fields.take("tcp")) {
        (Some(http), None) => self::http(&http)?,
        (None, Some(tcp)) => {
            let mut fields = tcp.fields()?;
            let port = port(&fields.need("port")?)?;
            fields.finish()?;
            Probed::Tcp { port }
        }
        (None, None) | (Some(_), Some(_)) => return Err(node.refuse("want http or tcp, and one of them")),
    };
    let timing = timing(&mut fields)?;
    fields.finish()?;
    Ok(Probe { probed, timing })
}

fn http(node: &Node<'_>) -> Result<Probed, ComposeError> {
    let mut fields = node.fields()?;
    let port = port(&fields.need("port")?)?;
    let path = fields.take("path").map_or(Ok("/".to_owned()), |node| request_path(&node))?;
    if let Some(scheme) = fields.take("scheme") {
        scheme.one_of(&["http"])?;
    }
    let status = fields.take("status").map(|node| status(&node)).transpose()?;
    fields.finish()?;
    Ok(Probed::Http { port, path, status })
}

fn port(node: &Node<'_>) -> Result<u16, ComposeError> {
    let port = u16::try_from(node.integer()?).ok().filter(|port| *port != 0);
    port.ok_or_else(|| node.refuse("want 1 to 65535"))
}

/// A path with its query, as it stands in a request line (RFC 9112, section 3.2.1).
fn request_path(node: &Node<'_>) -> Result<String, ComposeError> {
    let text = node.text()?;
    if !text.starts_with('/') || !text.chars().all(|c| c.is_ascii_graphic() && c != '#') {
        return Err(node.refuse("want an absolute path of a URL, escaped where needed"));
    }
    Ok(text.to_owned())
}

fn status(node: &Node<'_>) -> Result<u16, ComposeError> {
    let status = u16::try_from(node.integer()?).ok().filter(|status| (100..=599).contains(status));
    status.ok_or_else(|| node.refuse("want 100 to 599"))
}
