//! Somebody else signs: a command that holds a key which never leaves its hardware.
//!
//! Invariant: what the command says is a signature only if the public key agrees.
//!
//! ```text
//! bytes to sign (DSSE's encoding) ──stdin──▶ sh -c COMMAND ──stdout──▶ raw, DER or base64 ──▶ held against the key
//! ```

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coracle_core::trust::{Algorithm, PublicKey};
use coracle_host::console::exit::{Exit, Failure};

/// Bytes of an answer; a signature in base64 has about a hundred.
const ANSWER_BYTES_MAX: u64 = 4 << 10;
/// Bytes of each of the two numbers of an ECDSA signature on P-256.
const NUMBER_BYTES: usize = 32;

/// Has `command` sign `message`; the signature is one that `key` verifies.
pub(crate) fn sign(command: &str, key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, Failure> {
    let answer = run(command, message)?;
    let found = readings(key.algorithm(), &answer).into_iter().find(|sig| key.verifies(message, sig));
    found.ok_or_else(|| {
        let (bytes, id, algorithm) = (answer.len(), key.id().short(), key.algorithm());
        let message = format!(
            "the signer answered {bytes} bytes, which are no signature of the key {id} ({algorithm}) over the document: \
             it has to sign exactly what it reads, and write the signature alone, raw, in DER or in base64"
        );
        Failure { exit: Exit::Unexpected, message }
    })
}

fn run(command: &str, message: &[u8]) -> Result<Vec<u8>, Failure> {
    let failed = |what: &str| Failure::unexpected(format!("the signer {what}: {command}"));
    // Its words for people, and the terminal it may ask a PIN at, are left to it.
    let started =
        Command::new("sh").args(["-c", command]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = started.map_err(|error| failed(&format!("cannot be started ({error})")))?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let mut answer = Vec::new();
    let read = std::thread::scope(|threads| {
        // Written beside the reading: neither has to wait until the other is done. One that reads nothing is told by its
        // signature.
        threads.spawn(move || stdin.map(|mut stdin| stdin.write_all(message)));
        stdout.map(|stdout| stdout.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut answer))
    });
    let status = child.wait().map_err(|error| failed(&format!("was lost ({error})")))?;
    if !status.success() {
        return Err(failed(&format!("ended with {status}")));
    }
    match read {
        Some(Ok(read)) if u64::try_from(read).unwrap_or(u64::MAX) <= ANSWER_BYTES_MAX => Ok(answer),
        Some(Ok(_)) => Err(failed(&format!("wrote more than {ANSWER_BYTES_MAX} bytes"))),
        Some(Err(error)) => Err(failed(&format!("cannot be read ({error})"))),
        None => Err(failed("has no output")),
    }
}

/// What the answer may mean: itself, or what it is the base64 of; and of P-256 the two numbers side by side.
fn readings(algorithm: Algorithm, answer: &[u8]) -> Vec<Vec<u8>> {
    let mut readings = vec![answer.to_vec()];
    let text = answer.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<u8>>();
    readings.extend(STANDARD.decode(text));
    let pairs = readings.iter().filter(|_| algorithm == Algorithm::EcdsaP256).filter_map(|raw| der(raw));
    let pairs = pairs.collect::<Vec<_>>();
    readings.extend(pairs);
    readings
}

/// The DER of an ECDSA signature that was written as two numbers of 32 bytes, as PKCS#11 does (X9.62).
fn der(raw: &[u8]) -> Option<Vec<u8>> {
    if raw.len() != 2 * NUMBER_BYTES {
        return None;
    }
    let body: Vec<u8> = raw.chunks(NUMBER_BYTES).flat_map(integer).collect();
    Some([&[0x30, u8::try_from(body.len()).ok()?], body.as_slice()].concat())
}

/// A DER integer: no zeros before it but the one that keeps it positive.
fn integer(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count().min(number.len().saturating_sub(1));
    let digits = number.get(zeros..).unwrap_or_default();
    let sign: &[u8] = if digits.first().is_some_and(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
    let length = u8::try_from(sign.len() + digits.len()).unwrap_or(u8::MAX);
    [&[0x02, length], sign, digits].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Pkcs8;

    #[test]
    fn two_numbers_become_der_as_x_690_has_it() {
        let raw = |r: &[u8], s: &[u8]| {
            let wide = |number: &[u8]| [&vec![0; NUMBER_BYTES - number.len()], number].concat();
            der(&[wide(r), wide(s)].concat()).unwrap()
        };
        assert_eq!(raw(&[1], &[0x7f]), [0x30, 6, 2, 1, 1, 2, 1, 0x7f]);
        assert_eq!(raw(&[0x80], &[0]), [0x30, 7, 2, 2, 0, 0x80, 2, 1, 0]);
        assert_eq!(raw(&[0xff; 32], &[0x7f; 32]).len(), 2 + 2 + 33 + 2 + 32);
        assert_eq!(der(&[0; 63]), None);
    }

    /// What a signer that says `form` of its signature comes to.
    #[track_caller]
    fn check(algorithm: Algorithm, form: &str, good: bool) {
        let key = Pkcs8::generate(algorithm).unwrap().key().unwrap();
        let (public, message) = (key.public().unwrap(), b"DSSEv1 bytes");
        let made = STANDARD.encode(key.sign(message).unwrap());
        let command = form.replace("SIG", &made);
        let signed = sign(&command, &public, message);
        assert_eq!(signed.is_ok(), good, "{form}: {:?}", signed.err());
    }

    #[test]
    fn an_answer_counts_in_each_form_and_only_if_the_key_agrees() {
        for algorithm in [Algorithm::Ed25519, Algorithm::EcdsaP256] {
            check(algorithm, "echo SIG | base64 -d", true);
            check(algorithm, "echo SIG", true);
            check(algorithm, "echo SIG | fold -w 20", true);
            check(algorithm, "cat >&2; echo SIG", true);
            check(algorithm, "echo SIG | tr 'a-m' 'n-z'", false);
            check(algorithm, "echo SIG; exit 3", false);
            check(algorithm, "true", false);
            check(algorithm, "no-such-program", false);
            check(algorithm, "head -c 100000 /dev/zero", false);
        }
    }
}
