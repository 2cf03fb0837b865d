//! All that there is to say of one board.

use super::words::{name, span};
use super::{Agent, Facts, Link, Remark, Unwell, gates, passage};
use crate::deployment::Generation;
use crate::fault::Fault;
use crate::pace::Slowed;
use crate::rollout::Place;

/// Everything there is to say, in the order in which a person asks: what the board does, what that waits for, what else
/// is wrong.
#[must_use]
pub fn explain(facts: &Facts<'_>) -> Vec<Remark> {
    let mut remarks = passage::tell(&facts.record.rollout, facts.now);
    remarks.extend(wanted(facts));
    remarks.extend(held(facts));
    remarks.extend(facts.unbelieving.map(unbelieving));
    remarks.extend(facts.imageless.map(imageless));
    remarks.extend(agent(&facts.agent));
    remarks.extend(facts.unwell.iter().map(unwell));
    if !facts.synced {
        let says =
            "the clock follows no time server: windows, expiry and certificates are judged by what it shows";
        remarks.push(Remark::trouble(says).helps("start a time service"));
    }
    remarks.extend(bad(facts));
    remarks
}

/// What documents ask for, where that is not what the passage is about.
fn wanted(facts: &Facts<'_>) -> Vec<Remark> {
    let rollout = &facts.record.rollout;
    let Some((wanted, others)) = facts.record.winner(facts.device, facts.groups) else {
        let says = "no document has come for this board or a group of it";
        let helps =
            "publish one, and look whether `coracle check-config` shows the right device, groups and broker";
        return vec![Remark::waits(says).helps(helps)];
    };
    let mut remarks = Vec::new();
    let generation = &wanted.target.generation;
    let runs = rollout.active.as_ref().is_some_and(|active| active.generation.number == generation.number);
    let spoken_of = rollout.state.generation().is_some_and(|spoken| spoken.number == generation.number);
    if !runs && !spoken_of {
        let known = rollout.known_bad(generation).map(|bad| format!(": {}", bad.fault));
        let says = format!("{} is wanted and does not run{}", name(generation), known.unwrap_or_default());
        remarks
            .push(Remark::waits(says).helps("`coracle retry` tries it again; else publish a new generation"));
    }
    for other in others {
        let says =
            format!("{other} has a document too, which does not count beside that of {}", generation.scope);
        remarks.push(Remark::fact(says));
    }
    remarks
}

/// Holds that no passage names, since none waits.
fn held(facts: &Facts<'_>) -> Option<Remark> {
    let waits = facts.record.rollout.state.place() == Place::BeforeSwitch;
    let why = facts.record.held(facts.device, facts.groups).filter(|_| !waits)?;
    let says = format!("the next update will wait, for updates are held: {why}");
    Some(Remark::waits(says).helps(gates::RELEASE))
}

fn unbelieving((why, helps): &(String, String)) -> Remark {
    Remark::trouble(format!("no document is believed: {why}")).helps(helps)
}

fn imageless(why: &str) -> Remark {
    Remark::trouble(format!("no image is taken: {why}")).helps("mend the policy file, and restart the agent")
}

fn agent(agent: &Agent<'_>) -> Vec<Remark> {
    let live = match agent {
        Agent::Absent => {
            let says = "no agent runs here: what runs goes on, but nothing is updated or reported";
            let helps = "`systemctl start coracle`; `journalctl -u coracle` says why it ended";
            return vec![Remark::trouble(says).helps(helps)];
        }
        Agent::Silent => {
            let says = "the agent runs and does not answer: what follows is from its journal alone";
            return vec![Remark::trouble(says).helps("`journalctl -u coracle`; `systemctl restart coracle`")];
        }
        Agent::Live(live) => live,
    };
    let mut remarks = Vec::new();
    if let Some(Slowed { percent, resource }) = live.slowed {
        let says = format!(
            "its images come at {percent} % of full speed, because workloads wait for {}",
            resource.word()
        );
        let helps = "it is faster once they do not; pace.least_percent says how slow it may be, and a revision with mode \
                     force is not slowed";
        remarks.push(Remark::waits(says).helps(helps));
    }
    match &live.link {
        Link::Up => {}
        Link::NoBroker => {
            let says = "no broker is configured, so the agent hears of no updates";
            remarks.push(Remark::fact(says).helps("set broker.url, if there is one"));
        }
        Link::Unprovisioned { why } => {
            let says = format!("the board waits for its provisioning: {why}");
            let helps = "put it there; the agent looks every few seconds, and goes on by itself";
            remarks.push(Remark::waits(says).helps(helps));
        }
        Link::Down { cause, retry_in_s } => {
            let cause = cause.as_deref().unwrap_or("the first connection is still to come");
            let says = format!("not connected to the broker: {cause}");
            let helps = format!("tried again in {}; `coracle doctor` tries it now", span(*retry_in_s));
            remarks.push(Remark::trouble(says).helps(helps));
        }
    }
    if !live.durable {
        let says = "the journal cannot be written, so nothing new is begun";
        remarks.push(Remark::trouble(says).helps("make room on the disk of the state directory, or mend it"));
    }
    if let Some(fault) = &live.unkept {
        let says = format!("the good deployment could not be kept running: {fault}");
        let helps = fault.hint.clone().unwrap_or_else(|| "tried again every 30 s".to_owned());
        remarks.push(Remark::trouble(says).helps(helps));
    }
    remarks
}

fn unwell(workload: &Unwell) -> Remark {
    let (id, how) = (&workload.id, &workload.how);
    if workload.by_hand {
        return Remark::fact(format!("workload {id} was stopped by hand"))
            .helps(format!("`coracle restart {id}`"));
    }
    Remark::trouble(format!("workload {id}: {how}")).helps(format!("`coracle logs {id}` shows what it said"))
}

/// Generations that are not tried again, but for the one that the passage tells of.
fn bad(facts: &Facts<'_>) -> Vec<Remark> {
    let rollout = &facts.record.rollout;
    let spoken_of = rollout.state.generation();
    let others = rollout.bad.iter().filter(|bad| Some(&bad.generation) != spoken_of);
    let tell = |generation: &Generation, fault: &Fault| {
        Remark::fact(format!("{} is not tried again by itself: {fault}", name(generation)))
    };
    others.map(|bad| tell(&bad.generation, &bad.fault)).collect()
}
