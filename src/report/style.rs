//! How text is set. Colour is decoration: the text beside it means the same.

use anstyle::AnsiColor;

use crate::model::harmless;

/// Paint and width of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    pub colored: bool,
    /// Columns of the terminal; `None`: it is no terminal, and a line may be as long as it is.
    pub width: Option<usize>,
    /// Amounts are drawn, beside being told.
    pub bars: bool,
}

/// Meaning of a stretch of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Comes up, or is well.
    Good,
    /// Goes away, or is broken.
    Bad,
    /// Changes, or wants attention.
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

    /// `text`, painted where there is colour, and with no code of others in it. Measure and pad before.
    #[must_use]
    pub fn paint(self, paint: Paint, text: &str) -> String {
        let text = harmless::line(text);
        let code = paint.ansi();
        if self.colored && !text.is_empty() { format!("{code}{text}{code:#}") } else { text }
    }

    /// A unified diff, its lines painted by what they say.
    #[must_use]
    pub fn diff_line(self, line: &str) -> String {
        let line = harmless::line(line);
        match line.chars().next() {
            Some('+') => self.paint(Paint::Good, &line),
            Some('-') => self.paint(Paint::Bad, &line),
            Some('@') => self.paint(Paint::Dim, &line),
            Some(_) | None => line,
        }
    }
}
