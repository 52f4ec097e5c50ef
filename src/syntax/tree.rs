//! YAML document as a tree of values with spans. Templates are merged and variables interpolated on this tree, before
//! any type is known; so an error in a template is underlined in the template's own file.

use crate::syntax::source::Span;

/// Value with its span.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub span: Span,
    pub value: Value,
    /// True if a faulty value was removed from it, which may be why another one is missing.
    pub damaged: bool,
    /// Compose's instruction for merging, which a manifest does not have.
    pub merge_tag: MergeTag,
}

/// Compose's tags of a value, for merging it over the value of an earlier file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MergeTag {
    #[default]
    Merge,
    /// `!reset`: the earlier value is removed.
    Reset,
    /// `!override`: the earlier value is replaced.
    Override,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Scalar(Scalar),
    List(Vec<Node>),
    /// Entries in the order of the file.
    Map(Vec<MapEntry>),
}

#[derive(Clone, Debug)]
pub(crate) struct MapEntry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    /// Text as written in the file; of a string, its parsed value.
    pub text: String,
    pub kind: ScalarKind,
    /// True if a variable was interpolated: the text may be a number, and in an environment it is a secret.
    pub interpolated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScalarKind {
    Bool,
    Integer,
    Float,
    String,
}

/// Returns true for a key of the user's own beside fixed ones, as Compose has them: for notes, and for anchors.
pub(crate) fn is_extension(key: &str) -> bool {
    key.starts_with("x-")
}

impl Node {
    pub(crate) fn new(span: Span, value: Value) -> Self {
        Self { span, value, damaged: false, merge_tag: MergeTag::Merge }
    }

    /// Returns the value of a key; `None`: no map, or no such key.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        match &mut self.value {
            Value::Map(entries) => entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value),
            Value::Null | Value::Scalar(_) | Value::List(_) => None,
        }
    }

    /// Returns the entries of a map; empty for other values.
    pub(crate) fn entries(&self) -> &[MapEntry] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Null | Value::Scalar(_) | Value::List(_) => &[],
        }
    }

    /// Returns the text of a scalar.
    pub(crate) fn scalar(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) => Some(&scalar.text),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Returns the strings in a list, or a single string as a list of one; other values are left out.
    pub(crate) fn strings(&self) -> Vec<(&str, Span)> {
        match &self.value {
            Value::Scalar(Scalar { text, kind: ScalarKind::String, .. }) => vec![(text, self.span)],
            Value::List(items) => {
                items.iter().filter(|item| matches!(item.value, Value::Scalar(_))).flat_map(Node::strings).collect()
            }
            Value::Null | Value::Scalar(_) | Value::Map(_) => Vec::new(),
        }
    }

    /// Describes the value for a message.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
            Value::Scalar(scalar) => match scalar.kind {
                ScalarKind::Bool => format!("`{}`", scalar.text),
                ScalarKind::Integer | ScalarKind::Float => format!("the number `{}`", scalar.text),
                ScalarKind::String => "a string".to_owned(),
            },
        }
    }

    /// Removes one value, by the positions that lead to it, and marks all its ancestors as damaged.
    pub(crate) fn remove(&mut self, path: &[usize]) {
        self.cut(path, true);
    }

    /// Removes one value that nothing depends on.
    pub(crate) fn remove_extension(&mut self, path: &[usize]) {
        self.cut(path, false);
    }

    fn cut(&mut self, path: &[usize], damages: bool) {
        self.damaged |= damages;
        let Some((position, rest)) = path.split_first() else { return };
        match &mut self.value {
            Value::List(items) if *position < items.len() => match rest {
                [] => drop(items.remove(*position)),
                rest => items[*position].cut(rest, damages),
            },
            Value::Map(entries) if *position < entries.len() => match rest {
                [] => drop(entries.remove(*position)),
                rest => entries[*position].value.cut(rest, damages),
            },
            Value::Null | Value::Scalar(_) | Value::List(_) | Value::Map(_) => {}
        }
    }

    /// Returns the number of values and the bytes of text of this subtree.
    pub(crate) fn size(&self) -> (usize, usize) {
        let add = |(nodes, bytes): (usize, usize), (more, longer): (usize, usize)| (nodes + more, bytes + longer);
        match &self.value {
            Value::Null => (1, 0),
            Value::Scalar(scalar) => (1, scalar.text.len()),
            Value::List(items) => items.iter().map(Self::size).fold((1, 0), add),
            // A key counts as a value too.
            Value::Map(entries) => {
                entries.iter().map(|entry| add(entry.value.size(), (1, entry.key.len()))).fold((1, 0), add)
            }
        }
    }

    /// Returns the keys of maps along a path; positions in lists have none.
    pub(crate) fn keys(&self, path: &[usize]) -> Vec<&str> {
        let mut keys = Vec::new();
        let mut node = self;
        for position in path {
            let next = match &node.value {
                Value::List(items) => items.get(*position),
                Value::Map(entries) => entries.get(*position).map(|entry| {
                    keys.push(entry.key.as_str());
                    &entry.value
                }),
                Value::Null | Value::Scalar(_) => None,
            };
            let Some(next) = next else { break };
            node = next;
        }
        keys
    }

    /// Returns the value at a path.
    pub(crate) fn walk(&self, path: &[usize]) -> Option<&Node> {
        let Some((position, rest)) = path.split_first() else { return Some(self) };
        match &self.value {
            Value::List(items) => items.get(*position)?.walk(rest),
            Value::Map(entries) => entries.get(*position)?.value.walk(rest),
            Value::Null | Value::Scalar(_) => None,
        }
    }

    /// Merges `self` over `base`: maps merge, lists and scalars are replaced.
    pub(crate) fn over(self, base: &Node) -> Node {
        let (Value::Map(entries), Value::Map(base_entries)) = (&self.value, &base.value) else { return self };
        let mut merged = base_entries.clone();
        for entry in entries {
            match merged.iter_mut().find(|other| other.key == entry.key) {
                Some(other) => {
                    *other = MapEntry { value: entry.value.clone().over(&other.value), ..entry.clone() };
                }
                None => merged.push(entry.clone()),
            }
        }
        Node { damaged: self.damaged || base.damaged, value: Value::Map(merged), ..Node::new(self.span, Value::Null) }
    }
}
