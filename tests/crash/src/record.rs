//! From system calls to operations on inodes, with the tree followed along to know what each path meant.

use std::collections::HashMap;
use std::sync::Arc;

use crate::disk::{Births, Disk, Kind, Node};
use crate::line::{Arg, Call, Lines, hex};
use crate::op::{Barrier, Change, Deed, Id, Name, Op};

/// The calls that are traced: all that change files, and the ways around them, which are refused.
pub const CALLS: &str = "open,openat,openat2,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,\
    rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,mkdir,mkdirat,mknod,mknodat,\
    chmod,fchmod,fchmodat,?fchmodat2,chown,lchown,fchown,fchownat,utime,utimes,futimesat,utimensat,\
    setxattr,lsetxattr,fsetxattr,removexattr,lremovexattr,fremovexattr,\
    fsync,fdatasync,syncfs,sync,sync_file_range,copy_file_range,sendfile,splice,mmap";

/// Folders whose content is the workloads' own: the agent promises nothing of it, and containers write it unseen.
const NOT_OURS: [&[u8]; 2] = [b"scratch", b"volumes"];

/// Bits that a new file or directory does not get.
const UMASK: u32 = 0o022;

/// What was done to a directory, as far as it was read.
pub struct Recorder {
    root: Vec<u8>,
    /// The tree as it is now.
    pub now: Disk,
    /// How each inode was made.
    pub births: Births,
    /// What was done.
    pub ops: Vec<Op>,
    /// Where the file of each open descriptor is, by thread; and by whichever thread opened it last.
    files: HashMap<(Option<u32>, i64), Vec<u8>>,
    /// Where the next plain write to a file goes.
    positions: HashMap<Id, u64>,
    /// How many operations had ended before each line of the trace that is read.
    ended: Vec<usize>,
}

type Outcome<T = ()> = Result<T, String>;
/// A directory and a name in it.
type Place = (Id, Name);

impl Recorder {
    /// For operations below `root`, an absolute path without links in it; empty at the beginning.
    pub fn new(root: &[u8]) -> Self {
        Self {
            root: root.to_vec(),
            now: Disk::default(),
            births: Births::new(),
            ops: Vec::new(),
            files: HashMap::new(),
            positions: HashMap::new(),
            ended: Vec::new(),
        }
    }

    /// Reads what strace wrote of one command.
    ///
    /// # Errors
    /// The line or call that is not understood.
    pub fn read(&mut self, trace: &str) -> Outcome {
        let mut lines = Lines::default();
        self.ended.clear();
        self.files.clear();
        for line in trace.lines() {
            self.ended.push(self.ops.len());
            if let Some(call) = lines.take(line)? {
                self.call(&call).map_err(|problem| {
                    format!("{problem}, in {}", line.chars().take(300).collect::<String>())
                })?;
            }
        }
        Ok(())
    }

