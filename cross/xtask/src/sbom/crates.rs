//! Which crates the release binary is built from, as cargo resolves it for one target.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use coracle_test_support::process::run;
use serde_json::{Value, json};
use toml::Table;

use super::PACKAGE;
use crate::setup;

/// What becomes of a crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It is in the binary.
    Linked,
    /// It runs while the binary is built, as a build script or a macro: it could have put anything in.
    Building,
}

/// One crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crate {
    pub name: String,
    pub version: String,
    pub license: String,
    pub features: Vec<String>,
    pub role: Role,
    /// Part of this repository.
    pub ours: bool,
    /// The crates it needs, by name and version.
    pub needs: BTreeSet<(String, String)>,
}

/// Checksums by name and version; none for our own.
pub type Sums = BTreeMap<(String, String), Option<String>>;

impl Crate {
    /// Its package URL, which also names it in the document.
    pub fn purl(&self) -> String {
        purl(&self.name, &self.version)
    }

    /// The component of a bill.
    pub fn component(&self, sums: &Sums) -> io::Result<Value> {
        let sum = sums.get(&(self.name.clone(), self.version.clone()));
        let sum = sum.ok_or_else(|| {
            io::Error::other(format!("{} {} is not in Cargo.lock", self.name, self.version))
        })?;
        let scope = if self.role == Role::Linked { "required" } else { "excluded" };
        let mut component = json!({
            "type": "library",
            "bom-ref": self.purl(),
            "name": self.name,
            "version": self.version,
            "scope": scope,
            "licenses": [{ "expression": self.license }],
            "purl": self.purl(),
        });
        if let Some(sum) = sum {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
        }
        if !self.features.is_empty() {
            component["properties"] = json!([{ "name": "cargo:features", "value": self.features.join(",") }]);
        }
        Ok(component)
    }

    /// What it needs.
    pub fn edges(&self) -> Value {
        let to: Vec<String> = self.needs.iter().map(|(name, version)| purl(name, version)).collect();
        json!({ "ref": self.purl(), "dependsOn": to })
    }
}

/// The package URL of a crate of crates.io.
pub fn purl(name: &str, version: &str) -> String {
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}

/// Every crate of the release binary for `triple`, sorted.
pub fn resolved(triple: &str) -> io::Result<Vec<Crate>> {
    let linked = tree(triple, "normal,no-proc-macro")?;
    let mut all = linked.clone();
    for (key, building) in tree(triple, "normal,build")? {
        match all.get_mut(&key) {
            Some(both) => both.needs.extend(building.needs),
            None => {
                all.insert(key, Crate { role: Role::Building, ..building });
            }
        }
    }
    Ok(all.into_values().collect())
}

/// What `cargo tree` shows along these edges.
fn tree(triple: &str, edges: &str) -> io::Result<BTreeMap<(String, String), Crate>> {
    let format = " {p}|{l}|{f}";
    let words = [
        "tree",
        "--locked",
        "--package",
        PACKAGE,
        "--target",
        triple,
        "--edges",
        edges,
        "--prefix",
        "depth",
        "--format",
        format,
    ];
    let text = run(&mut setup::cargo(&words)?)?;
    let mut all: BTreeMap<(String, String), Crate> = BTreeMap::new();
    let mut above: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        let (depth, it) = read(line).ok_or_else(|| io::Error::other(format!("cargo tree says {line:?}")))?;
        let key = (it.name.clone(), it.version.clone());
        above.truncate(depth);
        if let Some(parent) = above.last().and_then(|parent| all.get_mut(parent)) {
            parent.needs.insert(key.clone());
        }
        all.entry(key.clone()).or_insert(it);
        above.push(key);
    }
    Ok(all)
}

/// `3 name v1.2.3 (/path)|license|features (*)`.
fn read(line: &str) -> Option<(usize, Crate)> {
    let (depth, rest) = line.trim_end_matches(" (*)").split_once(' ')?;
    let mut fields = rest.split('|');
    let (package, license, features) = (fields.next()?, fields.next()?, fields.next()?);
    let mut words = package.split(' ');
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    let ours = words.any(|word| word.starts_with("(/"));
    let features = features.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    // An older way to write a choice.
    let license = license.replace('/', " OR ");
    let (name, version) = (name.to_owned(), version.to_owned());
    Some((
        depth.parse().ok()?,
        Crate { name, version, license, features, role: Role::Linked, ours, needs: BTreeSet::new() },
    ))
}

