//! What a document may ask for is the board's to say, whoever signed it: refused with the setting that allows it before
//! anything is fetched, and run once the board has it.

use serde_json::{Value, json};

use super::bench::{Bench, PATIENCE, broker, idle};
use super::document::{Desired, envelope};
use coracle_test_support::broker::Broker;
use coracle_test_support::faults::FaultRegistry;
use coracle_test_support::process::eventually;

use crate::attacks::table::{self, Family};

const DEVICE: &str = "guarded";

struct Guarded {
    broker: Broker,
    bench: Bench,
    registry: FaultRegistry,
}

/// A board with generation 1 on it and these words of its own.
fn guarded(words: &str) -> Guarded {
    let (broker, registry) = (broker(), FaultRegistry::start());
    registry.put_image("app", "1", &idle("one"));
    registry.put_image("next", "1", &idle("two"));
    let mut bench = Bench::new(&broker, &registry.host(), DEVICE);
    bench.settings.tables += words;
    bench.board.configure(&bench.settings).unwrap();
    bench.board.start().unwrap();
    bench.until_up();
    bench.deploy(&broker, &Desired::new(DEVICE, 1, site(&registry.reference("app:1"), &json!({}))));
    Guarded { broker, bench, registry }
}

fn site(image: &str, asks: &Value) -> Value {
    let mut web = json!({"image": image});
    for (key, value) in asks.as_object().unwrap() {
        web[key] = value.clone();
    }
    json!({"site": {"services": {"web": web}}})
}

