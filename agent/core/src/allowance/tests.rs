use serde_json::{Value, json};

use super::*;
use crate::compose::{Defaults, parse};

fn board() -> Allowance {
    Allowance {
        places: Places {
            allowed: ["/srv", "/etc/localtime:ro"].map(|text| Place::parse(text).unwrap()).into(),
            own: ["/var/lib/coracle", "/run/coracle", "/etc/coracle"].map(str::to_owned).into(),
        },
        host_network: true,
        sysctls: vec!["*".to_owned()],
        ..Allowance::default()
    }
}

/// What becomes of a service with these keys on a board with these words.
#[track_caller]
fn check(keys: &Value, change: impl FnOnce(&mut Allowance), expected: &[(&str, &str)]) {
    let mut service = json!({"image": "x", "network_mode": "none"});
    for (key, value) in keys.as_object().unwrap() {
        service[key] = value.clone();
    }
    let mut allowance = board();
    change(&mut allowance);
    let site = ProjectName::parse("site").unwrap();
    let project = json!({"services": {"web": service}, "volumes": {"data": null}});
    let project = parse(&site, &project, &Defaults::default()).unwrap();
    let (web, service) = project.services.first_key_value().unwrap();
    let refusals = allowance.refusals(&site, web, service);
    let found: Vec<_> = refusals.iter().map(|it| (it.to_string(), it.setting.as_str())).collect();
    let wanted: Vec<_> = expected
        .iter()
        .map(|(what, setting)| {
            (
                format!("projects.site.services.web.{what} is not allowed by this board's configuration"),
                *setting,
            )
        })
        .collect();
    assert_eq!(found.iter().map(|(a, b)| (a.clone(), *b)).collect::<Vec<_>>(), wanted);
    assert_eq!(allowance.judge(&site, &project).is_err(), !expected.is_empty());
}

#[test]
fn an_ordinary_service_needs_no_word_of_the_board() {
    check(&json!({}), |_| {}, &[]);
    check(&json!({"network_mode": "host", "cap_drop": ["ALL"], "cap_add": ["CHOWN"]}), |_| {}, &[]);
    check(
        &json!({"volumes": ["data:/data", "/srv:/a", "/srv/app:/b:ro", "/etc/localtime:/etc/localtime:ro"]}),
        |_| {},
        &[],
    );
    check(&json!({"tmpfs": ["/tmp"], "read_only": true, "security_opt": ["no-new-privileges"]}), |_| {}, &[]);
    check(&json!({"sysctls": {"net.ipv4.ip_forward": "1"}}), |_| {}, &[]);
}

#[test]
fn each_dangerous_thing_is_refused_until_the_board_says_otherwise() {
    let site = |text: &str| vec![Whose::parse(text).unwrap()];
    let privileged = [("privileged: a privileged container", "allow.privileged = [\"site.web\"]")];
    check(&json!({"privileged": true}), |_| {}, &privileged);
    for whose in ["site.web", "site", "*"] {
        check(&json!({"privileged": true}), |it| it.privileged = site(whose), &[]);
    }
    for whose in ["site.db", "shop"] {
        check(&json!({"privileged": true}), |it| it.privileged = site(whose), &privileged);
    }

    let net_admin = [("cap_add: NET_ADMIN", "allow.capabilities = [\"NET_ADMIN\"]")];
    check(&json!({"cap_add": ["NET_ADMIN"]}), |_| {}, &net_admin);
    check(&json!({"cap_add": ["NET_ADMIN"]}), |it| it.capabilities = vec!["SYS_TIME".into()], &net_admin);
    check(&json!({"cap_add": ["NET_ADMIN"]}), |it| it.capabilities = vec!["NET_ADMIN".into()], &[]);
    check(
        &json!({"cap_add": ["ALL"]}),
        |it| it.capabilities = vec!["NET_ADMIN".into()],
        &[("cap_add: ALL", "allow.capabilities = [\"ALL\"]")],
    );
    check(&json!({"cap_add": ["ALL", "SYS_TIME"]}), |it| it.capabilities = vec!["ALL".into()], &[]);

    let tty = [("devices: \"/dev/ttyUSB0\"", "allow.devices = [\"/dev/ttyUSB0\"]")];
    check(&json!({"devices": ["/dev/ttyUSB0"]}), |_| {}, &tty);
    for known in ["/dev/ttyUSB0", "/dev/ttyUSB*", "/dev", "/"] {
        check(&json!({"devices": ["/dev/ttyUSB0"]}), |it| it.devices = vec![known.into()], &[]);
    }
    for known in ["/dev/ttyUSB", "/dev/ttyS*", "/dev/tty"] {
        check(&json!({"devices": ["/dev/ttyUSB0"]}), |it| it.devices = vec![known.into()], &tty);
    }
    let deep = [("devices: \"/dev/bus/usb\"", "allow.devices = [\"/dev/bus/usb\"]")];
    check(&json!({"devices": ["/dev/bus/usb"]}), |it| it.devices = vec!["/dev/b*".into()], &deep);

    check(
        &json!({"security_opt": ["seccomp=unconfined"]}),
        |_| {},
        &[("security_opt: seccomp=unconfined", "allow.unconfined = [\"site.web\"]")],
    );
    check(&json!({"security_opt": ["seccomp=unconfined"]}), |it| it.unconfined = site("site"), &[]);
    check(
        &json!({"network_mode": "host"}),
        |it| it.host_network = false,
        &[("network_mode: the board's own network", "allow.host_network = true")],
    );
    let forward = [("sysctls: \"net.ipv4.ip_forward\"", "allow.sysctls = [\"net.ipv4.ip_forward\"]")];
    check(&json!({"sysctls": {"net.ipv4.ip_forward": "1"}}), |it| it.sysctls = vec!["fs.*".into()], &forward);
    check(&json!({"sysctls": {"net.ipv4.ip_forward": "1"}}), |it| it.sysctls = vec!["net.*".into()], &[]);
}

