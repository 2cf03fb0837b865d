//! `coraclectl sign`: a document becomes an envelope, an envelope has one signature more.

use std::path::Path;

use coracle_core::trust::KeyId;
use coracle_host::console::exit::{Exit, Failure};
use coracle_host::console::out;
use coracle_host::files;
use serde_json::json;

use crate::args::Sign;
use crate::document::{self, Document};
use crate::signing;

/// Signs, after the document was judged as a board does.
pub(crate) fn sign(args: &Sign) -> Result<Exit, Failure> {
    let Document { kind, payload, signatures } = {
        let document = Document::read(&args.document)?;
        document.check(args.boards).map_err(|fault| document::refused_in(&args.document, &fault))?;
        document
    };
    let signers = signing::signers(&args.signing)?;
    if signers.is_empty() {
        return Err(Failure::usage(
            "nobody signs: give --key FILE, or --signer COMMAND with --public-key FILE",
        ));
    }
    let (envelope, signed) = signing::seal(kind, payload, signatures, &signers)?;
    let bytes = document::checked(&envelope)?;
    let count = envelope.signatures().len();
    match &args.out {
        None => {
            out::line(String::from_utf8_lossy(&bytes));
            out::note(told(&signed, count));
        }
        Some(path) => {
            write(path, &bytes)?;
            if args.json {
                out::json(&json!({ "envelope": path, "signed": signed, "signatures": count }));
            } else {
                out::line(format_args!("{}: {}", path.display(), told(&signed, count)));
            }
        }
    }
    Ok(Exit::Done)
}

fn told(signed: &[KeyId], count: usize) -> String {
    let all = out::count(u64::try_from(count).unwrap_or(u64::MAX), "signature");
    if signed.is_empty() {
        return format!("signed by these keys before; {all} in all");
    }
    let keys = signed.iter().map(KeyId::short).collect::<Vec<_>>().join(" ");
    format!("signed with {keys}; {all} in all")
}

/// Writes a document or an envelope; what was there is replaced whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let beside = Path::new(".").join(path);
    files::write_durable(&beside, &[bytes, b"\n"].concat(), 0o644)
        .map_err(|error| Failure::usage(format!("failed to write {}: {error}", path.display())))
}
