//! Unified diff of a service's resolved spec, rendered like YAML. Secrets are masked on both sides by the caller.

use std::fmt::Write as _;

use serde_json::Value;
use similar::algorithms::{Capture, Compact, Replace, myers};
use similar::group_diff_ops;

use crate::model::desired::Service;
use crate::model::observed::ObservedService;
use crate::model::plan::{Reason, ReasonCode};

/// A spec is short, and its keys show where a line is.
const CONTEXT_LINES: usize = 1;

/// Diff from the spec of a running service, else from its real settings, to the manifest.
pub(super) fn changed(service: &Service, seen: &ObservedService, why: &Reason) -> Option<String> {
    let config = seen.marks.as_ref().and_then(|marks| serde_json::from_str::<Value>(&marks.config).ok());
    config.and_then(|config| diff(&config["spec"], service.spec.config())).or_else(|| settings_changed(seen, why))
}

/// Diff from a service's real settings to the manifest's.
pub(super) fn settings_changed(seen: &ObservedService, why: &Reason) -> Option<String> {
    let changed = seen.changed.as_ref().filter(|_| why.code == ReasonCode::SettingsChanged);
    changed.map(|changed| changed.diff.clone())
}

/// Diff from the spec of an instance to the desired spec; `None` where both read the same.
pub(super) fn diff(before: &Value, after: &Value) -> Option<String> {
    let (before, after) = (text(before), text(after));
    if before == after {
        return None;
    }
    // The algorithm itself: its front for texts of every kind would make the program a fifth of a megabyte larger.
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let mut found = Compact::new(Replace::new(Capture::new()), &old[..], &new[..]);
    let Ok(()) = myers::diff(&mut found, &old[..], 0..old.len(), &new[..], 0..new.len());
    let changes = group_diff_ops(found.into_inner().into_inner().into_ops(), CONTEXT_LINES);
    let changes = changes.iter().flatten().flat_map(|change| change.iter_changes(&old[..], &new[..]));
    Some(changes.map(|change| format!("{}{}", change.tag(), change.value())).collect::<Vec<_>>().join("\n"))
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
