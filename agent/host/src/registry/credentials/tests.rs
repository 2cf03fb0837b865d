use std::os::unix::fs::PermissionsExt as _;

use super::*;

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("coracle-credentials-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, text: &str) -> CredentialFiles {
        let path = self.0.join("auth.json");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        CredentialFiles::only(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn look_up(files: &CredentialFiles, registry: &str, repository: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(files.find(registry, &format!("{registry}/{repository}"))) {
        Ok(None) => "none".to_owned(),
        Ok(Some(Credential::Password { user, secret })) => format!("{user}:{secret}"),
        Ok(Some(Credential::Identity(token))) => format!("identity {token}"),
        Err(cause) => cause.to_string(),
    }
}

fn encoded(pair: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(pair)
}

#[test]
fn the_most_specific_key_wins() {
    let directory = Directory::new("keys");
    let files = directory.file(&format!(
        r#"{{"auths":{{
            "r.example":{{"auth":"{}"}}, "r.example/team":{{"auth":"{}"}}, "r.example/team/app":{{"auth":"{}"}},
            "https://old.example/v1/":{{"username":"u","password":"p"}},
            "https://index.docker.io/v1/":{{"auth":"{}"}}, "empty.example":{{}},
            "token.example":{{"auth":"eDp5","identitytoken":"it"}}, "r.example:5000":{{"auth":"{}"}} }}}}"#,
        encoded("host:1"),
        encoded("team:2"),
        encoded("app:3:4"),
        encoded("hub:5"),
        encoded("port:6"),
    ));
    for (registry, repository, expected) in [
        ("r.example", "team/app", "app:3:4"),
        ("r.example", "team/app/deep", "app:3:4"),
        ("r.example", "team/other", "team:2"),
        ("r.example", "other", "host:1"),
        ("r.example:5000", "team/app", "port:6"),
        ("old.example", "x", "u:p"),
        ("docker.io", "library/nginx", "hub:5"),
        ("empty.example", "x", "none"),
        ("token.example", "x", "identity it"),
        ("unknown.example", "x", "none"),
    ] {
        assert_eq!(look_up(&files, registry, repository), expected, "{registry}/{repository}");
    }
}

#[test]
fn a_broken_file_is_named_and_its_secrets_are_not() {
    let directory = Directory::new("broken");
    for (text, expected) in [
        (r#"{"auths": {"r.example": {"auth": "s3cret" "#, "is no auth file"),
        (r#"{"auths":{"r.example":{"auth":"s3cret!!"}}}"#, "not base64"),
        (r#"{"auths":{"r.example":{"auth":"c2VjcmV0"}}}"#, "no colon"),
        (r#"{"credHelpers":{"r.example":"../evil"}}"#, "no name of a credential helper"),
        (r#"{"credHelpers":{"r.example":"not-installed-anywhere"}}"#, "docker-credential-not-installed"),
    ] {
        let error = look_up(&directory.file(text), "r.example", "a");
        assert!(error.contains(expected) && error.contains("auth.json"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[test]
fn a_missing_file_holds_nothing() {
    assert_eq!(
        look_up(&CredentialFiles::only(PathBuf::from("/nonexistent/auth.json")), "r.example", "a"),
        "none"
    );
}
