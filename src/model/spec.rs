//! Spec that a service was created from, as it is written on the instance itself: a hash to compare, and a masked text
//! to diff.
//!
//! Plan and apply both use this one function, so that they can't disagree. Placement, probes, priorities and memory are
//! not in it: a change of those recreates nothing.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::model::secret::{Masker, Secret};

/// Version of the hash. A change of it recreates everything that was hashed the old way, so a new release of lcm alone
/// never changes it.
const VERSION: &str = "v1";

/// Half of a SHA-256: short enough to be read in a label, and long enough that no two specs collide by chance or by
/// effort.
const DIGEST_BYTES: usize = 16;

/// The resolved form of a service, and the part of it that must stay hidden.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Boxed: a plan reads the hash alone, of thousands of services.
    config: Box<Value>,
    /// Hash of `config`, which never changes: a plan compares it for every service, and more than once.
    hash: String,
    /// Hash by an lcm that did not leave secrets out of the rest of the config.
    former_hash: Option<String>,
    /// By name of the environment variable.
    pub secrets: BTreeMap<String, Secret>,
    /// The config before secrets were left out of it, where there were any: it goes into the salted digest.
    whole: Option<Secret>,
    /// Masks values that are written down beside the config.
    masker: Masker,
}

impl Spec {
    #[must_use]
    pub fn new(config: Value, secrets: BTreeMap<String, Secret>) -> Self {
        let hash = digest(&[&canonical_bytes(&config)]);
        let masker = Masker::default();
        Self { config: Box::new(config), hash, former_hash: None, secrets, whole: None, masker }
    }

    /// Leaves secrets that stand outside of the environment (a token on a command line) out of the config and its hash;
    /// they count in the salted digest from now on. A config without any keeps its hash.
    pub fn leave_out(&mut self, secrets: &Masker) {
        let mut config = self.config.clone();
        secrets.mask_json(&mut config);
        if config != self.config {
            self.whole = Some(Secret::new(canonical(&self.config)));
            let hash = digest(&[&canonical_bytes(&config)]);
            self.former_hash = Some(std::mem::replace(&mut self.hash, hash));
            self.config = config;
        }
    }

    /// Masks the config for its readers. Its hash stays: a secret of another service is no change of this one.
    pub fn conceal(&mut self, masker: &Masker) {
        masker.mask_json(&mut self.config);
        self.masker = masker.clone();
    }

    /// Returns a value, masked, that is written on an instance beside the config.
    #[must_use]
    pub fn masked(&self, mut value: Value) -> Value {
        self.masker.mask_json(&mut value);
        value
    }

    /// Creates the spec of a service without secrets.
    #[must_use]
    pub fn plain(config: Value) -> Self {
        Self::new(config, BTreeMap::new())
    }

    /// Returns the config without secrets; keys in order, absent ones left out. `Null` for a container that lcm did not
    /// create.
    #[must_use]
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// Returns `v1:` and the hash of [`Spec::config`].
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Returns true if an instance with this hash was created from this config, also by an lcm that hashed secrets with
    /// it.
    #[must_use]
    pub fn has_hash(&self, carried: &str) -> bool {
        carried == self.hash || self.former_hash.as_deref() == Some(carried)
    }

    /// Returns true if an instance with this digest under this salt was created with these secrets.
    #[must_use]
    pub fn has_secrets(&self, carried: &str, salt: &str) -> bool {
        let former = || self.whole.is_some() && carried == self.digest_of(salt, None);
        carried == self.secret_digest(salt) || former()
    }

    /// Returns a digest of the secrets under the salt of the instance; empty where there are none.
    #[must_use]
    pub fn secret_digest(&self, salt: &str) -> String {
        self.digest_of(salt, self.whole.as_ref())
    }

    fn digest_of(&self, salt: &str, whole: Option<&Secret>) -> String {
        if self.secrets.is_empty() && whole.is_none() {
            return String::new();
        }
        let mut parts = vec![salt.as_bytes()];
        // No variable has an empty name.
        parts.extend(whole.iter().flat_map(|whole| ["".as_bytes(), whole.reveal().as_bytes()]));
        for (name, secret) in &self.secrets {
            parts.push(name.as_bytes());
            parts.push(secret.reveal().as_bytes());
        }
        digest(&parts)
    }
}

/// Returns JSON with sorted keys: equal maps give equal texts.
#[must_use]
pub fn canonical(value: &Value) -> String {
    String::from_utf8(canonical_bytes(value)).expect("JSON is UTF-8")
}