    fn call(&mut self, call: &Call) -> Outcome {
        for arg in &call.args {
            if let Arg::File(number, Some(path)) = arg {
                self.learn(call.thread, *number, path);
            }
        }
        let Some(result) = call.result.filter(|result| *result >= 0) else { return Ok(()) };
        let at =
            |index: usize| call.args.get(index).ok_or_else(|| format!("{} has too few arguments", call.name));
        let word =
            |index: usize| at(index).map(|arg| if let Arg::Word(word) = arg { word.as_str() } else { "" });
        let number = |index: usize| {
            word(index).and_then(|text| number(text).ok_or_else(|| format!("{text} is no number")))
        };
        match call.name.as_str() {
            "open" | "creat" | "openat" | "openat2" => {
                if let Some(path) = &call.opened {
                    self.learn(call.thread, result, path);
                    self.opened(call, path)?;
                }
            }
            "write" => self.write(call, result, None)?,
            "writev" => self.write(call, result, None)?,
            "pwrite64" | "pwritev" | "pwritev2" => {
                let offset = number(3)?;
                self.write(call, result, Some(offset))?;
            }
            "ftruncate" | "truncate" => {
                let length = number(1)?;
                self.inode(call, at(0)?, None, |node| Change::Size { node, length })?;
            }
            "fallocate" => self.allocate(call, number(2)?.saturating_add(number(3)?), word(1)?)?,
            "rename" => self.rename(call, (None, at(0)?), (None, at(1)?), "0")?,
            "renameat" => self.rename(call, (Some(at(0)?), at(1)?), (Some(at(2)?), at(3)?), "0")?,
            "renameat2" => self.rename(call, (Some(at(0)?), at(1)?), (Some(at(2)?), at(3)?), word(4)?)?,
            "link" => self.link(call, (None, at(0)?), (None, at(1)?))?,
            "linkat" => self.link(call, (Some(at(0)?), at(1)?), (Some(at(2)?), at(3)?))?,
            "symlink" => self.symlink(call, at(0)?, None, at(1)?)?,
            "symlinkat" => self.symlink(call, at(0)?, Some(at(1)?), at(2)?)?,
            "unlink" | "rmdir" => self.unlink(call, None, at(0)?)?,
            "unlinkat" => self.unlink(call, Some(at(0)?), at(1)?)?,
            "mkdir" => self.make(call, None, at(0)?, directory(number(1)?))?,
            "mkdirat" => self.make(call, Some(at(0)?), at(1)?, directory(number(2)?))?,
            "mknod" => self.make(call, None, at(0)?, special(word(1)?, call.args.get(2))?)?,
            "mknodat" => self.make(call, Some(at(0)?), at(1)?, special(word(2)?, call.args.get(3))?)?,
            "chmod" | "fchmod" => self.chmod(call, at(0)?, None, number(1)?)?,
            "fchmodat" | "fchmodat2" => self.chmod(call, at(0)?, Some(at(1)?), number(2)?)?,
            "chown" | "lchown" | "fchown" => self.chown(call, at(0)?, None, word(1)?, word(2)?)?,
            "fchownat" => self.chown(call, at(0)?, Some(at(1)?), word(2)?, word(3)?)?,
            "utimensat" => {
                if let Some(time) = modified(word(2)?) {
                    self.inode(call, at(0)?, Some(at(1)?), |node| Change::Time { node, time })?;
                }
            }
            "setxattr" | "lsetxattr" | "fsetxattr" => {
                let (Arg::Text(name), value) = (at(1)?, at(2)?) else {
                    return Err("an attribute without name".into());
                };
                let value =
                    Some(if let Arg::Text(value) = value { value.as_slice().into() } else { [][..].into() });
                self.inode(call, at(0)?, None, |node| Change::Attribute {
                    node,
                    name: name.as_slice().into(),
                    value,
                })?;
            }
            "removexattr" | "lremovexattr" | "fremovexattr" => {
                let Arg::Text(name) = at(1)? else { return Err("an attribute without name".into()) };
                let name = name.as_slice().into();
                self.inode(call, at(0)?, None, |node| Change::Attribute { node, name, value: None })?;
            }
            "fsync" | "fdatasync" => self.sync_one(call, at(0)?)?,
            "syncfs" if self.inside(call, at(0)?, None)?.is_none() => {}
            "sync" | "syncfs" => self.barrier(call, Barrier::FileSystem, None),
            "sync_file_range" => {}
            "mmap" if !(word(2)?.contains("PROT_WRITE") && word(3)?.contains("MAP_SHARED")) => {}
            _ => {
                if call.args.iter().any(|arg| matches!(self.inside(call, arg, None), Ok(Some(_)))) {
                    return Err(format!("{} changes a file in a way that is not followed", call.name));
                }
            }
        }
        Ok(())
    }

    fn learn(&mut self, thread: u32, number: i64, path: &[u8]) {
        self.files.insert((Some(thread), number), path.to_vec());
        self.files.insert((None, number), path.to_vec());
    }

