//! Tables over whole files: text in, settings or the exact complaint out.

use std::path::Path;

use super::inputs::Inputs;
use super::keys::KEYS;
use super::{
    ConfigError, Origin, Protocol, Settings, Sources, Surroundings, Transport, Trust, inputs, settings,
};

const FILE: &str = "/etc/coracle/config.toml";

fn board() -> Surroundings {
    Surroundings {
        machine_id: Some("0123456789abcdef0123456789abcdef\n".to_owned()),
        host_name: Some("board-7.lan\n".to_owned()),
        ..nowhere()
    }
}

/// A board that says nothing of itself, but has a certificate.
fn nowhere() -> Surroundings {
    let named_by = |file: &Path| match file.to_str() {
        Some("/c") => Ok("board-9".to_owned()),
        Some("/dots") => Ok("board-9.example.com".to_owned()),
        Some(_) | None => Err("failed to read".to_owned()),
    };
    Surroundings { machine_id: None, keeps_machine_id: true, host_name: None, serials: Vec::new(), named_by }
}

fn settings_of(text: &str) -> Result<Settings, ConfigError> {
    let mut inputs = Inputs::default();
    inputs.add(Path::new(FILE), text)?;
    settings::check(inputs, &board())
}

#[track_caller]
fn refused(text: &str, complaint: &str) {
    let error = settings_of(text).expect_err("refused");
    assert_eq!(error.to_string(), format!("{FILE}:{complaint}"), "for {text}");
}

