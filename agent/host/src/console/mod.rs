//! The console of our programs: what they write to it, and the code they end with.

pub mod exit;
pub mod out;
