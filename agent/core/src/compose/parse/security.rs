//! `cap_add`, `cap_drop`, `security_opt`, `devices`, `sysctls`.

use super::ComposeError;
use super::fields::Fields;
use super::node::Node;
use crate::compose::form::{
    SecurityOption, device, parse_capability, parse_device, parse_security_option, parse_sysctl_name,
};
use crate::compose::{Device, NetworkMode, Service};

pub(super) fn read(fields: &mut Fields<'_>, service: &mut Service) -> Result<(), ComposeError> {
    if let Some(node) = fields.take("cap_add") {
        service.cap_add = capabilities(&node)?;
    }
    if let Some(node) = fields.take("cap_drop") {
        service.cap_drop = capabilities(&node)?;
    }
    if let Some(node) = fields.take("security_opt") {
        for entry in node.list()? {
            match entry.form(parse_security_option)? {
                SecurityOption::NoNewPrivileges(on) => service.no_new_privileges = on,
                SecurityOption::SeccompUnconfined => service.seccomp_unconfined = true,
            }
        }
    }
    if let Some(node) = fields.take("devices") {
        let entry =
            |node: &Node<'_>| if node.is_text() { node.form(parse_device) } else { long_device(node) };
        service.devices = node.list()?.iter().map(entry).collect::<Result<_, _>>()?;
    }
    if let Some(node) = fields.take("sysctls") {
        for (name, value) in node.pairs()? {
            let at = if node.is_list() { node.clone() } else { node.child(&name) };
            let name = parse_sysctl_name(&name).map_err(|error| at.refuse(error.to_string()))?;
            if name.starts_with("net.") && service.network_mode == NetworkMode::Host {
                return Err(at.refuse(format!("{name:?} would change the board's own network")));
            }
            service.sysctls.insert(name, value);
        }
    }
    Ok(())
}

fn capabilities(node: &Node<'_>) -> Result<Vec<String>, ComposeError> {
    let mut names: Vec<String> =
        node.list()?.iter().map(|entry| entry.form(parse_capability)).collect::<Result<_, _>>()?;
    // A set: two orders of the same names are the same service.
    names.sort();
    names.dedup();
    Ok(names)
}

fn long_device(node: &Node<'_>) -> Result<Device, ComposeError> {
    let mut fields = node.fields()?;
    let source = fields.need("source")?.text()?;
    let target = fields.take("target").map_or(Ok(source), |node| node.text())?;
    let permissions = fields.take("permissions").map_or(Ok("rwm"), |node| node.text())?;
    fields.finish()?;
    device(source, target, permissions).map_err(|error| node.refuse(error.to_string()))
}