#[test]
fn every_mistake_is_told_with_file_line_and_key() {
    let rows = [
        ("device_id = \"a/b\"", "1: device_id: device id \"a/b\" is not valid: 1 to 64 of A-Z a-z 0-9 _ -"),
        ("\ndevice_id = 7", "2: device_id: must be a string, not an integer"),
        ("groups = \"eu\"", "1: groups: must be a list of strings, not a string"),
        ("groups = [1]", "1: groups: must be a list of strings, not an array"),
        (
            "groups = [\n  \"eu\",\n  \"a.b\"]",
            "3: groups: group \"a.b\" is not valid: 1 to 64 of A-Z a-z 0-9 _ -",
        ),
        ("groups = [\"eu\", \"eu\"]", "1: groups: \"eu\" is there twice"),
        ("groups = [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\"]", "1: groups: more than 4 groups"),
        (
            "groups = [\"a\", \"b\", \"c\"]\n[broker]\nurl = \"mqtt://b\"\ngroup_commands = true",
            "4: broker.group_commands: is true, but brokers take eight filters of one board, which are used up by 2 groups with their commands; it has 3",
        ),
        ("state_dir = \"var\"", "1: state_dir: \"var\" is not an absolute path"),
        ("run_dir = \"/run/../etc\"", "1: run_dir: \"/run/../etc\" has a '..' in it"),
        ("accept_tags = \"yes\"", "1: accept_tags: must be true or false, not a string"),
        (
            "default_network = \"bridge\"",
            "1: default_network: \"bridge\" is not a network; there are \"host\" and \"none\"",
        ),
        (
            "supervisor = \"runit\"",
            "1: supervisor: \"runit\" is no supervisor; there are \"auto\", \"systemd\" and \"direct\"",
        ),
        ("platform = []", "1: platform: an empty list; leave the key out to detect the platform"),
        (
            "[trust]\nunsined = true",
            "2: trust.unsined: unknown key; [trust] has unsigned, keys_dir, image_policy",
        ),
        (
            "[trust]\nunsigned = true\nkeys_dir = \"/a\"",
            "3: trust.keys_dir: has no effect with trust.unsigned = true",
        ),
        (
            "[brokr]\nurl = \"\"",
            "1: brokr: unknown section; there are trust, broker, registry, runtime, pull, store, disk, allow, lock",
        ),
        (
            "broker = 1",
            "1: broker: unknown key; outside of sections there are device_id, device_id_from, groups, state_dir, run_dir, platform, accept_tags, default_network, supervisor",
        ),
        (
            "[allow]\nbinds = [\n  \"/srv\",\n  \"srv/x:ro\"]",
            "4: allow.binds: \"srv/x\": want an absolute path",
        ),
        (
            "[allow]\nsysctls = [\"net.*.x\"]",
            "2: allow.sysctls: \"net.*.x\" is no name of a kernel setting; a * may only end it",
        ),
        ("[pull]\nconcurrency = 0", "2: pull.concurrency: must be a number from 1 to 8, not 0"),
        ("[pull]\nconcurrency = -3", "2: pull.concurrency: must be a number from 1 to 8, not -3"),
        ("[pull]\nconcurrency = 2.5", "2: pull.concurrency: must be a number from 1 to 8, not a float"),
        (
            "[runtime]\npath = \"bin/crun\"",
            "2: runtime.path: \"bin/crun\" is neither a name nor an absolute path",
        ),
        (
            "[registry]\ninsecure = [\"http://r:5000\"]",
            "2: registry.insecure: \"http://r:5000\" is not host[:port]; leave out http:// and any path",
        ),
        (
            "[broker]\nversion = \"5\"",
            "2: broker.version: is set, but broker.url is not: without it there is no broker",
        ),
        (
            "[broker]\nurl = \"mqtt://b\"\nversion = \"4\"",
            "3: broker.version: \"4\" is not a version; there are \"5\" and \"3.1.1\"",
        ),
        (
            "[broker]\nurl = \"mqtt://b\"\nroot = \"a/b/c/d\"",
            "3: broker.root: must be 1 to 3 levels of A-Z a-z 0-9 _ -, divided by '/'",
        ),
        (
            "[broker]\nurl = \"mqtt://b\"\nroot = \"a/#\"",
            "3: broker.root: must be 1 to 3 levels of A-Z a-z 0-9 _ -, divided by '/'",
        ),
        (
            "[broker]\nurl = \"mqtt://b\"\npassword_file = \"/p\"",
            "3: broker.password_file: needs broker.username beside it",
        ),
        (
            "[broker]\nurl = \"mqtt://b\"\nca_file = \"/c\"",
            "3: broker.ca_file: has no effect with mqtt://; write mqtts:// in broker.url",
        ),
        (
            "[broker]\nurl = \"mqtts://b\"\ncert_file = \"/c\"",
            "3: broker.cert_file: needs broker.key_file beside it",
        ),
        (
            "[broker]\nurl = \"mqtts://b\"\ntls_name = \"b:1\"",
            "3: broker.tls_name: must be a name or an IPv4 address, without a port",
        ),
        (
            "[broker]\nurl = \"mqtts://b\"\npin_sha256 = [\n\"ab\"]",
            "4: broker.pin_sha256: \"ab\" is not a SHA-256 in hex: 64 digits",
        ),
        (
            "[broker]\nurl = \"mqtt://b\"\nproxy = \"http://u:hush@p\"",
            "3: broker.proxy: has no effect with mqtt://; write mqtts:// in broker.url",
        ),
        (
            "[broker]\nurl = \"mqtts://b\"\nproxy = \"https://u:hush@p\"",
            "3: broker.proxy: must begin with http://: TLS goes through it to the broker, not to the proxy",
        ),
        (
            "[registry]\nproxy = \"socks5://u:hush@p\"",
            "2: registry.proxy: must be http://[user:password@]host[:port], or the same with https://",
        ),
        (
            "[registry]\nno_proxy = [\".lan\"]",
            "2: registry.no_proxy: has no effect without registry.proxy; for HTTPS_PROXY there is NO_PROXY",
        ),
        (
            "[broker]\nurl = \"mqtts://b\"\nkey_file = \"/k\"",
            "3: broker.key_file: needs broker.cert_file beside it",
        ),
        (
            "[broker]\nkeepalive_seconds = 5",
            "2: broker.keepalive_seconds: must be a number from 10 to 3600, not 5",
        ),
    ];
    for (text, complaint) in rows {
        refused(text, complaint);
    }
}

