//! `coracle doctor`: whether this board has what containers need, and what to do where it does not.
//!
//! Invariant: facts are gathered first, in `facts`; the checks are functions of them and look at nothing else.

mod cgroups;
mod checks;
mod facts;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub(crate) use facts::{Facts, Handed};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Ok,
    /// The agent works, but something will not.
    Warn,
    /// Workloads or updates will not work.
    Fail,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Stable, for scripts.
    pub(crate) name: &'static str,
    pub(crate) verdict: Verdict,
    /// What was found.
    pub(crate) found: String,
    /// What to do; absent where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

impl Finding {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, found: found.into(), remedy: None }
    }

    fn warn(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warn, found: found.into(), remedy: Some(remedy.into()) }
    }

    fn fail(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Fail, found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// All findings, in the order of a boot: kernel, board, network.
pub(crate) fn examine(facts: &Facts) -> Vec<Finding> {
    checks::all(facts)
}

/// Whether nothing failed; the exit code is 0 then, else 1.
pub(crate) fn passed(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.verdict != Verdict::Fail)
}

/// For people: a line a check, the remedy below it.
pub(crate) fn text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for finding in findings {
        lines.push(format!("{:4}  {:width$}  {}", finding.verdict.word(), finding.name, finding.found));
        if let Some(remedy) = &finding.remedy {
            lines.push(format!("{:6}{:width$}  -> {remedy}", "", ""));
        }
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    lines.push(format!(
        "{} ok, {} to look at, {} failed",
        count(Verdict::Ok),
        count(Verdict::Warn),
        count(Verdict::Fail)
    ));
    lines.join("\n")
}

/// For programs.
pub(crate) fn json(findings: &[Finding]) -> serde_json::Value {
    serde_json::json!({ "passed": passed(findings), "checks": findings })
}
