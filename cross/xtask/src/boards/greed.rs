//! A workload that takes all it can get, beside one that answers: the ceilings of all workloads hold, and the board goes
//! on answering to whoever sits at it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coracle_test_support::boards::Board;

use super::passage::Passage;
use super::scene::{Nature, Scene};
use crate::emulated::call;
use crate::interrupt;

/// How long the shell at the board may take for an answer; on a quiet machine it takes a tenth of a second.
const SHELL_MAX: Duration = Duration::from_secs(300);
/// From one look to the next: asking takes the board's time from what is asked about.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a caller of the other workload waits.
const CALL_MAX: Duration = Duration::from_secs(10);
/// What the kernel says of the slice with all workloads, in the order of [`Ceilings::read`].
const ASK: &str = "cd /sys/fs/cgroup/coracle.slice; cat memory.max memory.peak pids.max pids.current; \
                   grep '^oom_kill ' memory.events";

/// What the agent writes of it.
const EVENT: &str = "workload site.greedy was killed by the kernel: out of memory";
/// How often the kernel has to end what leaks before that is taken back: its restart policy starts it again.
const KILLED_MIN: u64 = 3;

/// The kernel goes above a bound by a part of it, for what it cannot refuse (cgroup-v2.rst, `memory.max`): a page was
/// seen.
const OVER: u64 = 64;

/// What was seen of a board while a workload took all it could get.
#[derive(Default)]
struct Pulse {
    ceilings: Ceilings,
    /// Answers of the shell, and the time that the slowest took.
    asked: u32,
    slowest: Duration,
    /// Calls of the other workload, and how many were answered.
    calls: u32,
    answers: u32,
}

/// What the kernel counts for all workloads together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ceilings {
    memory_max: u64,
    memory_peak: u64,
    tasks_max: u64,
    /// The most that were seen at once.
    tasks: u64,
    /// Processes that were ended for want of memory.
    killed: u64,
}

impl Ceilings {
    /// Reads the answer to [`ASK`].
    fn read(said: &str) -> Option<Self> {
        let mut numbers = said.split_whitespace().filter(|word| !word.starts_with("oom"));
        let mut next = || numbers.next()?.parse().ok();
        let (memory_max, memory_peak, tasks_max, tasks) = (next()?, next()?, next()?, next()?);
        Some(Self { memory_max, memory_peak, tasks_max, tasks, killed: next()? })
    }
}

impl Passage {
    /// Waits until the board has given up `bad`, which takes all it can get, and holds what was seen meanwhile, of the
    /// kernel, of a shell at the board and of the good workload beside, against what must not happen.
    pub fn outgrow(&mut self, scene: &Scene, bad: u64, nature: Nature, good: u64) -> io::Result<()> {
        let before = self.unmoved.clone();
        let (board, port, over) = (Arc::clone(&self.board), self.port, AtomicBool::new(false));
        let pulse = std::thread::scope(|scope| {
            let pulse = scope.spawn(|| feel(&board, port, &over));
            let outcome = self.go_back(scene, bad, nature, good);
            over.store(true, Ordering::Relaxed);
            let pulse = pulse.join().map_err(|_| io::Error::other("the watch over the board broke"))?;
            outcome.and(pulse)
        })?;
        let mut wrong = pulse.wrong(nature);
        // Each of its ends under the agent's eyes is an event in the board's journal, which the console shows.
        if nature == Nature::Leaking && !self.board.said().contains(EVENT) {
            wrong.push(format!("the journal has no {EVENT:?}"));
        }
        if self.unmoved != before {
            let (now, before) = (&self.unmoved, &before);
            wrong.push(format!(
                "connection, start and restarts of the good workload were {before} and are {now}"
            ));
        }
        self.row.notes.push(format!("{bad} {}: {}", nature.word(), pulse.words(nature)));
        if wrong.is_empty() { Ok(()) } else { Err(self.with_words(&io::Error::other(wrong.join("; ")))) }
    }
}

