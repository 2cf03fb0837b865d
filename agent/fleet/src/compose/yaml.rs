//! YAML as a tree whose parts know their lines.
//!
//! Invariant: depth and number of nodes are bounded, aliases included, and nothing is guessed: a key that stands twice,
//! a tag nobody knows and a number that two readers read differently are refused with their line.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

/// How deep lists and maps may lie in one another; Compose needs six.
const DEPTH_MAX: usize = 32;
/// Nodes of one file, those that aliases repeat counted each time.
const NODES_MAX: usize = 20_000;
/// The key whose maps are laid under the one it stands in.
const MERGE: &str = "<<";

/// A value and its line: that of its key, where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) what: What,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A text, and whether it stands without quotes, so that it may mean a number or a word like `true`.
    Scalar(String, Plain),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order written.
    Map(Vec<(String, Node)>),
}

/// Whether a text may mean something else than itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plain {
    /// Without quotes.
    Yes,
    /// In quotes, in a block, or tagged as text.
    No,
}

/// What is wrong with the file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub(crate) struct YamlError {
    pub(crate) line: usize,
    pub(crate) why: String,
}

impl YamlError {
    pub(crate) fn new(line: usize, why: impl Into<String>) -> Self {
        Self { line, why: why.into() }
    }
}

/// A list or map that is not closed yet.
struct Open {
    line: usize,
    anchor: usize,
    held: Held,
}

enum Held {
    List(Vec<Node>),
    Map(Vec<(String, Node)>, Option<(String, usize)>),
}

#[derive(Default)]
struct Loader {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
}

/// Reads the one document of a file; an empty one is an empty map.
pub(crate) fn parse(text: &str) -> Result<Node, YamlError> {
    let mut loader = Loader::default();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| YamlError::new(error.marker().line(), error.info().to_owned()))?;
        loader.take(event, line(span))?;
    }
    Ok(loader.root.unwrap_or(Node { line: 1, what: What::Map(Vec::new()) }))
}

fn line(span: Span) -> usize {
    span.start.line()
}

impl Loader {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), YamlError> {
        match event {
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
            Event::Scalar(text, style, anchor, tag) => {
                let plain = plain(style, tag.as_deref(), line)?;
                let node = Node { line, what: What::Scalar(text.into_owned(), plain) };
                self.put(node, anchor)
            }
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                let node = known.ok_or_else(|| YamlError::new(line, "an alias stands for nothing"))?;
                self.put(node, 0)
            }
            Event::SequenceStart(anchor, tag) => {
                self.begin(line, anchor, tag.as_deref(), Held::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.begin(line, anchor, tag.as_deref(), Held::Map(Vec::new(), None))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(line),
        }
    }

    fn begin(&mut self, line: usize, anchor: usize, tag: Option<&Tag>, held: Held) -> Result<(), YamlError> {
        if tag.is_some_and(|tag| !tag.is_yaml_core_schema()) {
            return Err(unknown_tag(line));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(YamlError::new(line, format!("deeper than {DEPTH_MAX} lists and maps")));
        }
        self.open.push(Open { line, anchor, held });
        Ok(())
    }

    fn close(&mut self, line: usize) -> Result<(), YamlError> {
        let Some(Open { line: began, anchor, held }) = self.open.pop() else {
            return Err(YamlError::new(line, "something ends that never began"));
        };
        let what = match held {
            Held::List(items) => What::List(items),
            Held::Map(entries, _) => What::Map(merged(entries)?),
        };
        self.put(Node { line: began, what }, anchor)
    }

    /// Puts a node that is complete where it belongs.
    fn put(&mut self, node: Node, anchor: usize) -> Result<(), YamlError> {
        let line = node.line;
        self.nodes = self.nodes.saturating_add(node.count());
        if self.nodes > NODES_MAX {
            return Err(YamlError::new(line, format!("more than {NODES_MAX} values, aliases included")));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.held) {
            None if self.root.is_some() => Err(YamlError::new(line, "a second document; a project is one")),
            None => {
                self.root = Some(node);
                Ok(())
            }
            Some(Held::List(items)) => {
                items.push(node);
                Ok(())
            }
            Some(Held::Map(entries, key)) => match key.take() {
                Some((name, line)) => {
                    if name != MERGE && entries.iter().any(|(known, _)| *known == name) {
                        return Err(YamlError::new(line, format!("{name:?} stands twice")));
                    }
                    // Where one looks for it: a list or a block begins on a later line than its key.
                    entries.push((name, Node { line, ..node }));
                    Ok(())
                }
                None => match node.what {
                    What::Scalar(name, _) => {
                        *key = Some((name, line));
                        Ok(())
                    }
                    What::List(_) | What::Map(_) => Err(YamlError::new(line, "a key has to be a text")),
                },
            },
        }
    }
}

