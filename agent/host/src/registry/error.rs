//! What can go wrong with a registry, classed by what to do about it.

use std::fmt;
use std::time::Duration;

use coracle_core::oci::Digest;

use crate::files::SecretError;
use crate::tls;

/// A failed attempt: what was tried, on which object of which registry, and why it failed.
///
/// Display names all three; `source` goes on where the cause has a cause of its own.
#[derive(Debug)]
pub struct RegistryError {
    /// What was tried.
    pub attempt: Attempt,
    /// The object: a reference or a digest.
    pub object: String,
    /// The registry as it was reached; empty where it did not come that far.
    pub registry: String,
    /// How often it was tried.
    pub tries: u32,
    /// Why the last try failed.
    pub cause: Box<Cause>,
}

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// Fetching a manifest or index.
    FetchManifest,
    /// Fetching the signatures of an image, or what lists them.
    FetchSignatures,
    /// Fetching a layer or image config.
    FetchBlob,
    /// Setting up from configuration.
    Configure,
}

/// When trying again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Not before something else changes.
    Never,
    /// After a growing delay.
    Backoff,
    /// The registry asked for patience, and perhaps said how long.
    Limited(Option<Duration>),
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// No connection, or it broke.
    #[error("the connection failed")]
    Connection(#[source] reqwest::Error),
    /// It was reached, and its certificate is not to be believed.
    #[error("the registry is not believed: {0}")]
    Unbelieved(String),
    /// It was reached, and what it answers is no TLS.
    #[error("the registry does not speak TLS")]
    NoTls,
    /// The connection broke within a blob.
    #[error("the connection broke within the content")]
    Broken(#[source] std::io::Error),
    /// Nothing came for the given time.
    #[error("nothing came for {} ms", .0.as_millis())]
    Stalled(Duration),
    /// Bytes came, but too few.
    #[error("fewer than {minimum} bytes a second came")]
    TooSlow {
        /// The bound that was missed.
        minimum: u64,
    },
    /// An answer other than success.
    #[error("registry answered {status}{}", Said(.said))]
    Status {
        /// The HTTP status.
        status: u16,
        /// What `Retry-After` said.
        retry_after: Option<Duration>,
        /// The registry's own words, cut.
        said: String,
    },
    /// 401, with what is known of the reason.
    #[error("registry wants other credentials: {0}")]
    Denied(&'static str),
    /// The token server failed or lied.
    #[error("no token from {realm:?}: {why}")]
    Token {
        /// Its host.
        realm: String,
        /// What it did.
        why: String,
        /// Whether it may do better later.
        retry: Retry,
    },
    /// The registry's `WWW-Authenticate` cannot be followed.
    #[error("cannot follow the registry's challenge: {0}")]
    Challenge(&'static str),
    /// A redirect that is not followed.
    #[error("refused to be redirected to {to:?}: {rule}")]
    Redirect {
        /// Scheme, host and port of the target, cut.
        to: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// More bytes than the bound.
    #[error("the answer is longer than {limit} bytes")]
    TooLong {
        /// The bound.
        limit: u64,
    },
    /// An error answer that did not end.
    #[error("the answer did not end where its head should")]
    Endless,
    /// The content is not what its digest says.
    #[error("the content has digest {found}, expected {expected}")]
    Digest {
        /// What was asked for.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// The content contradicts the registry's own `Docker-Content-Digest`.
    #[error("the content does not have the digest that the registry announced")]
    AnnouncedDigest,
    /// The length announced is not the descriptor's.
    #[error("the registry announced {announced} bytes, expected {expected}")]
    Size {
        /// By the descriptor, less what was there already.
        expected: u64,
        /// By `Content-Length`.
        announced: u64,
    },
    /// The content ended early.
    #[error("the content ended after {found} of {expected} bytes")]
    Truncated {
        /// By the descriptor.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// The same bytes came again and again.
    #[error("{refetched} bytes came again without the content getting whole")]
    Refetched {
        /// How many.
        refetched: u64,
    },
    /// `blocked` in `registries.conf`.
    #[error("the registry is blocked by registries.conf")]
    Blocked,
    /// A configuration file cannot be used.
    #[error("{path}: {why}")]
    File {
        /// Which.
        path: String,
        /// Why.
        why: String,
    },
    /// A file with credentials is not kept as a secret.
    #[error("{0}")]
    Secret(SecretError),
    /// A TLS client cannot be made.
    #[error("TLS is not available: {0}")]
    Tls(String),
    /// Nobody takes the bytes any more; the consumer's error is the one that counts.
    #[error("the consumer stopped")]
    ConsumerGone,
}

struct Said<'a>(&'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " ({})", self.0) }
    }
}

impl Cause {
    /// A request that got no answer.
    pub(super) fn of_request(error: reqwest::Error) -> Self {
        let error = error.without_url();
        match tls::cause(&error) {
            Some(found) if tls::is_no_tls(found) => Self::NoTls,
            Some(found) => match tls::disbelief(found) {
                Some(why) => Self::Unbelieved(why),
                None => Self::Connection(error),
            },
            None => Self::Connection(error),
        }
    }

    /// Whether trying again may help.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Connection(_)
            // The clock may come right, a certificate be renewed.
            | Self::Unbelieved(_)
            | Self::NoTls
            | Self::Broken(_)
            | Self::Stalled(_)
            | Self::TooSlow { .. }
            | Self::Truncated { .. } => Retry::Backoff,
            Self::Status { status, retry_after, .. } => match status {
                429 | 503 => Retry::Limited(*retry_after),
                408 | 500 | 502 | 504 => Retry::Backoff,
                _ => Retry::Never,
            },
            Self::Token { retry, .. } => *retry,
            Self::Denied(_)
            | Self::Challenge(_)
            | Self::Redirect { .. }
            | Self::TooLong { .. }
            | Self::Endless
            | Self::Digest { .. }
            | Self::AnnouncedDigest
            | Self::Size { .. }
            | Self::Refetched { .. }
            | Self::Blocked
            | Self::File { .. }
            | Self::Secret(_)
            | Self::Tls(_)
            | Self::ConsumerGone => Retry::Never,
        }
    }
}

impl RegistryError {
    /// Whether trying again later may help.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.cause.retry()
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempt = match self.attempt {
            Attempt::FetchManifest => "fetch manifest",
            Attempt::FetchSignatures => "fetch signatures of",
            Attempt::FetchBlob => "fetch blob",
            Attempt::Configure => "set up",
        };
        write!(f, "failed to {attempt} {}", self.object)?;
        if !self.registry.is_empty() {
            write!(f, " from {:?}", self.registry)?;
        }
        write!(f, ": {}", self.cause)?;
        if self.tries > 1 { write!(f, " (tried {} times)", self.tries) } else { Ok(()) }
    }
}

impl std::error::Error for RegistryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(self.cause.as_ref())
    }
}

/// Words of a stranger, made fit for a message.
pub(super) fn cut(text: &str) -> String {
    const CHARS_MAX: usize = 160;
    text.chars().filter(|c| !c.is_control()).take(CHARS_MAX).collect()
}