impl Pulse {
    /// What must not have happened.
    fn wrong(&self, nature: Nature) -> Vec<String> {
        let held = &self.ceilings;
        let rules = [
            (
                held.memory_peak > held.memory_max + held.memory_max / OVER,
                "the workloads had more memory than their ceiling",
            ),
            (held.tasks > held.tasks_max, "the workloads had more processes than their ceiling"),
            (
                nature == Nature::Leaking && held.killed < KILLED_MIN,
                "what leaks was not ended at the ceiling of memory and started again",
            ),
            (self.asked == 0, "the shell at the board was never heard"),
            (self.answers == 0, "the good workload never answered beside the greedy one"),
        ];
        rules.into_iter().filter(|(broken, _)| *broken).map(|(_, words)| words.to_owned()).collect()
    }

    fn words(&self, nature: Nature) -> String {
        let held = &self.ceilings;
        let (peak, most) = (held.memory_peak >> 20, held.memory_max >> 20);
        let memory =
            format!("{peak} of {most} MiB of memory at the most, {} killed there so far", held.killed);
        let tasks = format!("{} of {} processes seen at once, ", held.tasks, held.tasks_max);
        let ceiling = if nature == Nature::Forking { tasks + &memory } else { memory };
        format!(
            "{ceiling}; {} of {} calls of the other workload answered; a shell of root's answered {} times, in {:.1} s \
             at the most",
            self.answers,
            self.calls,
            self.asked,
            self.slowest.as_secs_f32()
        )
    }
}

/// Asks the shell and calls the workload in turn, until it is `over` and once more.
fn feel(board: &Board, port: u16, over: &AtomicBool) -> io::Result<Pulse> {
    let mut shell = board.shell()?;
    // Its first answer may have to wait for a login.
    shell.ask("true", SHELL_MAX)?;
    let mut pulse = Pulse::default();
    loop {
        let last = over.load(Ordering::Relaxed);
        interrupt::check()?;
        let began = Instant::now();
        let said = shell.ask(ASK, SHELL_MAX)?;
        (pulse.asked, pulse.slowest) = (pulse.asked + 1, pulse.slowest.max(began.elapsed()));
        let now =
            Ceilings::read(&said).ok_or_else(|| io::Error::other(format!("the shell said {said:?}")))?;
        pulse.ceilings = Ceilings { tasks: now.tasks.max(pulse.ceilings.tasks), ..now };
        pulse.calls += 1;
        pulse.answers += u32::from(call(port, CALL_MAX).is_ok_and(|said| !said.is_empty()));
        if last {
            return Ok(pulse);
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read_and_held_against_the_ceilings() {
        let read = Ceilings::read("396361728 396361727 2764 31 oom_kill 4").unwrap();
        let (memory_max, memory_peak, tasks_max) = (396_361_728, 396_361_727, 2764);
        assert_eq!(read, Ceilings { memory_max, memory_peak, tasks_max, tasks: 31, killed: 4 });
        assert_eq!(Ceilings::read("max 396361727 2764 31 oom_kill 4"), None);
        let good = || Pulse {
            asked: 1,
            answers: 1,
            ceilings: Ceilings { killed: 4, ..Ceilings::default() },
            ..Pulse::default()
        };
        assert!(good().wrong(Nature::Leaking).is_empty());
        let mut unharmed = good();
        unharmed.ceilings.killed = 2;
        assert_eq!(unharmed.wrong(Nature::Leaking).len(), 1);
        assert!(unharmed.wrong(Nature::Forking).is_empty());
        let mut above = good();
        (above.ceilings.memory_peak, above.ceilings.tasks) = (1, 1);
        assert_eq!(above.wrong(Nature::Forking).len(), 2);
        assert_eq!(Pulse::default().wrong(Nature::Forking).len(), 2);
    }
}
