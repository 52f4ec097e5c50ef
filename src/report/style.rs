//! Style of text. Colour is decoration: the text next to it has the same meaning.

use anstyle::AnsiColor;

use crate::model::safe_text;

/// Paint and width of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    pub colored: bool,
    /// Columns of the terminal; `None`: not a terminal, and a line may have any length.
    pub width: Option<usize>,
    /// True if amounts are drawn, in addition to their figures.
    pub bars: bool,
}

/// Meaning of a stretch of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Starts, or is healthy.
    Good,
    /// Stops, or has failed.
    Bad,
    /// Changes, or needs attention.
    Warn,
    /// Can be skipped.
    Dim,
    Strong,
}

impl Paint {
    /// The eight colours that every terminal has, and that follow its theme.
    fn ansi(self) -> anstyle::Style {
        match self {
            Self::Good => AnsiColor::Green.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
            Self::Warn => AnsiColor::Yellow.on_default(),
            Self::Dim => anstyle::Style::new().dimmed(),
            Self::Strong => anstyle::Style::new().bold(),
        }
    }
}

impl Style {
    pub const PLAIN: Self = Self { colored: false, width: None, bars: false };

    /// Returns `text`, painted where there is colour, and without foreign codes. Measure and pad before.
    #[must_use]
    pub fn paint(self, paint: Paint, text: &str) -> String {
        let text = safe_text::line(text);
        let code = paint.ansi();
        if self.colored && !text.is_empty() { format!("{code}{text}{code:#}") } else { text }
    }

    /// Returns a line of a unified diff, painted by its kind.
    #[must_use]
    pub fn diff_line(self, line: &str) -> String {
        let line = safe_text::line(line);
        match line.chars().next() {
            Some('+') => self.paint(Paint::Good, &line),
            Some('-') => self.paint(Paint::Bad, &line),
            Some('@') => self.paint(Paint::Dim, &line),
            Some(_) | None => line,
        }
    }
}
