//! [`Located`]: a value with its source span. serde has no notion of spans; [`Located`] requests one from `read` by a
//! newtype with a reserved name.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use crate::syntax::source::Span;

/// Reserved name of a value with its span: `[file, offset, length, damaged, interpolated, value]`.
pub(crate) const LOCATED: &str = "$lcm::Located";
/// Reserved name of a scalar as written: numbers and booleans are read as text.
pub(crate) const WORD: &str = "$lcm::Word";
/// Reserved name of a list, or of one value in place of a list of one.
pub(crate) const LIST: &str = "$lcm::List";

/// Value with its source span. The schema contains the value alone.
#[derive(Clone, Debug)]
pub(crate) struct Located<T> {
    pub value: T,
    pub span: Span,
    /// True if part of the value could not be read, so that nothing in it may be reported missing.
    pub damaged: bool,
    /// True if a variable was interpolated.
    pub interpolated: bool,
}

impl<T> Deref for Located<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(LOCATED, LocatedVisitor(PhantomData))
    }
}

struct LocatedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for LocatedVisitor<T> {
    type Value = Located<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value with its place")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Located<T>, A::Error> {
        let mut number = || parts.next_element::<usize>()?.ok_or_else(|| A::Error::custom("a place is missing"));
        let span = Span { file: number()?, offset: number()?, length: number()? };
        let (damaged, interpolated) = (number()? == 1, number()? == 1);
        let value = parts.next_element()?.ok_or_else(|| A::Error::custom("a value is missing"))?;
        Ok(Located { value, span, damaged, interpolated })
    }
}

impl<T: JsonSchema> JsonSchema for Located<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
