//! What a board may lack: it starts, says so, and keeps what runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::bench::{Bench, PATIENCE, broker, idle};
use super::document::{Desired, site};
use coracle_test_support::broker::Broker;
use coracle_test_support::faults::FaultRegistry;
use coracle_test_support::process::{eventually, free_port, run};

/// A board on which generation 1 runs.
fn running(device: &str) -> (Broker, FaultRegistry, Bench) {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    registry.put_image("next", "2", &idle("two"));
    let bench = Bench::start(&broker, &registry.host(), device);
    bench.deploy(&broker, &Desired::new(device, 1, site(&registry.reference("app:1"))));
    (broker, registry, bench)
}

/// Waits until the agent's log says all of `words` in one line.
#[track_caller]
fn says(bench: &mut Bench, words: &[&str]) {
    let agent = bench.board.agent().unwrap();
    eventually(PATIENCE, || {
        assert!(agent.is_running(), "the agent ended: {}", agent.output());
        let log = agent.output();
        if log.lines().any(|line| words.iter().all(|word| line.contains(word))) { Ok(()) } else { Err(log) }
    });
}

/// The console works, and tells of the workload.
#[track_caller]
fn console_works(bench: &Bench) {
    let status = bench.ask(&["status"]);
    assert!(status.contains("agent     running") && status.contains("site.web: running"), "{status}");
    bench.process("site.web");
}

