//! Lists and maps of documents from outside, refused at the first entry too many: a small document must not become a
//! large value, and an entry takes some twenty times the memory of its shortest text.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// At most so many values.
#[derive(Debug)]
pub(super) struct List<const MAX: usize, T = String>(pub(super) Vec<T>);

/// At most so many values, each with a name of its own.
#[derive(Debug)]
pub(super) struct Map<const MAX: usize, T = String>(pub(super) BTreeMap<String, T>);

impl<'de, const MAX: usize, T: Deserialize<'de>> Deserialize<'de> for List<MAX, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<const MAX: usize, T>(PhantomData<T>);
        impl<'de, const MAX: usize, T: Deserialize<'de>> Visitor<'de> for Entries<MAX, T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX} entries")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = seq.next_element()? {
                    if entries.len() == MAX {
                        return Err(A::Error::custom(format!("more than {MAX} entries of one list")));
                    }
                    entries.push(entry);
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_seq(Entries::<MAX, T>(PhantomData)).map(Self)
    }
}

impl<'de, const MAX: usize, T: Deserialize<'de>> Deserialize<'de> for Map<MAX, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<const MAX: usize, T>(PhantomData<T>);
        impl<'de, const MAX: usize, T: Deserialize<'de>> Visitor<'de> for Entries<MAX, T> {
            type Value = BTreeMap<String, T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX} named entries")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((name, entry)) = map.next_entry()? {
                    if entries.len() == MAX {
                        return Err(A::Error::custom(format!("more than {MAX} entries of one map")));
                    }
                    if entries.insert(name, entry).is_some() {
                        return Err(A::Error::custom("a name that comes twice in one map"));
                    }
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Entries::<MAX, T>(PhantomData)).map(Self)
    }
}

/// For a field that is a plain list.
pub(super) fn list<'de, const MAX: usize, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    List::<MAX>::deserialize(deserializer).map(|List(entries)| entries)
}

/// For a field that is a plain map.
pub(super) fn map<'de, const MAX: usize, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    Map::<MAX>::deserialize(deserializer).map(|Map(entries)| entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_too_many_is_refused() {
        let read = |text: &str| {
            let list = serde_json::from_str::<List<2>>(text).map(|List(entries)| entries.len());
            list.or_else(|_| serde_json::from_str::<Map<2>>(text).map(|Map(entries)| entries.len()))
                .map_err(|error| error.to_string())
        };
        for (text, expected) in [
            ("[]", Ok(0)),
            (r#"["a","b"]"#, Ok(2)),
            (r#"{"a":"","b":""}"#, Ok(2)),
            (r#"{"a":"","b":"","c":""}"#, Err("more than 2 entries of one map")),
            (r#"{"a":"","a":""}"#, Err("a name that comes twice")),
            (r#""a""#, Err("at most 2 named entries")),
        ] {
            match (read(text), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{text}: {found}"),
                (found, expected) => panic!("{text}: {found:?}, expected {expected:?}"),
            }
        }
        let error = serde_json::from_str::<List<2>>(r#"["a","b","c"]"#).unwrap_err().to_string();
        assert!(error.contains("more than 2 entries of one list"), "{error}");
    }
}
