//! What a fuzzer begins with: the fixtures of the project, and good input made here.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coracle_core::trust::{Envelope, Kind};
use coracle_test_support::archive::{Entry, archive, gzip, old_gnu_sparse, zstd};
use serde_json::json;

use crate::documents::{ED25519, LINEAGE, P256, ROOT, SIGNED, payloads};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Good input for the target `name`, made anew from the fixtures.
pub fn seeds(name: &str) -> Vec<Vec<u8>> {
    match name {
        "reference" => texts(&[
            "nginx",
            "quay.io:5000/a/b__c:v1.2-x",
            "[::1]:5000/a",
            &format!("localhost/a/b:t@{DIGEST}"),
        ]),
        "names" => names(),
        "manifest" => manifests(),
        "config" => vec![image_config()],
        "layer_raw" => {
            vec![archive(every_form()), gzip(&archive(every_form())), zstd(&archive(every_form()), 17)]
        }
        "layer_tar" => {
            let sparse = old_gnu_sparse(
                "sparse",
                &[(0, b"head"), (8192, b"tail"), (20_000, b"x"), (30_000, b"y"), (40_000, b"z")],
                50_000,
            );
            (0..4)
                .map(|wrapping| [vec![wrapping], archive(every_form())].concat())
                .chain([[vec![0], sparse].concat()])
                .collect()
        }
        "layer_entries" => (0..8)
            .map(|n: u8| (0..120).map(|at: u8| at.wrapping_mul(n.wrapping_mul(14) | 1)).collect())
            .collect(),
        "layer_resume" => {
            (0..4).map(|n: u8| (0..150).map(|at: u8| at.wrapping_mul(29) ^ n).collect()).collect()
        }
        "desired" => SIGNED.iter().map(|bytes| payload(bytes)).chain([document()]).collect(),
        "envelope" => SIGNED.iter().map(|bytes| bytes.to_vec()).collect(),
        "trust" => trust(),
        "signed" => signed(),
        "journal" => fixtures("journal"),
        "saved" => saved(),
        "list" => fixtures("saved")
            .into_iter()
            .filter_map(|file| file.strip_prefix(b"coracle list 1\n").map(<[u8]>::to_vec))
            .collect(),
        "compose" => vec![compose()],
        "command" => commands(),
        "user" => texts(&[
            "www:adm\nroot:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/var/www:/bin/false\0adm:x:4:www,root\n",
            "1000:50\n",
        ]),
        "challenge" => texts(&[
            r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull""#,
            "Basic realm=\"x\", Negotiate abc==\nbearer REALM = https://x/t , error=\"a\\\"b\"",
        ]),
        "mqtt" => packets(),
        _ => Vec::new(),
    }
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn fixtures(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data").join(folder);
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("the fixtures").map(|it| it.expect("a fixture").path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).expect("a fixture")).collect()
}

fn names() -> Vec<Vec<u8>> {
    let words = [
        "pump-7",
        "shop.web",
        DIGEST,
        "d/pump-7",
        "g/pumps",
        "linux/arm/v7",
        "arm64/v9.2",
        "amd64/v3",
        "Europe/Berlin",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "a/.wh.b",
        "a/.wh..wh..opq",
        "./a//b/",
    ];
    texts(&words).into_iter().chain(texts(&[ED25519, P256, ROOT])).collect()
}