#[test]
fn a_file_that_is_no_toml_is_told_with_its_line() {
    for (text, line) in
        [("device_id = \n", 1), ("\n\n[broker\n", 3), ("device_id = \"a\"\ndevice_id = \"b\"\n", 2)]
    {
        let complaint = settings_of(text).expect_err("refused").to_string();
        assert!(complaint.starts_with(&format!("{FILE}:{line}: ")), "{complaint}");
    }
}

#[test]
fn the_first_mistake_of_a_file_is_told_first() {
    refused(
        "zebra = 1\nanimal = 2\n",
        "1: zebra: unknown key; outside of sections there are device_id, device_id_from, groups, state_dir, run_dir, platform, accept_tags, default_network, supervisor",
    );
}

#[test]
fn a_broker_url_is_split_or_refused() {
    let rows = [
        ("mqtt://b", Ok("mqtt://b:1883")),
        ("mqtts://b.example", Ok("mqtts://b.example:8883")),
        ("mqtt://10.0.0.1:1999/", Ok("mqtt://10.0.0.1:1999")),
        ("mqtt://[::1]:1884", Ok("mqtt://[::1]:1884")),
        ("b:1883", Err("must be mqtt://host[:port] or mqtts://host[:port]")),
        ("http://b", Err("scheme \"http\" is not known; use mqtt:// or mqtts://")),
        ("wss://b", Err("MQTT over WebSocket is not spoken; use mqtt:// or mqtts://")),
        (
            "mqtt://me:secret@b",
            Err("holds credentials; they belong in broker.username and broker.password_file"),
        ),
        ("mqtt://b/topic", Err("must end after host and port; the start of topics is broker.root")),
        ("mqtt://b:0", Err("\"0\" is not a port")),
        ("mqtt://b:70000", Err("\"70000\" is not a port")),
        ("mqtt://", Err("\"\" is not a host name or address")),
        ("mqtt://[::1", Err("has a '[' without its ']'")),
        ("mqtt://[b]:1", Err("\"b\" is not an IPv6 address")),
    ];
    for (text, wanted) in rows {
        let found = super::broker::BrokerUrl::parse(text).map(|url| url.to_string());
        assert_eq!(found, wanted.map(str::to_owned).map_err(str::to_owned), "{text}");
    }
}

#[test]
fn without_any_file_the_defaults_hold_and_there_is_no_broker() {
    let settings = settings::check(Inputs::default(), &board()).unwrap();
    assert_eq!(settings.state_dir, Path::new("/var/lib/coracle"));
    assert_eq!(settings.trust, Trust::Signed);
    assert!(settings.broker.is_none() && !settings.accept_tags && settings.platforms.is_empty());
    assert_eq!(
        settings.rows.iter().map(|row| row.key).collect::<Vec<_>>(),
        KEYS.iter().map(|k| k.name).collect::<Vec<_>>()
    );
}

#[test]
fn the_defaults_are_the_ones_the_table_shows() {
    let settings = settings::check(Inputs::default(), &board()).unwrap();
    for (row, key) in settings.rows.iter().zip(KEYS) {
        if row.origin != Origin::Default {
            assert_eq!(key.name, "device_id");
        } else if row.value.is_null() {
            assert!(!key.default.is_empty(), "{}", key.name);
        } else {
            assert_eq!(row.value.to_string(), key.default, "{}", key.name);
        }
    }
}

