//! Parses text to a [`Node`] with serde-saphyr. Its messages refer to its options and types; these are translated into
//! terms of the file. No type is known here: `NO` and `on` are strings, and numbers keep their digits as written.

use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Error, Location, Spanned, Tagged};

use crate::syntax::problem::Problem;
use crate::syntax::source::{Sources, Span};
use crate::syntax::tree::{MapEntry, MergeTag, Node, Scalar, ScalarKind, Value};

/// Nodes: a thousand services with a hundred keys and values each. Aliases have their own bounds, which end alias bombs
/// within 100 ms.
const NODES_MAX: usize = 100_000;
const ALIASES_MAX: usize = 200;
/// Nesting: the deepest key of the format is at 7; JSON bodies may be deeper.
const DEPTH_MAX: usize = 24;
const REPLAYED_EVENTS_MAX: usize = 5_000;
/// Bytes of all values: four files of the largest size. Text repeated by aliases counts each time.
const SCALAR_BYTES_MAX: usize = 4 << 20;

/// Remaining size budget of all files of one manifest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SizeBudget {
    nodes: usize,
    scalar_bytes: usize,
}

impl Default for SizeBudget {
    fn default() -> Self {
        Self { nodes: NODES_MAX, scalar_bytes: SCALAR_BYTES_MAX }
    }
}

impl SizeBudget {
    fn spend(&mut self, node: &Node) {
        let (nodes, bytes) = node.size();
        self.nodes = self.nodes.saturating_sub(nodes);
        self.scalar_bytes = self.scalar_bytes.saturating_sub(bytes);
    }
}

/// Parses one file of `sources`. `None`: it is not valid YAML; otherwise each duplicate key is a problem, and its first
/// value counts.
pub(crate) fn parse(
    sources: &Sources,
    file: usize,
    budget: &mut SizeBudget,
    problems: &mut Vec<Problem>,
) -> Option<Node> {
    let node = parse_within(sources, file, *budget, problems)?;
    budget.spend(&node);
    Some(node)
}

fn parse_within(sources: &Sources, file: usize, budget: SizeBudget, problems: &mut Vec<Problem>) -> Option<Node> {
    let text = &sources.get(file).text;
    let raw = match read(text, budget, DuplicateKeyPolicy::Error) {
        Ok(raw) => raw,
        Err(error @ Error::DuplicateMappingKey { .. }) => match read(text, budget, DuplicateKeyPolicy::LastWins) {
            Ok(raw) => {
                let before = problems.len();
                let node = NodeBuilder { sources, file, problems }.plant(raw);
                // `1` and `0x1` are the same key to serde-saphyr, and only its error shows that.
                if problems.len() == before {
                    problems.push(explain(sources, file, &error));
                }
                return Some(node);
            }
            Err(error) => {
                problems.push(explain(sources, file, &error));
                return None;
            }
        },
        Err(error) => {
            problems.push(explain(sources, file, &error));
            return None;
        }
    };
    Some(NodeBuilder { sources, file, problems }.plant(raw))
}

fn read(text: &str, left: SizeBudget, duplicate_keys: DuplicateKeyPolicy) -> Result<Raw, Error> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        duplicate_keys: duplicate_keys,
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::AsString,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: REPLAYED_EVENTS_MAX },
        budget: serde_saphyr::budget! {
            max_nodes: left.nodes,
            max_total_scalar_bytes: left.scalar_bytes,
            max_aliases: ALIASES_MAX,
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
        },
    };
    serde_saphyr::from_str_with_options(text, options)
}

/// Translates an error of serde-saphyr into the terms of a manifest.
fn explain(sources: &Sources, file: usize, error: &Error) -> Problem {
    let name = sources.get(file).path.display();
    let place = error.location().map(|location| sources.place(error_span(sources, file, location)));
    let innermost = match error {
        Error::AliasError { error, .. } => error,
        other => other,
    };
    let (code, message, label) = match innermost {
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("?");
            ("lcm::manifest::duplicate", format!("duplicate key `{key}`"), "the second one")
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => (
            "lcm::manifest::too_large",
            format!("{name} is too large, nested too deep, or expands too far by its aliases"),
            "the limit is reached here",
        ),
        Error::MultipleDocuments { .. } => (
            "lcm::manifest::syntax",
            format!("{name} contains more than one YAML document"),
            "a second one begins here",
        ),
        Error::NullIntoString { .. } | Error::Unexpected { .. } => {
            ("lcm::manifest::syntax", "a key must be a string".to_owned(), "not a string")
        }
        Error::UnknownAnchor { .. } => {
            ("lcm::manifest::syntax", "this alias has no anchor".to_owned(), "no anchor `&` of this name above")
        }
        other => {
            let text = other.to_string();
            let text = text.split(" at line ").next().unwrap_or_default();
            if text.contains("recursion limit") {
                ("lcm::manifest::too_large", format!("{name} is nested too deep"), "the limit is reached here")
            } else {
                ("lcm::manifest::syntax", format!("{name} is not valid YAML: {text}"), "here")
            }
        }
    };
    let tab = message.contains("tabs disallowed");
    let problem = Problem::error(code, message);
    let problem = if tab { problem.help("YAML is indented with spaces only: replace each tab") } else { problem };
    match place {
        Some(place) => problem.at(place, label),
        None => problem,
    }
}