/// The checksums of `Cargo.lock`.
pub fn lock() -> io::Result<Sums> {
    lock_of(&setup::root()?.join("Cargo.lock"))
}

/// The checksums of a lock.
pub fn lock_of(path: &Path) -> io::Result<Sums> {
    let lock: Table = fs::read_to_string(path)?.parse().map_err(io::Error::other)?;
    let packages = lock.get("package").and_then(toml::Value::as_array).into_iter().flatten();
    let word =
        |package: &toml::Value, key: &str| package.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    Ok(packages
        .filter_map(|it| Some(((word(it, "name")?, word(it, "version")?), word(it, "checksum"))))
        .collect())
}

/// Something that cargo would compile or run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    pub name: String,
    pub version: String,
    pub role: Role,
    /// Part of the standard library, or brought along by it.
    pub of_std: bool,
}

/// All that cargo would compile for the release of `triple`, by its own list; `more` are words of the build.
pub fn compiled(triple: &str, more: &[&str]) -> io::Result<Vec<Unit>> {
    let words = [
        "build",
        "--locked",
        "-Zunstable-options",
        "--unit-graph",
        "--release",
        "--package",
        PACKAGE,
        "--target",
        triple,
    ];
    let graph = run(setup::cargo(&words)?.args(more).env("RUSTC_BOOTSTRAP", "1"))?;
    let graph: Value = serde_json::from_str(&graph)?;
    let unit = |unit: &Value| {
        let (name, version) = identity(unit["pkg_id"].as_str()?)?;
        let building = unit["platform"].is_null() || unit["mode"] == "run-custom-build";
        let role = if building { Role::Building } else { Role::Linked };
        Some(Unit { name, version, role, of_std: unit["is_std"] == true })
    };
    let units = graph["units"].as_array().into_iter().flatten();
    units.map(|it| unit(it).ok_or_else(|| io::Error::other(format!("cargo compiles {it}")))).collect()
}

/// Where `all` is not what cargo would compile for the target, by its own list of compilations.
pub fn differences(triple: &str, all: &[Crate]) -> io::Result<Vec<String>> {
    let mut built = BTreeMap::new();
    for unit in compiled(triple, &[])? {
        let known = built.entry((unit.name, unit.version)).or_insert(unit.role);
        *known = unit.role.min(*known);
    }
    let billed: BTreeMap<_, _> =
        all.iter().map(|it| ((it.name.clone(), it.version.clone()), it.role)).collect();
    let said = |map: &BTreeMap<(String, String), Role>, key| {
        map.get(key).map_or("not at all".to_owned(), |role| format!("{role:?}"))
    };
    let keys: BTreeSet<_> = billed.keys().chain(built.keys()).collect();
    let wrong = keys.into_iter().filter(|key| billed.get(*key) != built.get(*key));
    Ok(wrong
        .map(|key| {
            format!("{} {}: billed {}, compiled {}", key.0, key.1, said(&billed, key), said(&built, key))
        })
        .collect())
}

/// Name and version of a package id: `registry+…#name@1.2.3`, `path+file:///…/name#1.2.3`, `path+…#name@1.2.3`.
fn identity(id: &str) -> Option<(String, String)> {
    let (place, rest) = id.rsplit_once('#')?;
    let (name, version) =
        rest.split_once('@').unwrap_or_else(|| (place.rsplit('/').next().unwrap_or_default(), rest));
    Some((name.to_owned(), version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_tree_are_read() {
        let (depth, it) = read("2 clap v4.6.9|MIT/Apache-2.0|derive,std (*)").unwrap();
        assert_eq!((depth, it.name.as_str(), it.version.as_str(), it.ours), (2, "clap", "4.6.9", false));
        assert_eq!((it.license.as_str(), it.features.len()), ("MIT OR Apache-2.0", 2));
        let (_, it) = read("0 coracle v0.1.0 (/some/where)|MIT|").unwrap();
        assert!(it.ours && it.features.is_empty());
        assert_eq!(read("nothing of the kind"), None);
    }

    #[test]
    fn package_ids_are_read() {
        for (id, name) in [
            ("registry+https://x/y#ring@0.17.14", "ring"),
            ("path+file:///r/agent/coracle#0.17.14", "coracle"),
            ("path+file:///r/agent/core#coracle-core@0.17.14", "coracle-core"),
        ] {
            assert_eq!(identity(id), Some((name.to_owned(), "0.17.14".to_owned())));
        }
    }
}
