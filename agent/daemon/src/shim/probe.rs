//! The hidden command `coracle probe`: one look at a port in the network of a container, for its shim.
//!
//! ```text
//! coracle probe NETWORK LIMIT_MS tcp PORT
//! coracle probe NETWORK LIMIT_MS http PORT PATH [STATUS]       NETWORK is a pid, or - for the board's own
//! ```

use std::ffi::OsString;
use std::io::Write as _;
use std::time::Duration;

use coracle_core::compose::Probed;
use coracle_host::probe::{enter_network, http, tcp};
use nix::unistd::Pid;

/// The hidden word of the command line.
pub(crate) const PROBE_COMMAND: &str = "probe";
/// Exit code for a command line that makes no sense.
const USAGE: i32 = 64;
/// What a page that is well is answered with, where nobody said otherwise.
const GOOD: std::ops::RangeInclusive<u16> = 200..=399;

/// The words of the command line that asks for it.
pub(super) fn words(probed: &Probed, network: Option<Pid>, limit: Duration) -> Vec<OsString> {
    let network = network.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
    let mut words = vec![PROBE_COMMAND.to_owned(), network, limit.as_millis().to_string()];
    match probed {
        Probed::Tcp { port } => words.extend(["tcp".to_owned(), port.to_string()]),
        Probed::Http { port, path, status } => {
            words.extend(["http".to_owned(), port.to_string(), path.clone()]);
            words.extend(status.map(|status| status.to_string()));
        }
    }
    words.into_iter().map(OsString::from).collect()
}

/// Runs the command; the words after the hidden one are `words`. What is wrong goes to standard output.
pub(crate) fn main(words: impl Iterator<Item = OsString>) -> i32 {
    let words: Option<Vec<String>> = words.map(|word| word.into_string().ok()).collect();
    match words.as_deref().and_then(parse) {
        None => USAGE,
        Some((network, limit, probed)) => match probe(network, limit, &probed) {
            Ok(()) => 0,
            Err(why) => {
                let _ = writeln!(std::io::stdout(), "{why}");
                1
            }
        },
    }
}

fn parse(words: &[String]) -> Option<(Option<i32>, Duration, Probed)> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (network, limit, rest) = match words.as_slice() {
        ["-", limit, rest @ ..] => (None, limit, rest),
        [pid, limit, rest @ ..] => (Some(pid.parse().ok()?), limit, rest),
        [] | [_] => return None,
    };
    let probed = match rest {
        ["tcp", port] => Probed::Tcp { port: port.parse().ok()? },
        ["http", port, path] => {
            Probed::Http { port: port.parse().ok()?, path: (*path).to_owned(), status: None }
        }
        ["http", port, path, status] => Probed::Http {
            port: port.parse().ok()?,
            path: (*path).to_owned(),
            status: Some(status.parse().ok()?),
        },
        _ => return None,
    };
    Some((network, Duration::from_millis(limit.parse().ok()?), probed))
}

fn probe(network: Option<i32>, limit: Duration, probed: &Probed) -> Result<(), String> {
    if let Some(pid) = network {
        enter_network(pid).map_err(|error| format!("failed to enter the container's network: {error}"))?;
    }
    match probed {
        Probed::Tcp { port } => tcp(*port, limit).map_err(|error| error.to_string()),
        Probed::Http { port, path, status: wanted } => {
            let status = http(*port, path, limit).map_err(|error| error.to_string())?;
            if wanted.map_or(GOOD.contains(&status), |wanted| wanted == status) {
                return Ok(());
            }
            Err(format!("GET {path} on port {port} is answered with status {status}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(probed: Probed, network: Option<i32>, line: &str) {
        let limit = Duration::from_millis(1500);
        let words = words(&probed, network.map(Pid::from_raw), limit);
        let words: Vec<String> = words.into_iter().map(|word| word.into_string().unwrap()).collect();
        assert_eq!(words.join(" "), line);
        assert_eq!(parse(&words[1..]), Some((network, limit, probed)));
    }

    #[test]
    fn what_a_shim_asks_is_understood() {
        let http = |status| Probed::Http { port: 8080, path: "/up?deep=1".to_owned(), status };
        check(Probed::Tcp { port: 80 }, None, "probe - 1500 tcp 80");
        check(http(None), Some(4711), "probe 4711 1500 http 8080 /up?deep=1");
        check(http(Some(204)), None, "probe - 1500 http 8080 /up?deep=1 204");
    }

    #[test]
    fn a_line_that_makes_no_sense_is_refused() {
        for line in ["", "-", "- 1", "- 1 tcp", "- x tcp 80", "- 1 tcp 80 80", "x 1 tcp 80", "- 1 udp 80"] {
            assert_eq!(main(line.split_whitespace().map(OsString::from)), USAGE, "{line:?}");
        }
    }
}
