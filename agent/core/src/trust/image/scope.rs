//! Scopes: which part of a policy is for which reference (containers-policy.json(5), "docker:").

use crate::oci::Reference;

/// Characters of a scope: the longest that a reference can have.
const SCOPE_CHARS_MAX: usize = 512;

/// What a policy may call `reference`, the most specific first.
///
/// ```text
/// host:5000/a/b:tag or …@sha256:…   host:5000/a/b   host:5000/a   host:5000   *.domain-of-host …   ""
/// ```
pub(super) fn of(reference: &Reference) -> Vec<String> {
    let mut scopes = vec![exact(reference), reference.name()];
    let mut name = reference.repository();
    while let Some((parent, _)) = name.rsplit_once('/') {
        scopes.push(format!("{}/{parent}", reference.registry()));
        name = parent;
    }
    scopes.push(reference.registry().to_owned());
    let mut host = reference.registry().split(':').next().unwrap_or_default();
    while let Some((_, domain)) = host.split_once('.') {
        scopes.push(format!("*.{domain}"));
        host = domain;
    }
    scopes.push(String::new());
    scopes
}

/// The reference itself: where it has a digest, its tag says nothing.
fn exact(reference: &Reference) -> String {
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => format!("{}@{digest}", reference.name()),
        (None, Some(tag)) => format!("{}:{tag}", reference.name()),
        (None, None) => reference.name(),
    }
}

/// Why no reference can ever have this scope; a slip of the pen would leave images to a wider one.
pub(super) fn mistake(scope: &str) -> Option<&'static str> {
    const HOST: &str = "does not begin with a registry (host[:port]) in the form references have";
    const NAME: &str =
        "is not host[:port], a namespace or repository below it, or a reference with its tag or digest";
    if scope.is_empty() {
        return None;
    }
    if scope.len() > SCOPE_CHARS_MAX {
        return Some("is longer than any reference");
    }
    if let Some(domain) = scope.strip_prefix("*.") {
        let fits = !domain.contains(':') && is_host(&format!("x.{domain}"));
        return (!fits).then_some("is not *. and a domain, without port and path");
    }
    let Some((host, _)) = scope.split_once('/') else { return (!is_host(scope)).then_some(HOST) };
    if !is_host(host) {
        return Some(HOST);
    }
    let Ok(reference) = Reference::parse(scope) else { return Some(NAME) };
    let whole = exact(&reference) == scope || reference.name() == scope;
    // A namespace of Docker Hub looks like one of its short names.
    let namespace = !scope.contains('@') && !scope.rsplit('/').next().is_some_and(|last| last.contains(':'));
    (!whole && !namespace).then_some(NAME)
}

fn is_host(host: &str) -> bool {
    Reference::parse(&format!("{host}/x/y")).is_ok_and(|reference| reference.registry() == host)
}
