//! Problems as GitHub's runner shows them: beside the line, in the pull request. Pure.

use std::path::Path;

use crate::manifest::{Problem, Severity};

/// `::error file=lcm.yaml,line=3,col=5,title=lcm::unknown_key::message`
pub(super) fn annotation(entry: &Path, problem: &Problem) -> String {
    let level = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = match &problem.place {
        None => format!("file={}", property(&entry.display().to_string())),
        Some(place) => {
            format!("file={},line={},col={}", property(&place.file.display().to_string()), place.line, place.column)
        }
    };
    let parts = [Some(problem.message.as_str()), Some(problem.label.as_str()), problem.help.as_deref()];
    let said: Vec<&str> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    format!("::{level} {place},title={}::{}\n", property(problem.code), message(&said.join("\n")))
}

pub(super) fn warning(entry: &Path, text: &str) -> String {
    format!("::warning file={}::{}\n", property(&entry.display().to_string()), message(text))
}

/// The runner ends a message at a line's end, so it is told of one in its own way.
fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::annotation;
    use crate::manifest::{Place, Problem, Severity};

    #[test]
    fn a_problem_is_one_line_whatever_it_says() {
        let problem = Problem {
            severity: Severity::Error,
            code: "lcm::manifest::unknown_key",
            message: "unknown key `vrm`: 100%".to_owned(),
            label: "here".to_owned(),
            help: Some("did you mean\n`vram`?".to_owned()),
            place: Some(Place { file: "a,b.yaml".into(), offset: 0, length: 1, line: 3, column: 5 }),
            related: Vec::new(),
        };
        assert_eq!(
            annotation(Path::new("lcm.yaml"), &problem),
            "::error file=a%2Cb.yaml,line=3,col=5,title=lcm%3A%3Amanifest%3A%3Aunknown_key::unknown key `vrm`: 100%25%0Ahere%0Adid you \
             mean%0A`vram`?\n"
        );
    }
}
