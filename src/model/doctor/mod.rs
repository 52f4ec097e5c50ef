//! Checks of the machine for `lcm doctor`: the result of each, and the readings that they judge.
//!
//! In: readings of `host`, `store` and the runtimes ([`readings`]). Out: one [`MachineCheck`] for each thing that was
//! checked. Not here: the judgement, which is `observe::doctor`'s and each runtime's.

pub mod readings;

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

/// Result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckLevel {
    /// The machine provides what lcm needs here.
    Ok,
    /// lcm works, but something is limited; `help` states how to lift that.
    Warn,
    /// lcm, or a service of the manifest, can't work until this is repaired.
    Fail,
    /// Not checked, or not needed here.
    Skip,
}

impl CheckLevel {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MachineCheck {
    /// Stable name of the check, such as `gpu_driver` or `lock`. A check of several things, such as all GPUs, has one
    /// entry for each of them.
    pub check: String,
    pub level: CheckLevel,
    /// Finding, as a sentence for people.
    pub found: String,
    /// Ways to repair or improve it, as sentences or as commands for a shell; empty where nothing needs to be done.
    pub help: Vec<String>,
}

impl MachineCheck {
    pub fn ok(check: &str, found: impl Into<String>) -> Self {
        Self::new(check, CheckLevel::Ok, found)
    }

    pub fn warn(check: &str, found: impl Into<String>) -> Self {
        Self::new(check, CheckLevel::Warn, found)
    }

    pub fn fail(check: &str, found: impl Into<String>) -> Self {
        Self::new(check, CheckLevel::Fail, found)
    }

    pub fn skip(check: &str, found: impl Into<String>) -> Self {
        Self::new(check, CheckLevel::Skip, found)
    }

    pub fn new(check: &str, level: CheckLevel, found: impl Into<String>) -> Self {
        Self { check: check.to_owned(), level, found: found.into(), help: Vec::new() }
    }

    /// Adds one way to repair or improve it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }
}

/// Demand of the manifest for a part of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// No manifest was read.
    #[default]
    Unknown,
    Needed,
    Unneeded,
}

impl Demand {
    /// Returns the demand of a manifest that uses a part of the machine, or does not.
    #[must_use]
    pub fn of(is_used: bool) -> Self {
        if is_used { Self::Needed } else { Self::Unneeded }
    }

    /// Returns the level of a part that is broken: a failure, unless the manifest has no use for it.
    #[must_use]
    pub fn broken(self) -> CheckLevel {
        match self {
            Self::Unknown | Self::Needed => CheckLevel::Fail,
            Self::Unneeded => CheckLevel::Warn,
        }
    }

    /// Returns the level of a part that the machine does not have: a failure only where the manifest needs it.
    #[must_use]
    pub fn absent(self) -> CheckLevel {
        match self {
            Self::Needed => CheckLevel::Fail,
            Self::Unknown | Self::Unneeded => CheckLevel::Skip,
        }
    }
}

/// Demands that a runtime judges its readings by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuntimeDemand {
    pub runtime: Demand,
    /// Demand of the runtime's services for GPUs. Without a manifest, a machine with a GPU counts as one that needs it.
    pub gpus: Demand,
}

/// Returns a path as one word of a shell.
#[must_use]
pub fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@%,".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::shell_word;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        for (path, expected) in [
            ("/var/lib/lcm", "/var/lib/lcm"),
            ("/srv/my files", "'/srv/my files'"),
            ("/srv/$(id)", "'/srv/$(id)'"),
            ("it's", r"'it'\''s'"),
        ] {
            assert_eq!(shell_word(Path::new(path)), expected);
        }
    }
}
