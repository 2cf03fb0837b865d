//! What a faulty registry does wrong, and when.

/// Which requests a script is for.
#[derive(Clone, Debug)]
pub struct On {
    pub(super) method: Option<&'static str>,
    pub(super) part: String,
}

impl On {
    /// GETs with `part` in their path.
    pub fn get(part: &str) -> Self {
        Self { method: Some("GET"), part: part.to_owned() }
    }

    /// Requests of any method with `part` in their path.
    pub fn any(part: &str) -> Self {
        Self { method: None, part: part.to_owned() }
    }

    pub(super) fn matches(&self, method: &str, path: &str) -> bool {
        self.method.is_none_or(|own| own == method) && path.contains(&self.part)
    }
}

/// How often a script plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// For ever.
    Always,
    /// For the next so many requests that it is for.
    Next(u32),
}

/// What is done instead of what was asked.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status with these headers and this body.
    Answer {
        /// The HTTP status.
        status: u16,
        /// Names and values.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// The right head, but the connection ends after so many bytes of the body.
    Truncate {
        /// Bytes that still go out.
        after: u64,
    },
    /// The right head, but nothing comes after so many bytes of the body.
    Stall {
        /// Bytes that still go out.
        after: u64,
    },
    /// The right body, a piece of so many bytes a second.
    Drip {
        /// Bytes of a piece.
        bytes: usize,
    },
    /// The whole with 200, whatever range was asked for, and the connection ends after so many bytes.
    IgnoreRange {
        /// Bytes that still go out; none for all.
        cut_after: Option<u64>,
    },
    /// The right head for a body with another length, and that body.
    Longer {
        /// Bytes more than right; sent without an announced length where so wanted.
        extra: usize,
        /// Whether `Content-Length` says so.
        announced: bool,
    },
    /// The right answer with a header replaced.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// Another body in place of the right one, with its length.
    Body(Vec<u8>),
    /// A body that is made while it goes out, under an announced length.
    Made {
        /// The HTTP status.
        status: u16,
        /// Its bytes.
        length: u64,
        /// Writes them; whatever it does, the connection ends after it.
        write: fn(&mut dyn std::io::Write) -> std::io::Result<()>,
    },
    /// These bytes in place of a whole answer, head included, and then the connection ends.
    Raw {
        /// What goes out.
        bytes: Vec<u8>,
        /// How often.
        times: u32,
    },
    /// A body that does not end.
    Endless {
        /// The HTTP status.
        status: u16,
    },
}

impl Fault {
    /// A bare status.
    pub fn status(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: Vec::new() }
    }

    /// A status with the specification's error form.
    pub fn error(status: u16, code: &str) -> Self {
        let body = serde_json::json!({"errors": [{"code": code, "message": code}]}).to_string().into_bytes();
        Self::Answer { status, headers: Vec::new(), body }
    }

    /// A status with `Retry-After`.
    pub fn retry_after(status: u16, seconds: u64) -> Self {
        let headers = vec![("Retry-After".to_owned(), seconds.to_string())];
        Self::Answer { status, headers, body: Vec::new() }
    }

    /// 307 to `location`.
    pub fn redirect(location: &str) -> Self {
        let headers = vec![("Location".to_owned(), location.to_owned())];
        Self::Answer { status: 307, headers, body: Vec::new() }
    }
}

pub(super) struct Entry {
    pub(super) on: On,
    pub(super) times: Times,
    pub(super) fault: Fault,
}

/// The fault for a request, if one is due; counts it.
pub(super) fn due(scripts: &mut [Entry], method: &str, path: &str) -> Option<Fault> {
    for entry in scripts {
        if !entry.on.matches(method, path) || entry.times == Times::Next(0) {
            continue;
        }
        if let Times::Next(left) = &mut entry.times {
            *left -= 1;
        }
        return Some(entry.fault.clone());
    }
    None
}
