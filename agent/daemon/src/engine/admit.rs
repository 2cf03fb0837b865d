//! From the bytes of a message to what the record keeps: judged by `core`, with the facts of this board.

use std::path::Path;

use coracle_core::compose::{Defaults, FailureAction};
use coracle_core::deployment::Generation;
use coracle_core::desired::{self, Desired, Facts, Received, Scope, Tags};
use coracle_core::fault::{Code, Fault};
use coracle_core::gate::{self, Approval, Window};
use coracle_core::oci::Platform;
use coracle_core::record::{Record, Wanted};
use coracle_core::rollout::{OnFailure, Target, Terms};
use coracle_core::time::Timestamp;
use coracle_core::trust::{Policy, Verified, Voucher};
use coracle_host::zones;

use super::Clock;
use crate::config::Settings;

/// What a message came to.
pub(super) enum Admission {
    /// No document: what runs is held.
    Empty,
    /// The one that was accepted already.
    Known(Generation),
    /// It changes nothing, and this is why.
    Refused(Fault),
    /// To be remembered, and perhaps obeyed.
    Accepted {
        /// Whose document it is.
        scope: Scope,
        /// The document.
        wanted: Box<Wanted>,
        /// When it was issued.
        issued: Timestamp,
        /// Whether nobody vouches for it.
        unsigned: bool,
    },
}

/// Judges a document.
pub(super) fn document(
    settings: &Settings,
    trust: &Policy,
    platforms: &[Platform],
    record: &Record,
    clock: &Clock,
    bytes: &[u8],
) -> Admission {
    let accepted = record.numbers();
    let facts = Facts {
        device: &settings.device_id,
        groups: &settings.groups,
        trust,
        tags: Tags::from(settings.accept_tags),
        accepted: &accepted,
        clock: clock.facts(record.newest_iat),
        agent: env!("CARGO_PKG_VERSION"),
        platforms,
    };
    let desired = match desired::receive(bytes, &facts) {
        Ok(Received::Empty) => return Admission::Empty,
        Ok(Received::Same(desired)) => return Admission::Known(desired.generation()),
        Ok(Received::Fresh(desired, _)) => desired,
        Err(fault) => return Admission::Refused(fault),
    };
    match target(settings, &desired, clock.steady()) {
        Ok(target) => Admission::Accepted {
            scope: desired.scope.clone(),
            issued: desired.issued,
            unsigned: *desired.voucher() == Voucher::Nobody,
            wanted: Box::new(Wanted { priority: desired.policy.priority, target }),
        },
        Err(fault) => Admission::Refused(fault),
    }
}

/// The document with its projects read: whatever this agent would not obey is refused here, before anything moves.
fn target(settings: &Settings, desired: &Verified<Desired>, now: Timestamp) -> Result<Target, Fault> {
    let defaults = Defaults { network: settings.default_network };
    let projects = desired::projects(&desired.projects, &defaults)?;
    projects.iter().try_for_each(|(name, project)| settings.allowance.judge(name, project))?;
    let (policy, free_bytes) = (&desired.policy, desired.requires.free_bytes());
    let windows = policy.gate.windows.iter().cloned().enumerate();
    let windows = windows.map(|(place, window)| local(place, window)).collect::<Result<_, _>>()?;
    Ok(Target {
        generation: desired.generation(),
        document: desired.digest(),
        gates: gate::Policy { accepted_at: now, free_bytes, windows, ..policy.gate.clone() },
        terms: Terms {
            health_s: policy.health_s,
            soak_s: policy.soak_s,
            attempts: policy.attempts,
            on_failure: match policy.on_failure {
                FailureAction::Rollback => OnFailure::Rollback,
                FailureAction::Pause => OnFailure::Pause,
            },
        },
        approval: Approval::Pending,
        retrials: 0,
        projects,
    })
}

/// The window with the rule of its zone, as this board's database has it today.
fn local(place: usize, window: Window) -> Result<Window, Fault> {
    if !window.zone.is_unruled() {
        return Ok(window);
    }
    let name = window.zone.name.clone();
    let rule = zones::rule(Path::new(zones::DATABASE), &name);
    let zone = rule.ok().flatten().and_then(|rule| window.zone.ruled(&rule));
    let refused = || {
        let message =
            format!("policy.windows[{place}].tz {name:?} is not in this board's {}", zones::DATABASE);
        let hint = "install tzdata on the board, or write the zone's rule: \"CET-1CEST,M3.5.0,M10.5.0/3\"";
        Fault::new(Code::Schema, &message).hint(hint)
    };
    Ok(Window { zone: zone.ok_or_else(refused)?, ..window })
}
