//! Manifests, indexes and image configs that lie, or cost more than they say.

mod bombs;

use coracle_test_support::archive::{Entry, archive};
use coracle_test_support::images::layer::sha256;
use coracle_test_support::images::{Form, Image};
use serde_json::{Value, json};

use super::pulls::{self, Attack, Scene, harmless, image, plain, refused};
use super::table::Family;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const READER: &str = "manifest reader";
const CLIENT: &str = "registry client";
const RESOLVER: &str = "resolver";
const UNUSABLE: &str = "image {}/bad/app:1 cannot be used: ";

/// The image that the documents here are about.
fn sound() -> Image {
    image(plain(&archive([Entry::file("fine", "fine")])))
}

/// Serves the sound image's blobs, and hands back its manifest.
fn served(scene: &Scene<'_>) -> Value {
    let image = sound();
    let config = image.config().to_string().into_bytes();
    for blob in [&config, &image.layers[0].bytes] {
        scene.registry.put_blob(blob);
    }
    image.manifest(Form::Oci, &config)
}

fn put(scene: &Scene<'_>, kind: &str, text: &str) {
    scene.registry.put_manifest("bad/app", "1", kind, text.as_bytes());
}

/// The sound manifest with a change.
fn changed(
    name: &'static str,
    change: impl Fn(&mut Value) + Send + Sync + 'static,
    by: &'static str,
    says: &[&str],
) -> Attack {
    let serve = move |scene: &mut Scene<'_>| {
        let mut manifest = served(scene);
        change(&mut manifest);
        put(scene, MANIFEST, &manifest.to_string());
    };
    refused(name, serve, by, says)
}

/// The sound manifest's text with a change that no value can express.
fn retold(name: &'static str, from: &'static str, to: &'static str, says: &[&str]) -> Attack {
    let serve = move |scene: &mut Scene<'_>| {
        let text = served(scene).to_string();
        assert!(text.contains(from), "{text}");
        put(scene, MANIFEST, &text.replacen(from, to, 1));
    };
    refused(name, serve, READER, says)
}

/// The sound image with a change of its config.
fn configured(
    name: &'static str,
    change: impl Fn(&mut Value) + Send + Sync + 'static,
    by: &'static str,
    says: &[&str],
) -> Attack {
    let serve = move |scene: &mut Scene<'_>| {
        let mut config = sound().config();
        change(&mut config);
        serve_config(scene, &config.to_string());
    };
    refused(name, serve, by, says)
}

fn serve_config(scene: &Scene<'_>, text: &str) {
    let mut manifest = served(scene);
    scene.registry.put_blob(text.as_bytes());
    manifest["config"] = json!({"mediaType": CONFIG, "digest": sha256(text.as_bytes()), "size": text.len()});
    put(scene, MANIFEST, &manifest.to_string());
}

