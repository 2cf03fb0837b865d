//! What is in the binary and is no crate of `Cargo.lock`: C and assembly inside crates, the C library, Rust's own.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use coracle_test_support::images::layer::sha256;
use coracle_test_support::process::run;
use serde_json::{Value, json};

use super::bare;
use super::crates::{Crate, Role, compiled, lock_of, purl};
use crate::build::STD_FROM_SOURCE;
use crate::target::{self, Linked};
use crate::{setup, zig};

/// What compiles C while a crate is built.
const C_COMPILER: &str = "cc";
/// Crates that carry C or assembly. One more is an error until it is described here.
const WITH_C: [&str; 2] = ["ring", "zstd-sys"];

/// Their components.
pub fn components(triple: &str, all: &[Crate]) -> io::Result<Vec<Value>> {
    let with_c = all
        .iter()
        .filter(|it| it.role == Role::Linked && it.needs.iter().any(|(name, _)| name == C_COMPILER));
    let mut found = Vec::new();
    for it in with_c {
        if !WITH_C.contains(&it.name.as_str()) {
            return Err(io::Error::other(format!(
                "{} compiles C that cross/xtask/src/sbom/foreign.rs does not know",
                it.name
            )));
        }
        found.push(if it.name == "ring" { ring(it) } else { zstd(it)? });
    }
    found.push(rust(triple)?);
    if target::of(triple)?.linked == Linked::Zig {
        found.extend(of_zig()?);
    } else {
        found.push(musl(triple)?);
    }
    Ok(found)
}

/// ring's C and assembly come from BoringSSL, at no version of its own: the crate's is what tells them.
fn ring(it: &Crate) -> Value {
    json!({
        "type": "library",
        "bom-ref": "ring-c-and-assembly",
        "name": "C and assembly of ring, from BoringSSL",
        "version": it.version,
        "scope": "required",
        "licenses": [{ "expression": it.license }],
        "pedigree": { "ancestors": [{ "type": "library", "name": "boringssl", "purl": "pkg:github/google/boringssl" }] },
        "description": format!("below crypto/ and third_party/ of the crate {}", it.purl()),
    })
}

/// The version of zstd is behind the plus of the crate's: `2.0.16+zstd.1.5.7`.
fn zstd(it: &Crate) -> io::Result<Value> {
    let version = it.version.split_once("+zstd.").map(|(_, version)| version);
    let version = version
        .ok_or_else(|| io::Error::other(format!("zstd-sys {} names no version of zstd", it.version)))?;
    Ok(json!({
        "type": "library",
        "bom-ref": "zstd-c",
        "name": "zstd",
        "version": version,
        "scope": "required",
        "licenses": [{ "license": { "id": "BSD-3-Clause" } }],
        "purl": format!("pkg:github/facebook/zstd@v{version}"),
        "cpe": format!("cpe:2.3:a:facebook:zstandard:{version}:*:*:*:*:*:*:*"),
        "description": format!("below zstd/lib of the crate {}", it.purl()),
    }))
}

/// The standard library, by the compiler that it comes with, and the crates that it brings along.
fn rust(triple: &str) -> io::Result<Value> {
    let said = run(Command::new("rustc").arg("-vV").current_dir(setup::root()?))?;
    let word = |key: &str| {
        said.lines().find_map(|line| line.strip_prefix(key)).map(str::trim).unwrap_or_default().to_owned()
    };
    let (version, commit) = (word("release:"), word("commit-hash:"));
    Ok(json!({
        "type": "library",
        "bom-ref": "rust-std",
        "name": "Rust standard library",
        "version": version,
        "scope": "required",
        "licenses": [{ "expression": "MIT OR Apache-2.0" }],
        "purl": format!("pkg:github/rust-lang/rust@{version}"),
        "properties": [{ "name": "rust:commit", "value": commit }],
        "components": brought_along(triple)?,
    }))
}

