//! Unified diff of a service's resolved spec, as two texts that read like YAML. Both sides are
//! masked before they get here.

use std::fmt::Write as _;

use serde_json::Value;
use similar::TextDiff;

use crate::model::desired::Service;
use crate::model::observed::ObservedService;
use crate::model::plan::{Reason, ReasonCode};

/// Difference between what a running service was made from and the manifest, or between its real settings and that.
pub(super) fn changed(service: &Service, seen: &ObservedService, why: &Reason) -> Option<String> {
    let config = seen.marks.as_ref().and_then(|marks| serde_json::from_str::<Value>(&marks.config).ok());
    config.and_then(|config| diff(&config["spec"], service.spec.config())).or_else(|| settings_changed(seen, why))
}

/// Difference between its real settings and the manifest's.
pub(super) fn settings_changed(seen: &ObservedService, why: &Reason) -> Option<String> {
    let changed = seen.changed.as_ref().filter(|_| why.code == ReasonCode::SettingsChanged);
    changed.map(|changed| changed.diff.clone())
}

/// From what a thing was made from to what it should be made from; `None` where both read the same.
pub(super) fn diff(before: &Value, after: &Value) -> Option<String> {
    let (before, after) = (text(before), text(after));
    if before == after {
        return None;
    }
    // One line of context: a spec is short, and its keys say where one is.
    let diff = TextDiff::from_lines(&before, &after);
    let unified = diff.unified_diff().context_radius(1).to_string();
    Some(unified.lines().filter(|line| !line.starts_with("@@")).collect::<Vec<_>>().join("\n"))
}

fn text(value: &Value) -> String {
    let mut text = String::new();
    write(&mut text, value, 0);
    text
}

fn write(text: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            for key in keys {
                match &map[key.as_str()] {
                    inner @ Value::Object(fields) if !fields.is_empty() => {
                        let _ = writeln!(text, "{indent}{key}:");
                        write(text, inner, depth + 1);
                    }
                    inner => {
                        let _ = writeln!(text, "{indent}{key}: {}", scalar(inner));
                    }
                }
            }
        }
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            let _ = writeln!(text, "{indent}{}", scalar(value));
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(plain) if !plain.is_empty() && !plain.contains(['\n', '"', '#']) => plain.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::diff;

    #[test]
    fn only_what_changed_and_its_neighbours_are_shown() {
        let before = json!({"command": ["./a"], "environment": {"MODE": "fast", "TOKEN": "***"}, "image": "x:1"});
        let after = json!({"command": ["./a"], "environment": {"MODE": "slow", "TOKEN": "***"}, "image": "x:1"});
        let expected = " environment:\n-  MODE: fast\n+  MODE: slow\n   TOKEN: ***";
        assert_eq!(diff(&before, &after).as_deref(), Some(expected));
        assert_eq!(diff(&before, &before), None);
    }
}
