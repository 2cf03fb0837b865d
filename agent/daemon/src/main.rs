//! daemon
#[allow(dead_code, unused_imports, reason = "the commands that read it land next")]
mod config;

fn main() {}
