//! One system call as strace shows it, with strings and descriptors in hexadecimal (`-xx -y`).

use std::collections::HashMap;

/// A call that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The thread.
    pub thread: u32,
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub args: Vec<Arg>,
    /// What it returned, where that is a number.
    pub result: Option<i64>,
    /// The file that a returned descriptor is for.
    pub opened: Option<Vec<u8>>,
    /// The line on which it began, counted from 0.
    pub began: usize,
}

/// An argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arg {
    /// A string.
    Text(Vec<u8>),
    /// A descriptor with its file; `None` for what is not in the file system any more.
    File(i64, Option<Vec<u8>>),
    /// Anything else as it stands there.
    Word(String),
}

/// Joins the lines of calls that others interrupted.
#[derive(Default)]
pub struct Lines {
    open: HashMap<u32, (String, usize)>,
    count: usize,
}

impl Lines {
    /// Takes a line; the call that ended with it, if one did.
    ///
    /// # Errors
    /// The line, when it cannot be read.
    pub fn take(&mut self, line: &str) -> Result<Option<Call>, String> {
        let at = self.count;
        self.count += 1;
        let wrong =
            || format!("line {}: not understood: {}", at + 1, line.chars().take(200).collect::<String>());
        let (thread, rest) = line.split_once(' ').ok_or_else(wrong)?;
        let thread = thread.parse().map_err(|_| wrong())?;
        let rest = rest.trim_start();
        // Signals and ends of processes.
        if rest.starts_with("+++") || rest.starts_with("---") {
            return Ok(None);
        }
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            self.open.insert(thread, (begun.trim_end().to_owned(), at));
            return Ok(None);
        }
        let (whole, began) = match rest.strip_prefix("<... ") {
            None => (rest.to_owned(), at),
            Some(resumed) => {
                let (begun, began) = self.open.remove(&thread).ok_or_else(wrong)?;
                let (_, end) = resumed.split_once(" resumed>").ok_or_else(wrong)?;
                (format!("{begun}{end}"), began)
            }
        };
        call(thread, &whole, began).map(Some).ok_or_else(wrong)
    }
}

fn call(thread: u32, text: &str, began: usize) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    // Strings are hexadecimal, so that no text of theirs looks like the end.
    let (args, result) = rest.rsplit_once(" = ")?;
    let args = args.trim_end().strip_suffix(')')?;
    let args = split(args).into_iter().map(arg).collect::<Option<Vec<_>>>()?;
    let number = result.split(['<', ' ']).next().unwrap_or_default();
    let opened =
        result.split_once('<').and_then(|(_, rest)| rest.split_once('>')).and_then(|(path, _)| hex(path));
    // An address says as little as a 0.
    let result = if number.starts_with("0x") { Some(0) } else { number.parse().ok() };
    Some(Call { thread, name: name.to_owned(), args, result, opened, began })
}

/// The arguments: commas count outside of brackets only, and remarks are left out.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut depth) = (Vec::new(), String::new(), 0_i32);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(end) = rest.strip_prefix("/*").and_then(|remark| remark.find("*/")) {
            rest = &rest[end + 4..];
            continue;
        }
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            ')' | ']' | '}' | '>' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            parts.push(std::mem::take(&mut part));
        } else {
            part.push(c);
        }
        rest = &rest[c.len_utf8()..];
    }
    parts.push(part);
    parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

fn arg(text: String) -> Option<Arg> {
    if let Some(inner) = text.strip_prefix('"') {
        // A string that was cut short ends with dots behind its quote.
        return hex(inner.strip_suffix('"')?).map(Arg::Text);
    }
    let descriptor =
        text.split_once('<').filter(|(number, _)| *number == "AT_FDCWD" || number.parse::<i64>().is_ok());
    match descriptor {
        Some((number, rest)) => {
            let number = number.parse().unwrap_or(i64::from(nix::libc::AT_FDCWD));
            let path = rest.strip_suffix('>').and_then(hex);
            Some(Arg::File(number, path))
        }
        None => Some(Arg::Word(text)),
    }
}

/// The bytes of `\x2f\x61`; none when anything else stands there.
pub fn hex(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    for byte in text.split("\\x").skip(1) {
        bytes.push(u8::from_str_radix(byte.get(..2).filter(|two| two.len() == byte.len())?, 16).ok()?);
    }
    (bytes.len() * 4 == text.len()).then_some(bytes)
}

/// The opposite.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Call {
        Lines::default().take(line).unwrap().unwrap()
    }

    #[test]
    fn a_call_is_read_with_its_descriptors_strings_and_times() {
        let call = one(
            r#"7 utimensat(3<\x2f\x64>, "\x77", [{tv_sec=0, tv_nsec=1} /* 1970-01-01T00:00:00+0000 */, {tv_sec=5, tv_nsec=2}], AT_SYMLINK_NOFOLLOW) = 0"#,
        );
        assert_eq!((call.thread, call.name.as_str(), call.result), (7, "utimensat", Some(0)));
        assert_eq!(call.args[0], Arg::File(3, Some(b"/d".to_vec())));
        assert_eq!(call.args[1], Arg::Text(b"w".to_vec()));
        assert_eq!(call.args[2], Arg::Word("[{tv_sec=0, tv_nsec=1} , {tv_sec=5, tv_nsec=2}]".into()));
        assert_eq!(call.args.len(), 4);
    }

    #[test]
    fn a_result_has_its_file_or_says_that_the_call_failed() {
        let opened = one(r#"7 openat(AT_FDCWD<\x2f>, "\x61", O_RDONLY) = 4<\x2f\x61>"#);
        assert_eq!((opened.result, opened.opened), (Some(4), Some(b"/a".to_vec())));
        assert_eq!(one(r#"7 mkdir("\x61", 0777) = -1 EEXIST (File exists)"#).result, Some(-1));
        assert_eq!(one(r#"7 write(4<\x2f>(deleted), "\x61", 1) = 1"#).args[0], Arg::File(4, None));
        assert_eq!(one("7 sync()                            = 0").args, []);
    }

    #[test]
    fn a_call_that_another_thread_interrupted_is_joined_and_knows_where_it_began() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(r#"1 fsync(3<\x2f\x61> <unfinished ...>"#), Ok(None));
        assert!(lines.take(r#"2 fsync(4<\x2f\x62>) = 0"#).unwrap().is_some());
        let call = lines.take("1 <... fsync resumed>)       = 0").unwrap().unwrap();
        assert_eq!((call.began, call.args), (0, vec![Arg::File(3, Some(b"/a".to_vec()))]));
    }

    #[test]
    fn what_is_cut_short_or_strange_is_not_passed_over() {
        assert!(Lines::default().take(r#"1 write(3<\x2f>, "\x61"..., 900) = 900"#).is_err());
        assert!(Lines::default().take("nonsense").is_err());
        assert_eq!(Lines::default().take("1 +++ exited with 0 +++"), Ok(None));
    }
}
