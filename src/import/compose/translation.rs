//! State of the translation of one Compose project: its merged files, the names in them, and the notes about them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::import::compose::keys::SharedKeys;
use crate::import::compose::loader::LoadNotes;
use crate::import::compose::values::below;
use crate::import::compose::variables::ComposeVariables;
use crate::import::draft::Notes;
use crate::syntax::tree::{Node, Value as Read};

/// Translation of one project, in progress.
pub(super) struct Compose<'a> {
    pub(super) root: &'a Node,
    /// Project name in Compose: the prefix of its volumes' and networks' names.
    pub(super) project: String,
    /// Project name in lcm: the prefix of its containers' names.
    pub(super) lcm_name: String,
    pub(super) base: &'a Path,
    pub(super) variables: ComposeVariables<'a>,
    /// Keys that a manifest takes over as they are.
    pub(super) keys: SharedKeys,
    pub(super) notes: Notes,
    /// Notes from the reading of the files.
    pub(super) load_notes: LoadNotes,
    /// Compose's names of services that can be translated, and their names in the manifest.
    pub(super) names: BTreeMap<&'a str, String>,
    /// Compose's names of services that run to their end.
    pub(super) jobs: BTreeSet<&'a str>,
    /// Names of containers already in use.
    pub(super) containers: BTreeSet<String>,
    /// Compose's names of networks that services join.
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
    /// Returns the engine's name for a volume of the project.
    pub(super) fn real_name(&self, name: &str) -> String {
        let declared = self.root.get("volumes").and_then(|all| all.get(name));
        let external = declared.and_then(|node| node.get("external"));
        let given = declared.and_then(|node| below(node, "name").or_else(|| below(external?, "name")));
        if let Some(given) = given {
            return self.variables.resolve(given);
        }
        let external = declared.is_some_and(|node| match node.get("external").map(|node| &node.value) {
            Some(Read::Scalar(scalar)) => scalar.text == "true",
            Some(Read::Map(_)) => true,
            Some(Read::Null | Read::List(_)) | None => false,
        });
        if external { name.to_owned() } else { format!("{}_{name}", self.project) }
    }
}
