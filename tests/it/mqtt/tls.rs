//! TLS to the broker: versions, keys, names, pins, times, renewals, and the way through a proxy.

use std::os::unix::fs::PermissionsExt as _;

use coracle_core::address::ProxyUrl;
use coracle_core::oci::Digest;
use coracle_host::channel::TlsFiles;
use coracle_test_support::broker::KeyForm;
use coracle_test_support::certificates;
use coracle_test_support::process::{eventually, run};
use coracle_test_support::proxy::Proxy;

use super::*;

fn broker() -> Broker {
    Broker::start(BrokerOptions { tls: true, client_certificates: true, ..Default::default() }).unwrap()
}

/// The channel of `board` with its certificate, under `localhost`.
fn secured(broker: &Broker, protocol: Protocol, form: KeyForm) -> ChannelConfig {
    let client = Some(broker.client_certificate("board", form).unwrap());
    let tls = Some(TlsFiles { ca: Some(broker.ca()), client, ..TlsFiles::default() });
    ChannelConfig { host: "localhost".into(), tls, ..config(broker, protocol) }
}

fn with(config: ChannelConfig, change: impl FnOnce(&mut TlsFiles)) -> ChannelConfig {
    let mut tls = config.tls.clone().unwrap();
    change(&mut tls);
    ChannelConfig { tls: Some(tls), ..config }
}

/// The first thing a channel says is that there is no connection, for such a reason.
#[track_caller]
fn refused(config: ChannelConfig, expected: Loss, fragments: &[&str]) {
    let (loss, cause, _) = Device::start(config).lost();
    assert_eq!(loss, expected, "{cause}");
    for fragment in fragments {
        assert!(cause.contains(fragment), "{cause:?} does not say {fragment:?}");
    }
}

#[test]
fn each_form_of_key_proves_the_board_over_both_versions_of_tls() {
    for (version, setting) in [("TLSv1.2", "MaxProtocol = TLSv1.2"), ("TLSv1.3", "MinProtocol = TLSv1.3")] {
        let dir = TempDir::new("openssl");
        let settings =
            format!("openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n{setting}\n");
        fs::write(dir.join("openssl.cnf"), settings).unwrap();
        let environment = vec![("OPENSSL_CONF".to_owned(), dir.join("openssl.cnf").display().to_string())];
        let options =
            BrokerOptions { tls: true, client_certificates: true, environment, ..Default::default() };
        let broker = Broker::start(options).unwrap();
        // What openssl itself negotiates there is what the board has to live with.
        let (certificate, key) = broker.client_certificate("openssl", KeyForm::Pkcs8).unwrap();
        let spoken = |version: &str| {
            let mut openssl = std::process::Command::new("openssl");
            openssl.args(["s_client", "-connect", &format!("localhost:{}", broker.port()), version]);
            openssl.arg("-CAfile").arg(broker.ca()).arg("-cert").arg(&certificate).arg("-key").arg(&key);
            run(&mut openssl).is_ok_and(|said| said.contains("BEGIN CERTIFICATE"))
        };
        assert_eq!([spoken("-tls1_2"), spoken("-tls1_3")], [version == "TLSv1.2", version == "TLSv1.3"]);
        for protocol in BOTH {
            for form in KeyForm::ALL {
                let mut device = Device::start(secured(&broker, protocol, form));
                device.connected();
                device.stop();
            }
        }
    }
}

#[test]
fn a_name_that_is_not_the_hosts_is_asked_for_and_checked() {
    let broker = broker();
    for protocol in BOTH {
        // By address, under a name that is in the certificate; by a name, under the address.
        for (host, name) in
            [("127.0.0.1", Some("localhost")), ("localhost", Some("127.0.0.1")), ("127.0.0.1", None)]
        {
            let config = secured(&broker, protocol, KeyForm::Pkcs8);
            let tls_name = name.map(str::to_owned);
            let mut device = Device::start(ChannelConfig { host: host.into(), tls_name, ..config });
            device.connected();
            device.stop();
        }
        let config = secured(&broker, protocol, KeyForm::Pkcs8);
        let config = ChannelConfig { tls_name: Some("other.example".into()), ..config };
        refused(config, Loss::Network, &["not for \"other.example\"", "localhost"]);
    }
}

