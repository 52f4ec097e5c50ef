//! Shared state of the resolution: places, problems, paths.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::manifest::resolve::input::Input;
use crate::manifest::wire::shape::OneOrMany;
use crate::syntax::Environment;
use crate::syntax::fault::suggest;
use crate::syntax::located::Located;
use crate::syntax::place::SourceLocation;
use crate::syntax::problem::Problem;
use crate::syntax::scalar::DurationText;
use crate::syntax::source::{Sources, Span, tidy};

/// Most problems that get a spelling suggestion, and most unknown names that are reported: each is compared with every
/// defined name.
const SUGGESTED_MAX: usize = 200;

/// Most bytes of all services' environments: eight of the largest size that a kernel takes, or a thousand usual ones.
const ENVIRONMENTS_BYTES_MAX: usize = 16 << 20;

/// Access to problems and places.
#[derive(Debug)]
pub(crate) struct ResolveContext<'a> {
    pub input: &'a Input<'a>,
    pub problems: &'a mut Vec<Problem>,
    /// Name of the project, empty where it could not be read.
    pub project: String,
    /// Folder of the file that names the project: specs stay the same whichever file lcm is called with.
    pub root: PathBuf,
    environment_bytes_left: usize,
}

impl<'a> ResolveContext<'a> {
    pub(crate) fn new(input: &'a Input<'a>, problems: &'a mut Vec<Problem>) -> Self {
        let named = input.files.iter().find(|file| file.manifest.name.is_some()).or(input.files.first());
        let root = named.map(|file| input.sources.get(file.file).folder.clone()).unwrap_or_default();
        Self { input, problems, project: String::new(), root, environment_bytes_left: ENVIRONMENTS_BYTES_MAX }
    }

    pub(crate) fn place(&self, span: Span) -> SourceLocation {
        self.input.sources.place(span)
    }

