//! What is written for systemd, read by systemd's own parser.

use std::fs;
use std::path::Path;
use std::process::Command;

use coracle_core::compose::{NetworkMode, Resources, Restart, Service};
use coracle_core::service_unit::{DropIn, drop_in};
use coracle_test_support::scratch::TempDir;

/// What systemd finds wrong with the template and this drop-in.
fn complaints(text: &str) -> String {
    let dir = TempDir::new("units");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let template = root.join("systemd/usr/lib/systemd/system/coracle-workload@.service");
    // Named like a plain unit, with a program that there is: the verifier looks at files, not at instances.
    let unit = fs::read_to_string(template).unwrap().replace("/usr/bin/coracle ", "/bin/true ");
    fs::write(dir.join("workload.service"), unit).unwrap();
    fs::create_dir(dir.join("workload.service.d")).unwrap();
    fs::write(dir.join("workload.service.d/50-coracle.conf"), text).unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no", "workload.service"]).current_dir(dir.path());
    let output = verify.env("SYSTEMD_UNIT_PATH", format!("{}:", dir.display())).output().unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_setting_of_a_workload_is_one_that_systemd_knows() {
    let mut service = Service::new("x", NetworkMode::Host);
    service.resources = Resources {
        memory_bytes: Some(64 << 20),
        memory_reservation_bytes: Some(1 << 20),
        cpu_milli: Some(1505),
        pids: Some(-1),
    };
    let after = ["site.db".to_owned(), "site._b.db".to_owned()];
    let command = ["/bin/true", "shim", "/run/a b/50%/$x", "--unit"];
    for restart in [Restart::No, Restart::Always, Restart::OnFailure { max: Some(3) }] {
        service.restart = restart;
        let text = drop_in(&DropIn {
            workload: "site.web",
            service: &service,
            after: &after,
            command: Some(&command),
        });
        assert_eq!(complaints(&text), "", "{text}");
    }
    assert!(complaints("[Service]\nCPUQuota=lots\n").contains("CPU quota"), "the verifier verifies nothing");
}
