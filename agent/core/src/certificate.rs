//! Whom a certificate names: the common name of its subject, and nothing else of it (RFC 5280, 4.1.2.6).
//!
//! Invariant: nothing is verified here. It is for a board's own certificate, which the broker verifies.
//!
//! ```text
//! Certificate ─ TBSCertificate ─ [version] serial algorithm issuer validity subject …
//!                                                                      └─ sets of (OID, value)
//! ```

/// Tag of a SEQUENCE.
const SEQUENCE: u8 = 0x30;
/// Tag of a SET.
const SET: u8 = 0x31;
/// Tag of an object identifier.
const OBJECT_ID: u8 = 0x06;
/// Tag of the optional version, `[0]`.
const VERSION: u8 = 0xa0;
/// UTF8String, PrintableString and IA5String: the kinds of text that are read as UTF-8.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];
/// id-at-commonName, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// RDNs of one subject; real ones have a handful.
const PARTS_MAX: usize = 32;

/// Why a certificate names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is no certificate.
    #[error("is no X.509 certificate")]
    Malformed,
    /// Its subject has no common name.
    #[error("has a subject without a common name (CN)")]
    None,
    /// Its subject has several, and each reader would take another one.
    #[error("has a subject with several common names (CN)")]
    Several,
}

/// The common name of the subject of a certificate in DER.
///
/// # Errors
/// [`NameError`] where there is not exactly one.
pub fn common_name(der: &[u8]) -> Result<&str, NameError> {
    let mut names = subject(der).ok_or(NameError::Malformed)?;
    let (mut found, mut parts) = (None, 0);
    while !names.is_empty() {
        parts += 1;
        let (mut set, rest) = of(SET, names).filter(|_| parts <= PARTS_MAX).ok_or(NameError::Malformed)?;
        names = rest;
        while !set.is_empty() {
            let (pair, rest) = of(SEQUENCE, set).ok_or(NameError::Malformed)?;
            set = rest;
            let (id, value) = of(OBJECT_ID, pair).ok_or(NameError::Malformed)?;
            if id != COMMON_NAME {
                continue;
            }
            let (tag, text, _) = element(value).ok_or(NameError::Malformed)?;
            let text = std::str::from_utf8(text).ok().filter(|_| TEXTS.contains(&tag));
            if found.replace(text.ok_or(NameError::Malformed)?).is_some() {
                return Err(NameError::Several);
            }
        }
    }
    found.ok_or(NameError::None)
}

fn subject(der: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = of(SEQUENCE, der)?;
    let (body, _) = of(SEQUENCE, certificate)?;
    let body = of(VERSION, body).map_or(body, |(_, rest)| rest);
    // Serial, algorithm, issuer and validity stand before it.
    let after = (0..4).try_fold(body, |rest, _| element(rest).map(|(_, _, rest)| rest))?;
    of(SEQUENCE, after).map(|(subject, _)| subject)
}

/// The content of an element with this tag, and what follows it.
fn of(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(input)?;
    (found == tag).then_some((content, rest))
}

/// Tag and content of the first element, and what follows it (X.690, 8.1).
fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = input.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // One to four bytes of length; certificates are never larger, and DER has no open end.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        if length < 0x80 {
            [&[tag, length], content].concat()
        } else {
            [&[tag, 0x81, length], content].concat()
        }
    }

    fn part(id: &[u8], tag: u8, text: &[u8]) -> Vec<u8> {
        let pair = [wrap(OBJECT_ID, id), wrap(tag, text)].concat();
        wrap(SET, &wrap(SEQUENCE, &pair))
    }

    /// A certificate as far as the subject, which has these parts.
    fn certificate(version: bool, parts: &[Vec<u8>]) -> Vec<u8> {
        let version = if version { wrap(VERSION, &[2, 1, 2]) } else { Vec::new() };
        let issuer = wrap(SEQUENCE, &part(COMMON_NAME, 0x0c, b"authority"));
        let before = [wrap(2, &[7]), wrap(SEQUENCE, &[]), issuer, wrap(SEQUENCE, &[])].concat();
        let body = [version, before, wrap(SEQUENCE, &parts.concat()), wrap(SEQUENCE, &[])].concat();
        wrap(SEQUENCE, &wrap(SEQUENCE, &body))
    }

    #[track_caller]
    fn check(parts: &[Vec<u8>], expected: Result<&str, NameError>) {
        for version in [true, false] {
            assert_eq!(common_name(&certificate(version, parts)), expected);
        }
    }

    #[test]
    fn the_subject_is_named_and_not_the_issuer() {
        let organization = part(&[0x55, 0x04, 0x0a], 0x13, b"ACME");
        for tag in TEXTS {
            check(&[organization.clone(), part(COMMON_NAME, tag, b"board-7")], Ok("board-7"));
        }
        check(&[organization], Err(NameError::None));
        check(&[], Err(NameError::None));
    }

    #[test]
    fn what_readers_would_take_differently_names_nobody() {
        let one = part(COMMON_NAME, 0x0c, b"a");
        check(&[one.clone(), one], Err(NameError::Several));
        // Two bytes a character: nobody else expects it in a name.
        check(&[part(COMMON_NAME, 0x1e, b"\0a")], Err(NameError::Malformed));
        check(&[part(COMMON_NAME, 0x0c, b"\xff")], Err(NameError::Malformed));
    }

    #[test]
    fn every_part_of_a_certificate_is_refused_in_good_order() {
        let whole = certificate(true, &[part(COMMON_NAME, 0x0c, b"board-7")]);
        for length in 0..whole.len() {
            assert_eq!(common_name(&whole[..length]), Err(NameError::Malformed), "{length} bytes");
        }
        for length in [&[0x80][..], &[0x85, 1, 1, 1, 1, 1], &[0x84, 0xff, 0xff, 0xff, 0xff], &[0x84, 1]] {
            assert_eq!(common_name(&[&[SEQUENCE], length].concat()), Err(NameError::Malformed));
        }
    }
}
