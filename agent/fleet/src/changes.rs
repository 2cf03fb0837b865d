//! What a document changes against another one, for whoever is about to send it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// A change: of what, and how.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Change {
    /// `project.service`, or `policy`.
    pub(crate) of: String,
    /// `added`, `removed`, `changed`.
    pub(crate) what: &'static str,
    /// The keys that changed, and of an image both.
    pub(crate) keys: Vec<String>,
}

/// The changes from `before`, which may be nothing, to `after`; both are payloads of desired documents.
pub(crate) fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    let (old, new) = (object(before, "projects"), object(after, "projects"));
    for project in names(&old, &new) {
        let (was, is) = (old.get(project), new.get(project));
        let empty = Value::Null;
        let (was, is) = (was.unwrap_or(&empty), is.unwrap_or(&empty));
        let (services, now) = (object(was, "services"), object(is, "services"));
        for service in names(&services, &now) {
            let of = format!("{project}.{service}");
            changes.extend(change(of, services.get(service), now.get(service)));
        }
        let rest = |value: &Value| {
            let mut rest = value.as_object().cloned().unwrap_or_default();
            rest.remove("services");
            rest
        };
        let keys = differing(&rest(was), &rest(is));
        if !keys.is_empty() {
            changes.push(Change { of: project.clone(), what: "changed", keys });
        }
    }
    for part in ["policy", "requires"] {
        let keys = differing(&object(before, part), &object(after, part));
        if !keys.is_empty() && !before.is_null() {
            changes.push(Change { of: part.to_owned(), what: "changed", keys });
        }
    }
    changes
}

fn object(value: &Value, key: &str) -> Map<String, Value> {
    value.get(key).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn names<'a>(old: &'a Map<String, Value>, new: &'a Map<String, Value>) -> BTreeSet<&'a String> {
    old.keys().chain(new.keys()).collect()
}

fn change(of: String, was: Option<&Value>, is: Option<&Value>) -> Option<Change> {
    match (was, is) {
        (Some(_), None) => Some(Change { of, what: "removed", keys: Vec::new() }),
        (None, Some(is)) => {
            let image = is.get("image").and_then(Value::as_str).unwrap_or_default();
            Some(Change { of, what: "added", keys: vec![image.to_owned()] })
        }
        (Some(was), Some(is)) if was != is => {
            let fields = |value: &Value| value.as_object().cloned().unwrap_or_default();
            Some(Change { of, what: "changed", keys: differing(&fields(was), &fields(is)) })
        }
        (Some(_) | None, _) => None,
    }
}

fn differing(was: &Map<String, Value>, is: &Map<String, Value>) -> Vec<String> {
    let keys = names(was, is).into_iter().filter(|key| was.get(*key) != is.get(*key));
    keys.map(|key| match (was.get(key).and_then(Value::as_str), is.get(key).and_then(Value::as_str)) {
        (Some(was), Some(is)) if key == "image" => format!("image {was} -> {is}"),
        _ => key.clone(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document(services: &Value, percent: u64) -> Value {
        json!({ "policy": {"percent": percent}, "projects": {"site": {"services": services, "volumes": {}}} })
    }

    fn told(before: &Value, after: &Value) -> Vec<String> {
        let changes = changes(before, after).into_iter();
        changes.map(|change| format!("{} {} {}", change.of, change.what, change.keys.join(", "))).collect()
    }

    #[test]
    fn each_service_is_told_by_what_becomes_of_it() {
        let old = document(
            &json!({"a": {"image": "i:1", "tty": true}, "b": {"image": "i:1"}, "c": {"image": "i:1"}}),
            10,
        );
        let new = document(
            &json!({"a": {"image": "i:2", "user": "x"}, "b": {"image": "i:1"}, "d": {"image": "i:3"}}),
            20,
        );
        assert_eq!(
            told(&old, &new),
            [
                "site.a changed image i:1 -> i:2, tty, user",
                "site.c removed ",
                "site.d added i:3",
                "policy changed percent",
            ]
        );
        assert_eq!(told(&new, &new), [""; 0]);
        assert_eq!(told(&Value::Null, &new)[0], "site.a added i:2");
    }
}
