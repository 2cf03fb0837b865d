//! `coracle verify`: whether the store still holds what was put into it; with `--repair`, until it does.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use coracle_core::oci::Digest;
use coracle_core::oci::reference::Reference;
use coracle_core::scrub::Problem;
use coracle_host::priority;
use coracle_host::store::{Damage, Depth, Store};
use serde_json::json;

use super::args::Verify;
use super::{context, out, progress};
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::scrub::{self, At, Finding, Inventory, Mended, Report, Thing, Wanted};

/// Digits of a layer's name that are enough, where they name only one.
const DIGITS_LEAST: usize = 6;
/// Between two words of progress to a terminal, and to anything else.
const TELL_EVERY: Duration = Duration::from_millis(200);
const NOTE_EVERY: Duration = Duration::from_secs(10);
/// Damaged entries of one thing that a person is shown; `--json` has more.
const SHOWN_MAX: usize = 10;

/// Looks, tells, and mends where it is asked to.
pub(super) fn verify(settings: &Settings, args: &Verify) -> Result<Exit, Failure> {
    let _ = priority::lower_thread();
    let unexpected = |error| Failure::new(Exit::Unexpected, &error);
    let store = context::store(settings)?;
    let supervisor = context::supervisor(settings)?;
    let inventory = Inventory::take(settings, &store, &supervisor).map_err(unexpected)?;
    let wanted = wanted(&args.names, &store, &inventory)?;
    let began = Instant::now();
    let mut teller = Teller::new(args.json);
    let mut report = scrub::look(&store, &inventory, &wanted, Depth::Content, &mut |at| teller.tell(at))
        .map_err(unexpected)?;
    teller.end();
    let seconds = began.elapsed().as_secs_f64();
    if args.unlisted {
        unlisted_as_damaged(&mut report, &inventory);
    }
    let mended = if args.repair && !report.findings.is_empty() {
        let images = context::images(settings, &store, None)?;
        let watch = progress::watch(args.json);
        let findings = &report.findings;
        Some(context::run(async { Ok(scrub::mend(&images, &inventory, findings, &watch).await) })?)
    } else {
        None
    };
    let mut stale = scrub::sweep(&store, &supervisor).map_err(unexpected)?;
    if args.restart && !stale.is_empty() {
        scrub::restart(&supervisor, &stale).map_err(|error| Failure::new(Exit::Unexpected, &error))?;
        stale = scrub::sweep(&store, &supervisor).map_err(unexpected)?;
    }
    let stale: Vec<String> = stale.iter().map(ToString::to_string).collect();
    if args.json {
        tell_json(&report, mended.as_ref(), &stale, seconds);
    } else {
        tell(&report, mended.as_ref(), &stale, seconds);
    }
    let left = mended.as_ref().map_or(report.findings.len(), |mended| mended.failed.len());
    Ok(if left == 0 { Exit::Done } else { Exit::Unexpected })
}

/// What the words mean: references, or layers by the first digits of their diff IDs.
fn wanted(words: &[String], store: &Store, inventory: &Inventory) -> Result<Wanted, Failure> {
    let mut wanted = Wanted::default();
    let listed = store.all_layers().map_err(|error| Failure::new(Exit::Unexpected, &error))?;
    let of_images = inventory.images.iter().flat_map(|image| image.layers.iter().flatten().copied());
    let layers: BTreeSet<Digest> = listed.into_iter().chain(of_images).collect();
    for word in words {
        let digits = word.strip_prefix("sha256:").unwrap_or(word);
        if digits.len() >= DIGITS_LEAST && digits.chars().all(|c| c.is_ascii_hexdigit()) {
            let named: Vec<_> = layers.iter().filter(|layer| layer.hex().starts_with(digits)).collect();
            match named.as_slice() {
                [one] => {
                    wanted.layers.push(**one);
                    continue;
                }
                [] => {}
                _ => return Err(Failure::usage(format!("{word} begins the names of several layers"))),
            }
        }
        let full = Reference::parse(word).map_err(|error| Failure::new(Exit::Usage, &error))?.to_string();
        if !inventory.images.iter().any(|image| image.reference == full) {
            return Err(Failure::usage(format!(
                "{word} is neither an image nor a layer on this board; `coracle images` lists what there is"
            )));
        }
        wanted.images.push(full);
    }
    Ok(wanted)
}

