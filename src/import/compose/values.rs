//! Compose's values in lcm's notation, each as text; `None`: lcm can't express the value.

use std::path::{Component, Path};

use regex_lite::Regex;

use crate::syntax::interpolate::{closing_brace, name_at};
use crate::syntax::ports;
use crate::syntax::scalar::{DurationText, is_name};
use crate::syntax::tree::{Node, Value as Read};

/// Returns the scalars of a list, or the one that stands for a list of one.
pub(super) fn scalars(node: &Node) -> Vec<&str> {
    match &node.value {
        Read::List(items) => items.iter().filter_map(Node::scalar).collect(),
        Read::Scalar(scalar) => vec![&scalar.text],
        Read::Null | Read::Map(_) => Vec::new(),
    }
}

/// Returns the scalars under a key.
pub(super) fn listed<'a>(node: &'a Node, key: &str) -> Vec<&'a str> {
    node.get(key).map(scalars).unwrap_or_default()
}

/// Returns the text under a key.
pub(super) fn below<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.get(key).and_then(Node::scalar)
}

pub(super) fn is_true(node: &Node, key: &str) -> bool {
    below(node, key) == Some("true")
}

/// Parses `8gb`, `64M`, `67108864`: Docker counts by 1024 with every spelling of a unit.
pub(in crate::import) fn size(text: &str) -> Option<String> {
    let pattern = Regex::new(r"(?i)^([0-9]+(?:\.[0-9]+)?) *([kmgt]?)i?b?$").expect("a pattern");
    let parts = pattern.captures(text.trim())?;
    let number = parts.get(1)?.as_str();
    match parts.get(2)?.as_str().to_ascii_uppercase().as_str() {
        "" => {
            let bytes: u64 = number.parse().ok()?;
            let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
            let (unit, name) = units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit))?;
            Some(format!("{}{name}", bytes / unit))
        }
        unit => Some(format!("{number}{unit}iB")),
    }
}

/// Returns a duration; most have the same notation in both.
pub(in crate::import) fn duration(text: &str) -> Option<String> {
    let text = text.trim();
    DurationText::parse(text).is_ok().then(|| text.to_owned())
}

/// Returns seconds, rounded down, for sums.
pub(super) fn seconds(text: &str) -> Option<u64> {
    DurationText::parse(text.trim()).ok().map(|period| period.0.as_secs())
}

/// Returns a published port in its short form; `adapt` converts its variables.
pub(super) fn port(node: &Node, adapt: &mut dyn FnMut(&str) -> String) -> Option<String> {
    if let Some(short) = node.scalar() {
        return Some(adapt(short));
    }
    let target = adapt(below(node, "target")?);
    let published = below(node, "published").map(&mut *adapt).map(|port| format!("{port}:")).unwrap_or_default();
    let address = below(node, "host_ip")
        .map(&mut *adapt)
        .map(|ip| if ip.contains(':') { format!("[{ip}]:") } else { format!("{ip}:") });
    let protocol = below(node, "protocol").filter(|protocol| *protocol != "tcp").map(|protocol| format!("/{protocol}"));
    let published = if address.is_some() && published.is_empty() { ":".to_owned() } else { published };
    Some(format!("{}{published}{target}{}", address.unwrap_or_default(), protocol.unwrap_or_default()))
}

pub(super) fn is_port(filled: &str) -> bool {
    ports::parse(filled).is_ok()
}

/// Returns true if the text mounts a volume, as lcm sees it.
pub(in crate::import) fn is_volume(filled: &str) -> bool {
    let mut parts = filled.splitn(3, ':');
    let (source, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    target.starts_with('/') && (source.starts_with(['/', '.', '~']) || is_name(source))
}

pub(in crate::import) fn is_device(filled: &str) -> bool {
    let parts: Vec<&str> = filled.split(':').collect();
    parts.len() <= 3 && parts[0].starts_with('/') && parts.get(1).is_none_or(|inside| inside.starts_with('/'))
}

/// Splits a text at the first of these separators outside of variables.
pub(super) fn cut<'a>(text: &'a str, separators: &[char]) -> Option<(&'a str, &'a str)> {
    let mut position = 0;
    while let Some(character) = text[position..].chars().next() {
        if let Some(end) = text[position..].strip_prefix("${").and_then(closing_brace) {
            position += end + "${}".len();
            continue;
        }
        let next = position + character.len_utf8();
        if separators.contains(&character) {
            return Some((&text[..position], &text[next..]));
        }
        position = next;
    }
    None
}

/// Returns a relative path as seen from the manifest's folder; of a path that begins with a variable, its default.
pub(super) fn rebased(path: &str, base: &Path) -> String {
    if path.is_empty() || path.starts_with(['/', '~']) || base.as_os_str().is_empty() {
        return path.to_owned();
    }
    if path.starts_with('$') {
        return rebased_default(path, base).unwrap_or_else(|| path.to_owned());
    }
    let joined = crate::syntax::source::tidy(&base.join(path));
    let climbs = matches!(joined.components().next(), Some(Component::ParentDir | Component::RootDir));
    if climbs { joined.display().to_string() } else { format!("./{}", joined.display()) }
}

fn rebased_default(path: &str, base: &Path) -> Option<String> {
    let inner = path.strip_prefix("${")?;
    let end = closing_brace(inner)?;
    let (inner, rest) = (&inner[..end], &inner[end + 1..]);
    let name = name_at(inner);
    let operator = &inner[name.len()..];
    let default = operator.strip_prefix(":-").or_else(|| operator.strip_prefix('-'))?;
    let colon = if operator.starts_with(':') { ":" } else { "" };
    let is_relative = default.starts_with(['.', '$']) || (rest.is_empty() && default.contains('/'));
    is_relative.then(|| format!("${{{name}{colon}-{}}}{rest}", rebased(default, base)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{cut, rebased, size};

    #[test]
    fn a_text_is_split_outside_of_variables() {
        assert_eq!(cut("${DATA:-./data}:/data:ro", &[':']), Some(("${DATA:-./data}", "/data:ro")));
        assert_eq!(cut("${A:-a=b}=c=d", &['=']), Some(("${A:-a=b}", "c=d")));
        assert_eq!(cut("/data", &[':']), None);
    }

    #[test]
    fn sizes_count_by_1024() {
        for (text, wanted) in [
            ("8gb", Some("8GiB")),
            ("64M", Some("64MiB")),
            ("1.5g", Some("1.5GiB")),
            ("67108864", Some("64MiB")),
            ("128MB", Some("128MiB")),
            ("a lot", None),
        ] {
            assert_eq!(size(text).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn paths_stay_where_they_were() {
        assert_eq!(rebased("./data", Path::new("deploy")), "./deploy/data");
        assert_eq!(rebased("../data", Path::new("../x/y")), "../x/data");
        assert_eq!(rebased("/data", Path::new("deploy")), "/data");
        assert_eq!(rebased(".env", Path::new("")), ".env");
        assert_eq!(rebased("${A:-./a}/b", Path::new("deploy")), "${A:-./deploy/a}/b");
        assert_eq!(rebased("${A-${B:-.}}/b", Path::new("deploy")), "${A-${B:-./deploy}}/b");
        for kept in ["${A:-v}", "${A}", "$A/x", "${A:-/x}", "${A:+./x}"] {
            assert_eq!(rebased(kept, Path::new("deploy")), kept);
        }
    }
}
