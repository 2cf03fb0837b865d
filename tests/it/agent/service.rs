//! The agent as a service: what it tells the manager that started it.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use super::bench::{Bench, PATIENCE, broker, idle};
use super::document::{Desired, site};
use coracle_test_support::faults::FaultRegistry;
use coracle_test_support::process::eventually;
use coracle_test_support::scratch::TempDir;

/// A service manager's end of the socket, and everything it heard.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    /// Waits until a line like this was heard.
    #[track_caller]
    fn until(&mut self, line: &str) {
        eventually(PATIENCE, || {
            let mut buffer = [0u8; 4096];
            while let Ok(count) = self.socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                self.heard.extend(text.lines().map(str::to_owned));
            }
            if self.heard.iter().any(|heard| heard == line) { Ok(()) } else { Err(self.heard.clone()) }
        });
    }
}

#[test]
fn the_service_manager_is_told_when_the_loop_turns_and_where_the_board_stands() {
    let (broker, registry, dir) = (broker(), FaultRegistry::start(), TempDir::new("notify"));
    registry.put_image("app", "1", &idle("one"));
    let path = dir.join("socket");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut manager = Manager { socket, heard: Vec::new() };
    let mut bench = Bench::new(&broker, &registry.host(), "service");
    let address = format!("NOTIFY_SOCKET={}", path.display());
    bench.board.start_under(&["env", &address, "WATCHDOG_USEC=300000"]).unwrap();

    manager.until("READY=1");
    manager.until("STATUS=nothing was deployed yet; not connected to the broker");
    assert_eq!(manager.heard.iter().filter(|line| *line == "READY=1").count(), 1, "{:?}", manager.heard);
    manager.until("STATUS=nothing was deployed yet");
    bench.deploy(&broker, &Desired::new("service", 1, site(&registry.reference("app:1"))));
    manager.until("STATUS=generation 1 is good");
    manager.heard.clear();
    manager.until("WATCHDOG=1");
    bench.board.agent().unwrap().stop(Duration::from_secs(10)).unwrap();
    manager.until("STOPPING=1");
    // Neither a shim nor what runs in its container speaks in the agent's name.
    assert!(!manager.heard.iter().any(|line| line == "READY=1"), "{:?}", manager.heard);
}
