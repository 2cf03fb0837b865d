//! Reading the bytes of a command, from the broker and from the console.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Action, Command, LIFE_S_MAX, LINES, LINES_MAX, Origin, REASON_CHARS_MAX, REFRESH_SPREAD_S};
use super::{SCHEMA, SPREAD_S_MAX, Verb, Which, intake};
use crate::fault::{Code, Fault};
use crate::fields::{Fields, identifier, schema};
use crate::ident::{ProjectName, WorkloadId};
use crate::json;
use crate::time::Timestamp;

/// What stands around the arguments of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) id: String,
    pub(super) issued: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) spread_s: u64,
}

impl Envelope {
    /// The id of a message that may be anything else than a command.
    pub(super) fn id_of(payload: &[u8]) -> Option<String> {
        let value: Value = serde_json::from_slice(payload).ok()?;
        identifier("id", value.get("id")?.as_str()?.to_owned()).ok()
    }
}

/// A command from the broker: its envelope and what it asks for.
pub(super) fn broker(verb: Verb, origin: &Origin, payload: &[u8]) -> Result<(Envelope, Action), Fault> {
    let mut fields = object(payload)?;
    if fields.text("schema")?.as_deref() != Some(SCHEMA) {
        return Err(schema("schema", &format!("is not {SCHEMA:?}")));
    }
    let id = fields.text("id")?;
    let id = identifier("id", fields.need("id", id)?)?;
    let issued = fields.number("iat", 0, u64::MAX)?;
    let issued = Timestamp(fields.need("iat", issued)?);
    let expires = fields.number("exp", 0, u64::MAX)?;
    let expires = Timestamp(fields.need("exp", expires)?);
    if expires <= issued || expires.since(issued) > LIFE_S_MAX {
        return Err(schema("exp", &format!("is not 1 to {LIFE_S_MAX} s after iat")));
    }
    let mut args = fields.object("args")?;
    fields.end()?;
    let spread_s = match (origin, verb) {
        (Origin::Device | Origin::Console, _) => 0,
        (Origin::Group(_), Verb::Refresh) => spread(&mut args)?.unwrap_or(REFRESH_SPREAD_S),
        (Origin::Group(_), _) => spread(&mut args)?.unwrap_or(0),
    };
    Ok((Envelope { id, issued, expires, spread_s }, action(verb, args)?))
}

fn spread(args: &mut Fields) -> Result<Option<u64>, Fault> {
    args.number("spread", 0, SPREAD_S_MAX)
}

/// A command from the console, `{"verb":"restart","args":{…}}`: whoever may speak there is the board's owner, here and
/// now, so it needs neither id nor time.
///
/// # Errors
/// `SCHEMA` with the path of the key, `UNKNOWN_VERB`.
pub fn console(line: &[u8]) -> Result<Command, Fault> {
    let mut fields = object(line)?;
    let word = fields.text("verb")?;
    let word = fields.need("verb", word)?;
    let verb = Verb::parse(&word).ok_or_else(|| intake::unknown(&Origin::Console))?;
    let args = fields.object("args")?;
    fields.end()?;
    Ok(Command { id: None, origin: Origin::Console, action: action(verb, args)?, delay_s: 0 })
}

fn object(bytes: &[u8]) -> Result<Fields, Fault> {
    let value = json::read(bytes)
        .map_err(|error| Fault::new(Code::Schema, &format!("command is not JSON: {error}")))?;
    if !value.is_object() {
        return Err(Fault::new(Code::Schema, "command is not an object"));
    }
    Fields::of("", value)
}

fn action(verb: Verb, mut args: Fields) -> Result<Action, Fault> {
    let action = match verb {
        Verb::Refresh => Action::Refresh,
        Verb::Cancel => Action::Cancel(generation(&mut args)?),
        Verb::Retry => Action::Retry(generation(&mut args)?),
        Verb::Confirm => Action::Confirm(generation(&mut args)?),
        Verb::Restart => Action::Restart(which(&mut args)?),
        Verb::Logs => {
            let text = args.text("workload")?;
            let workload = workload(&args, &args.need("workload", text)?)?;
            let most = u64::try_from(LINES_MAX).unwrap_or(u64::MAX);
            let lines = args.number("lines", 1, most)?.and_then(|lines| usize::try_from(lines).ok());
            Action::Logs { workload, lines: lines.unwrap_or(LINES) }
        }
        Verb::Diag => Action::Diag,
        Verb::Gc => Action::Gc,
        Verb::Hold => hold(&mut args)?,
        Verb::Rollback => Action::Rollback(generation(&mut args)?),
        Verb::Why => Action::Why,
        Verb::Apply => Action::Apply(document(&mut args)?),
        Verb::Trust => Action::Trust(document(&mut args)?),
    };
    args.end()?;
    Ok(action)
}

/// An envelope, in base64: its own quotes would double it.
fn document(args: &mut Fields) -> Result<Vec<u8>, Fault> {
    let text = args.text("document")?;
    let text = args.need("document", text)?;
    STANDARD.decode(text).map_err(|_| schema(&args.path("document"), "is not base64"))
}

fn generation(args: &mut Fields) -> Result<Option<u64>, Fault> {
    args.number("gen", 0, u64::MAX)
}

fn hold(args: &mut Fields) -> Result<Action, Fault> {
    let reason = args.text("reason")?;
    if args.flag("release")?.unwrap_or(false) {
        return match reason {
            None => Ok(Action::Release),
            Some(_) => Err(schema("args", "say release and a reason: a release needs none")),
        };
    }
    let reason = reason.unwrap_or_default();
    // It is shown on terminals and in every state document.
    if reason.chars().count() > REASON_CHARS_MAX || reason.chars().any(char::is_control) {
        let rule = format!("is not one line of at most {REASON_CHARS_MAX} characters");
        return Err(schema(&args.path("reason"), &rule));
    }
    Ok(Action::Hold(reason))
}

fn which(args: &mut Fields) -> Result<Which, Fault> {
    match (args.text("workload")?, args.text("project")?) {
        (Some(text), None) => Ok(Which::Workload(workload(args, &text)?)),
        (None, Some(text)) => {
            let wrong = |error| schema(&args.path("project"), &format!("is not a project's name: {error}"));
            Ok(Which::Project(ProjectName::parse(&text).map_err(wrong)?))
        }
        (Some(_), Some(_)) => Err(schema("args", "name a workload and a project: say one of them")),
        (None, None) => Err(schema("args", "name neither a workload nor a project")),
    }
}

fn workload(args: &Fields, text: &str) -> Result<WorkloadId, Fault> {
    let wrong = |_| schema(&args.path("workload"), "is not of the form project.service");
    WorkloadId::parse(text).map_err(wrong)
}
