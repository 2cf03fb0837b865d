//! The page on Compose documents is held to what the parser does.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

const PAGE: &str = include_str!("../../../../docs/compose.md");

/// The keys in the first column of the table under `heading`.
fn keys(heading: &str) -> BTreeSet<&'static str> {
    let after = PAGE.split_once(&format!("\n## {heading}\n")).unwrap().1;
    let section = after.split("\n## ").next().unwrap();
    let key = |line: &'static str| line.strip_prefix("| `")?.split('`').next();
    section.lines().filter_map(key).collect()
}

fn example() -> Value {
    let json = PAGE.split_once("```json\n").unwrap().1.split("```").next().unwrap();
    serde_json::from_str(json).unwrap()
}

fn read(document: &Value) -> Result<Project, ComposeError> {
    parse(&ProjectName::parse("shop").unwrap(), document, &Defaults::default())
}

#[test]
fn the_example_of_the_page_has_every_key_of_its_table_and_is_taken() {
    let example = example();
    read(&example).unwrap();
    let used: BTreeSet<&str> =
        example["services"]["web"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(used, keys("A service"));
}

#[test]
fn every_key_that_the_page_calls_refused_is_refused_with_advice() {
    let refused = keys("Refused with advice");
    assert_eq!(refused, service::HINTS.iter().map(|(key, _)| *key).collect());
    for key in refused {
        let mut document = example();
        document["services"]["web"][key] = json!("x");
        assert_eq!(read(&document).unwrap_err().path, format!("services.web.{key}"));
    }
}

#[test]
fn every_key_of_the_top_is_taken() {
    let mut document = example();
    document["name"] = json!("shop");
    document["version"] = json!("3.8");
    read(&document).unwrap();
    let used: BTreeSet<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(used, keys("The top"));
}
