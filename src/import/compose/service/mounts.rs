//! Ports, volumes, devices and networks of one service: its connections to the machine.

use crate::import::compose::translation::Compose;
use crate::import::compose::values::listed;
use crate::import::compose::values::{self, below, is_device, is_port, is_true, is_volume, rebased};
use crate::import::compose::variables::filled;
use crate::import::writer::{YamlBlock, YamlValue};
use crate::syntax::scalar::is_name;
use crate::syntax::tree::{Node, Value as Read};

/// Returns the items of a list.
fn items<'a>(node: &'a Node, key: &str) -> &'a [Node] {
    match node.get(key).map(|node| &node.value) {
        Some(Read::List(items)) => items,
        Some(Read::Null | Read::Scalar(_) | Read::Map(_)) | None => &[],
    }
}

impl Compose<'_> {
    pub(super) fn ports(&mut self, docker: &mut YamlBlock, name: &str, node: &Node) {
        let mut block = YamlBlock::default();
        for item in items(node, "ports") {
            let Some(port) = values::port(item, &mut |text| self.variables.adapt(text)) else { continue };
            if is_port(&filled(&port)) {
                block.item(YamlValue::text(port), None);
            } else {
                docker
                    .comment(self.notes.add(name, format!("lcm can't publish the port `{port}` as written: left out")));
            }
        }
        if block.holds_any() {
            docker.put("ports", YamlValue::Items(block));
        }
    }

    pub(super) fn volumes(&mut self, docker: &mut YamlBlock, name: &str, node: &Node) {
        let mut block = YamlBlock::default();
        for item in items(node, "volumes") {
            match self.volume(item) {
                Ok((volume, beside)) => block.item(YamlValue::text(volume), beside.as_deref()),
                Err(why) => docker.comment(self.notes.add(name, why)),
            };
        }
        if block.holds_any() {
            docker.put("volumes", YamlValue::Items(block));
        }
    }

    pub(super) fn devices(&mut self, docker: &mut YamlBlock, name: &str, node: &Node) {
        let (mut devices, mut left) = (Vec::new(), Vec::new());
        for device in listed(node, "devices").into_iter().filter(|device| !device.starts_with("nvidia.com/")) {
            let device = self.variables.adapt(device);
            if is_device(&filled(&device)) { devices.push(device) } else { left.push(device) }
        }
        if !devices.is_empty() {
            docker.put("devices", YamlValue::texts(devices));
        }
        for device in left {
            docker.comment(self.notes.add(name, format!("the device `{device}` is not supported: left out")));
        }
    }

    /// Returns a volume in its short form, with the engine's own name for a volume of the file; or the reason why lcm
    /// can't mount it.
    fn volume(&mut self, item: &Node) -> Result<(String, Option<String>), String> {
        let (source, rest) = if let Some(short) = item.scalar() {
            let (source, rest) =
                cut(short).ok_or(format!("the volume `{short}` has no name, so lcm can't keep it: left out"))?;
            (source.to_owned(), rest.to_owned())
        } else {
            let kind = below(item, "type").unwrap_or("volume");
            let target = below(item, "target").unwrap_or_default();
            let (Some(source), "volume" | "bind") = (below(item, "source"), kind) else {
                return Err(format!("the mount of type {kind} at {target} is not supported: left out"));
            };
            let read_only = if is_true(item, "read_only") { ":ro" } else { "" };
            (source.to_owned(), format!("{target}{read_only}"))
        };
        let rest = self.variables.adapt(&rest);
        if is_name(&source) {
            let real = self.real_name("volumes", &source);
            let beside = (real != source).then(|| format!("Compose's `{source}`, by its real name"));
            return Ok((format!("{real}:{rest}"), beside));
        }
        let adapted = self.variables.adapt_or(&source, &|name| format!("./{name}"));
        let volume = format!("{}:{rest}", rebased(&adapted, self.base));
        let beside = (filled(&self.variables.adapt(&source)).is_empty())
            .then(|| "set the variable: this path is a placeholder".to_owned());
        if is_volume(&filled(&volume)) {
            Ok((volume, beside))
        } else {
            Err(format!("the volume `{volume}` is not supported: left out"))
        }
    }

    pub(super) fn networks(&mut self, docker: &mut YamlBlock, name: &str, node: &Node) {
        if let Some(mode) = below(node, "network_mode") {
            let network = match mode.split_once(':') {
                Some(("service", of)) => {
                    let of = self
                        .root
                        .get("services")
                        .and_then(|services| services.get(of))
                        .and_then(|node| below(node, "container_name"))
                        .map_or_else(|| format!("{}-{of}", self.lcm_name), str::to_owned);
                    docker.comment(self.notes.add(
                        name,
                        format!("it shares the network of the container {of}: that must start first (`depends_on`)"),
                    ));
                    format!("container:{of}")
                }
                Some(_) | None => mode.to_owned(),
            };
            docker.put("networks", YamlValue::texts([network]));
            return;
        }
        let named: Vec<String> = match node.get("networks").map(|node| &node.value) {
            Some(Read::Map(entries)) => {
                if entries.iter().any(|entry| !entry.value.entries().is_empty()) {
                    let note =
                        "addresses and aliases on its networks are not translated; its name there is its service's";
                    docker.comment(self.notes.add(name, note));
                }
                entries.iter().map(|entry| entry.key.clone()).collect()
            }
            Some(Read::List(items)) => items.iter().filter_map(Node::scalar).map(str::to_owned).collect(),
            // A single service needs no network.
            Some(Read::Null | Read::Scalar(_)) | None if self.names.len() > 1 => vec!["default".to_owned()],
            Some(Read::Null | Read::Scalar(_)) | None => Vec::new(),
        };
        let named: Vec<String> = named.iter().map(|network| self.real_name("networks", network)).collect();
        if !named.is_empty() {
            self.networks.extend(named.iter().cloned());
            docker.put("networks", YamlValue::texts(named));
        }
    }
}

/// Splits source and rest at the first colon outside a variable.
fn cut(short: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    for (position, character) in short.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ':' if depth == 0 => return Some((&short[..position], &short[position + 1..])),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_volume_is_split_at_the_colon_outside_of_variables() {
        assert_eq!(cut("${DATA:-./data}:/data:ro"), Some(("${DATA:-./data}", "/data:ro")));
        assert_eq!(cut("/data"), None);
    }
}
