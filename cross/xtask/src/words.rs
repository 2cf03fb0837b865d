//! The words after a command's name.

use std::io;

/// The word after the option `name`, where it is given.
pub fn text<'a>(words: &'a [String], name: &str) -> Option<&'a str> {
    let place = words.iter().position(|word| word == name)?;
    Some(words.get(place + 1).map_or("", String::as_str))
}

/// The number after the option `name`, or `default` where it is not given.
pub fn number(words: &[String], name: &str, default: u64) -> io::Result<u64> {
    let Some(value) = text(words, name) else { return Ok(default) };
    value.parse().map_err(|_| io::Error::other(format!("{name} wants a whole number, not {value:?}")))
}

/// Refuses whatever is not one of `flags`, nor one of `options` with its value.
pub fn only(words: &[String], options: &[&str], flags: &[&str]) -> io::Result<()> {
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if options.contains(&word) {
            words.next();
        } else if !flags.contains(&word) {
            let known = [options, flags].concat().join(", ");
            return Err(io::Error::other(format!("{word:?} means nothing here; there are {known}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn numbers_are_read_and_strangers_refused() {
        assert_eq!(number(&words("--cuts 7"), "--cuts", 3).unwrap(), 7);
        assert_eq!(number(&words(""), "--cuts", 3).unwrap(), 3);
        assert!(number(&words("--cuts many"), "--cuts", 3).is_err());
        assert!(number(&words("--cuts"), "--cuts", 3).is_err());
        assert!(only(&words("--cuts 7 --json"), &["--cuts"], &["--json"]).is_ok());
        assert!(only(&words("--cut 7"), &["--cuts"], &[]).unwrap_err().to_string().contains("--cuts"));
    }
}
