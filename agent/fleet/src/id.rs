//! Ids of documents: ULIDs, which sort by the time they were made.

use coracle_core::time::Timestamp;
use coracle_host::console::exit::Failure;
use ring::rand::{SecureRandom as _, SystemRandom};

/// Crockford's base 32: no I, L, O and U.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a ULID: 48 bits of time and 80 of chance.
const CHARS: u32 = 26;

/// A new id.
pub(crate) fn fresh(now: Timestamp) -> Result<String, Failure> {
    let mut chance = [0; 16];
    let drawn = SystemRandom::new().fill(&mut chance);
    drawn.map_err(|_| Failure::unexpected("the system has no random numbers"))?;
    Ok(written(now.0.saturating_mul(1000), u128::from_be_bytes(chance)))
}

fn written(milliseconds: u64, chance: u128) -> String {
    let value = u128::from(milliseconds & 0xffff_ffff_ffff) << 80 | chance & ((1 << 80) - 1);
    let digit = |place: u32| {
        let index = usize::try_from(value >> (5 * place) & 31).unwrap_or(0);
        char::from(DIGITS.get(index).copied().unwrap_or(b'0'))
    };
    (0..CHARS).rev().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_sorts_by_its_time() {
        assert_eq!(written(1_469_918_176_385, 0), "01ARYZ6S410000000000000000");
        assert_eq!(written(0, u128::MAX), "0000000000ZZZZZZZZZZZZZZZZ");
        assert!(written(1, 0) < written(2, 0));
    }
}
