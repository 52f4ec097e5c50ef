//! Rendering of problems for people: each is underlined in its file by miette. Text quoted from a manifest stays on its
//! line.

mod excerpt;

use std::fmt;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode};
use textwrap::Options;
use textwrap::WordSplitter::NoHyphenation;

use crate::model::safe_text;
use crate::syntax::place::SourceLocation;
use crate::syntax::problem::{Problem, Problems, Severity};
use crate::syntax::source::Sources;

use self::excerpt::SourceExcerpt;

/// Indent of a head's rest, in columns.
const HANG: &str = "  ";

impl Problems {
    /// Renders all problems, `width` columns wide, with an empty line between: a head as of every message,
    /// `error[lcm::manifest::unknown_key]: unknown key`, then the place and the help.
    #[must_use]
    pub fn render(&self, color: bool, width: usize) -> String {
        let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler =
            GraphicalReportHandler::new_themed(theme.clone()).with_width(width).with_links(false).with_context_lines(1);
        let mut text = String::new();
        for problem in &self.0 {
            for part in RenderedProblem::parts(problem, &self.1) {
                text.push_str(&part.head(&theme, width));
                let mut body = String::new();
                // Writing to a string can't fail; of a problem that can't be rendered, the head remains.
                if handler.render_report(&mut body, &part).is_ok() {
                    text.push_str(below_the_message(&body));
                }
            }
            text.push('\n');
        }
        if text.is_empty() {
            return text;
        }
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        format!("{}\n", lines.join("\n").trim_end())
    }
}

/// Returns a report without the line of its message, which the head has.
fn below_the_message(report: &str) -> &str {
    let report = report.trim_start_matches('\n');
    report.split_once('\n').map_or("", |(_, below)| below)
}

/// One problem, or one of its further places in another file, with an excerpt of the file.
#[derive(Debug)]
struct RenderedProblem {
    message: String,
    /// Code of the problem; a further place has none.
    code: Option<&'static str>,
    severity: miette::Severity,
    help: Option<String>,
    /// Excerpt with the places underlined.
    source: Option<SourceExcerpt>,
}

impl RenderedProblem {
    /// Returns the problem with its places in one file, then each of its places in other files.
    fn parts(problem: &Problem, sources: &Sources) -> Vec<Self> {
        let here = problem.place.as_ref().map(|place| &place.file);
        let (near, far): (Vec<_>, Vec<_>) = problem.related.iter().partition(|(place, _)| Some(&place.file) == here);
        let labels = problem
            .place
            .iter()
            .map(|place| (place, &problem.label))
            .chain(near.iter().map(|(place, label)| (place, label)))
            .map(|(place, label)| underline(place, label))
            .collect();
        let first = Self {
            message: safe_text::line(&problem.message),
            code: Some(problem.code),
            severity: match problem.severity {
                Severity::Error => miette::Severity::Error,
                Severity::Warning => miette::Severity::Warning,
            },
            help: problem.help.as_deref().map(safe_text::line),
            source: problem.place.as_ref().and_then(|place| excerpt(place, labels, sources)),
        };
        let further = far.into_iter().map(|(place, label)| Self {
            message: safe_text::line(label),
            code: None,
            severity: miette::Severity::Advice,
            help: None,
            source: excerpt(place, vec![underline(place, label)], sources),
        });
        [first].into_iter().chain(further).collect()
    }

    /// Returns the first lines: level, code and message.
    fn head(&self, theme: &GraphicalTheme, width: usize) -> String {
        let (level, style) = match self.severity {
            miette::Severity::Error => ("error", theme.styles.error),
            miette::Severity::Warning => ("warning", theme.styles.warning),
            miette::Severity::Advice => ("note", theme.styles.advice),
        };
        let code = self.code.map(|code| format!("[{code}]")).unwrap_or_default();
        let level = format!("{level}{code}:");
        let options = Options::new(width).subsequent_indent(HANG).break_words(false).word_splitter(NoHyphenation);
        let plain = textwrap::fill(&format!("{level} {}", self.message), options);
        // Paint is added after the wrapping, which counts columns.
        format!("{}\n", plain.replacen(&level, &style.style(&level).to_string(), 1))
    }
}

fn excerpt(place: &SourceLocation, labels: Vec<LabeledSpan>, sources: &Sources) -> Option<SourceExcerpt> {
    let source = sources.by_path(&place.file)?;
    Some(SourceExcerpt::new(safe_text::line(&place.file.display().to_string()), &source.text, labels))
}

fn underline(place: &SourceLocation, label: &str) -> LabeledSpan {
    LabeledSpan::new(Some(safe_text::line(label)), place.offset, place.length)
}

/// One letter in place of the message, which the head has: a long message would be several lines of the report, of
/// which only the first is removed.
impl fmt::Display for RenderedProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("-")
    }
}

impl std::error::Error for RenderedProblem {}

impl Diagnostic for RenderedProblem {
    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.source.as_ref()?.labels.iter().cloned()))
    }
}
