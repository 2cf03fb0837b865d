//! `coracle check-config`: every setting with its value and where that comes from, or the first mistake.

use serde_json::{Value, json};

use crate::config::{ConfigError, Origin, Settings};

/// For people: a line a setting.
pub(crate) fn text(settings: &Settings) -> String {
    let width = settings.rows.iter().map(|row| row.key.len()).max().unwrap_or(0);
    let mut lines: Vec<String> =
        settings.files.iter().map(|file| format!("read {}", file.display())).collect();
    if lines.is_empty() {
        lines.push("no configuration file was found; the defaults hold".to_owned());
    }
    for row in &settings.rows {
        let value = if row.value.is_null() { "-".to_owned() } else { row.value.to_string() };
        lines.push(format!("{:width$}  {value}  ({})", row.key, origin(&row.origin)));
    }
    if let Some(why) = &settings.waits {
        lines.push(format!("the board is not provisioned yet: {why}"));
    }
    if settings.unsteady {
        lines.push(
            "/etc/machine-id lies in memory: after a boot, this board may have another device id".to_owned(),
        );
    }
    if settings.broker.is_none() {
        lines.push("no broker is configured: the agent runs what it has and hears of no updates".to_owned());
    }
    lines.join("\n")
}

/// For programs.
pub(crate) fn json(settings: &Settings) -> Value {
    json!({
        "ok": true, "files": settings.files, "settings": settings.rows,
        "waits": settings.waits, "unsteady": settings.unsteady,
    })
}

/// The mistake, for programs; for people it is the error's own text.
pub(crate) fn error_json(error: &ConfigError) -> Value {
    let told = match error {
        ConfigError::Read { path, source } => {
            json!({ "file": path, "line": null, "key": null, "problem": source.to_string() })
        }
        ConfigError::Mistake(mistake) => json!({
            "file": mistake.file, "line": mistake.line, "key": mistake.key, "problem": mistake.problem,
        }),
    };
    json!({ "ok": false, "error": told })
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Default => "default".to_owned(),
        Origin::Derived { from } => format!("from {from}"),
        Origin::File { file, line } => format!("{}:{line}", file.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(text: &str, check: impl FnOnce(&std::path::Path)) {
        let name = format!("coracle-check-{}-{}.toml", std::process::id(), text.len());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, text).unwrap();
        check(&file);
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn each_setting_is_shown_with_its_value_and_origin() {
        with_file("\naccept_tags = true\n[pull]\nconcurrency = 1\n", |file| {
            let settings = crate::config::load(Some(file)).unwrap();
            let shown = text(&settings);
            assert!(shown.contains(&format!("true  ({}:2)", file.display())), "{shown}");
            assert!(shown.contains("no broker is configured"), "{shown}");
            let rows = json(&settings);
            let row = |key: &str| {
                rows["settings"].as_array().unwrap().iter().find(|row| row["key"] == key).unwrap().clone()
            };
            assert_eq!(row("pull.concurrency")["origin"]["line"], 4);
            assert_eq!(row("broker.keepalive_seconds")["origin"]["kind"], "default");
        });
    }

    #[test]
    fn a_mistake_is_given_in_parts() {
        with_file("[pull]\nconcurrency = 99\n", |file| {
            let told = error_json(&crate::config::load(Some(file)).unwrap_err());
            assert_eq!((&told["ok"], &told["error"]["line"]), (&json!(false), &json!(2)));
            assert_eq!(told["error"]["key"], "pull.concurrency");
        });
    }
}