/// The sequence numbers of all states so far only grow.
#[track_caller]
fn numbers_go_on(bench: &Bench) {
    let states = bench.said("state");
    let numbers: Vec<_> = states.iter().map(|state| state["seq"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

#[test]
fn without_a_broker_the_agent_says_so_and_keeps_what_runs() {
    let (_broker, _registry, mut bench) = running("no-broker");
    let process = bench.process("site.web");
    bench.board.stop().unwrap();
    bench.settings.broker = Some(format!("mqtt://127.0.0.1:{}", free_port()));
    bench.board.configure(&bench.settings).unwrap();
    bench.board.start().unwrap();
    says(&mut bench, &["WARN", "not connected to the broker"]);
    console_works(&bench);
    assert_eq!(bench.process("site.web"), process);

    // A board that was never told of one says nothing of it.
    bench.board.stop().unwrap();
    bench.settings.broker = None;
    bench.board.configure(&bench.settings).unwrap();
    bench.board.start().unwrap();
    says(&mut bench, &["agent started", "broker=\"none\""]);
    console_works(&bench);
    assert_eq!(bench.process("site.web"), process);
}

#[test]
fn without_any_network_the_agent_starts_and_keeps_what_runs() {
    let (_broker, _registry, mut bench) = running("no-network");
    let process = bench.process("site.web");
    bench.board.stop().unwrap();
    // A network namespace of its own: not even the loopback device is up.
    bench.board.start_under(&["unshare", "--net"]).unwrap();
    says(&mut bench, &["WARN", "not connected to the broker"]);
    console_works(&bench);
    assert_eq!(bench.process("site.web"), process);
}

#[test]
fn without_certificate_authorities_the_agent_works_with_what_needs_none() {
    let (broker, registry, mut bench) = running("no-ca");
    let process = bench.process("site.web");
    bench.board.stop().unwrap();
    let hide = "for place in /etc/ssl /etc/pki; do [ ! -d $place ] || mount -t tmpfs none $place; done; \
                unset SSL_CERT_FILE SSL_CERT_DIR; exec \"$0\" \"$@\"";
    let wrapper = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", hide];
    bench.board.start_under(&wrapper).unwrap();
    eventually(PATIENCE, || bench.said("up").iter().filter(|up| up["up"] == true).count() > 1);
    assert_eq!(bench.process("site.web"), process);
    bench.deploy(&broker, &Desired::new("no-ca", 2, site(&registry.reference("next:2"))));

    // A broker with TLS cannot be trusted there.
    bench.board.stop().unwrap();
    bench.settings.broker = Some(format!("mqtts://127.0.0.1:{}", free_port()));
    bench.board.configure(&bench.settings).unwrap();
    bench.board.start_under(&wrapper).unwrap();
    says(&mut bench, &["WARN", "not connected to the broker"]);
    console_works(&bench);
}

#[test]
fn without_its_registry_the_board_keeps_what_runs_and_names_what_it_cannot_reach() {
    let (broker, registry, bench) = running("no-registry");
    let process = bench.process("site.web");
    let reference = registry.reference("next:2");
    drop(registry);
    Desired::new("no-registry", 2, site(&reference))
        .policy(&serde_json::json!({"attempts": 1}))
        .send(&broker);
    let state = bench.until_state(2, "FAILED");
    let error = &state["deployment"]["error"];
    assert_eq!(error["code"], "PULL", "{state:#}");
    assert!(error["message"].as_str().unwrap().contains(&reference), "{state:#}");
    assert_eq!(bench.process("site.web"), process);
}

#[test]
fn a_damaged_journal_is_put_aside_and_what_runs_goes_on() {
    let (broker, registry, mut bench) = running("damaged");
    let process = bench.process("site.web");
    bench.board.stop().unwrap();
    let journal = bench.board.state_dir().join("journal");
    let bytes = fs::read(&journal).unwrap();
    fs::write(&journal, &bytes[..bytes.len() / 2]).unwrap();
    bench.board.start().unwrap();
    says(&mut bench, &["WARN", "starting without a journal", "journal.damaged"]);
    // The broker still has the document: the board takes it anew, and finds that it runs.
    eventually(PATIENCE, || bench.said("event").iter().filter(|said| said["to"] == "SUCCEEDED").count() > 1);
    console_works(&bench);
    assert_eq!(bench.process("site.web"), process);
    numbers_go_on(&bench);
    bench.deploy(&broker, &Desired::new("damaged", 2, site(&registry.reference("next:2"))));
}

/// A small file system that ends with the value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Self {
        fs::create_dir_all(at).unwrap();
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m", "small"]).arg(at)).unwrap();
        Self(at.into())
    }

    /// Leaves no room for another byte, but what the agent holds in reserve.
    fn fill(&self) -> PathBuf {
        self.fill_with("ballast")
    }

    /// Takes the room of the reserve, too, once that was given up.
    fn fill_again(&self) -> PathBuf {
        let reserve = self.0.join("reserve");
        let ballast = self.0.join("more-ballast");
        // Its room is free a moment after its name is gone.
        let taken = || {
            !reserve.exists()
                && self.fill_with("more-ballast").metadata().is_ok_and(|meta| meta.len() > 3 << 20)
        };
        eventually(PATIENCE, taken);
        ballast
    }

    fn fill_with(&self, name: &str) -> PathBuf {
        let ballast = self.0.join(name);
        let mut size = 1 << 20;
        let mut file = fs::File::create(&ballast).unwrap();
        while size > 0 {
            if std::io::Write::write_all(&mut file, &vec![0; size]).is_err() {
                size /= 2;
            }
        }
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The board's last processes may still hold it.
        let _ = run(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

#[test]
fn a_full_disk_stops_updates_and_nothing_else() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    registry.put_image("next", "2", &idle("two"));
    let mut bench = Bench::new(&broker, &registry.host(), "full");
    let disk = SmallDisk::mount(&bench.board.state_dir());
    bench.board.start().unwrap();
    bench.until_up();
    bench.deploy(&broker, &Desired::new("full", 1, site(&registry.reference("app:1"))));
    let process = bench.process("site.web");

    let ballast = disk.fill();
    bench.board.stop().unwrap();
    bench.board.start().unwrap();
    // The start is counted all the same: the reserve is for the journal, and the second time there is none.
    says(&mut bench, &["agent started"]);
    let more = disk.fill_again();
    Desired::new("full", 2, site(&registry.reference("next:2"))).send(&broker);
    says(&mut bench, &["ERROR", "journal", "nothing new is begun until it can be written"]);
    says(&mut bench, &["document accepted", "gen=2"]);
    console_works(&bench);
    assert_eq!(bench.process("site.web"), process);

    // Nor may the numbers of the reports depend on a journal that cannot count the starts.
    bench.board.crash().unwrap();
    bench.board.start().unwrap();
    eventually(PATIENCE, || bench.said("up").iter().filter(|up| up["up"] == true).count() > 2);

    fs::remove_file(ballast).unwrap();
    fs::remove_file(more).unwrap();
    bench.until_state(2, "SUCCEEDED");
    assert_ne!(bench.process("site.web"), process);
    numbers_go_on(&bench);
}

#[test]
fn a_boot_without_room_for_the_journal_brings_back_what_it_held() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    let mut bench = Bench::new(&broker, &registry.host(), "full-boot");
    let disk = SmallDisk::mount(&bench.board.state_dir());
    bench.board.start().unwrap();
    bench.until_up();
    bench.deploy(&broker, &Desired::new("full-boot", 1, site(&registry.reference("app:1"))));
    bench.board.cut_power().unwrap();
    disk.fill();
    bench.board.start().unwrap();
    let runs = |ps: &[serde_json::Value]| ps.iter().any(|w| w["id"] == "site.web" && w["state"] == "running");
    eventually(PATIENCE, || if runs(&bench.ps()) { Ok(()) } else { Err(bench.ps()) });
}

#[test]
fn a_disk_that_became_read_only_leaves_an_agent_that_tells_of_it() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    let mut bench = Bench::new(&broker, &registry.host(), "read-only");
    let disk = SmallDisk::mount(&bench.board.state_dir());
    bench.board.start().unwrap();
    bench.until_up();
    bench.deploy(&broker, &Desired::new("read-only", 1, site(&registry.reference("app:1"))));
    bench.board.cut_power().unwrap();
    run(Command::new("mount").args(["-o", "remount,ro"]).arg(&disk.0)).unwrap();
    bench.board.start().unwrap();
    says(&mut bench, &["ERROR", "journal", "Read-only file system"]);
    eventually(PATIENCE, || bench.said("up").iter().filter(|up| up["up"] == true).count() > 1);
}

#[test]
fn a_layer_that_does_not_fit_is_reported_and_leaves_nothing() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    let mut image = idle("two");
    let zeros = vec![0; 20 << 20];
    let packing = coracle_test_support::images::Packing::Gzip;
    image.layers.push(coracle_test_support::images::Layer::of_file("big", 0o644, &zeros, packing).unwrap());
    registry.put_image("big", "2", &image);
    let mut bench = Bench::new(&broker, &registry.host(), "large");
    let _disk = SmallDisk::mount(&bench.board.state_dir());
    bench.board.start().unwrap();
    bench.until_up();
    bench.deploy(&broker, &Desired::new("large", 1, site(&registry.reference("app:1"))));
    let process = bench.process("site.web");
    let second = Desired::new("large", 2, site(&registry.reference("big:2")));
    second.policy(&serde_json::json!({"attempts": 1})).send(&broker);
    let state = bench.until_state(2, "FAILED");
    assert_eq!(state["deployment"]["error"]["code"], "DISK_FULL", "{state:#}");
    assert_eq!(bench.process("site.web"), process);
    let left = fs::read_dir(bench.board.state_dir().join("ingest")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "a part of the layer was left");
}