#[test]
fn only_the_named_authority_and_the_pinned_keys_are_believed() {
    let (broker, other) = (broker(), TempDir::new("other-ca"));
    coracle_test_support::registry::certificate(&other).unwrap();
    let der = broker.dir().join("server.der");
    let script =
        "openssl x509 -in server.crt -pubkey -noout | openssl pkey -pubin -outform DER -out server.der";
    run(std::process::Command::new("sh").args(["-ec", script]).current_dir(broker.dir())).unwrap();
    let right = *Digest::of(&fs::read(der).unwrap()).bytes();
    for protocol in BOTH {
        let secured = || secured(&broker, protocol, KeyForm::Pkcs8);
        for pins in [vec![right], vec![[7; 32], right]] {
            let mut device = Device::start(with(secured(), |tls| tls.pins = pins));
            device.connected();
            device.stop();
        }
        let expected = Digest::of(&fs::read(broker.dir().join("server.der")).unwrap()).hex();
        refused(
            with(secured(), |tls| tls.pins = vec![[7; 32]]),
            Loss::Network,
            &["none of those pinned", &expected],
        );
        let stranger = with(secured(), |tls| tls.ca = Some(other.join("ca.crt")));
        refused(stranger, Loss::Network, &["no authority that is believed here"]);
        let public = with(secured(), |tls| tls.ca = None);
        let (loss, cause, _) = Device::start(public).lost();
        assert_eq!(loss, Loss::Network, "{cause}");
        assert!(
            cause.contains("no authority that is believed here") || cause.contains("no bundle"),
            "{cause}"
        );
        refused(
            with(secured(), |tls| tls.client = None),
            Loss::Credentials,
            &["refused this device's certificate"],
        );
        let strange = certificates::client(&other, "board", KeyForm::Pkcs8).unwrap();
        let strange = with(secured(), |tls| tls.client = Some(strange));
        refused(strange, Loss::Credentials, &["refused this device's certificate", "board.crt"]);
    }
}

#[test]
fn what_cannot_be_used_is_told_with_its_file_and_what_helps() {
    let broker = broker();
    let dir = TempDir::new("files");
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        write_secret(&path, text);
        path
    };
    let (certificate, key) = broker.client_certificate("board", KeyForm::Pkcs8).unwrap();
    let (_, strange) = broker.client_certificate("other", KeyForm::Sec1).unwrap();
    let locked = dir.join("locked.key");
    let mut lock = std::process::Command::new("openssl");
    lock.args(["pkcs8", "-topk8", "-passout", "pass:planted-for-nothing", "-in"])
        .arg(&key)
        .arg("-out")
        .arg(&locked);
    run(&mut lock).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o600)).unwrap();
    let open = dir.join("open.key");
    fs::copy(&key, &open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let (nothing, garbage) =
        (file("nothing.pem", ""), file("garbage.pem", "-----BEGIN CERTIFICATE-----\n?\n"));
    let missing = dir.join("missing.pem");
    let rows = [
        ("no such authority", Some(&missing), None, vec!["missing.pem", "No such file"]),
        ("an authority of nothing", Some(&nothing), None, vec!["nothing.pem", "no certificate"]),
        ("an authority of garbage", Some(&garbage), None, vec!["garbage.pem", "not PEM of certificates"]),
        ("no such certificate", None, Some((&missing, &key)), vec!["missing.pem", "No such file"]),
        ("no such key", None, Some((&certificate, &missing)), vec!["missing.pem", "No such file"]),
        (
            "a key of nothing",
            None,
            Some((&certificate, &nothing)),
            vec!["nothing.pem", "not PEM of a private key"],
        ),
        (
            "another one's key",
            None,
            Some((&certificate, &strange)),
            vec!["other.key", "board.crt", "without the other"],
        ),
        (
            "a key with a passphrase",
            None,
            Some((&certificate, &locked)),
            vec!["locked.key", "passphrase", "openssl pkey"],
        ),
        (
            "a key that others can read",
            None,
            Some((&certificate, &open)),
            vec!["chmod 600", "open.key", "mode 644"],
        ),
    ];
    for (name, ca, client, fragments) in rows {
        let config = with(secured(&broker, Protocol::V5, KeyForm::Pkcs8), |tls| {
            tls.ca = ca.cloned().or(tls.ca.take());
            tls.client = client.map(|(a, b)| (a.clone(), b.clone())).or(tls.client.take());
        });
        println!("{name}");
        refused(config, Loss::Network, &fragments);
    }
    let password_file = Some(open);
    let config =
        ChannelConfig { username: Some("board".into()), password_file, ..config(&broker, Protocol::V5) };
    refused(config, Loss::Network, &["chmod 600", "open.key"]);
}

#[test]
fn a_certificate_of_another_time_is_told_with_both_times() {
    for (from, to, fragments) in [
        (
            "20010203040506Z",
            "20020304050607Z",
            ["its certificate expired at 2002-03-04T05:06:07Z", "here it is 20"],
        ),
        ("20910203040506Z", "20920304050607Z", ["counts from 2091-02-03T04:05:06Z on", "clock is behind"]),
    ] {
        let mut broker = broker();
        certificates::server_for(broker.dir(), from, to).unwrap();
        broker.restart().unwrap();
        for protocol in BOTH {
            refused(secured(&broker, protocol, KeyForm::Pkcs8), Loss::Network, &fragments);
        }
    }
}

