//! The agent's log: one line at the moment of a decision, with its kind and its facts as fields. A quiet board writes
//! nothing.

mod kinds;
mod log;

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

pub(crate) use self::log::{ends_early, start};

use crate::engine::JournalError;
use crate::exit::chain;

/// The agent has started.
pub(crate) fn started(device: &str, platforms: &str, broker: &str) {
    info!(target: kinds::STARTED, version = env!("CARGO_PKG_VERSION"), device, platforms, broker, "agent started");
}

/// The agent ends; workloads go on.
pub(crate) fn ended() {
    info!(target: kinds::ENDED, "agent stopped; workloads go on running");
}

/// Something the board lacks, which the agent does without.
pub(crate) fn lacking(what: &str, why: &str) {
    warn!(target: kinds::LACKING, why, "{what}");
}

/// There is nothing to run containers with.
pub(crate) fn no_runtime(why: &str) {
    warn!(target: kinds::NO_RUNTIME, why, "no workload can be started: there is no usable runtime");
}

/// The record of the rollout cannot be read.
pub(crate) fn no_journal(why: &str) {
    warn!(
        target: kinds::NO_JOURNAL,
        why, "starting without a journal: what runs goes on, the next document is taken anew"
    );
}

/// The board is not provisioned yet.
pub(crate) fn waits(why: &str) {
    warn!(target: kinds::WAITS, why, "this board waits for its provisioning; what runs goes on");
}

/// What was waited for is there.
pub(crate) fn provisioned() {
    info!(target: kinds::PROVISIONED, "this board is provisioned: the agent ends, to be started again with what is new");
}

/// The board's name is made of what may be gone after a boot.
pub(crate) fn unsteady(device: &str) {
    warn!(
        target: kinds::UNSTEADY,
        device, "/etc/machine-id lies in memory: after a boot, this board may have another device id"
    );
}

/// A layer that an earlier attempt had begun was of no use.
pub(crate) fn begun_anew(layer: &Digest, why: &StoreError) {
    warn!(target: kinds::BEGUN_ANEW, layer = %layer, why = %chain(why), "a layer is fetched from its start");
}

/// Images come slower, for what runs on the board needs it.
pub(crate) fn slowed(resource: &str) {
    info!(target: kinds::SLOWED, resource, "the update is fetched slower, because workloads wait");
}

/// Images that nothing needs were removed to make room.
pub(crate) fn collected(collected: &Collected) {
    let Collected { images, layers, bytes, .. } = *collected;
    if (images, layers, bytes) != (0, 0, 0) {
        info!(target: kinds::COLLECTED, images, layers, bytes, "removed what nothing needs, to make room");
    }
}

/// Room was needed, and none could be made.
pub(crate) fn not_collected(why: &str) {
    warn!(target: kinds::NOT_COLLECTED, why, "nothing was removed from the full disk");
}

/// The connection to the broker stands.
pub(crate) fn connected(broker: &str) {
    info!(target: kinds::CONNECTED, broker, "connected to the broker");
}

/// The files of credentials changed.
pub(crate) fn renewing() {
    info!(target: kinds::RENEWED, "credentials for the broker were renewed: connecting with them");
}

/// The broker takes nothing on a topic.
pub(crate) fn not_taken(topic: &str, reason: &str) {
    warn!(target: kinds::NOT_TAKEN,
        topic,
        reason,
        "the broker does not take what this board says there: its access list must let the board write"
    );
}

/// The connection to the broker does not stand.
pub(crate) fn disconnected(loss: Loss, reason: &str, retry_in: Duration) {
    let retry_in_s = retry_in.as_secs();
    if loss.is_alarm() {
        error!(target: kinds::TURNED_AWAY,
            reason,
            retry_in_s, "the broker turned this board away: somebody must look at its id or credentials"
        );
    } else {
        warn!(target: kinds::DISCONNECTED, reason, retry_in_s, "not connected to the broker");
    }
}

/// A document was accepted.
pub(crate) fn accepted(target: &Target) {
    let generation = &target.generation;
    info!(target: kinds::ACCEPTED, id = generation.id, scope = generation.scope, gen = generation.number, rev = generation.rev, "document accepted");
}

/// A document was refused.
pub(crate) fn refused(from: &str, fault: &Fault) {
    if fault.code == Code::Equivocation {
        error!(target: kinds::EQUIVOCATION,
            from,
            code = fault.code.wire(),
            "document refused: {}; somebody must find out who signs both",
            fault.message()
        );
        return;
    }
    warn!(target: kinds::REFUSED, from, code = fault.code.wire(), "document refused: {}", fault.message());
}

