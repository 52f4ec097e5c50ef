//! `lcm help`: the options of a command, or a topic.

use clap::Command;

use crate::cli::answer::data;
use crate::cli::exit::Exit;
use crate::cli::pages::{self, search};
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::cli::topics::{self, TOPICS};
use crate::report::manual;
use crate::report::output::Output;
use crate::report::sheet::Sheet;

/// Show the options of a command, or a topic: `lcm help planning`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Command or topic; without it, the commands and topics are listed
    #[arg(value_name = "COMMAND|TOPIC")]
    word: Option<String>,
}

pub(crate) fn run(session: &Session, args: &Args, mut root: Command) -> Result<Exit, EarlyExit> {
    root.build();
    let text = match args.word.as_deref() {
        None => {
            let mut sheet = Sheet::new();
            sheet.laid_out(&root.render_help().to_string()).gap().line("Topics, by `lcm help TOPIC`:");
            sheet.block(2, TOPICS.iter().map(|topic| format!("{:12} {}", topic.name, topic.about())));
            sheet.block(2, [format!("{:12} every key of a manifest", topics::KEYS)]);
            sheet.unfolded(session.stdout)
        }
        Some(topics::KEYS) => manual::terminal(&topics::keys(), session.stdout),
        Some(word) => of(session, &mut root, word)?,
    };
    data(&text)?;
    Ok(Exit::Done)
}

fn of(session: &Session, root: &mut Command, word: &str) -> Result<Output, EarlyExit> {
    if let Some(command) = root.find_subcommand_mut(word) {
        let help = command.render_long_help();
        let text = if session.stdout.colored { help.ansi().to_string() } else { help.to_string() };
        return Ok(Sheet::new().laid_out(&text).unfolded(session.stdout));
    }
    let name = word.strip_prefix("lcm-").unwrap_or(word);
    let topic = TOPICS.iter().find(|topic| topic.name == name);
    if let (None, Ok(pages)) = (topic, search::find(word)) {
        return Ok(pages.iter().map(|page| pages::shown(*page, session.stdout)).collect());
    }
    let Some(topic) = topic else {
        let topics: Vec<&str> = TOPICS.iter().map(|topic| topic.name).chain([topics::KEYS]).collect();
        let message = format!("no command and no topic is called {word}; topics: {}", topics.join(", "));
        return Err(EarlyExit::new(Exit::Usage, Code::Usage, message));
    };
    Ok(manual::terminal(topic.markdown(), session.stdout))
}