/// Returns the span of an error, of which syntax errors have only line and column.
fn error_span(sources: &Sources, file: usize, location: Location) -> Span {
    if let (Some(offset), Some(length)) = (location.span().byte_offset(), location.span().byte_len()) {
        return Span { file, offset: index(offset), length: index(length).max(1) };
    }
    let text = &sources.get(file).text;
    let line_start: usize =
        text.split_inclusive('\n').take(index(location.line()).saturating_sub(1)).map(str::len).sum();
    let rest = text.get(line_start..).unwrap_or_default();
    let column: usize = rest.chars().take(index(location.column()).saturating_sub(1)).map(char::len_utf8).sum();
    let offset = (line_start + column).min(text.len());
    let length = text[offset..].chars().next().filter(|character| *character != '\n').map_or(0, char::len_utf8);
    Span { file, offset, length }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Value as deserialized by serde-saphyr.
type Raw = Spanned<Tagged<RawValue>>;

enum RawValue {
    Null,
    String(String),
    Other(ScalarKind),
    List(Vec<Raw>),
    Map(Vec<(Spanned<String>, Raw)>),
}

/// Builder of nodes from raw values, with spans in bytes; reports duplicate keys.
struct NodeBuilder<'a> {
    sources: &'a Sources,
    file: usize,
    problems: &'a mut Vec<Problem>,
}

impl NodeBuilder<'_> {
    fn plant(&mut self, raw: Raw) -> Node {
        let mut span = self.span(raw.defined);
        let Tagged(value, tag) = raw.value;
        let merge_tag = match tag.as_deref() {
            Some("!reset") => MergeTag::Reset,
            Some("!override") => MergeTag::Override,
            Some(_) | None => MergeTag::Merge,
        };
        let value = match value {
            RawValue::Null => Value::Null,
            RawValue::String(text) => Value::Scalar(Scalar { text, kind: ScalarKind::String, interpolated: false }),
            RawValue::Other(kind) => {
                let text = &self.sources.get(self.file).text[span.offset..span.offset + span.length];
                // Quotes occur only with an explicit tag: `!!int "5"`.
                let text = text.trim_matches(['"', '\'']).to_owned();
                Value::Scalar(Scalar { text, kind, interpolated: false })
            }
            RawValue::List(items) => {
                span.length = span.length.max(1);
                Value::List(items.into_iter().map(|item| self.plant(item)).collect())
            }
            RawValue::Map(pairs) => self.map(pairs, &mut span),
        };
        Node { merge_tag, ..Node::new(span, value) }
    }

    fn map(&mut self, pairs: Vec<(Spanned<String>, Raw)>, span: &mut Span) -> Value {
        let mut entries: Vec<MapEntry> = Vec::with_capacity(pairs.len());
        let mut known: BTreeMap<String, Span> = BTreeMap::new();
        for (key, raw) in pairs {
            let key_span = self.span(key.defined);
            let value = self.plant(raw);
            if let Some(first) = known.get(&key.value) {
                self.problems.push(
                    Problem::error("lcm::manifest::duplicate", format!("duplicate key `{}`", key.value))
                        .at(self.sources.place(key_span), "the second one")
                        .also(self.sources.place(*first), "the first one"),
                );
            } else {
                known.insert(key.value.clone(), key_span);
                entries.push(MapEntry { key: key.value, key_span, value });
            }
        }
        // A map without braces has no span of its own: it gets that of its first key.
        if span.length == 0
            && let Some(first) = entries.first()
        {
            *span = first.key_span;
        }
        Value::Map(entries)
    }

    /// Returns the span of the first line: a block of text is marked at its beginning.
    fn span(&self, location: Location) -> Span {
        let Span { file, offset, length } = error_span(self.sources, self.file, location);
        let length = if location.span().byte_len() == Some(0) { 0 } else { length };
        let text = self.sources.get(file).text.get(offset..offset + length).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        Span { file, offset, length: line.trim_end().len() }
    }
}

impl<'de> Deserialize<'de> for RawValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = RawValue;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<RawValue, E> {
        Ok(RawValue::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<RawValue, E> {
        Ok(RawValue::Other(ScalarKind::Bool))
    }

    fn visit_i64<E>(self, _: i64) -> Result<RawValue, E> {
        Ok(RawValue::Other(ScalarKind::Integer))
    }

    fn visit_u64<E>(self, _: u64) -> Result<RawValue, E> {
        Ok(RawValue::Other(ScalarKind::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<RawValue, E> {
        Ok(RawValue::Other(ScalarKind::Float))
    }

    fn visit_str<E>(self, text: &str) -> Result<RawValue, E> {
        Ok(RawValue::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawValue, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(RawValue::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<RawValue, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(RawValue::Map(map))
    }
}
