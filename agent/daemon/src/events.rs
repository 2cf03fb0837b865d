//! The agent's log: one line at the moment of a decision, with its facts as fields. A quiet board writes nothing.

use std::path::Path;
use std::time::Duration;

use coracle_core::fault::{Code, Fault};
use coracle_core::ident::WorkloadId;
use coracle_core::oci::Digest;
use coracle_core::retry::Loss;
use coracle_core::rollout::{Rollout, State, Target};
use coracle_core::trust::Policy;
use coracle_core::trust::image::Rules;
use coracle_host::store::{Collected, StoreError};
use tracing::{error, info, warn};

use crate::engine::JournalError;
use crate::exit::chain;

/// The agent has started.
pub(crate) fn started(device: &str, platforms: &str, broker: &str) {
    info!(version = env!("CARGO_PKG_VERSION"), device, platforms, broker, "agent started");
}

/// The agent ends; workloads go on.
pub(crate) fn ended() {
    info!("agent stopped; workloads go on running");
}

/// Something the board lacks, which the agent does without.
pub(crate) fn lacking(what: &str, why: &str) {
    warn!(why, "{what}");
}

/// A layer that an earlier attempt had begun was of no use.
pub(crate) fn begun_anew(layer: &Digest, why: &StoreError) {
    warn!(layer = %layer, why = %chain(why), "a layer is fetched from its start");
}

/// Images come slower, for what runs on the board needs it.
pub(crate) fn slowed(resource: &str) {
    info!(resource, "the update is fetched slower, because workloads wait");
}

/// Images that nothing needs were removed to make room.
pub(crate) fn collected(collected: &Collected) {
    let Collected { images, layers, bytes, .. } = *collected;
    if (images, layers, bytes) != (0, 0, 0) {
        info!(images, layers, bytes, "removed what nothing needs, to make room");
    }
}

/// The connection to the broker stands.
pub(crate) fn connected(broker: &str) {
    info!(broker, "connected to the broker");
}

/// The files of credentials changed.
pub(crate) fn renewing() {
    info!("credentials for the broker were renewed: connecting with them");
}

/// The broker takes nothing on a topic.
pub(crate) fn not_taken(topic: &str, reason: &str) {
    warn!(
        topic,
        reason,
        "the broker does not take what this board says there: its access list must let the board write"
    );
}

/// The connection to the broker does not stand.
pub(crate) fn disconnected(loss: Loss, reason: &str, retry_in: Duration) {
    let retry_in_s = retry_in.as_secs();
    if loss.is_alarm() {
        error!(
            reason,
            retry_in_s, "the broker turned this board away: somebody must look at its id or credentials"
        );
    } else {
        warn!(reason, retry_in_s, "not connected to the broker");
    }
}

/// A document was accepted.
pub(crate) fn accepted(target: &Target) {
    let generation = &target.generation;
    info!(id = generation.id, scope = generation.scope, gen = generation.number, rev = generation.rev, "document accepted");
}

/// A document was refused.
pub(crate) fn refused(from: &str, fault: &Fault) {
    if fault.code == Code::Equivocation {
        error!(
            from,
            code = fault.code.wire(),
            "document refused: {}; somebody must find out who signs both",
            fault.message()
        );
        return;
    }
    warn!(from, code = fault.code.wire(), "document refused: {}", fault.message());
}

/// Documents that were refused in a flood, of which nothing was said.
pub(crate) fn refused_before(count: u64) {
    if count > 0 {
        warn!(count, "documents were refused faster than they are told of");
    }
}

/// Other keys count than before.
pub(crate) fn keys_replaced(from: &str, trust: &Policy) {
    info!(from, counter = trust.counter(), trust = trust.told(), "keys replaced");
}

/// Whose documents are believed, at the start.
pub(crate) fn believes(trust: &Policy) {
    if let Some((why, _)) = trust.unusable() {
        warn!(why, "no document is believed; what runs goes on");
        return;
    }
    match trust {
        Policy::Keys(_) => info!(counter = trust.counter(), trust = trust.told(), "{}", trust.wants()),
        Policy::Anybody => {
            warn!("{}: whoever may publish on the broker decides what runs here", trust.wants());
        }
        // Said above.
        Policy::Nobody(_) => {}
    }
}

/// What is demanded of images; nothing is said where nothing is.
pub(crate) fn demands(rules: &Rules, file: &Path) {
    match rules {
        Rules::Nothing => {}
        Rules::Policy(_) => info!(policy = %file.display(), "images are held against a policy"),
        Rules::Unusable(why) => warn!(why, "no image is taken; what runs goes on"),
    }
}

/// A command was taken.
pub(crate) fn commanded(verb: &str, from: &str, id: Option<&str>) {
    info!(verb, from, id, "command");
}

/// Commands were not taken: this one, and `count` since the last line of this kind.
pub(crate) fn command_refused(verb: &str, fault: &Fault, count: u64) {
    warn!(verb, code = fault.code.wire(), count, "command refused: {}", fault.message());
}

/// A rollout passed from one state to another.
pub(crate) fn passed(before: &Rollout, after: &Rollout) {
    let (old, new) = (crate::engine::status(&before.state), crate::engine::status(&after.state));
    // Another attempt of the same is told for its reason; a refusal was told where it happened.
    let told = old == new && before.state.attempt() == after.state.attempt();
    if told || matches!(after.state, State::Rejected { .. }) {
        return;
    }
    let generation =
        after.under_way().or_else(|| before.under_way()).map(|(_, generation)| generation.number);
    match after.state.fault() {
        Some(fault) => warn!(
            from = old.wire(),
            to = new.wire(),
            generation,
            code = fault.code.wire(),
            "rollout: {}",
            fault.message()
        ),
        None => info!(from = old.wire(), to = new.wire(), generation, "rollout"),
    }
}

/// The good deployment could not be kept running.
pub(crate) fn not_kept(fault: &Fault) {
    error!(code = fault.code.wire(), "the deployment does not run as it should: {}", fault.message());
}

/// The checks of a workload say that it is not well any more.
pub(crate) fn unhealthy(id: &WorkloadId, why: Option<&str>) {
    warn!(workload = %id, why, "a workload is unhealthy");
}

/// The checks of such a workload pass again.
pub(crate) fn healthy_again(id: &WorkloadId) {
    info!(workload = %id, "a workload is healthy again");
}

/// Something in the store is not what was put there; the agent fetches it again.
pub(crate) fn damaged(what: &str, workloads: &str) {
    error!(workloads, "the store is damaged: {what}");
}

/// What was damaged is sound again.
pub(crate) fn mended(things: usize, layers: usize, bytes: u64) {
    info!(things, layers, bytes, "the store was repaired");
}

/// The journal could not be written: nothing new is begun until it can.
pub(crate) fn journal_failed(error: &JournalError) {
    error!("{}; nothing new is begun until it can be written", chain(error));
}
