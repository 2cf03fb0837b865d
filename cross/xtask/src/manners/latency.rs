//! What the latencies of a run come to, and how a board tells them.

use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::client::Client;
use super::product::Product;

/// Bytes that are hashed for a request on a board, whose emulated processor is ten times as slow.
const ARITHMETIC: usize = 32 << 10;
/// How often the meter looks whether it is to stop.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Milliseconds of the requests of a run, and how many there were.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
    pub requests: usize,
}

impl Latency {
    /// Of all these.
    pub fn of(mut latencies: Vec<Duration>) -> Self {
        latencies.sort();
        let at = |permille: usize| {
            let place = (latencies.len() * permille / 1000).min(latencies.len().saturating_sub(1));
            latencies.get(place).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
        };
        Self { p50: at(500), p99: at(990), p999: at(999), max: at(1000), requests: latencies.len() }
    }

    fn line(&self) -> String {
        let Self { p50, p99, p999, max, requests } = self;
        format!("{p50:.2} {p99:.2} {p999:.2} {max:.2} {requests}")
    }

    /// Reads what [`meter`] wrote.
    pub fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let mut next = || words.next()?.parse::<f64>().ok();
        let (p50, p99, p999, max) = (next()?, next()?, next()?, next()?);
        Some(Self { p50, p99, p999, max, requests: words.next()?.parse().ok()? })
    }
}

/// The hidden command `meter RECORDS RATE STOP`, for a board: serves and asks until there is a file `STOP`. It says
/// `ready`, and at the end its five figures.
pub fn meter(words: &[String]) -> io::Result<()> {
    let [records, rate, stop] = words else {
        return Err(io::Error::other("meter needs a file of records, a rate, and a file to stop at"));
    };
    let product = Product::serving(Path::new(records), ARITHMETIC)?;
    let client = Client::start(product.port(), rate.parse().map_err(io::Error::other)?)?;
    println!("ready");
    while !Path::new(stop).exists() {
        thread::sleep(LOOK_AGAIN);
    }
    println!("{}", Latency::of(client.stop()?).line());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_meter_reads_as_it_was_written() {
        let latency = Latency::of((1..=1000).map(Duration::from_millis).collect());
        assert_eq!(latency, Latency { p50: 501.0, p99: 991.0, p999: 1000.0, max: 1000.0, requests: 1000 });
        assert_eq!(Latency::read(&latency.line()), Some(latency));
        assert_eq!(Latency::read("1.0 2.0"), None);
    }
}
