//! Addresses of servers as people write them.

use std::fmt;

use base64::Engine as _;

/// Characters of a proxy's address with its credentials.
const CHARS_MAX: usize = 1024;

/// Host and port of `host[:port]`; an IPv6 address stands in brackets, and comes out without.
///
/// # Errors
/// What is wrong, in words for people.
pub fn split(authority: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("has a '[' without its ']'")?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| format!("{host:?} is not an IPv6 address"))?;
        let port = after.strip_prefix(':');
        if port.is_none() && !after.is_empty() {
            return Err("has something between ']' and the port".to_owned());
        }
        return Ok((host, port));
    }
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.is_empty() || !host.chars().all(legal) {
        return Err(format!("{host:?} is not a host name or address"));
    }
    Ok((host, port))
}

/// A port other than 0; `usual` where none is written.
///
/// # Errors
/// What is wrong, in words for people.
pub fn port(written: Option<&str>, usual: u16) -> Result<u16, String> {
    let Some(written) = written else { return Ok(usual) };
    written.parse().ok().filter(|port| *port != 0).ok_or_else(|| format!("{written:?} is not a port"))
}

/// `host:port`, an IPv6 address in brackets.
#[must_use]
pub fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Where an HTTP proxy is, and who this board is to it. Shown without its credentials, by `Debug` too.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    secure: bool,
    host: String,
    port: u16,
    credentials: Option<(String, String)>,
}

impl ProxyUrl {
    /// `http://[user:password@]host[:port]`, or `https://` for TLS up to the proxy; characters of user and password
    /// may be written as `%xx`.
    ///
    /// # Errors
    /// What is wrong, in words that never repeat the text: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wanted = "must be http://[user:password@]host[:port], or the same with https://";
        if text.len() > CHARS_MAX {
            return Err(format!("has more than {CHARS_MAX} characters"));
        }
        let (scheme, rest) = text.split_once("://").ok_or(wanted)?;
        let (secure, usual) = match scheme {
            "http" => (false, 80),
            "https" => (true, 443),
            _ => return Err(wanted.to_owned()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, authority) = rest.rsplit_once('@').map_or((None, rest), |(user, at)| (Some(user), at));
        let words = |_| "has something else than a host and a port at its end".to_owned();
        let (host, written) = split(authority).map_err(words)?;
        let port = port(written, usual).map_err(words)?;
        let credentials = match user {
            None => None,
            Some(user) => {
                let (user, password) = user.split_once(':').unwrap_or((user, ""));
                let plain = |text| decoded(text).ok_or("has credentials that are not written as in a URL");
                Some((plain(user)?, plain(password)?))
            }
        };
        Ok(Self { secure, host: host.to_owned(), port, credentials })
    }

    /// Name or address; IPv6 without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether TLS is spoken up to the proxy.
    #[must_use]
    pub fn secure(&self) -> bool {
        self.secure
    }

    /// Whether it holds a secret.
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// The value of `Proxy-Authorization`, a secret.
    #[must_use]
    pub fn authorization(&self) -> Option<String> {
        let (user, password) = self.credentials.as_ref()?;
        let pair = format!("{user}:{password}");
        Some(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))
    }

    /// The whole, credentials included, for libraries that take nothing else.
    #[must_use]
    pub fn secret(&self) -> String {
        let user = self
            .credentials
            .as_ref()
            .map_or_else(String::new, |(user, password)| format!("{}:{}@", encoded(user), encoded(password)));
        format!("{}://{user}{}", self.scheme(), join(&self.host, self.port))
    }

    fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = if self.has_credentials() { "***@" } else { "" };
        write!(f, "{}://{user}{}", self.scheme(), join(&self.host, self.port))
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text with its `%xx` as characters (RFC 3986, section 2.1); `None` where one is broken, or a header could not have it.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains(char::is_control))
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_shown_without_its_credentials_and_given_with_them() {
        for (text, shown, header) in [
            ("http://proxy.lan:3128", "http://proxy.lan:3128", None),
            ("http://proxy.lan", "http://proxy.lan:80", None),
            ("https://proxy.lan/", "https://proxy.lan:443", None),
            ("http://u:p@proxy.lan:3128", "http://***@proxy.lan:3128", Some("Basic dTpw")),
            ("http://u@[::1]:3128", "http://***@[::1]:3128", Some("Basic dTo=")),
            ("http://u:a%40b%3A@h:1", "http://***@h:1", Some("Basic dTphQGI6")),
        ] {
            let proxy = ProxyUrl::parse(text).unwrap();
            assert_eq!((proxy.to_string(), format!("{proxy:?}")), (shown.to_owned(), shown.to_owned()));
            assert_eq!(proxy.authorization().as_deref(), header);
            assert_eq!(ProxyUrl::parse(&proxy.secret()).as_ref(), Ok(&proxy), "{text}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_a_word_of_its_secret() {
        for text in [
            "secret",
            "socks5://u:secret@h:1",
            "http://u:secret@h:1/path",
            "http://u:secret@h:0",
            "http://u:secret@h:secret",
            "http://u:secret@",
            "http://u:secret%0d%0a@h:1",
            "http://u:secret%4@h:1",
            "http://u:secret%zz@h:1",
            "http://u:secret@[::1",
            &format!("http://u:{}@h", "secret".repeat(200)),
        ] {
            let why = ProxyUrl::parse(text).unwrap_err();
            assert!(!why.contains("secret"), "{text}: {why}");
        }
    }
}