/// Documents that were refused in a flood, of which nothing was said.
pub(crate) fn refused_before(count: u64) {
    if count > 0 {
        warn!(target: kinds::FLOOD, count, "documents were refused faster than they are told of");
    }
}

/// Other keys count than before.
pub(crate) fn keys_replaced(from: &str, trust: &Policy) {
    info!(target: kinds::KEYS_REPLACED, from, counter = trust.counter(), trust = trust.told(), "keys replaced");
}

/// A saved document that replaced keys is left out.
pub(crate) fn keys_unusable(why: &str) {
    warn!(target: kinds::KEYS_UNUSABLE, why, "a document that replaced keys does not hold, and is left out");
}

/// Whose documents are believed, at the start.
pub(crate) fn believes(trust: &Policy) {
    if let Some((why, _)) = trust.unusable() {
        warn!(target: kinds::BELIEVES_NOBODY, why, "no document is believed; what runs goes on");
        return;
    }
    match trust {
        Policy::Keys(_) => {
            info!(target: kinds::BELIEVES, counter = trust.counter(), trust = trust.told(), "{}", trust.wants());
        }
        Policy::Anybody => {
            warn!(target: kinds::BELIEVES_ANYBODY, "{}: whoever may publish on the broker decides what runs here", trust.wants());
        }
        // Said above.
        Policy::Nobody(_) => {}
    }
}

/// What is demanded of images; nothing is said where nothing is.
pub(crate) fn demands(rules: &Rules, file: &Path) {
    match rules {
        Rules::Nothing => {}
        Rules::Policy(_) => {
            info!(target: kinds::IMAGES_DEMANDED, policy = %file.display(), "images are held against a policy");
        }
        Rules::Unusable(why) => {
            warn!(target: kinds::IMAGES_REFUSED, why, "no image is taken; what runs goes on");
        }
    }
}

/// A command was taken.
pub(crate) fn commanded(verb: &str, from: &str, id: Option<&str>) {
    info!(target: kinds::COMMANDED, verb, from, id, "command");
}

/// Commands were not taken: this one, and `count` since the last line of this kind.
pub(crate) fn command_refused(verb: &str, fault: &Fault, count: u64) {
    warn!(target: kinds::COMMAND_REFUSED, verb, code = fault.code.wire(), count, "command refused: {}", fault.message());
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
        Some(fault) => warn!(target: kinds::FAILED,
            from = old.wire(),
            to = new.wire(),
            generation,
            code = fault.code.wire(),
            "rollout: {}",
            fault.message()
        ),
        None => info!(target: kinds::PASSED, from = old.wire(), to = new.wire(), generation, "rollout"),
    }
}

/// The good deployment could not be kept running.
pub(crate) fn not_kept(fault: &Fault) {
    error!(target: kinds::NOT_KEPT, code = fault.code.wire(), "the deployment does not run as it should: {}", fault.message());
}

/// The kernel ended a workload, or a process of it, or refused it one, for it met a limit.
pub(crate) fn out_of_bounds(id: &WorkloadId, how: &str, restarts: u32) {
    warn!(target: kinds::OUT_OF_BOUNDS, workload = %id, restarts, "workload {id} {how}");
}

/// The checks of a workload say that it is not well any more.
pub(crate) fn unhealthy(id: &WorkloadId, why: Option<&str>) {
    warn!(target: kinds::UNHEALTHY, workload = %id, why, "a workload is unhealthy");
}

/// The checks of such a workload pass again.
pub(crate) fn healthy_again(id: &WorkloadId) {
    info!(target: kinds::HEALTHY, workload = %id, "a workload is healthy again");
}

/// Something in the store is not what was put there; the agent fetches it again.
pub(crate) fn damaged(what: &str, workloads: &str) {
    error!(target: kinds::DAMAGED, workloads, "the store is damaged: {what}");
}

/// It could not be fetched again; that is tried once more.
pub(crate) fn not_repaired(what: &str, why: &str) {
    warn!(target: kinds::NOT_REPAIRED, why, "{what} is damaged and was not repaired");
}

/// What was damaged is sound again.
pub(crate) fn mended(things: usize, layers: usize, bytes: u64) {
    info!(target: kinds::REPAIRED, things, layers, bytes, "the store was repaired");
}

/// The journal could not be written: nothing new is begun until it can.
pub(crate) fn journal_failed(error: &JournalError) {
    error!(target: kinds::NOT_WRITTEN, "{}; nothing new is begun until it can be written", chain(error));
}