fn canonical_bytes(value: &Value) -> Vec<u8> {
    // Most specs are shorter than this.
    let mut bytes = Vec::with_capacity(512);
    write_canonical(&mut bytes, value);
    bytes
}

fn write_canonical(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<(&String, &Value)> = map.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| *key);
            bytes.push(b'{');
            for (at, (key, value)) in fields.into_iter().enumerate() {
                bytes.extend((at > 0).then_some(b','));
                write_scalar(bytes, key);
                bytes.push(b':');
                write_canonical(bytes, value);
            }
            bytes.push(b'}');
        }
        Value::Array(items) => {
            bytes.push(b'[');
            for (at, item) in items.iter().enumerate() {
                bytes.extend((at > 0).then_some(b','));
                write_canonical(bytes, item);
            }
            bytes.push(b']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => write_scalar(bytes, value),
    }
}

fn write_scalar(bytes: &mut Vec<u8>, scalar: &impl Serialize) {
    serde_json::to_writer(bytes, scalar).expect("memory takes all that is written");
}

/// Returns a digest of several parts. Each is hashed with its length, so that `ab, c` and `a, bc` differ.
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    // Computed for thousands of services: digit by digit, without a formatter.
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    let mut text = String::with_capacity(VERSION.len() + 1 + 2 * DIGEST_BYTES);
    text.extend([VERSION, ":"]);
    text.extend(hasher.finalize().iter().take(DIGEST_BYTES).flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::Spec;
    use crate::model::secret::{Masker, Secret};

    #[test]
    fn the_order_of_keys_does_not_matter() {
        assert_eq!(Spec::plain(json!({"a": 1, "b": [2]})).hash(), Spec::plain(json!({"b": [2], "a": 1})).hash());
        assert_ne!(Spec::plain(json!({"a": 1})).hash(), Spec::plain(json!({"a": 2})).hash());
    }

    #[test]
    fn this_hash_is_the_one_that_running_instances_carry() {
        // Changing this literal recreates every service of every user: see VERSION.
        let spec = Spec::plain(json!({"command": ["./serve"], "cwd": "."}));
        assert_eq!(spec.hash(), "v1:41ddb7cf62318f6e302b4e73d8becfbe");
    }

    #[test]
    fn a_digest_needs_its_salt() {
        let secrets = BTreeMap::from([("TOKEN".to_owned(), Secret::new("s3cret"))]);
        let spec = Spec::new(json!(null), secrets);
        assert_eq!(spec.secret_digest("a"), spec.secret_digest("a"));
        assert_ne!(spec.secret_digest("a"), spec.secret_digest("b"));
        assert_eq!(Spec::plain(json!(null)).secret_digest("a"), "");
        assert!(spec.has_secrets(&spec.secret_digest("a"), "a") && !spec.has_secrets(&spec.secret_digest("b"), "a"));
    }

    #[test]
    fn a_secret_on_a_command_line_is_in_the_digest_and_not_in_the_hash() {
        let with = |token: &str| {
            let mut spec = Spec::plain(json!({ "command": ["serve", format!("--token={token}")] }));
            let before = spec.clone();
            spec.leave_out(&Masker::of([Secret::new(token)].iter()));
            (before, spec)
        };
        let ((before, one), (_, other)) = (with("s3cret-one"), with("s3cret-two"));
        assert_eq!(*one.config(), json!({ "command": ["serve", "--token=***"] }));
        assert_eq!(one.hash(), other.hash());
        assert_ne!(one.secret_digest("salt"), other.secret_digest("salt"));
        assert!(!one.has_secrets(&other.secret_digest("salt"), "salt"));
        // An instance that an earlier lcm started is not recreated for that.
        assert!(one.has_hash(before.hash()) && one.has_secrets(&before.secret_digest("salt"), "salt"));
        assert!(!other.has_hash(before.hash()), "another token is another spec");
    }

    #[test]
    fn what_is_hidden_for_readers_changes_no_hash() {
        let mut spec = Spec::plain(json!({ "command": ["serve", "of-another-service"] }));
        let hash = spec.hash().to_owned();
        spec.conceal(&Masker::of([Secret::new("of-another-service")].iter()));
        assert_eq!(*spec.config(), json!({ "command": ["serve", "***"] }));
        assert_eq!(spec.hash(), hash);
        assert_eq!(spec.masked(json!(["kill", "of-another-service"])), json!(["kill", "***"]));
    }
}
