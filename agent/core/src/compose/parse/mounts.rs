//! `volumes` and `tmpfs`.

use std::collections::{BTreeMap, BTreeSet};

use super::ComposeError;
use super::fields::Fields;
use super::node::Node;
use crate::compose::form::{
    parse_bytes, parse_mode, parse_path, parse_target, parse_tmpfs, parse_volume, volume_name,
};
use crate::compose::{Mount, Service, Volume};
use crate::ident::VolumeName;

pub(super) fn read(
    fields: &mut Fields<'_>,
    service: &mut Service,
    declared: &BTreeMap<VolumeName, Volume>,
) -> Result<(), ComposeError> {
    let mut mounts = Vec::new();
    if let Some(node) = fields.take("volumes") {
        for entry in node.list()? {
            let mount = if entry.is_text() { entry.form(parse_volume)? } else { long(&entry)? };
            mounts.push((entry, mount));
        }
    }
    if let Some(node) = fields.take("tmpfs") {
        for entry in node.list_or_one()? {
            let mount = entry.form(parse_tmpfs)?;
            mounts.push((entry, mount));
        }
    }
    let mut targets = BTreeSet::new();
    for (entry, mount) in &mounts {
        if let Mount::Volume { name, .. } = mount
            && !declared.contains_key(name)
        {
            return Err(entry.refuse(format!("volume {:?} is not declared under volumes", name.as_str())));
        }
        let target = mount.target();
        if !targets.insert(target) {
            return Err(entry.refuse(format!("something else is already mounted at {target:?}")));
        }
    }
    service.mounts = mounts.into_iter().map(|(_, mount)| mount).collect();
    Ok(())
}

/// The long form: a map with a type.
fn long(node: &Node<'_>) -> Result<Mount, ComposeError> {
    let mut fields = node.fields()?;
    let kind = fields.need("type")?.one_of(&["bind", "volume", "tmpfs"])?;
    let target = fields.need("target")?.form(parse_target)?;
    let read_only = fields.take("read_only").map_or(Ok(false), |node| node.boolean())?;
    let mount = match kind {
        "bind" => {
            let source = fields.need("source")?.form(parse_path)?;
            // As compose has it: the source is made unless the document says otherwise.
            let create = fields.take("bind").map_or(Ok(true), |node| bind_create(&node))?;
            Mount::Bind { source, target, read_only, create }
        }
        "volume" => {
            let Some(source) = fields.take("source") else {
                return Err(node.child("source").refuse("is needed; anonymous volumes are not supported"));
            };
            Mount::Volume { name: source.form(volume_name)?, target, read_only }
        }
        _ => {
            if read_only {
                return Err(node
                    .child("read_only")
                    .refuse("an empty tmpfs that cannot be written has no use"));
            }
            let (size_bytes, mode) = fields.take("tmpfs").map_or(Ok((None, None)), |node| tmpfs(&node))?;
            Mount::Tmpfs { target, size_bytes, mode, noexec: true }
        }
    };
    fields.finish()?;
    Ok(mount)
}

fn bind_create(node: &Node<'_>) -> Result<bool, ComposeError> {
    let mut fields = node.fields()?;
    let create = fields.take("create_host_path").map_or(Ok(true), |node| node.boolean())?;
    if let Some(propagation) = fields.take("propagation") {
        propagation.one_of(&["rprivate"])?;
    }
    fields.finish()?;
    Ok(create)
}

fn tmpfs(node: &Node<'_>) -> Result<(Option<u64>, Option<u32>), ComposeError> {
    let mut fields = node.fields()?;
    let size = fields.take("size").map(|node| node.form(parse_bytes)).transpose()?;
    let mode = fields.take("mode").map(|node| mode(&node)).transpose()?;
    fields.finish()?;
    Ok((size, mode))
}

/// A string is octal; a number is the bits themselves, as YAML's `0o1777` arrives.
fn mode(node: &Node<'_>) -> Result<u32, ComposeError> {
    if node.is_text() {
        return node.form(parse_mode);
    }
    let bits = u32::try_from(node.integer()?).ok().filter(|bits| *bits <= 0o7777);
    bits.ok_or_else(|| node.refuse("want permission bits; as a string they are octal"))
}
