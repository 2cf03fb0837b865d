//! How long nobody answers while one generation replaces another: stop and start, and nothing else.

use std::time::Duration;

use serde_json::json;

use super::bench::{Bench, PATIENCE, broker};
use super::document::{Desired, site};
use coracle_test_support::caller::Caller;
use coracle_test_support::faults::{Fault, FaultRegistry, On, Times};
use coracle_test_support::images::{Arch, Image};
use coracle_test_support::process::{eventually, free_port};

/// Far above the stop and start of a container, far below the download below.
const GAP_MAX: Duration = Duration::from_secs(10);

#[test]
fn the_workload_answers_while_the_next_one_is_downloaded() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    let port = free_port();
    for (name, word) in [("app", "one"), ("next", "two")] {
        registry.put_image(name, "1", &Image::telling(Arch::Amd64, port, word).unwrap());
    }
    let bench = Bench::start(&broker, &registry.host(), "calls");
    bench.deploy(&broker, &Desired::new("calls", 1, site(&registry.reference("app:1"))));
    let caller = Caller::start(port);
    eventually(PATIENCE, || caller.answered("one"));

    // The download takes a second at least: its manifest comes at the second try.
    registry.script(On::get("/v2/next/manifests/"), Times::Next(1), Fault::retry_after(503, 1));
    let second = Desired::new("calls", 2, site(&registry.reference("next:1")));
    second.policy(&json!({"soak": 1})).send(&broker);
    bench.until_state(2, "SUCCEEDED");
    let two = eventually(PATIENCE, || caller.answered("two"));
    let spells = caller.spells();
    assert_eq!(spells.len(), 2, "each answered once, without a break: {spells:?}");
    let gap = two.from - spells[0].until;
    println!("nobody answered for {} ms", gap.as_millis());
    assert!(gap < GAP_MAX, "{gap:?}");
    assert!(spells[0].silence < Duration::from_secs(1), "silent while it ran: {:?}", spells[0].silence);
}