/// What a service asks for, where in the document, as what, and the setting that allows it.
type Row = (Value, &'static str, &'static str, &'static str);

fn rows() -> [Row; 11] {
    [
        (
            json!({"privileged": true}),
            "privileged",
            "a privileged container",
            r#"allow.privileged = ["site.web"]"#,
        ),
        (json!({"cap_add": ["NET_ADMIN"]}), "cap_add", "NET_ADMIN", r#"allow.capabilities = ["NET_ADMIN"]"#),
        (json!({"cap_add": ["ALL"]}), "cap_add", "ALL", r#"allow.capabilities = ["ALL"]"#),
        (json!({"devices": ["/dev/mem"]}), "devices", r#""/dev/mem""#, r#"allow.devices = ["/dev/mem"]"#),
        (json!({"volumes": ["/root:/x:ro"]}), "volumes", r#""/root""#, r#"allow.binds = ["/root:ro"]"#),
        (
            json!({"volumes": ["/boot:/x"]}),
            "volumes",
            r#""/boot" with writing"#,
            r#"allow.binds = ["/boot"]"#,
        ),
        (
            json!({"volumes": ["/run/docker.sock:/x"]}),
            "volumes",
            r#""/run/docker.sock" with writing"#,
            r#"allow.binds = ["/run/docker.sock"]"#,
        ),
        (
            json!({"volumes": ["/etc/localtime:/x"]}),
            "volumes",
            r#""/etc/localtime" with writing"#,
            r#"allow.binds = ["/etc/localtime"]"#,
        ),
        (
            json!({"volumes": ["/:/x:ro"]}),
            "volumes",
            r#""/", which holds what the agent decides by,"#,
            r#"allow.privileged = ["site.web"]"#,
        ),
        (
            json!({"volumes": ["/etc/coracle/config.d:/x"]}),
            "volumes",
            r#""/etc/coracle/config.d", which holds what the agent decides by,"#,
            r#"allow.privileged = ["site.web"]"#,
        ),
        (
            json!({"security_opt": ["seccomp=unconfined"]}),
            "security_opt",
            "seccomp=unconfined",
            r#"allow.unconfined = ["site.web"]"#,
        ),
    ]
}

#[test]
fn what_reaches_the_board_is_refused_before_anything_is_fetched() {
    let guarded = guarded("");
    let process = guarded.bench.process("site.web");
    for (asks, key, what, setting) in rows() {
        let before = guarded.bench.said("event").len();
        let document = Desired::new(DEVICE, 2, site(&guarded.registry.reference("next:1"), &asks));
        guarded.broker.publish_retained(&document.topic(), &envelope(&document.document())).unwrap();
        let event = eventually(PATIENCE, || {
            guarded
                .bench
                .said("event")
                .get(before)
                .cloned()
                .ok_or_else(|| format!("{asks}: nothing was said"))
        });
        let message =
            format!("projects.site.services.web.{key}: {what} is not allowed by this board's configuration");
        let hint = format!("the operator of the board allows it in its configuration: {setting}");
        let error = &event["error"];
        assert_eq!(event["to"], "REJECTED", "{asks}: {event:#}");
        assert_eq!(
            (&error["code"], &error["message"], &error["hint"], &error["service"]),
            (&json!("POLICY"), &json!(message), &json!(hint), &json!("web")),
            "{asks}"
        );
        table::refused(
            Family::Document,
            &format!("a service that asks for {asks}"),
            "POLICY",
            &message,
            None,
        );
    }
    assert!(
        !guarded.registry.requests().iter().any(|seen| seen.path.contains("/next/")),
        "the image was fetched"
    );
    assert_eq!(guarded.bench.process("site.web"), process, "what ran was moved");
    // By hand it is the person's own affair, and said.
    let words = [
        "run",
        "--rm",
        "--name",
        "mine",
        "-v",
        "/etc:/x:ro",
        &guarded.registry.reference("app:1"),
        "ls",
        "/x/passwd",
    ];
    let out = guarded.bench.board.command(&words).output().unwrap();
    let (said, noted) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(said.trim(), "/x/passwd", "{noted}");
    assert!(noted.contains("coracle: note: a document may not ask for \"/etc\""), "{noted}");
}

#[test]
fn what_the_board_allows_runs() {
    let dir = std::env::temp_dir().join(format!("coracle-allowed-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("data")).unwrap();
    std::os::unix::fs::symlink("/etc", dir.join("data/evil")).unwrap();
    let data = dir.join("data");
    let guarded = guarded(&format!(
        "[allow]\ncapabilities = [\"NET_ADMIN\"]\ndevices = [\"/dev/nu*\"]\nbinds = [{data:?}, \"/etc/localtime:ro\"]\n\
         unconfined = [\"site\"]\nprivileged = [\"site.root\"]\n"
    ));
    let image = guarded.registry.reference("next:1");
    let asks = json!({
        "cap_add": ["NET_ADMIN"], "devices": ["/dev/null:/dev/other"], "security_opt": ["seccomp=unconfined"],
        "volumes": [format!("{}:/x", data.display()), format!("{}:/y", data.join("made").display())],
    });
    let mut projects = site(&image, &asks);
    projects["site"]["services"]["root"] =
        json!({"image": image, "volumes": ["/etc:/x:ro"], "cap_add": ["SYS_TIME"]});
    guarded.bench.deploy(&guarded.broker, &Desired::new(DEVICE, 2, projects));
    let listed = guarded.bench.ask(&["exec", "site.web", "ls", "/x", "/dev/other"]);
    assert!(listed.contains("made") && listed.contains("/dev/other"), "{listed}");
    assert!(guarded.bench.ask(&["exec", "site.root", "ls", "/x"]).contains("passwd"));

    // A link that a container leaves in a place of its own leads nowhere else: the new one does not start.
    let link = json!({"volumes": [format!("{}:/x", data.join("evil").display())]});
    let desired = Desired::new(DEVICE, 3, site(&image, &link));
    desired.send(&guarded.broker);
    let event =
        guarded.bench.until_said("event", |event| event["desired"]["gen"] == 3 && !event["error"].is_null());
    let says = event["error"]["message"].as_str().unwrap();
    assert!(
        says.contains("evil\" leads to \"/etc\", which this board does not allow (allow.binds)"),
        "{event:#}"
    );
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_board_may_keep_its_network_to_itself() {
    let (broker, registry) = (broker(), FaultRegistry::start());
    let mut bench = Bench::new(&broker, &registry.host(), DEVICE);
    bench.settings.tables += "[allow]\nhost_network = false\n";
    bench.board.configure(&bench.settings).unwrap();
    bench.board.start().unwrap();
    bench.until_up();
    Desired::new(DEVICE, 1, site(&registry.reference("app:1"), &json!({}))).send(&broker);
    let event = bench.until_event("REJECTED", "POLICY");
    let says = "projects.site.services.web.network_mode: the board's own network is not allowed by this board's configuration";
    assert_eq!(event["error"]["message"], says);
}
