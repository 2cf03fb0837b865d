//! What a registry asks for in `WWW-Authenticate` (RFC 9110, 11.6.1; distribution token specification).

/// One way in that we know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// User name and password with each request.
    Basic,
    /// A token from the realm.
    Bearer {
        /// Where the token is to be had.
        realm: String,
        /// For whom.
        service: Option<String>,
    },
}

/// Bytes of a header value that are looked at.
const HEADER_BYTES_MAX: usize = 4096;

/// The best challenge of all header values: bearer before basic; `None` where neither is offered.
#[must_use]
pub fn best<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut found = None;
    for header in headers {
        for challenge in parse(header.get(..HEADER_BYTES_MAX).unwrap_or(header)) {
            match challenge {
                bearer @ Challenge::Bearer { .. } => return Some(bearer),
                Challenge::Basic => found = Some(Challenge::Basic),
            }
        }
    }
    found
}

/// Reads `Scheme key=value, key="value", Scheme …`; what it does not know it skips.
fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut scheme = String::new();
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        match after.trim_start_matches([' ', '\t']).strip_prefix('=') {
            Some(value) if !word.is_empty() && !scheme.is_empty() => {
                let (value, after) = read_value(value);
                pairs.push((word.to_ascii_lowercase(), value));
                rest = after;
            }
            _ => {
                finish(&scheme, std::mem::take(&mut pairs), &mut challenges);
                if word.is_empty() {
                    return challenges;
                }
                scheme = word.to_ascii_lowercase();
                rest = after;
            }
        }
    }
}

fn read_value(text: &str) -> (String, &str) {
    let text = text.trim_start_matches([' ', '\t']);
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_at(text.find([' ', '\t', ',']).unwrap_or(text.len()));
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

fn finish(scheme: &str, pairs: Vec<(String, String)>, challenges: &mut Vec<Challenge>) {
    match scheme {
        "basic" => challenges.push(Challenge::Basic),
        "bearer" => {
            let mut realm = None;
            let mut service = None;
            for (key, value) in pairs {
                match key.as_str() {
                    "realm" => realm = Some(value),
                    "service" => service = Some(value),
                    _ => {}
                }
            }
            challenges.extend(realm.map(|realm| Challenge::Bearer { realm, service }));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &str, expected: impl Into<Option<Challenge>>) {
        assert_eq!(best([header].into_iter()), expected.into(), "{header}");
    }

    fn bearer(realm: &str, service: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        check(
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="a:b:pull,push""#,
            bearer("https://auth.docker.io/token", Some("registry.docker.io")),
        );
        check(r#"bearer REALM=https://a/t"#, bearer("https://a/t", None));
        check(r#"Basic realm="Registry Realm""#, Some(Challenge::Basic));
        check(r#"Basic realm="x", Bearer realm="https://a/t""#, bearer("https://a/t", None));
        check(r#"Bearer realm="https://a/\"t", service = "s""#, bearer("https://a/\"t", Some("s")));
        check("Basic", Some(Challenge::Basic));
    }

    #[test]
    fn what_is_not_known_or_broken_is_no_challenge() {
        for header in ["", "Negotiate abc==", "Bearer", "Bearer service=x", "=", ",,,", "Digest realm=\"x"] {
            check(header, None);
        }
        check(&format!("{}Basic", ",".repeat(100_000)), None);
    }
}