fn manifests() -> Vec<Vec<u8>> {
    let descriptor = |kind: &str, more: serde_json::Value| {
        let mut descriptor = json!({"mediaType": kind, "digest": DIGEST, "size": 7});
        descriptor.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        descriptor
    };
    let image = "application/vnd.oci.image.manifest.v1+json";
    let of = |architecture: &str, variant: &str| {
        descriptor(
            image,
            json!({"platform": {"os": "linux", "architecture": architecture, "variant": variant}}),
        )
    };
    let attestation = json!({"annotations": {"vnd.docker.reference.type": "attestation-manifest"}, "platform": {"os": "unknown", "architecture": "unknown"}});
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
        of("arm", "v6"), of("arm", "v7"), of("arm64", "v8"), of("amd64", "v3"), of("riscv64", ""), descriptor(image, attestation),
        descriptor(image, json!({"artifactType": "text/x"})), descriptor(image, json!({})),
        descriptor(image, json!({"platform": {"os": "linux", "architecture": "amd64", "os.features": ["x"]}})),
    ]});
    let manifest = json!({"schemaVersion": 2, "config": descriptor("application/vnd.oci.image.config.v1+json", json!({})), "layers": [
        descriptor("application/vnd.oci.image.layer.v1.tar+gzip", json!({"urls": ["https://x"]})),
        descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", json!({})),
    ]});
    (0..5)
        .map(|board| [vec![board], index.to_string().into_bytes()].concat())
        .chain([[vec![0], manifest.to_string().into_bytes()].concat()])
        .collect()
}

