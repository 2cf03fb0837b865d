//! How many commands are taken in a time: a bucket of tokens, of which each message takes one.

/// Tokens of a full bucket: what a script may send in one go.
pub(super) const BURST: u32 = 16;
/// Milliseconds until a taken token is there again.
pub(super) const TOKEN_MS: u64 = 2_000;
/// Milliseconds between two words on that too much comes: the sender learns it, and the broker does not suffer.
const TELL_MS: u64 = 1_000;

/// The bucket. Time is counted in milliseconds that never go back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rate {
    tokens: u32,
    filled_ms: u64,
    told_ms: Option<u64>,
}

/// What the bucket says of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There was a token for it.
    Taken,
    /// There was none; the sender is to be told.
    Over,
    /// There was none, and the sender was told a moment ago.
    StillOver,
}

impl Default for Rate {
    fn default() -> Self {
        Self { tokens: BURST, filled_ms: 0, told_ms: None }
    }
}

impl Rate {
    pub(super) fn take(&mut self, now_ms: u64) -> Verdict {
        let grown = now_ms.saturating_sub(self.filled_ms) / TOKEN_MS;
        self.tokens = self.tokens.saturating_add(u32::try_from(grown).unwrap_or(BURST)).min(BURST);
        self.filled_ms = self.filled_ms.saturating_add(grown.saturating_mul(TOKEN_MS));
        if let Some(left) = self.tokens.checked_sub(1) {
            self.tokens = left;
            return Verdict::Taken;
        }
        if self.told_ms.is_some_and(|told| now_ms.saturating_sub(told) < TELL_MS) {
            return Verdict::StillOver;
        }
        self.told_ms = Some(now_ms);
        Verdict::Over
    }
}
