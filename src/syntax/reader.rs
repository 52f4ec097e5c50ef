//! serde deserializer of a [`Node`], which adds the span to every fault and handles the reserved names of
//! [`crate::syntax::located`].

use serde::de::value::{StrDeserializer, UsizeDeserializer};
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use crate::syntax::located::{LIST, LOCATED, WORD};
use crate::syntax::read_error::{ReadError, empty, wrong_type};
use crate::syntax::tree::{MapEntry, Node, Scalar, ScalarKind, Value, is_extension};

/// Deserializer of a node.
#[derive(Clone, Copy)]
pub(crate) struct NodeReader<'a> {
    pub node: &'a Node,
}

/// Returns the kind of a scalar where a number or a boolean is expected, which may come from a variable.
fn kind_wanted(scalar: &Scalar) -> ScalarKind {
    match scalar.kind {
        ScalarKind::String if scalar.interpolated && scalar.text.parse::<i64>().is_ok() => ScalarKind::Integer,
        ScalarKind::String if scalar.interpolated && ["true", "false"].contains(&scalar.text.as_str()) => {
            ScalarKind::Bool
        }
        kind => kind,
    }
}

impl NodeReader<'_> {
    fn refuse<T>(self, expected: &str) -> Result<T, ReadError> {
        let fault = match self.node.value {
            Value::Null => empty(),
            Value::Scalar(_) | Value::List(_) | Value::Map(_) => wrong_type(expected, &self.node.describe()),
        };
        Err(ReadError::new(fault).at(self.node.span))
    }

    fn scalar<'de, V: Visitor<'de>>(
        self,
        scalar: &Scalar,
        kind: ScalarKind,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let text = scalar.text.as_str();
        match kind {
            ScalarKind::Bool => visitor.visit_bool(text.eq_ignore_ascii_case("true")),
            ScalarKind::Integer => match (text.parse::<u64>(), text.parse::<i64>()) {
                (Ok(number), _) => visitor.visit_u64(number),
                (Err(_), Ok(number)) => visitor.visit_i64(number),
                (Err(_), Err(_)) => self.refuse("a whole number in decimal digits"),
            },
            ScalarKind::Float => match text.parse() {
                Ok(number) => visitor.visit_f64(number),
                Err(_) => visitor.visit_str(text),
            },
            ScalarKind::String => visitor.visit_str(text),
        }
        .map_err(|error| error.at(self.node.span))
    }

    fn list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            Value::Null | Value::Scalar(_) | Value::Map(_) => return self.refuse("a list"),
        }
        .map_err(|error| error.at(self.node.span))
    }

    /// Reads a map. `is_open`: its keys are the user's own; else those that begin with `x-` are skipped.
    fn map<'de, V: Visitor<'de>>(self, is_open: bool, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Map(entries) => visitor.visit_map(Entries { all: entries, next: 0, is_open }),
            Value::Null | Value::Scalar(_) | Value::List(_) => return self.refuse("a map"),
        }
        .map_err(|error| error.at(self.node.span))
    }
}

