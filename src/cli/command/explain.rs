//! `lcm explain`: the page of a code, a state, an exit code, a warning or a topic.

use crate::cli::answer::data;
use crate::cli::exit::Exit;
use crate::cli::pages::{self, search};
use crate::cli::stop::EarlyExit;
use crate::cli::terminal::session::Session;
use crate::report::output::Output;

/// Explain a code, state, exit code, warning or topic
///
/// For example `lcm explain no_capacity`, `lcm explain busy`, `lcm explain 4`, `lcm explain not measured`, or `lcm
/// explain modes`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Code in full (`lcm::plan::rule`) or its last part (`rule`), a state, an exit code, a topic, or words of a warning;
    /// without it, all pages are listed
    #[arg(value_name = "CODE")]
    words: Vec<String>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<Exit, EarlyExit> {
    let text = if args.words.is_empty() {
        pages::list(session.stdout)
    } else {
        let found = search::find(&args.words.join(" "))?;
        let gap = |at: usize| if at > 0 { Output::gap() } else { Output::default() };
        let found = found.iter().enumerate();
        found.flat_map(|(at, page)| [gap(at), pages::shown(*page, session.stdout)]).collect()
    };
    data(&text)?;
    Ok(Exit::Done)
}
