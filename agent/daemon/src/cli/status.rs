//! `coracle status`: what the agent last reported, and what runs now.

use std::time::Duration;

use coracle_host::clock;
use serde_json::{Value, json};

use super::args::Json;
use super::{context, out, progress, why, workloads};
use crate::config::Settings;
use crate::engine;
use crate::exit::{Exit, Failure};

/// How long an agent that does not answer is waited for: the rest is known without it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Shows what the agent is doing. Works without a running agent: workloads do not need one.
pub(super) fn status(settings: &Settings, args: &Json) -> Result<Exit, Failure> {
    let supervisor = context::supervisor(settings)?;
    let running = context::agent_runs(settings);
    let reported = engine::last_state(&settings.run_dir);
    // Only the agent itself knows.
    let slowed = if running { why::live(settings, PATIENCE).and_then(|live| live.slowed) } else { None };
    let statuses = supervisor.list();
    if args.json {
        let workloads: Vec<Value> =
            statuses.iter().map(|status| workloads::describe(&supervisor, status)).collect();
        out::json(
            &json!({ "agentRunning": running, "state": reported, "slowed": slowed, "workloads": workloads }),
        );
        return Ok(Exit::Done);
    }
    out::line(format_args!("device    {}", settings.device_id));
    out::line(format_args!(
        "agent     {}",
        if running { "running" } else { "not running; workloads do not need it" }
    ));
    if let Some(state) = &reported {
        for line in describe(state) {
            out::line(line);
        }
    }
    if let Some(slowed) = slowed {
        out::line(format_args!("update    {}", progress::slow_line(slowed)));
    }
    let now = clock::wall();
    for status in &statuses {
        let checked = status.health.as_ref().and_then(|checked| checked.why.as_ref());
        let checked = checked.map_or_else(String::new, |why| format!("; its last check {why}"));
        out::line(format_args!("workload  {}: {}{checked}", status.id, workloads::phase(status, now)));
    }
    Ok(Exit::Done)
}

/// The state document in a few lines.
fn describe(state: &Value) -> Vec<String> {
    let text = |pointer: &str| state.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let number = |pointer: &str| state.pointer(pointer).and_then(Value::as_u64);
    let mut lines = Vec::new();
    if let Some(scope) = text("/desired/scope") {
        let (generation, rev) = (number("/desired/gen").unwrap_or(0), number("/desired/rev").unwrap_or(0));
        lines.push(format!("desired   generation {generation}, revision {rev}, from {scope}"));
    }
    if let Some(status) = text("/deployment/status") {
        let reasons = state.pointer("/deployment/reasons").and_then(Value::as_array);
        let reasons: Vec<&str> = reasons.into_iter().flatten().filter_map(Value::as_str).collect();
        let because = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join(", ")) };
        lines.push(format!("rollout   {status}{because}"));
    }
    if let Some(message) = text("/deployment/error/message") {
        lines.push(format!("error     {}: {message}", text("/deployment/error/code").unwrap_or_default()));
        lines.extend(text("/deployment/error/hint").map(|hint| format!("hint      {hint}")));
    }
    lines.extend(number("/lastGood/gen").map(|good| format!("last good generation {good}")));
    lines
}