    pub(crate) fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>, label: &str) {
        let problem = Problem::error(code, message).at(self.place(span), label);
        self.problems.push(problem);
    }

    pub(crate) fn error_with_help(
        &mut self,
        code: &'static str,
        span: Span,
        (message, label): (impl Into<String>, &str),
        help: impl Into<String>,
    ) {
        let problem = Problem::error(code, message).at(self.place(span), label).help(help);
        self.problems.push(problem);
    }

    /// Reports a missing key, unless a part of `within` could not be read.
    pub(crate) fn missing<T>(&mut self, within: &Located<T>, message: impl Into<String>, help: &str) {
        if !within.damaged {
            self.error_with_help("lcm::manifest::missing", within.span, (message, "in here"), help);
        }
    }

    /// Returns true if a name is defined; reports a problem otherwise.
    pub(crate) fn known(&mut self, what: &str, name: &Located<String>, names: &BTreeMap<String, Span>) -> bool {
        let known = names.contains_key(&name.value);
        if !known && self.input.complete && self.problems.len() < SUGGESTED_MAX {
            let code = match what {
                "goal" => "lcm::manifest::unknown_goal",
                "mode" => "lcm::manifest::unknown_mode",
                _ => "lcm::manifest::unknown_service",
            };
            let help = suggest(name, names.keys().map(String::as_str));
            self.error_with_help(code, name.span, (format!("there is no {what} `{}`", name.value), "this name"), help);
        }
        known
    }

    /// Reports a duration of zero.
    pub(crate) fn positive(&mut self, period: Option<&Located<DurationText>>) {
        if let Some(period) = period
            && period.0.is_zero()
        {
            self.error("lcm::manifest::duration", period.span, "this must be more than 0", "zero is not allowed");
        }
    }

    /// Reports a count of zero.
    pub(crate) fn at_least_one(&mut self, number: Option<&Located<u32>>) {
        if let Some(number) = number
            && number.value == 0
        {
            self.error("lcm::manifest::type", number.span, "this must be 1 or more", "zero is not allowed");
        }
    }

    /// Returns phases, which are counted from 1.
    pub(crate) fn phases(&mut self, written: &[Located<u32>]) -> BTreeSet<u32> {
        for phase in written {
            self.at_least_one(Some(phase));
        }
        written.iter().map(|phase| phase.value).collect()
    }

    /// Returns a written list, or an empty slice where the key is absent. An empty list is a problem: an absent key
    /// would mean any.
    pub(crate) fn listed<'b, T>(&mut self, written: Option<&'b Located<OneOrMany<T>>>) -> &'b [T] {
        let Some(written) = written else { return &[] };
        if written.0.is_empty() && !written.damaged {
            let help = "name at least one, or remove the key to mean any";
            self.error_with_help("lcm::manifest::empty", written.span, ("this list is empty", "no entries"), help);
        }
        &written.value.0
    }

    /// Adds the bytes of one service's environment to the total; returns false, and reports a problem once, when the
    /// total exceeds the limit.
    pub(crate) fn affords(&mut self, bytes: usize, span: Span) -> bool {
        if let Some(left) = self.environment_bytes_left.checked_sub(bytes) {
            self.environment_bytes_left = left;
            return true;
        }
        if self.environment_bytes_left > 0 {
            let limit = ENVIRONMENTS_BYTES_MAX >> 20;
            let message = format!("the environments of all services add up to more than {limit} MiB");
            self.error("lcm::manifest::too_large", span, message, "this one exceeds the limit");
        }
        self.environment_bytes_left = 0;
        false
    }

    /// Returns `lcm.yaml:12`, for messages.
    pub(crate) fn source(&self, span: Span) -> String {
        let place = self.place(span);
        format!("{}:{}", place.file.display(), place.line)
    }

    /// Returns an absolute path from one that is relative to the file that names it.
    pub(crate) fn path(&mut self, written: &Located<String>) -> Option<PathBuf> {
        let path = absolute(written, self.input.sources, self.input.environment);
        if path.is_none() {
            let message =
                if written.is_empty() { "the path is empty" } else { "`~` stands for HOME, which is not set" };
            self.error("lcm::manifest::path", written.span, message, "this path");
        }
        path
    }

    /// Returns the form of a path in a spec: as it is written, or, where it is relative, from the project's folder, so
    /// that a moved checkout changes nothing.
    pub(crate) fn spec_path(&self, written: &str, absolute: &Path) -> String {
        if written.starts_with(['/', '~']) {
            return absolute.display().to_string();
        }
        relative(absolute, &self.root).display().to_string()
    }
}

/// Returns `None` for an empty path, or one in an unknown home.
pub(crate) fn absolute(written: &Located<String>, sources: &Sources, environment: &Environment) -> Option<PathBuf> {
    if written.is_empty() {
        return None;
    }
    let from_home = match written.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => Some(rest.trim_start_matches('/')),
        Some(_) | None => None,
    };
    match from_home {
        Some(rest) => {
            let home = environment.get("HOME").filter(|home| home.starts_with('/'))?;
            Some(tidy(&Path::new(home).join(rest)))
        }
        None => Some(tidy(&sources.get(written.span.file).folder.join(&written.value))),
    }
}

/// Returns `path` relative to `base`; both are absolute and normalised.
fn relative(path: &Path, base: &Path) -> PathBuf {
    let shared = path.components().zip(base.components()).take_while(|(left, right)| left == right).count();
    let up = base.components().skip(shared).map(|_| Component::ParentDir);
    let relative: PathBuf = up.chain(path.components().skip(shared)).collect();
    if relative.as_os_str().is_empty() { PathBuf::from(".") } else { relative }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::relative;

    #[test]
    fn a_path_as_seen_from_another() {
        for (path, base, wanted) in
            [("/a/b", "/a/b", "."), ("/a/b/c", "/a/b", "c"), ("/a/x", "/a/b", "../x"), ("/x", "/a/b", "../../x")]
        {
            assert_eq!(relative(Path::new(path), Path::new(base)), PathBuf::from(wanted));
        }
    }
}
