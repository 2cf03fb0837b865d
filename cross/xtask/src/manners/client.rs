//! Asks the product at a fixed rate, however long it takes to answer.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::product::REQUEST_BYTES;

/// The longest that an answer may take; a product that is so far behind does not work any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client that asks until it is stopped.
pub struct Client {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<io::Result<usize>>,
    hearing: JoinHandle<io::Result<Vec<Duration>>>,
}

impl Client {
    /// Asks `rate` times a second from now on.
    pub fn start(port: u16, rate: u64) -> io::Result<Self> {
        let mut asks = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        asks.set_nodelay(true)?;
        asks.set_write_timeout(Some(PATIENCE))?;
        let mut hears = asks.try_clone()?;
        hears.set_read_timeout(Some(PATIENCE))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, began) = (Arc::clone(&stop), Instant::now());
        let due = move |request: u64| began + Duration::from_secs(request) / u32::try_from(rate).unwrap_or(1);
        let asking = thread::spawn(move || {
            let mut request = 0;
            while !stopped.load(Ordering::Relaxed) {
                thread::sleep(due(request).saturating_duration_since(Instant::now()));
                asks.write_all(&request.to_le_bytes())?;
                request += 1;
            }
            asks.shutdown(Shutdown::Write)?;
            usize::try_from(request).map_err(io::Error::other)
        });
        let hearing = thread::spawn(move || {
            let (mut latencies, mut answer) = (Vec::new(), [0; REQUEST_BYTES]);
            loop {
                match hears.read_exact(&mut answer) {
                    Ok(()) => latencies.push(due(u64::from_le_bytes(answer)).elapsed()),
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(latencies),
                    Err(error) => return Err(error),
                }
            }
        });
        Ok(Self { stop, asking, hearing })
    }

    /// Asks no more; the latency of each answer, all of which have come.
    pub fn stop(self) -> io::Result<Vec<Duration>> {
        self.stop.store(true, Ordering::Relaxed);
        let gone = |_| io::Error::other("a thread of the client ended");
        let asked = self.asking.join().map_err(gone)??;
        let latencies = self.hearing.join().map_err(gone)??;
        if latencies.len() != asked {
            let heard = latencies.len();
            return Err(io::Error::other(format!("the product answered {heard} of {asked} requests")));
        }
        Ok(latencies)
    }
}
