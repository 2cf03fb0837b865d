//! The progress of a pull: a bar for each layer on a terminal, a line for each finished layer elsewhere (and on dumb
//! terminals); and why it is slow, where it is.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use coracle_core::oci::Digest;
use coracle_core::pace::Slowed;

use super::out;
use crate::images::{Step, Watch};

/// Between two drawings; a serial console takes 10 ms for a line.
const DRAW_EVERY: Duration = Duration::from_millis(200);
/// Characters of a bar.
const BAR: u64 = 28;

/// How a layer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Present,
    Coming { done: u64, total: u64 },
    Unpacked(u64),
}

/// How fast all layers come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speed {
    /// As fast as they can, all the time.
    Full,
    /// Slower, because workloads wait.
    Slowed(Slowed),
    /// At full speed again.
    Again,
}

/// Draws what a pull reports.
struct Screen {
    layers: Vec<(Digest, Progress)>,
    pace: Speed,
    terminal: bool,
    drawn: usize,
    last: Option<Instant>,
}

/// Something that shows the steps of a pull on standard error; shows nothing when `quiet`.
pub(super) fn watch(quiet: bool) -> Watch {
    if quiet {
        return Arc::new(|_| {});
    }
    // One that cannot go back to an earlier line says so.
    let terminal = io::stderr().is_terminal() && std::env::var_os("TERM").is_some_and(|name| name != "dumb");
    let screen = Mutex::new(Screen { layers: Vec::new(), pace: Speed::Full, terminal, drawn: 0, last: None });
    Arc::new(move |step| {
        if let Ok(mut screen) = screen.lock() {
            screen.take(&step);
        }
    })
}

impl Screen {
    fn take(&mut self, step: &Step) {
        let (digest, progress) = match *step {
            Step::Present(digest) => (digest, Progress::Present),
            Step::Layer { digest, done, total, .. } => (digest, Progress::Coming { done, total }),
            Step::Unpacked(layer) => (layer.digest, Progress::Unpacked(layer.unpacked)),
            Step::Slowed(slowed) => return self.slow(slowed),
        };
        match self.layers.iter_mut().find(|(known, _)| *known == digest) {
            Some((_, old)) => *old = progress,
            None => self.layers.push((digest, progress)),
        }
        let coming = matches!(progress, Progress::Coming { .. });
        if !self.terminal {
            if !coming {
                out::note(line(digest, progress));
            }
            return;
        }
        let due = self.last.is_none_or(|last| last.elapsed() >= DRAW_EVERY);
        if due || !coming {
            self.draw();
        }
    }

    fn slow(&mut self, slowed: Option<Slowed>) {
        let first = self.pace == Speed::Full;
        self.pace = slowed.map_or(Speed::Again, Speed::Slowed);
        if let Some(slowed) = slowed.filter(|_| first && !self.terminal) {
            // How slow, changes from moment to moment.
            out::note(format_args!("slowed: workloads wait for {}", slowed.resource.word()));
        }
    }

    fn draw(&mut self) {
        let mut text = String::new();
        if self.drawn > 0 {
            // Back to the first line of the last drawing (ECMA-48, CPL).
            let _ = write!(text, "\x1b[{}F", self.drawn);
        }
        for (digest, progress) in &self.layers {
            let _ = writeln!(text, "\x1b[2K{}", line(*digest, *progress));
        }
        let told = match self.pace {
            Speed::Full => None,
            Speed::Slowed(slowed) => Some(slow_line(slowed)),
            Speed::Again => Some(String::new()),
        };
        if let Some(told) = &told {
            let _ = writeln!(text, "\x1b[2K{told}");
        }
        let _ = io::stderr().lock().write_all(text.as_bytes());
        self.drawn = self.layers.len() + usize::from(told.is_some());
        self.last = Some(Instant::now());
    }
}

/// How slow it is, and why.
pub(super) fn slow_line(Slowed { percent, resource }: Slowed) -> String {
    format!("slowed to {percent} %: workloads wait for {}", resource.word())
}

fn line(digest: Digest, progress: Progress) -> String {
    let name = digest.short();
    match progress {
        Progress::Present => format!("{name}  already here"),
        Progress::Unpacked(bytes) => format!("{name}  unpacked, {}", out::bytes(bytes)),
        Progress::Coming { done, total } => {
            let full = usize::try_from((done * BAR).checked_div(total).unwrap_or(BAR)).unwrap_or(0);
            let rest = usize::try_from(BAR).unwrap_or(0).saturating_sub(full);
            let bar = format!("{}{}", "=".repeat(full), " ".repeat(rest));
            format!("{name}  [{bar}] {} of {}", out::bytes(done), out::bytes(total))
        }
    }
}

#[cfg(test)]
mod tests {
    use coracle_core::pace::Resource;

    use super::*;

    #[test]
    fn why_it_is_slow_is_one_line() {
        let slowed = Slowed { percent: 25, resource: Resource::Disk };
        assert_eq!(slow_line(slowed), "slowed to 25 %: workloads wait for the disk");
    }

    #[test]
    fn a_layer_is_one_line_whatever_it_does() {
        let digest = Digest::of(b"");
        for (progress, text) in [
            (Progress::Present, "e3b0c44298fc  already here"),
            (Progress::Unpacked(1024), "e3b0c44298fc  unpacked, 1.0 KiB"),
            (
                Progress::Coming { done: 512, total: 1024 },
                "e3b0c44298fc  [==============              ] 512 B of 1.0 KiB",
            ),
            (
                Progress::Coming { done: 0, total: 0 },
                "e3b0c44298fc  [============================] 0 B of 0 B",
            ),
        ] {
            assert_eq!(line(digest, progress), text);
        }
    }
}
