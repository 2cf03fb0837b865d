//! Registries that lie about what they send, send without end, or send the board elsewhere.
//!
//! Stalls, drips and lies that need a short patience are in `registry`, on the client alone.

use std::sync::Arc;

use coracle_test_support::archive::{Entry, archive, gzip};
use coracle_test_support::faults::{Fault, FaultRegistry, On, Times};
use coracle_test_support::images::Image;

use super::pulls::{self, Attack, Scene, harmless, image, plain, refused};
use super::table::Family;

const CLIENT: &str = "registry client";
const MANIFEST: &str = "failed to fetch manifest {}/bad/app:1";
const BLOB: &str = "failed to fetch blob sha256:";

fn sound() -> Image {
    image(plain(&archive([Entry::file("fine", vec![7; 100_000])])))
}

/// Serves a sound image, and this for every request with `part` in its path.
fn faulty(scene: &Scene<'_>, part: &str, fault: Fault) {
    scene.registry.put_image("bad/app", "1", &sound());
    scene.registry.script(On::any(part), Times::Always, fault);
}

fn on_manifest(name: &'static str, fault: Fault, says: &[&str]) -> Attack {
    on(name, "/bad/app/manifests/", fault, &[&[MANIFEST], says].concat())
}

fn on_layer(name: &'static str, fault: Fault, says: &[&str]) -> Attack {
    let part = format!("/bad/app/blobs/{}", sound().layers[0].digest);
    on(name, Box::leak(part.into_boxed_str()), fault, says)
}

fn on(name: &'static str, part: &'static str, fault: Fault, says: &[&str]) -> Attack {
    let fault = Arc::new(fault);
    refused(name, move |scene| faulty(scene, part, (*fault).clone()), CLIENT, says)
}

fn header(name: &str, value: impl Into<String>) -> Fault {
    Fault::Header { name: name.to_owned(), value: value.into() }
}

fn raw(bytes: impl Into<Vec<u8>>, times: u32) -> Fault {
    Fault::Raw { bytes: bytes.into(), times }
}

fn answer(status: u16, headers: &[(&str, &str)], body: Vec<u8>) -> Fault {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Fault::Answer { status, headers, body }
}