#[test]
fn a_renewed_certificate_is_used_without_a_restart_and_half_of_one_is_not() {
    for protocol in BOTH {
        let broker = broker();
        let config = secured(&broker, protocol, KeyForm::Pkcs8);
        let (certificate, key) = config.tls.as_ref().unwrap().client.clone().unwrap();
        let up = broker.watch("d/board/up").unwrap();
        let mut device = Device::start(config);
        let first = device.connected();
        up.next(is(format!("birth {first}"))).unwrap();
        let (next_certificate, next_key) = certificates::client(broker.dir(), "next", KeyForm::Sec1).unwrap();
        // New certificate, old key.
        fs::rename(&next_certificate, &certificate).unwrap();
        let event = device.event("unusable");
        let ChannelEvent::Unusable { why } = event else { panic!("{event:?}") };
        assert!(why.contains("board.key") && why.contains("without the other"), "{why}");
        device.publish("d/board/state", "still here", Qos::AtLeastOnce, true);
        eventually(PATIENCE, || broker.retained("d/board/state").unwrap().is_some());
        // And now the key: another session of the other name, and no word of a will.
        fs::rename(&next_key, &key).unwrap();
        assert_eq!(device.event("renewing"), ChannelEvent::Renewing);
        let second = device.connected();
        assert_ne!(first, second);
        eventually(PATIENCE, || broker.log().contains("u'next'"));
        up.next(is(format!("birth {second}"))).unwrap();
        assert!(!up.messages().iter().any(|seen| seen.text().starts_with("will")), "{:?}", up.messages());
        // Touched, and nothing new: nothing is told. A refresh looks at once, and finds nothing either.
        fs::copy(&key, key.with_extension("copy")).unwrap();
        fs::rename(key.with_extension("copy"), &key).unwrap();
        device.handle.as_ref().unwrap().refresh();
        broker.publish_retained("d/board/desired", b"after").unwrap();
        assert_eq!(device.message().1, Bytes::from_static(b"after"));
        device.stop();
    }
}

#[test]
fn a_lost_connection_comes_back_with_what_was_read_before_where_half_was_replaced() {
    let mut broker = broker();
    let config = secured(&broker, Protocol::V5, KeyForm::Pkcs8);
    let (certificate, _) = config.tls.as_ref().unwrap().client.clone().unwrap();
    let config = ChannelConfig { look_every: Duration::from_secs(3600), ..config };
    let mut device = Device::start(config);
    device.connected();
    let (other, _) = broker.client_certificate("other", KeyForm::Pkcs8).unwrap();
    fs::rename(other, certificate).unwrap();
    broker.restart().unwrap();
    let mut told = Vec::new();
    loop {
        match device.event("connected again") {
            ChannelEvent::Connected { .. } => break,
            ChannelEvent::Unusable { why } => told.push(why),
            ChannelEvent::Disconnected { .. }
            | ChannelEvent::Message { .. }
            | ChannelEvent::Renewing
            | ChannelEvent::NotTaken { .. } => {}
        }
    }
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("without the other"), "{told:?}");
    device.stop();
}

#[test]
fn credentials_that_were_mended_are_tried_at_once() {
    let options = BrokerOptions {
        users: vec![("bench".into(), "b".into()), ("board".into(), secrets::BROKER_PASSWORD.into())],
        ..Default::default()
    };
    let (broker, dir) = (Broker::start(options).unwrap(), TempDir::new("password"));
    let path = dir.join("password");
    write_secret(&path, "wrong\n");
    let config = ChannelConfig {
        username: Some("board".into()),
        password_file: Some(path.clone()),
        reconnect_speedup: 1,
        ..config(&broker, Protocol::V5)
    };
    let mut device = Device::start(config);
    let (loss, _, retry_in) = device.lost();
    assert!(loss == Loss::Credentials && retry_in >= Duration::from_secs(900), "{retry_in:?}");
    write_secret(&path, &format!("{}\n", secrets::BROKER_PASSWORD));
    device.connected();
    device.stop();
}

#[test]
fn the_way_leads_through_a_proxy_that_wants_to_know_who_comes() {
    let broker = broker();
    let proxy = Proxy::start(Some(("planted", secrets::PROXY_PASSWORD))).unwrap();
    let through = |user: &str| Some(ProxyUrl::parse(&format!("http://{user}{}", proxy.host())).unwrap());
    for protocol in BOTH {
        let secured =
            |user: &str| ChannelConfig { proxy: through(user), ..secured(&broker, protocol, KeyForm::Pkcs8) };
        let before = proxy.asked().len();
        let mut device = Device::start(secured(&format!("planted:{}@", secrets::PROXY_PASSWORD)));
        device.connected();
        device.stop();
        let asked = proxy.asked().split_off(before);
        let line = format!("CONNECT localhost:{} HTTP/1.1", broker.port());
        assert_eq!(
            asked.iter().map(|asked| (&*asked.line, asked.status)).collect::<Vec<_>>(),
            [(&*line, 200)]
        );
        for user in ["", "planted:wrong@"] {
            refused(secured(user), Loss::Credentials, &["the proxy", "407", "broker.proxy"]);
        }
        let elsewhere =
            ChannelConfig { port: 1, ..secured(&format!("planted:{}@", secrets::PROXY_PASSWORD)) };
        refused(elsewhere, Loss::Network, &["the proxy", "502"]);
    }
}
