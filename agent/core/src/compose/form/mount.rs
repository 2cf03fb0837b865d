//! Paths, volumes and tmpfs.

use super::{FormError, parse_bytes};
use crate::compose::Mount;
use crate::ident::VolumeName;
use crate::limits::PATH_BYTES_MAX;

/// An absolute path with doubled slashes and `.` taken out; never `..`, which would mean another place after a link.
///
/// # Errors
/// A relative path, `..`, a zero byte or more than the kernel takes.
pub fn parse_path(text: &str) -> Result<String, FormError> {
    if !text.starts_with('/') {
        return Err(FormError::new(text, "want an absolute path"));
    }
    if text.len() > PATH_BYTES_MAX || text.contains('\0') {
        return Err(FormError::new(text, "too long, or holds a zero byte"));
    }
    let mut path = String::with_capacity(text.len());
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(FormError::new(text, "\"..\" is not allowed in a path")),
            part => {
                path.push('/');
                path.push_str(part);
            }
        }
    }
    if path.is_empty() {
        path.push('/');
    }
    Ok(path)
}

/// A place in the container for a mount.
pub(in crate::compose) fn parse_target(text: &str) -> Result<String, FormError> {
    let path = parse_path(text)?;
    if path == "/" {
        return Err(FormError::new(text, "the root itself cannot be mounted over"));
    }
    if path == "/proc" || path.starts_with("/proc/") {
        return Err(FormError::new(text, "/proc belongs to the runtime"));
    }
    Ok(path)
}

/// `SOURCE:TARGET[:ro]`; a source that starts with `/` is a path on the board (made where missing), else a volume.
///
/// # Errors
/// Relative sources, anonymous volumes, options other than `ro`, `rw` and `rprivate`.
pub fn parse_volume(text: &str) -> Result<Mount, FormError> {
    let mut parts = text.splitn(3, ':');
    let source = parts.next().unwrap_or_default();
    let Some(target) = parts.next() else {
        return Err(FormError::new(text, "want SOURCE:TARGET; anonymous volumes are not supported"));
    };
    let target = parse_target(target)?;
    let mut read_only = false;
    for option in parts.next().map(|options| options.split(',')).into_iter().flatten() {
        match option {
            "ro" => read_only = true,
            "rw" => read_only = false,
            "rprivate" => {}
            other => return Err(FormError::new(other, "want ro, rw or rprivate as a volume's option")),
        }
    }
    if source.starts_with('/') {
        return Ok(Mount::Bind { source: parse_path(source)?, target, read_only, create: true });
    }
    if source.starts_with(['.', '~']) {
        return Err(FormError::new(source, "a path on the board must be absolute"));
    }
    Ok(Mount::Volume { name: volume_name(source)?, target, read_only })
}

/// The name of a volume.
pub(in crate::compose) fn volume_name(text: &str) -> Result<VolumeName, FormError> {
    VolumeName::parse(text).map_err(|_| {
        FormError::new(text, "want an absolute path, or a volume's name (letters, digits, _ - .)")
    })
}

/// `TARGET[:size=64m,mode=1777,exec]`; what docker always sets (`rw`, `nosuid`, `nodev`) may be written out.
///
/// # Errors
/// Any other option, a mode that is not octal.
pub fn parse_tmpfs(text: &str) -> Result<Mount, FormError> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let target = parse_target(target)?;
    let (mut size_bytes, mut mode, mut noexec) = (None, None, true);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=').unwrap_or((option, "")) {
            ("size", size) => size_bytes = Some(parse_bytes(size)?),
            ("mode", octal) => mode = Some(parse_mode(octal)?),
            ("noexec", "") => noexec = true,
            ("exec", "") => noexec = false,
            ("rw" | "nosuid" | "nodev", "") => {}
            _ => return Err(FormError::new(option, "want size=, mode=, exec or noexec as a tmpfs's option")),
        }
    }
    Ok(Mount::Tmpfs { target, size_bytes, mode, noexec })
}

/// Permission bits in octal.
pub(in crate::compose) fn parse_mode(text: &str) -> Result<u32, FormError> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777 && !text.starts_with('+'))
        .ok_or_else(|| FormError::new(text, "want permission bits in octal, as 1777"))
}
