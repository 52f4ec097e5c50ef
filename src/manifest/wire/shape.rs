//! Values with more than one notation: a string or a list, a list or a map. Read by hand, because serde's `untagged`
//! would lose every place inside.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::syntax::fault::Fault;
use crate::syntax::located::{LIST, Located, WORD};
use crate::syntax::scalar::{NAME_PATTERN, ScalarText};

/// Map with the user's own names, in the order of the file.
#[derive(Clone, Debug)]
pub(crate) struct NamedMap<V>(pub Vec<(Located<String>, V)>);

impl<V> Default for NamedMap<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// List, or one value that stands for a list of one.
#[derive(Clone, Debug)]
pub(crate) struct OneOrMany<T>(pub Vec<T>);

/// Command to run: a list as it is, a string through a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommandLine {
    Line(String),
    Words(Vec<String>),
}

/// One command, or a list of commands.
#[derive(Clone, Debug)]
pub(crate) struct Commands(pub Vec<CommandLine>);

/// `KEY: value`, or a list of `KEY=value`.
#[derive(Clone, Debug)]
pub(crate) enum Pairs<V> {
    Map(Vec<(Located<String>, Located<V>)>),
    List(Vec<Located<String>>),
}

/// Value of an environment variable.
#[derive(Clone, Debug)]
pub(crate) enum EnvironmentValue {
    Text(String),
    /// A secret, from lcm's own environment.
    Env(String),
    /// A secret, from a file.
    File(Located<String>),
}

/// A secret, taken from lcm's own environment or from a file, and masked everywhere.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["env"] }, { "required": ["file"] }]))]
struct SecretReference {
    /// Name of the variable in lcm's environment.
    #[schemars(example = &"HF_TOKEN")]
    env: Option<String>,
    /// Path of a file that contains the value; one trailing newline is removed. The path is relative to this file.
    #[schemars(example = &"secrets/hf_token")]
    file: Option<Located<String>>,
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for NamedMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor(PhantomData)).map(Self)
    }
}

struct EntriesVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for EntriesVisitor<V> {
    type Value = Vec<(Located<String>, V)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

struct ItemsVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ItemsVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(list)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(LIST, ItemsVisitor(PhantomData)).map(Self)
    }
}

impl<'de> Deserialize<'de> for CommandLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(CommandsVisitor)? {
            Commands(mut commands) if commands.len() == 1 => Ok(commands.remove(0)),
            Commands(_) => Err(D::Error::custom("expected one command, found a list of lists")),
        }
    }
}

impl<'de> Deserialize<'de> for Commands {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CommandsVisitor)
    }
}

struct CommandsVisitor;

