//! What a workload wrote, in memory and bounded: two files, the older of which is dropped when the newer is full.
//!
//! Each line is as Kubernetes' container runtimes write it: `<RFC 3339 time> <stdout|stderr> <F|P> <text>`,
//! `P` where the line goes on in the next entry.
//!
//! Invariant: a full file system or a burst loses output, never stops the workload.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use coracle_core::time::Timestamp;

use super::journal::Journal;
use super::place::Place;

const FILE: &str = "log";
const OLDER: &str = "log.1";
/// Bytes of one entry's text; docker's bound.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// Bytes of both files below which rotating would lose nearly everything.
const LOG_BYTES_MIN: u64 = 8 << 10;

/// Which of a process's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, or the terminal.
    Out,
    /// Standard error.
    Err,
}

/// The log of one workload, as its shim writes it.
#[derive(Debug)]
pub struct Log {
    place: Place,
    file: Option<File>,
    written: u64,
    file_bytes_max: u64,
    open_lines: [Vec<u8>; 2],
    journal: Option<Journal>,
}

impl Log {
    /// Opens the log at `place`, to hold `bytes_max` in all.
    #[must_use]
    pub fn open(place: &Place, bytes_max: u64) -> Self {
        let file_bytes_max = bytes_max.max(LOG_BYTES_MIN) / 2;
        let mut log = Self {
            place: place.clone(),
            file: None,
            written: 0,
            file_bytes_max,
            open_lines: Default::default(),
            journal: None,
        };
        log.reopen();
        log
    }

    /// Has every line go to the journal, too.
    #[must_use]
    pub fn also_to(mut self, journal: Option<Journal>) -> Self {
        self.journal = journal;
        self
    }

    /// Takes bytes as they come and writes whole lines.
    pub fn take(&mut self, stream: Stream, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let mut rest = piece;
            loop {
                let line = self.open_line(stream);
                let room = TEXT_BYTES_MAX - line.len();
                let (now, later) = rest.split_at(room.min(rest.len()));
                line.extend_from_slice(now);
                rest = later;
                if line.last() == Some(&b'\n') {
                    line.pop();
                    self.write(stream, b'F');
                } else if line.len() >= TEXT_BYTES_MAX {
                    self.write(stream, b'P');
                }
                if rest.is_empty() {
                    break;
                }
            }
        }
    }

    /// Writes lines that have no end yet: their process is gone.
    pub fn finish(&mut self) {
        for stream in [Stream::Out, Stream::Err] {
            if !self.open_line(stream).is_empty() {
                self.write(stream, b'F');
            }
        }
    }

    fn open_line(&mut self, stream: Stream) -> &mut Vec<u8> {
        let [out, err] = &mut self.open_lines;
        match stream {
            Stream::Out => out,
            Stream::Err => err,
        }
    }

    fn write(&mut self, stream: Stream, whole: u8) {
        let name = match stream {
            Stream::Out => "stdout",
            Stream::Err => "stderr",
        };
        let mut entry = format!("{} {name} {} ", now_rfc3339(), char::from(whole)).into_bytes();
        let mut line = std::mem::take(self.open_line(stream));
        if let Some(journal) = &mut self.journal {
            journal.pass(stream, &line);
        }
        entry.append(&mut line);
        entry.push(b'\n');
        // A long line's memory is given back: the shim lives for months.
        line.shrink_to(1 << 10);
        *self.open_line(stream) = line;
        let size = u64::try_from(entry.len()).unwrap_or(u64::MAX);
        if self.written.saturating_add(size) > self.file_bytes_max {
            let _ = fs::rename(self.place.join(FILE), self.place.join(OLDER));
            self.reopen();
        }
        if let Some(file) = &mut self.file
            && file.write_all(&entry).is_ok()
        {
            self.written = self.written.saturating_add(size);
        }
    }

    fn reopen(&mut self) {
        self.file = OpenOptions::new().create(true).append(true).open(self.place.join(FILE)).ok();
        self.written =
            self.file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |found| found.len());
    }
}

/// The last `lines` entries of the log at `place`, oldest first.
///
/// # Errors
/// That of the file system; no log at all is empty.
pub fn tail(place: &Place, lines: usize) -> io::Result<Vec<String>> {
    let mut last = VecDeque::new();
    for name in [OLDER, FILE] {
        let file = match File::open(place.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        // An entry is bounded where it is written; the bound holds against a damaged file.
        let mut reader = BufReader::new(file);
        loop {
            let mut line = Vec::new();
            let bound = u64::try_from(TEXT_BYTES_MAX).unwrap_or(u64::MAX) + 128;
            if reader.by_ref().take(bound).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            last.push_back(String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned());
            if last.len() > lines {
                last.pop_front();
            }
        }
    }
    Ok(last.into())
}

fn now_rfc3339() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = Timestamp(now.as_secs()).rfc3339();
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), now.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(std::path::PathBuf);

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn dir(name: &str) -> (Dir, Place) {
        let path = std::env::temp_dir().join(format!("coracle-log-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let place = Place::at(&path);
        (Dir(path), place)
    }

    fn texts(place: &Place, lines: usize) -> Vec<String> {
        let entry = |line: String| line.split_once(' ').unwrap().1.to_owned();
        tail(place, lines).unwrap().into_iter().map(entry).collect()
    }

    #[test]
    fn lines_of_both_streams_are_kept_whole() {
        let (_dir, place) = dir("whole");
        let mut log = Log::open(&place, 1 << 20);
        log.take(Stream::Out, b"one\ntw");
        log.take(Stream::Err, b"bad\n\n");
        log.take(Stream::Out, b"o\nend");
        log.finish();
        assert_eq!(
            texts(&place, 9),
            ["stdout F one", "stderr F bad", "stderr F ", "stdout F two", "stdout F end"]
        );
        assert_eq!(texts(&place, 1), ["stdout F end"]);
    }

    #[test]
    fn a_burst_is_bounded_and_the_newest_is_kept() {
        let (_dir, place) = dir("burst");
        let mut log = Log::open(&place, 40 << 10);
        log.take(Stream::Out, &[b'x'; 20 << 10]);
        log.take(Stream::Out, b"\n");
        for number in 0..5000 {
            log.take(Stream::Out, format!("line {number}\n").as_bytes());
        }
        let size = |name: &str| fs::metadata(place.join(name)).map_or(0, |found| found.len());
        assert!(size(FILE) + size(OLDER) <= 40 << 10 && size(OLDER) > 0);
        assert_eq!(texts(&place, 2), ["stdout F line 4998", "stdout F line 4999"]);
    }

    #[test]
    fn a_line_longer_than_an_entry_is_marked_as_going_on() {
        let (_dir, place) = dir("long");
        let mut log = Log::open(&place, 1 << 20);
        log.take(Stream::Out, &[b'x'; TEXT_BYTES_MAX + 3]);
        log.take(Stream::Out, b"\n");
        let found = texts(&place, 9);
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("stdout P x") && found[1] == "stdout F xxx");
    }
}
