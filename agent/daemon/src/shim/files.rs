//! The files that every container has of its own: `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use coracle_core::compose::{NetworkMode, Service};
use coracle_host::supervise::Place;

use super::error::{ShimError, system};

/// Bytes taken from a file of the board; these are written by people.
const FILE_BYTES_MAX: u64 = 256 << 10;
const LOOPBACK: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/// Writes the three files to `etc/` of the place.
pub(super) fn write(place: &Place, service: &Service, name: &str) -> Result<(), ShimError> {
    let etc = place.join("etc");
    fs::create_dir_all(&etc).map_err(system(etc.display()))?;
    let host_name = host_name(service, name);
    let hosts_of_board = match service.network_mode {
        NetworkMode::Host => read(Path::new("/etc/hosts")),
        NetworkMode::None => None,
    };
    let resolv_of_board = read(Path::new("/etc/resolv.conf")).unwrap_or_default();
    for (file, text) in [
        ("hostname", format!("{host_name}\n")),
        ("hosts", hosts(service, &host_name, hosts_of_board)),
        ("resolv.conf", resolv(service, resolv_of_board)),
    ] {
        fs::write(etc.join(file), text).map_err(system(file))?;
    }
    Ok(())
}

/// The container's host name: the one asked for, else the board's where it shares its network, else the service's.
pub(super) fn host_name(service: &Service, name: &str) -> String {
    let board = || read(Path::new("/proc/sys/kernel/hostname")).map(|name| name.trim().to_owned());
    let by_network = || match service.network_mode {
        NetworkMode::Host => board(),
        NetworkMode::None => None,
    };
    service.hostname.clone().or_else(by_network).unwrap_or_else(|| name.to_owned())
}

fn hosts(service: &Service, host_name: &str, board: Option<String>) -> String {
    let mut text = board.unwrap_or_else(|| format!("{LOOPBACK}127.0.1.1\t{host_name}\n"));
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for (name, address) in &service.extra_hosts {
        let _ = writeln!(text, "{address}\t{name}");
    }
    text
}

fn resolv(service: &Service, board: String) -> String {
    if service.dns.is_empty() {
        return board;
    }
    service.dns.iter().map(|server| format!("nameserver {server}\n")).collect()
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_hosts_and_name_servers_are_written() {
        let mut service = Service::new("x", NetworkMode::None);
        service.extra_hosts = vec![("mgmt.example".to_owned(), "127.0.0.1".parse().unwrap())];
        service.dns = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let text = hosts(&service, "web", None);
        assert!(text.starts_with(LOOPBACK));
        assert!(text.ends_with("127.0.1.1\tweb\n127.0.0.1\tmgmt.example\n"), "{text}");
        let text = hosts(&service, "web", Some("10.0.0.1 board".to_owned()));
        assert_eq!(text, "10.0.0.1 board\n127.0.0.1\tmgmt.example\n");
        assert_eq!(resolv(&service, "nope".to_owned()), "nameserver 192.0.2.1\nnameserver 2001:db8::1\n");
    }

    #[test]
    fn the_host_name_is_the_one_asked_for_else_the_services() {
        let mut service = Service::new("x", NetworkMode::None);
        assert_eq!(host_name(&service, "web"), "web");
        service.hostname = Some("box".to_owned());
        assert_eq!(host_name(&service, "web"), "box");
    }
}
