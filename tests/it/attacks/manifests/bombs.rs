//! Small documents that become large in memory, and large ones that stay within their bounds.

use std::fmt::Write as _;

use coracle_test_support::faults::{Fault, On, Times};
use serde_json::json;

use super::super::pulls::{Attack, Scene, harmless, refused};
use super::{CLIENT, MANIFEST, READER, put, serve_config, serve_index, served, sound};

/// Just below what a manifest may have.
const LONG: usize = (4 << 20) - 4096;
/// Just below what a config may have.
const LONG_CONFIG: usize = (2 << 20) - 4096;

/// The sound manifest with this in its layer's descriptor.
fn in_layer(name: &'static str, inside: fn() -> String, by: &'static str, says: &[&str]) -> Attack {
    let serve = move |scene: &mut Scene<'_>| {
        let text = served(scene).to_string();
        let (head, tail) = text.split_once("\"layers\":[{").unwrap();
        put(scene, MANIFEST, &format!("{head}\"layers\":[{{{},{tail}", inside()));
    };
    refused(name, serve, by, says)
}

/// `"0":"","1":"",…`, so long.
fn pairs(length: usize) -> String {
    let mut text = String::with_capacity(length);
    let mut n = 0;
    while text.len() + 16 < length {
        let comma = if n == 0 { "" } else { "," };
        let _ = write!(text, "{comma}\"{n:x}\":\"\"");
        n += 1;
    }
    text
}

fn strings(length: usize) -> String {
    vec!["\"\""; length / 3].join(",")
}

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        refused(
            "manifest of 5 MiB",
            |scene| put(scene, MANIFEST, &" ".repeat(5 << 20)),
            CLIENT,
            &["longer than 4194304 bytes"],
        ),
        refused(
            "manifest of 4 MiB of nothing",
            |scene| put(scene, MANIFEST, &" ".repeat(LONG)),
            READER,
            &["the manifest cannot be read"],
        ),
        in_layer(
            "annotations a hundred thousand levels deep",
            || format!("\"annotations\":{{\"a\":{}", "[".repeat(100_000)),
            READER,
            &["cannot be read"],
        ),
        in_layer(
            "annotation bomb",
            || format!("\"annotations\":{{{}}}", pairs(LONG)),
            READER,
            &["cannot be read", "more than 32 entries of one map"],
        ),
        in_layer(
            "address bomb",
            || format!("\"urls\":[{}]", strings(LONG)),
            READER,
            &["cannot be read", "more than 16 entries of one list"],
        ),
        in_layer(
            "platform feature bomb",
            || {
                format!(
                    "\"platform\":{{\"os\":\"a\",\"architecture\":\"b\",\"os.features\":[{}]}}",
                    strings(LONG)
                )
            },
            READER,
            &["cannot be read", "more than 16 entries of one list"],
        ),
        refused(
            "annotation bomb in a thousand pieces",
            |scene| {
                let entry = |n: usize| {
                    format!(
                        "{{\"mediaType\":\"{MANIFEST}\",\"digest\":\"sha256:{n:064x}\",\"size\":1,\"annotations\":{{{}}}}}",
                        pairs(3900)
                    )
                };
                let entries = (0..1000).map(entry).collect::<Vec<_>>().join(",");
                put(scene, super::INDEX, &format!("{{\"schemaVersion\":2,\"manifests\":[{entries}]}}"));
            },
            READER,
            &["cannot be read", "more than 32 entries of one map"],
        ),
        refused(
            "label bomb",
            |scene| {
                let mut config = sound().config().to_string();
                let labels = format!("\"config\":{{\"Labels\":{{{}}},", pairs(LONG_CONFIG));
                config = config.replacen("\"config\":{", &labels, 1);
                serve_config(scene, &config);
            },
            "config reader",
            &["the image config cannot be read", "more than 512 entries"],
        ),
        refused(
            "variable bomb",
            |scene| {
                let mut config = sound().config();
                config["config"]["Env"] = json!(vec![""; LONG_CONFIG / 3]);
                serve_config(scene, &config.to_string());
            },
            "config reader",
            &["the image config cannot be read", "more than 512 entries"],
        ),
        refused(
            "config of 2 MiB of nothing",
            |scene| serve_config(scene, &" ".repeat(LONG_CONFIG)),
            "config reader",
            &["the image config cannot be read"],
        ),
        harmless(
            "a thousand entries with all the annotations they may have",
            |scene| {
                serve_index(scene, |_, mut entry| {
                    let pairs = (0..32).map(|n| (format!("{n}"), json!("x".repeat(100))));
                    entry["annotations"] = pairs.collect::<serde_json::Map<_, _>>().into();
                    vec![entry; 900]
                });
            },
            "read within the bound of memory",
            |_, _| Ok(()),
        ),
        refused(
            "config a hundred thousand levels deep",
            |scene| serve_config(scene, &format!("{{\"config\":{{\"Env\":{}", "[".repeat(100_000))),
            "config reader",
            &["the image config cannot be read"],
        ),
        refused(
            "manifest packed with gzip",
            |scene| {
                let text = served(scene).to_string();
                put(scene, MANIFEST, &text);
                let packed = Fault::Answer {
                    status: 200,
                    headers: vec![
                        ("Content-Encoding".to_owned(), "gzip".to_owned()),
                        ("Content-Type".to_owned(), MANIFEST.to_owned()),
                    ],
                    body: coracle_test_support::archive::gzip(text.as_bytes()),
                };
                scene.registry.script(On::get("/manifests/"), Times::Always, packed);
            },
            READER,
            &["cannot be read"],
        ),
    ]
}