#[test]
fn the_default_device_id_is_stable_and_does_not_show_the_machine_id() {
    let id = settings_of("").unwrap().device_id;
    assert_eq!(id.as_str().len(), 32);
    assert_eq!(id, settings_of("").unwrap().device_id);
    assert!(!id.as_str().contains("0123456789abcdef"));
    let name = |machine_id: Option<&str>, host_name: Option<&str>| {
        let board = Surroundings {
            machine_id: machine_id.map(str::to_owned),
            host_name: host_name.map(str::to_owned),
            ..nowhere()
        };
        board.usual().map(|(id, _)| id.as_str().to_owned())
    };
    assert_eq!(name(Some("uninitialized\n"), Some("board-7.lan\n")).as_deref(), Some("board-7"));
    assert_eq!(name(None, Some("localhost\n")), None);
    assert_eq!(name(Some(&"0".repeat(32)), None), None);
}

const BROKER: &str = "[broker]\nurl = \"mqtts://b\"\nkey_file = \"/k\"\n";

/// What a board is called, or why it waits for its name.
#[track_caller]
fn named(text: &str, board: &Surroundings, expected: Result<(&str, &str), &str>) {
    let mut inputs = Inputs::default();
    inputs.add(Path::new(FILE), text).unwrap();
    let settings = settings::check(inputs, board).unwrap();
    let row = settings.row("device_id").unwrap();
    let from = match &row.origin {
        Origin::Derived { from } => from.as_str(),
        Origin::File { .. } => "file",
        Origin::Default => "default",
    };
    assert_eq!(row.value, settings.device_id.as_str(), "{text}");
    match (&settings.waits, expected) {
        (None, Ok(expected)) => assert_eq!((settings.device_id.as_str(), from), expected, "{text}"),
        (Some(why), Err(expected)) => {
            assert_eq!(why, expected, "{text}");
            assert_eq!((settings.device_id.as_str(), from), ("nameless", "nothing yet"), "{text}");
        }
        (found, expected) => panic!("{found:?}, expected {expected:?} for {text}"),
    }
}

#[test]
fn a_board_is_named_after_what_its_configuration_says_or_waits_for_it() {
    let from = |source: &str| format!("device_id_from = {source:?}\n");
    let certificate = |file: &str| format!("{}{BROKER}cert_file = {file:?}\n", from("certificate"));
    named("device_id = \"x\"", &nowhere(), Ok(("x", "file")));
    named(&from("hostname"), &board(), Ok(("board-7", "host name")));
    named(&certificate("/c"), &nowhere(), Ok(("board-9", "certificate /c")));
    named(&certificate("/none"), &board(), Err("there is no device id: failed to read"));
    let dots = "there is no device id: the common name in /dots cannot be one: device id \"board-9.example.com\" is not \
                valid: 1 to 64 of A-Z a-z 0-9 _ -";
    named(&certificate("/dots"), &board(), Err(dots));
    named(&from("machine-id"), &nowhere(), Err("there is no device id: /etc/machine-id holds no id"));
    named(&from("hostname"), &nowhere(), Err("there is no device id: the board has no host name of its own"));
    let none =
        "there is no device id: neither the device tree nor the firmware has a serial number of this board";
    named(&from("serial"), &board(), Err(none));
    for (text, wanted) in
        [("To Be Filled By O.E.M.", None), ("00000000", None), ("", None), ("10a7", Some("10a7"))]
    {
        let serials = vec![("/empty".into(), "None".to_owned()), ("/s".into(), text.to_owned())];
        let board = Surroundings { serials, ..nowhere() };
        named(&from("serial"), &board, wanted.map(|id| (id, "serial /s")).ok_or(none));
    }
}

#[test]
fn a_board_without_a_name_may_run_but_not_meet_a_broker() {
    named("", &nowhere(), Ok(("nameless", "nothing")));
    let why = "there is no device id: this board has neither a machine-id nor a host name of its own; set device_id or \
               device_id_from";
    named("[broker]\nurl = \"mqtt://b\"", &nowhere(), Err(why));
    named("device_id = \"x\"\n[broker]\nurl = \"mqtt://b\"", &nowhere(), Ok(("x", "file")));
}

