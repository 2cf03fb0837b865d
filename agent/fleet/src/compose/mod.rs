//! From a Compose file on the operator's computer to the project that a board reads: variables replaced, `env_file`s
//! read, everything else left as it is and judged by the board's own code.

mod dotenv;
mod interpolate;
mod read;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coracle_core::compose::{ComposeError, Defaults};
use coracle_core::ident::ProjectName;
use coracle_host::console::exit::{Exit, Failure};
use coracle_host::files;
use serde_json::{Map, Value};

use dotenv::Environment;
use read::Read;

/// Bytes of a Compose file or a file of variables; a whole document has 32 KiB.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// The variables beside a Compose file.
const ENV: &str = ".env";

/// A project as it goes into a document.
pub(crate) struct Loaded {
    /// Its name.
    pub(crate) name: ProjectName,
    /// Its body.
    pub(crate) body: Value,
    /// What its author should hear.
    pub(crate) warnings: Vec<String>,
}

/// Where the words of a command and a file come together.
pub(crate) struct Asked<'a> {
    /// The name, where it was said.
    pub(crate) name: Option<&'a str>,
    /// Files of variables, instead of `.env`.
    pub(crate) env_files: &'a [PathBuf],
    /// What boards say where the file is silent.
    pub(crate) defaults: &'a Defaults,
}

/// Reads the Compose file at `path`.
pub(crate) fn load(path: &Path, asked: &Asked<'_>) -> Result<Loaded, Failure> {
    let at = |why: &dyn std::fmt::Display| Failure {
        exit: Exit::Refused,
        message: format!("{}: {why}", path.display()),
    };
    let dir = path.parent().unwrap_or(Path::new("."));
    let shell = |name: &str| std::env::var(name).ok();
    let mut environment = Environment::new();
    for (file, needed) in env_files(dir, asked.env_files) {
        environment.extend(variables(&file, needed, &shell)?);
    }
    let lookup = |name: &str| shell(name).or_else(|| environment.get(name).cloned());
    let text = text(path)?;
    let node = yaml::parse(&text).map_err(|error| at(&error))?;
    let Read { mut body, lines, warnings } = read::read(&node, &lookup).map_err(|error| at(&error))?;
    let name = name(path, &body, asked.name).map_err(|why| at(&why))?;
    if let Some(top) = body.as_object_mut() {
        top.remove("name");
        services(top, |service, fields| environments(dir, service, fields, &lookup))?;
    }
    coracle_core::compose::parse(&name, &body, asked.defaults)
        .map_err(|error| at(&placed(&error, &lines)))?;
    Ok(Loaded { name, body, warnings })
}

/// What is wrong, with the line on which it stands, or on which what it lacks should.
fn placed(error: &ComposeError, lines: &BTreeMap<String, usize>) -> String {
    let mut path = error.path.as_str();
    loop {
        if let Some(line) = lines.get(path) {
            return format!("line {line}: {error}");
        }
        let Some(end) = path.rfind(['.', '[']) else { return error.to_string() };
        path = path.get(..end).unwrap_or_default();
    }
}

fn env_files(dir: &Path, asked: &[PathBuf]) -> Vec<(PathBuf, bool)> {
    if asked.is_empty() {
        return vec![(dir.join(ENV), false)];
    }
    asked.iter().map(|path| (path.clone(), true)).collect()
}

/// The variables of a file; none of one that need not be there.
fn variables(
    path: &Path,
    needed: bool,
    outside: &dyn Fn(&str) -> Option<String>,
) -> Result<Environment, Failure> {
    if !needed && !path.exists() {
        return Ok(Environment::new());
    }
    dotenv::parse(&text(path)?, outside)
        .map_err(|error| Failure { exit: Exit::Refused, message: format!("{}: {error}", path.display()) })
}

fn text(path: &Path) -> Result<String, Failure> {
    let failed =
        |why: &dyn std::fmt::Display| Failure::usage(format!("failed to read {}: {why}", path.display()));
    let bytes = files::read_needed(path, FILE_BYTES_MAX).map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|_| failed(&"it is not text"))
}

