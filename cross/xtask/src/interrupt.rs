//! Ctrl-C and its relatives, told to whoever waits, so that guards can end what they started.
#![allow(unsafe_code, reason = "installing a signal handler is")]

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_: i32) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// From now on an interruption is noted instead of ending us on the spot.
pub fn watch() -> io::Result<()> {
    let action = SigAction::new(SigHandler::Handler(note), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler stores to an atomic and does nothing else, which is allowed at any moment.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// An error once we were interrupted; to be asked in every loop that waits.
pub fn check() -> io::Result<()> {
    if INTERRUPTED.load(Ordering::Relaxed) { Err(io::Error::other("interrupted")) } else { Ok(()) }
}