/// For whoever wants every layer to have a list: those without one are to be fetched again.
fn unlisted_as_damaged(report: &mut Report, inventory: &Inventory) {
    for layer in std::mem::take(&mut report.unlisted) {
        let has = |image: &&scrub::Known| image.layers.iter().flatten().any(|it| *it == layer);
        let images = inventory.images.iter().filter(has).map(|image| image.reference.clone()).collect();
        let on = inventory.users.iter().filter(|user| user.layers.contains(&layer));
        let workloads = on.map(|user| user.id.clone()).collect();
        let damage = vec![Damage { path: Some("list".to_owned()), problem: Problem::Missing }];
        report.findings.push(Finding { thing: Thing::Layer(layer), images, workloads, damage, damaged: 1 });
    }
}

/// Says how far a pass is.
struct Teller {
    quiet: bool,
    terminal: bool,
    told: Instant,
    drawn: bool,
}

impl Teller {
    fn new(quiet: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        Self { quiet, terminal, told: Instant::now(), drawn: false }
    }

    fn tell(&mut self, at: At) {
        let every = if self.terminal { TELL_EVERY } else { NOTE_EVERY };
        if self.quiet || self.told.elapsed() < every {
            return;
        }
        self.told = Instant::now();
        let text = format!("{} of {} layers, {} read", at.layers, at.of, out::bytes(at.bytes));
        if self.terminal {
            self.drawn = true;
            out::draw(format_args!("\r\x1b[2K{text}"));
        } else {
            out::note(text);
        }
    }

    fn end(&self) {
        if self.drawn {
            out::draw("\r\x1b[2K");
        }
    }
}

fn tell(report: &Report, mended: Option<&Mended>, stale: &[String], seconds: f64) {
    for finding in &report.findings {
        let fixed = mended.is_some_and(|mended| mended.things.contains(&finding.thing));
        let of = match finding.images.as_slice() {
            [] => String::new(),
            images => format!(" of {}", images.join(", ")),
        };
        out::line(format_args!("{}{of}: {}", finding.thing, if fixed { "repaired" } else { "damaged" }));
        for damage in finding.damage.iter().take(SHOWN_MAX) {
            let path = damage.path.as_ref().map_or_else(String::new, |path| format!("{path} "));
            out::line(format_args!("  {path}{}", damage.problem));
        }
        let shown = finding.damage.len().min(SHOWN_MAX) as u64;
        if finding.damaged > shown {
            out::line(format_args!("  and {} more", finding.damaged - shown));
        }
        for id in &finding.workloads {
            out::line(format_args!("  {id} runs on it"));
        }
        let failed =
            mended.and_then(|mended| mended.failed.iter().find(|(thing, _)| *thing == finding.thing));
        if let Some((_, why)) = failed {
            out::line(format_args!("  not repaired: {why}"));
        }
    }
    if !report.unlisted.is_empty() {
        let layers = out::count(report.unlisted.len() as u64, "layer");
        out::line(format_args!(
            "{layers} cannot be verified: unpacked by an earlier version; `coracle verify --unlisted --repair` fetches \
             such layers again"
        ));
    }
    if !stale.is_empty() {
        out::line(format_args!(
            "still on the damaged copy: {}; restart with `coracle verify --restart`",
            stale.join(", ")
        ));
    }
    let damaged = match report.findings.len() {
        0 => "nothing damaged".to_owned(),
        count => format!("{count} damaged"),
    };
    let repaired = mended.map_or_else(String::new, |mended| {
        let layers = out::count(mended.layers.len() as u64, "layer");
        let (done, bytes) = (mended.things.len(), mended.bytes);
        format!(", {done} repaired: {layers} and {bytes} bytes fetched")
    });
    out::line(format_args!(
        "verified {} with {} in {seconds:.1} s, {} read: {damaged}{repaired}",
        out::count(report.layers, "layer"),
        if report.entries == 1 { "1 entry".to_owned() } else { format!("{} entries", report.entries) },
        out::bytes(report.bytes),
    ));
}

fn tell_json(report: &Report, mended: Option<&Mended>, stale: &[String], seconds: f64) {
    let describe = |finding: &Finding| {
        let mut value = finding.describe();
        let fixed = mended.is_some_and(|mended| mended.things.contains(&finding.thing));
        let failed =
            mended.and_then(|mended| mended.failed.iter().find(|(thing, _)| *thing == finding.thing));
        if let Some(object) = value.as_object_mut() {
            object.insert("repaired".to_owned(), fixed.into());
            if let Some((_, why)) = failed {
                object.insert("why".to_owned(), why.as_str().into());
            }
        }
        value
    };
    out::json(&json!({
        "layers": report.layers,
        "entries": report.entries,
        "bytes": report.bytes,
        "seconds": seconds,
        "unlisted": report.unlisted,
        "findings": report.findings.iter().map(describe).collect::<Vec<_>>(),
        "fetchedLayers": mended.map_or(0, |mended| mended.layers.len()),
        "fetchedBytes": mended.map_or(0, |mended| mended.bytes),
        "restart": stale,
    }));
}
