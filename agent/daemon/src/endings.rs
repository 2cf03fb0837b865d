//! How the last run of a workload ended, in words for whoever has to find out why.

use coracle_host::console::out;
use coracle_host::supervise::Status;

/// The exit code of a process that the kernel or somebody else killed for good.
const KILLED: i32 = 128 + 9;

/// How the last run ended, to stand behind the workload's name: `ended with exit code 3`, `was killed by the kernel: …`.
/// `None` where none has ended. While the next one runs, the exit code is forgotten, and what the kernel did is not.
pub(crate) fn how(status: &Status) -> Option<String> {
    let code = status.exit_code;
    let ended = code.map_or_else(|| "ended".to_owned(), |code| format!("ended with exit code {code}"));
    if !status.oom_killed {
        if code.is_none() && !status.forks_refused {
            return None;
        }
        let refused = if status.forks_refused { ", after the kernel refused it another process" } else { "" };
        return Some(ended + refused);
    }
    let limit = match status.oom_limit {
        Some(bytes) => format!("out of memory, at its limit of {}", out::bytes(bytes)),
        None => "out of memory, at a limit that it shares with others".to_owned(),
    };
    Some(match code {
        None | Some(KILLED) => format!("was killed by the kernel: {limit}"),
        Some(_) => format!("{ended}, after the kernel killed a process of it: {limit}"),
    })
}

/// What a person can do about such an end, where it is more than to read what the workload wrote.
pub(crate) fn remedy(status: &Status) -> Option<&'static str> {
    match (status.oom_killed, status.oom_limit) {
        (true, Some(_)) => Some("find what it keeps, or give it more with mem_limit"),
        (true, None) => Some("find which workload leaks; with a mem_limit each meets its own limit"),
        (false, _) => status.forks_refused.then_some("find what it starts, or give it more with pids_limit"),
    }
}

#[cfg(test)]
mod tests {
    use coracle_core::ident::WorkloadId;

    use super::*;

    #[test]
    fn an_end_is_told_with_who_ended_it_and_why() {
        let check =
            |code: Option<i32>, oom: Option<Option<u64>>, forks_refused: bool, expected: Option<&str>| {
                let status = Status {
                    exit_code: code,
                    oom_killed: oom.is_some(),
                    oom_limit: oom.flatten(),
                    forks_refused,
                    ..Status::starting(&WorkloadId::parse("site.web").unwrap())
                };
                assert_eq!(how(&status).as_deref(), expected);
                assert_eq!(remedy(&status).is_some(), oom.is_some() || forks_refused, "{status:?}");
            };
        check(None, None, false, None);
        check(Some(3), None, false, Some("ended with exit code 3"));
        let refused = "ended with exit code 2, after the kernel refused it another process";
        check(Some(2), None, true, Some(refused));
        let own = "was killed by the kernel: out of memory, at its limit of 64.0 MiB";
        check(Some(137), Some(Some(64 << 20)), false, Some(own));
        let shared = "was killed by the kernel: out of memory, at a limit that it shares with others";
        check(Some(137), Some(None), true, Some(shared));
        check(None, Some(Some(64 << 20)), false, Some(own));
        check(None, None, true, Some("ended, after the kernel refused it another process"));
        let child = "ended with exit code 1, after the kernel killed a process of it: out of memory, at its limit of 4.0 KiB";
        check(Some(1), Some(Some(4096)), false, Some(child));
    }
}
