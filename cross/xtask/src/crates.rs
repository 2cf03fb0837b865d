//! Whose bytes a binary's are: its symbols, as `nm` reads and demangles them, counted by crate.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Command;

use coracle_test_support::process::run;

use crate::setup;

/// Who has which bytes, the largest first; a function that was made for a type counts for the crate that wrote the function.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Crates(Vec<(String, u64)>);

impl Crates {
    /// Those of a binary that still has its names.
    pub fn of(named: &Path) -> io::Result<Self> {
        setup::install_program("nm", "binutils", "says whose bytes a binary's are")?;
        let words = ["--print-size", "--defined-only", "--demangle"];
        let said = run(Command::new("nm").env("LC_ALL", "C").args(words).arg(named))?;
        let crates = read(&said);
        if crates.0.is_empty() {
            return Err(io::Error::other(format!("{} has no names left", named.display())));
        }
        Ok(crates)
    }

    /// Bytes of all of them.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, bytes)| bytes).sum()
    }

    /// The largest, with their thousandths of all that has a name.
    fn largest(&self, most: usize) -> impl Iterator<Item = (&str, u64, u64)> {
        let total = self.total().max(1);
        self.0.iter().take(most).map(move |(name, bytes)| (name.as_str(), *bytes, bytes * 1000 / total))
    }

    /// The largest, in words.
    pub fn shown(&self, most: usize) -> String {
        let words = self.largest(most).map(|(name, bytes, thousandths)| {
            format!("{name} {bytes} ({}.{} %)", thousandths / 10, thousandths % 10)
        });
        words.collect::<Vec<_>>().join(", ")
    }

    /// What is larger than it may be, in words: `shares` in percent by name, and `other` for whoever is not named there.
    pub fn over(&self, shares: &BTreeMap<String, u64>, other: u64) -> Vec<String> {
        let mut found = Vec::new();
        for (name, bytes, thousandths) in self.largest(usize::MAX) {
            let may = shares.get(name).copied().unwrap_or(other);
            if thousandths > may * 10 {
                found.push(format!(
                    "{name} has {bytes} bytes, {}.{} % of what has a name, and may have {may} %: make it smaller, or raise its share in cross/crates.toml and say why",
                    thousandths / 10,
                    thousandths % 10
                ));
            }
        }
        found
    }
}

/// `000000000009a7c0 00000000000001f4 t core::fmt::pad`: address, size, kind, name. What begins as zero takes no room.
fn read(said: &str) -> Crates {
    let mut by_place = BTreeMap::new();
    for line in said.lines() {
        let mut words = line.splitn(4, ' ');
        let (Some(place), Some(size), Some(kind), Some(name)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let Ok(size) = u64::from_str_radix(size, 16) else { continue };
        // Several names may stand for the same bytes.
        if !["b", "B"].contains(&kind) {
            by_place.entry(place).or_insert((size, name));
        }
    }
    let mut sums = BTreeMap::<&str, u64>::new();
    for (size, name) in by_place.into_values() {
        *sums.entry(owner(name)).or_default() += size;
    }
    let mut crates = sums.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect::<Vec<_>>();
    crates.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    Crates(crates)
}

/// How the names of C and assembly begin, by who brings it; whatever else has no path is the C library's.
const FOREIGN: &[(&str, &[&str])] = &[
    (
        "ring",
        &[
            "ring_core_",
            "ecp_",
            "_ecp",
            "__ecp",
            "nistz384",
            "p256_",
            "p384_",
            "ge_",
            "fe_",
            "fiat_",
            "vpaes",
            "_vpaes",
            "aes_",
            "gcm_",
            "ChaCha20",
            "poly1305",
            "bn_",
            "_bn",
            "__bn",
            "LIMB",
            "x25519",
            "k25519",
            "sha256_",
            "sha512_",
        ],
    ),
    ("zstd", &["ZSTD_", "HUF_", "FSE_", "HIST_", "XXH", "ERR_", "LL_", "ML_", "OF_", "BIT_"]),
    // What the compiler found in many places, and made a function of.
    ("outlined", &["OUTLINED_FUNCTION_"]),
];

/// The crate that a symbol is of: the first of its path, or of the type that it is for.
fn owner(name: &str) -> &str {
    let Some((first, rest)) = name.split_once("::") else {
        let foreign = FOREIGN.iter().find(|(_, starts)| starts.iter().any(|start| name.starts_with(start)));
        return foreign.map_or("C library", |(owner, _)| owner);
    };
    // What drops a value is made for its type.
    if let Some(dropped) = rest.strip_prefix("ptr::drop_in_place::<") {
        return if dropped.contains("::") { owner(dropped) } else { "core" };
    }
    // `<u64 as core::fmt::Display>`, `<&mut T as bytes::Buf>`, `<&[hyper::Header]`: the path is behind the last of these.
    let at = first.rfind(|letter: char| !letter.is_alphanumeric() && letter != '_');
    at.and_then(|at| first.get(at + 1..)).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_belongs_to_the_crate_that_wrote_it() {
        for (name, expected) in [
            ("core::fmt::Formatter::pad", "core"),
            ("<coracle_core::desired::Document as core::fmt::Debug>::fmt", "coracle_core"),
            ("<u64 as core::fmt::Display>::fmt", "core"),
            ("<&mut T as bytes::buf::Buf>::advance", "bytes"),
            ("<alloc::vec::Vec<coracle_core::Plan> as core::clone::Clone>::clone", "alloc"),
            ("core::ptr::drop_in_place::<alloc::vec::Vec<u8>>", "alloc"),
            ("core::ptr::drop_in_place::<&mut [coracle_host::store::Blob]>", "coracle_host"),
            ("core::ptr::drop_in_place::<u8>", "core"),
            ("ring_core_0_17_14__x25519_sc_mask", "ring"),
            ("ecp_nistz256_precomputed", "ring"),
            ("ZSTD_decompressDCtx", "zstd"),
            ("OUTLINED_FUNCTION_12", "outlined"),
            ("bool libunwind::CFI_Parser<A>::parse<B>(A&)", "libunwind"),
            ("memcpy", "C library"),
        ] {
            assert_eq!(owner(name), expected, "{name}");
        }
    }

    #[test]
    fn bytes_are_counted_once_and_a_crate_that_grew_is_named() {
        let said = "0000000000010000 0000000000000064 T serde::a
0000000000010000 0000000000000064 T serde::alias_of_a
0000000000010100 000000000000012c t toml::b
0000000000020000 0000000000001000 b toml::BEGINS_AS_ZERO
0000000000030000 t $d";
        let crates = read(said);
        assert_eq!(crates, Crates(vec![("toml".to_owned(), 300), ("serde".to_owned(), 100)]));
        assert_eq!(crates.largest(1).collect::<Vec<_>>(), [("toml", 300, 750)]);
        let may = |toml| BTreeMap::from([("toml".to_owned(), toml)]);
        assert_eq!(crates.over(&may(75), 25), Vec::<String>::new());
        let told = crates.over(&may(74), 24).join("\n");
        assert!(told.contains("toml has 300 bytes, 75.0 %") && told.contains("serde has 100"), "{told}");
    }
}
