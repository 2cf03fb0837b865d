use std::os::unix::fs::MetadataExt as _;

use super::*;

/// A directory of one test, gone with it.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        loop {
            let path = std::env::temp_dir().join(format!("coracle-unit-{}", unique_name()));
            if fs::create_dir(&path).is_ok() {
                return Self(path);
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
    let dir = TempDir::new();
    let path = dir.path().join("state");
    write_durable(&path, b"one", 0o600).unwrap();
    write_durable(&path, b"two", 0o600).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_failed_replacement_leaves_the_old_state_and_no_leftover() {
    let dir = TempDir::new();
    let path = dir.path().join("state");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("x"), b"").unwrap();
    assert!(write_durable(&path, b"two", 0o600).is_err());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn removing_what_is_not_there_is_fine() {
    let dir = TempDir::new();
    remove_durable(&dir.path().join("absent")).unwrap();
}

#[test]
fn a_second_holder_is_told_who_has_the_lock() {
    let dir = TempDir::new();
    let path = dir.path().join("lock");
    let first = Lock::try_take(&path, Sharing::Exclusive).unwrap();
    match Lock::try_take(&path, Sharing::Shared) {
        Err(LockError::Held { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    drop(first);
    let shared =
        (Lock::try_take(&path, Sharing::Shared).unwrap(), Lock::try_take(&path, Sharing::Shared).unwrap());
    assert!(matches!(Lock::try_take(&path, Sharing::Exclusive), Err(LockError::Held { .. })));
    drop(shared);
    Lock::take(&path, Sharing::Exclusive).unwrap();
}

#[test]
fn a_directory_is_made_with_what_is_missing_above_it_and_an_existing_one_is_left_alone() {
    let dir = TempDir::new();
    let deep = dir.path().join("a/b/c");
    make_dir(&deep, 0o700).unwrap();
    make_dir(&deep, 0o755).unwrap();
    assert_eq!(fs::metadata(&deep).unwrap().mode() & 0o777, 0o700);
}