fn image_config() -> Vec<u8> {
    json!({"os": "linux", "architecture": "arm", "variant": "v7", "os.features": ["x"], "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
        "config": {"User": "1000:www", "Env": ["A=b"], "Entrypoint": ["/e"], "Cmd": ["x"], "WorkingDir": "/w", "StopSignal": "SIGQUIT",
            "Labels": {"k": "v"}, "Volumes": {"/a": {}}, "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1_500_000, "Timeout": 0, "StartInterval": 2, "Retries": 3}}})
    .to_string()
    .into_bytes()
}

fn every_form() -> Vec<Entry> {
    vec![
        Entry::dir("./").mtime(900_000_000),
        Entry::dir("bin").mode(0o1755),
        Entry::file("bin/sh", "#!").mode(0o4755).owner(0, 50),
        Entry::hard_link("bin/bash", "bin/sh"),
        Entry::symlink("sbin", "bin"),
        Entry::symlink("up", "../../outside"),
        Entry::file("sbin/late", "through a link").owner(70_000, 4_000_000_000),
        Entry::of(b'6', "fifo"),
        Entry::device(b'3', "null", 1, 3),
        Entry::file("noted", "n").attribute("user.note", "a\nb\0c").pax("mtime", "1350244992.023960108"),
        Entry::file("named", "pax").pax("path", "p/q"),
        Entry::file("l".repeat(150), "long"),
        Entry::of(b'0', "bin/.wh.sh"),
        Entry::of(b'0', "etc/.wh..wh..opq"),
    ]
}

fn payload(envelope: &[u8]) -> Vec<u8> {
    Envelope::parse(Kind::Desired, envelope).expect("a fixture").payload().to_vec()
}

fn project() -> serde_json::Value {
    serde_json::from_slice(&compose()).expect("JSON")
}

fn document() -> Vec<u8> {
    json!({"schema": "desired/v1", "id": "01J9", "scope": "d/pump-7", "gen": 7, "rev": 1, "iat": 1_789_000_000, "exp": 1_999_000_000_u64,
        "policy": {"mode": "soft", "windows": [{"days": ["mon"], "from": "02:00", "to": "04:00"}], "percent": 50, "spread": 60, "download": {"maxBps": 1000}},
        "requires": {"agent": ">=0.1.0", "platforms": ["linux/arm/v7"]}, "projects": {"shop": project(), "empty": {"services": {}}}})
    .to_string()
    .into_bytes()
}

fn trust() -> Vec<Vec<u8>> {
    payloads().chain([LINEAGE.to_vec()]).collect()
}

fn signed() -> Vec<Vec<u8>> {
    let policy = json!({"default": [{"type": "reject"}], "transports": {"docker": {
        "registry.example/site": [{"type": "sigstoreSigned", "keyPaths": ["/a", "/b"], "signedIdentity": {"type": "remapIdentity", "prefix": "registry.example/site", "signedPrefix": "x.example/y"}}],
        "*.example": [{"type": "insecureAcceptAnything"}], "": [{"type": "sigstoreSigned", "keyData": STANDARD.encode(P256)}],
    }}});
    let statement = json!({"_type": "https://in-toto.io/Statement/v1", "subject": [{"name": "x", "digest": {"sha256": &DIGEST[7..]}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1", "predicate": {}});
    let bundle = json!({"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "verificationMaterial": {"publicKey": {"hint": "x"}},
        "dsseEnvelope": {"payload": STANDARD.encode(statement.to_string()), "payloadType": "application/vnd.in-toto+json", "signatures": [{"sig": "AAAA"}]}});
    let simple = json!({"critical": {"identity": {"docker-reference": "registry.example/site/web"}, "image": {"docker-manifest-digest": DIGEST},
        "type": "cosign container image signature"}, "optional": null});
    let der = |pem: &str| {
        let body = pem.lines().filter(|line| !line.starts_with("-----")).collect::<String>();
        STANDARD.decode(body).expect("a fixture")
    };
    // rsaEncryption, with a modulus of 2048 bits and the usual exponent.
    let rsa = [
        &b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x82\x01\x0f\x00"
            [..],
        b"\x30\x82\x01\x0a\x02\x82\x01\x01\x00",
        &[0xc5; 256],
        b"\x02\x03\x01\x00\x01",
    ];
    let saved = include_bytes!("../../data/saved/image-signatures-1.json");
    let json = [policy, bundle, simple].map(|value| value.to_string().into_bytes());
    json.into_iter().chain([saved.to_vec(), der(ED25519), der(P256), rsa.concat()]).collect()
}

fn saved() -> Vec<Vec<u8>> {
    let body = |file: Vec<u8>| match file.iter().position(|byte| *byte == b'\n') {
        Some(64) => file[65..].to_vec(),
        _ => file,
    };
    fixtures("saved").into_iter().map(body).filter(|file| file.first() == Some(&b'{')).collect()
}

/// The example of the page on Compose documents, which has every key.
fn compose() -> Vec<u8> {
    let page = include_str!("../../../agent/docs/compose.md");
    let example = page.split_once("```json\n").and_then(|(_, rest)| rest.split_once("```"));
    example.expect("an example").0.as_bytes().to_vec()
}

fn commands() -> Vec<Vec<u8>> {
    let broker = |args: serde_json::Value| json!({"schema": "command/v1", "id": "01J9", "iat": 1_789_000_000, "exp": 1_789_000_060, "args": args});
    let console = |verb: &str, args: serde_json::Value| json!({"verb": verb, "args": args});
    let all = [
        broker(json!({})),
        broker(json!({"gen": 7})),
        broker(json!({"workload": "shop.web", "lines": 50})),
        broker(json!({"project": "shop"})),
        broker(json!({"spread": 60, "reason": "a look", "release": false})),
        console("restart", json!({"workload": "shop.web"})),
        console("apply", json!({"document": "e30="})),
        console("hold", json!({"reason": "a look"})),
    ];
    all.iter().map(|command| [b"\0", command.to_string().as_bytes()].concat()).collect()
}

fn packets() -> Vec<Vec<u8>> {
    vec![
        // CONNACK of 3.1.1 and of 5, SUBACK, PUBLISH at QoS 0 and 1 and with properties, PUBACK, PINGRESP, DISCONNECT.
        vec![0x20, 2, 0, 0, 0x90, 3, 0, 1, 1, 0x40, 2, 0, 1, 0xd0, 0],
        vec![0x20, 6, 0, 0, 3, 0x21, 0, 20, 0x90, 4, 0, 1, 0, 1, 0xd0, 0, 0xe0, 2, 0x8e, 0],
        [&[0x31, 9][..], b"\0\x03a/bword"].concat(),
        [&[0x33, 17][..], b"\0\x03a/b\0\x07\x05\x02\0\0\0\x09word{}"].concat(),
    ]
}
