//! The keys of a map with a fixed vocabulary: each is taken once, and what nobody took is refused.

use super::ComposeError;
use super::node::Node;

/// A map whose keys are being read.
pub(super) struct Fields<'a> {
    node: Node<'a>,
    left: Vec<(&'a str, Node<'a>)>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(node: Node<'a>, entries: Vec<(&'a str, Node<'a>)>) -> Self {
        Self { node, left: entries }
    }

    pub(super) fn node(&self) -> &Node<'a> {
        &self.node
    }

    /// What stands under `key`; `None` where it is absent or null.
    pub(super) fn take(&mut self, key: &str) -> Option<Node<'a>> {
        let at = self.left.iter().position(|(name, _)| *name == key)?;
        let (_, node) = self.left.swap_remove(at);
        (!node.is_null()).then_some(node)
    }

    /// What must stand under `key`.
    pub(super) fn need(&mut self, key: &str) -> Result<Node<'a>, ComposeError> {
        self.take(key).ok_or_else(|| self.node.child(key).refuse("is needed"))
    }

    /// A key that Compose knows and we do not obey, with what to do instead.
    pub(super) fn refuse_key(&mut self, key: &str, hint: &str) -> Result<(), ComposeError> {
        self.take(key).map_or(Ok(()), |node| Err(node.refuse(hint)))
    }

    /// A switch that may be written out where it is off, and is refused where it is on.
    pub(super) fn refuse_on(&mut self, key: &str, hint: &str) -> Result<(), ComposeError> {
        match self.take(key) {
            Some(node) if node.boolean()? => Err(node.refuse(hint)),
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses the first key, in the alphabet's order, that nobody took. Extensions are somebody else's, but for our
    /// own: a misspelled one would be obeyed by nobody.
    pub(super) fn finish(mut self) -> Result<(), ComposeError> {
        let theirs = |key: &str| key.starts_with("x-") && !key.starts_with("x-coracle");
        self.left.retain(|(key, node)| !theirs(key) && !node.is_null());
        self.left.sort_by_key(|(key, _)| *key);
        self.left.first().map_or(Ok(()), |(_, node)| Err(node.refuse("is not supported")))
    }
}
