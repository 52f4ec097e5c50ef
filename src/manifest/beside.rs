//! Ways to a manifest in a folder that has none: files of other tools that `lcm init --from` translates.

use std::path::Path;

use crate::files::named;

/// Names of Compose's files, in the order in which Compose looks for them.
const COMPOSE: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// Names of llama-swap's file, which other tools use as well.
const LLAMA_SWAP: [&str; 2] = ["config.yaml", "config.yml"];
/// Above the size of any file that a person writes.
const BYTES_MAX: u64 = 1 << 20;

/// Returns the command that makes a manifest in a folder.
pub(super) fn first_step(folder: &Path) -> String {
    let found = COMPOSE.iter().find(|name| folder.join(name).is_file());
    let found = found.or_else(|| LLAMA_SWAP.iter().find(|name| has_models(&folder.join(name))));
    found.map_or_else(
        || "`lcm init` drafts one from what runs on this machine".to_owned(),
        |name| format!("`lcm init --from {name}` makes one from the {name} here"),
    )
}

/// Returns true if a file has the key `models` at its top, as llama-swap's has.
fn has_models(path: &Path) -> bool {
    let read = named::read(path, BYTES_MAX).ok();
    let text = read.map(|file| String::from_utf8_lossy(&file.bytes).into_owned()).unwrap_or_default();
    text.lines().any(|line| line.starts_with("models:"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::first_step;

    #[test]
    fn a_file_of_another_tool_is_offered_for_translation() {
        let folder = tempfile::tempdir().expect("a folder");
        let offered = || first_step(folder.path());
        assert!(offered().starts_with("`lcm init` drafts"));
        fs::write(folder.path().join("config.yaml"), "logging: true\n").expect("written");
        assert!(offered().starts_with("`lcm init` drafts"), "another program's file");
        fs::write(folder.path().join("config.yaml"), "healthCheckTimeout: 60\nmodels:\n  a: {}\n").expect("written");
        assert_eq!(offered(), "`lcm init --from config.yaml` makes one from the config.yaml here");
        fs::write(folder.path().join("docker-compose.yml"), "services: {}\n").expect("written");
        assert_eq!(offered(), "`lcm init --from docker-compose.yml` makes one from the docker-compose.yml here");
        fs::write(folder.path().join("compose.yaml"), "services: {}\n").expect("written");
        assert!(offered().contains("--from compose.yaml`"));
    }
}
