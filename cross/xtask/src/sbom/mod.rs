//! `sbom [TRIPLE] [--binary FILE]`: what the release binary is made of, as CycloneDX 1.6 in JSON.
//!
//! The same tree gives the same bytes: no times, and a serial number that is a hash of the rest. It is written to
//! `target/sbom/coracle-<triple>.cdx.json`, and read by the specification's own schema before we say that it is good.

mod crates;
mod foreign;
mod valid;

use std::fs;
use std::io;

use coracle_test_support::images::layer::sha256;
use serde_json::{Value, json};

use self::crates::{Crate, Role, lock, resolved};
use crate::build::AMD64;
use crate::{setup, words};

/// What `cargo xtask build` builds.
pub const PACKAGE: &str = "coracle";

/// Writes it, has it read, and counts.
pub fn command(given: &[String]) -> io::Result<()> {
    let (triple, options) = match given.split_first() {
        Some((triple, rest)) if !triple.starts_with('-') => (triple.as_str(), rest),
        _ => (AMD64, given),
    };
    words::only(options, &["--binary"], &[])?;
    let all = resolved(triple)?;
    let missing = crates::differences(triple, &all)?;
    for difference in &missing {
        println!("{difference}");
    }
    let linked = all.iter().filter(|it| it.role == Role::Linked).count();
    let building = all.len() - linked;
    let strangers = foreign::components(triple, &all)?;
    let binary = words::text(options, "--binary").map(fs::read).transpose()?;
    let document = document(triple, &all, &strangers, binary.as_deref())?;
    let folder = setup::target_dir()?.join("sbom");
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("coracle-{triple}.cdx.json"));
    fs::write(&path, serde_json::to_string_pretty(&document)? + "\n")?;
    let verdict = valid::read(&path)?;
    println!("wrote {}", path.display());
    println!(
        "sbom: {triple}: {linked} crates linked, {building} only to build, {} of others; {}; {verdict}",
        strangers.len(),
        if missing.is_empty() {
            "as cargo builds it".to_owned()
        } else {
            format!("{} differences", missing.len())
        }
    );
    if missing.is_empty() && verdict.is_good() {
        Ok(())
    } else {
        Err(io::Error::other("the bill does not hold"))
    }
}

/// The whole document.
fn document(triple: &str, all: &[Crate], strangers: &[Value], binary: Option<&[u8]>) -> io::Result<Value> {
    let own =
        all.iter().find(|it| it.name == PACKAGE).ok_or_else(|| io::Error::other("no package of ours"))?;
    let mut product = own.component(&lock()?)?;
    product["type"] = json!("application");
    if let Some(bytes) = binary {
        product["hashes"] = json!([{ "alg": "SHA-256", "content": bare(&sha256(bytes)) }]);
    }
    let sums = lock()?;
    let others = all
        .iter()
        .filter(|it| it.name != PACKAGE)
        .map(|it| it.component(&sums))
        .collect::<io::Result<Vec<_>>>()?;
    let mut dependencies: Vec<Value> = all.iter().map(Crate::edges).collect();
    let also = strangers.iter().map(|it| it["bom-ref"].clone());
    if let Some(edges) = dependencies.iter_mut().find(|it| it["ref"] == own.purl()) {
        edges["dependsOn"].as_array_mut().into_iter().for_each(|list| list.extend(also.clone()));
    }
    dependencies.extend(also.map(|name| json!({ "ref": name })));
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": product,
            "properties": [{ "name": "coracle:target", "value": triple }, { "name": "coracle:profile", "value": "release" }],
        },
        "components": others.into_iter().chain(strangers.iter().cloned()).collect::<Vec<_>>(),
        "dependencies": dependencies,
    });
    document["serialNumber"] = json!(serial(&document));
    Ok(document)
}

/// A UUID of version 8 (RFC 9562, 5.8) made of the hash of the rest.
fn serial(document: &Value) -> String {
    let hash = sha256(document.to_string().as_bytes());
    let hex = bare(&hash);
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    let (third, fourth) = (part(13, 16), part(17, 20));
    format!("urn:uuid:{}-{}-8{third}-8{fourth}-{}", part(0, 8), part(8, 12), part(20, 32))
}

/// The hex digits of a digest.
pub fn bare(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_crate_is_in_the_lock_and_each_that_cargo_builds_is_in_the_bill() {
        let all = resolved(AMD64).unwrap();
        assert_eq!(crates::differences(AMD64, &all).unwrap(), Vec::<String>::new());
        let sums = lock().unwrap();
        for it in &all {
            let sum = sums.get(&(it.name.clone(), it.version.clone()));
            assert!(sum.is_some(), "{} {} is not in Cargo.lock", it.name, it.version);
            assert!(it.ours || sum.is_some_and(Option::is_some), "{} has no sum", it.name);
        }
        let names: BTreeSet<&str> = all.iter().map(|it| it.name.as_str()).collect();
        assert!(names.contains("ring") && !names.contains("coracle-test-support"));
    }

    #[test]
    fn the_same_tree_gives_the_same_bytes() {
        let all = resolved(AMD64).unwrap();
        let strangers = foreign::components(AMD64, &all).unwrap();
        let once = document(AMD64, &all, &strangers, None).unwrap();
        let again = document(AMD64, &resolved(AMD64).unwrap(), &strangers, None).unwrap();
        assert_eq!(once, again);
        let other = document(AMD64, &all, &strangers, Some(b"a binary")).unwrap();
        assert_ne!(once["serialNumber"], other["serialNumber"]);
    }

    #[test]
    fn every_edge_leads_to_a_component() {
        let all = resolved(AMD64).unwrap();
        let bill = document(AMD64, &all, &foreign::components(AMD64, &all).unwrap(), None).unwrap();
        let components =
            bill["components"].as_array().unwrap().iter().chain([&bill["metadata"]["component"]]);
        let refs: Vec<&str> = components.map(|it| it["bom-ref"].as_str().unwrap()).collect();
        assert_eq!(refs.iter().collect::<BTreeSet<_>>().len(), refs.len(), "a component stands twice");
        for edges in bill["dependencies"].as_array().unwrap() {
            let to = edges["dependsOn"].as_array().into_iter().flatten().chain([&edges["ref"]]);
            to.for_each(|name| assert!(refs.contains(&name.as_str().unwrap()), "{name} leads nowhere"));
        }
    }
}
