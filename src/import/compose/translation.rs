//! State of the translation of one Compose file: the file, the names in it, and the notes about it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::import::compose::values::below;
use crate::import::compose::variables::{ComposeVariables, filled};
use crate::import::draft::Notes;
use crate::syntax::tree::{Node, Value as Read};

/// Translation of one file, in progress.
pub(super) struct Compose<'a> {
    pub(super) root: &'a Node,
    /// Project name in Compose: the prefix of its volumes' and networks' names.
    pub(super) project: String,
    /// Project name in lcm: the prefix of its containers' names.
    pub(super) lcm_name: String,
    pub(super) base: &'a Path,
    pub(super) variables: ComposeVariables<'a>,
    pub(super) notes: Notes,
    /// Compose's names of services that can be translated, and their names in the manifest.
    pub(super) names: BTreeMap<&'a str, String>,
    /// Names of containers already in use.
    pub(super) containers: BTreeSet<String>,
    /// Networks that must exist.
    pub(super) networks: BTreeSet<String>,
    /// Secrets whose values were not copied.
    pub(super) secrets: BTreeSet<String>,
}

/// Facts about a translated service that modes need.
pub(super) struct TranslatedService {
    pub(super) name: String,
    pub(super) profiles: BTreeSet<String>,
    pub(super) on_gpu: bool,
    pub(super) needs: BTreeSet<String>,
}

impl Compose<'_> {
    /// Returns the engine's name for a volume or a network of the file.
    pub(super) fn real_name(&mut self, section: &str, name: &str) -> String {
        let declared = self.root.get(section).and_then(|all| all.get(name));
        let given = declared.and_then(|node| below(node, "name")).map(str::to_owned);
        if let Some(given) = given {
            return filled(&self.variables.adapt(&given));
        }
        let external = declared.is_some_and(|node| match node.get("external").map(|node| &node.value) {
            Some(Read::Scalar(scalar)) => scalar.text == "true",
            Some(Read::Map(_)) => true,
            Some(Read::Null | Read::List(_)) | None => false,
        });
        if external { name.to_owned() } else { format!("{}_{name}", self.project) }
    }
}
