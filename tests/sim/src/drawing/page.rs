//! Writes down what was seen: two drawings and the tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use coracle_core::rollout::Place;

use super::facts::{Fact, Facts};
use super::happening::{COLUMNS, DRAWN_BY_WORD};
use super::walk::{Outcome, STATES, Step, Walk, walk};

const OPENING: &str = "\
# The rollout machine

`cargo xtask drawing` writes this page: it feeds everything that can happen to the machine itself in every situation that can be reached, and a test holds the page equal to what it saw.
[ADR 6](adr/0006-rollout-machine.md) tells why the machine is as it is, and its code is `agent/core/src/rollout/`.

## By itself

From the top: the main way down to `SUCCEEDED`, the way back by `ROLLING_BACK`, and the ends, from which an arrow leads to the last dot.
Green states are on trial, yellow ones wait for a person, red ones are on the way back; words in parentheses are what an arrow hangs on, and the tables below have all of that.
Documents are drawn from `IDLE` only, since they mean the same in every state; what leaves the state as it is stands in the tables.

";

const BY_WORD: &str = "
## By documents and by a person's word

Where all states of one part of the way answer alike, the arrow starts at that part.

";

const CALLS: &str = "
## What each state calls for

One thing at a time, again and again until its answer comes; a restart asks anew.
The good one is the last deployment that passed its trial.
`·` is for nothing; several in one cell are told apart by what the state knows: how far it is, whether its time has come, whether anything was good before it.

| state | part of the way | calls for | left running meanwhile | wakes by the clock |
| --- | --- | --- | --- | --- |
";

const TABLES: &str = "
## What becomes of each state

`·` is for nothing changes, `↻` for the same state with something counted or noted; words in parentheses say what decides.
`too late` is every answer for a document that is no longer under way.
";

/// Questions whose answers stand at an arrow; the tables have all of them.
const DRAWN: &[&str] = &["policy", "time", "starts", "held", "again", "cause"];

/// The whole page.
#[must_use]
pub fn page() -> String {
    let walk = walk();
    let mut page = String::from(OPENING);
    page.push_str(&by_itself(walk));
    page.push_str(BY_WORD);
    page.push_str(&by_word(walk));
    page.push_str(CALLS);
    for (state, needs) in &walk.needs {
        let cells = [&needs.work, &needs.keep, &needs.wakes].map(|cell| joined(cell, ", or "));
        let [work, keep, wakes] = cells;
        let _ = writeln!(page, "| `{}` | {} | {work} | {keep} | {wakes} |", wire(*state), part(walk, *state));
    }
    page.push_str(TABLES);
    for (heading, events) in COLUMNS {
        let _ = writeln!(page, "\n### {heading}\n\n| state | {} |", events.join(" | "));
        let _ = writeln!(page, "| ---{} |", " | ---".repeat(events.len()));
        for state in 0..STATES.len() {
            let cells: Vec<_> = events.iter().map(|event| cell(walk, state, event)).collect();
            let _ = writeln!(page, "| `{}` | {} |", wire(state), cells.join(" | "));
        }
    }
    page
}

fn wire(state: usize) -> &'static str {
    STATES[state].wire()
}

fn joined(words: &BTreeSet<&'static str>, by: &str) -> String {
    words.iter().copied().collect::<Vec<_>>().join(by)
}

fn part(walk: &Walk, state: usize) -> &'static str {
    match walk.places[&state] {
        Place::BeforeSwitch => "before the switch",
        Place::OnTrial => "on trial",
        Place::Kept => "kept for a look",
        Place::GoingBack => "going back",
        Place::Ended => "ended",
    }
}

fn cell(walk: &Walk, state: usize, event: &str) -> String {
    let outcomes = outcomes(&walk.steps[&(state, event)]);
    let words = outcomes.into_iter().map(|(outcome, when)| {
        let what = match outcome {
            Outcome::To(state) => format!("`{}`", wire(state)),
            Outcome::Stays => "↻".to_owned(),
            Outcome::Nothing => "·".to_owned(),
        };
        format!("{what}{}", when.whole())
    });
    let mut words: Vec<_> = words.collect();
    words.sort_by_key(|words| words.ends_with("(otherwise)"));
    words.join("<br>")
}