    /// The names below the root that lead to what a call is about; none for what is elsewhere or gone.
    fn inside(&self, call: &Call, first: &Arg, name: Option<&Arg>) -> Outcome<Option<Vec<Vec<u8>>>> {
        let mut path = match first {
            Arg::File(_, Some(path)) => path.clone(),
            Arg::File(_, None) => return Ok(None),
            Arg::Text(path) => path.clone(),
            Arg::Word(_) => return Ok(None),
        };
        if let Some(Arg::Text(name)) = name {
            if name.starts_with(b"/") {
                path.clone_from(name);
            } else if !name.is_empty() {
                path.push(b'/');
                path.extend_from_slice(name);
            }
        }
        let path = self.through_proc(call.thread, path)?;
        let Some(below) =
            path.strip_prefix(self.root.as_slice()).filter(|below| below.is_empty() || below[0] == b'/')
        else {
            return Ok(None);
        };
        let names: Vec<_> = below
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty() && *name != b".")
            .map(<[u8]>::to_vec)
            .collect();
        if names.iter().any(|name| name == b"..") {
            return Err("a path with .. in it".into());
        }
        let ours = names.first().is_none_or(|name| !NOT_OURS.contains(&name.as_slice()));
        Ok(ours.then_some(names))
    }

    /// A path by way of an open descriptor, resolved.
    fn through_proc(&self, thread: u32, path: Vec<u8>) -> Outcome<Vec<u8>> {
        let Some(rest) = path.strip_prefix(b"/proc/self/fd/") else { return Ok(path) };
        let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        let (number, rest) = rest.split_at(end);
        let number =
            std::str::from_utf8(number).ok().and_then(|text| text.parse().ok()).ok_or("no descriptor")?;
        let known = self.files.get(&(Some(thread), number)).or_else(|| self.files.get(&(None, number)));
        let mut resolved = known.cloned().ok_or_else(|| format!("descriptor {number} was opened unseen"))?;
        resolved.extend_from_slice(rest);
        Ok(resolved)
    }

    fn place(&self, call: &Call, dir: Option<&Arg>, name: &Arg) -> Outcome<Option<Place>> {
        let names = match dir {
            Some(dir) => self.inside(call, dir, Some(name))?,
            None => self.inside(call, name, None)?,
        };
        let Some(mut names) = names else { return Ok(None) };
        // The root itself: made before anything is promised.
        let Some(name) = names.pop() else { return Ok(None) };
        let dir = self.now.find(names.iter().map(Vec::as_slice)).ok_or("a directory that is not known")?;
        Ok(Some((dir, name.into())))
    }

    fn known(&self, call: &Call, first: &Arg, name: Option<&Arg>) -> Outcome<Option<Id>> {
        let Some(names) = self.inside(call, first, name)? else { return Ok(None) };
        self.now
            .find(names.iter().map(Vec::as_slice))
            .map(Some)
            .ok_or_else(|| "a file that is not known".into())
    }

    fn push(&mut self, call: &Call, change: Change) {
        self.now.apply(&change, &self.births);
        self.ops.push(Op { thread: call.thread, deed: Deed::Change(change) });
    }

    fn inode(
        &mut self,
        call: &Call,
        first: &Arg,
        name: Option<&Arg>,
        change: impl FnOnce(Id) -> Change,
    ) -> Outcome {
        if let Some(node) = self.known(call, first, name)? {
            self.push(call, change(node));
        }
        Ok(())
    }

    fn chmod(&mut self, call: &Call, first: &Arg, name: Option<&Arg>, mode: u64) -> Outcome {
        let mode = u32::try_from(mode).map_err(|error| error.to_string())?;
        self.inode(call, first, name, |node| Change::Mode { node, mode })
    }

    fn chown(&mut self, call: &Call, first: &Arg, name: Option<&Arg>, user: &str, group: &str) -> Outcome {
        // -1 leaves it as it is.
        let (user, group) = (user.parse().ok(), group.parse().ok());
        self.inode(call, first, name, |node| Change::Owner { node, user, group })
    }

    fn born(&mut self, call: &Call, (dir, name): Place, node: Node) -> Id {
        let id = Id::try_from(self.births.len()).unwrap_or(Id::MAX - 1) + 1;
        self.births.insert(id, Arc::new(node));
        self.push(call, Change::Link { dir, name, node: id });
        id
    }

    fn make(&mut self, call: &Call, dir: Option<&Arg>, name: &Arg, node: Node) -> Outcome {
        if let Some(place) = self.place(call, dir, name)? {
            self.born(call, place, node);
        }
        Ok(())
    }

    fn opened(&mut self, call: &Call, path: &[u8]) -> Outcome {
        let path = Arg::Text(path.to_vec());
        let Some(names) = self.inside(call, &path, None)? else { return Ok(()) };
        let flags = call.args.iter().find_map(|arg| match arg {
            Arg::Word(word) if word.contains("O_") => Some(word.as_str()),
            _ => None,
        });
        let flags = flags.unwrap_or("O_CREAT|O_TRUNC");
        if flags.contains("O_TMPFILE") {
            return Err("a file without a name".into());
        }
        match self.now.find(names.iter().map(Vec::as_slice)) {
            Some(node) => {
                self.positions.insert(node, 0);
                if flags.contains("O_TRUNC") {
                    self.push(call, Change::Size { node, length: 0 });
                }
            }
            None if flags.contains("O_CREAT") => {
                let mode = call.args.iter().rev().find_map(|arg| match arg {
                    Arg::Word(word) if word.starts_with('0') => number(word),
                    _ => None,
                });
                let mode = u32::try_from(mode.unwrap_or(0o600)).unwrap_or(0o600) & !UMASK;
                if let Some(place) = self.place(call, None, &path)? {
                    self.born(call, place, Node::new(Kind::File(Vec::new()), mode));
                }
            }
            // Something that lies there from before the recording cannot be.
            None => return Err("a file that is not known".into()),
        }
        Ok(())
    }

    fn write(&mut self, call: &Call, written: i64, offset: Option<u64>) -> Outcome {
        let (Some(file), Some(data)) = (call.args.first(), call.args.get(1)) else {
            return Err("too few arguments".into());
        };
        let Some(node) = self.known(call, file, None)? else { return Ok(()) };
        let mut bytes = match data {
            Arg::Text(bytes) => bytes.clone(),
            Arg::Word(parts) => gathered(parts).ok_or("parts that cannot be read")?,
            Arg::File(..) => return Err("bytes that are a file".into()),
        };
        bytes.truncate(usize::try_from(written).unwrap_or(0));
        let at = offset.unwrap_or_else(|| self.positions.get(&node).copied().unwrap_or(0));
        if offset.is_none() {
            self.positions.insert(node, at + bytes.len() as u64);
        }
        self.push(call, Change::Write { node, offset: at, bytes: bytes.into() });
        Ok(())
    }

    fn allocate(&mut self, call: &Call, length: u64, mode: &str) -> Outcome {
        let Some(node) = call.args.first().map(|file| self.known(call, file, None)).transpose()?.flatten()
        else {
            return Ok(());
        };
        if mode != "0" {
            return Err(format!("fallocate with {mode}"));
        }
        let longer = matches!(self.now.node(node).map(|node| &node.kind), Some(Kind::File(bytes)) if (bytes.len() as u64) < length);
        if longer {
            self.push(call, Change::Size { node, length });
        }
        Ok(())
    }

    fn rename(
        &mut self,
        call: &Call,
        from: (Option<&Arg>, &Arg),
        to: (Option<&Arg>, &Arg),
        flags: &str,
    ) -> Outcome {
        let (from, to) = match (self.place(call, from.0, from.1)?, self.place(call, to.0, to.1)?) {
            (Some(from), Some(to)) => (from, to),
            (None, None) => return Ok(()),
            _ => return Err("a rename over the border of the directory".into()),
        };
        let node = self.now.entry(from.0, &from.1).ok_or("a name that is not known")?;
        let back = match flags {
            "0" | "RENAME_NOREPLACE" => None,
            "RENAME_EXCHANGE" => Some(self.now.entry(to.0, &to.1).ok_or("a name that is not known")?),
            other => return Err(format!("a rename with {other}")),
        };
        self.push(call, Change::Rename { from, to, node, back });
        Ok(())
    }

    fn link(&mut self, call: &Call, old: (Option<&Arg>, &Arg), new: (Option<&Arg>, &Arg)) -> Outcome {
        let Some((dir, name)) = self.place(call, new.0, new.1)? else { return Ok(()) };
        let old = self.place(call, old.0, old.1)?.ok_or("a link to something outside")?;
        let node = self.now.entry(old.0, &old.1).ok_or("a name that is not known")?;
        self.push(call, Change::Link { dir, name, node });
        Ok(())
    }

    fn symlink(&mut self, call: &Call, target: &Arg, dir: Option<&Arg>, name: &Arg) -> Outcome {
        let Arg::Text(target) = target else { return Err("a link to nothing".into()) };
        self.make(call, dir, name, Node::new(Kind::Symlink(target.clone()), 0o777))
    }

    fn unlink(&mut self, call: &Call, dir: Option<&Arg>, name: &Arg) -> Outcome {
        if let Some((dir, name)) = self.place(call, dir, name)? {
            self.push(call, Change::Unlink { dir, name });
        }
        Ok(())
    }

    fn sync_one(&mut self, call: &Call, file: &Arg) -> Outcome {
        if let Some(node) = self.known(call, file, None)? {
            let directory = matches!(self.now.node(node).map(|node| &node.kind), Some(Kind::Directory(_)));
            self.barrier(call, if directory { Barrier::Directory } else { Barrier::File }, Some(node));
        }
        Ok(())
    }

    fn barrier(&mut self, call: &Call, barrier: Barrier, node: Option<Id>) {
        let covers = self.ended.get(call.began).copied().unwrap_or(0);
        self.ops.push(Op { thread: call.thread, deed: Deed::Sync { barrier, node, covers } });
    }
}

