//! Recognition of lcm's manifests. Errors quote no other file: an `include` may name a key, a list of passwords, or
//! another tool's configuration.

use strsim::osa_distance;

use crate::manifest::schema;

/// Top-level keys that hardly any format but Compose has.
const TELLING: [&str; 9] =
    ["services", "modes", "templates", "goals", "gpus", "orphans", "lifecycle", "notify", "include"];
/// Top-level keys that many formats have.
const GENERIC: [&str; 3] = ["version", "name", "mode"];
/// Most bytes of a key; a longer word at the left edge is none of ours.
const KEY_BYTES_MAX: usize = 64;

/// Returns true if a map with these top-level keys is a manifest: it has no other keys, or a distinctive one, also
/// misspelt, and no more unknown keys than known ones.
pub(super) fn is_manifest<'a>(keys: impl IntoIterator<Item = &'a str>) -> bool {
    let keys: Vec<&str> = keys.into_iter().filter(|key| !key.starts_with("x-")).collect();
    let is_known = |key: &&str| TELLING.contains(key) || GENERIC.contains(key);
    if keys.iter().all(is_known) {
        return !keys.is_empty();
    }
    let schema = schema::schema();
    let in_schema = |key: &str| schema.pointer("/properties").is_some_and(|known| known.get(key).is_some());
    let tells = |key: &str| TELLING.iter().any(|telling| is_near(key, telling));
    let known = keys.iter().filter(|key| is_known(key) || in_schema(key) || tells(key)).count();
    let is_told = keys.iter().any(|key| tells(key));
    known == keys.len() || is_told && known * 2 >= keys.len()
}

/// Returns the same for a text that is not valid YAML, by the words at the left edge of its lines.
pub(super) fn looks_like_manifest(text: &str) -> bool {
    let mut keys = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let is_part = line.starts_with([' ', '\t', '#', '}', ']']) || line.trim().is_empty() || line == "---";
        if !is_part {
            // A line without a key counts as an unknown key.
            keys.push(key_of(line).unwrap_or(" "));
        }
    }
    is_manifest(keys)
}

fn key_of(line: &str) -> Option<&str> {
    let (key, rest) = line.split_once(':')?;
    let key = key.trim_end().trim_matches(['"', '\'']);
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
    let is_key = !key.is_empty() && key.len() <= KEY_BYTES_MAX && key.chars().all(is_word);
    (is_key && (rest.is_empty() || rest.starts_with([' ', '\t', '\r']))).then_some(key)
}

fn is_near(key: &str, known: &str) -> bool {
    key.len() <= KEY_BYTES_MAX && osa_distance(key, known) <= known.len() / 4
}

#[cfg(test)]
mod tests {
    use super::{is_manifest, looks_like_manifest};

    #[test]
    fn a_manifest_is_known_by_its_keys() {
        for keys in [
            &["version", "name", "services"][..],
            &["include", "mode"],
            &["orphans"],
            &["version", "name"],
            &["version", "name", "servics"],
            &["services", "x-note", "x-other"],
            &["name", "services", "networks", "volumes"],
            &["gpus", "docker"],
        ] {
            assert!(is_manifest(keys.iter().copied()), "{keys:?}");
        }
        for keys in [
            &[][..],
            &["apiVersion", "clusters", "contexts", "current-context", "kind", "preferences", "users"],
            &["name", "on", "jobs"],
            &["name", "version", "password"],
            &["auths"],
            &["type", "project_id", "private_key"],
            &["services", "password", "token"],
            &["x-only"],
        ] {
            assert!(!is_manifest(keys.iter().copied()), "{keys:?}");
        }
    }

    #[test]
    fn a_broken_text_is_known_by_its_lines() {
        for text in [
            "version: 1\nname: x\nservices:\n  a: { process: [\n",
            "services: { a: [ }\n",
            "# note\n\"services\": {\n  a: [\n}\n",
            "services:\napi:\n\tprocess:\nname: x\n",
        ] {
            assert!(looks_like_manifest(text), "{text}");
        }
        for text in [
            "root:$6$salt$hash:19000:0:99999:7:::\nkim:!:19000:0:99999:7:::\n",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE=\n-----END OPENSSH PRIVATE KEY-----\n",
            "#!/bin/sh\nTOKEN=abc\nservices: x\nexport TOKEN\n",
            "PATH=/bin\0HOME=/root\0",
            "machine example.com login kim password s3cret\n",
            "{\"auths\": {\"r\": {\"auth\": \"a2ltOnMzY3JldA==\"}}, }",
            "apiVersion: v1\nusers:\n- name: a\n  user: {token: [}\n",
            "",
        ] {
            assert!(!looks_like_manifest(text), "{text}");
        }
    }
}