impl<'de> Visitor<'de> for CommandsVisitor {
    type Value = Commands;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a command, as a string or as a list of words")
    }

    fn visit_str<E: Error>(self, line: &str) -> Result<Commands, E> {
        if line.trim().is_empty() {
            return Err(E::custom(Fault::new("lcm::manifest::empty", "the command is empty", "nothing to run")));
        }
        Ok(Commands(vec![CommandLine::Line(line.to_owned())]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Commands, A::Error> {
        let (mut words, mut commands) = (Vec::new(), Vec::new());
        while let Some(item) = items.next_element()? {
            match item {
                CommandItem::Word(word) => words.push(word),
                CommandItem::Words(words) => commands.push(CommandLine::Words(words)),
            }
        }
        match (words.is_empty(), commands.is_empty()) {
            (true, true) => {
                Err(A::Error::custom(Fault::new("lcm::manifest::empty", "the command is empty", "nothing to run")))
            }
            (false, false) => Err(A::Error::custom("a list of commands must not mix words and lists of words")),
            (false, true) => Ok(Commands(vec![CommandLine::Words(words)])),
            (true, false) => Ok(Commands(commands)),
        }
    }
}

/// A word of a command, or a command of a list.
enum CommandItem {
    Word(String),
    Words(Vec<String>),
}

impl<'de> Deserialize<'de> for CommandItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(WORD, ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = CommandItem;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a word of a command")
    }

    fn visit_str<E>(self, text: &str) -> Result<CommandItem, E> {
        Ok(CommandItem::Word(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<CommandItem, A::Error> {
        let words: Vec<ScalarText> = ItemsVisitor(PhantomData).visit_seq(items)?;
        if words.is_empty() {
            return Err(A::Error::custom(Fault::new("lcm::manifest::empty", "the command is empty", "nothing to run")));
        }
        Ok(CommandItem::Words(words.into_iter().map(|ScalarText(text)| text).collect()))
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PairsVisitor(PhantomData))
    }
}

struct PairsVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for PairsVisitor<V> {
    type Value = Pairs<V>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map, or a list of `KEY=value`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Pairs<V>, A::Error> {
        ItemsVisitor(PhantomData).visit_seq(items).map(Pairs::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Pairs<V>, A::Error> {
        EntriesVisitor(PhantomData).visit_map(map).map(Pairs::Map)
    }
}

impl<'de> Deserialize<'de> for EnvironmentValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(WORD, ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = EnvironmentValue;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string, a number, a boolean, `{ env: NAME }` or `{ file: PATH }`")
    }

    fn visit_str<E>(self, text: &str) -> Result<EnvironmentValue, E> {
        Ok(EnvironmentValue::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EnvironmentValue, A::Error> {
        match SecretReference::deserialize(MapAccessDeserializer::new(map))? {
            SecretReference { env: Some(name), file: None } => Ok(EnvironmentValue::Env(name)),
            SecretReference { env: None, file: Some(path) } => Ok(EnvironmentValue::File(path)),
            SecretReference { .. } => {
                let message = "a secret comes from one place: `env` or `file`";
                let fault = Fault::new("lcm::manifest::environment", message, "exactly one of them is needed");
                Err(A::Error::custom(fault.help("write `{ env: NAME }` or `{ file: PATH }`")))
            }
        }
    }
}

/// Schemas of the same values. They have no names of their own, so that an editor shows the key's description.
macro_rules! inline_schema {
    ($type:ty $(, $parameter:ident)?: $name:literal, |$generator:ident| $body:expr) => {
        impl$(<$parameter: JsonSchema>)? JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                concat!($name $(, "_of_", stringify!($parameter))?).into()
            }

            fn schema_id() -> Cow<'static, str> {
                std::any::type_name::<Self>().into()
            }

            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $body
            }
        }
    };
}

inline_schema!(NamedMap<V>, V: "Named", |generator| json_schema!({
    "type": "object",
    "propertyNames": { "pattern": NAME_PATTERN },
    "additionalProperties": generator.subschema_for::<V>(),
}));
inline_schema!(OneOrMany<T>, T: "OneOrMany", |generator| {
    let item = generator.subschema_for::<T>();
    json_schema!({ "anyOf": [item, { "type": "array", "items": item }] })
});
inline_schema!(CommandLine: "Command", |generator| json_schema!({
    "anyOf": [
        { "type": "string", "pattern": "\\S" },
        { "type": "array", "minItems": 1, "items": generator.subschema_for::<ScalarText>() },
    ]
}));
inline_schema!(Commands: "Commands", |generator| {
    let word = generator.subschema_for::<ScalarText>();
    json_schema!({
        "anyOf": [
            { "type": "string", "pattern": "\\S" },
            { "type": "array", "minItems": 1, "items": word },
            { "type": "array", "minItems": 1, "items": { "type": "array", "minItems": 1, "items": word } },
        ]
    })
});
inline_schema!(Pairs<EnvironmentValue>: "Environment", |generator| json_schema!({
    "anyOf": [
        { "type": "object", "additionalProperties": generator.subschema_for::<EnvironmentValue>() },
        { "type": "array", "items": { "type": "string", "pattern": "^[^=]+=" } },
    ]
}));
// A label may have no value.
inline_schema!(Pairs<ScalarText>: "Labels", |generator| json_schema!({
    "anyOf": [
        { "type": "object", "additionalProperties": generator.subschema_for::<ScalarText>() },
        { "type": "array", "items": { "type": "string", "pattern": "^[^=]" } },
    ]
}));
// Each entry is a name and its address.
inline_schema!(Pairs<OneOrMany<Located<String>>>: "ExtraHosts", |generator| json_schema!({
    "anyOf": [
        { "type": "object", "additionalProperties": generator.subschema_for::<OneOrMany<String>>() },
        { "type": "array", "items": { "type": "string", "pattern": r"^[^:=]+[:=].|\$" } },
    ]
}));
inline_schema!(EnvironmentValue: "EnvironmentValue", |generator| json_schema!({
    "anyOf": [generator.subschema_for::<ScalarText>(), generator.subschema_for::<SecretReference>()]
}));
