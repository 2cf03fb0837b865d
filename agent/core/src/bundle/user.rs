//! Who a container's process is: `user[:group]` and the texts of the root's `/etc/passwd` and `/etc/group`.

use std::collections::BTreeSet;

/// The largest number a user or group may have (docker's bound); above it numbers turn negative elsewhere.
const ID_MAX: u32 = i32::MAX.cast_unsigned();
/// Groups a process can be in (the kernel's `NGROUPS_MAX`).
const GROUPS_MAX: usize = 65_536;
/// Characters of a name that an error repeats.
const SHOWN_CHARS_MAX: usize = 80;

/// The user of a container's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessUser {
    /// Its number.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
    /// All its groups, the primary one first: a process that changes its primary group keeps what it was in.
    pub groups: Vec<u32>,
    /// Its home directory.
    pub home: String,
}

/// Why a user was not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// No line of `/etc/passwd` has this name.
    #[error("user {0:?} is not in the image's /etc/passwd")]
    NoUser(String),
    /// No line of `/etc/group` has this name.
    #[error("group {0:?} is not in the image's /etc/group")]
    NoGroup(String),
    /// A number that no process can have.
    #[error("user or group {0} is not a number from 0 to {ID_MAX}")]
    Number(String),
    /// Not `user[:group]`.
    #[error("{0:?} is not user[:group]")]
    Form(String),
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn accounts(passwd: &str) -> impl Iterator<Item = Account<'_>> {
    passwd.lines().filter_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next().filter(|name| !name.is_empty())?;
        let uid = parts.nth(1)?.parse().ok()?;
        let gid = parts.next()?.parse().ok()?;
        let home = parts.nth(1).unwrap_or_default();
        Some(Account { name, uid, gid, home })
    })
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn groups(text: &str) -> impl Iterator<Item = Group<'_>> {
    text.lines().filter_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next().filter(|name| !name.is_empty())?;
        let gid = parts.nth(1)?.parse().ok()?;
        Some(Group { name, gid, members: parts.next().unwrap_or_default() })
    })
}

/// What an error repeats: an image config bounds no word of it.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

/// A number, if the text is one.
fn number(text: &str) -> Option<Result<u32, UserError>> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let parsed = text.parse().ok().filter(|id| *id <= ID_MAX);
    Some(parsed.ok_or_else(|| UserError::Number(shown(text))))
}

/// Reads `spec` as docker does: empty is root; a number needs no line in `passwd`, and has group 0 without one; a
/// name needs its line. Without a group in `spec` the process is in all groups that list its name.
///
/// # Errors
/// [`UserError`] names what is missing.
pub fn resolve(spec: &str, passwd: &str, group: &str) -> Result<ProcessUser, UserError> {
    let (user_word, group_word) = match spec.split_once(':') {
        None => (spec, None),
        Some((user, group)) if !group.is_empty() && !group.contains(':') => (user, Some(group)),
        Some(_) => return Err(UserError::Form(shown(spec))),
    };
    let user_word = if user_word.is_empty() { "0" } else { user_word };
    let asked = number(user_word).transpose()?;
    let account = accounts(passwd).find(|account| account.name == user_word || Some(account.uid) == asked);
    let (uid, primary, home) = match (&account, asked) {
        (Some(account), _) => (account.uid, account.gid, account.home),
        (None, Some(uid)) => (uid, 0, ""),
        (None, None) => return Err(UserError::NoUser(shown(user_word))),
    };
    let mut others = BTreeSet::new();
    let gid = match group_word {
        Some(word) => {
            let asked = number(word).transpose()?;
            let found = groups(group).find(|group| group.name == word || Some(group.gid) == asked);
            found.map(|group| group.gid).or(asked).ok_or_else(|| UserError::NoGroup(shown(word)))?
        }
        None => {
            if let Some(account) = &account {
                let lists = |group: &Group<'_>| group.members.split(',').any(|member| member == account.name);
                others.extend(groups(group).filter(lists).map(|group| group.gid));
            }
            primary
        }
    };
    if let Some(id) = [uid, gid].into_iter().chain(others.iter().copied()).find(|id| *id > ID_MAX) {
        return Err(UserError::Number(id.to_string()));
    }
    others.remove(&gid);
    let groups = std::iter::once(gid).chain(others).take(GROUPS_MAX).collect();
    let home = if home.starts_with('/') { home } else { "/" };
    Ok(ProcessUser { uid, gid, groups, home: home.to_owned() })
}
