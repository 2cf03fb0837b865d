//! One service: its own simple keys, and who reads the rest.

use std::collections::BTreeMap;

use super::node::Node;
use super::{ComposeError, Context, life, limits, mounts, network, security};
use crate::compose::Service;
use crate::compose::form::{parse_hostname, parse_path, parse_user, split_words};

/// Bytes of an image reference; the distribution specification's 255 of a name, a tag and a digest fit.
const IMAGE_BYTES_MAX: usize = 512;

/// Keys that Compose has and this subset has not, with what to do instead.
pub(super) const HINTS: [(&str, &str); 9] = [
    ("build", "images are built by the operator; name one with image"),
    ("container_name", "a container is named after its project and service"),
    ("env_file", "files of the operator are read before a document is sent; use environment"),
    ("links", "services find each other by the host network; use extra_hosts"),
    ("networks", "not built yet; use network_mode: host"),
    ("platform", "the agent takes the image that fits the board"),
    ("ports", "not built yet; with network_mode: host a service listens on the board's own ports"),
    ("profiles", "every service of a document runs"),
    ("pull_policy", "the agent pulls what a document names, by digest"),
];

pub(super) fn parse_service(node: &Node<'_>, context: &Context<'_>) -> Result<Service, ComposeError> {
    let mut fields = node.fields()?;
    for (key, hint) in HINTS {
        fields.refuse_key(key, hint)?;
    }
    let image = fields.need("image")?;
    let network_mode = network::mode(&mut fields, context.defaults)?;
    let mut service = Service::new(&image_reference(&image)?, network_mode);
    if let Some(node) = fields.take("entrypoint") {
        service.entrypoint = Some(words(&node)?);
    }
    if let Some(node) = fields.take("command") {
        service.command = Some(words(&node)?);
    }
    if let Some(node) = fields.take("environment") {
        service.environment = environment(&node)?;
    }
    if let Some(node) = fields.take("working_dir") {
        service.working_dir = Some(node.form(parse_path)?);
    }
    if let Some(node) = fields.take("user") {
        service.user = Some(node.form(parse_user)?);
    }
    if let Some(node) = fields.take("hostname") {
        service.hostname = Some(node.form(parse_hostname)?);
    }
    if let Some(node) = fields.take("labels") {
        service.labels = node.pairs()?;
    }
    if let Some(node) = fields.take("logging") {
        logging(&node)?;
    }
    for (key, flag) in [
        ("read_only", &mut service.read_only),
        ("tty", &mut service.tty),
        ("stdin_open", &mut service.stdin_open),
        ("privileged", &mut service.privileged),
    ] {
        if let Some(node) = fields.take(key) {
            *flag = node.boolean()?;
        }
    }
    network::read(&mut fields, &mut service)?;
    mounts::read(&mut fields, &mut service, context.volumes)?;
    security::read(&mut fields, &mut service)?;
    limits::read(&mut fields, &mut service)?;
    life::read(&mut fields, &mut service)?;
    fields.finish()?;
    Ok(service)
}

fn image_reference(node: &Node<'_>) -> Result<String, ComposeError> {
    let text = node.text()?;
    let legal = |c: char| c.is_ascii_graphic() && c != '$';
    if text.is_empty() || text.len() > IMAGE_BYTES_MAX || !text.chars().all(legal) {
        return Err(node.refuse("want an image reference"));
    }
    Ok(text.to_owned())
}

/// A command: a list as it is, a string split as a shell would.
fn words(node: &Node<'_>) -> Result<Vec<String>, ComposeError> {
    if node.is_text() {
        let line = node.text()?;
        return split_words(line).map_err(|error| node.refuse(error.to_string()));
    }
    node.texts()
}

fn environment(node: &Node<'_>) -> Result<BTreeMap<String, String>, ComposeError> {
    // A name without a value asks for the operator's own environment, which is not here.
    let unset = "has no value, and the board has no environment to take one from";
    if node.is_list() {
        if let Some(bare) =
            node.list()?.iter().find(|entry| entry.text().is_ok_and(|text| !text.contains('=')))
        {
            return Err(bare.refuse(unset));
        }
    } else if let Some((_, bare)) = node.entries()?.iter().find(|(_, entry)| entry.is_null()) {
        return Err(bare.refuse(unset));
    }
    node.pairs()
}

fn logging(node: &Node<'_>) -> Result<(), ComposeError> {
    let mut fields = node.fields()?;
    if let Some(driver) = fields.take("driver") {
        driver.one_of(&["journald", "json-file"])?;
    }
    fields.refuse_key("options", "the board's configuration bounds the log")?;
    fields.finish()
}
