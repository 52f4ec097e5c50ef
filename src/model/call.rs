//! Calls that lcm makes: a program, or an address.

/// Call of a program or an address.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    Http { method: String, url: String, json: Option<serde_json::Value> },
    Exec(Vec<String>),
}
