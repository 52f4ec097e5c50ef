//! Command line for clap, and the first page of its help: commands grouped by task, in 80 columns.

use std::fmt::Write as _;

use clap::builder::styling::Styles;
use clap::{Arg, Command, CommandFactory as _};

use crate::cli::command::Cli;
use crate::cli::exit::CODES;
use crate::report::sheet::Sheet;
use crate::report::style::Style;

/// Width of the help: wider lines are hard to read, and half of all terminals have no more.
const COLUMNS: usize = 80;

/// Columns of a command's name in the list.
const NAME_COLUMNS: usize = 12;

/// Groups of commands, in the order in which a user meets them. Commands of no group follow below.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Everyday commands", &["plan", "apply", "switch", "modes", "rollback", "status", "wait", "logs", "history"]),
    ("Single services, until the next apply", &["start", "stop", "restart", "report"]),
    ("Holds on single services, until `lcm resume`", &["maintain", "suspend", "terminate", "resume"]),
    ("Setup and removal", &["init", "validate", "adopt", "disown", "down"]),
    ("Inspection", &["doctor", "explain", "help", "observe", "show", "schema"]),
    ("Shell integration", &["completions", "man"]),
];

/// Returns the whole command line.
pub(super) fn command() -> Command {
    let command = Cli::command().max_term_width(COLUMNS).after_help(exit_codes());
    let command = command.mut_subcommands(with_compose_option);
    let header = *Styles::styled().get_header();
    let commands = commands(&command, |title| format!("{header}{title}:{header:#}"));
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{commands}\
         {header}Options:{header:#}\n{{options}}{{after-help}}"
    ))
}

/// Adds `-f` to the option that names a manifest, as Compose has it; not where `-f` follows a log.
fn with_compose_option(command: Command) -> Command {
    const SHORT: char = 'f';
    let names_manifest = |arg: &Arg| arg.get_long() == Some("manifest");
    let is_taken = command.get_arguments().any(|arg| arg.get_short() == Some(SHORT));
    if is_taken || !command.get_arguments().any(names_manifest) {
        return command;
    }
    command.mut_args(|arg| if names_manifest(&arg) { arg.short_alias(SHORT) } else { arg })
}

fn commands(command: &Command, heading: impl Fn(&str) -> String) -> String {
    let visible: Vec<&Command> = command.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    let grouped = |command: &Command| GROUPS.iter().any(|(_, names)| names.contains(&command.get_name()));
    let groups = GROUPS.iter().map(|(title, names)| {
        let named = |name: &&str| visible.iter().find(|command| command.get_name() == *name).copied();
        (*title, names.iter().filter_map(named).collect::<Vec<_>>())
    });
    let rest = ("More", visible.iter().copied().filter(|command| !grouped(command)).collect());
    let mut text = String::new();
    for (title, members) in groups.chain([rest]).filter(|(_, members)| !members.is_empty()) {
        let _ = writeln!(text, "{}", heading(title));
        for member in members {
            let about = member.get_about().map(ToString::to_string).unwrap_or_default();
            let line = format!("  {:NAME_COLUMNS$} {about}", member.get_name());
            text.push_str(&Sheet::new().line(line).output(Style { width: Some(COLUMNS), ..Style::PLAIN }));
        }
        text.push('\n');
    }
    text
}

fn exit_codes() -> String {
    let mut text = "Exit codes:".to_owned();
    for (codes, meaning) in CODES {
        let _ = write!(text, "\n  {codes:8} {meaning}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, GROUPS, command};
    use crate::report::fold::columns;

    #[test]
    fn every_command_is_on_the_first_page_once_and_fits() {
        let page = command().render_help().to_string();
        for command in command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            let begins = |line: &&str| line.strip_prefix("  ").and_then(|line| line.split(' ').next()) == Some(name);
            assert_eq!(page.lines().filter(begins).count(), 1, "{name}");
        }
        let wide: Vec<&str> = page.lines().filter(|line| columns(line) > COLUMNS).collect();
        assert!(wide.is_empty(), "{wide:#?}");
        // A text too long for its line continues below the names, where it looks like one of them.
        let list = page.split("\n\n").filter(|part| GROUPS.iter().any(|(title, _)| part.starts_with(title)));
        let names: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let is_name = |line: &&str| line.split_whitespace().next().is_some_and(|word| names.contains(&word));
        let broken: Vec<&str> = list.flat_map(|part| part.lines().skip(1)).filter(|line| !is_name(line)).collect();
        assert!(broken.is_empty(), "{broken:#?}");
    }

    /// Renders the page of every command; an option or a value longer than a line could not be folded.
    #[test]
    fn no_page_is_wider_than_a_terminal() {
        let mut command = command();
        command.build();
        for command in command.get_subcommands_mut() {
            let page = command.render_long_help().to_string();
            let wide: Vec<&str> = page.lines().filter(|line| columns(line) > COLUMNS).collect();
            assert!(wide.is_empty(), "{}: {wide:#?}", command.get_name());
        }
    }

    #[test]
    fn every_command_takes_a_manifest_by_both_letters_except_where_one_follows() {
        let command = command();
        let takes = |name: &str, letter: char| {
            let command = command.find_subcommand(name).expect("a command");
            command.get_arguments().any(|arg| {
                let is_it = arg.get_short() == Some(letter);
                arg.get_long() == Some("manifest")
                    && (is_it || arg.get_all_short_aliases().is_some_and(|all| all.contains(&letter)))
            })
        };
        // These read no manifest, or write one.
        let without = ["schema", "explain", "help", "completions", "man", "init"];
        for command in command.get_subcommands().filter(|command| !without.contains(&command.get_name())) {
            let name = command.get_name();
            assert!(takes(name, 'm'), "{name} -m");
            assert_eq!(takes(name, 'f'), name != "logs", "{name} -f");
        }
    }

    #[test]
    fn clap_finds_nothing_wrong_with_the_command_line() {
        command().debug_assert();
    }
}
