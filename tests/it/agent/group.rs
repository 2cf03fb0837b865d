//! Documents for many boards: which of several counts, and that the state names the others.

use serde_json::{Value, json};

use super::bench::{Bench, broker, idle};
use super::document::{Desired, site};
use coracle_test_support::faults::FaultRegistry;

fn group(name: &str, priority: i64, projects: Value) -> Desired {
    let desired = Desired { scope: format!("g/{name}"), ..Desired::new("", 1, projects) };
    desired.policy(&json!({"priority": priority}))
}

#[test]
fn the_document_of_the_device_beats_the_one_of_the_higher_group_which_beats_the_lower() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    for tag in ["low", "high", "own"] {
        registry.put_image("app", tag, &idle(tag));
    }
    let projects = |tag: &str| site(&registry.reference(&format!("app:{tag}")));
    let mut bench = Bench::new(&broker, &registry.host(), "member");
    bench.settings.top += "groups = [\"low\", \"high\"]\n";
    bench.board.configure(&bench.settings).unwrap();
    bench.board.start().unwrap();
    bench.until_up();

    // A group that this board does not belong to.
    group("other", 99, json!({})).send(&broker);
    let steps = [
        (group("low", 1, projects("low")), "g/low", json!(null)),
        (group("high", 2, projects("high")), "g/high", json!(["g/low"])),
        (Desired::new("member", 1, projects("own")), "d/member", json!(["g/high", "g/low"])),
    ];
    for (desired, scope, others) in steps {
        desired.send(&broker);
        let state = bench.until_said("state", |state| {
            state["desired"]["scope"] == scope && state["deployment"]["status"] == "SUCCEEDED"
        });
        assert_eq!(state["others"], others, "{state:#}");
        let image = desired.projects["site"]["services"]["web"]["image"].as_str().unwrap();
        bench.until_log("web", image.rsplit(':').next().unwrap());
    }

    // A newer one of a group that does not count is remembered, and moves nothing.
    let process = bench.process("site.web");
    let newer = Desired { generation: 2, ..group("high", 2, projects("high")) };
    newer.send(&broker);
    Desired { generation: 1, ..newer }.send(&broker);
    bench.until_event("REJECTED", "REPLAY");
    assert_eq!(bench.process("site.web"), process);
}

#[test]
fn a_group_document_that_waits_for_this_board_is_found_at_its_first_connection() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    let mut bench = Bench::new(&broker, &registry.host(), "late");
    bench.settings.top += "groups = [\"all\"]\n";
    bench.board.configure(&bench.settings).unwrap();
    group("all", 0, site(&registry.reference("app:1"))).send(&broker);
    bench.board.start().unwrap();
    bench.until_said("state", |state| {
        state["desired"]["scope"] == "g/all" && state["deployment"]["status"] == "SUCCEEDED"
    });
    bench.process("site.web");
}
