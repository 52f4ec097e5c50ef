//! Rendering of problems for people: each is underlined in its file by miette. Text quoted from a manifest stays on its
//! line.

mod excerpt;

use std::fmt;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode};

use crate::model::safe_text;
use crate::syntax::place::SourceLocation;
use crate::syntax::problem::{Problem, Problems, Severity};
use crate::syntax::source::Sources;

use self::excerpt::SourceExcerpt;

impl Problems {
    /// Renders all problems, `width` columns wide, with an empty line between.
    #[must_use]
    pub fn render(&self, color: bool, width: usize) -> String {
        let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler =
            GraphicalReportHandler::new_themed(theme).with_width(width).with_links(false).with_context_lines(1);
        let mut text = String::new();
        for problem in &self.0 {
            // Writing to a string can't fail; a problem that can't be rendered is printed in one line.
            if handler.render_report(&mut text, &RenderedProblem::new(problem, &self.1)).is_err() {
                text.push_str(&problem.to_string());
            }
            text.push('\n');
        }
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        format!("{}\n", lines.join("\n").trim_end())
    }
}

/// One problem, or one of its further places in another file, with an excerpt of the file.
#[derive(Debug)]
struct RenderedProblem {
    message: String,
    code: Option<&'static str>,
    severity: miette::Severity,
    help: Option<String>,
    /// Excerpt with the places underlined.
    source: Option<SourceExcerpt>,
    elsewhere: Vec<RenderedProblem>,
}

impl RenderedProblem {
    fn new(problem: &Problem, sources: &Sources) -> Self {
        let here = problem.place.as_ref().map(|place| &place.file);
        let (near, far): (Vec<_>, Vec<_>) = problem.related.iter().partition(|(place, _)| Some(&place.file) == here);
        let labels = problem
            .place
            .iter()
            .map(|place| (place, &problem.label))
            .chain(near.iter().map(|(place, label)| (place, label)))
            .map(|(place, label)| underline(place, label))
            .collect();
        Self {
            message: safe_text::line(&problem.message),
            code: Some(problem.code),
            severity: match problem.severity {
                Severity::Error => miette::Severity::Error,
                Severity::Warning => miette::Severity::Warning,
            },
            help: problem.help.as_deref().map(safe_text::line),
            source: problem.place.as_ref().and_then(|place| excerpt(place, labels, sources)),
            elsewhere: far
                .into_iter()
                .map(|(place, label)| Self {
                    message: safe_text::line(label),
                    code: None,
                    severity: miette::Severity::Advice,
                    help: None,
                    source: excerpt(place, vec![underline(place, label)], sources),
                    elsewhere: Vec::new(),
                })
                .collect(),
        }
    }
}

fn excerpt(place: &SourceLocation, labels: Vec<LabeledSpan>, sources: &Sources) -> Option<SourceExcerpt> {
    let source = sources.by_path(&place.file)?;
    Some(SourceExcerpt::new(safe_text::line(&place.file.display().to_string()), &source.text, labels))
}

fn underline(place: &SourceLocation, label: &str) -> LabeledSpan {
    LabeledSpan::new(Some(safe_text::line(label)), place.offset, place.length)
}

impl fmt::Display for RenderedProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for RenderedProblem {}

impl Diagnostic for RenderedProblem {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.code.map(|code| Box::new(code) as Box<dyn fmt::Display>)
    }

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

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        if self.elsewhere.is_empty() {
            return None;
        }
        Some(Box::new(self.elsewhere.iter().map(|shown| shown as &dyn Diagnostic)))
    }
}
