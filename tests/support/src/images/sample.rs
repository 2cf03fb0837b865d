//! Layers with everything that unpacking has to get right, made the same way each time.

use std::io;

use tar::EntryType::{Link, Symlink};

use super::layer::{add_directory, add_file, add_link, header};

/// The lower layer: files that the upper one will hide, replace and keep.
pub fn lower() -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for directory in ["etc", "gone", "opaque", "opaque/deep", "srv"] {
        add_directory(&mut archive, directory, 0o755)?;
    }
    add_file(&mut archive, "etc/kept", 0o640, b"kept\n")?;
    add_file(&mut archive, "etc/removed", 0o644, b"the upper layer removes this\n")?;
    add_file(&mut archive, "etc/replaced", 0o644, b"lower\n")?;
    add_file(&mut archive, "gone/with-its-directory", 0o644, b"x\n")?;
    add_file(&mut archive, "opaque/hidden", 0o644, b"hidden\n")?;
    add_file(&mut archive, "opaque/deep/hidden", 0o644, b"hidden\n")?;
    add_file(&mut archive, "srv/becomes-directory", 0o644, b"file\n")?;
    archive.into_inner()
}

/// The upper layer: whiteouts, an opaque directory, links, special bits, owners, extended attributes, long names.
pub fn upper() -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    add_file(&mut archive, "etc/.wh.removed", 0, b"")?;
    add_file(&mut archive, ".wh.gone", 0, b"")?;
    add_directory(&mut archive, "opaque", 0o750)?;
    add_file(&mut archive, "opaque/.wh..wh..opq", 0, b"")?;
    add_file(&mut archive, "opaque/new", 0o644, b"new\n")?;
    add_file(&mut archive, "etc/replaced", 0o600, b"upper\n")?;
    add_directory(&mut archive, "srv/becomes-directory", 0o755)?;
    add_file(&mut archive, "srv/becomes-directory/inside", 0o644, b"inside\n")?;

    add_directory(&mut archive, "links", 0o755)?;
    add_file(&mut archive, "links/original", 0o644, b"linked\n")?;
    add_link(&mut archive, Link, "links/hard", "links/original")?;
    add_link(&mut archive, Symlink, "links/relative", "original")?;
    add_link(&mut archive, Symlink, "links/absolute", "/links/original")?;
    add_link(&mut archive, Symlink, "links/dangling", "/nowhere/at/all")?;

    add_file(&mut archive, "setuid", 0o4755, b"#!/bin/sh\n")?;
    add_file(&mut archive, "setgid", 0o2755, b"#!/bin/sh\n")?;
    add_directory(&mut archive, "sticky", 0o1777)?;
    let mut owned = header(tar::EntryType::Regular, 0o640);
    owned.set_uid(1000);
    owned.set_gid(70_000);
    owned.set_size(6);
    archive.append_data(&mut owned, "owned", &b"owned\n"[..])?;

    // Long enough to need a PAX or GNU record, both of the name and of the link's target.
    let long = format!("long/{}/{}", "d".repeat(120), "n".repeat(200));
    add_file(&mut archive, &long, 0o644, b"long\n")?;
    add_link(&mut archive, Symlink, "long/link", &format!("/{long}"))?;

    let attributes = [("SCHILY.xattr.user.origin", &b"bench"[..]), ("SCHILY.xattr.user.binary", b"a\0b\xff")];
    archive.append_pax_extensions(attributes)?;
    add_file(&mut archive, "attributes", 0o644, b"has extended attributes\n")?;
    // CAP_NET_BIND_SERVICE, permitted and effective, in revision 2 of the kernel's form.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    archive.append_pax_extensions([("SCHILY.xattr.security.capability", &capability[..])])?;
    add_file(&mut archive, "capable", 0o755, b"#!/bin/sh\n")?;
    archive.append_pax_extensions([("mtime", &b"1700000000.123456789"[..])])?;
    add_file(&mut archive, "to-the-nanosecond", 0o644, b"")?;
    archive.append_data(&mut header(tar::EntryType::Fifo, 0o600), "fifo", io::empty())?;
    archive.into_inner()
}
