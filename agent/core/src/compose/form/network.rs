//! Names and addresses.

use std::net::IpAddr;

use super::FormError;
use crate::compose::NetworkMode;

/// The kernel's bound on a host name (`__NEW_UTS_LEN`).
const HOSTNAME_BYTES_MAX: usize = 64;
/// A domain name's bound (RFC 1035).
const NAME_BYTES_MAX: usize = 253;

/// `host` or `none`.
///
/// # Errors
/// Any other network, with what to write instead.
pub fn parse_network_mode(text: &str) -> Result<NetworkMode, FormError> {
    match text {
        "host" => Ok(NetworkMode::Host),
        "none" => Ok(NetworkMode::None),
        _ => Err(FormError::new(text, "want host or none; other networks are not built yet")),
    }
}

/// Whether every label has letters, digits, `-` and `_`, and none starts or ends with `-`.
fn is_name(text: &str, bytes_max: usize) -> bool {
    let legal = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    text.len() <= bytes_max && text.split('.').all(legal)
}

/// A host name the kernel and `/etc/hosts` take.
///
/// # Errors
/// Other characters, empty labels, more than 64 bytes.
pub fn parse_hostname(text: &str) -> Result<String, FormError> {
    if is_name(text, HOSTNAME_BYTES_MAX) {
        return Ok(text.to_owned());
    }
    Err(FormError::new(text, "want a host name of at most 64 letters, digits, - and ."))
}

/// The two halves of an entry of `/etc/hosts`.
pub(in crate::compose) fn host_entry(name: &str, address: &str) -> Result<(String, IpAddr), FormError> {
    if !is_name(name, NAME_BYTES_MAX) {
        return Err(FormError::new(name, "want a host name of letters, digits, - and ."));
    }
    if address == "host-gateway" {
        return Err(FormError::new(
            address,
            "there is no gateway without a bridge network: write the address",
        ));
    }
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    let address = bare.parse().map_err(|_| FormError::new(address, "want an IP address"))?;
    Ok((name.to_owned(), address))
}

/// `NAME:ADDRESS` or `NAME=ADDRESS`.
///
/// # Errors
/// A name or address that is none.
pub fn parse_extra_host(text: &str) -> Result<(String, IpAddr), FormError> {
    match text.split_once([':', '=']) {
        Some((name, address)) => host_entry(name, address),
        None => Err(FormError::new(text, "want NAME:ADDRESS or NAME=ADDRESS")),
    }
}