impl Node {
    fn count(&self) -> usize {
        match &self.what {
            What::Scalar(..) => 1,
            What::List(items) => items.iter().fold(1, |sum, item| sum.saturating_add(item.count())),
            What::Map(entries) => entries.iter().fold(1, |sum, (_, node)| sum.saturating_add(node.count())),
        }
    }
}

fn plain(style: ScalarStyle, tag: Option<&Tag>, line: usize) -> Result<Plain, YamlError> {
    let quoted = !matches!(style, ScalarStyle::Plain);
    match tag {
        None => Ok(if quoted { Plain::No } else { Plain::Yes }),
        Some(tag) if tag.is_yaml_core_schema() => match tag.suffix.as_str() {
            "str" => Ok(Plain::No),
            "int" | "float" | "bool" | "null" => Ok(Plain::Yes),
            _ => Err(unknown_tag(line)),
        },
        Some(tag) if tag.handle == "!" && tag.suffix.is_empty() => Ok(Plain::No),
        Some(_) => Err(unknown_tag(line)),
    }
}

fn unknown_tag(line: usize) -> YamlError {
    YamlError::new(line, "a tag that is not one of YAML's own")
}

/// The map with what `<<` brings under it: what it says itself counts, then what is named first.
fn merged(entries: Vec<(String, Node)>) -> Result<Vec<(String, Node)>, YamlError> {
    let (merges, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(name, _)| name == MERGE);
    for (_, node) in merges {
        let line = node.line;
        let maps = match node.what {
            What::List(items) => items,
            What::Map(_) | What::Scalar(..) => vec![node],
        };
        for map in maps {
            let What::Map(below) = map.what else {
                return Err(YamlError::new(line, "<< wants a map or a list of maps"));
            };
            for (name, node) in below {
                if !own.iter().any(|(known, _)| *known == name) {
                    own.push((name, node));
                }
            }
        }
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(node: &Node) -> String {
        match &node.what {
            What::Scalar(text, Plain::Yes) => text.clone(),
            What::Scalar(text, Plain::No) => format!("{text:?}"),
            What::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
            What::Map(entries) => {
                let entry = |(name, node): &(String, Node)| format!("{name}@{}: {}", node.line, shown(node));
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
            }
        }
    }

    #[track_caller]
    fn check(text: &str, expected: Result<&str, (usize, &str)>) {
        match (parse(text), expected) {
            (Ok(node), Ok(expected)) => assert_eq!(shown(&node), expected, "{text}"),
            (Err(error), Err((line, why))) => {
                assert!(error.line == line && error.why.contains(why), "{text}: {error}");
            }
            (found, _) => panic!("{text}: {found:?}"),
        }
    }

    #[test]
    fn a_tree_knows_its_lines_and_what_was_quoted() {
        check("", Ok("{}"));
        check("a: 1\nb:\n  - x\n  - 'y'\n", Ok("{a@1: 1, b@2: [x, \"y\"]}"));
        check("a: !!str 1\nb: !!int 2\nc: |\n  t\n", Ok("{a@1: \"1\", b@2: 2, c@3: \"t\\n\"}"));
        check("80: {a: 1}", Ok("{80@1: {a@1: 1}}"));
    }

    #[test]
    fn anchors_and_merges_are_what_compose_files_use() {
        check("x: &x {a: 1, b: 2}\ny: *x\n", Ok("{x@1: {a@1: 1, b@1: 2}, y@2: {a@1: 1, b@1: 2}}"));
        check(
            "x: &x\n  a: 1\n  b: 2\ny:\n  <<: *x\n  b: 3\n",
            Ok("{x@1: {a@2: 1, b@3: 2}, y@4: {b@6: 3, a@2: 1}}"),
        );
        let two = "p: &p {a: 1}\nq: &q {a: 2, b: 2}\nr: {<<: [*p, *q]}\n";
        check(two, Ok("{p@1: {a@1: 1}, q@2: {a@2: 2, b@2: 2}, r@3: {a@1: 1, b@2: 2}}"));
        check("a: {<<: 3}", Err((1, "wants a map")));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused_with_its_line() {
        check("a: 1\nb: 2\na: 3\n", Err((3, "\"a\" stands twice")));
        check("a: 1\n---\nb: 2\n", Err((3, "second document")));
        check("a: !reset null\n", Err((1, "tag")));
        check("[a]: 1\n", Err((1, "a key has to be a text")));
        check("a: *x\n", Err((1, "")));
        check("a: [1\nb: 2\n", Err((2, "")));
        check(&"[".repeat(100), Err((1, "deeper than")));
    }

    #[test]
    fn aliases_of_aliases_stay_within_the_bound() {
        let mut text = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
        for level in 1..9 {
            let again = format!("*a{}, ", level - 1).repeat(10);
            text += &format!("a{level}: &a{level} [{}]\n", again.trim_end_matches(", "));
        }
        check(&text, Err((4, "more than")));
    }
}
