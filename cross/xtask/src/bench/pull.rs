//! Everybody pulls and unpacks the same image.

use std::io;
use std::path::Path;

use coracle_test_support::registry::Registry;

use super::Wish;
use super::containerd::Containerd;
use super::disk::Disk;
use super::docker::Docker;
use super::image::{self, Sample};
use super::ours::Ours;
use super::podman::Podman;
use super::report::{Report, median};
use super::usage::Usage;
use crate::build::mib;
use crate::interrupt;

/// Somebody who can pull an image onto a disk.
pub trait Contender {
    /// As in the names of figures.
    fn name(&self) -> &'static str;

    /// Pulls and unpacks `image` of `host`, keeping everything below `disk`; nothing of it runs afterwards.
    fn pull(&self, disk: &Path, host: &str, image: &str) -> io::Result<Usage>;
}

/// What one pull came to.
struct Run {
    seconds_to_return: f64,
    seconds_to_durable: f64,
    cpu_seconds: f64,
    peak_mib: f64,
    written: f64,
}

/// The medians of a contender.
struct Medians {
    name: &'static str,
    run: Run,
}

/// Measures all of them in turn.
pub fn measure(exe: &Path, wish: &Wish, report: &mut Report) -> io::Result<()> {
    let contenders: [Box<dyn Contender>; 4] = [
        Box::new(Ours { exe: exe.into(), tables: String::new(), group: None }),
        Box::new(Podman),
        Box::new(Containerd),
        Box::new(Docker),
    ];
    let contenders =
        contenders.into_iter().filter(|contender| wish.wants(contender.name())).collect::<Vec<_>>();
    if contenders.is_empty() {
        return Ok(());
    }
    let registry = Registry::start()?;
    eprintln!("making the image");
    let sample = image::publish(&registry.host(), image::LAYERS)?;
    let mut runs = contenders.iter().map(|_| Vec::new()).collect::<Vec<_>>();
    for round in 1..=wish.runs {
        for (contender, runs) in contenders.iter().zip(&mut runs) {
            interrupt::check()?;
            let run = pull_once(contender.as_ref(), &registry, &sample)?;
            let (name, seconds) = (contender.name(), run.seconds_to_return);
            eprintln!("pull {round} of {}: {name}: {seconds:.2} s, {:.1} MiB peak", wish.runs, run.peak_mib);
            runs.push(run);
        }
    }
    let medians = contenders.iter().zip(&runs).map(|(contender, runs)| Medians::of(contender.name(), runs));
    tell(&medians.collect::<Vec<_>>(), &sample, report);
    Ok(())
}

fn pull_once(contender: &dyn Contender, registry: &Registry, sample: &Sample) -> io::Result<Run> {
    let disk = Disk::new()?;
    let usage = contender.pull(&disk.path(), &registry.host(), &sample.name)?;
    let sync = disk.sync()?;
    Ok(Run {
        seconds_to_return: usage.wall.as_secs_f64(),
        seconds_to_durable: (usage.wall + sync).as_secs_f64(),
        cpu_seconds: usage.cpu.as_secs_f64(),
        peak_mib: mib(usage.peak_kib * 1024),
        written: mib(disk.written()?),
    })
}

impl Medians {
    fn of(name: &'static str, runs: &[Run]) -> Self {
        let of = |figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
        let run = Run {
            seconds_to_return: of(|run| run.seconds_to_return),
            seconds_to_durable: of(|run| run.seconds_to_durable),
            cpu_seconds: of(|run| run.cpu_seconds),
            peak_mib: of(|run| run.peak_mib),
            written: of(|run| run.written),
        };
        Self { name, run }
    }
}

fn tell(medians: &[Medians], sample: &Sample, report: &mut Report) {
    let unpacked = mib(sample.unpacked);
    report.add("pull.image_unpacked_mib", unpacked, "all layers as archives");
    report.add("pull.image_blocks_mib", mib(sample.blocks), "all files in whole blocks of 4 KiB");
    report.add("pull.image_packed_mib", mib(sample.packed), "all layers as they travel, gzip");
    let (ours, peers): (Vec<_>, Vec<_>) = medians.iter().partition(|of| of.name == "coracle");
    if let Some(Medians { run, .. }) = ours.first() {
        let over_best = |figure: fn(&Run) -> f64| {
            let best = peers.iter().map(|peer| figure(&peer.run)).min_by(f64::total_cmp);
            best.map_or(f64::NAN, |best| figure(run) / best)
        };
        report.add("pull.peak_rss_mib", run.peak_mib, "most resident at once while pulling");
        let durable = over_best(|run| run.seconds_to_durable);
        report.add(
            "pull.wall_over_best_peer",
            durable,
            "time until the data is on the disk, ours over the best peer's",
        );
        let returned = over_best(|run| run.seconds_to_return);
        report.add(
            "pull.return_over_best_peer",
            returned,
            "time until the command returns, ours over the best peer's",
        );
        report.add(
            "pull.cpu_over_best_peer",
            over_best(|run| run.cpu_seconds),
            "processor time, ours over the best peer's",
        );
        report.add(
            "pull.flash_over_unpacked",
            run.written / unpacked,
            "bytes the disk saw over the unpacked bytes",
        );
        each("pull", run, report);
    }
    for Medians { name, run } in peers {
        let prefix = format!("peer.{name}");
        report.add(&format!("{prefix}.peak_rss_mib"), run.peak_mib, "daemon, if there is one, and client");
        report.add(
            &format!("{prefix}.flash_over_unpacked"),
            run.written / unpacked,
            "bytes the disk saw over the unpacked bytes",
        );
        each(&prefix, run, report);
    }
}

fn each(prefix: &str, run: &Run, report: &mut Report) {
    report.add(&format!("{prefix}.return_s"), run.seconds_to_return, "until the command returns");
    report.add(&format!("{prefix}.wall_s"), run.seconds_to_durable, "until the data is on the disk");
    report.add(&format!("{prefix}.cpu_s"), run.cpu_seconds, "user and system, daemon included");
}
