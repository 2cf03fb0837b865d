//! Passwords and tokens: asked for, given to whom they belong, and to nobody else.

use std::os::unix::fs::PermissionsExt as _;

use coracle_test_support::faults::{Asks, Fault, FaultRegistry, On, Times};
use coracle_test_support::registry::auth;
use coracle_test_support::scratch::TempDir;

use super::*;

/// Another password than the right one.
const WRONG: &str = "Ym9hcmQ6b2Fy";
const SIZE: usize = 200_000;

/// A registry with one manifest and one blob.
fn registry(asks: Asks) -> (FaultRegistry, String) {
    let registry = FaultRegistry::start();
    registry.put_index("team/app", "v1", &[]);
    let digest = registry.put_blob(&content(SIZE));
    registry.asks(asks);
    (registry, digest)
}

#[track_caller]
fn expect<T>(result: Result<T, RegistryError>, name: &str, expected: &str) {
    match (result, expected) {
        (Ok(_), "") => {}
        (Ok(_), expected) => panic!("{name}: no error, expected {expected}"),
        (Err(error), "") => panic!("{name}: {error}"),
        (Err(error), expected) => says(&error, name, &[expected]),
    }
}

#[tokio::test]
async fn credentials_are_taken_from_the_auth_file_and_refused_ones_are_an_error() {
    let token = |password| Asks::Token { password };
    let right = auth();
    let rows = [
        ("nobody asks", Asks::Nothing, None, ""),
        ("password, none configured", Asks::Password, None, "none are configured for it"),
        ("password", Asks::Password, Some(right.as_str()), ""),
        ("wrong password", Asks::Password, Some(WRONG), "refused the user name and password"),
        ("anonymous token", token(false), None, ""),
        ("token for a password", token(true), Some(right.as_str()), ""),
        ("token, wrong password", token(true), Some(WRONG), "it refused the credentials"),
        ("token, none configured", token(true), None, "wants credentials and none are configured"),
    ];
    for (name, asks, given, expected) in rows {
        let dir = TempDir::new("auth");
        let (registry, digest) = registry(asks);
        let mut config = quick(&registry);
        if let Some(given) = given {
            config.credentials = credentials(&dir, &format!("{}/team", registry.host()), given);
        }
        let tag = reference(&registry, "team/app:v1");
        let descriptor = descriptor(&digest, SIZE);
        // Each part of a pull for itself: neither lives on what the other got.
        let first = client(config.clone());
        expect(first.manifest(&tag, None).await, name, expected);
        let second = client(config);
        let (result, sunk) = stream(&second, &tag, &descriptor).await;
        expect(result, name, expected);
        assert_eq!(sunk.len(), if expected.is_empty() { SIZE } else { 0 }, "{name}");
        for seen in registry.requests() {
            let pair = seen.header("authorization").strip_prefix("Basic ").map(str::to_owned);
            assert!(pair.is_none() || pair.as_deref() == given, "{name}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn a_token_is_fetched_once_for_a_pull_with_the_right_scope() {
    let (registry, digest) = registry(Asks::Token { password: false });
    let client = client(quick(&registry));
    let tag = reference(&registry, "team/app:v1");
    client.manifest(&tag, None).await.unwrap();
    let descriptor = descriptor(&digest, SIZE);
    let (one, two) = tokio::join!(stream(&client, &tag, &descriptor), stream(&client, &tag, &descriptor));
    assert_eq!((one.1.len(), two.1.len()), (SIZE, SIZE));
    let asked: Vec<_> = registry
        .requests()
        .into_iter()
        .filter(|seen| seen.path.starts_with("/token"))
        .map(|seen| seen.path)
        .collect();
    assert_eq!(asked, ["/token?scope=repository%3Ateam%2Fapp%3Apull&service=bench"]);
}

#[tokio::test]
async fn an_expired_token_is_renewed_once() {
    let (registry, digest) = registry(Asks::Token { password: false });
    let client = client(quick(&registry));
    let tag = reference(&registry, "team/app:v1");
    let descriptor = descriptor(&digest, SIZE);
    assert!(stream(&client, &tag, &descriptor).await.0.is_ok());
    registry.expire_tokens();
    let (result, sunk) = stream(&client, &tag, &descriptor).await;
    result.unwrap();
    assert_eq!(sunk.len(), SIZE);
    registry.expire_tokens();
    client.manifest(&tag, None).await.unwrap();
}

#[tokio::test]
async fn a_registry_that_always_answers_401_is_given_up_after_one_new_token() {
    for path in ["/manifests/", "/blobs/"] {
        let (registry, digest) = registry(Asks::Token { password: false });
        let challenge = format!("Bearer realm=\"http://{}/token\"", registry.host());
        let fault = Fault::Answer {
            status: 401,
            headers: vec![("WWW-Authenticate".to_owned(), challenge)],
            body: Vec::new(),
        };
        registry.script(On::any(path), Times::Always, fault);
        let client = client(quick(&registry));
        let tag = reference(&registry, "team/app:v1");
        let error = match path {
            "/manifests/" => client.manifest(&tag, None).await.map(drop).unwrap_err(),
            _ => stream(&client, &tag, &descriptor(&digest, SIZE)).await.0.map(drop).unwrap_err(),
        };
        says(&error, path, &["refused even a new token"]);
        let tries = registry.requests().iter().filter(|seen| seen.path.contains(path)).count();
        assert_eq!(tries, 2, "{path}");
    }
}

#[tokio::test]
async fn a_token_server_that_misbehaves_is_named() {
    let rows = [
        ("endless", Fault::Endless { status: 200 }, "longer than 65536 bytes"),
        ("no json", Fault::Body(b"<html>".to_vec()), "its answer is not a token"),
        ("no token", Fault::Body(b"{}".to_vec()), "its answer holds no token"),
        ("not a header", Fault::Body(br#"{"token":"a\r\nb: c"}"#.to_vec()), "no header may have"),
        ("503", Fault::status(503), "it answered 503 (tried 3 times)"),
    ];
    for (name, fault, expected) in rows {
        let (registry, digest) = registry(Asks::Token { password: false });
        registry.script(On::any("/token"), Times::Always, fault);
        let client = client(quick(&registry));
        let tag = reference(&registry, "team/app:v1");
        let error = client.manifest(&tag, None).await.unwrap_err();
        let attack = format!("token server: {name}");
        says(&error, name, &["failed to fetch manifest", "no token from \"127.0.0.1\"", expected]);
        if name != "503" {
            refuses(&error, &attack, &[]);
        }
        let (result, _) = stream(&client, &tag, &descriptor(&digest, SIZE)).await;
        says(&result.unwrap_err(), name, &["failed to fetch blob", expected]);
        assert!(registry.bytes_sent() < 32 << 20, "{name}: {}", registry.bytes_sent());
    }
}

#[tokio::test]
async fn a_challenge_that_cannot_be_followed_is_an_error() {
    for (challenge, expected) in [
        ("", "401 without a Basic or Bearer challenge"),
        ("Negotiate", "401 without a Basic or Bearer challenge"),
        ("Bearer realm=\"ftp://x/\"", "its realm is neither http nor https"),
        ("Bearer realm=\"http://u:p@x/\"", "its realm is no plain address"),
    ] {
        let (registry, _) = registry(Asks::Nothing);
        let headers = vec![("WWW-Authenticate".to_owned(), challenge.to_owned())];
        let fault = Fault::Answer { status: 401, headers, body: Vec::new() };
        registry.script(On::any("/v2/"), Times::Always, fault);
        let tag = reference(&registry, "team/app:v1");
        let error = client(quick(&registry)).manifest(&tag, None).await.unwrap_err();
        refuses(&error, &format!("challenge {challenge:?}"), &[expected]);
    }
}

#[tokio::test]
async fn credentials_go_to_no_token_server_of_strangers() {
    let (registry, _) = registry(Asks::Nothing);
    let stranger = FaultRegistry::start_at([127, 0, 0, 2].into());
    stranger.asks(Asks::Token { password: true });
    let challenge = format!("Bearer realm=\"http://{}/token\"", stranger.host());
    let headers = vec![("WWW-Authenticate".to_owned(), challenge)];
    registry.script(On::any("/v2/"), Times::Always, Fault::Answer { status: 401, headers, body: Vec::new() });
    let tag = reference(&registry, "team/app:v1");
    let dir = TempDir::new("stranger");
    let mut config = quick(&registry);
    config.credentials = credentials(&dir, &registry.host(), &auth());
    let error = client(config.clone()).manifest(&tag, None).await.unwrap_err();
    let expected = "it is no relative of \"127.0.0.1";
    refuses(&error, "realm of a stranger who wants credentials", &["no token from \"127.0.0.2\"", expected]);
    assert!(stranger.requests().is_empty(), "{:?}", stranger.requests());

    // Those that are kept under its own name are for it.
    let (file, own) = (dir.join("both.json"), serde_json::json!({"auth": auth()}));
    let auths = serde_json::json!({"auths": {registry.host(): {"auth": WRONG}, "127.0.0.2": own}});
    std::fs::write(&file, auths.to_string()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    config.credentials = CredentialFiles::only(file);
    let error = client(config).manifest(&tag, None).await.unwrap_err();
    says(&error, "its own", &["refused even a new token"]);
    let given: Vec<_> =
        stranger.requests().iter().map(|seen| seen.header("authorization").to_owned()).collect();
    assert!(given.iter().all(|given| given == &format!("Basic {}", auth())), "{given:?}");
    assert!(!given.is_empty());
}

#[tokio::test]
async fn a_credential_helper_is_asked_and_its_failure_is_named() {
    let (registry, _) = registry(Asks::Password);
    let dir = TempDir::new("helper");
    let path = dir.join("config.json");
    // A name that no PATH has: the error shows that the helper was run for this registry.
    let helpers = serde_json::json!({"credHelpers": {registry.host(): "coracle-none"}});
    std::fs::write(&path, helpers.to_string()).unwrap();
    let mut config = quick(&registry);
    config.credentials = CredentialFiles::only(path);
    let error = client(config).manifest(&reference(&registry, "team/app:v1"), None).await.unwrap_err();
    says(&error, "helper", &["config.json", "docker-credential-coracle-none"]);
}