/// What an event makes of a state, each with what decides.
fn outcomes(steps: &BTreeSet<Step>) -> BTreeMap<Outcome, When> {
    let of = |steps: &BTreeSet<Step>| {
        let all: BTreeSet<_> = steps.iter().map(|step| step.outcome).collect();
        let each = all.into_iter().map(|outcome| (outcome, when(steps, outcome)));
        let mut outcomes: BTreeMap<_, _> = each.collect();
        let decided = outcomes.values().filter(|when| when.decides).count();
        let alone = outcomes.len() > 1 && decided + 1 == outcomes.len();
        for when in outcomes.values_mut().filter(|when| !when.decides && alone) {
            *when = When { facts: vec![("rest", "otherwise")], decides: true };
        }
        outcomes
    };
    let told_apart = of(steps);
    let both = [Outcome::Stays, Outcome::Nothing];
    let by_chance = |when: &When| !when.decides || when.facts.iter().any(|(question, _)| *question == "time");
    let vague = both.iter().any(|outcome| told_apart.get(outcome).is_some_and(by_chance));
    if !vague || !both.iter().all(|outcome| told_apart.contains_key(outcome)) {
        return told_apart;
    }
    // What is noted, a time above all, may by chance be what was known.
    let noted = |step: &Step| match step.outcome {
        Outcome::Nothing => Step { outcome: Outcome::Stays, ..step.clone() },
        Outcome::To(_) | Outcome::Stays => step.clone(),
    };
    of(&steps.iter().map(noted).collect())
}

/// What decides that an event has one outcome and no other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct When {
    facts: Facts,
    /// Whether these facts suffice.
    decides: bool,
}

impl When {
    /// For a table.
    fn whole(&self) -> String {
        let words: Vec<_> = self.facts.iter().map(|(_, answer)| *answer).collect();
        match (words.is_empty(), self.decides) {
            (true, _) => String::new(),
            (false, true) => format!(" ({})", words.join(", ")),
            (false, false) => format!(" (only when: {})", words.join(", ")),
        }
    }

    /// For an arrow.
    fn short(&self) -> String {
        let drawn = self.facts.iter().filter(|(question, _)| DRAWN.contains(question));
        let words: Vec<_> = drawn.map(|(_, answer)| *answer).collect();
        if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
    }
}

/// The fewest facts that `outcome` always has and that suffice for it; where none suffice, all that others may lack.
fn when(steps: &BTreeSet<Step>, outcome: Outcome) -> When {
    let ours = || steps.iter().filter(|step| step.outcome == outcome);
    let always = |fact: &Fact| ours().all(|step| step.facts.contains(fact));
    let telling = |fact: &Fact| steps.iter().any(|step| !step.facts.contains(fact));
    let first = ours().next().map(|step| step.facts.clone()).unwrap_or_default();
    let mut facts: Facts = first.into_iter().filter(|fact| always(fact) && telling(fact)).collect();
    let suffice = |facts: &Facts| {
        let others = steps.iter().filter(|step| step.outcome != outcome);
        !others.into_iter().any(|step| facts.iter().all(|fact| step.facts.contains(fact)))
    };
    let decides = suffice(&facts);
    for at in (0..facts.len()).rev().filter(|_| decides) {
        let mut fewer = facts.clone();
        fewer.remove(at);
        if suffice(&fewer) {
            facts = fewer;
        }
    }
    When { facts, decides }
}

/// Arrows that are drawn: the labels by where they start and end.
type Arrows = BTreeMap<(String, String), Vec<String>>;