/// The project's name: as asked, as the file says, or its folder's in the letters that a name has.
fn name(path: &Path, body: &Value, asked: Option<&str>) -> Result<ProjectName, String> {
    let said = body.get("name").and_then(Value::as_str);
    if let Some(name) = asked.or(said) {
        return ProjectName::parse(name).map_err(|error| error.to_string());
    }
    let folder = std::path::absolute(path).ok();
    let folder = folder.as_deref().and_then(Path::parent).and_then(Path::file_name);
    let folder = folder.unwrap_or_default().to_string_lossy().to_lowercase();
    let legal = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let name: String = folder.chars().filter(legal).collect();
    ProjectName::parse(name.trim_start_matches(['_', '-']))
        .map_err(|_| format!("the folder {folder:?} gives no name for the project; give --project NAME"))
}

/// Does something with each service.
pub(crate) fn services(
    top: &mut Map<String, Value>,
    mut act: impl FnMut(&str, &mut Map<String, Value>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let services = top.get_mut("services").and_then(Value::as_object_mut);
    for (name, service) in services.into_iter().flatten() {
        if let Some(fields) = service.as_object_mut() {
            act(name, fields)?;
        }
    }
    Ok(())
}

/// Puts the variables of `env_file` under those of `environment`, and the operator's own where one has no value.
fn environments(
    dir: &Path,
    service: &str,
    fields: &mut Map<String, Value>,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<(), Failure> {
    let mut found = Map::new();
    if let Some(given) = fields.remove("env_file") {
        for (path, needed) in paths(&given).ok_or_else(|| Failure {
            exit: Exit::Refused,
            message: format!("services.{service}.env_file: want a path, or a list of paths or of maps with path and required"),
        })? {
            let variables = variables(&dir.join(path), needed, lookup)?;
            found.extend(variables.into_iter().map(|(name, value)| (name, Value::from(value))));
        }
    }
    let had_files = !found.is_empty();
    match fields.get_mut("environment") {
        Some(Value::Object(own)) => {
            for (name, value) in std::mem::take(own) {
                settle(&mut found, &name, Some(value), lookup);
            }
            *own = found;
        }
        Some(Value::Array(own)) if own.iter().all(Value::is_string) => {
            for entry in own.iter().filter_map(Value::as_str) {
                let (name, value) =
                    entry.split_once('=').map_or((entry, None), |(name, value)| (name, Some(value)));
                settle(&mut found, name, value.map(Value::from), lookup);
            }
            fields.insert("environment".to_owned(), Value::Object(found));
        }
        None | Some(Value::Null) if had_files => {
            fields.insert("environment".to_owned(), Value::Object(found));
        }
        // Nothing, or of a form that the board's code has a word for.
        None | Some(_) => {}
    }
    Ok(())
}

/// One variable; without a value it is the operator's own, and where there is none it is not set at all.
fn settle(
    found: &mut Map<String, Value>,
    name: &str,
    value: Option<Value>,
    lookup: &dyn Fn(&str) -> Option<String>,
) {
    match value.filter(|value| !value.is_null()).or_else(|| lookup(name).map(Value::from)) {
        Some(value) => drop(found.insert(name.to_owned(), value)),
        None => drop(found.remove(name)),
    }
}

/// The files that `env_file` names, and whether each has to be there.
fn paths(given: &Value) -> Option<Vec<(PathBuf, bool)>> {
    let one = |value: &Value| match value {
        Value::String(path) => Some((PathBuf::from(path), true)),
        Value::Object(map) if map.keys().all(|key| ["path", "required"].contains(&key.as_str())) => {
            let needed = map.get("required").map_or(Some(true), Value::as_bool)?;
            Some((PathBuf::from(map.get("path")?.as_str()?), needed))
        }
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    };
    match given {
        Value::Array(list) => list.iter().map(one).collect(),
        Value::String(_) | Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {
            Some(vec![one(given)?])
        }
    }
}
