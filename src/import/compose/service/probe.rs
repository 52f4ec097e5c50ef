//! Health check of one service.

use crate::import::compose::translation::Compose;
use crate::import::compose::values::{self, below, duration, is_true, scalars, seconds};
use crate::import::compose::variables::filled;
use crate::import::secrets::{masked, masked_text};
use crate::import::writer::{YamlBlock, YamlValue};
use crate::syntax::tree::{Node, Value as Read};

/// Use of a container's own health check for lcm.
#[derive(Clone, Copy)]
pub(super) enum HealthcheckUse {
    Never,
    /// The engine marks the container unhealthy after this many seconds at the earliest.
    After(u64),
}

/// Docker's default, in seconds.
const INTERVAL_S: u64 = 30;
const RETRIES: u64 = 3;
/// Default time limit of lcm's health check, in seconds.
const TIMEOUT_S: u64 = 60;

impl Compose<'_> {
    /// Translates a health check. Compose and lcm have the same keys; an invalid duration is left out.
    pub(super) fn healthcheck(&mut self, docker: &mut YamlBlock, name: &str, node: &Node) -> HealthcheckUse {
        let Some(written) = node.get("healthcheck") else { return HealthcheckUse::Never };
        let mut check = YamlBlock::default();
        let words = written.get("test").map(scalars).unwrap_or_default();
        if is_true(written, "disable") || words.first() == Some(&"NONE") {
            docker.put("healthcheck", YamlValue::Flow(vec![("disable".to_owned(), YamlValue::word(true))]));
            return HealthcheckUse::Never;
        }
        if let Some(test) = written.get("test") {
            let (value, changed) = self.test(test);
            if let Some(value) = value {
                check.put("test", value);
            }
            if changed {
                check.comment(self.notes.add(name, "its health check contains a secret, which was not copied"));
            }
        }
        let mut spans = [None; 3];
        for (position, key) in ["interval", "timeout", "start_period"].into_iter().enumerate() {
            let Some(written) = below(written, key) else { continue };
            let text = filled(&self.variables.adapt(written));
            spans[position] = seconds(&text);
            match duration(&text) {
                Some(text) => check.put(key, YamlValue::word(text)),
                None => check.comment(self.notes.add(name, format!("healthcheck.{key} can't be read: left out"))),
            };
        }
        let retries = below(written, "retries").and_then(|retries| filled(&self.variables.adapt(retries)).parse().ok());
        if let Some(retries) = retries {
            check.put("retries", YamlValue::word(retries));
        }
        let known = ["test", "interval", "timeout", "start_period", "retries", "disable"];
        for entry in written.entries().iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            check.comment(self.notes.add(name, format!("healthcheck.{} has no equivalent: left out", entry.key)));
        }
        if check.holds_any() {
            docker.put("healthcheck", YamlValue::Map(check));
        }
        let [interval, _, start_period] = spans;
        let last = interval.unwrap_or(INTERVAL_S).saturating_mul(retries.unwrap_or(RETRIES));
        HealthcheckUse::After(start_period.unwrap_or_default().saturating_add(last))
    }

    /// Returns the test without secrets. `true`: it had one.
    fn test(&mut self, test: &Node) -> (Option<YamlValue>, bool) {
        match &test.value {
            Read::List(items) => {
                let words: Vec<String> =
                    items.iter().filter_map(Node::scalar).map(|word| self.variables.adapt(word)).collect();
                let (words, changed) = masked(&words);
                let begins = words.first().is_some_and(|first| ["CMD", "CMD-SHELL"].contains(&first.as_str()));
                (begins.then(|| YamlValue::texts(words)), changed)
            }
            Read::Scalar(line) if !line.text.trim().is_empty() => {
                let line = self.variables.adapt(&line.text);
                let clean = masked_text(&line);
                let changed = clean != line;
                (Some(YamlValue::text(clean)), changed)
            }
            Read::Null | Read::Scalar(_) | Read::Map(_) => (None, false),
        }
    }

    pub(super) fn health(&mut self, block: &mut YamlBlock, node: &Node, checked: HealthcheckUse) {
        match checked {
            HealthcheckUse::After(waits) => {
                let mut health = vec![("docker".to_owned(), YamlValue::word(true))];
                if waits > TIMEOUT_S {
                    health.push(("timeout".to_owned(), YamlValue::word(format!("{waits}s"))));
                }
                block.put("health", YamlValue::Flow(health));
            }
            HealthcheckUse::Never => {
                let ports = match node.get("ports").map(|ports| &ports.value) {
                    Some(Read::List(items)) => items.as_slice(),
                    Some(Read::Null | Read::Scalar(_) | Read::Map(_)) | None => &[],
                };
                let first = ports.first().and_then(|port| values::port(port, &mut |text| self.variables.adapt(text)));
                let host = first.as_deref().map(filled).and_then(|port| host_port(&port));
                if let Some(host) = host {
                    let url = YamlValue::text(format!("http://localhost:{host}/"));
                    let http = YamlValue::Flow(vec![("http".to_owned(), url)]);
                    block.propose("health", http, Some("with a path that answers once it is ready"));
                }
            }
        }
    }
}

/// Returns the host's port of a short form, if that is one TCP port.
fn host_port(port: &str) -> Option<u16> {
    let mut parts = port.rsplit(':');
    let container = parts.next()?;
    if container.contains('/') && !container.ends_with("/tcp") {
        return None;
    }
    parts.next()?.parse().ok()
}
