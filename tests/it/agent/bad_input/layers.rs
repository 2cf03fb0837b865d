//! Layers that are not what they should be, or do not come.

use super::{BLOB, Ends, Row, broken, good, longest, row, second, with_layer};
use crate::attacks::table::Family;
use coracle_test_support::archive::{Entry, archive};
use coracle_test_support::faults::{Fault, Times};
use coracle_test_support::images::layer::sha256;
use coracle_test_support::images::{Layer, Packing};

pub(super) fn rows() -> Vec<Row> {
    vec![
        row(
            "truncated layer",
            |registry| broken(registry, &longest(), Times::Always, Fault::Truncate { after: 0 }),
            Ends::Failed("PULL", &[BLOB, "from \"{}\": ", "tried 5 times"]),
        )
        .attack(Family::Registry),
        row(
            "stalled layer",
            |registry| broken(registry, &longest(), Times::Always, Fault::Stall { after: 1000 }),
            Ends::Waits,
        ),
        row(
            "layer with another digest",
            |registry| {
                good(registry);
                let layer = &second().layers[2];
                registry.put_blob_as(&layer.digest, &vec![7; layer.bytes.len()]);
            },
            Ends::Failed("DIGEST", &["failed to store {}/bad/app:2", "blob sha256:", "has digest"]),
        )
        .attack(Family::Registry),
        row(
            "layer with another digest that unpacks",
            |registry| {
                good(registry);
                let layer = &second().layers[2];
                let mut bytes = layer.bytes.clone();
                // Byte 8 of a gzip header is a hint that no reader heeds (RFC 1952, "XFL").
                bytes[8] ^= 4;
                registry.put_blob_as(&layer.digest, &bytes);
            },
            Ends::Failed("DIGEST", &["failed to store {}/bad/app:2", "sha256:"]),
        )
        .attack(Family::Registry),
        row(
            "layer that is not what its config says",
            |registry| {
                let mut layer = second().layers[2].clone();
                layer.diff_id = sha256(b"another");
                with_layer(registry, layer);
            },
            Ends::Failed("DIGEST", &["failed to store {}/bad/app:2", "sha256:"]),
        )
        .attack(Family::Manifest),
        row(
            "layer of another size",
            |registry| {
                let fault = Fault::Longer { extra: 5, announced: true };
                broken(registry, &longest(), Times::Always, fault);
            },
            Ends::Failed("DIGEST", &[BLOB, "from \"{}\": ", "announced"]),
        )
        .attack(Family::Registry),
        row(
            "endless layer",
            |registry| broken(registry, &longest(), Times::Always, Fault::Endless { status: 206 }),
            Ends::Failed("DIGEST", &[BLOB, "from \"{}\": ", "the answer is longer than"]),
        )
        .attack(Family::Registry),
        row(
            "layer that climbs out",
            |registry| {
                let bytes = archive([Entry::file("../../../outside", "x")]);
                with_layer(registry, Layer::pack(&bytes, Packing::Gzip).unwrap());
            },
            Ends::Failed("UNPACK", &["failed to store {}/bad/app:2", "../../../outside"]),
        )
        .attack(Family::Archive),
        row(
            "layer cut twice",
            |registry| broken(registry, &longest(), Times::Next(2), Fault::Truncate { after: 50_000 }),
            Ends::Succeeded,
        ),
        row(
            "layer cut, then whole instead of the rest",
            |registry| {
                broken(registry, &longest(), Times::Next(1), Fault::Truncate { after: 50_000 });
                let fault = Fault::IgnoreRange { cut_after: None };
                broken(registry, &longest(), Times::Always, fault);
            },
            Ends::Succeeded,
        ),
        row(
            "503 twice",
            |registry| broken(registry, "manifests", Times::Next(2), Fault::retry_after(503, 1)),
            Ends::Succeeded,
        ),
    ]
}