fn by_itself(walk: &Walk) -> String {
    let mut lines = String::from("```mermaid\nstateDiagram-v2\n    [*] --> IDLE\n");
    for state in 0..STATES.len() {
        let mut arrows = BTreeMap::<usize, BTreeMap<String, Vec<&str>>>::new();
        for event in COLUMNS.iter().flat_map(|(_, events)| events.iter()) {
            if DRAWN_BY_WORD.contains(event)
                && (wire(state) != "IDLE" || !["desired", "refused"].contains(event))
            {
                continue;
            }
            for (outcome, when) in outcomes(&walk.steps[&(state, *event)]) {
                if let Outcome::To(to) = outcome {
                    let alike = arrows.entry(to).or_default().entry(when.short()).or_default();
                    alike.push(event);
                }
            }
        }
        for (to, alike) in arrows {
            let labels: Vec<_> =
                alike.iter().map(|(when, events)| format!("{}{when}", events.join(" or "))).collect();
            let _ = writeln!(lines, "    {} --> {}: {}", wire(state), wire(to), labels.join(", "));
        }
    }
    for state in 0..STATES.len() {
        let ends = matches!(walk.places[&state], Place::Ended | Place::Kept);
        if ends && wire(state) != "IDLE" {
            let _ = writeln!(lines, "    {} --> [*]", wire(state));
        }
    }
    for (class, fill, place) in [
        ("trial", "#cdebd0", Place::OnTrial),
        ("kept", "#fbf0c4", Place::Kept),
        ("back", "#f6d0cf", Place::GoingBack),
    ] {
        let states: Vec<_> =
            (0..STATES.len()).filter(|state| walk.places[state] == place).map(wire).collect();
        let _ = writeln!(lines, "    classDef {class} fill:{fill},color:#000");
        let _ = writeln!(lines, "    class {} {class}", states.join(","));
    }
    lines + "```\n"
}

fn by_word(walk: &Walk) -> String {
    let mut lines = String::from("```mermaid\nstateDiagram-v2\n    direction LR\n");
    let mut parts = BTreeMap::<usize, Vec<usize>>::new();
    for state in 0..STATES.len() {
        let alike = (0..STATES.len()).find(|other| walk.places[other] == walk.places[&state]);
        parts.entry(alike.unwrap_or(state)).or_default().push(state);
    }
    let mut arrows = Arrows::new();
    for (number, states) in parts.values().enumerate() {
        let part_name = format!("part{number}");
        let names: Vec<_> = states.iter().copied().map(wire).collect();
        let _ =
            writeln!(lines, "    state \"{} ({})\" as {part_name}", part(walk, states[0]), names.join(", "));
        for event in DRAWN_BY_WORD {
            for (to, from) in ends(walk, states, event) {
                let all = from.len() == states.len();
                let alike = from.iter().all(|(_, when)| Some(when) == from.first().map(|(_, when)| when));
                for (state, when) in &from {
                    let start = if all { part_name.clone() } else { wire(*state).to_owned() };
                    let labels = arrows.entry((start, wire(to).to_owned())).or_default();
                    let label = format!("{event}{}", if alike { when.as_str() } else { "" });
                    if !labels.contains(&label) {
                        labels.push(label);
                    }
                }
            }
        }
    }
    for ((from, to), labels) in arrows.iter().filter(|((from, to), _)| from != to) {
        let _ = writeln!(lines, "    {from} --> {to}: {}", labels.join(", "));
    }
    lines + "```\n"
}

/// Where `event` leads to from any of `states`, each with where from and when.
fn ends(walk: &Walk, states: &[usize], event: &'static str) -> BTreeMap<usize, Vec<(usize, String)>> {
    let mut ends = BTreeMap::<usize, Vec<(usize, String)>>::new();
    for state in states {
        for (outcome, when) in outcomes(&walk.steps[&(*state, event)]) {
            match outcome {
                Outcome::To(to) => ends.entry(to).or_default().push((*state, when.whole())),
                Outcome::Stays => ends.entry(*state).or_default().push((*state, when.whole())),
                Outcome::Nothing => {}
            }
        }
    }
    ends
}
