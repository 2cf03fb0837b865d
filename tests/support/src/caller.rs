//! A client that calls a workload all the time and notes who answered when.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two calls; much shorter than any restart.
const PAUSE: Duration = Duration::from_millis(1);

/// From here on, a time without an answer is told from the pauses of a busy machine.
const SILENCE_MIN: Duration = Duration::from_millis(50);

/// An unbroken run of equal answers.
#[derive(Clone, Debug)]
pub struct Spell {
    /// What was answered.
    pub answer: String,
    /// When the first call that got it was answered.
    pub from: Instant,
    /// The same of the last one.
    pub until: Instant,
    /// The longest time between two of them.
    pub silence: Duration,
}

/// All that was heard.
#[derive(Default)]
struct Heard {
    spells: Vec<Spell>,
    /// Of all times without an answer.
    silence: Duration,
    /// When the last of them ended.
    silent_until: Option<Instant>,
}

/// The client; it ends with this value.
pub struct Caller {
    heard: Arc<Mutex<Heard>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Caller {
    /// Starts calling this loopback port.
    pub fn start(port: u16) -> Self {
        let (heard, stop) = (Arc::new(Mutex::new(Heard::default())), Arc::new(AtomicBool::new(false)));
        let (noted, stopped) = (Arc::clone(&heard), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some(answer) = call(port) {
                    note(&mut noted.lock().unwrap_or_else(PoisonError::into_inner), answer);
                }
                std::thread::sleep(PAUSE);
            }
        });
        Self { heard, stop, thread: Some(thread) }
    }

    /// Who answered so far, in order.
    pub fn spells(&self) -> Vec<Spell> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).spells.clone()
    }

    /// How long nobody answered since the first answer, all times together.
    pub fn silence(&self) -> Duration {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).silence
    }

    /// When somebody answered again after the last time that nobody did.
    pub fn silent_until(&self) -> Option<Instant> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).silent_until
    }

    /// The first spell whose answer is `text`.
    pub fn answered(&self, text: &str) -> Option<Spell> {
        self.spells().into_iter().find(|spell| spell.answer == text)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn note(heard: &mut Heard, answer: String) {
    let now = Instant::now();
    let spells = &mut heard.spells;
    let silence = spells.last().map_or(Duration::ZERO, |last| now - last.until);
    if silence >= SILENCE_MIN {
        heard.silence += silence;
        heard.silent_until = Some(now);
    }
    match spells.last_mut() {
        Some(last) if last.answer == answer => {
            last.silence = last.silence.max(now - last.until);
            last.until = now;
        }
        _ => spells.push(Spell { answer, from: now, until: now, silence: Duration::ZERO }),
    }
}

/// The body of the answer to one request; none when nobody answers in time.
fn call(port: u16) -> Option<String> {
    let patience = Duration::from_millis(500);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.trim().to_owned())
}
