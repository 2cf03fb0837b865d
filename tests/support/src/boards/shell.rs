//! A shell of root's on a board's serial line, asked one thing at a time.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often it is looked whether it has answered.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// After how long it is asked once more: a shell that is only starting throws away what it was told before its prompt.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// Bytes of the line that are kept while an answer is waited for.
const HEARD_MAX: usize = 1 << 20;

/// The line of one board; one can be open at a time.
#[derive(Debug)]
pub struct Shell {
    line: UnixStream,
    asked: u32,
}

impl Shell {
    pub(super) fn open(socket: &Path) -> io::Result<Self> {
        let line = UnixStream::connect(socket)?;
        line.set_read_timeout(Some(LOOK_AGAIN))?;
        Ok(Self { line, asked: 0 })
    }

    /// What `command` writes, its lines joined by spaces.
    ///
    /// # Errors
    /// That of the line, or `TimedOut` where no answer comes in `patience`.
    pub fn ask(&mut self, command: &str, patience: Duration) -> io::Result<String> {
        self.asked += 1;
        let began = Instant::now();
        // What is typed is shown as well, but only what the shell makes of it reads `<answer 1>`. Ctrl-U takes away what
        // was typed before and not sent.
        let typed = format!("\x15echo \"<ans\"wer {}'>' $({command}) '</'answer'>'\n", self.asked);
        let start = format!("<answer {}>", self.asked);
        let (mut sent, mut heard) = (None, Vec::new());
        while began.elapsed() < patience {
            if sent.is_none_or(|sent: Instant| sent.elapsed() > ASK_AGAIN) {
                sent = Some(Instant::now());
                self.line.write_all(typed.as_bytes())?;
            }
            let mut bytes = [0; 4096];
            match self.line.read(&mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => heard.extend_from_slice(bytes.get(..count).unwrap_or_default()),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                Err(error) => return Err(error),
            }
            if let Some(answer) = answer(&String::from_utf8_lossy(&heard), &start) {
                return Ok(answer);
            }
            if heard.len() > HEARD_MAX {
                heard.clear();
            }
        }
        let heard = String::from_utf8_lossy(&heard).into_owned();
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer to {command:?}; heard {heard:?}")))
    }
}

/// What is between `start` and the end of an answer.
fn answer(heard: &str, start: &str) -> Option<String> {
    let (_, rest) = heard.split_once(start)?;
    Some(rest.split_once("</answer>")?.0.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_from_what_was_typed_for_it() {
        let typed = "root@board:~# echo \"<ans\"wer 7'>' $(cat x) '</'answer'>'\r\n";
        let start = "<answer 7>";
        assert_eq!(answer(typed, start), None);
        assert_eq!(answer(&format!("{typed}<answer 7> 12"), start), None);
        assert_eq!(answer(&format!("{typed}<answer 7> 12 max </answer>\r\n"), start), Some("12 max".into()));
        assert_eq!(answer(&format!("{typed}<answer 6> 12 </answer>\r\n"), start), None);
    }
}