#[test]
fn what_can_never_name_a_board_is_a_mistake() {
    refused(
        "device_id = \"x\"\ndevice_id_from = \"serial\"",
        "2: device_id_from: has no effect beside device_id",
    );
    refused("device_id_from = \"certificate\"", "1: device_id_from: needs broker.cert_file");
    refused(
        "device_id_from = \"mac\"",
        "1: device_id_from: \"mac\" is nothing to name a board after; there are \"machine-id\", \"hostname\", \"serial\" \
         and \"certificate\"",
    );
}

#[test]
fn a_name_that_may_not_last_is_marked() {
    let unsteady = |text: &str, keeps_machine_id: bool| {
        let mut inputs = Inputs::default();
        inputs.add(Path::new(FILE), text).unwrap();
        settings::check(inputs, &Surroundings { keeps_machine_id, ..board() }).unwrap().unsteady
    };
    assert!(unsteady("", false) && unsteady("device_id_from = \"machine-id\"", false));
    assert!(!unsteady("", true) && !unsteady("device_id_from = \"hostname\"", false));
}

#[test]
fn a_whole_broker_section_is_read() {
    let text = "[broker]\nurl = \"mqtts://b\"\nversion = \"3.1.1\"\nroot = \"acme/coracle/v1\"\nusername = \"u\"\n\
        cert_file = \"/c\"\nkey_file = \"/k\"\nkeepalive_seconds = 60\nfirst_connect_splay_seconds = 0\n";
    let broker = settings_of(text).unwrap().broker.unwrap();
    assert_eq!((broker.url.transport, broker.url.port), (Transport::Tls, 8883));
    assert_eq!((broker.protocol, broker.root.as_str()), (Protocol::V311, "acme/coracle/v1"));
    assert_eq!(broker.identity, Some(("/c".into(), "/k".into())));
    assert_eq!((broker.keepalive.as_secs(), broker.first_connect_splay.as_secs()), (60, 0));
}

#[test]
fn one_platform_or_a_list_of_them_is_taken() {
    let shown =
        |text| settings_of(text).unwrap().platforms.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(shown("platform = \"linux/arm/v7\""), ["linux/arm/v7"]);
    assert_eq!(shown("platform = [\"linux/arm64\", \"linux/arm/v7\"]").len(), 2);
    assert!(settings_of("platform = \"linux/arm/v7/more\"").is_err());
}

