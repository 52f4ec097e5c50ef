//! Calls that lcm makes: a program, or an HTTP request.

/// Call of a program or an HTTP request.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    Http { method: String, url: String, json: Option<serde_json::Value> },
    Exec(Vec<String>),
}
