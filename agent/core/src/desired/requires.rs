//! What a document needs of the board before it is accepted.

use crate::fault::{Code, Fault, Phase};
use crate::fields::{Fields, schema};
use crate::oci::Platform;

/// Needs of a document; empty means none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requires {
    agent: Vec<Comparator>,
    free_bytes: u64,
    platforms: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Comparator {
    operator: Operator,
    version: [u64; 3],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Least,
    Above,
    Most,
    Below,
    Exact,
}

impl Requires {
    pub(super) fn parse(mut fields: Fields) -> Result<Self, Fault> {
        let agent = match fields.text("agent")? {
            None => Vec::new(),
            Some(text) => text.split(',').map(comparator).collect::<Option<_>>().ok_or_else(|| {
                schema(&fields.path("agent"), "is not a list of comparisons such as \">=0.4, <2\"")
            })?,
        };
        let free_bytes = fields.number("freeBytes", 0, u64::MAX)?.unwrap_or(0);
        let path = fields.path("platform");
        let mut platforms = Vec::new();
        for value in fields.list("platform")? {
            let text = value.as_str().filter(|text| (2..=3).contains(&text.split('/').count()));
            platforms.push(text.ok_or_else(|| schema(&path, "is not a list of platforms"))?.to_owned());
        }
        fields.end()?;
        Ok(Self { agent, free_bytes, platforms })
    }

    /// Bytes that must be free before the download. No reason to refuse the document: room comes and goes.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.free_bytes
    }

    /// Whether the board has what does not change by itself: the agent's version and what it can execute.
    pub(super) fn met(&self, agent: &str, board: &[Platform]) -> Result<(), Fault> {
        if !self.agent.iter().all(|wanted| version(agent).is_some_and(|own| wanted.fits(own))) {
            let message = format!("document requires another agent than {agent}");
            return Err(Fault::new(Code::AgentVersion, &message).hint("update the agent first"));
        }
        if !self.platforms.is_empty() && !self.platforms.iter().any(|p| board.iter().any(|own| same(p, own)))
        {
            let own: Vec<String> = board.iter().map(ToString::to_string).collect();
            let message =
                format!("document is for {}; this board runs {}", self.platforms.join(", "), own.join(", "));
            return Err(Fault::new(Code::Platform, &message).in_phase(Phase::Verify));
        }
        Ok(())
    }
}

impl Comparator {
    fn fits(&self, own: [u64; 3]) -> bool {
        match self.operator {
            Operator::Least => own >= self.version,
            Operator::Above => own > self.version,
            Operator::Most => own <= self.version,
            Operator::Below => own < self.version,
            Operator::Exact => own == self.version,
        }
    }
}

fn comparator(text: &str) -> Option<Comparator> {
    let text = text.trim();
    let operators = [
        (">=", Operator::Least),
        (">", Operator::Above),
        ("<=", Operator::Most),
        ("<", Operator::Below),
        ("=", Operator::Exact),
    ];
    let (operator, rest) =
        operators.iter().find_map(|(sign, operator)| Some((*operator, text.strip_prefix(sign)?)))?;
    Some(Comparator { operator, version: version(rest.trim())? })
}

/// One to three numbers; a pre-release or build suffix is not compared.
fn version(text: &str) -> Option<[u64; 3]> {
    let numbers = text.split(['-', '+']).next()?;
    let mut version = [0; 3];
    let parts: Vec<&str> = numbers.split('.').collect();
    if parts.len() > version.len() {
        return None;
    }
    for (slot, part) in version.iter_mut().zip(parts) {
        *slot = part.parse().ok()?;
    }
    Some(version)
}

/// Whether `own` is what `wanted` names; without a variant every one of the architecture is.
fn same(wanted: &str, own: &Platform) -> bool {
    let mut parts = wanted.split('/');
    let plain = |architecture: &str, variant: &str| {
        matches!((architecture, variant), ("arm64", "v8") | ("amd64", "v1"))
    };
    let written = |variant: Option<&str>| variant.filter(|v| !plain(&own.architecture, v)).map(str::to_owned);
    if parts.next() != Some(&own.os) || parts.next() != Some(&own.architecture) {
        return false;
    }
    parts.next().is_none_or(|variant| written(Some(variant)) == written(own.variant.as_deref()))
}