/// A root with the files given, and its removal.
struct Tree(std::path::PathBuf);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("coracle-config-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let tree = Self(std::env::temp_dir().join(name));
        for (path, text) in files {
            let path = tree.0.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        tree
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_later_file_wins_key_by_key_and_the_origin_says_which() {
    let tree = Tree::new(&[
        (
            "usr/lib/coracle/config.toml",
            "state_dir = \"/vendor\"\nrun_dir = \"/vendor-run\"\n[pull]\nconcurrency = 1\n",
        ),
        ("usr/lib/coracle/config.d/10-x.toml", "accept_tags = true\n"),
        ("etc/coracle/config.toml", "\nstate_dir = \"/operator\"\n"),
        ("etc/coracle/config.d/20-b.toml", "groups = [\"b\"]\n"),
        ("etc/coracle/config.d/10-a.toml", "groups = [\"a\"]\nrun_dir = \"/a\"\n"),
        ("etc/coracle/config.d/.hidden.toml", "nonsense\n"),
        ("etc/coracle/config.d/30-c.toml.bak", "nonsense\n"),
    ]);
    let inputs = inputs::gather(&Sources::under(&tree.0)).unwrap();
    let settings = settings::check(inputs, &board()).unwrap();
    assert_eq!(settings.state_dir, Path::new("/operator"));
    assert_eq!(settings.run_dir, Path::new("/a"));
    assert!(settings.accept_tags);
    assert_eq!(settings.groups.iter().map(|group| group.as_str()).collect::<Vec<_>>(), ["b"]);
    let origin = |key: &str| settings.row(key).unwrap().origin.clone();
    let file = |path: &str, line| Origin::File { file: tree.0.join(path), line };
    assert_eq!(origin("state_dir"), file("etc/coracle/config.toml", 2));
    assert_eq!(origin("pull.concurrency"), file("usr/lib/coracle/config.toml", 4));
    assert_eq!(origin("groups"), file("etc/coracle/config.d/20-b.toml", 1));
    assert_eq!(settings.files.len(), 5);
}

#[test]
fn a_named_file_stands_alone_with_its_neighbors_and_must_be_there() {
    let tree =
        Tree::new(&[("a/my.toml", "run_dir = \"/a\"\n"), ("a/config.d/1.toml", "accept_tags = true\n")]);
    let settings = super::load(Some(&tree.0.join("a/my.toml"))).unwrap();
    assert!(settings.accept_tags && settings.run_dir == Path::new("/a"));
    assert_eq!(settings.files.len(), 2);
    assert!(matches!(super::load(Some(&tree.0.join("none.toml"))), Err(ConfigError::Read { .. })));
}

#[test]
fn a_secret_that_others_can_read_is_refused_with_the_command_that_mends_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let tree = Tree::new(&[("secret", "hush\n")]);
    let secret = tree.0.join("secret");
    let text = format!("[broker]\nurl = \"mqtt://b\"\nusername = \"u\"\npassword_file = {secret:?}\n");
    let file = tree.0.join("my.toml");
    std::fs::write(&file, text).unwrap();
    let mode = |mode| std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o640);
    let complaint = super::load(Some(&file)).unwrap_err().to_string();
    let wanted = format!(
        "{}:4: broker.password_file: {secret:?} can be reached by others (mode 640); run: chmod 600 {}",
        file.display(),
        secret.display()
    );
    assert_eq!(complaint, wanted);
    mode(0o600);
    assert!(super::load(Some(&file)).is_ok());
}

#[test]
fn a_proxy_is_shown_without_its_password_which_nobody_else_may_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let tree = Tree::new(&[(
        "my.toml",
        "[broker]\nurl = \"mqtts://b\"\nproxy = \"http://u:hush-1@p:3128\"\n\
         [registry]\nproxy = \"http://u:hush-2@p\"\nno_proxy = [\".lan\", \"10.0.0.0/8\"]\n",
    )]);
    let file = tree.0.join("my.toml");
    let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    let complaint = super::load(Some(&file)).unwrap_err().to_string();
    assert!(complaint.contains("my.toml:3: broker.proxy: holds a password"), "{complaint}");
    assert!(complaint.ends_with(&format!("run: chmod 600 {}", file.display())), "{complaint}");
    mode(0o600);
    let settings = super::load(Some(&file)).unwrap();
    let told = format!("{settings:?} {} {complaint}", serde_json::to_string(&settings.rows).unwrap());
    assert!(!told.contains("hush"), "{told}");
    let shown = |key| settings.row(key).unwrap().value.as_str().unwrap().to_owned();
    assert_eq!(
        [shown("broker.proxy"), shown("registry.proxy")],
        ["http://***@p:3128", "http://***@p:80"].map(str::to_owned)
    );
}

/// The rows that `agent/docs/config.md` must have.
fn documented() -> Vec<String> {
    let row = |key: &super::keys::Key| {
        let default = if key.default.starts_with(|c: char| c.is_ascii_alphabetic())
            && !matches!(key.default, "true" | "false")
        {
            key.default.to_owned()
        } else {
            format!("`{}`", key.default)
        };
        format!("| `{}` | {} | {default} | {} |", key.name, key.kind.words(), key.meaning)
    };
    KEYS.iter().map(row).collect()
}

#[test]
fn the_page_on_the_configuration_has_every_key_as_it_is() {
    let page = include_str!("../../../docs/config.md");
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
    assert_eq!(
        rows,
        documented(),
        "agent/docs/config.md should have these rows:\n{}",
        documented().join("\n")
    );
}
