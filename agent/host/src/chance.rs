//! Numbers that nobody can guess, from the generator that TLS has linked already.

use std::io;

use ring::rand::{SecureRandom as _, SystemRandom};

/// Fills `bytes`.
///
/// # Errors
/// When the system has no random numbers.
pub(crate) fn fill(bytes: &mut [u8]) -> io::Result<()> {
    let filled = SystemRandom::new().fill(bytes);
    filled.map_err(|_| io::Error::other("the system has no random numbers"))
}

/// A number; `None` when the system has none.
pub(crate) fn number() -> Option<u64> {
    let mut bytes = [0; 8];
    fill(&mut bytes).ok()?;
    Some(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_numbers_are_the_same() {
        assert_ne!(number().unwrap(), number().unwrap());
    }
}