fn directory(mode: u64) -> Node {
    Node::new(Kind::Directory(Default::default()), u32::try_from(mode).unwrap_or(0o700) & !UMASK)
}

/// `S_IFCHR|0600` and `makedev(0x1, 0x3)`; without a device in pipes and files.
fn special(mode: &str, device: Option<&Arg>) -> Outcome<Node> {
    let (kind, bits) = mode.split_once('|').ok_or("a node without kind")?;
    let bits = u32::try_from(number(bits).ok_or("a node without mode")?)
        .map_err(|error| error.to_string())?
        & !UMASK;
    let kind = match kind {
        "S_IFCHR" => nix::libc::S_IFCHR,
        "S_IFBLK" => nix::libc::S_IFBLK,
        "S_IFIFO" => nix::libc::S_IFIFO,
        other => return Err(format!("a node of kind {other}")),
    };
    let device = match device {
        Some(Arg::Word(text)) => {
            let inner =
                text.strip_prefix("makedev(").and_then(|text| text.strip_suffix(')')).ok_or("no device")?;
            let (major, minor) = inner.split_once(',').ok_or("no device")?;
            let part = |text: &str| number(text.trim()).ok_or("no device");
            nix::sys::stat::makedev(part(major)?, part(minor)?)
        }
        _ => 0,
    };
    Ok(Node::new(Kind::Special(kind, device), bits))
}

