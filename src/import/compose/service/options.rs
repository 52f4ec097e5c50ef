//! Options of one service that a manifest has under the same names: host names, rights, limits and logging.

use crate::import::compose::translation::Compose;
use crate::import::compose::values::{self, below, listed};
use crate::import::compose::variables::filled;
use crate::import::secrets::is_secret;
use crate::import::writer::{YamlBlock, YamlValue};
use crate::syntax::tree::{Node, Value as Read};

/// Keys with one text, which both have.
const TEXTS: [&str; 2] = ["hostname", "working_dir"];
/// Keys with a boolean.
const FLAGS: [&str; 2] = ["init", "privileged"];
/// Keys with a list of texts, or one text.
const LISTS: [&str; 5] = ["dns", "tmpfs", "cap_add", "cap_drop", "group_add"];

impl Compose<'_> {
    pub(super) fn options(&mut self, docker: &mut YamlBlock, name: &str, node: &Node) {
        for key in TEXTS {
            if let Some(text) = below(node, key) {
                let adapted = self.variables.adapt(text);
                docker.put(key, YamlValue::text(adapted));
            }
        }
        for key in FLAGS {
            if let Some(flag) = below(node, key).filter(|flag| ["true", "false"].contains(flag)) {
                docker.put(key, YamlValue::word(flag));
            }
        }
        for key in LISTS {
            let items: Vec<String> = listed(node, key).into_iter().map(|item| self.variables.adapt(item)).collect();
            put_list(docker, key, items);
        }
        self.extra_hosts(docker, node);
        self.security(docker, name, node);
        self.resources(docker, name, node);
        self.logging(docker, name, node);
    }

    fn extra_hosts(&mut self, docker: &mut YamlBlock, node: &Node) {
        let hosts: Vec<String> = match node.get("extra_hosts").map(|node| &node.value) {
            Some(Read::Map(entries)) => entries
                .iter()
                .flat_map(|entry| {
                    let addresses = values::scalars(&entry.value).into_iter();
                    addresses.map(|address| format!("{}={address}", entry.key)).collect::<Vec<_>>()
                })
                .collect(),
            Some(Read::List(items)) => items.iter().filter_map(Node::scalar).map(str::to_owned).collect(),
            Some(Read::Null | Read::Scalar(_)) | None => Vec::new(),
        };
        let hosts: Vec<String> = hosts.iter().map(|host| self.variables.adapt(host)).collect();
        put_list(docker, "extra_hosts", hosts);
    }

    /// Translates security options, but for those that Compose itself reads from a file or turns into other settings.
    fn security(&mut self, docker: &mut YamlBlock, name: &str, node: &Node) {
        let (mut options, mut left) = (Vec::new(), Vec::new());
        for option in listed(node, "security_opt") {
            let adapted = self.variables.adapt(option);
            let text = filled(&adapted);
            let (key, value) = text.split_once([':', '=']).unwrap_or((&text, ""));
            let known = match key {
                "no-new-privileges" => ["", "true", "false"].contains(&value),
                "seccomp" => ["unconfined", "builtin"].contains(&value),
                "apparmor" | "label" => !value.is_empty(),
                _ => false,
            };
            if known { options.push(adapted) } else { left.push(adapted) }
        }
        put_list(docker, "security_opt", options);
        for option in left {
            let note = format!("the security option `{option}` is not supported: left out");
            docker.comment(self.notes.add(name, note));
        }
    }

    /// Translates limits of memory and CPUs, from either of the places that Compose has for them.
    fn resources(&mut self, docker: &mut YamlBlock, name: &str, node: &Node) {
        let limits = ["deploy", "resources", "limits"].iter().try_fold(node, |node, key| node.get(key));
        let below_limits = |key: &str| limits.and_then(|limits| below(limits, key));
        if let Some(memory) = below(node, "mem_limit").or_else(|| below_limits("memory")) {
            let memory = filled(&self.variables.adapt(memory));
            // In Compose 0 is no limit.
            match values::size(&memory) {
                Some(size) => docker.put("mem_limit", YamlValue::word(size)),
                None if memory.trim() == "0" => docker,
                None => docker.comment(self.notes.add(name, "its limit of memory is not a valid size: left out")),
            };
        }
        if let Some(cpus) = below(node, "cpus").or_else(|| below_limits("cpus")) {
            let cpus = filled(&self.variables.adapt(cpus));
            let number = cpus.trim().parse::<f64>().ok();
            let is_plain = cpus.trim().bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            match number {
                Some(number) if number >= 0.01 && is_plain => {
                    docker.put("cpus", YamlValue::word(cpus.trim()));
                }
                Some(number) if number.abs() < f64::EPSILON => {}
                Some(_) | None => {
                    docker.comment(self.notes.add(name, "its number of CPUs is not supported: left out"));
                }
            }
        }
    }

    fn logging(&mut self, docker: &mut YamlBlock, name: &str, node: &Node) {
        let Some(written) = node.get("logging") else { return };
        let mut logging = YamlBlock::default();
        if let Some(driver) = below(written, "driver").filter(|driver| !driver.is_empty()) {
            let adapted = self.variables.adapt(driver);
            logging.put("driver", YamlValue::text(adapted));
        }
        let mut options = YamlBlock::default();
        for entry in written.get("options").map(Node::entries).unwrap_or_default() {
            let Some(value) = entry.value.scalar() else { continue };
            if is_secret(&entry.key, value) {
                let note = format!("the log option `{}` looks like a secret: its value was not copied", entry.key);
                docker.comment(self.notes.add(name, note));
            } else {
                let adapted = self.variables.adapt(value);
                options.put(&entry.key, YamlValue::text(adapted));
            }
        }
        if options.holds_any() {
            logging.put("options", YamlValue::Map(options));
        }
        if logging.holds_any() {
            docker.put("logging", YamlValue::Map(logging));
        }
    }
}

fn put_list(docker: &mut YamlBlock, key: &str, items: Vec<String>) {
    if !items.is_empty() {
        docker.put(key, YamlValue::texts(items));
    }
}
