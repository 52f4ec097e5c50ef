//! Modes that are active together.
//!
//! In documents and stores they are one text, the names joined by `+`, which no name contains: a document that an
//! earlier lcm wrote, with one name, is read alike.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::names::ModeName;

/// Separator of the names.
const JOINT: char = '+';

/// One or several modes. Their order does not matter, so `a` with `b` equals `b` with `a`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModeSet(BTreeSet<ModeName>);

impl ModeSet {
    /// Returns the set of these modes; `None` for no mode.
    #[must_use]
    pub fn of(names: impl IntoIterator<Item = ModeName>) -> Option<Self> {
        let names: BTreeSet<ModeName> = names.into_iter().collect();
        (!names.is_empty()).then_some(Self(names))
    }

    /// Returns the modes of several sets; `None` for no mode.
    #[must_use]
    pub fn union(sets: impl IntoIterator<Item = Self>) -> Option<Self> {
        Self::of(sets.into_iter().flat_map(|set| set.0))
    }

    /// Parses the text that [`ModeSet::text`] returns. Takes any text: whether a mode has that name is not checked.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(text.split(JOINT).map(ModeName::new).collect())
    }

    /// Returns the names, joined by `+`.
    #[must_use]
    pub fn text(&self) -> String {
        self.joined(&JOINT.to_string())
    }

    /// Returns the names as the arguments of a command.
    #[must_use]
    pub fn words(&self) -> String {
        self.joined(" ")
    }

    /// Returns the names as the value of the manifest's `mode` key.
    #[must_use]
    pub fn yaml(&self) -> String {
        if self.0.len() == 1 { self.text() } else { format!("[{}]", self.joined(", ")) }
    }

    /// Returns the names of the modes, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &ModeName> {
        self.0.iter()
    }

    /// Returns true if this mode is one of them.
    #[must_use]
    pub fn contains(&self, mode: &ModeName) -> bool {
        self.0.contains(mode)
    }

    /// Returns the names of the modes for a document; no names for no mode.
    #[must_use]
    pub fn names(modes: Option<&Self>) -> Vec<ModeName> {
        modes.into_iter().flat_map(Self::iter).cloned().collect()
    }

    fn joined(&self, joint: &str) -> String {
        self.0.iter().map(ModeName::as_str).collect::<Vec<_>>().join(joint)
    }
}

/// Each name as one harmless line.
impl fmt::Display for ModeSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("+"))
    }
}

impl fmt::Debug for ModeSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text(), formatter)
    }
}

impl From<&str> for ModeSet {
    fn from(text: &str) -> Self {
        Self::parse(text)
    }
}

impl From<ModeName> for ModeSet {
    fn from(name: ModeName) -> Self {
        Self(BTreeSet::from([name]))
    }
}

impl Serialize for ModeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for ModeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::parse(&text))
    }
}

impl JsonSchema for ModeSet {
    fn schema_name() -> Cow<'static, str> {
        "ModeSet".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Name of a mode; the sorted names of several modes, joined by `+`.",
            "type": "string",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ModeSet;

    #[test]
    fn the_order_and_repetitions_do_not_matter() {
        let both = ModeSet::from("voice+chat");
        assert_eq!(both, ModeSet::union(["chat", "voice", "chat"].map(ModeSet::from)).expect("modes"));
        assert_eq!((both.text().as_str(), both.words().as_str()), ("chat+voice", "chat voice"));
        assert_eq!((both.yaml().as_str(), ModeSet::from("chat").yaml().as_str()), ("[chat, voice]", "chat"));
        assert!(both.contains(&"chat".into()) && !both.contains(&"chat+voice".into()));
        assert_eq!(ModeSet::of([]), None);
    }

    #[test]
    fn one_text_in_documents_is_read_back() {
        let both = ModeSet::from("a+b");
        assert_eq!(serde_json::to_string(&both).expect("JSON"), "\"a+b\"");
        assert_eq!(serde_json::from_str::<ModeSet>("\"b+a\"").expect("read"), both);
        assert_eq!(serde_json::from_str::<ModeSet>("\"video\"").expect("read"), ModeSet::from("video"));
    }

    #[test]
    fn a_hostile_name_is_shown_as_one_harmless_line() {
        assert_eq!(ModeSet::from("a\u{1b}[2J\nb+c").to_string(), "a b+c");
    }
}