/// Crates of crates.io that are linked as a part of the standard library, as its own lock has them.
fn brought_along(triple: &str) -> io::Result<Vec<Value>> {
    setup::add_component("rust-src", "the standard library, whose parts are listed")?;
    let sums = lock_of(&Path::new(&setup::sysroot()?).join("lib/rustlib/src/rust/library/Cargo.lock"))?;
    let of_std = compiled(triple, STD_FROM_SOURCE)?;
    let linked = of_std.into_iter().filter(|unit| unit.of_std && unit.role == Role::Linked);
    let keys: BTreeSet<_> = linked.map(|unit| (unit.name, unit.version)).collect();
    // What has no sum is a part of the same repository.
    let foreign = keys.into_iter().filter_map(|key| Some((sums.get(&key)?.clone()?, key)));
    Ok(foreign
        .map(|(sum, (name, version))| {
            json!({
                "type": "library",
                "bom-ref": format!("rust-std:{name}@{version}"),
                "name": name,
                "version": version,
                "scope": "required",
                "purl": purl(&name, &version),
                "hashes": [{ "alg": "SHA-256", "content": sum }],
            })
        })
        .collect())
}

/// The C library that Rust brings for the target; it has its version in it.
fn musl(triple: &str) -> io::Result<Value> {
    setup::add_target(triple)?;
    let library =
        Path::new(&setup::sysroot()?).join("lib/rustlib").join(triple).join("lib/self-contained/libc.a");
    let bytes = fs::read(&library)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", library.display())))?;
    let version = musl_version(&bytes)
        .ok_or_else(|| io::Error::other(format!("{} names no version", library.display())))?;
    let mut musl = musl_of(&version);
    musl["hashes"] = json!([{ "alg": "SHA-256", "content": bare(&sha256(&bytes)) }]);
    Ok(musl)
}

/// The C library, whoever brings it.
fn musl_of(version: &str) -> Value {
    json!({
        "type": "library",
        "bom-ref": "musl",
        "name": "musl",
        "version": version,
        "scope": "required",
        "licenses": [{ "license": { "id": "MIT" } }],
        "purl": format!("pkg:generic/musl@{version}"),
        "cpe": format!("cpe:2.3:a:musl-libc:musl:{version}:*:*:*:*:*:*:*"),
    })
}

/// What zig compiles into a binary from its own sources: the C library, and the arithmetic that a processor lacks.
fn of_zig() -> io::Result<[Value; 2]> {
    let path = zig::package()?.join("lib/libc/musl/src/internal/version.h");
    let text = fs::read(&path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    let version = quoted_version(&text)
        .ok_or_else(|| io::Error::other(format!("{} names no version", path.display())))?;
    let mut musl = musl_of(&version);
    musl["description"] = json!(format!("as zig {} has it", zig::VERSION));
    let arithmetic = json!({
        "type": "library",
        "bom-ref": "zig-compiler-rt",
        "name": "compiler_rt of zig",
        "version": zig::VERSION,
        "scope": "required",
        "licenses": [{ "license": { "id": "MIT" } }],
        "purl": format!("pkg:pypi/ziglang@{}", zig::VERSION),
    });
    Ok([musl, arithmetic])
}

/// `#define VERSION "1.2.5"`.
fn quoted_version(header: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(header).into_owned();
    let version = text.split('"').nth(1).filter(|version| version.starts_with("1.2."))?;
    version.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit()).then(|| version.to_owned())
}

/// musl's `__libc_version`: `1.2.` and digits, closed by a zero.
fn musl_version(library: &[u8]) -> Option<String> {
    let starts = library.windows(4).enumerate().filter(|(_, window)| *window == b"1.2.").map(|(at, _)| at);
    starts.filter_map(|at| library.get(at..at + 12)).find_map(|text| {
        let text = text.split(|byte| *byte == 0).next()?;
        let digits = text.get(4..).filter(|digits| !digits.is_empty() && text.len() < 12)?;
        digits.iter().all(u8::is_ascii_digit).then(|| String::from_utf8_lossy(text).into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_the_c_library_is_found_in_it() {
        assert_eq!(musl_version(b"xx1.2.3.4\0yy 1.2.5\0 more of it").as_deref(), Some("1.2.5"));
        assert_eq!(musl_version(b"nothing 1.2. of it and more"), None);
        assert_eq!(quoted_version(b"#define VERSION \"1.2.5\"\n").as_deref(), Some("1.2.5"));
        assert_eq!(quoted_version(b"#define VERSION \"git\"\n"), None);
    }
}
