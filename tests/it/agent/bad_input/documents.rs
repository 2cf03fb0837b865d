//! Answers about documents that are wrong, late or missing.

use serde_json::json;

use super::{Ends, FETCH, INDEX, MANIFEST, Row, broken, document, good, row};
use crate::agent::bench::idle;
use crate::attacks::table::Family;
use coracle_test_support::faults::{Asks, Fault, Times};

pub(super) fn rows() -> Vec<Row> {
    vec![
        row("missing", |_| (), Ends::Failed("NOT_FOUND", &[FETCH, "answered 404"])),
        row(
            "401 for ever",
            |registry| {
                registry.asks(Asks::Token { password: false });
                let challenge = format!("Bearer realm=\"http://{}/token\"", registry.host());
                let headers = vec![("WWW-Authenticate".to_owned(), challenge)];
                broken(registry, "", Times::Always, Fault::Answer { status: 401, headers, body: vec![] });
            },
            Ends::Failed("AUTH", &[FETCH, "refused even a new token"]),
        )
        .attack(Family::Registry),
        row(
            "429 with Retry-After",
            |registry| broken(registry, "manifests", Times::Always, Fault::retry_after(429, 0)),
            Ends::Failed("PULL", &[FETCH, "answered 429", "tried 5 times"]),
        ),
        row(
            "429 without",
            |registry| broken(registry, "manifests", Times::Always, Fault::status(429)),
            Ends::Waits,
        ),
        row(
            "503",
            |registry| broken(registry, "manifests", Times::Always, Fault::retry_after(503, 0)),
            Ends::Failed("PULL", &[FETCH, "answered 503", "tried 5 times"]),
        ),
        row(
            "truncated manifest",
            |registry| broken(registry, "manifests", Times::Always, Fault::Truncate { after: 10 }),
            Ends::Failed("PULL", &[FETCH, "connection failed"]),
        )
        .attack(Family::Registry),
        row(
            "endless manifest",
            |registry| broken(registry, "manifests", Times::Always, Fault::Endless { status: 200 }),
            Ends::Failed("DIGEST", &[FETCH, "longer than 4194304 bytes"]),
        )
        .attack(Family::Registry),
        row(
            "redirect to nowhere",
            |registry| broken(registry, "manifests", Times::Always, Fault::status(307)),
            Ends::Failed("PULL", &[FETCH, "names no target"]),
        ),
        row(
            "index for other boards",
            |registry| {
                good(registry);
                let digest = registry.put_image("bad/app", "inner", &idle("inner"));
                let platform = json!({"os": "linux", "architecture": "s390x"});
                registry.put_index("bad/app", "2", &[(MANIFEST, &digest, platform)]);
            },
            Ends::Failed("PLATFORM", &["{}/bad/app:2", "linux/s390x", "linux/amd64"]),
        )
        .attack(Family::Manifest),
        row(
            "both shapes",
            |registry| document(registry, INDEX, &json!({"schemaVersion": 2, "manifests": [], "layers": []})),
            Ends::Failed("RESOLVE", &["image {}/bad/app:2 cannot be used", "CVE-2021-41190"]),
        )
        .attack(Family::Manifest),
        row(
            "schema 1",
            |registry| {
                let kind = "application/vnd.docker.distribution.manifest.v1+prettyjws";
                document(registry, kind, &json!({"schemaVersion": 1, "fsLayers": [], "history": []}));
            },
            Ends::Failed("RESOLVE", &["image {}/bad/app:2 cannot be used", "schema 1"]),
        )
        .attack(Family::Manifest),
    ]
}
