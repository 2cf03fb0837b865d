//! Whether this process is confined, so that whatever it starts is confined as well.

use nix::sys::prctl;

/// Whether neither this process nor any that it starts can gain privileges (`NoNewPrivileges=` of its unit, or what made
/// its container). There is no way out of it: a workload started from here would have programs that fail.
#[must_use]
pub fn confined() -> bool {
    prctl::get_no_new_privs().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_that_gives_its_privileges_away_is_confined() {
        thread::spawn(|| {
            assert!(!confined());
            prctl::set_no_new_privs().unwrap();
            assert!(confined());
        })
        .join()
        .unwrap();
        assert!(!confined(), "only the thread that asked");
    }
}
