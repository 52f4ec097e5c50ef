//! Ports, volumes and devices of one service: its connections to the machine.

use crate::import::compose::general::keys_beside;
use crate::import::compose::translation::Compose;
use crate::import::compose::values::{self, below, cut, is_device, is_port, is_true, is_volume, listed, rebased};
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
            let odd = keys_beside(item, &["target", "published", "host_ip", "protocol"]);
            if !odd.is_empty() {
                docker.comment(self.notes.add(name, format!("of its `ports`, not translated: {odd}")));
            }
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
        for mount in self.mounted_files(docker, name, node) {
            block.item(YamlValue::text(mount), None);
        }
        for item in items(node, "volumes") {
            let odd = keys_beside(item, &["type", "source", "target", "read_only"]);
            if !odd.is_empty() {
                docker.comment(self.notes.add(name, format!("of its `volumes`, not translated: {odd}")));
            }
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
        for item in items(node, "devices").iter().filter(|item| item.scalar().is_none()) {
            if let Some(source) = below(item, "source") {
                let parts = [Some(source), below(item, "target"), below(item, "permissions")];
                let parts: Vec<&str> = parts.into_iter().flatten().collect();
                devices.push(self.variables.adapt(&parts.join(":")));
            }
        }
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
            let (source, rest) = cut(short, &[':'])
                .ok_or(format!("the volume `{short}` has no name, so lcm can't keep it: left out"))?;
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
            let real = self.real_name(&source);
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
}
