//! Lines for people. A line added here stays one line, with any content: a line end in a name, a message or a log can't
//! begin another one that looks like lcm's. The only way to text for a terminal.

use crate::model::safe_text;
use crate::report::fold::folded;
use crate::report::output::Output;
use crate::report::style::Style;

/// Escaped lines, possibly painted; not wrapped yet.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    text: String,
}

impl Sheet {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one line; line ends in it become spaces.
    pub fn line(&mut self, text: impl AsRef<str>) -> &mut Self {
        self.text.push_str(&safe_text::no_command(safe_text::painted_line(text.as_ref(), true)));
        self.text.push('\n');
        self
    }

    /// Adds lines with an indent of this many columns.
    pub fn block<T: AsRef<str>>(&mut self, indent: usize, lines: impl IntoIterator<Item = T>) -> &mut Self {
        for line in lines {
            self.line(format!("{:indent$}{}", "", line.as_ref()));
        }
        self
    }

    /// Adds an empty line.
    pub fn gap(&mut self) -> &mut Self {
        self.text.push('\n');
        self
    }

    /// Adds lines of lcm's own text.
    pub fn own(&mut self, text: &'static str) -> &mut Self {
        self.block(0, text.lines())
    }

    /// Adds text that another layout has set line by line: problems underlined in their files, the usage of a command.
    /// That layout must keep its quotations on one line.
    pub fn laid_out(&mut self, text: &str) -> &mut Self {
        self.text.push_str(&safe_text::lines(text, true));
        if !text.is_empty() && !text.ends_with('\n') {
            self.text.push('\n');
        }
        self
    }

    /// Returns the number of lines.
    #[must_use]
    pub fn height(&self) -> usize {
        self.text.lines().count()
    }

    /// Returns the output for a terminal of this width, or for a pipe.
    #[must_use]
    pub fn output(&self, style: Style) -> Output {
        Output::new(folded(&self.text, style))
    }

    /// Returns the output without wrapping, at any width.
    #[must_use]
    pub fn unfolded(&self, style: Style) -> Output {
        Output::new(safe_text::lines(&self.text, style.colored))
    }
}

/// Returns a single line, without its end.
#[must_use]
pub fn sentence(text: &str, style: Style) -> Output {
    Output::new(folded(&safe_text::no_command(safe_text::painted_line(text, true)), style))
}

#[cfg(test)]
mod tests {
    use super::{Sheet, sentence};
    use crate::report::style::{Paint, Style};

    #[test]
    fn a_line_stays_one_line() {
        let forged = "x\nerror[lcm::audit]: all is lost\u{2028}\r\u{1b}[2Jdone";
        let mut sheet = Sheet::new();
        sheet.line(forged).block(2, [forged]).gap().own("one\ntwo");
        assert_eq!(sheet.height(), 5);
        let text = sheet.output(Style::PLAIN);
        assert_eq!(
            text,
            "x error[lcm::audit]: all is lost done\n  x error[lcm::audit]: all is lost done\n\none\ntwo\n"
        );
        assert_eq!(sentence("a\nb", Style::PLAIN), "a b");
    }

    #[test]
    fn no_line_is_a_command_of_a_runner() {
        let mut sheet = Sheet::new();
        sheet.line("::stop-commands::t").block(2, [" ::add-mask::a", "a ##[error]x ##vso[task]y ## z", "a::b"]);
        let text = sheet.output(Style::PLAIN);
        assert_eq!(text, ": :stop-commands::t\n   : :add-mask::a\n  a # #[error]x # #vso[task]y ## z\n  a::b\n");
        assert_eq!(sentence("::error::x", Style::PLAIN), ": :error::x");
    }

    #[test]
    fn paint_of_others_ends_with_their_line() {
        let style = Style { colored: true, ..Style::PLAIN };
        let mut sheet = Sheet::new();
        sheet.line(format!("{} \u{1b}[31mred", style.paint(Paint::Warn, "warning:"))).line("plain");
        assert_eq!(sheet.output(style), "\u{1b}[33mwarning:\u{1b}[0m \u{1b}[31mred\u{1b}[0m\nplain\n");
        assert_eq!(sheet.output(Style::PLAIN), "warning: red\nplain\n");
    }
}
