//! Examples in the JSON schema, in three forms: a plain literal; `&"…"` for a string that is a valid Rust path
//! (`&"host"`), which schemars rejects as a plain literal since it could name a function; and [`Example`] for a map,
//! for which Rust has no literal.

/// Example value of a schema, written as JSON text.
pub(crate) struct Example(pub(crate) &'static str);

impl serde::Serialize for Example {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: serde_json::Value = serde_json::from_str(self.0).map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}