/// A number as strace writes it: decimal, octal with a leading 0, hexadecimal with 0x.
fn number(text: &str) -> Option<u64> {
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok();
    }
    match text.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => u64::from_str_radix(octal, 8).ok(),
        _ => text.parse().ok(),
    }
}

/// The second of two times: that of the last change of content.
fn modified(times: &str) -> Option<(i64, i64)> {
    let second = times.split('{').nth(2)?.split('}').next()?;
    let field = |name: &str| {
        let (_, rest) = second.split_once(name)?;
        rest.split(',').next()?.trim().parse().ok()
    };
    Some((field("tv_sec=")?, field("tv_nsec=")?))
}

/// The bytes of `[{iov_base="\x61", iov_len=1}, …]`.
fn gathered(parts: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for part in parts.split("iov_base=\"").skip(1) {
        bytes.extend(hex(part.split('"').next()?)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::to_hex;

    fn recorded(lines: &[String]) -> Result<Recorder, String> {
        let mut recorder = Recorder::new(b"/s");
        recorder.read(&lines.join("\n"))?;
        Ok(recorder)
    }

    fn h(text: &str) -> String {
        to_hex(text.as_bytes())
    }

    #[test]
    fn a_durable_replacement_is_followed_to_the_byte() {
        let (root, new) = (h("/s"), h("/s/.new"));
        let recorder = recorded(&[
            format!("1 mkdir(\"{root}\", 0700) = 0"),
            format!(
                "1 openat(AT_FDCWD<{}>, \"{new}\", O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0600) = 3<{new}>",
                h("/")
            ),
            format!("1 write(3<{new}>, \"{}\", 2) = 2", h("ab")),
            format!("1 write(3<{new}>, \"{}\", 2) = 1", h("cd")),
            format!("1 fsync(3<{new}>) = 0"),
            format!("1 rename(\"{new}\", \"{}\") = 0", h("/s/journal")),
            format!("1 openat(AT_FDCWD<{}>, \"{root}\", O_RDONLY|O_CLOEXEC) = 3<{root}>", h("/")),
            format!("1 fsync(3<{root}>) = 0"),
            format!("1 unlink(\"{}\") = 0", h("/elsewhere")),
        ])
        .unwrap();
        assert_eq!(recorder.now.bytes([&b"journal"[..]]), Some(&b"abc"[..]));
        let barriers = recorder.ops.iter().filter_map(|op| match op.deed {
            Deed::Sync { barrier, covers, .. } => Some((barrier, covers)),
            Deed::Change(_) => None,
        });
        assert_eq!(barriers.collect::<Vec<_>>(), [(Barrier::File, 3), (Barrier::Directory, 5)]);
    }

    #[test]
    fn a_barrier_covers_what_had_ended_when_it_began() {
        let file = h("/s/a");
        let recorder = recorded(&[
            format!("1 openat(AT_FDCWD<{}>, \"{file}\", O_WRONLY|O_CREAT, 0600) = 3<{file}>", h("/")),
            format!("1 fsync(3<{file}> <unfinished ...>"),
            format!("2 pwrite64(3<{file}>, \"{}\", 1, 0) = 1", h("x")),
            "1 <... fsync resumed>) = 0".to_owned(),
        ])
        .unwrap();
        assert!(matches!(recorder.ops[2].deed, Deed::Sync { covers: 1, .. }));
    }

    #[test]
    fn links_nodes_attributes_and_ways_through_proc_are_followed() {
        let (dir, file) = (h("/s/d"), h("/s/d/f"));
        let recorder = recorded(&[
            format!("1 mkdir(\"{dir}\", 0755) = 0"),
            format!("1 openat(AT_FDCWD<{}>, \"{dir}\", O_RDONLY|O_DIRECTORY) = 3<{dir}>", h("/")),
            format!("1 openat(3<{dir}>, \"{}\", O_WRONLY|O_CREAT, 0600) = 4<{file}>", h("f")),
            format!("1 linkat(3<{dir}>, \"{}\", 3<{dir}>, \"{}\", 0) = 0", h("f"), h("g")),
            format!("1 mknodat(3<{dir}>, \"{}\", S_IFCHR|000, makedev(0, 0)) = 0", h("w")),
            format!(
                "1 lsetxattr(\"{}\", \"{}\", \"{}\", 1, 0) = 0",
                h("/proc/self/fd/3/g"),
                h("user.a"),
                h("1")
            ),
            format!("1 mkdir(\"{}\", 0755) = 0", h("/s/scratch/x")),
        ])
        .unwrap();
        let find = |name: &str| recorder.now.find([&b"d"[..], name.as_bytes()]);
        assert_eq!(find("f"), find("g"));
        let attributes = &recorder.now.node(find("g").unwrap()).unwrap().attributes;
        assert_eq!(attributes.len(), 1);
        assert_eq!(recorder.now.node(find("w").unwrap()).unwrap().kind, Kind::Special(nix::libc::S_IFCHR, 0));
    }

    #[test]
    fn what_cannot_be_followed_ends_the_recording() {
        let file = h("/s/a");
        let made = format!("1 openat(AT_FDCWD<{}>, \"{file}\", O_RDWR|O_CREAT, 0600) = 3<{file}>", h("/"));
        for wild in [
            format!("1 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 3<{file}>, 0) = 0x7f00"),
            format!("1 copy_file_range(3<{file}>, NULL, 3<{file}>, NULL, 9, 0) = 9"),
            format!("1 write(5<{}>, \"{}\", 1) = 1", h("/s/unknown"), h("x")),
        ] {
            assert!(recorded(&[made.clone(), wild.clone()]).is_err(), "{wild}");
        }
    }
}
