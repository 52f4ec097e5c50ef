//! Networks of one service, and its names there.

use crate::import::compose::general::keys_beside;
use crate::import::compose::translation::Compose;
use crate::import::compose::values::{below, listed};
use crate::import::writer::{YamlBlock, YamlValue};
use crate::syntax::tree::{Node, Value as Read};

/// Network of all services that name none.
const DEFAULT: &str = "default";

impl Compose<'_> {
    /// Translates the networks of a service. `further`: names that it has there beside its key in Compose.
    pub(super) fn networks(
        &mut self,
        docker: &mut YamlBlock,
        (key, name): (&str, &str),
        node: &Node,
        further: Option<String>,
    ) {
        if let Some(mode) = below(node, "network_mode") {
            self.network_mode(docker, name, mode);
            return;
        }
        let mut block = YamlBlock::default();
        let entries = node.get("networks").map(Node::entries).unwrap_or_default();
        for entry in entries {
            let mut aliases = vec![key.to_owned()];
            let given = listed(&entry.value, "aliases").into_iter().map(|alias| self.variables.resolve(alias));
            aliases.extend(given.chain(further.clone()));
            let mut settings = endpoint(aliases);
            if let Some(address) = below(&entry.value, "ipv4_address") {
                let address = self.variables.adapt(address);
                settings.put("ipv4_address", YamlValue::text(address));
            }
            let odd = keys_beside(&entry.value, &["aliases", "ipv4_address"]);
            if !odd.is_empty() {
                let note = format!("on the network `{}`, not translated: {odd}", entry.key);
                settings.comment(self.notes.add(name, note));
            }
            self.networks.insert(entry.key.clone());
            block.put(&entry.key, YamlValue::Map(settings));
        }
        // Compose's own network; a single service needs none.
        if entries.is_empty() && (self.names.len() > 1 || self.declares_default()) {
            self.networks.insert(DEFAULT.to_owned());
            block.put(DEFAULT, YamlValue::Map(endpoint([key.to_owned()].into_iter().chain(further).collect())));
        }
        if block.holds_any() {
            docker.put("networks", YamlValue::Map(block));
        }
    }

    fn declares_default(&self) -> bool {
        let declared = self.root.get("networks").and_then(|networks| networks.get(DEFAULT));
        declared.is_some_and(|network| !matches!(network.value, Read::Null))
    }

    fn network_mode(&mut self, docker: &mut YamlBlock, name: &str, mode: &str) {
        let network = match mode.split_once(':') {
            Some(("service", of)) => {
                let service = self.root.get("services").and_then(|services| services.get(of));
                let given = service.and_then(|node| below(node, "container_name"));
                let of = given.map_or_else(|| format!("{}-{of}", self.lcm_name), str::to_owned);
                let note = format!("it shares the network of the container {of}: that must start first (`depends_on`)");
                docker.comment(self.notes.add(name, note));
                format!("container:{of}")
            }
            Some(_) | None => self.variables.adapt(mode),
        };
        docker.put("networks", YamlValue::texts([network]));
    }
}

/// Returns the settings of a service on a network: its names there, each once.
fn endpoint(aliases: Vec<String>) -> YamlBlock {
    let mut names: Vec<String> = Vec::with_capacity(aliases.len());
    for alias in aliases {
        if !names.contains(&alias) {
            names.push(alias);
        }
    }
    let mut settings = YamlBlock::default();
    settings.put("aliases", YamlValue::texts(names));
    settings
}