impl<'de> Deserializer<'de> for NodeReader<'_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Null => visitor.visit_unit().map_err(|error: ReadError| error.at(self.node.span)),
            Value::Scalar(scalar) => self.scalar(scalar, scalar.kind, visitor),
            Value::List(_) => self.list(visitor),
            Value::Map(_) => self.map(true, visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Scalar(scalar) if scalar.kind == ScalarKind::String => {
                self.scalar(scalar, ScalarKind::String, visitor)
            }
            Value::Null | Value::Scalar(_) | Value::List(_) | Value::Map(_) => self.refuse("a string"),
        }
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Scalar(scalar) => self.scalar(scalar, kind_wanted(scalar), visitor),
            Value::Null | Value::List(_) | Value::Map(_) => self.deserialize_any(visitor),
        }
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.node.value {
            Value::Null => self.refuse("a value"),
            Value::Scalar(_) | Value::List(_) | Value::Map(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match (name, &self.node.value) {
            (LOCATED, _) => visitor.visit_seq(LocatedFields { node: self.node, next: 0 }),
            (LIST, Value::Null) => self.refuse("a list"),
            (LIST, Value::Scalar(_) | Value::Map(_)) => visitor.visit_seq(SingleItem(Some(self.node))),
            (WORD, Value::Null) => self.refuse("a value"),
            (WORD, Value::Scalar(scalar)) => self.scalar(scalar, ScalarKind::String, visitor),
            (LIST | WORD, _) => self.deserialize_any(visitor),
            (_, _) => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.list(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.map(true, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if let Value::Scalar(_) | Value::List(_) = &self.node.value {
            let fault = wrong_type("a map", &self.node.describe());
            return Err(ReadError::new(fault.help(format!("its keys are: {}", keys.join(", ")))).at(self.node.span));
        }
        self.map(false, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Scalar(scalar) if scalar.kind == ScalarKind::String => {
                visitor.visit_enum(VariantName(&scalar.text)).map_err(|error| error.at(self.node.span))
            }
            Value::Null | Value::Scalar(_) | Value::List(_) | Value::Map(_) => {
                self.refuse(&format!("one of {}", variants.join(", ")))
            }
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u64 u128 f32 f64 char str bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

/// Name of an enum variant.
struct VariantName<'a>(&'a str);

impl<'de> EnumAccess<'de> for VariantName<'_> {
    type Error = ReadError;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), ReadError> {
        let name: StrDeserializer<'_, ReadError> = self.0.into_deserializer();
        seed.deserialize(name).map(|value| (value, self))
    }
}

/// Only unit variants are supported.
impl<'de> VariantAccess<'de> for VariantName<'_> {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, ReadError> {
        Err(de::Error::custom("expected a map"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, ReadError> {
        Err(de::Error::custom("expected a list"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, ReadError> {
        Err(de::Error::custom("expected a map"))
    }
}

struct Items<'a> {
    items: &'a [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some(node) = self.items.get(self.next) else { return Ok(None) };
        self.next += 1;
        seed.deserialize(NodeReader { node }).map(Some).map_err(|error| error.below(self.next - 1))
    }
}

/// One value in place of a list of one.
struct SingleItem<'a>(Option<&'a Node>);

impl<'de> SeqAccess<'de> for SingleItem<'_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        self.0.take().map(|node| seed.deserialize(NodeReader { node })).transpose()
    }
}

struct Entries<'a> {
    all: &'a [MapEntry],
    next: usize,
    is_open: bool,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let rest = self.all.iter().skip(self.next);
        self.next += rest.take_while(|entry| !self.is_open && is_extension(&entry.key)).count();
        let Some(entry) = self.all.get(self.next) else { return Ok(None) };
        self.next += 1;
        let scalar = Scalar { text: entry.key.clone(), kind: ScalarKind::String, interpolated: false };
        let node = Node::new(entry.key_span, Value::Scalar(scalar));
        seed.deserialize(NodeReader { node: &node })
            .map(Some)
            .map_err(|error| error.at(entry.key_span).below(self.next - 1))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let position = self.next - 1;
        let entry = &self.all[position];
        // An empty value has no span of its own.
        let null_span = matches!(entry.value.value, Value::Null).then_some(entry.key_span);
        seed.deserialize(NodeReader { node: &entry.value }).map_err(|mut error| {
            if let (Some(span), true) = (null_span, error.path.is_empty()) {
                error.span = Some(span);
            }
            error.below(position)
        })
    }
}

/// Fields of a node that [`crate::syntax::located::Located`] reads.
struct LocatedFields<'a> {
    node: &'a Node,
    next: usize,
}

impl<'de> SeqAccess<'de> for LocatedFields<'_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let node = self.node;
        let interpolated = match &node.value {
            Value::Scalar(scalar) => scalar.interpolated,
            Value::Null | Value::List(_) | Value::Map(_) => false,
        };
        let span = node.span;
        let numbers = [span.file, span.offset, span.length, usize::from(node.damaged), usize::from(interpolated)];
        self.next += 1;
        match numbers.get(self.next - 1) {
            Some(number) => {
                let number: UsizeDeserializer<ReadError> = number.into_deserializer();
                seed.deserialize(number).map(Some)
            }
            None => seed.deserialize(NodeReader { node }).map(Some),
        }
    }
}