#[test]
fn the_boards_files_are_closed_but_for_the_places_it_names() {
    let anywhere = |it: &mut Allowance| it.places.allowed = vec![Place::parse("/").unwrap()];
    for source in [
        "/",
        "/etc",
        "/etc/shadow",
        "/proc",
        "/sys",
        "/dev",
        "/boot",
        "/srvother",
        "/run/docker.sock",
        "/run/systemd/private",
    ] {
        let what = format!("volumes: {source:?} with writing");
        let setting = format!("allow.binds = [\"{source}\"]");
        // What holds the agent's own directories is its own as well.
        if !["/", "/etc"].contains(&source) {
            check(&json!({"volumes": [format!("{source}:/x")]}), |_| {}, &[(&what, &setting)]);
            check(&json!({"volumes": [format!("{source}:/x")]}), anywhere, &[]);
        }
    }
    check(
        &json!({"volumes": ["/etc/localtime:/x"]}),
        |_| {},
        &[("volumes: \"/etc/localtime\" with writing", "allow.binds = [\"/etc/localtime\"]")],
    );
    check(
        &json!({"volumes": ["/boot:/x:ro"]}),
        |_| {},
        &[("volumes: \"/boot\"", "allow.binds = [\"/boot:ro\"]")],
    );
    for source in [
        "/",
        "/etc",
        "/var/lib",
        "/var/lib/coracle",
        "/var/lib/coracle/volumes/site_data",
        "/run/coracle/control.sock",
        "/etc/coracle",
    ] {
        let what = format!("volumes: {source:?}, which holds what the agent decides by,");
        let refused = [(what.as_str(), "allow.privileged = [\"site.web\"]")];
        check(&json!({"volumes": [format!("{source}:/x:ro")]}), anywhere, &refused);
        check(
            &json!({"volumes": [format!("{source}:/x")]}),
            |it| it.privileged = vec![Whose::Everybodys],
            &[],
        );
    }
}

#[test]
fn a_fault_names_all_that_is_refused_and_what_allows_it() {
    let site = ProjectName::parse("site").unwrap();
    let web = json!({"image": "x", "network_mode": "none", "privileged": true, "cap_add": ["SYS_TIME"]});
    let project = parse(&site, &json!({"services": {"web": web}}), &Defaults::default()).unwrap();
    let fault = board().judge(&site, &project).unwrap_err();
    assert_eq!(fault.code, Code::Policy);
    assert_eq!(
        fault.message(),
        "projects.site.services.web.privileged: a privileged container is not allowed by this board's configuration; \
         projects.site.services.web.cap_add: SYS_TIME is not allowed by this board's configuration"
    );
    assert_eq!(
        fault.hint.as_deref(),
        Some(
            "the operator of the board allows it in its configuration: allow.privileged = [\"site.web\"]; \
             allow.capabilities = [\"SYS_TIME\"]"
        )
    );
}

#[test]
fn words_of_the_board_are_read_or_refused() {
    for good in ["*", "site", "site.web"] {
        assert!(Whose::parse(good).is_ok(), "{good}");
    }
    for bad in ["", "site.", "site.*", "a b", "a/b"] {
        assert!(Whose::parse(bad).is_err(), "{bad}");
    }
    for bad in ["srv", "/srv/../etc", "", ":ro"] {
        assert!(Place::parse(bad).is_err(), "{bad}");
    }
    for bad in ["tty", "/dev/*/x", "/dev/*", "/dev/../x*"] {
        assert!(parse_device_pattern(bad).is_err(), "{bad}");
    }
    assert_eq!(parse_device_pattern("/dev/ttyS*").unwrap(), "/dev/ttyS*");
}
