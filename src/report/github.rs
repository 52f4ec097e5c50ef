//! Problems as GitHub's runner shows them: next to the line, in the pull request. One command a line, and its text
//! can't end it, begin another one, or control the terminal of a reader of the log.

use crate::model::safe_text;
use crate::report::output::Output;
use crate::report::problems::{CheckedFile, CheckedManifests, ProblemEntry, ProblemSeverity};

/// Returns each problem as one annotation.
#[must_use]
pub fn annotations(checked: &CheckedManifests) -> Output {
    let of_file =
        |file: &CheckedFile| file.problems.iter().map(|problem| annotation(&file.file, problem)).collect::<String>();
    Output::new(checked.files.iter().map(of_file).collect())
}

/// Returns `::error file=lcm.yaml,line=3,col=5,title=lcm%3A%3Aunknown_key::message`.
fn annotation(entry: &str, problem: &ProblemEntry) -> String {
    let level = match problem.severity {
        ProblemSeverity::Error => "error",
        ProblemSeverity::Warning => "warning",
    };
    let place = match &problem.place {
        None => format!("file={}", property(entry)),
        Some(place) => format!("file={},line={},col={}", property(&place.file), place.line, place.column),
    };
    let parts = [Some(problem.message.as_str()), Some(problem.label.as_str()), problem.help.as_deref()];
    let said: Vec<&str> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    format!("::{level} {place},title={}::{}\n", property(&problem.code), message(&said.join("\n")))
}

/// Escapes a message. The runner ends a message at a line's end, so line breaks are encoded.
fn message(text: &str) -> String {
    safe_text::lines(text, false).replace('\t', " ").replace('%', "%25").replace('\n', "%0A")
}

/// Escapes a property. A file may have any name: if a character is removed from it, the annotation only loses its
/// place.
fn property(text: &str) -> String {
    safe_text::line(text).replace('%', "%25").replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::annotations;
    use crate::report::problems::{CheckedFile, CheckedManifests, ProblemEntry, ProblemLocation, ProblemSeverity};

    fn told(file: &str, message: &str, help: &str) -> String {
        let problem = ProblemEntry {
            severity: ProblemSeverity::Error,
            code: "lcm::manifest::unknown_key".to_owned(),
            message: message.to_owned(),
            label: "here".to_owned(),
            help: Some(help.to_owned()),
            place: Some(ProblemLocation { file: file.to_owned(), line: 3, column: 5 }),
            related: Vec::new(),
        };
        let file = CheckedFile { file: file.to_owned(), valid: false, problems: vec![problem], warnings: Vec::new() };
        annotations(&CheckedManifests::new(vec![file])).to_string()
    }

    #[test]
    fn a_problem_is_one_line_with_any_text() {
        assert_eq!(
            told("a,b.yaml", "unknown key `vrm`: 100%", "did you mean\n`vram`?"),
            "::error file=a%2Cb.yaml,line=3,col=5,title=lcm%3A%3Amanifest%3A%3Aunknown_key::unknown key `vrm`: 100%25%0Ahere%0Adid you \
             mean%0A`vram`?\n"
        );
    }

    #[test]
    fn no_text_of_others_makes_a_command_or_drives_a_terminal() {
        let hostile = "x\r\n::stop-commands::token\n::add-mask::a,b:c\u{1b}]0;t\u{7}\u{1b}[2J\u{9b}1m%0A\u{202e}";
        let text = told(hostile, hostile, hostile);
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(
            text.starts_with("::error file=x %3A%3Astop-commands%3A%3Atoken %3A%3Aadd-mask%3A%3Aa%2Cb%3Ac%250A,line")
        );
        assert!(!text.trim_end().contains(crate::model::safe_text::is_unseen), "{text:?}");
    }
}
