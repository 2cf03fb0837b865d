//! Registries that lie, stall and drop while a generation runs: it goes on running, nothing of the next one is
//! published, the report names attempt and object, and the generation after it comes in.

mod documents;
mod layers;

use std::sync::Mutex;

use serde_json::{Value, json};

use super::bench::{Bench, PATIENCE, broker, idle};
use super::document::{Desired, site};
use coracle_test_support::broker::Broker;
use coracle_test_support::faults::{Fault, FaultRegistry, On, Times};
use coracle_test_support::images::{Image, Layer, Packing};
use coracle_test_support::measure;
use coracle_test_support::process::eventually;

use crate::attacks::table::{self, Family};

/// Boards at a time: their waiting costs nothing, their containers do.
const AT_A_TIME: usize = 6;
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// How a board answers to a fault.
enum Ends {
    /// The generation failed with this code, and a message that says all of this; `{}` stands for the registry.
    Failed(&'static str, &'static [&'static str]),
    /// It waits for the registry, which asked for patience or says nothing at all.
    Waits,
    /// It gets what it wants in spite of it.
    Succeeded,
}

struct Row {
    name: &'static str,
    /// What the registry serves as `bad/app:2`.
    prepare: fn(&FaultRegistry),
    ends: Ends,
    /// Where it stands in the table of attacks; some are only misfortunes.
    attack: Option<Family>,
}

fn row(name: &'static str, prepare: fn(&FaultRegistry), ends: Ends) -> Row {
    Row { name, prepare, ends, attack: None }
}

impl Row {
    fn attack(self, family: Family) -> Self {
        Self { attack: Some(family), ..self }
    }
}

/// An image with a layer of its own that is long enough to break off in.
fn second() -> Image {
    let mut image = idle("two");
    let mut state = 88_172_645_463_325_252_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .take(32 << 10)
    .flatten()
    .collect();
    image.layers.push(Layer::of_file("noise", 0o644, &noise, Packing::Gzip).unwrap());
    image
}

fn good(registry: &FaultRegistry) {
    registry.put_image("bad/app", "2", &second());
}

/// Serves the good image, but `fault` for requests with `part` in their path.
fn broken(registry: &FaultRegistry, part: &str, times: Times, fault: Fault) {
    good(registry);
    registry.script(On::get(&format!("/bad/app/{part}")), times, fault);
}

/// The path of the longest layer's blob.
fn longest() -> String {
    format!("blobs/{}", second().layers[2].digest)
}

/// Serves the image with `layer` as its last one, which its config calls `diff_id`.
fn with_layer(registry: &FaultRegistry, layer: Layer) {
    let mut image = idle("two");
    image.layers.push(layer);
    registry.put_image("bad/app", "2", &image);
}

fn document(registry: &FaultRegistry, media_type: &str, document: &Value) {
    registry.put_manifest("bad/app", "2", media_type, document.to_string().as_bytes());
}

const FETCH: &str = "failed to fetch manifest {}/bad/app:2 from \"{}\": ";
const BLOB: &str = "failed to fetch blob sha256:";

#[test]
fn each_fault_of_a_registry_is_reported_and_disturbs_nothing() {
    let broker = broker();
    let mut rows: Vec<(usize, Row)> =
        documents::rows().into_iter().chain(layers::rows()).enumerate().collect();
    rows.reverse();
    let rows = Mutex::new(rows);
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let next = rows.lock().unwrap().pop();
                    let Some((at, row)) = next else { return };
                    eprintln!("{at}: {}", row.name);
                    check(&broker, &format!("bad-{at}"), &row);
                }
            });
        }
    });
}

fn check(broker: &Broker, device: &str, row: &Row) {
    let name = row.name;
    let registry = FaultRegistry::start();
    registry.put_image("app", "1", &idle("one"));
    registry.put_image("app", "3", &idle("three"));
    (row.prepare)(&registry);
    let mut bench = Bench::start(broker, &registry.host(), device);
    bench.deploy(broker, &Desired::new(device, 1, site(&registry.reference("app:1"))));
    let (process, layers) = (bench.process("site.web"), bench.layers());

    let second = Desired::new(device, 2, site(&registry.reference("bad/app:2")));
    second.policy(&json!({"attempts": 1})).send(broker);
    match row.ends {
        Ends::Failed(code, fragments) => {
            let event = bench.until_said("event", |event| event["to"] == "FAILED");
            let error = &event["error"];
            let message = error["message"].as_str().unwrap();
            assert_eq!(error["code"], code, "{name}: {event:#}");
            for fragment in fragments {
                let fragment = fragment.replace("{}", &registry.host());
                assert!(message.contains(&fragment), "{name}: {message:?} does not say {fragment:?}");
            }
            assert_eq!((&error["project"], &error["service"]), (&json!("site"), &json!("web")), "{name}");
            let state = bench.until_state(2, "FAILED");
            assert_eq!(&state["deployment"]["error"], error, "{name}");
            if let Some(family) = row.attack {
                let peak = measure::peak_kib(bench.board.agent().unwrap().pid()).unwrap();
                assert!(peak <= table::peak_max_kib(), "{name}: {peak} KiB");
                table::refused(family, name, code, message, Some(peak));
            }
        }
        Ends::Waits => {
            let faulty = |path: &str| path.contains("/bad/app/");
            eventually(PATIENCE, || registry.requests().iter().any(|seen| faulty(&seen.path)));
            bench.until_state(2, "DOWNLOADING");
        }
        Ends::Succeeded => drop(bench.until_state(2, "SUCCEEDED")),
    }
    if !matches!(row.ends, Ends::Succeeded) {
        assert_eq!(bench.process("site.web"), process, "{name}: what ran was disturbed");
        let new: Vec<_> = bench.layers().into_iter().filter(|layer| !layers.contains(layer)).collect();
        let published = new.iter().filter(|layer| !whole(layer)).collect::<Vec<_>>();
        assert!(published.is_empty(), "{name}: {published:?}");
    }
    assert!(bench.board.agent().unwrap().is_running(), "{name}: the agent is gone");
    bench.deploy(broker, &Desired::new(device, 3, site(&registry.reference("app:3"))));
    assert_ne!(bench.process("site.web"), process, "{name}");
}

/// Whether a layer is one that came whole and was proven before the broken one failed.
fn whole(name: &str) -> bool {
    let sound = idle("two").layers;
    sound.iter().any(|layer| name.contains(layer.diff_id.trim_start_matches("sha256:")))
}

#[test]
fn a_download_that_is_tried_again_says_why() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    let bench = Bench::start(&broker, &registry.host(), "again");
    broken(&registry, "manifests", Times::Next(5), Fault::retry_after(503, 0));
    let desired = Desired::new("again", 1, site(&registry.reference("bad/app:2")));
    desired.policy(&json!({"attempts": 2})).send(&broker);
    let event = bench.until_event("DOWNLOADING", "PULL");
    assert_eq!(event["from"], "DOWNLOADING", "{event:#}");
    bench.until_state(1, "SUCCEEDED");
}
