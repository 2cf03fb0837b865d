//! `network_mode`, `extra_hosts`, `dns`.

use std::net::IpAddr;

use super::fields::Fields;
use super::node::Node;
use super::{ComposeError, Defaults};
use crate::compose::form::{host_entry, parse_extra_host, parse_network_mode};
use crate::compose::{NetworkMode, Service};

pub(super) fn mode(fields: &mut Fields<'_>, defaults: &Defaults) -> Result<NetworkMode, ComposeError> {
    match (fields.take("network_mode"), defaults.network) {
        (Some(node), _) => node.form(parse_network_mode),
        (None, Some(mode)) => Ok(mode),
        (None, None) => {
            let hint = "is needed, host or none: bridge networks are not built yet";
            Err(fields.node().child("network_mode").refuse(hint))
        }
    }
}

pub(super) fn read(fields: &mut Fields<'_>, service: &mut Service) -> Result<(), ComposeError> {
    if let Some(node) = fields.take("extra_hosts") {
        service.extra_hosts = extra_hosts(&node)?;
    }
    if let Some(node) = fields.take("dns") {
        let address = |node: &Node<'_>| node.text()?.parse().map_err(|_| node.refuse("want an IP address"));
        service.dns = node.list_or_one()?.iter().map(address).collect::<Result<_, _>>()?;
    }
    Ok(())
}

fn extra_hosts(node: &Node<'_>) -> Result<Vec<(String, IpAddr)>, ComposeError> {
    if node.is_list() {
        return node.list()?.iter().map(|entry| entry.form(parse_extra_host)).collect();
    }
    let mut hosts = Vec::new();
    for (name, addresses) in node.entries()? {
        for address in addresses.list_or_one()? {
            hosts.push(address.form(|text| host_entry(name, text))?);
        }
    }
    Ok(hosts)
}
