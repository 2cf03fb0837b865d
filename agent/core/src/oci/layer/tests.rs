use super::*;

#[track_caller]
fn compression(media_type: &str, expected: Result<Compression, fn(String) -> LayerError>) {
    let expected = expected.map_err(|error| error(media_type.to_owned()));
    assert_eq!(Compression::of(media_type), expected, "{media_type}");
}

#[test]
fn every_layer_type_of_oci_and_docker_has_its_compression() {
    use Compression::{Gzip, None, Zstd};
    compression("application/vnd.oci.image.layer.v1.tar", Ok(None));
    compression("application/vnd.oci.image.layer.v1.tar+gzip", Ok(Gzip));
    compression("application/vnd.oci.image.layer.v1.tar+zstd", Ok(Zstd));
    compression("application/vnd.oci.image.layer.v1.tar+gzip; charset=binary", Ok(Gzip));
    compression("application/vnd.docker.image.rootfs.diff.tar", Ok(None));
    compression("application/vnd.docker.image.rootfs.diff.tar.gzip", Ok(Gzip));
    compression("application/vnd.docker.image.rootfs.diff.tar.zstd", Ok(Zstd));
    compression("application/vnd.docker.image.rootfs.diff.tar+gzip", Ok(Gzip));
}

#[test]
fn what_is_not_a_plain_layer_is_refused_with_the_reason() {
    compression("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Err(LayerError::Foreign));
    compression("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", Err(LayerError::Foreign));
    compression("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", Err(LayerError::Encrypted));
    compression("application/vnd.oci.image.layer.v1.tar+xz", Err(LayerError::Unknown));
    compression("application/vnd.in-toto+json", Err(LayerError::Unknown));
    compression("", Err(LayerError::Unknown));
}

#[test]
fn the_first_bytes_tell_the_compression() {
    for (head, expected) in [
        (&b"\x1f\x8b\x08\x00"[..], Compression::Gzip),
        (b"\x28\xb5\x2f\xfd\x04", Compression::Zstd),
        (b"\x50\x2a\x4d\x18", Compression::Zstd),
        (b"\x5f\x2a\x4d\x18", Compression::Zstd),
        (b"etc/passwd\0", Compression::None),
        (b"", Compression::None),
    ] {
        assert_eq!(Compression::sniff(head), expected, "{head:?}");
    }
}

#[track_caller]
fn member(raw: &[u8], expected: impl Into<Result<Member, PathError>>) {
    assert_eq!(Member::parse(raw), expected.into(), "{}", raw.escape_ascii());
}

fn path(text: &str) -> EntryPath {
    EntryPath(text.as_bytes().to_vec())
}

#[test]
fn a_name_means_a_path_below_the_root() {
    for raw in ["etc/passwd", "/etc/passwd", "./etc/passwd", "././/etc//./passwd", "etc/passwd/"] {
        member(raw.as_bytes(), Ok(Member::Entry(path("etc/passwd"))));
    }
    for root in ["/", ".", "./", "//", "/./"] {
        member(root.as_bytes(), Ok(Member::Entry(path(""))));
    }
    member(b"a\xff\xfe b\n", Ok(Member::Entry(EntryPath(b"a\xff\xfe b\n".to_vec()))));
    member(b"...", Ok(Member::Entry(path("..."))));
    member(b"C:\\x", Ok(Member::Entry(path("C:\\x"))));
}

#[test]
fn a_name_that_leaves_the_root_or_the_kernels_limits_is_refused() {
    for raw in ["..", "../x", "/..", "a/../b", "a/..", "./../x", "a/b/../../../x"] {
        member(raw.as_bytes(), Err(PathError::DotDot));
    }
    member(b"", Err(PathError::Empty));
    member(b"a\0b", Err(PathError::Nul));
    member(&[b'x'; 256], Err(PathError::LongComponent));
    member(&[b'x'; 255], Ok(Member::Entry(EntryPath(vec![b'x'; 255]))));
    member("a/".repeat(257).as_bytes(), Err(PathError::Deep));
    member(format!("{}/", "x".repeat(250)).repeat(17).as_bytes(), Err(PathError::Long));
}

#[test]
fn whiteouts_name_what_they_hide() {
    member(b".wh.passwd", Ok(Member::Whiteout(path("passwd"))));
    member(b"./etc/.wh.passwd", Ok(Member::Whiteout(path("etc/passwd"))));
    member(b".wh....", Ok(Member::Whiteout(path("..."))));
    member(b"etc/.wh..wh..opq", Ok(Member::Opaque(path("etc"))));
    member(b".wh..wh..opq", Ok(Member::Opaque(path(""))));
    member(b".wh..wh.plnk", Ok(Member::Ignored));
    member(b".wh..wh.plnk/12.34", Ok(Member::Ignored));
    member(b".whx", Ok(Member::Entry(path(".whx"))));
}

#[test]
fn a_whiteout_of_nothing_or_of_a_parent_is_refused() {
    for raw in [".wh.", ".wh..", ".wh...", "a/.wh...", ".wh.a/b", "a/.wh..wh..opq/b"] {
        member(raw.as_bytes(), Err(PathError::Whiteout));
    }
}

#[test]
fn a_path_splits_into_directory_and_name() {
    assert_eq!(path("a/b/c").split(), Some((&b"a/b"[..], &b"c"[..])));
    assert_eq!(path("c").split(), Some((&b""[..], &b"c"[..])));
    assert_eq!(path("").split(), None);
    assert_eq!(path("").to_string(), "/");
    assert_eq!(EntryPath(b"a\n\xff".to_vec()).to_string(), "a\\n\\xff");
}
