//! The broker's way to the board: messages are lost, late, repeated and out of order.

use crate::chance::Chance;

/// A word of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Call the passage off.
    Cancel,
    /// Try again.
    Retry,
    /// Approve.
    Confirm,
    /// Go back.
    RollBack,
    /// Hold everything at the board.
    Hold,
    /// No longer.
    Release,
}

/// What travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// On a `desired` topic.
    Document(Vec<u8>),
    /// A command.
    Word(Word),
}

/// Messages on their way.
#[derive(Debug, Clone, Default)]
pub struct Post {
    under_way: Vec<Message>,
}

impl Post {
    /// Sends; on a bad night once in `trouble` times the message is lost, or doubled.
    pub fn send(&mut self, message: Message, chance: &mut Chance, trouble: u64) {
        if chance.once_in(trouble) {
            return;
        }
        if chance.once_in(trouble) {
            self.under_way.push(message.clone());
        }
        self.under_way.push(message);
    }

    /// The next one to arrive, which on a bad night is any of them, or none yet.
    pub fn arrive(&mut self, chance: &mut Chance, trouble: u64) -> Option<Message> {
        if self.under_way.is_empty() || chance.once_in(trouble) {
            return None;
        }
        let any = chance.once_in(trouble);
        let at = if any { chance.under(self.under_way.len() as u64) } else { 0 };
        Some(self.under_way.remove(usize::try_from(at).unwrap_or(0)))
    }

    /// A connection was lost: what was under way is gone.
    pub fn lose(&mut self) {
        self.under_way.clear();
    }
}