fn heads() -> Vec<Attack> {
    const OK: &str = "HTTP/1.1 200 OK\r\n";
    let many = |count: usize| (0..count).map(|n| format!("X-{n}: y\r\n")).collect::<String>();
    vec![
        on_manifest(
            "a thousand headers",
            raw(format!("{OK}{}\r\n", many(1000)), 1),
            &["the connection failed"],
        ),
        on_manifest(
            "one header of 4 MiB",
            raw(format!("{OK}X: {}\r\n\r\n", "x".repeat(4 << 20)), 1),
            &["the connection failed"],
        ),
        on_manifest("head without an end", raw("X: y\r\n".repeat(1000), 10_000), &["the connection failed"]),
        on_manifest("no HTTP at all", raw("SSH-2.0-evil\r\n", 1), &["the connection failed"]),
        on_manifest(
            "two lengths",
            raw(format!("{OK}Content-Length: 2\r\nContent-Length: 20\r\n\r\n{{}}"), 1),
            &["the connection failed"],
        ),
        on_manifest(
            "negative length",
            raw(format!("{OK}Content-Length: -1\r\n\r\n{{}}"), 1),
            &["the connection failed"],
        ),
        on_manifest(
            "chunk beyond 64 bits",
            raw(format!("{OK}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{{}}"), 1),
            &["the connection failed"],
        ),
        on_manifest(
            "chunk extension without an end",
            raw(
                [format!("{OK}Transfer-Encoding: chunked\r\n\r\n1;").into_bytes(), vec![b'x'; 4 << 20]]
                    .concat(),
                1,
            ),
            &["the connection failed"],
        ),
        on_manifest(
            "another digest in its header",
            header("Docker-Content-Digest", format!("sha256:{}", "0".repeat(64))),
            &["does not have the digest that the registry announced"],
        ),
        on_manifest(
            "terminal commands in an error",
            answer(
                403,
                &[],
                br#"{"errors":[{"code":"DENIED","message":"\u001b[2J\u0007owned\n"}]}"#.to_vec(),
            ),
            &["answered 403 ([2Jowned)"],
        ),
        on_manifest(
            "error of 64 KiB",
            answer(
                403,
                &[],
                format!(r#"{{"errors":[{{"message":"{}"}}]}}"#, "x".repeat(60_000)).into_bytes(),
            ),
            &["answered 403"],
        ),
        on_manifest(
            "redirect with credentials",
            Fault::redirect("http://user:word@127.0.0.1:1/"),
            &["refused to be redirected", "it holds credentials"],
        ),
        on_manifest(
            "redirect to metadata in another spelling",
            Fault::redirect("http://2852039166/latest/"),
            &["refused to be redirected to \"http://169.254.169.254\"", "metadata address"],
        ),
        on_manifest(
            "redirect to metadata without a scheme",
            Fault::redirect("//169.254.169.254/latest/"),
            &["refused to be redirected", "metadata address"],
        ),
        on_manifest("redirect to a file", Fault::redirect("file:///etc/passwd"), &["neither http nor https"]),
        on_manifest(
            "challenge without a realm",
            answer(401, &[("WWW-Authenticate", "Bearer service=\"x\"")], Vec::new()),
            &["401 without a Basic or Bearer challenge"],
        ),
        on_manifest(
            "realm that is a file",
            answer(401, &[("WWW-Authenticate", "Bearer realm=\"file:///etc/passwd\"")], Vec::new()),
            &["its realm is neither http nor https"],
        ),
    ]
}

fn layers() -> Vec<Attack> {
    let whole = sound().layers[0].bytes.clone();
    let length = whole.len();
    let other = |bytes: Vec<u8>, range: String| answer(206, &[("Content-Range", range.as_str())], bytes);
    let mut shifted = whole[1..].to_vec();
    shifted.push(0);
    vec![
        on_layer(
            "another range than asked for",
            other(shifted, format!("bytes 1-{}/{length}", length - 1)),
            &["failed to store", "digest"],
        ),
        on_layer(
            "ranges in parts",
            answer(206, &[("Content-Type", "multipart/byteranges; boundary=x")], vec![b'-'; length]),
            &["failed to store", "digest"],
        ),
        on_layer(
            "layer packed once more",
            answer(206, &[("Content-Encoding", "gzip")], gzip(&whole)),
            &["announced"],
        ),
        on_layer("length that lies", header("Content-Length", "5"), &["announced 5 bytes"]),
        on_layer(
            "redirect of a layer to metadata",
            Fault::redirect("http://169.254.169.254/"),
            &[BLOB, "metadata address"],
        ),
        on_layer(
            "redirect of a layer to a file",
            Fault::redirect("file:///etc/passwd"),
            &[BLOB, "neither http nor https"],
        ),
    ]
}

/// A registry that says where tokens are to be had, and means somebody else's server.
fn realms() -> Vec<Attack> {
    let realm = |name, host: &'static str, says: &[&str]| {
        let serve = move |scene: &mut Scene<'_>| {
            let challenge = format!("Bearer realm=\"http://{host}/token\"");
            faulty(scene, "/v2/", answer(401, &[("WWW-Authenticate", challenge.as_str())], Vec::new()));
        };
        refused(name, serve, CLIENT, says)
    };
    vec![
        realm(
            "realm that is the cloud's metadata",
            "169.254.169.254",
            &["refused to be redirected", "metadata address"],
        ),
        realm("realm with credentials in it", "user:word@127.0.0.1:1", &["its realm is no plain address"]),
        harmless(
            "cookies and a refresh",
            |scene| {
                faulty(scene, "/bad/app/manifests/", header("Set-Cookie", "a=b"));
                let stranger = FaultRegistry::start();
                let to = format!("0; url=http://{}/", stranger.host());
                scene.registry.script(On::any("/bad/app/blobs/"), Times::Always, header("Refresh", to));
                scene.others.push(stranger);
            },
            "neither is heeded",
            |_, _| Ok(()),
        ),
    ]
}

#[test]
fn each_registry_is_refused_or_does_no_harm() {
    let attacks = [heads(), layers(), realms()];
    pulls::all(Family::Registry, attacks.into_iter().flatten().collect());
}

/// A registry somewhere that sends the board to itself, where services listen that trust whoever is near.
fn sent_home(name: &'static str, part: &'static str, to: &'static str, realm: bool, says: &[&str]) -> Attack {
    let serve = move |scene: &mut Scene<'_>| {
        let near = FaultRegistry::start();
        let port = near.host().rsplit_once(':').unwrap().1.to_owned();
        let target = format!("http://{to}:{port}/latest");
        let fault = if realm {
            let challenge = format!("Bearer realm=\"{target}\"");
            answer(401, &[("WWW-Authenticate", challenge.as_str())], Vec::new())
        } else {
            Fault::redirect(&target)
        };
        faulty(scene, part, fault);
        scene.others.push(near);
    };
    refused(name, serve, CLIENT, says)
}

#[test]
fn a_registry_elsewhere_sends_the_board_not_to_itself() {
    const SAYS: &[&str] = &["refused to be redirected", "the board itself"];
    let layer: &'static str = Box::leak(format!("/blobs/{}", sound().layers[0].digest).into_boxed_str());
    let attacks = vec![
        sent_home("redirect to the board itself", "/manifests/", "127.0.0.1", false, SAYS),
        sent_home("redirect to the board by another address", "/manifests/", "127.3.2.1", false, SAYS),
        sent_home("redirect to the board by name", "/manifests/", "localhost", false, SAYS),
        sent_home(
            "redirect to the board in the other protocol",
            "/manifests/",
            "[::ffff:127.0.0.1]",
            false,
            SAYS,
        ),
        sent_home("redirect of a layer to the board itself", layer, "127.0.0.1", false, SAYS),
        sent_home("realm that is the board itself", "/v2/", "127.0.0.1", true, SAYS),
    ];
    pulls::from_elsewhere(Family::Registry, attacks);
}