/// An index whose entries are made of the sound manifest's own.
fn listed(
    name: &'static str,
    make: impl Fn(&Scene<'_>, Value) -> Vec<Value> + Send + Sync + 'static,
    by: &'static str,
    says: &[&str],
) -> Attack {
    refused(name, move |scene: &mut Scene<'_>| serve_index(scene, &make), by, says)
}

fn serve_index(scene: &Scene<'_>, make: impl Fn(&Scene<'_>, Value) -> Vec<Value>) {
    let manifest = served(scene).to_string();
    let digest = scene.registry.put_manifest("bad/app", "inner", MANIFEST, manifest.as_bytes());
    let platform = json!({"os": "linux", "architecture": "amd64"});
    let entry =
        json!({"mediaType": MANIFEST, "digest": digest, "size": manifest.len(), "platform": platform});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": make(scene, entry)});
    put(scene, INDEX, &index.to_string());
}

fn shapes() -> Vec<Attack> {
    vec![
        changed(
            "manifest that is an index too",
            |m| m["manifests"] = json!([]),
            READER,
            &[UNUSABLE, "CVE-2021-41190"],
        ),
        changed(
            "manifest that says it is an index",
            |m| m["mediaType"] = json!(INDEX),
            READER,
            &["does not agree"],
        ),
        refused(
            "manifest served as an index",
            |scene| {
                let text = served(scene).to_string();
                put(scene, INDEX, &text);
            },
            READER,
            &["does not agree with the document's shape"],
        ),
        refused(
            "manifest served as a web page",
            |scene| {
                let text = served(scene).to_string();
                put(scene, "text/html", &text);
            },
            READER,
            &["the media type \"text/html\" does not agree"],
        ),
        changed(
            "manifest without layers",
            |m| drop(m.as_object_mut().unwrap().remove("layers")),
            READER,
            &["neither"],
        ),
        changed("manifest of version 3", |m| m["schemaVersion"] = json!(3), READER, &["no schemaVersion 2"]),
        changed(
            "manifest of something else",
            |m| m["artifactType"] = json!("application/x-evil"),
            READER,
            &["not a container image"],
        ),
        retold(
            "key that comes twice",
            "\"schemaVersion\":2",
            "\"schemaVersion\":2,\"schemaVersion\":2",
            &["duplicate field"],
        ),
        retold("size that comes twice", "\"size\":", "\"size\":1,\"size\":", &["duplicate field"]),
        retold("negative size", "\"size\":", "\"size\":-", &["cannot be read"]),
        retold("size with a fraction", "\"size\":", "\"size\":0.", &["cannot be read"]),
        retold("size beyond 64 bits", "\"size\":", "\"size\":99999999999999999999", &["cannot be read"]),
        retold("unknown digest algorithm", "sha256:", "md5:", &["only sha256"]),
        retold(
            "digest that is a path",
            "\"digest\":\"sha256:",
            "\"digest\":\"sha256:../../../etc/",
            &["cannot be read"],
        ),
    ]
}

fn contents() -> Vec<Attack> {
    let layers = |count: usize| {
        move |manifest: &mut Value| {
            let layer = manifest["layers"][0].clone();
            manifest["layers"] = Value::Array(vec![layer; count]);
        }
    };
    vec![
        changed(
            "layer smaller than it says",
            |m| m["layers"][0]["size"] = json!(1_000_000),
            CLIENT,
            &["announced"],
        ),
        changed(
            "layer larger than it says",
            |m| m["layers"][0]["size"] = json!(100),
            "store",
            &["has digest"],
        ),
        changed(
            "layer larger than the disk",
            |m| m["layers"][0]["size"] = json!(1_u64 << 60),
            "preflight",
            &["no room for {}/bad/app:1"],
        ),
        changed(
            "layers whose sizes overflow",
            |m| {
                let mut layer = m["layers"][0].clone();
                layer["size"] = json!(u64::MAX);
                m["layers"] = json!([layer, layer]);
            },
            RESOLVER,
            &["2 layers"],
        ),
        changed(
            "config of another size",
            |m| m["config"]["size"] = json!(7),
            CLIENT,
            &["failed to fetch blob"],
        ),
        changed(
            "config larger than any",
            |m| m["config"]["size"] = json!(1_u64 << 40),
            CLIENT,
            &["longer than"],
        ),
        changed(
            "foreign layer",
            |m| {
                m["layers"][0]["mediaType"] =
                    json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
            },
            "store",
            &["is foreign"],
        ),
        changed(
            "encrypted layer",
            |m| m["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+gzip+encrypted"),
            "store",
            &["is encrypted"],
        ),
        changed("too many layers", layers(600), READER, &["more than 512 entries"]),
        changed("more layers than diff IDs", layers(2), RESOLVER, &["1 diff IDs, the manifest 2 layers"]),
        configured(
            "config that is a list",
            |c| *c = json!([]),
            "config reader",
            &["the image config cannot be read"],
        ),
        configured("config of no platform", |c| c["os"] = json!(""), "config reader", &["names no os"]),
        configured(
            "config of another platform",
            |c| c["architecture"] = json!("s390x"),
            RESOLVER,
            &["linux/s390x"],
        ),
        configured(
            "config with another root",
            |c| c["rootfs"]["type"] = json!("tape"),
            "config reader",
            &["rootfs of type \"tape\""],
        ),
        configured(
            "too many diff IDs",
            |c| c["rootfs"]["diff_ids"] = json!(vec![sha256(b"x"); 600]),
            "config reader",
            &["more than 512 entries of one list"],
        ),
        configured(
            "diff ID of another layer",
            |c| c["rootfs"]["diff_ids"] = json!([sha256(b"x")]),
            "store",
            &["diff ID"],
        ),
    ]
}

fn indexes() -> Vec<Attack> {
    vec![
        listed("index with nothing in it", |_, _| Vec::new(), RESOLVER, &["failed to choose"]),
        listed(
            "the same digest with another size",
            |_, entry| {
                let mut other = entry.clone();
                other["size"] = json!(7);
                vec![other, entry]
            },
            CLIENT,
            &["expected 7"],
        ),
        listed(
            "entry whose content is another",
            |scene, mut entry| {
                let other = sha256(b"another");
                let text = served(scene).to_string();
                scene.registry.put_manifest_as("bad/app", &other, MANIFEST, text.as_bytes());
                entry["digest"] = json!(other);
                vec![entry]
            },
            CLIENT,
            &["the content has digest"],
        ),
        listed(
            "index that lists itself",
            |scene, _| {
                // No bytes have their own digest in them, so the registry has to lie.
                let own = sha256(b"itself");
                let entry = json!({"mediaType": INDEX, "digest": own, "size": 2});
                let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
                scene.registry.put_manifest_as("bad/app", &own, INDEX, index.as_bytes());
                vec![json!({"mediaType": INDEX, "digest": own, "size": index.len()})]
            },
            CLIENT,
            &["the content has digest"],
        ),
        listed(
            "index within index within index …",
            |scene, mut entry| {
                for depth in 0..6 {
                    let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
                    let tag = format!("deep-{depth}");
                    let digest = scene.registry.put_manifest("bad/app", &tag, INDEX, index.as_bytes());
                    entry = json!({"mediaType": INDEX, "digest": digest, "size": index.len()});
                }
                vec![entry]
            },
            RESOLVER,
            &["nested deeper than"],
        ),
        listed(
            "index listed as a manifest",
            |scene, mut entry| {
                let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
                entry["digest"] = json!(scene.registry.put_manifest("bad/app", "i", INDEX, index.as_bytes()));
                entry["size"] = json!(index.len());
                vec![entry]
            },
            RESOLVER,
            &["is an index"],
        ),
        listed(
            "manifest listed as an index",
            |_, mut entry| {
                entry["mediaType"] = json!(INDEX);
                vec![entry]
            },
            RESOLVER,
            &["is listed as an index but is a manifest"],
        ),
        listed("too many entries", |_, entry| vec![entry; 1025], READER, &["more than 1024 entries"]),
        listed(
            "indexes with too many entries together",
            |scene, entry| {
                let index = |n: usize| {
                    let mut entry = entry.clone();
                    entry["annotations"] = json!({"n": n.to_string()});
                    let index = json!({"schemaVersion": 2, "manifests": vec![entry; 600]}).to_string();
                    let tag = format!("wide-{n}");
                    let digest = scene.registry.put_manifest("bad/app", &tag, INDEX, index.as_bytes());
                    json!({"mediaType": INDEX, "digest": digest, "size": index.len()})
                };
                vec![index(1), index(2)]
            },
            RESOLVER,
            &["more than 1024 entries"],
        ),
    ]
}

fn kept() -> Vec<Attack> {
    vec![
        harmless(
            "foreign addresses of a layer",
            |scene| {
                let stranger = coracle_test_support::faults::FaultRegistry::start();
                let mut manifest = served(scene);
                manifest["layers"][0]["urls"] = json!([format!("http://{}/layer", stranger.host())]);
                put(scene, MANIFEST, &manifest.to_string());
                scene.others.push(stranger);
            },
            "nobody there was asked",
            |_, _| Ok(()),
        ),
        harmless(
            "an unknown key a hundred thousand levels deep",
            |scene| {
                let deep = format!(",\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
                let text = served(scene).to_string();
                put(scene, MANIFEST, &(text[..text.len() - 1].to_owned() + &deep));
            },
            "passed over without recursion",
            |_, _| Ok(()),
        ),
        harmless(
            "the same entry a thousand times",
            |scene| serve_index(scene, |_, entry| vec![entry; 1000]),
            "the first is taken",
            |_, _| Ok(()),
        ),
    ]
}

#[test]
fn each_manifest_is_refused_or_does_no_harm() {
    let attacks = [shapes(), contents(), indexes(), kept(), bombs::attacks()];
    pulls::all(Family::Manifest, attacks.into_iter().flatten().collect());
}
